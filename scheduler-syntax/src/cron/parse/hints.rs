//! What the author of a refused expression probably meant. Every hint is read by the parser before it is given.

use super::items::Values;
use super::{BOTH_MARK, CronError, Field, UNIX_MARK, nearest, parse, parse_unix};
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
    let is_length =
        |rest: &&str| rest.starts_with([' ', '\t']) || rest.starts_with(|c: char| c.is_ascii_digit());
    if let Some(interval) = name.strip_prefix("@EVERY").filter(is_length) {
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
    let fields = mended(&fields).unwrap_or(fields);
    let marked = format!("{} {fields}", UNIX_MARK.to_lowercase());
    match parse_unix(&fields, None) {
        Ok(read) if read.as_str().starts_with(UNIX_MARK) => Some(marked),
        Ok(read) => Some(read.as_str().to_owned()),
        Err(_) if parse_unix(&fields, Some("")).is_ok() => Some(marked),
        Err(_) => for_marked_days(&fields),
    }
}

/// What six fields behind `@both` are whose second is missing.
pub(super) fn for_five_of_both(fields: &str) -> Option<String> {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [times @ .., day_of_week] = fields.as_slice() else { return None };
    let text = format!("{} 0 {} {}", BOTH_MARK.to_lowercase(), times.join(" "), by_name(day_of_week)?);
    parse(&text, None).is_ok().then_some(text)
}

/// The fields of Unix with each mistake mended whose way out is not in doubt; none if others are left.
fn mended(fields: &str) -> Option<String> {
    let mut text = fields.to_owned();
    while let Err(error) = parse_unix(&text, Some("")) {
        text = error.mended(&text)?;
    }
    Some(text)
}

/// What five fields mean with `?`, `L`, `W` or `#`, which only Quartz's form has.
fn for_marked_days(fields: &str) -> Option<String> {
    let mut fields: Vec<String> = fields.split(' ').map(str::to_owned).collect();
    let [_, _, day_of_month, _, day_of_week] = fields.as_mut_slice() else { return None };
    // Who writes `?` counts weekdays as Quartz does.
    if let Some(named) = by_name(day_of_week).filter(|_| day_of_month != "?") {
        *day_of_week = named;
    }
    match (day_of_month.as_str(), day_of_week.as_str()) {
        ("?", _) | (_, "?") => {}
        (_, "*") => "?".clone_into(day_of_week),
        ("*", _) => "?".clone_into(day_of_month),
        _ => return None,
    }
    Some(format!("0 {}", fields.join(" "))).filter(|text| parse(text, Some("")).is_ok())
}

/// The weekdays of Spring and crontabs, where Sunday is 0 and 7, by their names. With `L` or `#` they are a single day.
fn by_name(days: &str) -> Option<String> {
    let mark = days.find(['#', 'L']).filter(|at| *at > 0).unwrap_or(days.len());
    let (days, mark) = days.split_at(mark);
    let read = parse_unix(&format!("0 0 * * {days}"), None).ok()?;
    let named = read.as_str().split(' ').nth(5).filter(|named| *named != "?")?;
    Some(format!("{named}{mark}"))
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
    match from_sunday_is_0(&fields).filter(|_| is_numbered(fields[5])) {
        Some(unix) => {
            format!("write `{unix}` if Monday is 1, as in Spring and crontabs, or `{quartz}` if Sunday is 1")
        }
        None => format!("write `{quartz}`"),
    }
}

/// Two day fields that both say something. `@both` joins them, and the Unix form at second 0 of any year.
fn both_days(fields: &[&str]) -> String {
    let mut hint = "write `?` in exactly one of the two, the one that does not matter".to_owned();
    let unix = format!("{} {}", UNIX_MARK.to_lowercase(), fields[1..].join(" "));
    if fields.len() == 6 && fields[0] == "0" && parse(&unix, Some("")).is_ok() {
        hint.push_str(&format!(", or `{unix}` if either day is enough, as in crontabs"));
    }
    let both = |fields: &[&str]| {
        let text = format!("{} {}", BOTH_MARK.to_lowercase(), fields.join(" "));
        parse(&text, Some("")).is_ok().then_some(text)
    };
    let named = by_name(fields[5]).filter(|_| is_numbered(fields[5])).and_then(|days| {
        let mut fields = fields.to_vec();
        fields[5] = &days;
        both(&fields)
    });
    match (named, both(fields)) {
        (Some(named), Some(both)) => hint.push_str(&format!(
            ", or `{named}` if a day must match both and Monday is 1, as in Spring, or `{both}` if Sunday is 1"
        )),
        (None, Some(both)) => hint.push_str(&format!(", or `{both}` if a day must match both")),
        _ => {}
    }
    hint
}

/// Whether there is a weekday by its number. The number behind `#` is none.
fn is_numbered(days: &str) -> bool {
    days.split('#').next().is_some_and(|days| days.bytes().any(|byte| byte.is_ascii_digit()))
}

/// The expression with its weekdays by name, read as Spring and crontabs number them.
fn from_sunday_is_0(fields: &[&str]) -> Option<String> {
    let days = by_name(fields[5])?;
    let mut fields = fields.to_vec();
    (fields[3], fields[5]) = ("?", &days);
    let text = fields.join(" ");
    parse(&text, None).is_ok().then_some(text)
}

/// The values of a range that goes around the end of its field, as two ranges.
pub(super) fn around(field: Field, values: &Values) -> String {
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
    parts.collect::<Vec<_>>().join(",")
}

/// The names that a mistyped one may stand for: that which it begins with, those that begin with it, or the nearest.
pub(super) fn names_near(text: &str, names: &'static [&'static str]) -> Vec<&'static str> {
    let all = || names.iter().copied();
    // `JUN` among weekdays stands in the wrong field and is no slip of `SUN`.
    let elsewhere = [Field::Month, Field::DayOfWeek].iter().any(|field| field.names().contains(&text));
    if text.len() < 2 || elsewhere {
        return Vec::new();
    }
    if let Some(begun) = all().find(|name| text.starts_with(name)) {
        return vec![begun];
    }
    let longer: Vec<_> = all().filter(|name| name.starts_with(text)).collect();
    if !longer.is_empty() {
        return longer;
    }
    // Of equally near names the first one wins, so both ends show whether there are several.
    let mut near: Vec<_> = nearest(text, all()).into_iter().chain(nearest(text, all().rev())).collect();
    near.dedup();
    near
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
