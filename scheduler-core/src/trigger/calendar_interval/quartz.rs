//! The walk of Quartz's `CalendarIntervalTrigger`: whole steps from firing to firing.
//!
//! The answers are those of Quartz, with all that drifts: the ends of short months, hours that do not exist, and fire
//! times that depend on where the walk begins.

use chrono::{DateTime, Datelike, Timelike, Utc};

use super::super::schedule::LAST_YEAR;
use super::{CalendarIntervalSchedule, Unit};
use crate::time::zone;

impl CalendarIntervalSchedule {
    pub(super) fn drifting(&self, start: DateTime<Utc>, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Whole seconds, the last begun one counted.
        let seconds = 1 + (after - start).num_milliseconds() / 1000;
        let steps_of_days = |days: i64| seconds.checked_div(i64::from(self.every) * days * 86_400);
        match self.unit {
            Unit::Month | Unit::Year => self.walk(start, after, 0),
            Unit::Week => self.walk(start, after, leap(steps_of_days(7)?)),
            _ => self.walk(start, after, leap(steps_of_days(1)?)),
        }
    }

    /// Steps from the start, after a first leap, until later than `after`.
    fn walk(&self, start: DateTime<Utc>, after: DateTime<Utc>, leap: u32) -> Option<DateTime<Utc>> {
        let hour = zone::civil(self.zone, start).hour();
        let mut time = if leap > 0 { self.step(start, leap)? } else { start };
        while time <= after {
            time = self.step(time, 1)?;
        }
        loop {
            match self.with_hour(time, hour, after) {
                Ok(time) => return Some(time),
                Err(moved) => time = self.step(moved, 1)?,
            }
        }
    }

    /// So many steps further; none after the last year, where the search ends as in Quartz.
    fn step(&self, from: DateTime<Utc>, count: u32) -> Option<DateTime<Utc>> {
        let units = self.every.checked_mul(count)?;
        let time = match self.unit {
            Unit::Week => zone::plus_days(self.zone, from, u64::from(units) * 7),
            Unit::Month => zone::plus_months(self.zone, from, units),
            Unit::Year => zone::plus_months(self.zone, from, units.checked_mul(12)?),
            _ => zone::plus_days(self.zone, from, u64::from(units)),
        };
        time.filter(|time| time.year() <= LAST_YEAR)
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
