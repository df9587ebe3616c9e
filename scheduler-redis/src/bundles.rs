//! Claims of runs that say nothing but which run it is: of the commands that a run costs, most would be about its claim.
//!
//! Those of one call stand together in the hash of claims as one entry, a *bundle*. Its field is the number of a claim without its last
//! two digits, and its value has at the place of these digits the name of the run, or blanks where a claim is over or says more. A claim
//! that says more has an entry of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use scheduler_core::Result;
use scheduler_core::job::ExecutionId;

use crate::codec;
use crate::load::MANY;
use crate::ops::{Words, text};
use crate::script::{bytes, list};
use crate::shared::Shared;

/// So many claims are in a bundle. No call makes more.
const SIZE: u64 = 100;

/// So many bytes are the name of a run.
const NAME: usize = 26;

const BLANK: [u8; NAME] = [b' '; NAME];

/// A claim and its record; that of one in a bundle is the name of its run.
pub(crate) type Claim = (ExecutionId, Vec<u8>);

/// The field of the bundle in which a claim may stand.
fn field(claim: ExecutionId) -> String {
    (claim.count() / SIZE).to_string()
}

/// The place of a claim in its bundle.
fn place(claim: ExecutionId) -> u8 {
    (claim.count() % SIZE) as u8
}

/// A claim in a bundle, as the scripts take it: the bundle and the place.
pub(crate) fn words_of(claim: ExecutionId) -> [Vec<u8>; 2] {
    [text(field(claim)), vec![place(claim)]]
}

/// The name of the run of this claim; none if the claim is over or says more.
fn named(bundle: &[u8], claim: ExecutionId) -> Option<&[u8]> {
    let begin = usize::from(place(claim)) * NAME;
    bundle.get(begin..begin + NAME).filter(|name| **name != BLANK)
}

/// The claims of an entry; none if it is no entry of a hash of claims. The hash is `cl:<session>`, or `orphan:<session>@<number>`.
pub(crate) fn claims_of(home: &str, field: &str, value: &[u8]) -> Option<Vec<Claim>> {
    if let Ok(claim) = codec::read_claim(field) {
        return Some(vec![(claim, value.to_vec())]);
    }
    let number = field.parse::<u64>().ok().filter(|number| number.to_string() == field)?;
    let first = number.checked_mul(SIZE)?;
    let session = home.split([':', '@']).nth(1)?.parse().ok()?;
    let claims = (first..first.checked_add(SIZE)?).map(|count| ExecutionId::new(session, count));
    Some(claims.filter_map(|claim| Some((claim, named(value, claim)?.to_vec()))).collect())
}

/// Claims of bundles, with what is known of each.
#[derive(Debug)]
pub(crate) struct Places<T>(BTreeMap<(Arc<str>, String), BTreeMap<u8, T>>);

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Places<T> {
    pub(crate) fn add(&mut self, home: &Arc<str>, claim: ExecutionId, what: T) {
        self.0.entry((home.clone(), field(claim))).or_default().insert(place(claim), what);
    }

    /// For each hash the bundles and the places in each, as the scripts take them, and what is known of each place, in this order.
    pub(crate) fn words(self) -> BTreeMap<Arc<str>, (Words, Vec<T>)> {
        let mut words = BTreeMap::<_, (Words, Vec<T>)>::new();
        for ((home, field), places) in self.0 {
            let (words, known) = words.entry(home).or_default();
            words.extend([text(field), places.keys().copied().collect()]);
            known.extend(places.into_values());
        }
        words
    }
}

impl Shared {
    /// The records of claims of one hash.
    pub(crate) async fn claim_records(
        &self,
        home: &str,
        claims: &[ExecutionId],
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let mut records = Vec::with_capacity(claims.len());
        for part in claims.chunks(MANY / 2) {
            let mut fields: Vec<_> = part.iter().map(|claim| codec::claim(*claim)).collect();
            let mut bundles: Vec<_> = part.iter().map(|claim| field(*claim)).collect();
            bundles.dedup();
            fields.extend_from_slice(&bundles);
            let found = list(Some(self.ask(self.command("HMGET", home).arg(fields)).await?));
            let (own, in_bundles) = found.split_at(part.len().min(found.len()));
            for (claim, record) in part.iter().zip(own) {
                let in_bundle = || {
                    let of_bundle = bundles.iter().position(|bundle| *bundle == field(*claim))?;
                    named(bytes(in_bundles.get(of_bundle)?)?, *claim)
                };
                records.push(bytes(record).or_else(in_bundle).map(<[u8]>::to_vec));
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(home: &str, field: &str, value: &[u8]) -> Option<Vec<u64>> {
        let claims = claims_of(home, field, value)?;
        Some(claims.iter().map(|(claim, _)| claim.count()).collect())
    }

    #[test]
    fn a_bundle_has_a_claim_for_each_name_and_none_for_blanks_and_what_is_cut_off() {
        let name = [b'r'; NAME];
        let bundle = [&name[..], &BLANK, &name, &name[..20]].concat();
        for home in ["cl:7", "orphan:7@99"] {
            let claims = claims_of(home, "12", &bundle).unwrap();
            let expected = [1200, 1202].map(|count| (ExecutionId::new(7, count), name.to_vec()));
            assert_eq!(claims, expected);
        }
        assert_eq!(counts("cl:7", "7-1201", b"record"), Some(vec![1201]));
    }

    #[test]
    fn what_is_no_entry_of_claims_has_none() {
        for (home, field) in [
            ("cl:7", ""),
            ("cl:7", "twelve"),
            ("cl:7", "0012"),
            ("cl:7", "+12"),
            ("cl:7", "-1"),
            ("cl:seven", "12"),
            ("cl", "12"),
            ("cl:7", "184467440737095516"),
            ("cl:7", "18446744073709551615"),
        ] {
            assert_eq!(counts(home, field, &[b'r'; NAME]), None, "{home} {field}");
        }
    }

    #[test]
    fn claims_are_put_together_by_their_bundles() {
        let (home, mut places) = (Arc::<str>::from("cl:7"), Places::default());
        for count in [1305, 1299, 1200, 1299] {
            places.add(&home, ExecutionId::new(7, count), count);
        }
        let (words, known) = places.words().remove(&home).unwrap();
        assert_eq!(words, [text("12"), vec![0, 99], text("13"), vec![5]]);
        assert_eq!(known, [1200, 1299, 1305]);
    }
}
