//! Every so many days, weeks, months or years on the calendar of a zone; or seconds, minutes, hours of elapsed time.
//!
//! Each firing is computed from the start alone: the n-th is n steps later on the wall clock. So a short month, a leap
//! day or a missing hour moves one firing and none after it, and the answer does not depend on who asks when. The
//! walk of Quartz, which steps from firing to firing, is in `quartz`.

mod quartz;

use std::fmt;

use chrono::{DateTime, Datelike, Days, Months, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::schedule::{LAST_YEAR, Window};
use crate::stored::checked;
use crate::time::zone;

/// What a calendar interval is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 1,000 milliseconds, whatever clocks do.
    Second,
    /// 60 seconds, whatever clocks do.
    Minute,
    /// 3,600 seconds, whatever clocks do.
    Hour,
    /// To the same time of the next day.
    Day,
    /// Seven days.
    Week,
    /// To the same day of the next month, or its last.
    Month,
    /// Twelve months.
    Year,
}

/// Fires at the start and then every so many units of the calendar.
///
/// From days upwards, the n-th firing after the start is at the start's time of day, n steps later on the calendar:
///
/// * In a month that is too short it is on the last day: 31 August, 30 September, 31 October.
/// * A time of day that clocks skip is later by the length of the gap, on that day only; of two times it is the first
///   (RFC 5545, 3.3.5).
/// * A date that a zone does not have, such as 30 December 2011 in Samoa, is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct CalendarIntervalSchedule {
    every: u32,
    unit: Unit,
    #[serde(with = "crate::stored::zone")]
    zone: Tz,
    #[serde(default)]
    preserve_hour: bool,
    #[serde(default)]
    skip_missing_hour: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    as_quartz: bool,
}

checked!(CalendarIntervalSchedule);

impl CalendarIntervalSchedule {
    /// Every `every` units on the calendar of `zone`; at least one.
    pub fn new(every: u32, unit: Unit, zone: Tz) -> Self {
        Self { every, unit, zone, preserve_hour: false, skip_missing_hour: false, as_quartz: false }
    }

    /// With [`as_quartz`](Self::as_quartz), returns to the hour of the start after a change of clocks. An interval that is
    /// counted from its start keeps its time of day in any case.
    #[must_use]
    pub fn preserve_hour(self, preserve: bool) -> Self {
        Self { preserve_hour: preserve, ..self }
    }

    /// Leaves out a day on which the time of day does not exist. Default: the firing of that day is later by the length of
    /// the gap. With [`as_quartz`](Self::as_quartz) it needs [`preserve_hour`](Self::preserve_hour).
    #[must_use]
    pub fn skip_missing_hour(self, skip: bool) -> Self {
        Self { skip_missing_hour: skip, ..self }
    }

    /// Steps from firing to firing, as Quartz's `CalendarIntervalTrigger` does. Default: each firing is counted from the
    /// start.
    ///
    /// Quartz's firings drift: 31 January is followed by 28 February and then by the 28th of every month, a time that
    /// clocks skip moves the firings of all later days, and near a change of clocks the next fire time depends on the
    /// instant at which it is asked for. Choose it to keep the fire times of a schedule that moves here from Quartz.
    #[must_use]
    pub fn as_quartz(self, as_quartz: bool) -> Self {
        Self { as_quartz, ..self }
    }

    /// How many units lie between firings.
    pub fn every(&self) -> u32 {
        self.every
    }

    /// The unit.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The zone.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// What keeps it from being a schedule.
    pub(super) fn problem(&self) -> Option<String> {
        (self.every == 0).then(|| "the calendar interval is 0; use at least 1".to_owned())
    }

    pub(super) fn in_zone(self, zone: Tz) -> Self {
        Self { zone, ..self }
    }

    /// The first fire time strictly later than `after`, which is not earlier than the start.
    pub(super) fn after(&self, window: Window, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.unit {
            Unit::Second => self.elapsed(window.start, after, TimeDelta::seconds(1)),
            Unit::Minute => self.elapsed(window.start, after, TimeDelta::minutes(1)),
            Unit::Hour => self.elapsed(window.start, after, TimeDelta::hours(1)),
            _ if self.as_quartz => self.drifting(window.start, after),
            _ => self.anchored(window.start, after),
        }
    }

    fn elapsed(&self, start: DateTime<Utc>, after: DateTime<Utc>, unit: TimeDelta) -> Option<DateTime<Utc>> {
        let length = i64::from(self.every) * unit.num_milliseconds();
        let steps = (after - start).num_milliseconds().checked_div_euclid(length)? + 1;
        start.checked_add_signed(TimeDelta::try_milliseconds(steps.checked_mul(length)?)?)
    }

    fn anchored(&self, start: DateTime<Utc>, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let anchor = zone::civil(self.zone, start);
        let likely = self.steps_between(anchor, zone::civil(self.zone, after))?;
        (likely.max(1)..)
            .map_while(|steps| self.steps_after(anchor, steps))
            .filter_map(|civil| self.resolve(civil))
            .find(|time| *time > after)
    }

    /// At most the number of steps from `anchor` to the first firing after `asked`, and less by a few.
    fn steps_between(&self, anchor: NaiveDateTime, asked: NaiveDateTime) -> Option<i64> {
        // A change of clocks moves a firing by a day at most.
        let days = (asked.date() - anchor.date()).num_days() - 2;
        let months = |time: NaiveDateTime| i64::from(time.year()) * 12 + i64::from(time.month0());
        let months = months(asked) - months(anchor) - 1;
        let every = i64::from(self.every);
        match self.unit {
            Unit::Month => months.checked_div(every),
            Unit::Year => months.checked_div(every * 12),
            Unit::Week => days.checked_div(every * 7),
            _ => days.checked_div(every),
        }
    }

    /// The civil time so many steps after the anchor; none after the last year.
    fn steps_after(&self, anchor: NaiveDateTime, steps: i64) -> Option<NaiveDateTime> {
        let units = u64::try_from(steps.checked_mul(i64::from(self.every))?).ok()?;
        let months = |units: u64| anchor.checked_add_months(Months::new(u32::try_from(units).ok()?));
        let civil = match self.unit {
            Unit::Month => months(units),
            Unit::Year => months(units.checked_mul(12)?),
            Unit::Week => anchor.checked_add_days(Days::new(units.checked_mul(7)?)),
            _ => anchor.checked_add_days(Days::new(units)),
        };
        civil.filter(|civil| civil.year() <= LAST_YEAR)
    }

    /// The instant of a civil time; none if it is left out.
    fn resolve(&self, civil: NaiveDateTime) -> Option<DateTime<Utc>> {
        let time = zone::first_instant(self.zone, civil);
        let left_out = zone::civil(self.zone, time) != civil
            && (self.skip_missing_hour || !zone::has_date(self.zone, civil.date()));
        (!left_out).then_some(time)
    }
}

impl fmt::Display for CalendarIntervalSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = format!("{:?}", self.unit).to_lowercase();
        match self.every {
            1 => write!(f, "every {unit} ({})", self.zone.name()),
            n => write!(f, "every {n} {unit}s ({})", self.zone.name()),
        }
    }
}
