//! From text to expression: fields, then the items of each field.
//!
//! Fields are what stands between white space, items what stands between commas. Each item is a special day, an `H`, or
//! a value or range with a step or without. Every mistake is reported with the bytes that it is about, so that an
//! editor or a compiler can point at them. Quartz lets much malformed text pass; here whatever is not understood
//! completely is refused.

use std::ops::Range;
use std::sync::Arc;

use super::days::{Days, MonthDays};
use super::error::CronError;
use super::expr::{CronExpr, Parts, Years};
use super::field::Field;
use super::hash;
use crate::nearest::nearest;

/// What the macros stand for.
const MACROS: [(&str, &str); 7] = [
    ("@YEARLY", "0 0 0 1 1 ?"),
    ("@ANNUALLY", "0 0 0 1 1 ?"),
    ("@MONTHLY", "0 0 0 1 * ?"),
    ("@WEEKLY", "0 0 0 ? * 1"),
    ("@DAILY", "0 0 0 * * ?"),
    ("@MIDNIGHT", "0 0 0 * * ?"),
    ("@HOURLY", "0 0 * * * ?"),
];

pub(super) fn parse(text: &str, seed: Option<&str>) -> Result<CronExpr, CronError> {
    let upper = text.to_ascii_uppercase();
    if upper.trim().starts_with('@') {
        return parse(expand(text, upper.trim())?, seed);
    }
    let spans = fields(&upper);
    check_count(text, &spans)?;
    let mut normal = Vec::with_capacity(7);
    let mut read = |index: usize, field: Field| -> Result<Set, CronError> {
        let mut reader = Reader { text, upper: &upper, field, seed, resolved: String::new() };
        let set = reader.field(spans[index].clone())?;
        normal.push(reader.resolved);
        Ok(set)
    };
    let (seconds, minutes, hours) = (read(0, Field::Second)?, read(1, Field::Minute)?, read(2, Field::Hour)?);
    let (of_month, months, of_week) =
        (read(3, Field::DayOfMonth)?, read(4, Field::Month)?, read(5, Field::DayOfWeek)?);
    let years = if spans.len() == 7 { read(6, Field::Year)?.years } else { Years::ALL };
    let days = choose_days(text, of_month, of_week, spans[3].start..spans[5].end)?;
    let interval = seconds.interval || minutes.interval || hours.interval;
    let (seconds, minutes, hours, months) = (seconds.plain, minutes.plain, hours.plain, months.plain);
    Ok(CronExpr(Arc::new(Parts {
        text: normal.join(" "),
        seconds,
        minutes,
        hours,
        days,
        months,
        years,
        interval,
    })))
}

/// The expression that a macro stands for.
fn expand(text: &str, name: &str) -> Result<&'static str, CronError> {
    if let Some((_, expression)) = MACROS.iter().find(|(known, _)| *known == name) {
        return Ok(expression);
    }
    let hint = match nearest(name, MACROS.map(|(known, _)| known)) {
        _ if name == "@REBOOT" => "what runs once at start is a start-up job, not a schedule".to_owned(),
        Some(near) => format!("did you mean `{}`?", near.to_lowercase()),
        None => "use one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually".to_owned(),
    };
    Err(CronError::new(text, None, 0..text.len(), format!("`{}` is no macro", text.trim()), hint))
}

/// Where the fields are: what stands between white space.
fn fields(text: &str) -> Vec<Range<usize>> {
    let base = text.as_ptr() as usize;
    text.split_whitespace()
        .map(|field| field.as_ptr() as usize - base)
        .zip(text.split_whitespace())
        .map(|(at, field)| at..at + field.len())
        .collect()
}

fn check_count(text: &str, spans: &[Range<usize>]) -> Result<(), CronError> {
    let shape = "write second, minute, hour, day of month, month, day of week and perhaps a year";
    let (problem, hint) = match spans.len() {
        6 | 7 => return Ok(()),
        0 => ("the expression is empty".to_owned(), shape.to_owned()),
        5 => (
            "the expression has 5 fields".to_owned(),
            format!("{shape}: with the second in front it is `{}`", with_seconds(text)),
        ),
        n => (format!("the expression has {n} fields"), shape.to_owned()),
    };
    let span = spans.get(7).map_or(0..text.len(), |extra| extra.start..text.len());
    Err(CronError::new(text, None, span, problem, hint))
}

/// What the author of a five-field expression probably meant, with one day field left open.
fn with_seconds(text: &str) -> String {
    let mut fields: Vec<&str> = text.split_whitespace().collect();
    if !fields.contains(&"?") {
        let open = if fields[4] == "*" { 4 } else { 2 };
        fields[open] = "?";
    }
    format!("0 {}", fields.join(" "))
}

/// Exactly one of the two day fields says something.
fn choose_days(text: &str, of_month: Set, of_week: Set, span: Range<usize>) -> Result<Days, CronError> {
    let problem = match (of_month.open, of_week.open) {
        (false, true) => return Ok(Days::OfMonth(of_month.days)),
        (true, false) => return Ok(of_week.week.unwrap_or(Days::OfWeek((of_week.plain >> 1) as u8))),
        (true, true) => "is `?` in both day fields",
        (false, false) => "and day-of-month are both given",
    };
    let hint = "write `?` in exactly one of the two, the one that does not matter".to_owned();
    Err(CronError::new(text, Some(Field::DayOfWeek), span, problem.to_owned(), hint))
}

