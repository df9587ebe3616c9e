//! The last fire time of a trigger that ends.

use chrono::{DateTime, Utc};

use super::Trigger;
use super::progress::Progress;
use crate::calendar::Calendar;

impl Trigger {
    /// The last time at which it would fire, from a fresh start; none if it goes on for ever or never fires.
    ///
    /// A trigger ends by its end, its count, the `UNTIL` of its rule or the years of its cron expression. The search costs
    /// a few dozen questions for the next fire time, but for two kinds: the count of a daily window is counted window by
    /// window, the `COUNT` of a recurrence rule day by day. With a calendar both are counted firing by firing.
    pub fn final_fire_time(&self, calendar: Option<&dyn Calendar>) -> Option<DateTime<Utc>> {
        let first = self.first(calendar);
        if calendar.is_some() && self.schedule.counts_firings() {
            return self.walk_to_last(first, calendar);
        }
        let latest = self.schedule.ends(self.window(&first))?;
        let next = |after| self.following(&first, after, calendar).filter(|time| *time <= latest);
        Some(last_firing(first.next?, latest, next))
    }

    fn walk_to_last(&self, first: Progress, calendar: Option<&dyn Calendar>) -> Option<DateTime<Utc>> {
        let progress = std::iter::successors(Some(first), |progress| Some(self.fired(progress, calendar)));
        progress.map_while(|progress| progress.next).last()
    }
}

/// The last firing, by halving the time in which it must lie.
fn last_firing(
    first: DateTime<Utc>,
    latest: DateTime<Utc>,
    next: impl Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    let (mut last, mut none_after) = (first, latest);
    while let Some(later) = next(last) {
        last = later;
        let middle = last + (none_after - last) / 2;
        match next(middle) {
            Some(later) => last = later,
            None => none_after = middle,
        }
    }
    last
}
