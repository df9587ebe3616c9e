//! What the author of a refused expression probably meant. Every hint is read by the parser before it is given.

use super::items::Values;
use super::{CronError, Field, UNIX_MARK, parse, parse_unix};
use crate::{parse_duration, parse_zone};

/// Macros of other schedulers, and how the same is said here.
const FOREIGN: [(&str, &str); 9] = [
    (
        "@REBOOT",
        "what runs once at start is a start-up job: pass it to `before_start` of the scheduler's builder",
    ),
    ("@EVERY", "an interval is a schedule of its own: `Trigger::every(…)`"),
    ("@SECONDLY", "write `* * * * * ?`"),
    ("@MINUTELY", "write `0 * * * * ?`"),
    ("@EVERY_MINUTE", "write `0 * * * * ?`"),
    ("@NOON", "write `0 0 12 * * ?`"),
    ("@QUARTERLY", "write `0 0 0 1 1/3 ?`"),
    ("@WEEKDAYS", "write `0 0 0 ? * MON-FRI`"),
    ("@WEEKENDS", "write `0 0 0 ? * SAT,SUN`"),
];

/// How a macro of another scheduler is written here.
pub(super) fn foreign_macro(name: &str) -> Option<String> {
    if let Some(interval) = name.strip_prefix("@EVERY ") {
        let interval = interval.trim().to_lowercase();
        return Some(match parse_duration(&interval) {
            Ok(_) => {
                format!(
                    "an interval is a schedule of its own: `Trigger::every(…)` or `every = \"{interval}\"`"
                )
            }
            Err(error) => {
                format!(
                    "an interval is a schedule of its own, `Trigger::every(…)`, of a valid length: {error}"
                )
            }
        });
    }
    FOREIGN.iter().find(|(known, _)| *known == name).map(|(_, hint)| (*hint).to_owned())
}

/// The error that a time zone stands in front of the fields, as some crontabs allow.
pub(super) fn refuse_zone(text: &str) -> Result<(), CronError> {
    let start = text.len() - text.trim_start().len();
    let word = text.split_whitespace().next().unwrap_or_default();
    let Some((name, zone)) = word.split_once('=') else { return Ok(()) };
    if !["CRON_TZ", "TZ"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let problem = format!("the expression has `{word}` in front");
    let hint = match parse_zone(zone) {
        Ok(_) => format!("leave `{word}` out and set the time zone of the trigger to `{zone}`"),
        Err(error) => format!("leave `{word}` out and set the time zone of the trigger; {error}"),
    };
    Err(CronError::new(text, None, start..start + word.len(), problem, hint))
}

/// What five fields mean in Quartz's form, or marked as Unix's where Quartz cannot say the same.
pub(super) fn for_five_fields(fields: &str) -> Option<String> {
    let fields = joined(fields);
    let marked = format!("{} {fields}", UNIX_MARK.to_lowercase());
    match parse_unix(&fields, None) {
        Ok(read) if read.as_str().starts_with(UNIX_MARK) => Some(marked),
        Ok(read) => Some(read.as_str().to_owned()),
        Err(_) if parse_unix(&fields, Some("")).is_ok() => Some(marked),
        Err(_) => Some(format!("0 {fields}")).filter(|text| parse(text, Some("")).is_ok()),
    }
}

/// What six or seven fields mean that have no `?`.
pub(super) fn for_two_day_fields(text: &str) -> String {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let open = if fields[5] == "*" { 5 } else { 3 };
    if fields[open] != "*" {
        return both_days(&fields);
    }
    let mut quartz = fields.clone();
    quartz[open] = "?";
    let quartz = quartz.join(" ");
    let numbered = fields[5].bytes().any(|byte| byte.is_ascii_digit());
    match from_sunday_is_0(&fields).filter(|_| numbered) {
        Some(unix) => {
            format!("write `{unix}` if Monday is 1, as in Spring and crontabs, or `{quartz}` if Sunday is 1")
        }
        None => format!("write `{quartz}`"),
    }
}

/// Two day fields that both say something: only the Unix form joins them, and only at second 0 of any year.
fn both_days(fields: &[&str]) -> String {
    let unix = fields[1..].join(" ");
    let quartz = "write `?` in exactly one of the two, the one that does not matter";
    if fields.len() == 6 && fields[0] == "0" && parse_unix(&unix, Some("")).is_ok() {
        return format!("{quartz}, or `@unix {unix}` if either day is enough, as in crontabs");
    }
    quartz.to_owned()
}

/// The expression with its weekdays by name, read as Spring and crontabs number them.
fn from_sunday_is_0(fields: &[&str]) -> Option<String> {
    let read = parse_unix(&fields[1..6].join(" "), None).ok()?;
    let (_, rest) = read.as_str().split_once(' ')?;
    let year = fields.get(6).map(|year| format!(" {year}")).unwrap_or_default();
    let text = format!("{} {rest}{year}", fields[0]);
    parse(&text, None).is_ok().then_some(text)
}

/// What a range of the Unix form means that goes around the end of its field.
pub(super) fn for_wrapped(field: Field, values: &Values) -> String {
    let members: Vec<u16> = values.members(field).collect();
    let around = members.iter().position(|value| *value < values.first).unwrap_or(members.len());
    let (before, after) = members.split_at(around);
    let range = |part: &[u16]| match part {
        [first, .., last] if values.step.is_none() => {
            format!("{}-{}", shown(field, *first), shown(field, *last))
        }
        part => part.iter().map(|value| shown(field, *value)).collect::<Vec<_>>().join(","),
    };
    let parts = [before, after].into_iter().filter(|part| !part.is_empty()).map(range);
    let list = parts.collect::<Vec<_>>().join(",");
    format!("a range of the Unix form does not go around the end of the field; write `{list}`")
}

/// What a range of weekdays means before `L` or `#`: each of its days.
pub(super) fn for_marked_range(days: &Values, mark: &str) -> String {
    let field = Field::DayOfWeek;
    let days = days.members(field).map(|day| format!("`{}{mark}`", shown(field, day)));
    let days = days.collect::<Vec<_>>().join(", ");
    format!("`L` and `#` follow a single day; write a trigger for each day: {days}")
}

/// A value by its name, if it has one.
fn shown(field: Field, value: u16) -> String {
    let name = field.names().get(usize::from(value - field.first()));
    name.map_or_else(|| value.to_string(), |name| (*name).to_owned())
}

fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
