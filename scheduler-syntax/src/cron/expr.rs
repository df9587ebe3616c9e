//! The parsed expression.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::days::Days;
use super::error::CronError;
use super::parse;

/// The years that an expression may name.
pub(super) const FIRST_YEAR: i32 = 1970;
pub(super) const LAST_YEAR: i32 = 2199;

/// A set of years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Years(pub(super) [u64; 4]);

impl Years {
    pub(super) const ALL: Self = Self([u64::MAX; 4]);
    pub(super) const NONE: Self = Self([0; 4]);

    pub(super) fn insert(&mut self, year: u16) {
        let index = usize::from(year) - FIRST_YEAR as usize;
        self.0[index / 64] |= 1 << (index % 64);
    }

    /// The first year of the set that is not before `year`.
    pub(super) fn at_or_after(&self, year: i32) -> Option<i32> {
        let from = usize::try_from(year.max(FIRST_YEAR) - FIRST_YEAR).ok()?;
        let found = (from / 64..4).find_map(|word| {
            let bits = self.0[word] & if word == from / 64 { u64::MAX << (from % 64) } else { u64::MAX };
            (bits != 0).then(|| word as i32 * 64 + bits.trailing_zeros() as i32)
        })?;
        Some(FIRST_YEAR + found).filter(|year| *year <= LAST_YEAR)
    }

    /// The last year of the set that is not after `year`.
    pub(super) fn at_or_before(&self, year: i32) -> Option<i32> {
        (FIRST_YEAR..=year.min(LAST_YEAR)).rev().find(|year| self.at_or_after(*year) == Some(*year))
    }
}

/// A cron expression: a set of civil times, without a zone.
///
/// Two are equal when their normalised texts are. Cloning copies a pointer.
#[derive(Clone)]
pub struct CronExpr(pub(super) Arc<Parts>);

#[derive(Debug)]
pub(super) struct Parts {
    /// Upper case, single spaces.
    pub(super) text: String,
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) days: Days,
    pub(super) months: u64,
    pub(super) years: Years,
    /// A `*`, range or step stands in second, minute or hour: it follows real time when clocks change.
    pub(super) interval: bool,
}

impl CronExpr {
    /// Reads an expression in Quartz's dialect.
    ///
    /// # Errors
    ///
    /// The text is no such expression; the error names the field, the column, the value and the way out.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        parse::parse(text, None)
    }

    /// As [`parse`](Self::parse), and replaces each `H` by a value that is derived from `seed`, usually the name of
    /// the trigger. The text of the result holds the values.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_hashed(text: &str, seed: &str) -> Result<Self, CronError> {
        parse::parse(text, Some(seed))
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
