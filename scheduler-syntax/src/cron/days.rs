//! Which days of a month match: the two day fields as one bit set per month.

use crate::bits::members;
use crate::wall::{days_in_month, first_weekday};

/// All weekdays, bit 0 for Sunday.
pub(super) const WHOLE_WEEK: u8 = 0x7f;
/// All days of a month, bit n for day n.
pub(super) const WHOLE_MONTH: u32 = 0xffff_fffe;

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
    /// Both fields of the Unix form say something.
    Joined(Joined),
}

/// Days of the month, plain and special. A special day that a month does not have is left out.
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

/// Days of the month and of the week together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) of_month: u32,
    pub(super) of_week: u8,
    /// One of the two is enough; otherwise both must match.
    pub(super) either: bool,
}

impl Days {
    /// The matching days of a month, bit n for day n.
    pub(super) fn in_month(&self, year: i32, month: u32) -> u32 {
        let length = days_in_month(year, month);
        let all = WHOLE_MONTH & (u32::MAX >> (31 - length));
        let first = || first_weekday(year, month);
        match self {
            Self::OfMonth(days) if days.is_plain() => days.plain & all,
            Self::OfMonth(days) => days.in_month(first(), length, all),
            Self::OfWeek(WHOLE_WEEK) => all,
            Self::OfWeek(set) => weekly_set(first(), *set) & all,
            Self::LastOfWeek(weekday) => {
                let matching = weekly(first(), u32::from(*weekday)) & all;
                1 << (31 - matching.leading_zeros())
            }
            Self::Nth(weekday, nth) => nth_weekday(first(), u32::from(*weekday), u32::from(*nth)) & all,
            Self::Joined(days) => {
                let of_week = weekly_set(first(), days.of_week);
                all & if days.either { days.of_month | of_week } else { days.of_month & of_week }
            }
        }
    }
}

impl MonthDays {
    /// Whether there is no special day in it.
    pub(super) fn is_plain(&self) -> bool {
        self.before_last | self.weekday_before_last | self.near == 0
    }

    fn in_month(&self, first: u32, length: u32, all: u32) -> u32 {
        let from_end =
            |set: u32| members(u64::from(set)).filter(move |n| *n < length).map(move |n| length - n);
        let last = from_end(self.before_last).map(|day| 1 << day);
        let near = from_end(self.weekday_before_last)
            .chain(members(u64::from(self.near)).filter(|day| *day <= length))
            .map(|day| nearest_weekday(day, first, length));
        (self.plain & all) | last.chain(near).fold(0, |days, day| days | day)
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

/// As [`weekly`], for several weekdays.
fn weekly_set(first: u32, weekdays: u8) -> u32 {
    members(u64::from(weekdays)).fold(0, |days, weekday| days | weekly(first, weekday))
}

/// The `nth` day that falls on `weekday`; nothing if it lies far beyond the end of the month.
fn nth_weekday(first: u32, weekday: u32, nth: u32) -> u32 {
    let day = 1 + (7 + weekday - first) % 7 + 7 * (nth - 1);
    1_u32.checked_shl(day).unwrap_or(0)
}
