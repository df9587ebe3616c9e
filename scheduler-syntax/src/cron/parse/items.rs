//! One field: its items, each a value or a range with a step or without.

use std::ops::Range;

use super::fields::Dialect;
use super::hints;
use super::{CronError, Days, Field, WHOLE_MONTH, Years};
use crate::cron::days::MonthDays;

/// What one field says.
#[derive(Debug)]
pub(super) struct FieldSet {
    /// Bit n for the value n, but for years.
    pub(super) values: u64,
    pub(super) years: Years,
    pub(super) month_days: MonthDays,
    /// A day with `L` or `#`, which stands alone.
    pub(super) week_day: Option<Days>,
    /// It is `?`.
    pub(super) open: bool,
    /// It begins with `*`.
    pub(super) starred: bool,
    /// There is a `*`, a range or a step in it.
    pub(super) interval: bool,
}

impl FieldSet {
    fn empty() -> Self {
        Self {
            values: 0,
            years: Years::NONE,
            month_days: MonthDays::default(),
            week_day: None,
            open: false,
            starred: false,
            interval: false,
        }
    }

    /// As days of the month: all of them.
    pub(super) fn every_day(self) -> MonthDays {
        MonthDays { plain: WHOLE_MONTH, ..MonthDays::default() }
    }
}

/// Reads the fields of one text, one after the other.
pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) upper: &'a str,
    pub(super) dialect: Dialect,
    pub(super) seed: Option<&'a str>,
    /// The field that is being read.
    pub(super) field: Field,
    /// The normalised fields, with values in place of `H` and the weekdays of Unix by their names.
    normal: Vec<String>,
}

impl<'a> Reader<'a> {
    /// `upper` is the text in upper case.
    pub(super) fn new(text: &'a str, upper: &'a str, dialect: Dialect, seed: Option<&'a str>) -> Self {
        Self { text, upper, dialect, seed, field: Field::Second, normal: Vec::with_capacity(7) }
    }

    /// What was read, field by field.
    pub(super) fn into_normal(self) -> Vec<String> {
        self.normal
    }

    /// Reads the field at these bytes of the text.
    pub(super) fn field(&mut self, field: Field, span: Range<usize>) -> Result<FieldSet, CronError> {
        self.field = field;
        let mut set = FieldSet::empty();
        if self.dialect == Dialect::Unix && field == Field::Second {
            set.values = 1;
            self.normal.push("0".to_owned());
            return Ok(set);
        }
        let source = &self.upper[span.clone()];
        self.normal.push(String::with_capacity(source.len()));
        if source == "?" {
            self.push("?");
            return self.open(set, span);
        }
        set.starred = source.starts_with('*');
        let mut at = span.start;
        let in_list = source.contains(',');
        for item in source.split(',') {
            if at > span.start {
                self.push(",");
            }
            self.item(&mut set, at..at + item.len(), in_list)?;
            at += item.len() + 1;
        }
        set.month_days.plain = set.values as u32;
        Ok(set)
    }

    /// `?`: no wish.
    fn open(&self, mut set: FieldSet, span: Range<usize>) -> Result<FieldSet, CronError> {
        let is_day = matches!(self.field, Field::DayOfMonth | Field::DayOfWeek);
        match self.dialect {
            Dialect::Unix => self.has(span, "`?` does not belong to the Unix form; write `*`"),
            Dialect::Both => self.has(span, "behind `@both` both day fields say something; write `*`"),
            Dialect::Quartz if !is_day => self.has(span, "`?` is for the two day fields; write `*`"),
            Dialect::Quartz => {
                set.open = true;
                Ok(set)
            }
        }
    }

    fn item(&mut self, set: &mut FieldSet, span: Range<usize>, in_list: bool) -> Result<(), CronError> {
        let item = &self.upper[span.clone()];
        let special = match self.field {
            Field::DayOfMonth => self.special_day_of_month(&mut set.month_days, item, &span)?,
            Field::DayOfWeek => self.special_day_of_week(set, item, &span, in_list)?,
            _ => false,
        };
        if special {
            self.push(item);
            return Ok(());
        }
        if item.starts_with('H') {
            let values = self.hashed(item, &span)?;
            self.push_values(&values, &values.to_string());
            self.insert(set, &values);
            return Ok(());
        }
        let values = self.values(item, &span)?;
        self.push_values(&values, item);
        self.insert(set, &values);
        Ok(())
    }

    /// Adds to the normalised field.
    fn push(&mut self, text: &str) {
        if let Some(field) = self.normal.last_mut() {
            field.push_str(text);
        }
    }

