//! The last fire time of a trigger that ends.

use chrono::{DateTime, TimeDelta, Utc};

use super::Trigger;
use super::progress::Progress;
use super::schedule::Schedule;
use crate::calendar::Calendar;

impl Trigger {
    /// The last time at which it would fire, from a fresh start; none if it goes on for ever or never fires.
    ///
    /// Costs little for a trigger with an end, and one step per firing for one with a count that a calendar or the days
    /// of the week can stretch.
    pub fn final_fire_time(&self, calendar: Option<&dyn Calendar>) -> Option<DateTime<Utc>> {
        let first = self.first(calendar);
        match self.schedule.repeat() {
            None => self.end().and_then(|end| self.last_before(first, end, calendar)),
            Some(count) => self.counted(first, count, calendar),
        }
    }

    /// Asks from earlier and earlier instants until there is an answer, and goes on from there.
    fn last_before(
        &self,
        first: Progress,
        end: DateTime<Utc>,
        calendar: Option<&dyn Calendar>,
    ) -> Option<DateTime<Utc>> {
        let start = first.next?;
        let next = |after| self.following(&first, after, calendar);
        let mut distance = TimeDelta::seconds(1);
        let mut last = loop {
            let asked = end - distance;
            if asked <= start {
                break start;
            }
            if let Some(found) = next(asked) {
                break found;
            }
            distance = distance * 2;
        };
        while let Some(later) = next(last) {
            last = later;
        }
        Some(last)
    }

    fn counted(&self, first: Progress, count: u32, calendar: Option<&dyn Calendar>) -> Option<DateTime<Utc>> {
        if let (Schedule::Interval(interval), None, None) = (&self.schedule, calendar, self.end()) {
            return interval.at(self.start, i64::from(count));
        }
        let mut progress = first;
        loop {
            let last = progress.next?;
            let next = self.fired(&progress, calendar);
            if !next.may_fire_again() {
                return Some(last);
            }
            progress = next;
        }
    }
}
