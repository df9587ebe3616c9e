//! Keys that only one run has at a time.

use std::fmt::{self, Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::data::{DataError, JobData};

/// How much longer than its quiet time a debounced run waits at most, unless something else is said.
const DEFAULT_AT_MOST: u32 = 10;

/// Makes runs unique: of those with the same key, only one is stored at a time.
///
/// A key is a text, such as the number of a customer. It belongs to the function of the job, unless it is that of
/// [all jobs](Self::across_jobs). A run takes its key when it is enqueued, and nobody asks for the key again: a retry or the loss of
/// a node cannot find the key taken. The key is free again when its scope is over:
///
/// | scope | the key is taken |
/// |---|---|
/// | default | until the run is over, also while it runs or waits for a retry; a dead run has no key |
/// | [`until_started`](Self::until_started) | until the first attempt of the run begins |
/// | [`for_at_least`](Self::for_at_least) | in addition, for so long after the call, whatever becomes of the run |
///
/// What becomes of a run whose key is taken is said by [`on_conflict`](Self::on_conflict).
///
/// ```
/// # use scheduler_core::prelude::*;
/// # use scheduler_core::run::{OnConflict, Unique};
/// # #[job] async fn sync(customer: u64) {}
/// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
/// // One at a time, and once more with the latest data if there was a call meanwhile.
/// let unique = Unique::key(17).on_conflict(OnConflict::Replace);
/// scheduler.enqueue(sync::with(17)).unique(unique).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Unique {
    text: String,
    across_jobs: bool,
    until_started: bool,
    for_at_least: Option<Duration>,
    on_conflict: OnConflict,
    debounce: Option<Debounce>,
}

/// What becomes of a run whose key another run has.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum OnConflict {
    /// It is not stored. The answer is the id of the run that has the key.
    #[default]
    Skip,
    /// The run that waits gets the data and the options of the new one, and keeps its due time unless the call sets one. If it runs
    /// already, the new one waits for its end, and further calls replace that one: at most one runs and one waits, and the latest data is
    /// not lost.
    Replace,
    /// It is an error that names the run which has the key.
    Refuse,
    /// As [`Replace`](Self::Replace), with the data that this function makes of those of the run that waits and those of the new one,
    /// such as a list of both.
    Merge(Merge),
}

/// Makes one set of data of two: that of the run that waits, and that of the new one.
pub type Merge = Arc<dyn Fn(&JobData, &JobData) -> Result<JobData, DataError> + Send + Sync>;

impl Debug for OnConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skip => "Skip",
            Self::Replace => "Replace",
            Self::Refuse => "Refuse",
            Self::Merge(_) => "Merge(..)",
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Debounce {
    quiet: Duration,
    at_most: Duration,
    keeps_first: bool,
}

impl Unique {
    /// A key: any value with a text, such as a number, a name or an id.
    pub fn key(part: impl Display) -> Self {
        let (across_jobs, until_started, for_at_least, on_conflict, debounce) = Default::default();
        let key =
            Self { text: String::new(), across_jobs, until_started, for_at_least, on_conflict, debounce };
        key.push(&part)
    }

    /// One part more: the key is that of all its parts in their order.
    #[must_use]
    pub fn and(mut self, part: impl Display) -> Self {
        self.text.push('/');
        self.push(&part)
    }

    fn push(mut self, part: &dyn Display) -> Self {
        push_part(&mut self.text, part);
        self
    }

    /// Runs that are enqueued in a burst become one: each call makes it due `quiet` later, with the data of the latest call. The run begins
    /// at the latest [`at_most`](Self::at_most) after the first call, by default ten times `quiet`. A call after that begins a new one.
    pub fn debounce(key: impl Display, quiet: Duration) -> Self {
        Self::key(key).debounced(quiet)
    }

    /// As [`debounce`](Self::debounce), for this key.
    #[must_use]
    pub fn debounced(self, quiet: Duration) -> Self {
        let at_most = quiet.saturating_mul(DEFAULT_AT_MOST);
        let debounce = Some(Debounce { quiet, at_most, keeps_first: false });
        Self { debounce, until_started: true, on_conflict: OnConflict::Replace, ..self }
    }

    /// A debounced run begins at the latest so long after the first call. The bound is that of the first call, so a later one
    /// cannot put the run off.
    #[must_use]
    pub fn at_most(mut self, at_most: Duration) -> Self {
        self.debounce.iter_mut().for_each(|debounce| debounce.at_most = at_most);
        self
    }

    /// A debounced run keeps the data of the first call.
    #[must_use]
    pub fn keep_first(mut self) -> Self {
        self.debounce.iter_mut().for_each(|debounce| debounce.keeps_first = true);
        self
    }

    /// The key is that of all jobs, and not of the function.
    #[must_use]
    pub fn across_jobs(self) -> Self {
        Self { across_jobs: true, ..self }
    }

    /// The key is free as soon as the first attempt of the run begins. A retry does not take it again.
    #[must_use]
    pub fn until_started(self) -> Self {
        Self { until_started: true, ..self }
    }

    /// The key is taken for so long from the call on, whatever becomes of the run: of several calls in this time, one makes a run.
    #[must_use]
    pub fn for_at_least(self, time: Duration) -> Self {
        Self { for_at_least: Some(time), ..self }
    }

