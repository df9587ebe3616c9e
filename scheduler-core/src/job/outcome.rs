//! How a run ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::error::BoxError;
use crate::user::{self, Careful, Panic};

/// What a job function returns when it can fail; `?` works on every error type.
pub type JobResult<T = ()> = Result<T, JobError>;

/// What becomes of a job that snoozes and is no run of a job store.
pub(crate) const CANNOT_SNOOZE: &str = "it asked to run later, which only a run of a job store can";

/// How long a run waits for its next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// So long from now.
    For(Duration),
    /// At this time, or at once if it has passed.
    Until(DateTime<Utc>),
}

impl Delay {
    /// The time that is meant at `now`. A delay that no date can hold ends with the last one.
    pub(crate) fn from(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::For(time) => {
                let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
                now.checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
            }
            Self::Until(at) => at.max(now),
        }
    }
}

impl From<Duration> for Delay {
    fn from(time: Duration) -> Self {
        Self::For(time)
    }
}

impl From<DateTime<Utc>> for Delay {
    fn from(at: DateTime<Utc>) -> Self {
        Self::Until(at)
    }
}

/// What an error of a job means for its run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Failure {
    /// The run is tried again as its [retry policy](crate::run::RetryPolicy) says.
    #[default]
    Retry,
    /// The run is tried again then, whatever the backoff says, if a retry is left.
    RetryAfter(Delay),
    /// No retry can help: the run is dead at once.
    Fatal,
    /// The run is over, and nobody needs to look at it.
    Discard,
    /// It is no failure: the attempt does not count, and the run waits.
    Snooze(Delay),
    /// It is no failure: the attempt does not count, the run waits, and a limit of it opens for nobody before that.
    Throttle {
        /// The name of the limit.
        limit: Arc<str>,
        /// How long.
        delay: Delay,
    },
}

/// Why a job failed: the error that its function returned, and what that means for its run.
///
/// An error that comes by `?` is tried again as the retry policy says. A job that knows better says so:
///
/// ```
/// # use std::time::Duration;
/// # use scheduler_core::job::{JobError, JobResult};
/// # enum Answer { Sent, NoSuchAddress, Busy(Duration), Unsubscribed }
/// # fn post() -> Answer { Answer::Busy(Duration::from_secs(30)) }
/// fn send() -> JobResult {
///     match post() {
///         Answer::Sent => Ok(()),
///         Answer::NoSuchAddress => Err(JobError::fatal("no such address")), // dead at once
///         Answer::Busy(time) => Err(JobError::retry_in(time, "the server is busy")), // counts as an attempt
///         Answer::Unsubscribed => Err(JobError::discard("they do not want it any more")), // over
///     }
/// }
/// # assert!(send().is_err());
/// ```
///
/// Deliberately no `std::error::Error` itself, so that `?` converts every other error into it.
#[derive(Clone)]
pub struct JobError {
    error: Arc<Careful<BoxError>>,
    means: Failure,
}

impl JobError {
    /// A failure described in words. What another [`JobError`] means is kept.
    pub fn new(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Shared>() {
            Ok(shared) => shared.0,
            Err(error) => {
                let error = Arc::new(Careful::new("the error of a job", error));
                Self { error, means: Failure::default() }
            }
        }
    }