    /// Adds values to the normalised field: as they are written, but for the weekdays of Unix, whose numbers are
    /// not those of Quartz.
    fn push_values(&mut self, values: &Values, written: &str) {
        if self.sunday_is_0() && !written.starts_with('*') {
            self.push(&values.by_name(self.field));
        } else {
            self.push(written);
        }
    }

    /// `*`, a value, a range, each with a step or without.
    fn values(&self, item: &str, span: &Range<usize>) -> Result<Values, CronError> {
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        let base_span = span.start..span.start + base.len();
        let step = step.map(|step| self.step(step, base_span.end + 1..span.end)).transpose()?;
        let (first, last) = match base {
            "*" => (self.field.first(), self.field.last()),
            "" if step.is_some() => (self.field.first(), self.field.last()),
            _ => match base.split_once('-') {
                Some((from, to)) => self.range(from, to, &base_span)?,
                None => self.single(base, &base_span, step)?,
            },
        };
        let interval = step.is_some() || base == "*" || base.contains('-');
        let values = Values { first, last, step, interval };
        self.refuse_wrapped(&values, span)?;
        Ok(values)
    }

    /// A value; with a step it is the first of those up to the end of the field.
    fn single(&self, base: &str, span: &Range<usize>, step: Option<u16>) -> Result<(u16, u16), CronError> {
        let value = self.value(base, span)?;
        let is_name = !base.starts_with(|c: char| c.is_ascii_digit());
        if let Some(step) = step.filter(|_| is_name) {
            let last = self.field.names().last().copied().unwrap_or_default();
            let range = format!("such as `{base}-{last}/{step}`");
            let hint = format!("a step after a single name is ambiguous; write the range, {range}");
            return self.has(span.clone(), hint);
        }
        Ok((value, if step.is_some() { self.field.last() } else { value }))
    }

    /// Both ends of `from-to`.
    pub(super) fn range(&self, from: &str, to: &str, span: &Range<usize>) -> Result<(u16, u16), CronError> {
        self.refuse_open_range(from, to, span)?;
        let first = self.value(from, &(span.start..span.start + from.len()))?;
        let last = self.value(to, &(span.end - to.len()..span.end))?;
        if digits(from).is_some() != digits(to).is_some() {
            return self.has(span.clone(), "write both ends as names or both as numbers");
        }
        if self.field == Field::Year && first > last {
            return self.has(span.clone(), format!("years do not wrap around; write `{last}-{first}`"));
        }
        // `FRI-SUN` ends on the Sunday that Unix calls 7.
        let to_sunday = self.sunday_is_0() && digits(to).is_none() && last == self.field.first();
        Ok((first, if to_sunday && first > last { self.field.last() + 1 } else { last }))
    }

    fn sunday_is_0(&self) -> bool {
        self.dialect == Dialect::Unix && self.field == Field::DayOfWeek
    }

    /// A range has two ends.
    fn refuse_open_range(&self, from: &str, to: &str, span: &Range<usize>) -> Result<(), CronError> {
        let meant = match (from, to) {
            ("", "") => "*".to_owned(),
            ("", end) => format!("{}-{end}", self.outermost(end, span.end - end.len())?.0),
            (end, "") => format!("{end}-{}", self.outermost(end, span.start)?.1),
            _ => return Ok(()),
        };
        self.has(span.clone(), format!("a range has two ends; write `{meant}`"))
    }

    /// The first and the last value of the field, as names if `value`, which stands at byte `start`, is one.
    fn outermost(&self, value: &str, start: usize) -> Result<(String, String), CronError> {
        self.value(value, &(start..start + value.len()))?;
        Ok(match (digits(value), self.field.names()) {
            (None, [first, .., last]) => ((*first).to_owned(), (*last).to_owned()),
            _ if self.sunday_is_0() => ("0".to_owned(), "7".to_owned()),
            _ => (self.field.first().to_string(), self.field.last().to_string()),
        })
    }

    /// Cron programs of Unix refuse a range that goes around the end of its field.
    fn refuse_wrapped(&self, values: &Values, span: &Range<usize>) -> Result<(), CronError> {
        if self.dialect != Dialect::Unix || values.first <= values.last {
            return Ok(());
        }
        let list = hints::around(self.field, values);
        let hint =
            format!("a range of the Unix form does not go around the end of the field; write `{list}`");
        self.has(span.clone(), hint).map_err(|error| error.instead(Some(list)))
    }

