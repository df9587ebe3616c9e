//! Fixed distances on the line of time, whatever clocks and calendars do.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_syntax::{format_duration, interval_problem};
use serde::{Deserialize, Serialize};

use crate::stored::checked;

/// Fires at the start and then at every multiple of the interval from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct IntervalSchedule {
    every_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeat: Option<u32>,
}

checked!(IntervalSchedule);

impl IntervalSchedule {
    /// For ever, at this distance; or what is wrong with the distance.
    pub(crate) fn new(every: Duration) -> Result<Self, String> {
        match interval_problem(every) {
            Some(problem) => Err(problem),
            None => Ok(Self { every_ms: u64::try_from(every.as_millis()).unwrap_or(u64::MAX), repeat: None }),
        }
    }

    /// What keeps it from being a schedule.
    pub(super) fn problem(&self) -> Option<String> {
        interval_problem(self.every())
    }

    /// With this many firings after the first.
    pub(super) fn repeated(self, count: u32) -> Self {
        Self { repeat: Some(count), ..self }
    }

    /// The distance between firings.
    pub fn every(&self) -> Duration {
        Duration::from_millis(self.every_ms)
    }

    /// How many times of the grid follow the first; none means for ever. A time that a calendar leaves out is one of them.
    pub fn repeat(&self) -> Option<u32> {
        self.repeat
    }

    pub(super) fn limit(&self) -> Option<u64> {
        self.repeat.map(|count| u64::from(count) + 1)
    }

    /// The first multiple strictly later than `after`, which is not earlier than `start`.
    pub(super) fn after(
        &self,
        start: DateTime<Utc>,
        repeat: Option<u32>,
        after: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let every = i64::try_from(self.every_ms).ok()?;
        let steps = (after - start).num_milliseconds() / every + 1;
        if repeat.is_some_and(|count| steps > i64::from(count)) {
            return None;
        }
        self.at(start, steps)
    }

    /// The last time of the grid; none for ever.
    pub(super) fn last(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let repeat = i64::from(self.repeat?);
        Some(self.at(start, repeat).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// The time so many steps after the start.
    fn at(&self, start: DateTime<Utc>, steps: i64) -> Option<DateTime<Utc>> {
        let every = i64::try_from(self.every_ms).ok()?;
        start.checked_add_signed(TimeDelta::try_milliseconds(steps.checked_mul(every)?)?)
    }
}

impl fmt::Display for IntervalSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {}", format_duration(self.every()))?;
        match self.limit() {
            Some(times) => write!(f, ", {times} times"),
            None => Ok(()),
        }
    }
}
