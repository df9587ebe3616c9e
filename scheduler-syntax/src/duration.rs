//! Durations as people write them: `90s`, `1m30s`, `2 h`, `250ms`.

mod foreign;

use std::fmt::{self, Write};
use std::time::Duration;

/// Names and lengths in nanoseconds of the units, longest first.
const UNITS: [(&str, u128); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A text that is no duration: what is wrong and at which column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationError {
    text: String,
    column: usize,
    problem: String,
}

impl DurationError {
    fn new(text: &str, at: usize, problem: impl Into<String>) -> Self {
        let column = text.get(..at).map_or(1, |before| before.chars().count() + 1);
        let mut problem = problem.into();
        if let Some(meant) = foreign::meant(text) {
            problem = format!("{problem}; write `{}`", format_duration(meant));
        }
        Self { text: text.to_owned(), column, problem }
    }

    /// The column of the mistake, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, without the text and the column.
    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "duration `{}`, column {}: {}", self.text, self.column, self.problem)
    }
}

impl std::error::Error for DurationError {}

/// The duration that a text means: whole numbers, each with a unit of `w`, `d`, `h`, `m`, `s`, `ms`, `us` or `ns`.
///
/// The parts are added up. White space may stand around them and between a number and its unit. A week has seven days
/// and a day 24 hours; whoever means days of a calendar wants a cron expression. Zero is a duration: where it makes no
/// sense, the caller says so.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(scheduler_syntax::parse_duration("1m30s")?, Duration::from_secs(90));
/// # Ok::<(), scheduler_syntax::DurationError>(())
/// ```
///
/// # Errors
///
/// Anything else: a number without a unit, an unknown unit, a fraction, nothing at all, or more than fits.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut total: u128 = 0;
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Err(DurationError::new(text, 0, "is empty; write a number and a unit, such as `30s`"));
    }
    while !rest.is_empty() {
        let (nanos, left) = part(text, rest)?;
        total = total.saturating_add(nanos);
        rest = left.trim_start();
    }
    u64::try_from(total / 1_000_000_000)
        .map(|seconds| Duration::new(seconds, (total % 1_000_000_000) as u32))
        .map_err(|_| DurationError::new(text, 0, "is longer than can be counted"))
}

/// One number with its unit, in nanoseconds, and what is left of the text.
fn part<'a>(text: &str, rest: &'a str) -> Result<(u128, &'a str), DurationError> {
    let at = text.len() - rest.len();
    let (number, rest) = split_where(rest, |c| !c.is_ascii_digit());
    if number.is_empty() {
        return Err(DurationError::new(text, at, "expected a whole number, such as in `30s`"));
    }
    let rest = rest.trim_start();
    let unit_at = text.len() - rest.len();
    let (name, left) = split_where(rest, |c| !c.is_alphabetic());
    let Some((_, length)) = UNITS.iter().find(|(unit, _)| *unit == name) else {
        return Err(DurationError::new(text, unit_at, no_unit(number, name, left)));
    };
    let count: u128 =
        number.parse().map_err(|_| DurationError::new(text, at, "is longer than can be counted"))?;
    Ok((count.saturating_mul(*length), left))
}

/// The text up to the first such character, and the rest.
fn split_where(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// What is wrong with the unit `name` behind `number`.
fn no_unit(number: &str, name: &str, left: &str) -> String {
    let units = UNITS.map(|(unit, _)| unit).join(", ");
    if name.is_empty() && left.starts_with(['.', ',']) {
        return "only whole numbers, so a part needs a smaller unit".to_owned();
    }
    if name.is_empty() && left.starts_with(':') {
        return "a time with colons does not say its units; give each number a unit, such as `5m30s`"
            .to_owned();
    }
    if name.is_empty() && !left.trim().is_empty() {
        return format!("`{number}` has no unit; write one of {units} behind it");
    }
    if name.is_empty() {
        return format!("`{number}` has no unit; write `{number}s` for seconds, or one of {units}");
    }
    format!("`{name}` is no unit; use one of {units}")
}

/// The duration in the largest units that fit, exactly. [`parse_duration`] reads it back.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(scheduler_syntax::format_duration(Duration::from_millis(90_500)), "1m30s500ms");
/// ```
pub fn format_duration(duration: Duration) -> String {
    let mut left = duration.as_nanos();
    let mut text = String::new();
    for (name, length) in UNITS {
        if left >= length {
            // Writing to a string does not fail.
            write!(text, "{}{name}", left / length).ok();
            left %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
