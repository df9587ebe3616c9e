//! What a calendar leaves out, by itself.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, SubsecRound, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use scheduler_syntax::cron::{CronError, CronExpr};
use serde::{Deserialize, Serialize};

use crate::stored::checked;
use crate::time::zone;

/// A search for an included day ends after so many: all leap days of a century, and some.
const MOST_DAYS: usize = 366 * 9;

/// A search for an included time of day ends after so many openings and settings of the clocks: some days.
const MOST_OPENINGS: usize = 16;

/// A search for a second that a cron expression leaves in ends after so many stretches of at most a day: 27 years.
const MOST_STRETCHES: usize = 10_000;

/// What is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", remote = "Self")]
#[non_exhaustive]
pub enum Exclusion {
    /// Nothing; for a calendar that only has a base.
    Nothing,
    /// Days of every year, as month and day.
    Annual {
        /// Month and day; 29 February counts in leap years.
        days: BTreeSet<(u32, u32)>,
    },
    /// Single dates.
    Holidays {
        /// The dates.
        dates: BTreeSet<NaiveDate>,
    },
    /// Days of every month, 1–31.
    Monthly {
        /// The days.
        days: BTreeSet<u32>,
    },
    /// Days of the week.
    Weekly {
        /// The days.
        days: Vec<Weekday>,
    },
    /// A range of the wall clock, both ends included, in both passes of a doubled hour. A range that begins later than
    /// it ends goes over midnight.
    Daily {
        /// Where it begins.
        from: NaiveTime,
        /// Where it ends. The whole millisecond belongs to the range.
        to: NaiveTime,
        /// Leaves out everything but the range.
        #[serde(default)]
        inverted: bool,
    },
    /// The seconds of the wall clock that a cron expression matches, in both passes of a doubled hour.
    Cron {
        /// The expression.
        #[serde(with = "crate::stored::text")]
        expression: CronExpr,
    },
}

checked!(Exclusion);

impl Exclusion {
    /// These days of every year, as month and day.
    pub fn annual(days: impl IntoIterator<Item = (u32, u32)>) -> Self {
        Self::Annual { days: days.into_iter().collect() }
    }

    /// These dates.
    pub fn holidays(dates: impl IntoIterator<Item = NaiveDate>) -> Self {
        Self::Holidays { dates: dates.into_iter().collect() }
    }

    /// These days of every month, 1–31.
    pub fn monthly(days: impl IntoIterator<Item = u32>) -> Self {
        Self::Monthly { days: days.into_iter().collect() }
    }

    /// These days of the week.
    pub fn weekly(days: &[Weekday]) -> Self {
        Self::Weekly { days: days.to_vec() }
    }

    /// The time of day from `from` to `to`, both included. From 22:00 to 06:00 is the night.
    pub fn daily(from: NaiveTime, to: NaiveTime) -> Self {
        Self::Daily { from, to, inverted: false }
    }

    /// Everything but the time of day from `from` to `to`.
    pub fn all_but(from: NaiveTime, to: NaiveTime) -> Self {
        Self::Daily { from, to, inverted: true }
    }

    /// The seconds that a cron expression matches.
    ///
    /// # Errors
    ///
    /// The text is no cron expression.
    pub fn cron(expression: &str) -> Result<Self, CronError> {
        expression.parse().map(|expression| Self::Cron { expression })
    }

    /// What keeps it from being an exclusion: a day that does not exist, or that no time is left in.
    pub(crate) fn problem(&self) -> Option<String> {
        self.impossible_day().or_else(|| {
            // What repeats, repeats from anywhere; single dates end.
            let left_in = self.next_included(DateTime::UNIX_EPOCH, Tz::UTC);
            left_in.is_none().then(|| "leaves out all time, so nothing would fire; leave some in".to_owned())
        })
    }

