//! The kinds of schedule.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::cron::CronSchedule;
use super::interval::IntervalSchedule;

/// A rule that gives fire times from a start on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Schedule {
    /// One firing, at the start.
    Once,
    /// At fixed distances from the start.
    Interval(IntervalSchedule),
    /// At the times of a cron expression.
    Cron(CronSchedule),
}

impl Schedule {
    /// The first fire time at or after `start`.
    pub(super) fn first(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Once | Self::Interval(_) => Some(start),
            Self::Cron(cron) => cron.first(start),
        }
    }

    /// The first fire time strictly later than `after`.
    pub(super) fn after(&self, start: DateTime<Utc>, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if after < start {
            return self.first(start);
        }
        match self {
            Self::Once => None,
            Self::Interval(interval) => interval.after(start, after),
            Self::Cron(cron) => cron.after(after),
        }
    }

    /// After how many firings it is exhausted.
    pub(super) fn limit(&self) -> Option<u64> {
        match self {
            Self::Once => Some(1),
            Self::Interval(interval) => interval.limit(),
            Self::Cron(_) => None,
        }
    }

    /// Whether a firing at the very end of the window counts.
    pub(super) fn end_is_inclusive(&self) -> bool {
        matches!(self, Self::Cron(_))
    }
}

impl fmt::Display for Schedule {
    /// In words: `every 2s`, `at 02:00:00 in Europe/Berlin`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => f.write_str("once"),
            Self::Interval(interval) => interval.fmt(f),
            Self::Cron(cron) => cron.fmt(f),
        }
    }
}
