//! Sets of small numbers as the bits of a word.

/// The lowest member that is at or above `from`.
pub(crate) fn lowest(set: u64, from: u32) -> Option<u32> {
    let left = if from < 64 { set & (u64::MAX << from) } else { 0 };
    (left != 0).then(|| left.trailing_zeros())
}

/// The highest member that is at or below `from`.
pub(crate) fn highest(set: u64, from: u32) -> Option<u32> {
    let left = set & (u64::MAX >> (63 - from.min(63)));
    (left != 0).then(|| 63 - left.leading_zeros())
}

/// The members, the lowest first.
pub(crate) fn members(mut set: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let member = lowest(set, 0)?;
        set &= set - 1;
        Some(member)
    })
}
