//! Dates as numbers: a civil time is counted in seconds from 1970-01-01 00:00 of the same wall clock.
//!
//! The search only adds, divides and looks at bits, so it needs no date type. The two conversions are those of Howard
//! Hinnant, <https://howardhinnant.github.io/date_algorithms.html>, for the proleptic Gregorian calendar.

/// Seconds of a day on a clock that nobody sets.
pub(crate) const DAY: i64 = 86_400;

/// A date by its parts, months and days from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: i32,
    pub(crate) month: u32,
    pub(crate) day: u32,
}

impl Date {
    /// The date so many days after 1970-01-01.
    pub(crate) fn of_day_number(days: i64) -> Self {
        // Years begin in March here, so that the leap day is the last of its year.
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097) as u32;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era as i32 * 400 + year_of_era as i32 + i32::from(month <= 2);
        Self { year, month, day }
    }

    /// How many days it is after 1970-01-01.
    pub(crate) fn day_number(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let of_year = i64::from((153 * from_march + 2) / 5 + self.day - 1);
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }
}

/// The weekday on which a month begins, from 0 = Sunday.
pub(crate) fn first_weekday(year: i32, month: u32) -> u32 {
    // 1970-01-01 was a Thursday.
    (Date { year, month, day: 1 }.day_number() + 4).rem_euclid(7) as u32
}

/// How many days a month has.
pub(crate) fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn every_day_of_the_range_is_the_one_that_chrono_says() {
        let mut date = NaiveDate::from_ymd_opt(1969, 1, 1).unwrap();
        for number in -365..84_100 {
            let ours = Date { year: date.year(), month: date.month(), day: date.day() };
            assert_eq!(Date::of_day_number(number), ours);
            assert_eq!(ours.day_number(), number);
            if ours.day == 1 {
                assert_eq!(first_weekday(ours.year, ours.month), date.weekday().num_days_from_sunday());
                assert_eq!(days_in_month(ours.year, ours.month), u32::from(date.num_days_in_month()));
            }
            date = date.succ_opt().unwrap();
        }
    }
}
