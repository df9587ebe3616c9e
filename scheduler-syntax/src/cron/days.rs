//! Which days of a month match: the two day fields as a bit set per month.

use chrono::{Datelike, NaiveDate};

/// The wish of the two day fields. Weekdays are numbers from 0 = Sunday in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Days {
    /// Of the month: bit n for day n, and special days.
    OfMonth(MonthDays),
    /// Of the week: bit n for weekday n.
    OfWeek(u8),
    /// The last such weekday of the month.
    LastOfWeek(u8),
    /// The k-th such weekday of the month.
    Nth(u8, u8),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MonthDays {
    pub(super) plain: u32,
    /// Bit n: n days before the last one.
    pub(super) before_last: u32,
    /// Bit n: the weekday nearest to n days before the last one.
    pub(super) weekday_before_last: u32,
    /// Bit n: the weekday nearest to day n.
    pub(super) near: u32,
}

impl Days {
    /// The matching days of a month, bit n for day n.
    pub(super) fn in_month(&self, year: i32, month: u32) -> u32 {
        let length = days_in_month(year, month);
        let all = ((1_u64 << (length + 1)) - 2) as u32;
        match self {
            Self::OfMonth(days) if days.is_plain() => days.plain & all,
            Self::OfMonth(days) => days.in_month(first_weekday(year, month), length, all),
            Self::OfWeek(0x7f) => all,
            Self::OfWeek(set) => {
                let first = first_weekday(year, month);
                bits(u32::from(*set)).fold(0, |days, weekday| days | weekly(first, weekday)) & all
            }
            Self::LastOfWeek(weekday) => {
                let matching = weekly(first_weekday(year, month), u32::from(*weekday)) & all;
                1 << (31 - matching.leading_zeros())
            }
            Self::Nth(weekday, nth) => {
                let first = first_weekday(year, month);
                let day = 1 + (7 + u32::from(*weekday) - first) % 7 + 7 * (u32::from(*nth) - 1);
                1_u32.checked_shl(day).unwrap_or(0) & all
            }
        }
    }
}

impl MonthDays {
    fn is_plain(&self) -> bool {
        self.before_last | self.weekday_before_last | self.near == 0
    }

    fn in_month(&self, first: u32, length: u32, all: u32) -> u32 {
        let last = bits(self.before_last).filter(|n| *n < length).map(|n| 1 << (length - n));
        let near_last = bits(self.weekday_before_last)
            .filter(|n| *n < length)
            .map(|n| nearest_weekday(length - n, first, length));
        let near =
            bits(self.near).filter(|day| *day <= length).map(|day| nearest_weekday(day, first, length));
        (self.plain & all) | last.chain(near_last).chain(near).fold(0, |days, day| days | day)
    }
}

/// Bit of the day from Monday to Friday that is nearest to `day` without leaving the month.
fn nearest_weekday(day: u32, first: u32, length: u32) -> u32 {
    let moved = match (first + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    };
    1 << moved
}

/// All days that fall on `weekday` in a month that begins on weekday `first`; some may lie beyond its end.
fn weekly(first: u32, weekday: u32) -> u32 {
    const SEVENTH: u32 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
    SEVENTH << (1 + (7 + weekday - first) % 7)
}

fn bits(mut set: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros())?;
        set &= set - 1;
        Some(bit)
    })
}

fn first_weekday(year: i32, month: u32) -> u32 {
    NaiveDate::from_ymd_opt(year, month, 1).map_or(0, |date| date.weekday().num_days_from_sunday())
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
