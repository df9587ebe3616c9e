//! From text to expression: fields, then the items of each field.
//!
//! Fields are what stands between white space, items what stands between commas. Every mistake is reported with the
//! bytes that it is about, so that an editor or a compiler can point at them. Quartz lets much malformed text pass;
//! here whatever is not understood completely is refused.
//!
//! * this file: the expression as a whole, macros, how the two day fields go together
//! * `fields`: the text cut into fields, and what is said when there are too few or too many
//! * `hints`: what was probably meant
//! * `items`: one field: values, ranges, steps
//! * `special`: `L`, `W`, `#` and `H`

mod fields;
mod hints;
mod items;
mod special;

use self::fields::{Cut, Dialect};
use self::items::{FieldSet, Reader};
use super::days::{Days, Joined, WHOLE_MONTH, WHOLE_WEEK};
use super::error::CronError;
use super::expr::{CronExpr, Parts};
use super::field::Field;
use super::years::Years;
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

/// Before the five fields of Unix, to tell them from Quartz's.
const UNIX_MARK: &str = "@UNIX";

/// Before the fields of Quartz, if a day must match both of its day fields.
const BOTH_MARK: &str = "@BOTH";

/// Reads Quartz's form, a macro, or the marked form of Unix.
pub(super) fn parse(text: &str, seed: Option<&str>) -> Result<CronExpr, CronError> {
    hints::refuse_zone(text)?;
    if let Some(unix) = after_unix_mark(text) {
        return read(text, text.len() - unix.len(), Dialect::Unix, seed);
    }
    if let Some(both) = after_mark(text, BOTH_MARK) {
        return read(text, text.len() - both.len(), Dialect::Both, seed);
    }
    if text.trim_start().starts_with('@') {
        return parse(expand(text)?, seed);
    }
    read(text, 0, Dialect::Quartz, seed)
}

/// Reads the five fields of Unix, marked or not, or a macro.
pub(super) fn parse_unix(text: &str, seed: Option<&str>) -> Result<CronExpr, CronError> {
    if text.trim_start().starts_with('@') {
        return parse(text, seed);
    }
    hints::refuse_zone(text)?;
    read(text, 0, Dialect::Unix, seed)
}

/// What follows the mark of the Unix form, if it is there.
pub(super) fn after_unix_mark(text: &str) -> Option<&str> {
    after_mark(text, UNIX_MARK)
}

fn after_mark<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let (found, rest) = text.trim_start().split_at_checked(mark.len())?;
    let marked = found.eq_ignore_ascii_case(mark) && (rest.is_empty() || rest.starts_with([' ', '\t']));
    marked.then_some(rest)
}

/// The expression that a macro stands for.
fn expand(text: &str) -> Result<&'static str, CronError> {
    let name = text.trim().to_ascii_uppercase();
    if let Some((_, expression)) = MACROS.iter().find(|(known, _)| *known == name) {
        return Ok(expression);
    }
    let near = || nearest(&name, MACROS.map(|(known, _)| known));
    let hint = match hints::foreign_macro(&name).map_or_else(|| Err(near()), Ok) {
        Ok(hint) => hint,
        Err(Some(near)) => format!("did you mean `{}`?", near.to_lowercase()),
        Err(None) => {
            "use one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually".to_owned()
        }
    };
    let start = text.len() - text.trim_start().len();
    let span = start..start + text.trim().len();
    Err(CronError::new(text, None, span, format!("`{}` is no macro", text.trim()), hint))
}

/// Reads the fields from byte `start` of the text on.
fn read(text: &str, start: usize, dialect: Dialect, seed: Option<&str>) -> Result<CronExpr, CronError> {
    let cut = Cut::new(text, start, dialect)?;
    let upper = text.to_ascii_uppercase();
    let mut reader = Reader::new(text, &upper, dialect, seed);
    let mut field = |field: Field| reader.field(field, cut.span(field));
    let seconds = field(Field::Second)?;
    let minutes = field(Field::Minute)?;
    let hours = field(Field::Hour)?;
    let of_month = field(Field::DayOfMonth)?;
    let months = field(Field::Month)?;
    let of_week = field(Field::DayOfWeek)?;
    let years = if cut.has_year() { field(Field::Year)?.years } else { Years::ALL };
    let mut normal = reader.into_normal();
    let interval = seconds.interval || minutes.interval || hours.interval;
    let days = match dialect {
        Dialect::Quartz => choose_days(text, of_month, of_week, &cut)?,
        Dialect::Both => {
            normal.insert(0, BOTH_MARK.to_owned());
            let (of_month, of_week) = (of_month.values as u32, weekdays(of_week.values));
            Days::Joined(Joined { of_month, of_week, either: false })
        }
        Dialect::Unix => join_days(of_month, of_week, &mut normal),
    };
    let mut parts = Parts {
        text: normal.join(" "),
        seconds: seconds.values,
        minutes: minutes.values,
        hours: hours.values,
        days,
        months: months.values,
        years,
        interval,
        never: false,
    };
    parts.never = parts.has_no_date();
    Ok(CronExpr::of(parts))
}

/// Exactly one of the two day fields of Quartz says something.
fn choose_days(text: &str, of_month: FieldSet, of_week: FieldSet, cut: &Cut) -> Result<Days, CronError> {
    let problem = match (of_month.open, of_week.open) {
        (false, true) => return Ok(Days::OfMonth(of_month.month_days)),
        (true, false) => return Ok(of_week.week_day.unwrap_or(Days::OfWeek(weekdays(of_week.values)))),
        (true, true) => "is `?` in both day fields",
        (false, false) => "and day-of-month are both given",
    };
    let hint = match of_month.open {
        true => "write `?` in exactly one of the two, the one that does not matter".to_owned(),
        false => hints::for_two_day_fields(text),
    };
    let span = cut.span(Field::DayOfMonth).start..cut.span(Field::DayOfWeek).end;
    Err(CronError::new(text, Some(Field::DayOfWeek), span, problem.to_owned(), hint))
}

/// The two day fields of Unix, as Vixie's cron joins them; the normalised fields become those of Quartz, if it can say
/// the same.
fn join_days(of_month: FieldSet, of_week: FieldSet, normal: &mut Vec<String>) -> Days {
    let (month, week) = (of_month.values as u32, weekdays(of_week.values));
    let either = !of_month.starred && !of_week.starred;
    let (no_month, no_week) = (month == WHOLE_MONTH, week == WHOLE_WEEK);
    let [.., day_of_month, _, day_of_week] = normal.as_mut_slice() else { return Days::OfWeek(week) };
    if either && (no_month || no_week) || no_month && no_week {
        (*day_of_month, *day_of_week) = ("*".to_owned(), "?".to_owned());
        Days::OfMonth(of_month.every_day())
    } else if no_week {
        "?".clone_into(day_of_week);
        Days::OfMonth(of_month.month_days)
    } else if no_month {
        "?".clone_into(day_of_month);
        Days::OfWeek(week)
    } else {
        UNIX_MARK.clone_into(&mut normal[0]);
        Days::Joined(Joined { of_month: month, of_week: week, either })
    }
}

/// From the numbers of the field, 1 = Sunday, to those of [`Days`], 0 = Sunday.
fn weekdays(values: u64) -> u8 {
    (values >> 1) as u8 & WHOLE_WEEK
}
