//! The parts of a written backoff, and what to say of each that is wrong.

use std::time::Duration;

use super::{BackoffError, BackoffExpr, Factor, MOST_DELAYS};
use crate::{format_duration, nearest, parse_duration};

const FIXED: &str = "fixed(30s)";
const LINEAR: &str = "linear(30s, 1h)";
const EXPONENTIAL: &str = "exponential(15s, 1h)";
const DELAYS: &str = "delays(1s, 10s, 1m)";
const FUNCTIONS: [&str; 4] = ["fixed", "linear", "exponential", "delays"];
const PRESETS: [&str; 2] = ["hangfire", "sidekiq"];

/// A known word and what stands between its parentheses.
pub(super) struct Call<'a> {
    text: &'a str,
    pub(super) name: &'a str,
    arguments: &'a str,
    arguments_at: usize,
}

impl<'a> Call<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, BackoffError> {
        let start = text.trim_start();
        let at = text.len() - start.len();
        let (name, rest) =
            start.split_at(start.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(start.len()));
        let call = Self { text, name, arguments: "", arguments_at: at };
        let rest = rest.trim_start();
        let rest_at = text.len() - rest.len();
        if PRESETS.contains(&name) {
            return call.without_arguments(rest, rest_at);
        }
        if !FUNCTIONS.contains(&name) {
            return Err(call.error(at, call.unknown()));
        }
        let Some(inner) = rest.strip_prefix('(') else {
            let problem = format!("expected `(` behind `{name}`; write `{}`", call.example());
            return Err(call.error(rest_at, problem));
        };
        let Some((arguments, behind)) = inner.split_once(')') else {
            return Err(call.error(text.len(), "the parenthesis is not closed; add `)`"));
        };
        if !behind.trim().is_empty() {
            let at = text.len() - behind.trim_start().len();
            return Err(call.error(at, format!("`{}` behind `)` means nothing; remove it", behind.trim())));
        }
        Ok(Self { arguments, arguments_at: rest_at + 1, ..call })
    }

    /// A word that is a backoff by itself; `rest` is what stands behind the word.
    fn without_arguments(self, rest: &str, at: usize) -> Result<Self, BackoffError> {
        let (name, rest) = (self.name, rest.trim_end());
        if rest.is_empty() {
            return Ok(self);
        }
        let problem = match rest.starts_with('(') {
            true => format!("`{name}` takes nothing in parentheses; write `{name}`"),
            false => format!("`{rest}` behind `{name}` means nothing; remove it"),
        };
        Err(self.error(at, problem))
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
        match self.name {
            "fixed" => FIXED,
            "linear" => LINEAR,
            "exponential" => EXPONENTIAL,
            _ => DELAYS,
        }
    }

    /// What to say of a text that does not begin with a known word.
    fn unknown(&self) -> String {
        let (text, name) = (self.text.trim(), self.name);
        if parse_duration(text).is_ok() {
            return format!("`{text}` is only a duration; write `fixed({text})` to wait as long each time");
        }
        let durations = text.contains(',') && text.split(',').all(|part| parse_duration(part).is_ok());
        if durations {
            return format!("`{text}` is only a list of durations; write `delays({text})`");
        }
        if text.is_empty() {
            return format!("is empty; write `{FIXED}` or `{EXPONENTIAL}`");
        }
        if name.is_empty() {
            return format!("expected the name of a function; write `{FIXED}` or `{EXPONENTIAL}`");
        }
        match meant(name) {
            Some(near) => format!("there is no backoff `{name}`; did you mean `{near}`?"),
            None => format!(
                "there is no backoff `{name}`; write `{FIXED}`, `{LINEAR}`, `{EXPONENTIAL}`, `{DELAYS}`, `hangfire` or `sidekiq`"
            ),
        }
    }

    /// What stands between the commas, each part with its place.
    fn given(&self) -> Vec<(&'a str, usize)> {
        if self.arguments.trim().is_empty() {
            return Vec::new();
        }
        let mut at = self.arguments_at;
        let place = |part: &'a str| {
            let start = at;
            at += part.len() + 1;
            (part, start)
        };
        self.arguments.split(',').map(place).collect()
    }

    /// One duration for each of the `parameters`, which come first.
    pub(super) fn durations<const N: usize>(
        &self,
        parameters: [&str; N],
    ) -> Result<[Duration; N], BackoffError> {
        let given = self.given();
        let most = if self.name == "exponential" { N + 1 } else { N };
        if !(N..=most).contains(&given.len()) {
            return Err(self.error(self.arguments_at, self.wrong_number(&parameters, given.len())));
        }
        let mut durations = [Duration::ZERO; N];
        for ((duration, parameter), (part, at)) in durations.iter_mut().zip(parameters).zip(given) {
            *duration = self.duration(parameter, part, at)?;
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

    /// The third part, if there are three.
    pub(super) fn factor(&self) -> Result<Factor, BackoffError> {
        match self.given()[..] {
            [_, _, (part, at)] => Factor::read(part.trim())
                .map_err(|problem| self.error(at + part.len() - part.trim_start().len(), problem)),
            _ => Ok(Factor::default()),
        }
    }

    /// All durations.
    pub(super) fn list(&self) -> Result<Vec<Duration>, BackoffError> {
        let given = self.given();
        if !(1..=MOST_DELAYS).contains(&given.len()) {
            let (number, example) = (given.len(), self.example());
            let problem =
                format!("`delays` takes 1 to {MOST_DELAYS} durations, not {number}; write `{example}`");
            return Err(self.error(self.arguments_at, problem));
        }
        given.into_iter().map(|(part, at)| self.duration("delay", part, at)).collect()
    }

    /// The backoff of a first delay and a cap, unless the cap is shorter.
    pub(super) fn not_beyond(
        &self,
        name: &str,
        first: Duration,
        cap: Duration,
        build: impl Fn(Duration, Duration) -> BackoffExpr,
    ) -> Result<BackoffExpr, BackoffError> {
        if first <= cap {
            return Ok(build(first, cap));
        }
        let (shown, limit) = (format_duration(first), format_duration(cap));
        let problem =
            format!("the {name} {shown} is longer than the cap {limit}; write `{}`", build(cap, first));
        Err(self.error(self.arguments_at, problem))
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

/// The backoff that somebody who writes this name has in mind.
fn meant(name: &str) -> Option<&'static str> {
    match name.to_lowercase().as_str() {
        "constant" | "const" | "delay" | "every" | "interval" => Some("fixed"),
        "lin" | "incremental" | "increasing" | "arithmetic" | "additive" => Some("linear"),
        "exp" | "expo" | "doubling" | "geometric" | "exponential_backoff" => Some("exponential"),
        "list" | "steps" | "intervals" | "sequence" | "delays_in_seconds" => Some("delays"),
        "polynomial" | "poly" | "quartic" => Some("sidekiq"),
        _ => nearest(name, FUNCTIONS.into_iter().chain(PRESETS)),
    }
}
