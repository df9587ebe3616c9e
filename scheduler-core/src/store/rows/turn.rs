//! Turns: where the runs of a queue stand that have fair keys.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use super::place::Place;
use crate::trigger::DEFAULT_PRIORITY;

/// Where a run with a fair key stands in its lane: a time that may be before its due time, and a round among those at the same time.
///
/// This is start-time fair queueing. The *present* of a queue is the largest turn at which one of its runs was claimed. Of each lane and
/// key one run has a turn, the *head*; the others wait until it is claimed or leaves. The next one then has a turn behind that of the
/// head and behind the present, so each key has one run in each round. A key for which no run waited begins behind the present, too: it
/// has gained nothing by being idle, and does not wait for runs of other keys that were enqueued before. No turn is before the due
/// time of the oldest head, so runs of other queues wait no longer than they would behind runs in the order of due times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    at: DateTime<Utc>,
    round: u32,
}

impl Turn {
    /// The turn of the next run of a key: behind the `present` of its queue and the `last` one of its key, and not before the
    /// `oldest` due time of all heads, the next one among them.
    pub fn next(present: Option<Self>, last: Option<Self>, oldest: DateTime<Utc>) -> Self {
        let behind = |turn: Self| Self { round: turn.round.saturating_add(1), ..turn };
        let oldest = Self { at: oldest, round: 0 };
        present.max(last).map_or(oldest, |turn| behind(turn).max(oldest))
    }

    /// The place of a run that has this turn. Beside runs without a key that are due at the same time, it counts as one of the default
    /// priority, and each round at the same time as one less.
    #[must_use]
    pub fn place(self, place: Place) -> Place {
        let round = i32::try_from(self.round).unwrap_or(i32::MAX);
        Place { at: self.at, rank: Reverse(DEFAULT_PRIORITY.saturating_sub(round)), ..place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_turn_is_behind_all_that_it_has_to_be_behind() {
        let first = Turn::next(None, None, at(5));
        assert_eq!(first, Turn { at: at(5), round: 0 });
        let second = Turn::next(Some(first), None, at(5));
        assert_eq!(second, Turn { at: at(5), round: 1 });
        assert_eq!(Turn::next(Some(first), Some(second), at(5)), Turn { at: at(5), round: 2 });
        assert_eq!(Turn::next(Some(first), Some(second), at(1)), Turn { at: at(5), round: 2 }, "an old run");
        assert_eq!(Turn::next(Some(second), None, at(6)), Turn { at: at(6), round: 0 }, "all are newer");
    }
}
