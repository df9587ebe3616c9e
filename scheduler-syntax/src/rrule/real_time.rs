//! Rules finer than a day: their steps are counted in real time, their filters read the wall clock.
//!
//! Between two changes of the clocks both go together. So each such stretch is searched by itself, with the start as
//! the wall clock of that stretch would have shown it: every two hours from midnight become odd hours in summer.

use chrono_tz::Tz;

use super::rule::Parts;
use super::search::{Bound, END, MOST_STEPS};
use crate::wall::{APART, Change, DAY, Reading};

/// The first second later than `asked` at which a rule fires that counts from the second `start`.
pub(super) fn next(rule: &Parts, start: i64, asked: i64, zone: Tz) -> Option<i64> {
    let mut steps = MOST_STEPS;
    let mut passed = Reading::of(zone, asked);
    let mut times = Bound::new(rule, start + passed.offset);
    while passed.instant <= END + DAY && steps > 0 {
        let ahead = Reading::of(zone, passed.instant + APART);
        let change = Change::between(zone, passed, ahead);
        let last = change.map_or(ahead.instant, |change| change.at - 1) + passed.offset;
        let first = passed.instant + 1 + passed.offset;
        if let Some(civil) = times.civil_within(first, last.min(END), &mut steps) {
            return Some(civil - passed.offset);
        }
        passed = match change {
            Some(change) => Reading { instant: change.at - 1, offset: change.after },
            None => ahead,
        };
        if change.is_some() {
            times = Bound::new(rule, start + passed.offset);
        }
    }
    None
}
