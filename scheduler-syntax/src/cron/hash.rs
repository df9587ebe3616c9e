//! `H`: a value that differs from trigger to trigger and is the same every time.

use super::field::Field;

/// The value of `H` between `first` and `last` for this seed and field.
///
/// FNV-1a of the seed, then mixed with the field (the finaliser of SplitMix64), so that the fields of one trigger do
/// not move together. Stored schedules depend on it: another formula would move jobs that are in production.
pub(super) fn value(seed: &str, field: Field, first: u16, last: u16) -> u16 {
    let fnv = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut mixed = fnv.wrapping_add((field as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    first + ((mixed ^ (mixed >> 31)) % u64::from(last - first + 1)) as u16
}
