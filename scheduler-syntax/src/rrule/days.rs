//! Which days a rule allows.

use super::rule::{Frequency, Parts};
use crate::wall::{Date, days_in_month};

/// The weekday of a day number, from 0 = Sunday.
pub(super) fn weekday(day: i64) -> u32 {
    // 1970-01-01 was a Thursday.
    (day + 4).rem_euclid(7) as u32
}

/// The first day of the week of `day`, for weeks that begin on `start`.
pub(super) fn week_of(day: i64, start: u32) -> i64 {
    day - i64::from((7 + weekday(day) - start) % 7)
}

impl Parts {
    /// Whether every part about days allows this one.
    pub(super) fn allows(&self, day: i64) -> bool {
        let date = Date::of_day_number(day);
        (self.months == 0 || self.months & (1 << date.month) != 0)
            && self.allows_weekday(day, date)
            && self.allows_month_day(date)
            && self.allows_year_day(day, date.year)
            && self.allows_week(day)
    }

    fn allows_weekday(&self, day: i64, date: Date) -> bool {
        if self.weekdays == 0 && self.nth_weekdays.is_empty() {
            return true;
        }
        let weekday = weekday(day);
        self.weekdays & (1 << weekday) != 0
            || self
                .nth_weekdays
                .iter()
                .any(|(nth, wanted)| *wanted == weekday && self.is_nth(*nth, day, date))
    }

    /// Whether this day is the n-th of its weekday, in its month or its year.
    fn is_nth(&self, nth: i32, day: i64, date: Date) -> bool {
        let whole_year = self.frequency == Frequency::Yearly && self.months == 0;
        let (before, after) = if whole_year {
            (day - first_of_year(date.year), first_of_year(date.year + 1) - 1 - day)
        } else {
            (i64::from(date.day) - 1, i64::from(days_in_month(date.year, date.month) - date.day))
        };
        i64::from(nth) == if nth > 0 { before / 7 + 1 } else { -(after / 7 + 1) }
    }

    fn allows_month_day(&self, date: Date) -> bool {
        let (day, length) = (date.day as i32, days_in_month(date.year, date.month) as i32);
        self.month_days.is_empty() || self.month_days.iter().any(|wanted| is_nth_of(*wanted, day, length))
    }

    fn allows_year_day(&self, day: i64, year: i32) -> bool {
        if self.year_days.is_empty() {
            return true;
        }
        let first = first_of_year(year);
        let (number, length) = ((day - first + 1) as i32, (first_of_year(year + 1) - first) as i32);
        self.year_days.iter().any(|wanted| is_nth_of(*wanted, number, length))
    }

    /// Week 1 is the first with at least four days in its year, as in ISO 8601.
    fn allows_week(&self, day: i64) -> bool {
        if self.weeks.is_empty() {
            return true;
        }
        let week = week_of(day, self.week_start);
        // A week belongs to the year of its fourth day.
        let year = Date::of_day_number(week + 3).year;
        let first = |year| week_of(first_of_year(year) + 3, self.week_start);
        let (number, count) = ((week - first(year)) / 7 + 1, (first(year + 1) - first(year)) / 7);
        self.weeks.iter().any(|wanted| is_nth_of(*wanted, number as i32, count as i32))
    }
}

/// Whether `number` of `count` is the wanted one, which may be counted from the end.
fn is_nth_of(wanted: i32, number: i32, count: i32) -> bool {
    wanted == if wanted > 0 { number } else { number - count - 1 }
}

pub(super) fn first_of_year(year: i32) -> i64 {
    Date { year, month: 1, day: 1 }.day_number()
}