/// What one field says.
#[derive(Debug)]
struct Set {
    plain: u64,
    years: Years,
    days: MonthDays,
    week: Option<Days>,
    /// It is `?`.
    open: bool,
    interval: bool,
}

struct Reader<'a> {
    text: &'a str,
    upper: &'a str,
    field: Field,
    seed: Option<&'a str>,
    /// The normalised field, with values in place of `H`.
    resolved: String,
}

impl Reader<'_> {
    fn fail<T>(
        &self,
        span: Range<usize>,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Result<T, CronError> {
        Err(CronError::new(self.text, Some(self.field), span, problem.into(), hint.into()))
    }

    fn has<T>(&self, span: Range<usize>, hint: impl Into<String>) -> Result<T, CronError> {
        let value = self.text.get(span.clone()).unwrap_or_default();
        let problem =
            if value.is_empty() { "has an empty item".to_owned() } else { format!("has `{value}`") };
        self.fail(span, problem, hint)
    }

    fn field(&mut self, span: Range<usize>) -> Result<Set, CronError> {
        let mut set = Set {
            plain: 0,
            years: Years::NONE,
            days: MonthDays::default(),
            week: None,
            open: false,
            interval: false,
        };
        let source = &self.upper[span.clone()];
        if source == "?" {
            if !matches!(self.field, Field::DayOfMonth | Field::DayOfWeek) {
                return self.has(span, "`?` is for the two day fields; write `*`");
            }
            set.open = true;
            self.resolved.push('?');
            return Ok(set);
        }
        let mut at = span.start;
        let items = source.split(',').count();
        for (number, item) in source.split(',').enumerate() {
            if number > 0 {
                self.resolved.push(',');
            }
            self.item(&mut set, at..at + item.len(), items > 1)?;
            at += item.len() + 1;
        }
        set.days.plain = if self.field == Field::DayOfMonth { set.plain as u32 } else { 0 };
        Ok(set)
    }

    fn item(&mut self, set: &mut Set, span: Range<usize>, in_list: bool) -> Result<(), CronError> {
        let item = &self.upper[span.clone()];
        let special = match self.field {
            Field::DayOfMonth => self.day_of_month(&mut set.days, item, &span)?,
            Field::DayOfWeek => self.day_of_week(set, item, &span, in_list)?,
            _ => false,
        };
        if special {
            self.resolved.push_str(item);
            return Ok(());
        }
        if item.starts_with('H') {
            return self.hashed(set, item, &span);
        }
        self.values(set, item, &span)?;
        self.resolved.push_str(item);
        Ok(())
    }

    /// `L`, `L-n`, `LW`, `L-nW`, `nW`.
    fn day_of_month(&self, days: &mut MonthDays, item: &str, span: &Range<usize>) -> Result<bool, CronError> {
        let (body, weekday) = item.strip_suffix('W').map_or((item, false), |body| (body, true));
        if let Some(offset) = body.strip_prefix('L') {
            let offset = match offset.strip_prefix('-') {
                None if offset.is_empty() => Some(0),
                None => None,
                Some(number) => digits(number).filter(|n| *n <= 30),
            };
            let Some(offset) = offset else {
                return self.has(span.clone(), "write `L`, `L-n` with n of at most 30, `LW` or `L-nW`");
            };
            *(if weekday { &mut days.weekday_before_last } else { &mut days.before_last }) |= 1 << offset;
            return Ok(true);
        }
        if !weekday {
            return Ok(false);
        }
        match digits(body).filter(|day| (1..=31).contains(day)) {
            Some(day) => days.near |= 1 << day,
            None => return self.has(span.clone(), "before `W` stands a day of the month, 1-31, or `L`"),
        }
        Ok(true)
    }

    /// `L`, `nL`, `n#k`.
    fn day_of_week(
        &self,
        set: &mut Set,
        item: &str,
        span: &Range<usize>,
        in_list: bool,
    ) -> Result<bool, CronError> {
        if item == "L" && !in_list {
            set.plain |= 1 << 7;
            return Ok(true);
        }
        let days = if let Some((day, nth)) = item.split_once('#') {
            let Some(nth) = digits(nth).filter(|nth| (1..=5).contains(nth)) else {
                return self
                    .has(span.clone(), "after `#` stands 1-5: `6#3` is the third Friday of the month");
            };
            Days::Nth((self.value(day, &(span.start..span.start + day.len()))? - 1) as u8, nth as u8)
        } else if item == "L" {
            return self.has(span.clone(), "`L` alone is Saturday; in a list write SAT");
        } else if let Some(day) = item.strip_suffix('L') {
            Days::LastOfWeek((self.value(day, &(span.start..span.end - 1))? - 1) as u8)
        } else {
            return Ok(false);
        };
        if in_list {
            return self.has(
                span.clone(),
                "a day with `L` or `#` stands alone; use a second trigger for the other days",
            );
        }
        set.week = Some(days);
        Ok(true)
    }

    /// `*`, a value, a range, each with a step or without.
    fn values(&self, set: &mut Set, item: &str, span: &Range<usize>) -> Result<(), CronError> {
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        let base_span = span.start..span.start + base.len();
        let step = step.map(|step| self.step(step, base_span.end + 1..span.end)).transpose()?;
        let (from, to) = match base {
            "*" => (self.field.first(), self.field.last()),
            "" if step.is_some() => (self.field.first(), self.field.last()),
            _ => match base.split_once('-') {
                Some((from, to)) => self.range(from, to, &base_span)?,
                None => self.single(base, &base_span, step.is_some())?,
            },
        };
        set.interval |= step.is_some() || base == "*" || base.contains('-');
        self.insert(set, from, to, step.unwrap_or(1));
        Ok(())
    }

    fn single(&self, base: &str, span: &Range<usize>, has_step: bool) -> Result<(u16, u16), CronError> {
        let value = self.value(base, span)?;
        let is_name = !base.starts_with(|c: char| c.is_ascii_digit());
        if has_step && is_name {
            let last = self.field.names().last().copied().unwrap_or_default();
            return self.has(
                span.clone(),
                format!(
                    "a step after a single name is ambiguous; write the range, such as `{base}-{last}/2`"
                ),
            );
        }
        Ok((value, if has_step { self.field.last() } else { value }))
    }

    fn range(&self, from: &str, to: &str, span: &Range<usize>) -> Result<(u16, u16), CronError> {
        let first = self.value(from, &(span.start..span.start + from.len()))?;
        let last = self.value(to, &(span.end - to.len()..span.end))?;
        let is_number = |text: &str| digits(text).is_some();
        if is_number(from) != is_number(to) {
            return self.has(span.clone(), "write both ends as names or both as numbers");
        }
        if self.field == Field::Year && first > last {
            return self.has(span.clone(), format!("years do not wrap around; write `{last}-{first}`"));
        }
        Ok((first, last))
    }

    fn step(&self, text: &str, span: Range<usize>) -> Result<u16, CronError> {
        match digits(text) {
            Some(step) if step >= 1 && step <= self.field.largest_step() => Ok(step),
            _ => self.has(span, format!("a step is a number from 1 to {}", self.field.largest_step())),
        }
    }

    /// A number of the field's range, or one of its names.
    fn value(&self, text: &str, span: &Range<usize>) -> Result<u16, CronError> {
        let field = self.field;
        if let Some(value) = digits(text) {
            let fits = (field.first()..=field.last()).contains(&value);
            return if fits { Ok(value) } else { self.has(span.clone(), field.allowed()) };
        }
        if let Some(index) = field.names().iter().position(|name| *name == text) {
            return Ok(index as u16 + 1);
        }
        let near = nearest(text, field.names().iter().copied()).filter(|_| text.len() > 1);
        self.has(span.clone(), near.map_or_else(|| field.allowed(), |near| format!("did you mean {near}?")))
    }

    /// `H`, `H(a-b)`, each with a step or without.
    fn hashed(&mut self, set: &mut Set, item: &str, span: &Range<usize>) -> Result<(), CronError> {
        let shape = "write `H`, `H(a-b)`, `H/n` or `H(a-b)/n`";
        if self.field == Field::Year {
            return self.has(span.clone(), "`H` is not for years");
        }
        let Some(seed) = self.seed else {
            return self.has(
                span.clone(),
                "`H` stands for a value of the trigger's own; it is known where the trigger has a name",
            );
        };
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        let step = step.map(|step| self.step(step, span.start + base.len() + 1..span.end)).transpose()?;
        let (first, last) = match base
            .strip_prefix("H(")
            .map(|inner| inner.strip_suffix(')').and_then(|r| r.split_once('-')))
        {
            None if base == "H" => {
                (self.field.first(), if self.field == Field::DayOfMonth { 28 } else { self.field.last() })
            }
            Some(Some((from, to))) => self.range(from, to, &(span.start + 2..span.start + base.len() - 1))?,
            _ => return self.has(span.clone(), shape),
        };
        if first > last {
            return self.has(span.clone(), "the range of `H` does not wrap around");
        }
        let text = match step {
            None => hash::value(seed, self.field, first, last).to_string(),
            Some(step) => {
                let from = hash::value(seed, self.field, first, last.min(first + step - 1));
                format!("{from}-{last}/{step}")
            }
        };
        self.resolved.push_str(&text);
        self.values(set, &text, span)
    }

    /// Every `step`-th value from `from` to `to`, around the end of the field where `to` comes first.
    fn insert(&self, set: &mut Set, from: u16, to: u16, step: u16) {
        let size = self.field.last() - self.field.first() + 1;
        let to = if to < from { to + size } else { to };
        for value in (from..=to).step_by(usize::from(step)) {
            let value = if value > self.field.last() { value - size } else { value };
            if self.field == Field::Year {
                set.years.insert(value);
            } else {
                set.plain |= 1 << value;
            }
        }
    }
}

/// A number of digits only.
fn digits(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
