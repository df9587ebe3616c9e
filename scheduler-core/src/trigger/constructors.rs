//! The ways to begin a trigger: at a time, after a delay, at intervals, by cron or by a recurrence rule.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use scheduler_syntax::rrule::RecurrenceRule;

use super::Trigger;
use super::builder::{Rule, TriggerBuilder};
use super::calendar_interval::{CalendarIntervalSchedule, Unit};
use super::recurrence::RecurrenceSchedule;
use super::schedule::Schedule;

impl Trigger {
    /// A trigger that fires once, as soon as it is scheduled.
    pub fn now() -> TriggerBuilder {
        TriggerBuilder::new(Rule::Once)
    }

    /// A trigger that fires once, at `time`; at once if that has passed.
    pub fn at(time: DateTime<Utc>) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Once).start_at(time)
    }

    /// A trigger that fires once, when clocks in its [zone](TriggerBuilder::time_zone) show `time`; at once if that has passed.
    ///
    /// A time that clocks skip is later by the length of the gap, and of two times it is the first (RFC 5545, 3.3.5).
    ///
    /// ```
    /// use scheduler_core::trigger::Trigger;
    ///
    /// let now = "2026-01-01T00:00:00Z".parse().unwrap();
    /// let noon = "2026-07-01T12:00:00".parse().unwrap();
    /// let trigger = Trigger::at_local(noon).time_zone("Europe/Berlin").name("noon").for_job("ring").build(now).unwrap();
    /// assert_eq!(trigger.start().to_rfc3339(), "2026-07-01T10:00:00+00:00");
    /// ```
    pub fn at_local(time: NaiveDateTime) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Once).start_at_local(time)
    }

    /// A trigger that fires once, so long after it is scheduled: delayed work.
    pub fn after(delay: Duration) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Once).start_after(delay)
    }

    /// A trigger that fires at its start and then at every multiple of `interval` from it, until it is
    /// [limited](TriggerBuilder::repeat) or [ends](TriggerBuilder::end_at).
    ///
    /// Intervals are counted in whole milliseconds of elapsed time and must be at least one.
    pub fn every(interval: Duration) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Every(interval))
    }

    /// A trigger that fires at the times of a cron expression in Quartz's dialect: second, minute, hour, day of
    /// month, month, day of week and an optional year. Read in UTC unless a [zone](TriggerBuilder::time_zone) is set.
    pub fn cron(expression: &str) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Cron(expression.to_owned()))
    }

    /// A trigger that fires at its start and then every so many days, weeks, months or years of the calendar, or
    /// seconds, minutes or hours of elapsed time. On the calendar of UTC unless a [zone](TriggerBuilder::time_zone) is
    /// set; [`CalendarIntervalSchedule`] has further options.
    pub fn calendar_interval(every: u32, unit: Unit) -> TriggerBuilder {
        Self::scheduled(CalendarIntervalSchedule::new(every, unit, Tz::UTC))
    }

    /// A trigger that fires by a recurrence rule of RFC 5545, such as `FREQ=MONTHLY;BYDAY=-1FR`, counted from its start.
    /// Read in UTC unless a [zone](TriggerBuilder::time_zone) is set.
    pub fn rrule(rule: &str) -> TriggerBuilder {
        match RecurrenceRule::parse(rule) {
            Ok(rule) => Self::scheduled(RecurrenceSchedule::new(rule, Tz::UTC)),
            Err(error) => {
                let mut broken = TriggerBuilder::new(Rule::Broken);
                broken.note(format!("recurrence rule `{rule}`: {error}"), error);
                broken
            }
        }
    }

    /// A trigger with a schedule that is ready made.
    pub fn scheduled(schedule: impl Into<Schedule>) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Ready(schedule.into()))
    }
}
