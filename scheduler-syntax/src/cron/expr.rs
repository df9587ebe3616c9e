//! The parsed expression: how it is made, named, compared and copied.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::days::Days;
use super::error::CronError;
use super::parse;
use super::years::{LAST_YEAR, Years};

/// A cron expression: a set of civil times, without a zone.
///
/// Two are equal when their normalised texts are. Cloning copies a pointer.
#[derive(Clone)]
pub struct CronExpr(Arc<Parts>);

/// What the fields say, as sets of numbers.
#[derive(Debug)]
pub(super) struct Parts {
    /// Upper case, single spaces, values in place of `H`.
    pub(super) text: String,
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) days: Days,
    pub(super) months: u64,
    pub(super) years: Years,
    /// A `*`, range or step stands in second, minute or hour: it follows real time when clocks change.
    pub(super) interval: bool,
    /// No date matches. Found out once, so that no search walks through all years in vain.
    pub(super) never: bool,
}

impl CronExpr {
    /// Reads an expression in Quartz's dialect, a macro such as `@daily`, or `@unix` and the five fields of Unix.
    ///
    /// # Errors
    ///
    /// The text is no such expression; the error names the field, the column, the value and the way out. An `H` is
    /// refused, as it needs the key of a trigger: see [`parse_hashed`](Self::parse_hashed).
    pub fn parse(text: &str) -> Result<Self, CronError> {
        parse::parse(text, None)
    }

    /// As [`parse`](Self::parse), and replaces each `H` by a value that is derived from `seed_key`, usually the key of
    /// the trigger. The text of the result holds the values.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), but for the `H`.
    pub fn parse_hashed(text: &str, seed_key: &str) -> Result<Self, CronError> {
        parse::parse(text, Some(seed_key))
    }

    /// Reads the five fields of a crontab: minute, hour, day of month, month, day of week.
    ///
    /// In the day of week, 0 and 7 are Sunday. The two day fields combine as in Vixie's cron: where both say something,
    /// a day matches **either**; where one of them begins with `*`, as in `*/2`, it must match both. The text of the
    /// result is the six-field form where that form can say the same, else `@UNIX` and the five fields, which
    /// [`parse`](Self::parse) reads as well.
    ///
    /// ```
    /// use scheduler_syntax::cron::CronExpr;
    ///
    /// assert_eq!(CronExpr::parse_unix("30 2 * * 1-5")?.as_str(), "0 30 2 ? * MON-FRI");
    /// assert_eq!(CronExpr::parse_unix("0 0 13 * 5")?.as_str(), "@UNIX 0 0 13 * FRI");
    /// # Ok::<(), scheduler_syntax::cron::CronError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The text is not of this form; `?`, `L`, `W` and `#` do not belong to it.
    pub fn parse_unix(text: &str) -> Result<Self, CronError> {
        parse::parse_unix(text, None)
    }

    /// Whether the text holds an `H`, so that it means something only together with the key of a trigger.
    ///
    /// Says nothing about whether the text is an expression.
    pub fn needs_seed(text: &str) -> bool {
        !text.trim_start().starts_with('@') && has_hash(text)
            || parse::after_unix_mark(text).is_some_and(has_hash)
    }

    pub(super) fn of(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether it names fixed times of day: no `*`, range or step in second, minute and hour.
    ///
    /// Where clocks change, a fixed time happens once; anything else follows real time.
    pub fn is_fixed_time(&self) -> bool {
        !self.0.interval
    }

    /// The last year of the year field; none if there is no such field, so that the expression has no end of its own.
    pub fn last_year(&self) -> Option<i32> {
        if self.0.years == Years::ALL { None } else { self.0.years.at_or_before(LAST_YEAR) }
    }

    /// Whether no date ever matches, such as the 31st of February.
    pub fn never_fires(&self) -> bool {
        self.0.never
    }
}

/// No name of a month or a weekday begins with the letter.
fn has_hash(text: &str) -> bool {
    text.split([' ', '\t', '\n', '\r', ',']).any(|item| item.starts_with(['H', 'h']))
}

impl FromStr for CronExpr {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text)
    }
}

impl fmt::Display for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.text)
    }
}

impl fmt::Debug for CronExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronExpr({})", self.0.text)
    }
}

impl PartialEq for CronExpr {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for CronExpr {}

impl Hash for CronExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}