    /// The run is dead at once, since no retry can help. An occurrence of a trigger whose job has no retry policy has failed, and no
    /// dead run is kept.
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Self::new(error).meaning(Failure::Fatal)
    }

    /// The run is over and leaves nothing behind, since nobody needs to look at it. The outcome is [`Outcome::Discarded`].
    pub fn discard(error: impl Into<BoxError>) -> Self {
        Self::new(error).meaning(Failure::Discard)
    }

    /// The attempt has failed, and the next one is due after this delay, whatever the backoff of the
    /// [retry policy](crate::run::RetryPolicy) says. If the policy leaves no retry, the run is dead. An occurrence of a trigger whose
    /// job has no retry policy is over.
    pub fn retry_in(delay: Duration, error: impl Into<BoxError>) -> Self {
        Self::new(error).meaning(Failure::RetryAfter(delay.into()))
    }

    /// As [`retry_in`](Self::retry_in), with the time of the next attempt.
    pub fn retry_at(at: DateTime<Utc>, error: impl Into<BoxError>) -> Self {
        Self::new(error).meaning(Failure::RetryAfter(at.into()))
    }

    /// The run waits for this long, and at least a tenth of a second, since it has nothing to do yet. That is no failure, and the
    /// attempt does not count. The outcome is [`Outcome::Snoozed`].
    pub fn snooze(delay: Duration) -> Self {
        Self::new("it has nothing to do yet").meaning(Failure::Snooze(delay.into()))
    }

    /// As [`snooze`](Self::snooze), with the time of the next attempt.
    pub fn snooze_until(at: DateTime<Utc>) -> Self {
        Self::new("it has nothing to do yet").meaning(Failure::Snooze(at.into()))
    }

    /// Somebody has asked for a pause, as a server does with status 429: no run begins that has the limit of this name, with the key that
    /// this run has for it, before the delay has passed. That is no failure: the attempt does not count, and the run waits for as long, at
    /// least a tenth of a second and at most 24 days. The outcome is [`Outcome::Throttled`].
    ///
    /// A later end of the pause replaces an earlier one, and an earlier one changes nothing. Attempts under way go on. If the run has no
    /// limit of this name, only the run waits; so does an occurrence of a trigger, which has no limits.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::job::JobError;
    /// # use std::time::Duration;
    /// # struct Answer { retry_after: Option<Duration> }
    /// # async fn call(_: &str) -> Answer { Answer { retry_after: None } }
    /// #[job(limit(name = "github", key = "organisation", max = 20))]
    /// async fn fetch(organisation: String) -> JobResult {
    ///     let answer = call(&organisation).await;
    ///     if let Some(pause) = answer.retry_after {
    ///         // All runs of this organisation wait, whichever job they belong to.
    ///         return Err(JobError::throttled("github", pause));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn throttled(limit: impl Into<Arc<str>>, delay: Duration) -> Self {
        Self::throttling(limit.into(), delay.into())
    }

    /// As [`throttled`](Self::throttled), with the time before which no run begins.
    pub fn throttled_until(limit: impl Into<Arc<str>>, at: DateTime<Utc>) -> Self {
        Self::throttling(limit.into(), at.into())
    }

    fn throttling(limit: Arc<str>, delay: Delay) -> Self {
        Self::new(format!("limit `{limit}` is throttled")).meaning(Failure::Throttle { limit, delay })
    }

    /// The same error with another meaning, as for a [middleware](crate::scheduler::Middleware) that knows errors of a library.
    #[must_use]
    pub fn meaning(self, means: Failure) -> Self {
        Self { means, ..self }
    }

    /// What it means for the run.
    pub fn means(&self) -> Failure {
        self.means.clone()
    }

    /// The error as such, with its chain of sources.
    pub fn error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &***self.error
    }

    fn chain(&self) -> String {
        let mut text = self.error.to_string();
        let mut cause = self.error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl From<JobError> for BoxError {
    fn from(error: JobError) -> Self {
        Box::new(Shared(error))
    }
}

/// The same error on its way through code that knows errors only.
#[derive(Debug)]
struct Shared(JobError);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self.0.error, f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.error.source()
    }
}

impl fmt::Display for JobError {
    /// The error and its causes on one line, outermost first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text of an error is code of the user.
        let text = user::call(|| self.chain());
        f.write_str(&text.unwrap_or_else(|panic| format!("an error whose text {panic}")))
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobError({self})")
    }
}

/// How an execution ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// The job returned without an error.
    Succeeded,
    /// The job returned an error, or its arguments could not be made.
    Failed(JobError),
    /// The job panicked; the message of the panic.
    Panicked(String),
    /// The job ran longer than its timeout and was cancelled or aborted.
    TimedOut,
    /// The job was cancelled by a caller or by the shutdown, and has stopped.
    Cancelled,
    /// A listener has refused the run, and the job was not called.
    Vetoed,
    /// The job returned an error that nobody needs to look at. No retry follows.
    Discarded(JobError),
    /// The job has nothing to do yet: the run waits, and the attempt does not count.
    Snoozed(Delay),
    /// Somebody has asked the job for a pause: the run waits, the attempt does not count, and the limit of this name opens for nobody
    /// before that.
    Throttled {
        /// The name of the limit.
        limit: Arc<str>,
        /// How long.
        delay: Delay,
    },
}

