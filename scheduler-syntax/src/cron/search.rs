//! The civil times of an expression: the next and the previous one, without any zone.
//!
//! A search looks for a day first and for a time of day then. Days are found month by month: the sets of years and
//! months say where to jump, and one bit set per month which of its days match. So the 29th of February costs four
//! steps, and an expression ends at the latest after the last year.

use chrono::{DateTime, NaiveDateTime, Timelike};

use super::expr::{CronExpr, Parts};
use super::years::{FIRST_YEAR, LAST_YEAR, Years};
use crate::bits::{highest, lowest};
use crate::wall::{DAY, Date};

impl CronExpr {
    /// Whether the expression matches this civil time, to the second.
    pub fn matches_civil(&self, time: NaiveDateTime) -> bool {
        let second = seconds_of(time);
        self.parts().first_from(second) == Some(second)
    }

    /// The first matching civil time that is later than `time`, by whole seconds. None after the year 2199.
    ///
    /// The fraction of `time` is cut off: the search begins at the next whole second.
    pub fn next_civil_after(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        self.parts().first_from(seconds_of(time) + 1).and_then(civil_at)
    }

    /// The first matching civil time that is not earlier than `time`. None after the year 2199.
    pub fn next_civil_at_or_after(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        self.parts().first_from(seconds_rounded_up(time)).and_then(civil_at)
    }

    /// The last matching civil time that is earlier than `time`. None before the year 1970.
    pub fn previous_civil_before(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        self.parts().last_to(seconds_rounded_up(time) - 1).and_then(civil_at)
    }

    /// The first civil time at or after `time`, to the second, that does not match; where a search for it must look no
    /// further than a day, the time from which to go on.
    ///
    /// Stretches that match as a whole are passed over in one step.
    pub fn next_civil_without(&self, time: NaiveDateTime) -> NaiveDateTime {
        let parts = self.parts();
        let from = seconds_rounded_up(time);
        // The largest unit of which the fields below say nothing.
        let unit = match (parts.seconds, parts.minutes, parts.hours) {
            (EVERY_SIXTIETH, EVERY_SIXTIETH, EVERY_HOUR) => DAY,
            (EVERY_SIXTIETH, EVERY_SIXTIETH, _) => 3600,
            (EVERY_SIXTIETH, ..) => 60,
            _ => 1,
        };
        let matches = |second: &i64| parts.first_from(*second) == Some(*second);
        let mut boundaries =
            std::iter::successors(Some(from), |second| Some((second.div_euclid(unit) + 1) * unit));
        let found = boundaries.find(|second| *second >= from + DAY || !matches(second));
        found.and_then(civil_at).unwrap_or(time)
    }
}

const EVERY_SIXTIETH: u64 = (1 << 60) - 1;
const EVERY_HOUR: u64 = (1 << 24) - 1;

fn seconds_of(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp()
}

fn seconds_rounded_up(time: NaiveDateTime) -> i64 {
    seconds_of(time) + i64::from(time.nanosecond() > 0)
}

fn civil_at(seconds: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp(seconds, 0)?.naive_utc())
}

impl Parts {
    /// The first matching second at or after `from`, counted as in [`wall`](crate::wall).
    pub(super) fn first_from(&self, from: i64) -> Option<i64> {
        let (day, second) = (from.div_euclid(DAY), from.rem_euclid(DAY));
        let found = self.day_from(day)?;
        if found > day {
            return Some(found * DAY + self.time_from(0)?);
        }
        match self.time_from(second) {
            Some(time) => Some(day * DAY + time),
            None => Some(self.day_from(day + 1)? * DAY + self.time_from(0)?),
        }
    }

    /// The last matching second at or before `to`.
    pub(super) fn last_to(&self, to: i64) -> Option<i64> {
        let (day, second) = (to.div_euclid(DAY), to.rem_euclid(DAY));
        let found = self.day_to(day)?;
        if found < day {
            return Some(found * DAY + self.time_to(DAY - 1)?);
        }
        match self.time_to(second) {
            Some(time) => Some(day * DAY + time),
            None => Some(self.day_to(day - 1)? * DAY + self.time_to(DAY - 1)?),
        }
    }

