//! Every so many days, weeks, months or years on the calendar of a zone; or seconds, minutes, hours of elapsed time.
//!
//! The search is that of Quartz's `CalendarIntervalTrigger`: whole steps from the start, with the same answers for the
//! days on which clocks change and for the ends of months, which shorten later months too (31 January, 28 February,
//! 28 March).

use std::fmt;

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::schedule::Window;
use crate::time::zone;

/// The search ends here, as in Quartz.
const LAST_YEAR: i32 = 2299;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalendarIntervalSchedule {
    every: u32,
    unit: Unit,
    #[serde(with = "crate::stored::zone")]
    zone: Tz,
    #[serde(default)]
    preserve_hour: bool,
    #[serde(default)]
    skip_missing_hour: bool,
}

impl CalendarIntervalSchedule {
    /// Every `every` units on the calendar of `zone`; at least one.
    pub fn new(every: u32, unit: Unit, zone: Tz) -> Self {
        Self { every, unit, zone, preserve_hour: false, skip_missing_hour: false }
    }

    /// Keeps the hour of the day over changes of clocks, for days and longer units. Default: a day on which the hour
    /// does not exist moves it, and the days after keep the moved hour.
    #[must_use]
    pub fn preserve_hour(self, preserve: bool) -> Self {
        Self { preserve_hour: preserve, ..self }
    }

    /// With [`preserve_hour`](Self::preserve_hour), leaves out a day on which the hour does not exist. Default: on such a day it fires an hour
    /// off.
    #[must_use]
    pub fn skip_missing_hour(self, skip: bool) -> Self {
        Self { skip_missing_hour: skip, ..self }
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

    pub(super) fn in_zone(self, zone: Tz) -> Self {
        Self { zone, ..self }
    }

    pub(super) fn after(&self, window: Window, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let start = window.start;
        // Whole seconds, the last begun one counted.
        let seconds = 1 + (after - start).num_milliseconds() / 1000;
        match self.unit {
            Unit::Second => self.elapsed(start, seconds, 1),
            Unit::Minute => self.elapsed(start, seconds, 60),
            Unit::Hour => self.elapsed(start, seconds, 3600),
            Unit::Day => self.by_calendar(start, after, leap(seconds / (i64::from(self.every) * 86_400))),
            Unit::Week => self.by_calendar(start, after, leap(seconds / (i64::from(self.every) * 604_800))),
            Unit::Month | Unit::Year => self.by_calendar(start, after, 0),
        }
    }

    fn elapsed(&self, start: DateTime<Utc>, seconds: i64, unit: i64) -> Option<DateTime<Utc>> {
        let step = i64::from(self.every) * unit;
        let steps = seconds.div_euclid(step) + i64::from(seconds % step != 0);
        start.checked_add_signed(TimeDelta::try_seconds(steps.checked_mul(step)?)?)
    }

    /// Steps from the start, after a first leap, until later than `after`.
    fn by_calendar(&self, start: DateTime<Utc>, after: DateTime<Utc>, leap: u32) -> Option<DateTime<Utc>> {
        let hour = zone::civil(self.zone, start).hour();
        let mut time = if leap > 0 { self.step(start, leap)? } else { start };
        while time <= after {
            time = self.step(time, 1)?;
            self.within_reach(time)?;
        }
        loop {
            match self.with_hour(time, hour, after) {
                Ok(time) => return Some(time),
                Err(moved) => time = self.step(moved, 1)?,
            }
            self.within_reach(time)?;
        }
    }

    fn within_reach(&self, time: DateTime<Utc>) -> Option<()> {
        (time.year() <= LAST_YEAR).then_some(())
    }

    fn step(&self, from: DateTime<Utc>, count: u32) -> Option<DateTime<Utc>> {
        let units = self.every.checked_mul(count)?;
        match self.unit {
            Unit::Week => zone::plus_days(self.zone, from, u64::from(units) * 7),
            Unit::Month => zone::plus_months(self.zone, from, units),
            Unit::Year => zone::plus_months(self.zone, from, units.checked_mul(12)?),
            _ => zone::plus_days(self.zone, from, u64::from(units)),
        }
    }

    /// The time with the hour of the start put back, or the time from which to step on.
    fn with_hour(
        &self,
        time: DateTime<Utc>,
        hour: u32,
        after: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, DateTime<Utc>> {
        let local = zone::civil(self.zone, time);
        if !self.preserve_hour || local.hour() == hour {
            return Ok(time);
        }
        let wanted = local.with_hour(hour).unwrap_or(local);
        let set = zone::instant(self.zone, wanted);
        let exists = zone::civil(self.zone, set).hour() == hour;
        let advance = if exists { set <= after } else { self.skip_missing_hour };
        if advance { Err(set) } else { Ok(set) }
    }
}

/// Most of the way in one step; the rest is walked, since not every step has the same length.
fn leap(steps: i64) -> u32 {
    let share = match steps {
        ..=20 => return 0,
        21..50 => 0.8,
        50..500 => 0.9,
        _ => 0.95,
    };
    (steps as f64 * share) as u32
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

/// The last second of a day.
pub(super) const LAST_SECOND: NaiveTime = match NaiveTime::from_hms_opt(23, 59, 59) {
    Some(time) => time,
    None => NaiveTime::MIN,
};
