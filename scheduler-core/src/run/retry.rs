//! What becomes of a run whose attempt has failed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_syntax::{BackoffError, BackoffExpr, parse_backoff};
use serde::{Deserialize, Serialize};

use super::RunId;

/// No retry comes later than this after the failure, whatever the backoff says.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);
/// With shorter delays a job that fails at once would keep its node busy.
const SHORTEST: Duration = Duration::from_millis(1);

/// How often a failed run is tried again, and when. By default ten times, with the default [`Backoff`].
///
/// ```
/// # use std::time::Duration;
/// use scheduler_core::run::{Backoff, RetryPolicy};
///
/// let policy = RetryPolicy::new(3, Backoff::exponential(Duration::from_secs(15), Duration::from_secs(3_600))?);
/// assert_eq!(policy.max(), 3); // four attempts in all
/// # Ok::<(), scheduler_core::run::InvalidRetry>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryPolicy {
    max: u32,
    backoff: Backoff,
}

/// How long a run waits for its next attempt. The delays of different runs are spread by a fifth of their length in either
/// direction, so that runs that failed together do not come back together.
///
/// The default is `exponential(15s, 6h)`. A backoff can be written as a text:
///
/// ```
/// # use std::time::Duration;
/// use scheduler_core::run::Backoff;
///
/// assert_eq!("fixed(30s)".parse::<Backoff>()?, Backoff::fixed(Duration::from_secs(30))?);
/// let error = "exponential(15s)".parse::<Backoff>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "backoff `exponential(15s)`, column 13: `exponential` takes 2 durations, the base and the cap, not 1; \
///      write `exponential(15s, 1h)`"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backoff {
    /// The same delay each time.
    Fixed(Duration),
    /// The delay doubles each time.
    Exponential {
        /// Before the first retry.
        base: Duration,
        /// The longest delay.
        cap: Duration,
    },
}

/// A retry policy that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRetry {
    /// The first delay is longer than the longest one.
    #[error(
        "a backoff that begins with {base:?} cannot end with {cap:?}; give a cap that is not shorter than the base"
    )]
    CapBelowBase {
        /// Before the first retry.
        base: Duration,
        /// The longest delay.
        cap: Duration,
    },
    /// The delay is shorter than a millisecond.
    #[error(
        "a delay of {0:?} between attempts would run a failing job almost without a pause; give at least a millisecond"
    )]
    TooShort(Duration),
}

/// What becomes of a run whose attempt has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The run waits for another attempt, which is due then.
    Again(DateTime<Utc>),
    /// No retry is left.
    Dead,
}

impl Backoff {
    /// The same `delay` each time.
    ///
    /// # Errors
    ///
    /// The delay is shorter than a millisecond.
    pub fn fixed(delay: Duration) -> Result<Self, InvalidRetry> {
        Self::Fixed(delay).checked()
    }

    /// `base` before the first retry, then twice as long each time, but never longer than `cap`.
    ///
    /// # Errors
    ///
    /// The base is shorter than a millisecond or longer than the cap.
    pub fn exponential(base: Duration, cap: Duration) -> Result<Self, InvalidRetry> {
        Self::Exponential { base, cap }.checked()
    }

    /// The variants are public, and a record may hold anything.
    pub(crate) fn checked(self) -> Result<Self, InvalidRetry> {
        match self {
            Self::Fixed(delay) | Self::Exponential { base: delay, .. } if delay < SHORTEST => {
                Err(InvalidRetry::TooShort(delay))
            }
            Self::Exponential { base, cap } if base > cap => Err(InvalidRetry::CapBelowBase { base, cap }),
            sound => Ok(sound),
        }
    }

    /// The delay before the retry of this number, counted from 1, without its spread.
    fn delay(self, retry: u32) -> Duration {
        let delay = match self {
            Self::Fixed(delay) => delay,
            Self::Exponential { base, cap } => {
                let doublings = retry.saturating_sub(1).min(31);
                base.saturating_mul(1 << doublings).min(cap)
            }
        };
        delay.min(LONGEST)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential { base: Duration::from_secs(15), cap: Duration::from_secs(6 * 3_600) }
    }
}

impl FromStr for Backoff {
    type Err = BackoffError;

    /// Reads `fixed(delay)` and `exponential(base, cap)`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match parse_backoff(text)? {
            BackoffExpr::Fixed(delay) => Self::Fixed(delay),
            BackoffExpr::Exponential { base, cap } => Self::Exponential { base, cap },
        })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed(delay) => BackoffExpr::Fixed(delay),
            Self::Exponential { base, cap } => BackoffExpr::Exponential { base, cap },
        }
        .fmt(f)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new(10, Backoff::default())
    }
}

