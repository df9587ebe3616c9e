//! Expressions in plain English.
//!
//! A few times of day are listed; many become `every 5 minutes` with the hours in which that holds. Days, months and
//! years follow, each only if it says something. The words are for people: what is compared and stored is the
//! normalised text. They are made from the parsed sets, so they say what will happen, not how it was written.

use super::days::{Days, Joined, MonthDays, WHOLE_MONTH, WHOLE_WEEK};
use super::expr::{CronExpr, Parts};
use super::years::Years;
use crate::bits::members;
use words::{before_last, every, in_runs, listed, ordinal, runs, step_of};

mod words;

const MONTH_NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAY_NAMES: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// As many times of day are listed one by one.
const MOST_TIMES: usize = 4;

impl CronExpr {
    /// The expression in plain English, such as `at 02:30, Monday to Friday`.
    ///
    /// ```
    /// use scheduler_syntax::cron::CronExpr;
    ///
    /// let expr = CronExpr::parse("0 0/15 8-17 ? * 6L")?;
    /// let words = "every 15 minutes, between 08:00 and 17:59, on the last Friday of the month";
    /// assert_eq!(expr.describe(), words);
    /// # Ok::<(), scheduler_syntax::cron::CronError>(())
    /// ```
    pub fn describe(&self) -> String {
        let parts = self.parts();
        let pieces = [Some(parts.time()), parts.on_days(), parts.in_months(), parts.in_years()];
        pieces.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Parts {
    fn time(&self) -> String {
        let [seconds, minutes, hours] = [self.seconds, self.minutes, self.hours].map(numbers);
        if seconds.len() * minutes.len() * hours.len() <= MOST_TIMES {
            return format!("at {}", listed(&clock_times(&hours, &minutes, &seconds)));
        }
        let on_the_hour = minutes == [0] && seconds == [0];
        if on_the_hour && hours.len() > 1 {
            return on_hours(&hours);
        }
        let mut pieces = Vec::new();
        if seconds != [0] {
            pieces.push(every(&seconds, 60, "second", (minutes.len() == 60).then_some("minute")));
        }
        if minutes.len() < 60 || seconds == [0] {
            pieces.push(every(&minutes, 60, "minute", (hours.len() == 24).then_some("hour")));
        }
        pieces.extend(within_hours(&hours));
        pieces.join(", ")
    }

    fn on_days(&self) -> Option<String> {
        match &self.days {
            Days::OfMonth(days) => days.in_words().map(|days| format!("on {days} of the month")),
            Days::OfWeek(set) => weekdays_in_words(*set),
            Days::LastOfWeek(day) => Some(format!("on the last {} of the month", weekday(u32::from(*day)))),
            Days::Nth(day, nth) => {
                let nth = ordinal(u32::from(*nth));
                Some(format!("on the {nth} {} of the month", weekday(u32::from(*day))))
            }
            Days::Joined(days) => Some(days.in_words()),
        }
    }

    fn in_months(&self) -> Option<String> {
        let months = numbers(self.months);
        let name = |month: u32| MONTH_NAMES[month as usize - 1].to_owned();
        (months.len() < MONTH_NAMES.len()).then(|| format!("in {}", in_runs(&months, name)))
    }

    fn in_years(&self) -> Option<String> {
        if self.years == Years::ALL {
            return None;
        }
        let years: Vec<u32> = self.years.iter().map(|year| year as u32).collect();
        match step_of(&years) {
            Some(step) if step > 1 && years.len() > MOST_TIMES => {
                let (first, last) = (years[0], years[years.len() - 1]);
                Some(format!("every {} year from {first} to {last}", ordinal(step)))
            }
            _ => Some(format!("in {}", in_runs(&years, |year| year.to_string()))),
        }
    }
}

impl MonthDays {
    /// None if every day matches.
    fn in_words(&self) -> Option<String> {
        if self.plain == WHOLE_MONTH {
            return None;
        }
        let mut days = Vec::new();
        if self.plain != 0 {
            days.extend(days_in_words(self.plain));
        }
        let each = |set: u32| members(u64::from(set));
        days.extend(each(self.near).map(|day| format!("the weekday nearest to the {}", ordinal(day))));
        days.extend(each(self.before_last).map(|n| before_last("day", n)));
        days.extend(each(self.weekday_before_last).map(|n| match n {
            0 => "the last weekday".to_owned(),
            n => format!("the weekday nearest to {}", before_last("day", n)),
        }));
        Some(listed(&days))
    }
}

impl Joined {
    fn in_words(self) -> String {
        let month = format!("{} of the month", listed(&days_in_words(self.of_month)));
        let names = in_runs(&week_from_monday(self.of_week), weekday);
        if self.either {
            format!("on {month} or on {names}")
        } else {
            format!("on {names} if it is {}", month.replacen(" and ", " or ", 1))
        }
    }
}

/// `the 1st, the 5th to the 9th`, or every n-th day if they are many and evenly spread.
fn days_in_words(plain: u32) -> Vec<String> {
    let days = numbers(u64::from(plain));
    match step_of(&days) {
        Some(step) if step > 1 && days.len() > MOST_TIMES => {
            let (first, last) = (ordinal(days[0]), ordinal(days[days.len() - 1]));
            vec![format!("every {} day from the {first} to the {last}", ordinal(step))]
        }
        _ => runs(&days, |day| format!("the {}", ordinal(day))),
    }
}

/// None if every day matches.
fn weekdays_in_words(set: u8) -> Option<String> {
    const WORKING: u8 = 0b011_1110;
    match set {
        WHOLE_WEEK => None,
        WORKING => Some("Monday to Friday".to_owned()),
        set => Some(format!("on {}", in_runs(&week_from_monday(set), weekday))),
    }
}

/// The weekdays of a set as numbers from 1 = Monday to 7 = Sunday, so that a weekend is one run.
fn week_from_monday(set: u8) -> Vec<u32> {
    let sunday_last = (u64::from(set) & !1) | (u64::from(set) & 1) << 7;
    numbers(sunday_last)
}

fn weekday(day: u32) -> String {
    WEEKDAY_NAMES[day as usize % 7].to_owned()
}

fn clock_times(hours: &[u32], minutes: &[u32], seconds: &[u32]) -> Vec<String> {
    let mut times = Vec::new();
    for hour in hours {
        for minute in minutes {
            times.extend(seconds.iter().map(|second| match second {
                0 => format!("{hour:02}:{minute:02}"),
                second => format!("{hour:02}:{minute:02}:{second:02}"),
            }));
        }
    }
    times
}

/// Every full hour of these.
fn on_hours(hours: &[u32]) -> String {
    let (first, last) = (hours[0], hours[hours.len() - 1]);
    match step_of(hours) {
        _ if hours.len() == 24 => "every hour".to_owned(),
        Some(1) => format!("every hour from {first:02}:00 to {last:02}:00"),
        Some(step) if first == 0 && last + step == 24 => format!("every {step} hours"),
        Some(step) => format!("every {step} hours from {first:02}:00 to {last:02}:00"),
        None => format!("at {}", in_runs(hours, |hour| format!("{hour:02}:00"))),
    }
}

/// In which hours that holds which was said of minutes and seconds; none if in all of them.
fn within_hours(hours: &[u32]) -> Option<String> {
    let (first, last) = (hours[0], hours[hours.len() - 1]);
    match step_of(hours) {
        _ if hours.len() == 24 => None,
        Some(1) => Some(format!("between {first:02}:00 and {last:02}:59")),
        _ if hours.len() == 1 => Some(format!("between {first:02}:00 and {first:02}:59")),
        Some(step) if hours.len() > MOST_TIMES => {
            Some(format!("in every {} hour from {first:02} to {last:02}", ordinal(step)))
        }
        _ => Some(format!("in the hours {}", in_runs(hours, |hour| format!("{hour:02}")))),
    }
}

fn numbers(set: u64) -> Vec<u32> {
    members(set).collect()
}
