//! The kinds of schedule.

use std::fmt;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_syntax::DstPolicy;
use serde::{Deserialize, Serialize};

use super::calendar_interval::CalendarIntervalSchedule;
use super::cron::CronSchedule;
use super::daily::DailySchedule;
use super::interval::IntervalSchedule;
use super::recurrence::RecurrenceSchedule;
use super::union::UnionSchedule;

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
    /// By a recurrence rule of RFC 5545.
    Recurrence(RecurrenceSchedule),
    /// Whenever one of several schedules fires.
    Union(UnionSchedule),
}

/// A search for fire times on the wall clock of a zone ends with this year, as in Quartz.
pub(super) const LAST_YEAR: i32 = 2299;

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

    /// The time, unless the window has ended before it.
    pub(super) fn to_end(self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.end.is_none_or(|end| time <= end).then_some(time)
    }

    /// The instant from which a search for the first fire time asks what comes later.
    pub(super) fn before_start(self) -> DateTime<Utc> {
        self.start.checked_sub_signed(TimeDelta::milliseconds(1)).unwrap_or(self.start)
    }

    /// The instant after which to search for what is later than `after` and not before the start; none after the last
    /// year.
    pub(super) fn opened(self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(after.max(self.before_start())).filter(|after| after.year() <= LAST_YEAR)
    }
}

impl Schedule {
    /// The first fire time.
    pub(super) fn first(&self, window: Window) -> Option<DateTime<Utc>> {
        match self {
            // A trigger that counts from its start fires there, also where the window has no length.
            Self::Once | Self::Interval(_) | Self::CalendarInterval(_) => Some(window.start),
            Self::Union(union) => union.first(window),
            Self::Cron(_) | Self::Daily(_) | Self::Recurrence(_) => {
                self.after(window, None, window.before_start())
            }
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
            Self::Recurrence(rule) => return rule.after(window, after),
            Self::Union(union) => return union.after(window, after),
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

    /// A time that no firing passes, the last one where firings are counted; none if the schedule goes on for ever.
    pub(super) fn ends(&self, window: Window) -> Option<DateTime<Utc>> {
        let own = match self {
            Self::Once => Some(window.start),
            Self::Interval(interval) => interval.last(window.start),
            Self::Cron(cron) => cron.ends(),
            Self::CalendarInterval(_) => None,
            Self::Daily(daily) => daily.limit().and_then(|firings| daily.last_of(window, firings)),
            Self::Recurrence(rule) => rule.ends(window),
            Self::Union(union) => union.ends(window),
        };
        own.into_iter().chain(window.end).min()
    }

    /// Whether its count is one of firings, which a calendar stretches. Those of an interval are numbers of its grid.
    pub(super) fn counts_firings(&self) -> bool {
        matches!(self, Self::Daily(_) | Self::Recurrence(_)) && self.repeat().is_some()
    }

    /// How often it fires after the first time; none for ever.
    pub(super) fn repeat(&self) -> Option<u32> {
        match self {
            Self::Once => Some(0),
            Self::Interval(interval) => interval.repeat(),
            Self::Daily(daily) => daily.limit().and_then(|limit| u32::try_from(limit - 1).ok()),
            Self::Recurrence(rule) => rule.rule().count().map(|count| count - 1),
            Self::Cron(_) | Self::CalendarInterval(_) | Self::Union(_) => None,
        }
    }

    /// What keeps it from being a schedule.
    pub(crate) fn problem(&self) -> Option<String> {
        match self {
            Self::Daily(daily) => daily.problem(),
            Self::Union(union) => union.problem(),
            Self::CalendarInterval(interval) => interval.problem(),
            Self::Interval(interval) => interval.problem(),
            Self::Once | Self::Cron(_) | Self::Recurrence(_) => None,
        }
    }

    /// The end that the rule itself names: `UNTIL`, or the last year of a cron expression.
    pub(super) fn expires(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.ends(),
            Self::Recurrence(rule) => rule.until(),
            Self::Union(union) => union.expires(),
            Self::Once | Self::Interval(_) | Self::CalendarInterval(_) | Self::Daily(_) => None,
        }
    }

    /// The zone whose wall clock it reads; none if it reads none, or its parts read their own.
    pub(super) fn zone(&self) -> Option<Tz> {
        match self {
            Self::Once | Self::Interval(_) | Self::Union(_) => None,
            Self::Cron(cron) => Some(cron.zone()),
            Self::CalendarInterval(interval) => Some(interval.zone()),
            Self::Daily(daily) => Some(daily.zone()),
            Self::Recurrence(rule) => Some(rule.zone()),
        }
    }
}

impl Schedule {
    /// On the wall clock of another zone; none if no part of it reads one.
    pub(super) fn in_zone(self, zone: Tz) -> Option<Self> {
        Some(match self {
            Self::Once | Self::Interval(_) | Self::Union(_) => return None,
            Self::Cron(cron) => Self::Cron(cron.in_zone(zone)),
            Self::CalendarInterval(interval) => Self::CalendarInterval(interval.in_zone(zone)),
            Self::Daily(daily) => Self::Daily(daily.in_zone(zone)),
            Self::Recurrence(rule) => Self::Recurrence(rule.in_zone(zone)),
        })
    }

    /// With this choice where clocks change; none if it has no such choice.
    pub(super) fn with_dst(self, dst: DstPolicy) -> Option<Self> {
        match self {
            Self::Cron(cron) => Some(Self::Cron(cron.with_dst(dst))),
            Self::Recurrence(rule) => Some(Self::Recurrence(rule.with_dst(dst))),
            _ => None,
        }
    }

    /// With this many firings after the first; none if it cannot be limited so.
    pub(super) fn repeated(self, count: u32) -> Option<Self> {
        match self {
            Self::Interval(interval) => Some(Self::Interval(interval.repeated(count))),
            Self::Daily(daily) => Some(Self::Daily(daily.repeat(count))),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($kind:ident($schedule:ty),)*) => {$(
        impl From<$schedule> for Schedule {
            fn from(schedule: $schedule) -> Self {
                Self::$kind(schedule)
            }
        }
    )*};
}

from! {
    Interval(IntervalSchedule),
    Cron(CronSchedule),
    CalendarInterval(CalendarIntervalSchedule),
    Daily(DailySchedule),
    Recurrence(RecurrenceSchedule),
    Union(UnionSchedule),
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
            Self::Recurrence(rule) => rule.fmt(f),
            Self::Union(union) => union.fmt(f),
        }
    }
}
