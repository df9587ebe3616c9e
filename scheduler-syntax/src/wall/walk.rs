//! The instants of a rule: its civil times on the wall clock of a zone.
//!
//! Time is walked from one setting of the clocks to the next; in between, the wall clock is UTC plus an offset. Three
//! things happen at a change, and a [`DstPolicy`] chooses among them:
//!
//! * Clocks are set forward. The civil times of the gap are dropped, or owed at the change, or moved behind it.
//! * Clocks are set back. The doubled stretch counts before the change, after it, or on both sides.
//! * A whole day is left out (Samoa, 30 December 2011). Its times are not owed: the date does not exist.
//!
//! The rule for intervals is one of these policies, so there is one walk for all.

use chrono_tz::Tz;

use super::CivilTimes;
use super::civil::DAY;
use super::clock::{APART, Change, FAR, Reading};
use super::policy::{DstPolicy, Gap, Overlap};

/// No rule fires earlier or later than this: the years 1970 to 2199 in any zone, and some days to spare.
const EARLIEST: i64 = -2 * DAY;
const LATEST: i64 = 84_008 * DAY;

/// How far a look ahead goes at once, so that it meets one change at most.
const REACH: i64 = APART - FAR;

/// A rule on its way through the time of a zone.
pub(crate) struct Walk<'a, C> {
    pub(crate) times: &'a C,
    pub(crate) zone: Tz,
    pub(crate) policy: DstPolicy,
}

/// How far a walk has come.
struct Place {
    /// Everything up to this instant is settled. The offset is that of the stretch in which the walk goes on.
    passed: Reading,
    /// The change at which this stretch began, if it is near enough to matter.
    change: Option<Change>,
    /// The next matching time on the wall clock of this stretch, even if the stretch ends before.
    civil: Option<i64>,
}

/// What a look ahead found.
enum Step {
    Fire(i64),
    Continue(Place),
    End,
}

impl<C: CivilTimes> Walk<'_, C> {
    /// The first fire time later than `asked`, in seconds.
    pub(crate) fn next(&self, asked: i64) -> Option<i64> {
        let asked = asked.clamp(EARLIEST, LATEST);
        if self.zone == Tz::UTC {
            return self.times.civil_from(asked + 1);
        }
        let mut place = self.start(asked);
        loop {
            match self.step(&place) {
                Step::Fire(instant) => return Some(instant),
                Step::Continue(next) => place = next,
                Step::End => return None,
            }
        }
    }

    /// Where a walk begins that was asked for what comes after `asked`.
    fn start(&self, asked: i64) -> Place {
        let passed = self.reading(asked);
        let place = self.place(passed, None);
        let moves = self.policy.gap == Gap::Shift;
        if !moves && self.policy.overlap != Overlap::First {
            return place;
        }
        // A near change before `asked` matters only if something matches near it.
        let far = asked + REACH + FAR;
        if let Some(civil) = place.civil.filter(|civil| !moves && *civil > far) {
            return self.jump(civil);
        }
        // The wall clock may be repeating itself, or moved times may still be to come.
        match Change::between(self.zone, self.reading(asked - FAR), passed) {
            Some(change) => self.place(passed, Some(change)),
            None => place,
        }
    }

    /// A place with its next civil time.
    fn place(&self, passed: Reading, change: Option<Change>) -> Place {
        let now = passed.instant + 1 + passed.offset;
        let from = match change {
            // The doubled stretch counted before the change.
            Some(change) if self.policy.overlap == Overlap::First => now.max(change.at + change.before),
            _ => now,
        };
        Place { passed, change, civil: self.times.civil_from(from) }
    }

    /// Shortly before a far civil time. No change on the way there matters: nothing matches near any of them.
    fn jump(&self, civil: i64) -> Place {
        Place { passed: self.reading(civil - FAR), change: None, civil: Some(civil) }
    }

    fn reading(&self, instant: i64) -> Reading {
        Reading::of(self.zone, instant)
    }

    /// Looks for a fire time in the stretch of `place`; if a change ends it before, goes on behind the change.
    fn step(&self, place: &Place) -> Step {
        let passed = place.passed;
        let own = place.civil.map(|civil| civil - passed.offset);
        let best = own.into_iter().chain(self.moved(place)).min();
        // A change further away than the best candidate decides nothing, one shortly behind it may move it there.
        let reach = passed.instant + REACH;
        let look_behind = if self.policy.overlap == Overlap::Second { FAR } else { 0 };
        let until = best.map_or(reach, |best| best.min(reach)) + look_behind;
        if let Some(change) = Change::between(self.zone, passed, self.reading(until)) {
            return self.at_change(change, best, place.civil);
        }
        match (best, place.civil) {
            (Some(best), _) if best <= reach => Step::Fire(best),
            (_, Some(civil)) => Step::Continue(self.jump(civil)),
            _ => Step::End,
        }
    }

    /// The next of the times that were moved behind the gap with which the stretch began.
    fn moved(&self, place: &Place) -> Option<i64> {
        let change = place.change.filter(|change| self.policy.gap == Gap::Shift && owes(change))?;
        let civil = self.times.civil_from(place.passed.instant + 1 + change.before)?;
        (civil < change.at + change.after).then_some(civil - change.before)
    }

    /// The stretch ends at `change`: the candidate of the stretch still counts if it lies before that.
    fn at_change(&self, change: Change, best: Option<i64>, civil: Option<i64>) -> Step {
        let doubled = if self.policy.overlap == Overlap::Second { (-change.forward()).max(0) } else { 0 };
        if let Some(best) = best.filter(|best| *best < change.at - doubled) {
            return Step::Fire(best);
        }
        let in_gap = civil.is_some_and(|civil| civil < change.at + change.after);
        if in_gap && owes(&change) && self.policy.gap == Gap::RunAfter {
            return Step::Fire(change.at);
        }
        let passed = Reading { instant: change.at - 1, offset: change.after };
        Step::Continue(self.place(passed, Some(change)))
    }

    /// The last fire time earlier than `end`: found by asking for the next one from earlier and earlier instants, then
    /// by halving the distance. Slower than a search of its own, and right by construction.
    pub(crate) fn previous(&self, end: i64) -> Option<i64> {
        let end = end.min(LATEST);
        let next = |asked| self.next(asked).filter(|found| *found < end);
        let mut late = end - 1;
        let mut found = self.somewhere_before(end)?;
        while let Some(later) = next(found) {
            found = later;
            let middle = found + (late - found) / 2;
            match next(middle) {
                Some(later) => found = later,
                None => late = middle,
            }
        }
        Some(found)
    }

    /// A fire time earlier than `end`, most often the last one.
    fn somewhere_before(&self, end: i64) -> Option<i64> {
        let offset = self.reading(end).offset;
        let guess = self.times.civil_to(end - 1 + offset).map(|civil| end - (civil - offset));
        let mut distance = guess.unwrap_or(1).max(1);
        loop {
            let asked = end - 1 - distance;
            if let Some(found) = self.next(asked).filter(|found| *found < end) {
                return Some(found);
            }
            if asked < EARLIEST {
                return None;
            }
            distance *= 2;
        }
    }
}

/// Whether times that a change leaves out are owed at all. Those of a date that does not exist are not.
fn owes(change: &Change) -> bool {
    (1..DAY).contains(&change.forward())
}
