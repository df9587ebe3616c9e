//! The counters of a batch.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::RunEnd;

/// How many runs of a batch stand where. A run that is added counts in `total` and `pending`; its end takes it out of `pending` and adds
/// it to one of the other counters. So `pending` and the others, apart from `total`, are `total` together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct BatchCounts {
    /// All runs that were added.
    pub total: i64,
    /// Those that have not ended.
    pub pending: i64,
    /// Those that have succeeded.
    pub succeeded: i64,
    /// Those whose jobs have discarded them.
    pub discarded: i64,
    /// Those that are dead, and batches in this one of which not all runs have succeeded.
    pub dead: i64,
    /// Those that were cancelled, superseded or deleted.
    pub cancelled: i64,
    /// Those that have expired.
    pub expired: i64,
    /// Those that were not stored, since another run has their key.
    pub skipped: i64,
}

impl BatchCounts {
    /// The names of the counters, in the order of [`numbers`](Self::numbers).
    pub const NAMES: [&'static str; 8] =
        ["total", "pending", "succeeded", "discarded", "dead", "cancelled", "expired", "skipped"];

    /// The counters in order.
    pub const fn numbers(&self) -> [i64; 8] {
        let Self { total, pending, succeeded, discarded, dead, cancelled, expired, skipped } = *self;
        [total, pending, succeeded, discarded, dead, cancelled, expired, skipped]
    }

    /// Of the counters in order.
    pub const fn of(
        [total, pending, succeeded, discarded, dead, cancelled, expired, skipped]: [i64; 8],
    ) -> Self {
        Self { total, pending, succeeded, discarded, dead, cancelled, expired, skipped }
    }

    /// One run more.
    pub(crate) fn added() -> Self {
        Self { total: 1, pending: 1, ..Self::default() }
    }

    /// One run more that was not stored.
    pub(crate) fn skipped() -> Self {
        Self { total: 1, skipped: 1, ..Self::default() }
    }

    /// One run has ended like this; with -1 it has not, after all.
    pub(crate) fn ended(end: RunEnd, by: i64) -> Self {
        let mut change = Self { pending: -by, ..Self::default() };
        let counter = match end {
            RunEnd::Succeeded => &mut change.succeeded,
            RunEnd::Discarded => &mut change.discarded,
            RunEnd::Dead | RunEnd::Incomplete => &mut change.dead,
            RunEnd::Cancelled | RunEnd::Superseded => &mut change.cancelled,
            RunEnd::Expired => &mut change.expired,
        };
        *counter += by;
        change
    }

    /// Whether all have ended, and none of them other than with success.
    pub const fn all_succeeded(&self) -> bool {
        self.pending <= 0 && self.succeeded + self.skipped >= self.total
    }

    /// Whether somebody may have to look at a batch whose counters come from these to those: no run is pending, or the first is dead.
    pub const fn rings(&self, before: &Self) -> bool {
        self.pending <= 0 || (self.dead > 0 && before.dead <= 0)
    }
}

impl AddAssign for BatchCounts {
    fn add_assign(&mut self, other: Self) {
        let (own, other) = (self.numbers(), other.numbers());
        *self = Self::of(std::array::from_fn(|place| own[place].saturating_add(other[place])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_the_total_together() {
        let mut counts = BatchCounts::default();
        for end in RunEnd::ALL {
            counts += BatchCounts::added();
            counts += BatchCounts::ended(end, 1);
        }
        counts += BatchCounts::skipped();
        let sum: i64 = counts.numbers()[1..].iter().sum();
        assert_eq!((sum, counts.pending), (counts.total, 0));
        counts += BatchCounts::ended(RunEnd::Dead, -1);
        assert_eq!((counts.pending, counts.dead), (1, 1), "a replay");
    }
}
