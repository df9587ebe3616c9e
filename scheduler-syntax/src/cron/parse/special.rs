//! Items with letters: days counted from the end of the month, nearest weekdays, n-th weekdays, and `H`.

use std::ops::Range;

use super::fields::Dialect;
use super::hints;
use super::items::{FieldSet, Reader, Values, digits};
use super::{CronError, Days, Field};
use crate::cron::days::MonthDays;
use crate::cron::hash;

impl Reader<'_> {
    /// `L`, `L-n`, `LW`, `L-nW`, `nW`. Says whether the item is one.
    pub(super) fn special_day_of_month(
        &self,
        days: &mut MonthDays,
        item: &str,
        span: &Range<usize>,
    ) -> Result<bool, CronError> {
        if let Some(day) = item.strip_prefix('W').filter(|day| *day == "L" || digits(day).is_some()) {
            return self.has(span.clone(), format!("`W` stands behind the day; did you mean `{day}W`?"));
        }
        if !item.starts_with('L') && !item.ends_with('W') {
            return Ok(false);
        }
        self.refuse_in_unix(span)?;
        let Some(from_end) = item.strip_prefix('L') else {
            return self.nearest_weekday(days, item.trim_end_matches('W'), span);
        };
        let (offset, weekday) = from_end.strip_suffix('W').map_or((from_end, false), |offset| (offset, true));
        let offset = match offset.strip_prefix('-') {
            None => offset.is_empty().then_some(0),
            Some(number) => digits(number).filter(|n| *n <= 30),
        };
        let Some(offset) = offset else {
            return self.has(span.clone(), "write `L`, `L-n` with n of at most 30, `LW` or `L-nW`");
        };
        *(if weekday { &mut days.weekday_before_last } else { &mut days.before_last }) |= 1 << offset;
        Ok(true)
    }

    fn nearest_weekday(
        &self,
        days: &mut MonthDays,
        day: &str,
        span: &Range<usize>,
    ) -> Result<bool, CronError> {
        let Some(day) = digits(day).filter(|day| (1..=31).contains(day)) else {
            return self.has(span.clone(), "before `W` stands a day of the month, 1-31, or `L`");
        };
        days.near |= 1 << day;
        Ok(true)
    }

    /// `L`, `nL`, `n#k`. Says whether the item is one.
    pub(super) fn special_day_of_week(
        &self,
        set: &mut FieldSet,
        item: &str,
        span: &Range<usize>,
        in_list: bool,
    ) -> Result<bool, CronError> {
        self.refuse_marked_range(item, span)?;
        if let Some(day) = item.strip_prefix('L').filter(|day| self.weekday(day, span).is_ok()) {
            return self.has(span.clone(), format!("`L` stands behind the day; did you mean `{day}L`?"));
        }
        let days = match (item, item.split_once('#'), item.strip_suffix('L')) {
            ("L", ..) if in_list => {
                return self.has(span.clone(), "`L` alone is Saturday; in a list write SAT");
            }
            ("L", ..) => Days::OfWeek(1 << 6),
            (_, Some((day, nth)), _) => self.nth_weekday(day, nth, span)?,
            (_, None, Some(day)) => Days::LastOfWeek(self.weekday(day, span)?),
            (_, None, None) => return Ok(false),
        };
        self.refuse_in_unix(span)?;
        if in_list {
            let hint = "a day with `L` or `#` stands alone; use a second trigger for the other days";
            return self.has(span.clone(), hint);
        }
        set.week_day = Some(days);
        Ok(true)
    }

    /// `L` and `#` follow a single day.
    fn refuse_marked_range(&self, item: &str, span: &Range<usize>) -> Result<(), CronError> {
        let mark = item.find('#').or_else(|| item.strip_suffix('L').map(str::len)).unwrap_or(item.len());
        let (days, mark) = item.split_at(mark);
        let Some((from, to)) = days.split_once('-').filter(|_| !mark.is_empty()) else { return Ok(()) };
        self.refuse_in_unix(span)?;
        let (first, last) = self.range(from, to, &(span.start..span.start + days.len()))?;
        let values = Values { first, last, step: None, interval: true };
        self.has(span.clone(), hints::for_marked_range(&values, mark))
    }

    fn nth_weekday(&self, day: &str, nth: &str, span: &Range<usize>) -> Result<Days, CronError> {
        let weekday = self.weekday(day, span)?;
        match digits(nth).filter(|nth| (1..=5).contains(nth)) {
            Some(nth) => Ok(Days::Nth(weekday, nth as u8)),
            None => self.has(span.clone(), "after `#` stands 1-5: `6#3` is the third Friday of the month"),
        }
    }

    /// The day at the beginning of an item, from 0 = Sunday.
    fn weekday(&self, day: &str, span: &Range<usize>) -> Result<u8, CronError> {
        let value = self.value(day, &(span.start..span.start + day.len()))?;
        Ok(((value - self.field.first()) % 7) as u8)
    }

    fn refuse_in_unix(&self, span: &Range<usize>) -> Result<(), CronError> {
        match self.dialect {
            Dialect::Quartz => Ok(()),
            Dialect::Both => self.has(span.clone(), "`L`, `W` and `#` do not go with `@both`; write values"),
            Dialect::Unix => {
                self.has(span.clone(), "`L`, `W` and `#` belong to Quartz's form, which begins with a second")
            }
        }
    }

    /// `H`, `H(a-b)`, each with a step or without, as the values that they stand for here. Without a range, a day of
    /// the month is one that every month has.
    pub(super) fn hashed(&self, item: &str, span: &Range<usize>) -> Result<Values, CronError> {
        if self.field == Field::Year {
            return self.has(span.clone(), "`H` is not for years");
        }
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        let step = step.map(|step| self.step(step, span.start + base.len() + 1..span.end)).transpose()?;
        let (first, last) = self.hash_range(base, span)?;
        let Some(seed) = self.seed else {
            return self.has(
                span.clone(),
                "`H` is resolved with the key of a trigger, and none is known here; write a value",
            );
        };
        let last_start = step.map_or(last, |step| last.min(first + step - 1));
        let start = hash::value(seed, self.field, first, last_start);
        Ok(Values {
            first: start,
            last: if step.is_some() { last } else { start },
            step,
            interval: step.is_some(),
        })
    }

    /// The values from which `H` or `H(a-b)` chooses.
    fn hash_range(&self, base: &str, span: &Range<usize>) -> Result<(u16, u16), CronError> {
        let field = self.field;
        if base == "H" {
            return Ok((field.first(), if field == Field::DayOfMonth { 28 } else { field.last() }));
        }
        let inner = base.strip_prefix("H(").and_then(|rest| rest.strip_suffix(')'));
        let Some((from, to)) = inner.and_then(|inner| inner.split_once('-')) else {
            return self.has(span.clone(), "write `H`, `H(a-b)`, `H/n` or `H(a-b)/n`");
        };
        let inside = span.start + 2..span.start + base.len() - 1;
        let (first, last) = self.range(from, to, &inside)?;
        if first > last {
            return self.has(inside, "the range of `H` does not wrap around");
        }
        Ok((first, last))
    }
}
