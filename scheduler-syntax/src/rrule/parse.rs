//! From text to the parts of a rule.

use chrono::{NaiveDate, NaiveDateTime};

use super::block;
use super::error::RuleError;
use super::hints;
use super::rule::{Frequency, Parts, Until};
use crate::wall::DAY;

pub(super) const PARTS: [&str; 14] = [
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "BYSECOND",
    "BYMINUTE",
    "BYHOUR",
    "BYDAY",
    "BYMONTHDAY",
    "BYYEARDAY",
    "BYWEEKNO",
    "BYMONTH",
    "BYSETPOS",
    "WKST",
];

pub(super) const WEEKDAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];

const FREQUENCIES: [(&str, Frequency); 7] = [
    ("SECONDLY", Frequency::Secondly),
    ("MINUTELY", Frequency::Minutely),
    ("HOURLY", Frequency::Hourly),
    ("DAILY", Frequency::Daily),
    ("WEEKLY", Frequency::Weekly),
    ("MONTHLY", Frequency::Monthly),
    ("YEARLY", Frequency::Yearly),
];

/// One `NAME=VALUE`, and where it stands.
struct Part<'a> {
    name: &'static str,
    value: &'a str,
    column: usize,
}

pub(super) fn parse(text: &str) -> Result<Parts, RuleError> {
    let text = &block::rule_of(text)?;
    let upper = text.trim().to_ascii_uppercase();
    let rule = upper.strip_prefix("RRULE:").unwrap_or(&upper);
    let offset = text.len() - text.trim_start().len() + upper.len() - rule.len();
    read(rule, offset).map_err(|error| hints::for_separators(rule, offset).unwrap_or(error))
}

fn read(rule: &str, offset: usize) -> Result<Parts, RuleError> {
    let parts = split(rule, offset)?;
    let mut rule = Parts {
        text: rule.to_owned(),
        frequency: frequency(&parts, offset)?,
        interval: 1,
        count: None,
        until: None,
        seconds: 0,
        minutes: 0,
        hours: 0,
        months: 0,
        weekdays: 0,
        nth_weekdays: Vec::new(),
        month_days: Vec::new(),
        year_days: Vec::new(),
        weeks: Vec::new(),
        positions: Vec::new(),
        week_start: 1,
    };
    parts.iter().try_for_each(|part| part.read(&mut rule))?;
    parts.iter().try_for_each(|part| part.fits(&rule))?;
    Ok(rule)
}

fn split(rule: &str, offset: usize) -> Result<Vec<Part<'_>>, RuleError> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut column = offset + 1;
    for item in rule.strip_suffix(';').unwrap_or(rule).split(';') {
        let (name, value) = item.split_once('=').ok_or_else(|| {
            RuleError::new(
                column,
                format!("`{item}` is no part of a rule; write `NAME=VALUE`, such as `FREQ=DAILY`"),
            )
        })?;
        let known = PARTS
            .into_iter()
            .find(|known| *known == name)
            .ok_or_else(|| RuleError::new(column, hints::for_part(name)))?;
        if parts.iter().any(|part| part.name == known) {
            let hint = if known.starts_with("BY") { "write its values with commas" } else { "leave one out" };
            return Err(RuleError::new(column, format!("`{known}` stands there twice; {hint}")));
        }
        parts.push(Part { name: known, value, column });
        column += item.chars().count() + 1;
    }
    Ok(parts)
}

