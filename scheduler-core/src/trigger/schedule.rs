//! The kinds of schedule.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::calendar_interval::CalendarIntervalSchedule;
use super::cron::CronSchedule;
use super::daily::DailySchedule;
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
    /// Every so many units of the calendar.
    CalendarInterval(CalendarIntervalSchedule),
    /// Within a window of each chosen day.
    Daily(DailySchedule),
}

/// The time that a trigger lives in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: DateTime<Utc>,
    pub(super) end: Option<DateTime<Utc>>,
}

impl Window {
    /// The time, unless the window has ended by then.
    fn before_end(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.end.is_none_or(|end| time < end).then_some(time)
    }
}

impl Schedule {
    /// The first fire time.
    pub(super) fn first(&self, window: Window) -> Option<DateTime<Utc>> {
        match self {
            // A trigger that counts from its start fires there, also where the window has no length.
            Self::Once | Self::Interval(_) | Self::CalendarInterval(_) => Some(window.start),
            Self::Cron(cron) => cron.first(window),
            Self::Daily(daily) => daily.first(window),
        }
    }

    /// The first fire time strictly later than `after`. `repeat` is how often it fires after the first time.
    pub(super) fn after(
        &self,
        window: Window,
        repeat: Option<u32>,
        after: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => return cron.after(window, after),
            Self::Daily(daily) => return daily.after(window, after),
            _ if after < window.start => {
                return window.end.is_none_or(|end| after < end).then_some(window.start);
            }
            _ => {}
        }
        let time = match self {
            Self::Interval(interval) => interval.after(window.start, repeat, after),
            Self::CalendarInterval(interval) => interval.after(window, after),
            _ => None,
        };
        time.and_then(|time| window.before_end(time))
    }

    /// How often it fires after the first time; none for ever.
    pub(super) fn repeat(&self) -> Option<u32> {
        match self {
            Self::Once => Some(0),
            Self::Interval(interval) => interval.repeat(),
            Self::Daily(daily) => daily.limit().and_then(|limit| u32::try_from(limit - 1).ok()),
            Self::Cron(_) | Self::CalendarInterval(_) => None,
        }
    }

    /// What keeps it from being a schedule.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Daily(daily) => daily.problem(),
            Self::CalendarInterval(interval) if interval.every() == 0 => {
                Some("the calendar interval is 0; use at least 1".to_owned())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Schedule {
    /// In words: `every 2s`, `at 02:00:00 in Europe/Berlin`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => f.write_str("once"),
            Self::Interval(interval) => interval.fmt(f),
            Self::Cron(cron) => cron.fmt(f),
            Self::CalendarInterval(interval) => interval.fmt(f),
            Self::Daily(daily) => daily.fmt(f),
        }
    }
}