    /// Whether no date at all matches. Asked once, when an expression is made.
    pub(super) fn has_no_date(&self) -> bool {
        // Every kind of month comes within 28 years: each length, beginning on each weekday.
        let last_year = if self.years == Years::ALL { FIRST_YEAR + 27 } else { LAST_YEAR };
        self.day_within(0, last_year).is_none()
    }

    /// The number of the first matching day at or after `from`.
    fn day_from(&self, from: i64) -> Option<i64> {
        if self.never { None } else { self.day_within(from, LAST_YEAR) }
    }

    fn day_within(&self, from: i64, last_year: i32) -> Option<i64> {
        let Date { mut year, mut month, mut day } = Date::of_day_number(from);
        loop {
            let allowed = self.years.at_or_after(year).filter(|year| *year <= last_year)?;
            if allowed > year {
                (year, month, day) = (allowed, 1, 1);
            }
            let Some(next) = lowest(self.months, month) else {
                (year, month, day) = (year + 1, 1, 1);
                continue;
            };
            if next > month {
                (month, day) = (next, 1);
            }
            if let Some(day) = lowest(u64::from(self.days.in_month(year, month)), day) {
                return Some(Date { year, month, day }.day_number());
            }
            (month, day) = (month + 1, 1);
        }
    }

    /// The number of the last matching day at or before `to`.
    fn day_to(&self, to: i64) -> Option<i64> {
        if self.never {
            return None;
        }
        let Date { mut year, mut month, mut day } = Date::of_day_number(to);
        loop {
            let allowed = self.years.at_or_before(year)?;
            if allowed < year {
                (year, month, day) = (allowed, 12, 31);
            }
            let Some(next) = highest(self.months, month) else {
                (year, month, day) = (year - 1, 12, 31);
                continue;
            };
            if next < month {
                (month, day) = (next, 31);
            }
            if let Some(day) = highest(u64::from(self.days.in_month(year, month)), day) {
                return Some(Date { year, month, day }.day_number());
            }
            (month, day) = (month - 1, 31);
        }
    }

    /// The first matching time of day at or after `from`, in seconds from midnight.
    fn time_from(&self, from: i64) -> Option<i64> {
        let (hour, minute, second) = clock(from);
        if self.hours & (1 << hour) != 0 {
            if self.minutes & (1 << minute) != 0
                && let Some(second) = lowest(self.seconds, second)
            {
                return Some(of_clock(hour, minute, second));
            }
            if let Some(minute) = lowest(self.minutes, minute + 1) {
                return Some(of_clock(hour, minute, lowest(self.seconds, 0)?));
            }
        }
        let hour = lowest(self.hours, hour + 1)?;
        Some(of_clock(hour, lowest(self.minutes, 0)?, lowest(self.seconds, 0)?))
    }

    /// The last matching time of day at or before `to`.
    fn time_to(&self, to: i64) -> Option<i64> {
        let (hour, minute, second) = clock(to);
        if self.hours & (1 << hour) != 0 {
            if self.minutes & (1 << minute) != 0
                && let Some(second) = highest(self.seconds, second)
            {
                return Some(of_clock(hour, minute, second));
            }
            if let Some(minute) = minute.checked_sub(1).and_then(|minute| highest(self.minutes, minute)) {
                return Some(of_clock(hour, minute, highest(self.seconds, 59)?));
            }
        }
        let hour = highest(self.hours, hour.checked_sub(1)?)?;
        Some(of_clock(hour, highest(self.minutes, 59)?, highest(self.seconds, 59)?))
    }
}

/// Hour, minute and second of a second of the day.
fn clock(second: i64) -> (u32, u32, u32) {
    let second = second as u32;
    (second / 3600, second / 60 % 60, second % 60)
}

fn of_clock(hour: u32, minute: u32, second: u32) -> i64 {
    i64::from(hour * 3600 + minute * 60 + second)
}
