//! Every so many seconds, minutes or hours between two times of day, on some days of the week.
//!
//! The grid begins anew with the window of every day and follows real time from there. The answers are those of Quartz's
//! `DailyTimeIntervalTrigger`, but where clocks change over the begin of a window.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use scheduler_syntax::format_duration;
use serde::{Deserialize, Serialize};

use super::schedule::{LAST_YEAR, Window};
use crate::stored::checked;
use crate::time::zone;

/// The last second of a day.
const LAST_SECOND: NaiveTime = match NaiveTime::from_hms_opt(23, 59, 59) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

/// The next window begins within so many days: a week, and another if the date of that one does not exist.
const DAYS_AHEAD: usize = 16;

/// A window that began longer ago has no firing left: a window that passes midnight ends on the next day, and a change of
/// clocks moves that end by a day at most.
const DAYS_BACK: Days = Days::new(2);

/// Fires within a window of each chosen day: where the window begins, and at every multiple of the interval from there.
///
/// * Steps are real time, so on a day of change the wall clock shows other times.
/// * A window that begins at a time of day that clocks skip begins later by the length of the gap, or right after the gap
///   if the window would be over by then. Of two times it begins at the first and ends at the second.
/// * A window that ends at a time of day that clocks skip ends later by the length of the gap, as its real time does.
/// * A window that ends before it begins passes midnight. It belongs to the day on which it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DailySchedule(Box<Grid>);

/// In a box, since it is much larger than the other schedules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
struct Grid {
    #[serde(rename = "every_seconds", with = "crate::stored::seconds")]
    every: Duration,
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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    as_quartz: bool,
}

checked!(Grid);

/// A window of one day.
struct DayWindow {
    day: NaiveDate,
    begin: DateTime<Utc>,
}

impl DailySchedule {
    /// Every `every` (whole seconds, at least one, at most a day) of every day on the wall clock of `zone`.
    pub fn new(every: Duration, zone: Tz) -> Self {
        let (from, to, days) = (NaiveTime::MIN, LAST_SECOND, Vec::new());
        let (repeat, per_day, as_quartz) = (None, false, false);
        Self(Box::new(Grid { every, from, to, days, zone, repeat, per_day, as_quartz }))
    }

    /// From this time of day, whole seconds. Default: midnight.
    #[must_use]
    pub fn from(mut self, from: NaiveTime) -> Self {
        self.0.from = from;
        self
    }

    /// To this time of day, which may still fire; on the next day if it is earlier than the begin. Default: the last second
    /// of the day.
    #[must_use]
    pub fn to(mut self, to: NaiveTime) -> Self {
        // Nothing fires within a second, so its fraction says nothing.
        self.0.to = to.with_nanosecond(0).unwrap_or(to);
        self
    }

    /// Only windows that begin on these days of the week. Default: all; an empty list chooses all as well.
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

    /// How often to fire after the first time of each window, as in Quartz.NET.
    #[must_use]
    pub fn repeat_per_day(mut self, count: u32) -> Self {
        (self.0.repeat, self.0.per_day) = (Some(count), true);
        self
    }

    /// Begins a window at the second of two times, as Quartz for Java does. Default: at the first, as a cron expression.
    #[must_use]
    pub fn as_quartz(mut self, as_quartz: bool) -> Self {
        self.0.as_quartz = as_quartz;
        self
    }

    /// What keeps it from being a schedule.
    pub(super) fn problem(&self) -> Option<String> {
        self.0.problem()
    }

    /// How many firings there are in all; none for ever.
    pub(super) fn limit(&self) -> Option<u64> {
        self.0.repeat.filter(|_| !self.0.per_day).map(|count| u64::from(count) + 1)
    }

    pub(super) fn zone(&self) -> Tz {
        self.0.zone
    }

    pub(super) fn in_zone(mut self, zone: Tz) -> Self {
        self.0.zone = zone;
        self
    }

    /// Strictly later than `after`, not before the start; the very end still counts.
    pub(super) fn after(&self, window: Window, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = window.opened(after)?;
        let (begun, next) = self.windows_around(after);
        let within = begun.and_then(|day_window| self.after_within(&day_window, after));
        let begins = next.map(|day_window| day_window.begin).filter(|begin| begin.year() <= LAST_YEAR);
        // A window is over where the next one begins, since there the grid begins anew.
        let time = within.into_iter().chain(begins).min()?;
        window.to_end(time)
    }

