//! Durations as people write them: `90s`, `1m30s`, `2 h`, `250ms`.

use std::fmt::{self, Write};
use std::time::Duration;

/// Names and lengths of the units, longest first.
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
        Self { text: text.to_owned(), column, problem: problem.into() }
    }

    /// The column of the mistake, from 1.
    pub fn column(&self) -> usize {
        self.column
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
/// # Errors
///
/// Anything else: a number without a unit, an unknown unit, a fraction, nothing at all, or more than fits.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut total: u128 = 0;
    let mut rest = text.trim_start();
    if rest.trim().is_empty() {
        return Err(DurationError::new(text, 0, "is empty; write a number and a unit, such as `30s`"));
    }
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let (nanos, left) = part(text, at, rest)?;
        total = total.saturating_add(nanos);
        rest = left.trim_start();
    }
    u64::try_from(total / 1_000_000_000)
        .map(|seconds| Duration::new(seconds, (total % 1_000_000_000) as u32))
        .map_err(|_| DurationError::new(text, 0, "is longer than can be counted"))
}

/// One number with its unit, in nanoseconds, and what is left of the text.
fn part<'a>(text: &str, at: usize, rest: &'a str) -> Result<(u128, &'a str), DurationError> {
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(digits);
    if number.is_empty() {
        return Err(DurationError::new(text, at, "expected a whole number, such as in `30s`"));
    }
    let unit_text = rest.trim_start();
    let letters = unit_text.find(|c: char| !c.is_alphabetic()).unwrap_or(unit_text.len());
    let (name, rest) = unit_text.split_at(letters);
    let unit_at = text.len() - unit_text.len();
    if name.is_empty() {
        let problem =
            format!("`{number}` has no unit; write `{number}s` for seconds, or one of {}", unit_names());
        return Err(DurationError::new(text, unit_at, problem));
    }
    let Some((_, length)) = UNITS.iter().find(|(unit, _)| *unit == name) else {
        return Err(DurationError::new(
            text,
            unit_at,
            format!("`{name}` is no unit; use one of {}", unit_names()),
        ));
    };
    let count: u128 =
        number.parse().map_err(|_| DurationError::new(text, at, "is longer than can be counted"))?;
    Ok((count.saturating_mul(*length), rest))
}

fn unit_names() -> String {
    UNITS.map(|(name, _)| name).join(", ")
}

/// The shortest text that [`parse_duration`] reads as this duration.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let seconds = |text: &str| parse_duration(text).unwrap().as_secs_f64();
        for (text, expected) in [
            ("90s", 90.0),
            ("1m30s", 90.0),
            ("2 h", 7200.0),
            ("250ms", 0.25),
            ("1d 12h", 129_600.0),
            ("0s", 0.0),
            (" 1w ", 604_800.0),
        ] {
            assert!((seconds(text) - expected).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let message = |text: &str| parse_duration(text).unwrap_err().to_string();
        assert!(message("15").contains("write `15s`"), "{}", message("15"));
        assert!(message("1m 5x").contains("column 5: `x` is no unit"), "{}", message("1m 5x"));
        assert!(message("").contains("empty"));
        assert!(message("1.5s").contains("no unit"), "{}", message("1.5s"));
        assert!(message("-3s").contains("whole number"));
        assert!(message("99999999999999999999999w").contains("longer"));
        assert!(message("5 µs").contains("no unit"));
    }

    #[test]
    fn written_durations_are_read_back() {
        for millis in [0, 1, 999, 1000, 61_001, 86_400_000, 694_861_001] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }
    }
}
