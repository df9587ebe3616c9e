//! What the author of a refused rule probably meant.

use super::block;
use super::error::RuleError;
use super::parse::{PARTS, WEEKDAYS, parse};
use crate::nearest::nearest;

/// Parts of other libraries, whose names are nearer to another part than to ours.
const FOREIGN: [(&str, &str); 5] = [
    ("BYWEEKDAY", "BYDAY"),
    ("BYNWEEKDAY", "BYDAY"),
    ("BYDATE", "BYMONTHDAY"),
    ("BYNMONTHDAY", "BYMONTHDAY"),
    ("WEEKSTART", "WKST"),
];

/// A day of the week by the first letters that make it one.
const LONG_WEEKDAYS: [&str; 7] =
    ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];

/// The message about a part that does not exist in recurrence rules.
pub(super) fn for_part(name: &str) -> String {
    if let Some(elsewhere) = block::as_part(name) {
        return elsewhere;
    }
    let foreign = FOREIGN.iter().find(|(other, _)| *other == name).map(|(_, part)| *part);
    let near = foreign.or_else(|| nearest(name, PARTS));
    let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    format!("there is no part `{name}`{hint}; use one of {}", PARTS.join(", "))
}

/// The words that may stand there, after the nearest of them.
pub(super) fn for_word<const N: usize>(word: &str, known: [&str; N]) -> String {
    let short = match word {
        "DAY" | "DAYS" => Some("DAILY"),
        word if word.len() > 2 => {
            known.into_iter().find(|known| known.starts_with(word.trim_end_matches('S')))
        }
        _ => None,
    };
    let near = short.or_else(|| nearest(word, known));
    let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    format!("{near}use one of {}", known.join(", "))
}

/// The error about what stands between the parts, if the rule is right without it.
pub(super) fn for_separators(rule: &str, offset: usize) -> Option<RuleError> {
    if let Some(meant) = with_semicolons(rule) {
        return Some(RuleError::new(offset + 1, format!("`;` stands between two parts; write `{meant}`")));
    }
    let at = rule.find(char::is_whitespace)?;
    let whole = without_blanks(rule)?;
    let column = offset + rule[..at].chars().count() + 1;
    Some(RuleError::new(column, format!("white space is no part of a rule; write `{whole}`")))
}

fn without_blanks(rule: &str) -> Option<String> {
    let ends_word = |part: &str| part.ends_with(|c: char| c.is_ascii_alphanumeric());
    let starts_word = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
    let parts: Vec<&str> = rule.split_whitespace().collect();
    // `1 2` may be two values whose comma is missing.
    let is_doubtful = parts.windows(2).any(|pair| ends_word(pair[0]) && starts_word(pair[1]));
    Some(parts.concat()).filter(|whole| !is_doubtful && parse(whole).is_ok())
}

/// The rule with `;` between its parts.
fn with_semicolons(rule: &str) -> Option<String> {
    let mut meant = rule.to_owned();
    for name in PARTS {
        for between in [", ", ",", " "] {
            meant = meant.replace(&format!("{between}{name}="), &format!(";{name}="));
        }
    }
    (meant != rule && !meant.contains(";;") && parse(&meant).is_ok()).then_some(meant)
}

/// The values of a range, which rules do not have.
pub(super) fn for_range(item: &str, valid: impl Fn(i32) -> bool) -> Option<String> {
    let (first, last) = item.split_once('-')?;
    let (first, last): (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
    let rising = (0..last).contains(&first) && valid(first) && valid(last);
    rising.then(|| (first..=last).map(|value| value.to_string()).collect::<Vec<_>>().join(","))
}

/// A weekday that is written longer than with two letters, or with its number behind it.
pub(super) fn for_weekday(item: &str) -> Option<String> {
    let start = item.find(|c: char| c.is_ascii_alphabetic())?;
    let (before, rest) = item.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    let is_long =
        |long: &&str| name.len() > 2 && (long.starts_with(name) || **long == *name.trim_end_matches('S'));
    let index = WEEKDAYS
        .iter()
        .position(|known| *known == name)
        .or_else(|| LONG_WEEKDAYS.iter().position(is_long))?;
    let number = if before.is_empty() { behind } else { before };
    let is_number = number.is_empty() || number.parse::<i32>().is_ok_and(|number| number != 0);
    let both = !before.is_empty() && !behind.is_empty();
    (is_number && !both).then(|| format!("{number}{}", WEEKDAYS[index]))
}

/// A date, perhaps with a time, without the marks of the long form of ISO 8601.
pub(super) fn for_moment(value: &str) -> Option<String> {
    let (date, time) = value.split_once(['T', ' ']).map_or((value, None), |(date, time)| (date, Some(time)));
    let date = date.replace('-', "");
    match time {
        None => Some(date),
        // With `+` or `-` the rest is an offset, which `UNTIL` does not have.
        Some(time) if time.contains(['+', '-']) => None,
        Some(time) => Some(format!("{date}T{}", time.replace(':', ""))),
    }
}
