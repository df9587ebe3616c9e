//! The fire times to come.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use super::progress::Progress;
use super::{Schedule, Trigger};
use crate::calendar::Calendar;

impl Trigger {
    /// The fire times to come of a trigger that has got so far, in order, without those that `calendar` leaves out. Ends with
    /// the trigger's count or end; endless otherwise.
    ///
    /// ```
    /// use chrono_tz::Tz;
    /// use scheduler_core::calendar::{Exclusion, StandardCalendar};
    /// use scheduler_core::trigger::Trigger;
    ///
    /// let now = "2026-12-23T12:00:00Z".parse().unwrap();
    /// let trigger = Trigger::cron("0 0 9 * * ?").name("report").for_job("report").build(now).unwrap();
    /// let christmas = StandardCalendar::new(Exclusion::annual([(12, 25), (12, 26)]), Tz::UTC);
    /// let progress = trigger.first(Some(&christmas));
    /// let days: Vec<_> = trigger.upcoming(&progress, Some(&christmas)).take(3).map(|time| time.date_naive().to_string()).collect();
    /// assert_eq!(days, ["2026-12-24", "2026-12-27", "2026-12-28"]);
    /// ```
    pub fn upcoming<'a>(
        &'a self,
        progress: &Progress,
        calendar: Option<&'a dyn Calendar>,
    ) -> impl Iterator<Item = DateTime<Utc>> + use<'a> {
        let steps =
            std::iter::successors(Some(progress.clone()), move |step| Some(self.fired(step, calendar)));
        steps.map_while(|step| step.next)
    }

    /// The fire times in a range, in order, without those that `calendar` leaves out, wherever the trigger has got. A cron expression has
    /// fire times before the start of its trigger; those of all others follow from the start.
    pub(crate) fn occurrences<'a>(
        &'a self,
        range: Range<DateTime<Utc>>,
        calendar: Option<&'a dyn Calendar>,
    ) -> impl Iterator<Item = DateTime<Utc>> + use<'a> {
        let Range { start: from, end } = range;
        let start = matches!(self.schedule(), Schedule::Cron(_)).then(|| from.min(self.start()));
        let mut first = Progress { start, ..Progress::default() };
        if self.repeat(&first).is_some() {
            // They are counted from the first one on.
            first = self.first(calendar);
        } else {
            let before = from.checked_sub_signed(TimeDelta::milliseconds(1)).unwrap_or(from);
            first.next = self.following(&first, before, calendar);
        }
        self.upcoming(&first, calendar)
            .skip_while(move |time| *time < from)
            .take_while(move |time| *time < end)
    }
}