impl Outcome {
    /// Whether the job did its work.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded)
    }

    /// One word for logs and tables: `succeeded`, `failed`, `panicked`, `timed out`, `cancelled`, `vetoed`, `discarded`,
    /// `snoozed` or `throttled`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
            Self::Vetoed => "vetoed",
            Self::Discarded(_) => "discarded",
            Self::Snoozed(_) => "snoozed",
            Self::Throttled { .. } => "throttled",
        }
    }

    /// What went wrong, in words; none after a success, a veto, a snooze or a throttling.
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Succeeded | Self::Vetoed | Self::Snoozed(_) | Self::Throttled { .. } => None,
            Self::Failed(error) | Self::Discarded(error) => Some(error.to_string()),
            Self::Panicked(message) => Some(format!("panicked: {message}")),
            Self::TimedOut => Some("ran longer than its timeout allows".to_owned()),
            Self::Cancelled => Some("stopped when it was asked to".to_owned()),
        }
    }
}

impl Serialize for Outcome {
    /// An object with the [word](Self::word) as `outcome` and, where something went wrong, `failure`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failure = self.failure();
        let mut object = serializer.serialize_struct("Outcome", 1 + usize::from(failure.is_some()))?;
        object.serialize_field("outcome", self.word())?;
        if let Some(failure) = failure {
            object.serialize_field("failure", &failure)?;
        }
        object.end()
    }
}

impl From<JobError> for Outcome {
    fn from(error: JobError) -> Self {
        match error.means() {
            Failure::Discard => Self::Discarded(error),
            Failure::Snooze(delay) => Self::Snoozed(delay),
            Failure::Throttle { limit, delay } => Self::Throttled { limit, delay },
            _ => Self::Failed(error),
        }
    }
}

impl From<Panic> for Outcome {
    fn from(panic: Panic) -> Self {
        Self::Panicked(panic.0)
    }
}

/// What a job function may return: `()`, or `Result<(), E>` with any error.
#[diagnostic::on_unimplemented(
    message = "a job cannot return `{Self}`",
    note = "return `()`, `JobResult`, or `Result<(), E>` where `E` is an error; a value is stored for whoever waits for it by `#[job(output)]`"
)]
pub trait IntoOutcome {
    /// The outcome that this value stands for.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Succeeded
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl<E: Into<BoxError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(()) => Outcome::Succeeded,
            Err(error) => Outcome::from(JobError::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_prints_its_whole_chain_once() {
        fn read() -> JobResult {
            let error = "x".parse::<u8>().unwrap_err();
            Err(std::io::Error::other(error))?;
            Ok(())
        }
        assert_eq!(read().into_outcome().failure().unwrap(), "invalid digit found in string");
        let plain: Result<(), String> = Err("no route".into());
        assert_eq!(plain.into_outcome().failure().unwrap(), "no route");
    }

    #[test]
    fn what_an_error_means_survives_its_way_through_other_code() {
        let fatal: BoxError = JobError::fatal("no such address").into();
        let outcome = Err::<(), _>(fatal).into_outcome();
        let Outcome::Failed(error) = &outcome else { panic!("{outcome:?}") };
        assert_eq!((error.means(), error.to_string()), (Failure::Fatal, "no such address".to_owned()));
        let twice = JobError::new(JobError::new(JobError::discard("gone")));
        assert!(matches!(Err::<(), _>(twice).into_outcome(), Outcome::Discarded(_)));
        let snoozed = JobResult::<()>::Err(JobError::snooze(Duration::from_secs(5))).into_outcome();
        assert!(matches!(snoozed, Outcome::Snoozed(Delay::For(time)) if time == Duration::from_secs(5)));
        assert_eq!((snoozed.word(), snoozed.failure()), ("snoozed", None));
        let throttled: BoxError = JobError::throttled("github", Duration::from_secs(5)).into();
        let outcome = Err::<(), _>(throttled).into_outcome();
        let is_meant = |limit: &str, delay| limit == "github" && delay == Delay::For(Duration::from_secs(5));
        assert!(matches!(&outcome, Outcome::Throttled { limit, delay } if is_meant(limit, *delay)));
        assert_eq!((outcome.word(), outcome.failure()), ("throttled", None));
    }

    #[test]
    fn no_delay_is_too_long_for_a_date() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(Delay::For(Duration::MAX).from(now), DateTime::<Utc>::MAX_UTC);
        assert_eq!(Delay::For(Duration::from_secs(1)).from(now), now + TimeDelta::seconds(1));
        assert_eq!(Delay::Until(DateTime::<Utc>::MIN_UTC).from(now), now, "it is due at once");
    }
}