    /// The last of so many firings, or of those that there are. Looks at each window once, not at each firing.
    pub(super) fn last_of(&self, window: Window, firings: u64) -> Option<DateTime<Utc>> {
        let (mut left, mut last) = (i64::try_from(firings).ok()?, None);
        let mut next = self.after(window, window.before_start());
        while let Some(first) = next.filter(|_| left > 0) {
            let there = self.steps(first, self.over_after(window, first))? + 1;
            let time = self.step_on(first, there.min(left) - 1)?;
            left -= there;
            last = Some(time);
            next = self.after(window, time);
        }
        last
    }

    /// Up to when firings can follow `firing` in the same window.
    fn over_after(&self, window: Window, firing: DateTime<Utc>) -> DateTime<Utc> {
        let (begun, next) = self.windows_around(firing);
        let own = begun.and_then(|day_window| self.step_on(day_window.begin, self.last_step(&day_window)?));
        let next_begins = next.map(|next| next.begin - TimeDelta::milliseconds(1));
        own.into_iter().chain(next_begins).chain(window.end).min().unwrap_or(firing)
    }

    /// The last window that has begun by `time`, unless that is days ago, and the next one.
    fn windows_around(&self, time: DateTime<Utc>) -> (Option<DayWindow>, Option<DayWindow>) {
        let today = zone::civil(self.0.zone, time).date();
        let days = today.checked_sub_days(DAYS_BACK).unwrap_or(today).iter_days();
        let mut begun = None;
        for day_window in days.take(DAYS_AHEAD).filter_map(|day| self.window_of(day)) {
            if day_window.begin > time {
                return (begun, Some(day_window));
            }
            begun = Some(day_window);
        }
        (begun, None)
    }

    /// The window of a day; none if the day is not chosen or does not exist.
    fn window_of(&self, day: NaiveDate) -> Option<DayWindow> {
        if !self.0.days.is_empty() && !self.0.days.contains(&day.weekday()) {
            return None;
        }
        let (zone, civil) = (self.0.zone, day.and_time(self.0.from));
        let begin = if self.0.as_quartz { zone::instant } else { zone::first_instant }(zone, civil);
        if zone::civil(zone, begin) == civil {
            return Some(DayWindow { day, begin });
        }
        let over = begin > self.end_of(day);
        let begin = if over { zone::first_of_offset(zone, begin) } else { begin };
        zone::has_date(zone, day).then_some(DayWindow { day, begin })
    }

    /// Where the window of a day ends.
    fn end_of(&self, day: NaiveDate) -> DateTime<Utc> {
        let last_day = if self.0.to < self.0.from { day.succ_opt().unwrap_or(day) } else { day };
        zone::instant(self.0.zone, last_day.and_time(self.0.to))
    }

    /// The first firing of a window that has begun by `after`.
    fn after_within(&self, day_window: &DayWindow, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let step = self.steps(day_window.begin, after)? + 1;
        if step > self.last_step(day_window)? { None } else { self.step_on(day_window.begin, step) }
    }

    /// The number of the last firing of a window, from 0.
    fn last_step(&self, day_window: &DayWindow) -> Option<i64> {
        let last = self.steps(day_window.begin, self.end_of(day_window.day))?;
        let counted = self.0.repeat.filter(|_| self.0.per_day);
        Some(counted.map_or(last, |count| last.min(i64::from(count))))
    }

    /// How many whole steps lie between two instants.
    fn steps(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<i64> {
        (to - from).num_seconds().checked_div(self.step_seconds()?)
    }

    fn step_seconds(&self) -> Option<i64> {
        i64::try_from(self.0.every.as_secs()).ok()
    }

    fn step_on(&self, from: DateTime<Utc>, steps: i64) -> Option<DateTime<Utc>> {
        let seconds = steps.checked_mul(self.step_seconds()?)?;
        from.checked_add_signed(TimeDelta::try_seconds(seconds)?)
    }
}

impl Grid {
    fn problem(&self) -> Option<String> {
        let every = format_duration(self.every);
        if self.every < Duration::from_secs(1) {
            return Some(format!("the interval of a day is {every}; use at least 1s"));
        }
        if self.every > Duration::from_secs(86_400) {
            return Some(format!("the interval of a day is {every}; use at most 24h"));
        }
        if self.every.subsec_nanos() != 0 {
            return Some(format!("the interval of a day is {every}; use whole seconds"));
        }
        let from = self.from;
        (from.nanosecond() != 0).then(|| format!("the window begins at {from}; use whole seconds"))
    }
}

impl fmt::Display for DailySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every = format_duration(self.0.every);
        write!(f, "every {every} from {} to {}", self.0.from.format("%H:%M"), self.0.to.format("%H:%M"))?;
        if !self.0.days.is_empty() {
            let days: Vec<_> = self.0.days.iter().map(ToString::to_string).collect();
            write!(f, " on {}", days.join(", "))?;
        }
        write!(f, " ({})", self.0.zone.name())
    }
}