    /// What becomes of a run whose key is taken. Default: it is not stored.
    #[must_use]
    pub fn on_conflict(self, on_conflict: OnConflict) -> Self {
        Self { on_conflict, ..self }
    }

    /// The fault of the key, if it has one.
    pub(crate) fn problem(&self) -> Option<String> {
        let shown = || format!("the key `{}`", self.text);
        if self.text.is_empty() {
            return Some("a unique run has an empty key; give it at least one character".to_owned());
        }
        if self.for_at_least.is_some_and(|time| time.is_zero()) {
            return Some(format!("{} is taken for no time; use a longer one or leave it out", shown()));
        }
        let debounce = self.debounce?;
        if debounce.quiet.is_zero() {
            return Some(format!("{} is debounced for no time; use at least a millisecond", shown()));
        }
        (debounce.at_most <= debounce.quiet).then(|| {
            format!(
                "{} is debounced for {:?}, and begins at most {:?} after the first call; use a longer time for the second",
                shown(),
                debounce.quiet,
                debounce.at_most
            )
        })
    }

    pub(crate) fn conflict(&self) -> &OnConflict {
        &self.on_conflict
    }

    /// For a store: the key of a run of this function that is enqueued now.
    pub fn stored(&self, job_type: &str, now: DateTime<Utc>) -> RunKey {
        let after = |time: Duration| {
            let delta = TimeDelta::from_std(time).ok();
            delta.and_then(|delta| now.checked_add_signed(delta)).unwrap_or(DateTime::<Utc>::MAX_UTC)
        };
        let scope = if self.across_jobs { "" } else { job_type };
        RunKey {
            id: KeyId::of(scope, &self.text),
            text: self.text.as_str().into(),
            until_started: self.until_started,
            until: self.for_at_least.map(after),
            latest: self.debounce.map(|debounce| after(debounce.at_most)),
        }
    }

    /// The delay of a debounced run, and whether it keeps the data of the first call.
    pub(crate) fn quiet(&self) -> Option<(Duration, bool)> {
        self.debounce.map(|debounce| (debounce.quiet, debounce.keeps_first))
    }
}

/// With a backslash before what would end a part, so that different parts never make the same key.
pub(super) fn push_part(text: &mut String, part: &dyn Display) {
    for letter in part.to_string().chars() {
        if letter == '/' || letter == '\\' {
            text.push('\\');
        }
        text.push(letter);
    }
}

impl Debug for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unique")
            .field("key", &self.text)
            .field("on_conflict", &self.on_conflict)
            .finish_non_exhaustive()
    }
}

/// What a key is found by: the same for the same text of the same function, in every program and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(u128);

impl KeyId {
    /// The first 128 bits of the SHA-1 of both; an empty scope is that of all jobs.
    pub fn of(scope: &str, text: &str) -> Self {
        let mut sha = sha1_smol::Sha1::from(scope);
        sha.update(b"\0");
        sha.update(text.as_bytes());
        Self(sha.digest().bytes().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }

    /// As a number.
    pub const fn number(self) -> u128 {
        self.0
    }
}

/// The key of a stored run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunKey {
    /// What it is found by.
    pub id: KeyId,
    /// As it was given.
    pub text: Arc<str>,
    /// It is free when the first attempt begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_started: bool,
    /// It is taken until then, whatever becomes of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// A debounced run is due by then, whatever later calls say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_parts_make_different_keys() {
        let id = |key: Unique| key.stored("work", DateTime::UNIX_EPOCH).id;
        assert_eq!(id(Unique::key("a").and("b")), id(Unique::key("a").and("b")));
        assert_ne!(id(Unique::key("a/b")), id(Unique::key("a").and("b")));
        assert_ne!(id(Unique::key("a\\").and("b")), id(Unique::key("a\\/b")));
        assert_ne!(id(Unique::key("a")), id(Unique::key("a").across_jobs()));
        assert_ne!(KeyId::of("ab", "c"), KeyId::of("a", "bc"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let second = Duration::from_secs(1);
        let problem = |unique: Unique| unique.problem();
        assert!(problem(Unique::key("")).is_some_and(|text| text.contains("empty key")));
        assert!(
            problem(Unique::key(7).for_at_least(Duration::ZERO)).is_some_and(|text| text.contains("`7`"))
        );
        assert!(problem(Unique::debounce(7, Duration::ZERO)).is_some());
        assert!(problem(Unique::debounce(7, second).at_most(second)).is_some_and(|text| text.contains("1s")));
        assert_eq!(problem(Unique::debounce(7, second)), None);
        assert_eq!(problem(Unique::key(7).until_started().for_at_least(second)), None);
    }

    #[test]
    fn times_beyond_the_calendar_are_its_end() {
        let key = Unique::debounce(1, Duration::MAX)
            .for_at_least(Duration::MAX)
            .stored("work", DateTime::UNIX_EPOCH);
        assert_eq!((key.until, key.latest), (Some(DateTime::<Utc>::MAX_UTC), Some(DateTime::<Utc>::MAX_UTC)));
    }
}