fn frequency(parts: &[Part<'_>], offset: usize) -> Result<Frequency, RuleError> {
    let Some(part) = parts.iter().find(|part| part.name == "FREQ") else {
        return Err(RuleError::new(
            offset + 1,
            "the rule has no `FREQ`; add one, such as `FREQ=DAILY`".to_owned(),
        ));
    };
    let found = FREQUENCIES.iter().find(|(name, _)| *name == part.value);
    found
        .map(|(_, frequency)| *frequency)
        .ok_or_else(|| part.refuse(hints::for_word(part.value, FREQUENCIES.map(|(name, _)| name))))
}

impl Part<'_> {
    fn refuse(&self, hint: impl AsRef<str>) -> RuleError {
        RuleError::new(self.column, format!("`{}` has `{}`; {}", self.name, self.value, hint.as_ref()))
    }

    fn read(&self, rule: &mut Parts) -> Result<(), RuleError> {
        match self.name {
            "INTERVAL" => rule.interval = i64::from(self.positive()?),
            "COUNT" => rule.count = Some(self.positive()?),
            "UNTIL" => rule.until = Some(self.until()?),
            "BYSECOND" => rule.seconds = self.set(0, 59)?,
            "BYMINUTE" => rule.minutes = self.set(0, 59)?,
            "BYHOUR" => rule.hours = self.set(0, 23)?,
            "BYMONTH" => rule.months = self.set(1, 12)?,
            "BYDAY" => self.days(rule)?,
            "BYMONTHDAY" => rule.month_days = self.signed(31)?,
            "BYYEARDAY" => rule.year_days = self.signed(366)?,
            "BYWEEKNO" => rule.weeks = self.signed(53)?,
            "BYSETPOS" => rule.positions = self.signed(366)?,
            "WKST" => rule.week_start = self.weekday(self.value, self.value)?,
            _ => {}
        }
        Ok(())
    }

    /// What only the whole rule can say.
    fn fits(&self, rule: &Parts) -> Result<(), RuleError> {
        use Frequency::{Daily, Monthly, Weekly, Yearly};
        let no = |why: &str| Err(RuleError::new(self.column, format!("`{}` {why}", self.name)));
        match (self.name, rule.frequency) {
            ("UNTIL", _) if rule.count.is_some() => no("and `COUNT` exclude each other; leave one out"),
            ("BYDAY", frequency)
                if !rule.nth_weekdays.is_empty() && !matches!(frequency, Monthly | Yearly) =>
            {
                no(
                    "may number weekdays only in monthly and yearly rules; use `FREQ=MONTHLY`, or write them without numbers",
                )
            }
            ("BYDAY", _) if !rule.nth_weekdays.is_empty() && !rule.weeks.is_empty() => {
                no("may not number weekdays beside `BYWEEKNO`; write them without numbers")
            }
            ("BYMONTHDAY", Weekly) => no("means nothing in a weekly rule; use `FREQ=MONTHLY`"),
            ("BYYEARDAY", Daily | Weekly | Monthly) => no("means nothing in such a rule; use `FREQ=YEARLY`"),
            ("BYWEEKNO", frequency) if frequency != Yearly => {
                no("means nothing in such a rule; use `FREQ=YEARLY`")
            }
            ("BYSETPOS", _) if !rule.has_sets() => {
                no("chooses among the times of another `BY…` part; add one")
            }
            _ => Ok(()),
        }
    }

    fn positive(&self) -> Result<u32, RuleError> {
        self.value.parse().ok().filter(|number| *number > 0).ok_or_else(|| self.refuse("use a number from 1"))
    }

    fn numbers(&self, valid: impl Fn(i32) -> bool, hint: &str) -> Result<Vec<i32>, RuleError> {
        let number = |item: &str| item.parse().ok().filter(|number| valid(*number));
        let listed = |item: &str| match hints::for_range(item, &valid) {
            Some(list) => self.refuse(format!("a range is written as its values: `{list}`")),
            None => self.refuse(hint),
        };
        self.value.split(',').map(|item| number(item).ok_or_else(|| listed(item))).collect()
    }

    fn set(&self, first: i32, last: i32) -> Result<u64, RuleError> {
        let hint = format!("use numbers from {first} to {last}, with commas between them");
        let numbers = self.numbers(|number| (first..=last).contains(&number), &hint)?;
        Ok(numbers.into_iter().fold(0, |set, number| set | 1 << number))
    }

    fn signed(&self, most: i32) -> Result<Vec<i32>, RuleError> {
        let hint = format!("use numbers from 1 to {most}, or from -1 to -{most} to count from the end");
        self.numbers(|number| number != 0 && number.abs() <= most, &hint)
    }

    /// The weekday of this name, which is that of the whole item or its end.
    fn weekday(&self, name: &str, item: &str) -> Result<u32, RuleError> {
        let index = WEEKDAYS.iter().position(|known| *known == name);
        index.map(|index| index as u32).ok_or_else(|| {
            self.refuse(match hints::for_weekday(item) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "use MO, TU, WE, TH, FR, SA or SU, numbered in monthly and yearly rules, such as 2TU or -1FR"
                    .to_owned(),
            })
        })
    }

    fn days(&self, rule: &mut Parts) -> Result<(), RuleError> {
        for item in self.value.split(',') {
            let (number, name) =
                item.split_at(item.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(item.len()));
            let weekday = self.weekday(name, item)?;
            match number.parse::<i32>() {
                Ok(number) if number != 0 && number.abs() <= 53 => rule.nth_weekdays.push((number, weekday)),
                Err(_) if number.is_empty() => rule.weekdays |= 1 << weekday,
                _ => {
                    return Err(
                        self.refuse("number weekdays from 1 to 53, or from -1 to -53 to count from the end")
                    );
                }
            }
        }
        Ok(())
    }

    fn until(&self) -> Result<Until, RuleError> {
        let read = |text: &str| Self::read_until(text);
        read(self.value).ok_or_else(|| {
            match hints::for_moment(self.value).filter(|meant| read(meant).is_some()) {
                Some(meant) => self.refuse(format!("write `{meant}`")),
                None => self.refuse("write 20301231T235959Z, 20301231T235959 or 20301231"),
            }
        })
    }

    fn read_until(text: &str) -> Option<Until> {
        let second = |text: &str| {
            NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok().map(|time| time.and_utc().timestamp())
        };
        let whole_day = || {
            let date = NaiveDate::parse_from_str(text, "%Y%m%d").ok()?;
            Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp() + DAY - 1)
        };
        match text.strip_suffix('Z') {
            Some(utc) => second(utc).map(Until::Instant),
            None => second(text).or_else(whole_day).map(Until::Civil),
        }
    }
}

impl Parts {
    fn has_sets(&self) -> bool {
        self.seconds | self.minutes | self.hours | self.months | u64::from(self.weekdays) != 0
            || [&self.month_days, &self.year_days, &self.weeks].iter().any(|list| !list.is_empty())
            || !self.nth_weekdays.is_empty()
    }
}