impl RetryPolicy {
    /// At most `max` retries after the first attempt.
    pub const fn new(max: u32, backoff: Backoff) -> Self {
        Self { max, backoff }
    }

    /// No retry: a run whose attempt fails is dead, and can be replayed.
    pub const fn never() -> Self {
        Self::new(0, Backoff::Fixed(SHORTEST))
    }

    /// The largest number of retries. The number of attempts is larger by one.
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// How long a run waits between attempts.
    pub const fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// What becomes of a run whose attempt of this number, counted from 1, has failed at `now`.
    ///
    /// The answer depends on the arguments alone: a repeated call, another node and another store give the same time.
    pub fn after(&self, run: RunId, attempt: u32, now: DateTime<Utc>) -> Verdict {
        if attempt > self.max {
            return Verdict::Dead;
        }
        let delay = self.backoff.delay(attempt);
        // From 80 to 120 percent.
        let percent = 80 + u32::try_from(run.scatter(attempt) % 41).unwrap_or(20);
        let delay = delay.saturating_mul(percent) / 100;
        let delay = TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX);
        Verdict::Again(now.checked_add_signed(delay).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn delay(policy: RetryPolicy, run: RunId, attempt: u32) -> Option<Duration> {
        match policy.after(run, attempt, DateTime::UNIX_EPOCH) {
            Verdict::Again(at) => Some((at - DateTime::UNIX_EPOCH).to_std().unwrap()),
            Verdict::Dead => None,
        }
    }

    #[test]
    fn delays_double_up_to_the_cap_and_end_with_the_last_retry() {
        let policy = RetryPolicy::new(5, Backoff::exponential(MINUTE, 5 * MINUTE).unwrap());
        for sender in 0..100 {
            let run = RunId::new(sender, 7);
            for (attempt, minutes) in (1..).zip([1, 2, 4, 5, 5]) {
                let (found, plain) = (delay(policy, run, attempt).unwrap(), minutes * MINUTE);
                assert!(plain * 4 / 5 <= found && found <= plain * 6 / 5, "{run}, {attempt}: {found:?}");
            }
            assert_eq!(delay(policy, run, 6), None);
        }
    }

    #[test]
    fn runs_that_fail_together_do_not_come_back_together() {
        let policy = RetryPolicy::new(1, Backoff::fixed(100 * MINUTE).unwrap());
        let delays = (0..1_000).map(|count| delay(policy, RunId::new(1, count), 1).unwrap());
        let distinct: std::collections::HashSet<_> = delays.collect();
        assert_eq!(distinct.len(), 41, "every percent from 80 to 120 occurs");
    }

    #[test]
    fn the_same_question_has_the_same_answer() {
        let policy = RetryPolicy::new(9, Backoff::exponential(MINUTE, 60 * MINUTE).unwrap());
        let ask = || (1..=9).map(|attempt| delay(policy, RunId::new(3, 4), attempt)).collect::<Vec<_>>();
        assert_eq!(ask(), ask());
    }

    #[test]
    fn no_number_overflows() {
        let huge = [Backoff::fixed(Duration::MAX), Backoff::exponential(SHORTEST, Duration::MAX)];
        for backoff in huge.map(Result::unwrap) {
            let policy = RetryPolicy::new(u32::MAX, backoff);
            for attempt in [1, 2, 31, 32, 33, 64, u32::MAX] {
                assert!(delay(policy, RunId::new(0, 0), attempt).unwrap() <= LONGEST * 6 / 5);
            }
            let last = DateTime::<Utc>::MAX_UTC;
            assert_eq!(policy.after(RunId::new(0, 0), 1, last), Verdict::Again(last));
        }
    }

    #[test]
    fn what_can_be_written_can_be_built() {
        for backoff in [Backoff::default(), Backoff::fixed(SHORTEST).unwrap()] {
            assert_eq!(backoff.to_string().parse(), Ok(backoff));
            assert_eq!(backoff.checked(), Ok(backoff));
        }
        assert_eq!(Backoff::default().to_string(), "exponential(15s, 6h)");
        for text in ["fixed(999us)", "exponential(999us, 1h)", "exponential(2s, 1s)"] {
            assert!(text.parse::<Backoff>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused() {
        let short = Duration::from_micros(999);
        assert_eq!(Backoff::fixed(short), Err(InvalidRetry::TooShort(short)));
        assert_eq!(Backoff::exponential(short, MINUTE), Err(InvalidRetry::TooShort(short)));
        let error = Backoff::exponential(MINUTE, Duration::from_secs(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a backoff that begins with 60s cannot end with 1s; give a cap that is not shorter than the base"
        );
    }
}
