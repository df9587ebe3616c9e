//! The fire times to come.

use chrono::{DateTime, Utc};

use super::Trigger;
use super::progress::Progress;
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
}