    fn impossible_day(&self) -> Option<String> {
        match self {
            Self::Annual { days } => {
                let in_leap_year = |(month, day): &(u32, u32)| NaiveDate::from_ymd_opt(2024, *month, *day);
                let wrong = days.iter().find(|date| in_leap_year(date).is_none());
                wrong.map(|(month, day)| {
                    format!("no year has a day {month}-{day}; use month and day, such as 12-25")
                })
            }
            Self::Monthly { days } => {
                let wrong = days.iter().find(|day| !(1..=31).contains(*day));
                wrong.map(|day| format!("no month has a day {day}; use 1-31"))
            }
            _ => None,
        }
    }

    pub(super) fn includes(&self, at: DateTime<Utc>, zone: Tz) -> bool {
        let local = zone::civil(zone, at);
        match self {
            Self::Nothing => true,
            Self::Daily { from, to, inverted } => within(local.time(), *from, *to) == *inverted,
            Self::Cron { expression } => !expression.matches_civil(local),
            _ => !self.excludes_day(local.date()),
        }
    }

    /// The first time at or after `at` that is left in.
    pub(super) fn next_included(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        if self.includes(at, zone) {
            return Some(at);
        }
        match self {
            Self::Nothing => Some(at),
            Self::Daily { .. } => self.next_time_of_day(at, zone),
            Self::Cron { .. } => self.next_second(at, zone),
            _ => self.next_day(at, zone),
        }
    }

    fn excludes_day(&self, date: NaiveDate) -> bool {
        match self {
            Self::Annual { days } => days.contains(&(date.month(), date.day())),
            Self::Holidays { dates } => dates.contains(&date),
            Self::Monthly { days } => days.contains(&date.day()),
            Self::Weekly { days } => days.contains(&date.weekday()),
            Self::Nothing | Self::Daily { .. } | Self::Cron { .. } => false,
        }
    }

    fn next_day(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let today = zone::civil(zone, at).date();
        let later = std::iter::successors(today.checked_add_days(Days::new(1)), |day| {
            day.checked_add_days(Days::new(1))
        });
        let day = later.take(MOST_DAYS).find(|day| !self.excludes_day(*day))?;
        Some(zone::start_of_day(zone, day))
    }

    /// Walks to the time of day at which what is left in begins, from one setting of the clocks to the next.
    fn next_time_of_day(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let Self::Daily { from, to, inverted } = self else { return None };
        let opens = if *inverted { *from } else { to.overflowing_add_signed(TimeDelta::milliseconds(1)).0 };
        let opens = opens.trunc_subsecs(3);
        let mut at = at;
        for _ in 0..MOST_OPENINGS {
            if self.includes(at, zone) {
                return Some(at);
            }
            let ahead = opens - zone::civil(zone, at).time();
            let ahead = if ahead > TimeDelta::zero() { ahead } else { ahead + TimeDelta::days(1) };
            at = zone::until_change(zone, at, at + ahead);
        }
        None
    }

    /// Walks from one stretch that the expression matches to the next, and from one setting of the clocks to the next.
    fn next_second(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let Self::Cron { expression } = self else { return None };
        let mut at =
            DateTime::from_timestamp(at.timestamp() + i64::from(at.timestamp_subsec_nanos() > 0), 0)?;
        for _ in 0..MOST_STRETCHES {
            let civil = zone::civil(zone, at);
            let free = expression.next_civil_without(civil);
            if free == civil && !expression.matches_civil(civil) {
                return Some(at);
            }
            at = zone::until_change(zone, at, at + (free - civil));
        }
        None
    }
}

/// Whether a time of day lies, to the millisecond, in a range that may go over midnight.
fn within(time: NaiveTime, from: NaiveTime, to: NaiveTime) -> bool {
    let (time, from, to) = (time.trunc_subsecs(3), from.trunc_subsecs(3), to.trunc_subsecs(3));
    if from <= to { from <= time && time <= to } else { from <= time || time <= to }
}
