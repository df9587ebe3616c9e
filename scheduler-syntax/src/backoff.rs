//! Backoffs as people write them: `fixed(30s)`, `exponential(15s, 1h)`.

use std::fmt;
use std::time::Duration;

use crate::{format_duration, nearest, parse_duration};

const FIXED: &str = "fixed(30s)";
const EXPONENTIAL: &str = "exponential(15s, 1h)";
const FUNCTIONS: [&str; 2] = ["fixed", "exponential"];

/// How long a failed run waits for its next attempt, as it is written.
///
/// `Display` writes what [`parse_backoff`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackoffExpr {
    /// `fixed(delay)`: the same delay each time.
    Fixed(Duration),
    /// `exponential(base, cap)`: the delay doubles each time.
    Exponential {
        /// Before the first retry.
        base: Duration,
        /// The longest delay.
        cap: Duration,
    },
}

impl fmt::Display for BackoffExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(delay) => write!(f, "fixed({})", format_duration(*delay)),
            Self::Exponential { base, cap } => {
                write!(f, "exponential({}, {})", format_duration(*base), format_duration(*cap))
            }
        }
    }
}

/// A text that is no backoff: what is wrong and at which column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackoffError {
    text: String,
    column: usize,
    problem: String,
}

impl BackoffError {
    /// The column of the mistake, from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for BackoffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backoff `{}`, column {}: {}", self.text, self.column, self.problem)
    }
}

impl std::error::Error for BackoffError {}

/// The backoff that a text means: `fixed(delay)` or `exponential(base, cap)`, with durations as
/// [`parse_duration`] reads them.
///
/// White space may stand around each part. A delay is at least a millisecond, and the base is not longer than the cap.
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_syntax::{BackoffExpr, parse_backoff};
///
/// assert_eq!(parse_backoff("fixed(30s)")?, BackoffExpr::Fixed(Duration::from_secs(30)));
/// # Ok::<(), scheduler_syntax::BackoffError>(())
/// ```
///
/// # Errors
///
/// Anything else: another function, a wrong number of durations, a duration that cannot be read or is too short, a base
/// that is longer than the cap.
pub fn parse_backoff(text: &str) -> Result<BackoffExpr, BackoffError> {
    let call = Call::read(text)?;
    if call.name == "fixed" {
        let [delay] = call.durations(["delay"])?;
        return Ok(BackoffExpr::Fixed(delay));
    }
    let [base, cap] = call.durations(["base", "cap"])?;
    if base <= cap {
        return Ok(BackoffExpr::Exponential { base, cap });
    }
    let (shown, swapped) =
        (format_duration(base), BackoffExpr::Exponential { base: cap, cap: base }.to_string());
    let problem =
        format!("the base {shown} is longer than the cap {}; write `{swapped}`", format_duration(cap));
    Err(call.error(call.arguments_at, problem))
}

/// A known function and what stands between its parentheses.
struct Call<'a> {
    text: &'a str,
    name: &'a str,
    arguments: &'a str,
    arguments_at: usize,
}

impl<'a> Call<'a> {
    fn read(text: &'a str) -> Result<Self, BackoffError> {
        let start = text.trim_start();
        let at = text.len() - start.len();
        let (name, rest) =
            start.split_at(start.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(start.len()));
        let call = Self { text, name, arguments: "", arguments_at: at };
        if !FUNCTIONS.contains(&name) {
            return Err(call.error(at, call.unknown()));
        }
        let rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(inner) = rest.strip_prefix('(') else {
            return Err(call.error(at, format!("expected `(` behind `{name}`; write `{}`", call.example())));
        };
        let Some((arguments, behind)) = inner.split_once(')') else {
            return Err(call.error(text.len(), "the parenthesis is not closed; add `)`"));
        };
        if !behind.trim().is_empty() {
            let at = text.len() - behind.trim_start().len();
            return Err(call.error(at, format!("`{}` behind `)` means nothing; remove it", behind.trim())));
        }
        Ok(Self { arguments, arguments_at: at + 1, ..call })
    }

    fn error(&self, at: usize, problem: impl Into<String>) -> BackoffError {
        let column = self.column(at);
        BackoffError { text: self.text.to_owned(), column, problem: problem.into() }
    }

    /// The column of a byte.
    fn column(&self, at: usize) -> usize {
        self.text.get(..at).map_or(1, |before| before.chars().count() + 1)
    }

    /// How the function is used.
    fn example(&self) -> &'static str {
        if self.name == "fixed" { FIXED } else { EXPONENTIAL }
    }

    /// What to say of a text that does not begin with a known function.
    fn unknown(&self) -> String {
        let (text, name) = (self.text.trim(), self.name);
        if parse_duration(text).is_ok() {
            return format!("`{text}` is only a duration; write `fixed({text})` to wait as long each time");
        }
        if text.is_empty() {
            return format!("is empty; write `{FIXED}` or `{EXPONENTIAL}`");
        }
        if name.is_empty() {
            return format!("expected the name of a function; write `{FIXED}` or `{EXPONENTIAL}`");
        }
        match meant(name) {
            Some(near) => format!("there is no backoff `{name}`; did you mean `{near}`?"),
            None => format!("there is no backoff `{name}`; write `{FIXED}` or `{EXPONENTIAL}`"),
        }
    }

    /// One duration for each of the `parameters`.
    fn durations<const N: usize>(&self, parameters: [&str; N]) -> Result<[Duration; N], BackoffError> {
        let mut given: Vec<&str> = self.arguments.split(',').collect();
        given.retain(|_| !self.arguments.trim().is_empty());
        if given.len() != N {
            return Err(self.error(self.arguments_at, self.wrong_number(&parameters, given.len())));
        }
        let mut durations = [Duration::ZERO; N];
        let mut at = self.arguments_at;
        for ((duration, parameter), part) in durations.iter_mut().zip(parameters).zip(given) {
            *duration = self.duration(parameter, part, at)?;
            at += part.len() + 1;
        }
        Ok(durations)
    }

    fn wrong_number(&self, parameters: &[&str], given: usize) -> String {
        let durations = match parameters {
            [one] => format!("1 duration, the {one}"),
            all => format!("{} durations, the {}", all.len(), all.join(" and the ")),
        };
        format!("`{}` takes {durations}, not {given}; write `{}`", self.name, self.example())
    }

    fn duration(&self, parameter: &str, part: &str, at: usize) -> Result<Duration, BackoffError> {
        let shown = part.trim();
        let problem = match parse_duration(part) {
            Ok(duration) if duration >= Duration::from_millis(1) => return Ok(duration),
            Ok(_) => format!("the {parameter} `{shown}` is shorter than a millisecond; use at least `1ms`"),
            Err(error) if shown.is_empty() => format!("the {parameter} {}", error.problem()),
            Err(error) => {
                let column = self.column(at) + error.column() - 1;
                let problem = format!("the {parameter} `{shown}`: {}", error.problem());
                return Err(BackoffError { column, ..self.error(at, problem) });
            }
        };
        Err(self.error(at + part.len() - part.trim_start().len(), problem))
    }
}

/// The function that somebody who writes this name has in mind.
fn meant(name: &str) -> Option<&'static str> {
    match name.to_lowercase().as_str() {
        "constant" | "const" | "delay" | "every" | "interval" => Some("fixed"),
        "exp" | "expo" | "doubling" | "exponential_backoff" => Some("exponential"),
        _ => nearest(name, FUNCTIONS),
    }
}
