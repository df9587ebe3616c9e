//! Expressions in plain English.
//!
//! A few times of day are listed; many become `every 5 minutes` or a range of hours. Days, months and years follow, each
//! only if it says something. The words are for people: the normalised text is what is compared and stored.

use super::days::{Days, MonthDays};
use super::expr::{CronExpr, Parts, Years};
use super::field::{MONTHS, WEEKDAYS};

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

impl CronExpr {
    /// The expression in plain English, such as `at 02:30, Monday to Friday`.
    pub fn describe(&self) -> String {
        let parts = &*self.0;
        let pieces = [parts.time(), parts.on_days(), parts.in_months(), parts.in_years()];
        pieces.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl Parts {
    fn time(&self) -> Option<String> {
        let (seconds, minutes, hours) = (numbers(self.seconds), numbers(self.minutes), numbers(self.hours));
        if seconds.len() * minutes.len() * hours.len() <= 4 {
            return Some(format!("at {}", listed(&clock_times(&hours, &minutes, &seconds), "and")));
        }
        let mut pieces = Vec::new();
        if seconds != [0] {
            pieces.push(repeated(&seconds, 60, "second"));
        }
        if minutes.len() < 60 || pieces.is_empty() {
            pieces.push(repeated(&minutes, 60, "minute"));
        }
        if hours.len() < 24 {
            pieces.push(during(&hours));
        } else if minutes == [0] && seconds == [0] {
            return Some("every hour".to_owned());
        }
        Some(pieces.join(", "))
    }

    fn on_days(&self) -> Option<String> {
        match &self.days {
            Days::OfMonth(days) => days.in_words(),
            Days::OfWeek(0x7f) => None,
            Days::OfWeek(set) => {
                let names: Vec<_> = numbers(u64::from(*set))
                    .into_iter()
                    .map(|day| WEEKDAY_NAMES[day as usize].to_owned())
                    .collect();
                Some(match *set {
                    0b011_1110 => "Monday to Friday".to_owned(),
                    _ => format!("on {}", listed(&names, "and")),
                })
            }
            Days::LastOfWeek(day) => {
                Some(format!("on the last {} of the month", WEEKDAY_NAMES[usize::from(*day)]))
            }
            Days::Nth(day, nth) => Some(format!(
                "on the {} {} of the month",
                ordinal(u32::from(*nth)),
                WEEKDAY_NAMES[usize::from(*day)]
            )),
        }
    }

    fn in_months(&self) -> Option<String> {
        let months = numbers(self.months);
        let names: Vec<_> = months.iter().map(|month| MONTH_NAMES[*month as usize - 1].to_owned()).collect();
        (months.len() < MONTHS.len()).then(|| format!("in {}", ranged(&months, &names)))
    }

    fn in_years(&self) -> Option<String> {
        if self.years == Years::ALL {
            return None;
        }
        let years: Vec<u32> =
            std::iter::successors(self.years.at_or_after(0), |year| self.years.at_or_after(year + 1))
                .map(|year| year as u32)
                .collect();
        let names: Vec<_> = years.iter().map(ToString::to_string).collect();
        Some(format!("in {}", ranged(&years, &names)))
    }
}

impl MonthDays {
    fn in_words(&self) -> Option<String> {
        let plain = numbers(u64::from(self.plain));
        if plain.len() == 31 {
            return None;
        }
        let mut days: Vec<String> = match step_of(&plain, 31).filter(|_| plain.len() > 4) {
            Some(step) => vec![format!("every {} day from the {}", ordinal(step), ordinal(plain[0]))],
            None => plain.iter().map(|day| format!("the {}", ordinal(*day))).collect(),
        };
        days.extend(
            numbers(u64::from(self.near))
                .iter()
                .map(|day| format!("the weekday nearest to the {}", ordinal(*day))),
        );
        days.extend(numbers(u64::from(self.before_last)).iter().map(|n| before_last("day", *n)));
        days.extend(numbers(u64::from(self.weekday_before_last)).iter().map(|n| match n {
            0 => "the last weekday".to_owned(),
            n => format!("the weekday nearest to {}", before_last("day", *n)),
        }));
        Some(format!("on {} of the month", listed(&days, "and")))
    }
}

fn before_last(what: &str, n: u32) -> String {
    match n {
        0 => format!("the last {what}"),
        1 => format!("the {what} before the last"),
        n => format!("the {n}th-from-last {what}"),
    }
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

/// `every 5 minutes`, `at minute 10 and 40`.
fn repeated(values: &[u32], size: u32, unit: &str) -> String {
    if values.len() as u32 == size {
        return format!("every {unit}");
    }
    match step_of(values, size) {
        Some(step) if values[0] == 0 && size.is_multiple_of(step) => format!("every {step} {unit}s"),
        Some(step) if values.len() > 2 => format!("every {step} {unit}s from {unit} {}", values[0]),
        _ => format!(
            "at {unit} {}",
            ranged(values, &values.iter().map(ToString::to_string).collect::<Vec<_>>())
        ),
    }
}

fn during(hours: &[u32]) -> String {
    if let Some(step) = step_of(hours, 24).filter(|step| *step > 1 && hours.len() > 2) {
        return match hours[0] {
            0 => format!("every {step} hours"),
            first => format!("every {step} hours from {first:02}:00"),
        };
    }
    let names: Vec<_> = hours.iter().map(|hour| format!("{hour:02}")).collect();
    format!("in hour {}", ranged(hours, &names))
}

/// The distance between values that are evenly spread up to the end of their range.
fn step_of(values: &[u32], size: u32) -> Option<u32> {
    let step = values.get(1)? - values[0];
    let even = values.windows(2).all(|pair| pair[1] - pair[0] == step);
    (even && values[values.len() - 1] + step >= size).then_some(step)
}

/// `May to July` where the values are neighbours, else a list.
fn ranged(values: &[u32], names: &[String]) -> String {
    let neighbours = values.len() > 2 && values.windows(2).all(|pair| pair[1] == pair[0] + 1);
    if neighbours { format!("{} to {}", names[0], names[names.len() - 1]) } else { listed(names, "and") }
}

fn listed(items: &[String], word: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

fn ordinal(n: u32) -> String {
    let ending = match (n % 10, n % 100) {
        (1, not) if not != 11 => "st",
        (2, not) if not != 12 => "nd",
        (3, not) if not != 13 => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

fn numbers(set: u64) -> Vec<u32> {
    (0..64).filter(|bit| set & (1 << bit) != 0).collect()
}

const _: () = assert!(MONTHS.len() == MONTH_NAMES.len() && WEEKDAYS.len() == WEEKDAY_NAMES.len());