    pub(super) fn step(&self, text: &str, span: Range<usize>) -> Result<u16, CronError> {
        match digits(text) {
            Some(step) if step >= 1 && step <= self.field.largest_step() => Ok(step),
            _ => self.has(span, format!("a step is a number from 1 to {}", self.field.largest_step())),
        }
    }

    /// A number of the field's range, or one of its names. The Sunday that Unix calls 7 becomes the value after the
    /// last one, so that ranges such as `5-7` keep their order.
    pub(super) fn value(&self, text: &str, span: &Range<usize>) -> Result<u16, CronError> {
        let (first, last) = (self.field.first(), self.field.last());
        if let Some(number) = digits(text) {
            let (value, last) =
                if self.sunday_is_0() { (number.saturating_add(1), last + 1) } else { (number, last) };
            return if (first..=last).contains(&value) {
                Ok(value)
            } else {
                self.has(span.clone(), self.allowed_for(number))
            };
        }
        let names = self.field.names();
        if let Some(index) = names.iter().position(|name| *name == text) {
            return Ok(index as u16 + first);
        }
        let near = hints::names_near(text, names);
        let hint = match near.is_empty() {
            true => self.allowed(),
            false => format!("did you mean {}?", near.join(" or ")),
        };
        let only = (near.len() == 1).then(|| near.concat());
        self.has(span.clone(), hint).map_err(|error| error.instead(only))
    }

    /// What to write in place of a number that is out of range.
    fn allowed_for(&self, number: u16) -> String {
        match (self.field, number) {
            (Field::DayOfWeek, 0) => {
                "use 1-7 (1 is Sunday) or SUN-SAT; a 0 for Sunday belongs to the Unix form".to_owned()
            }
            _ => self.allowed(),
        }
    }

    fn allowed(&self) -> String {
        match (self.dialect, self.field) {
            (Dialect::Unix, Field::DayOfWeek) => "use 0-7 (0 and 7 are Sunday) or SUN-SAT".to_owned(),
            (_, field) => field.allowed(),
        }
    }

    /// Adds every value to the set, around the end of the field where the last one comes first.
    fn insert(&self, set: &mut FieldSet, values: &Values) {
        set.interval |= values.interval;
        let (field, step) = (self.field, values.step.unwrap_or(1));
        if field == Field::Year && (values.first, values.last, step) == (field.first(), field.last(), 1) {
            set.years = Years::ALL;
            return;
        }
        for value in values.members(field) {
            match field {
                Field::Year => set.years.insert(value),
                _ => set.values |= 1 << value,
            }
        }
    }

    /// The error that the field has what stands at these bytes.
    pub(super) fn has<T>(&self, span: Range<usize>, hint: impl Into<String>) -> Result<T, CronError> {
        let problem = match self.text.get(span.clone()).unwrap_or_default() {
            "" => "has an empty item".to_owned(),
            value => format!("has `{value}`"),
        };
        Err(CronError::new(self.text, Some(self.field), span, problem, hint.into()))
    }
}

/// The values from `first` to `last`, or every `step`-th of them.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) step: Option<u16>,
    /// It is written as a `*`, a range or with a step.
    pub(super) interval: bool,
}

impl Values {
    /// Each value, around the end of the field where the last one comes first.
    pub(super) fn members(&self, field: Field) -> impl Iterator<Item = u16> {
        let size = field.last() - field.first() + 1;
        let last = if self.last < self.first { self.last + size } else { self.last };
        let values = (self.first..=last).step_by(usize::from(self.step.unwrap_or(1)));
        values.map(move |value| if value > field.last() { value - size } else { value })
    }

    /// Weekdays by their names, which mean the same in both forms.
    fn by_name(&self, field: Field) -> String {
        let names = field.names();
        let name = |value: u16| names[usize::from(value - field.first()) % names.len()];
        let (first, last) = (name(self.first), name(self.last));
        match (self.interval, self.step) {
            // Sunday to Sunday is the whole week.
            (true, _) if self.last == self.first + 7 => self.stepped(format!("{first}-SAT")),
            (true, _) => self.stepped(format!("{first}-{last}")),
            (false, _) => first.to_owned(),
        }
    }

    fn stepped(&self, range: String) -> String {
        self.step.map_or(range.clone(), |step| format!("{range}/{step}"))
    }
}

impl std::fmt::Display for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.step {
            Some(step) => write!(f, "{}-{}/{step}", self.first, self.last),
            None => write!(f, "{}", self.first),
        }
    }
}

/// A number of digits only.
pub(super) fn digits(text: &str) -> Option<u16> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}
