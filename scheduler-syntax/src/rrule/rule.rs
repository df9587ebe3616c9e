//! The parsed rule: its parts, its name, and the question for the next time.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::error::RuleError;
use super::parse;
use super::real_time;
use super::search::Bound;
use crate::wall::{DAY, DstPolicy, Reading, Walk};

/// A recurrence rule, without its start and its zone.
///
/// Two are equal when their normalised texts are. Cloning copies a pointer.
#[derive(Clone)]
pub struct RecurrenceRule(Arc<Parts>);

/// The period of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Frequency {
    Secondly,
    Minutely,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// When a rule ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The last allowed second since 1970-01-01T00:00:00Z.
    Instant(i64),
    /// The last allowed second on the wall clock.
    Civil(i64),
}

/// What the parts say. An empty list or set is a part that is not there.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) text: String,
    pub(super) frequency: Frequency,
    pub(super) interval: i64,
    pub(super) count: Option<u32>,
    pub(super) until: Option<Until>,
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) months: u64,
    /// Bit n for weekday n, from 0 = Sunday.
    pub(super) weekdays: u8,
    /// The n-th such weekday of the month or the year, negative from its end.
    pub(super) nth_weekdays: Vec<(i32, u32)>,
    pub(super) month_days: Vec<i32>,
    pub(super) year_days: Vec<i32>,
    pub(super) weeks: Vec<i32>,
    pub(super) positions: Vec<i32>,
    /// The weekday on which weeks begin, from 0 = Sunday.
    pub(super) week_start: u32,
}

impl RecurrenceRule {
    /// Reads a rule as RFC 5545 writes it.
    ///
    /// # Errors
    ///
    /// The text is no rule, or its parts do not go together; the error names the part, its value and the way out.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        parse::parse(text).map(|parts| Self(Arc::new(parts)))
    }

    /// The normalised text: upper case, without `RRULE:`.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The period.
    pub fn frequency(&self) -> Frequency {
        self.0.frequency
    }

    /// How often it fires in all; unlimited unless set.
    pub fn count(&self) -> Option<u32> {
        self.0.count
    }

    /// A time that no time of the rule passes; none without an `UNTIL`. Exact for an `UNTIL` in UTC, up to a day late for one
    /// on a wall clock.
    pub fn ends_by(&self) -> Option<DateTime<Utc>> {
        let seconds = match self.0.until? {
            Until::Instant(until) => until,
            // No clock is as much as a day behind UTC.
            Until::Civil(until) => until + DAY,
        };
        DateTime::from_timestamp(seconds, 0)
    }

    /// The last instant of the `UNTIL` on the wall clock of `zone`, of two the second; none without an `UNTIL`.
    pub fn until(&self, zone: Tz) -> Option<DateTime<Utc>> {
        let Until::Civil(until) = self.0.until? else { return self.ends_by() };
        let civil = DateTime::from_timestamp(until, 0)?.naive_utc();
        zone.from_local_datetime(&civil).latest().map_or_else(|| self.ends_by(), |time| Some(time.to_utc()))
    }

    /// Whether it names fixed times of day, which a [`DstPolicy`] can move; finer rules follow real time.
    pub fn is_fixed_time(&self) -> bool {
        self.0.frequency >= Frequency::Daily
    }

    /// The first time later than `after` of a rule that counts from `start`, on the wall clock of `zone`; no time is
    /// earlier than the start, whose fraction of a second is cut off.
    ///
    /// None when there is none. Times strictly increase, whatever the zone does.
    pub fn next_after(
        &self,
        start: DateTime<Utc>,
        after: DateTime<Utc>,
        zone: Tz,
        policy: DstPolicy,
    ) -> Option<DateTime<Utc>> {
        let civil = |second: i64| second + Reading::of(zone, second).offset;
        let after = after.timestamp().max(start.timestamp() - 1);
        let next = if self.is_fixed_time() {
            let times = Bound::new(&self.0, civil(start.timestamp()));
            Walk { times: &times, zone, policy }.next(after)?
        } else {
            real_time::next(&self.0, start.timestamp(), after, zone)?
        };
        DateTime::from_timestamp(next, 0).filter(|next| match self.0.until {
            Some(Until::Instant(until)) => next.timestamp() <= until,
            Some(Until::Civil(until)) => civil(next.timestamp()) <= until,
            None => true,
        })
    }
}

impl FromStr for RecurrenceRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        Self::parse(text)
    }
}

impl fmt::Display for RecurrenceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.text)
    }
}

impl fmt::Debug for RecurrenceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecurrenceRule({})", self.0.text)
    }
}

impl PartialEq for RecurrenceRule {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for RecurrenceRule {}

impl Hash for RecurrenceRule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}
