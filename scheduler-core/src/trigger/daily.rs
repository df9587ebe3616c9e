//! Every so many seconds, minutes or hours between two times of day, on some days of the week.
//!
//! The grid begins anew every day at the start of the window. The answers are those of Quartz's
//! `DailyTimeIntervalTrigger`.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveTime, SubsecRound, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use scheduler_syntax::format_duration;
use serde::{Deserialize, Serialize};

use super::calendar_interval::LAST_SECOND;
use super::schedule::Window;
use crate::time::zone;

/// Fires within a window of each chosen day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DailySchedule(Box<Grid>);

/// In a box, since it is much larger than the other schedules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Grid {
    every_seconds: u32,
    from: NaiveTime,
    to: NaiveTime,
    days: Vec<Weekday>,
    #[serde(with = "crate::stored::zone")]
    zone: Tz,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeat: Option<u32>,
    /// Whether `repeat` counts anew every day.
    #[serde(default)]
    per_day: bool,
}

impl DailySchedule {
    /// Every `every` (whole seconds, at least one, at most a day) of every day on the wall clock of `zone`.
    pub fn new(every: Duration, zone: Tz) -> Self {
        let every_seconds = u32::try_from(every.as_secs()).unwrap_or(u32::MAX);
        let (from, to, days) = (NaiveTime::MIN, LAST_SECOND, Vec::new());
        Self(Box::new(Grid { every_seconds, from, to, days, zone, repeat: None, per_day: false }))
    }

    /// From this time of day, whole seconds. Default: midnight.
    #[must_use]
    pub fn from(mut self, from: NaiveTime) -> Self {
        self.0.from = from.trunc_subsecs(0);
        self
    }

    /// To this time of day, which may still fire. Default: the last second of the day.
    #[must_use]
    pub fn to(mut self, to: NaiveTime) -> Self {
        self.0.to = to.trunc_subsecs(0);
        self
    }

    /// Only on these days of the week. Default: all.
    #[must_use]
    pub fn on(mut self, days: &[Weekday]) -> Self {
        self.0.days = days.to_vec();
        self
    }

    /// How often to fire after the first time, in all, as in Quartz for Java. Default: for ever.
    #[must_use]
    pub fn repeat(mut self, count: u32) -> Self {
        (self.0.repeat, self.0.per_day) = (Some(count), false);
        self
    }

    /// How often to fire after the first time of each day, as in Quartz.NET.
    #[must_use]
    pub fn repeat_per_day(mut self, count: u32) -> Self {
        (self.0.repeat, self.0.per_day) = (Some(count), true);
        self
    }

    /// What keeps it from being a schedule.
    pub(super) fn problem(&self) -> Option<String> {
        match self.0.every_seconds {
            0 => return Some("the interval of a day is under a second; use at least 1s".to_owned()),
            86_401.. => {
                return Some("the interval of a day is longer than a day; use at most 24h".to_owned());
            }
            _ => {}
        }
        (self.0.from > self.0.to).then(|| {
            format!("the window of the day ends at {} before it begins at {}", self.0.to, self.0.from)
        })
    }

    pub(super) fn limit(&self) -> Option<u64> {
        self.0.repeat.filter(|_| !self.0.per_day).map(|count| u64::from(count) + 1)
    }

    pub(super) fn first(&self, window: Window) -> Option<DateTime<Utc>> {
        self.after(window, window.start - TimeDelta::seconds(1))
    }

    pub(super) fn in_zone(mut self, zone: Tz) -> Self {
        self.0.zone = zone;
        self
    }

    pub(super) fn after(&self, window: Window, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let earliest = (after + TimeDelta::seconds(1)).max(window.start);
        let past = earliest > self.at(earliest, self.last_of_day());
        let time = self.on_a_chosen_day(window, earliest, past)?;
        let (begin, end) = (self.at(time, self.0.from), self.at(time, self.last_of_day()));
        if time < begin {
            return Some(begin);
        }
        let every = i64::from(self.0.every_seconds);
        let seconds = (time - begin).num_milliseconds() / 1000;
        let steps = seconds / every + i64::from(seconds % every != 0);
        let time = begin + TimeDelta::seconds(steps * every);
        if time <= end {
            return Some(time);
        }
        let same_day = zone::civil(self.0.zone, time).date() == zone::civil(self.0.zone, end).date();
        self.on_a_chosen_day(window, time, same_day).map(|day| self.at(day, self.0.from))
    }

    /// The end of the window, or the last firing that the count per day leaves.
    fn last_of_day(&self) -> NaiveTime {
        let Some(count) = self.0.repeat.filter(|_| self.0.per_day) else { return self.0.to };
        let span = TimeDelta::seconds(i64::from(count) * i64::from(self.0.every_seconds));
        let (last, wrapped) = self.0.from.overflowing_add_signed(span);
        if wrapped == 0 { last.min(self.0.to) } else { self.0.to }
    }

    /// The time itself if its day is chosen and it need not move on, else the start of the window of the next such day.
    fn on_a_chosen_day(&self, window: Window, time: DateTime<Utc>, advance: bool) -> Option<DateTime<Utc>> {
        let chosen = |time: DateTime<Utc>| {
            self.0.days.is_empty() || self.0.days.contains(&zone::civil(self.0.zone, time).weekday())
        };
        let mut found = time;
        if advance || !chosen(self.at(time, self.0.from)) {
            let today = zone::civil(self.0.zone, time).date();
            let later = (1..=7).filter_map(|days| today.checked_add_days(Days::new(days)));
            let mut mornings = later.map(|day| zone::instant(self.0.zone, day.and_time(self.0.from)));
            found = mornings.find(|morning| chosen(*morning))?;
        }
        Some(found).filter(|time| window.end.is_none_or(|end| *time <= end))
    }

    /// A time of day on the day of an instant.
    fn at(&self, day: DateTime<Utc>, time: NaiveTime) -> DateTime<Utc> {
        zone::instant(self.0.zone, zone::civil(self.0.zone, day).date().and_time(time))
    }
}

impl fmt::Display for DailySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every = format_duration(Duration::from_secs(u64::from(self.0.every_seconds)));
        write!(f, "every {every} from {} to {}", self.0.from.format("%H:%M"), self.0.to.format("%H:%M"))?;
        if !self.0.days.is_empty() {
            let days: Vec<_> = self.0.days.iter().map(ToString::to_string).collect();
            write!(f, " on {}", days.join(", "))?;
        }
        write!(f, " ({})", self.0.zone.name())
    }
}
