//! What keeps a backoff or a retry policy from making sense.

use std::time::Duration;

/// A retry policy that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// The factor of an exponential backoff, which is none.
    #[error("a factor of {0} is not between 1 and 100 with at most three decimals; give one such as 1.5")]
    Factor(String),
    /// The backoff is not exponential.
    #[error("the backoff `{0}` takes no factor; use `exponential(15s, 1h, 1.5)`")]
    NoFactor(String),
    /// The list of delays is empty or too long.
    #[error("a backoff has {0} delays; give 1 to {most}", most = scheduler_syntax::MOST_DELAYS)]
    Delays(usize),
    /// The jitter is not between 0 and 1.
    #[error("{0}")]
    Jitter(String),
    /// The time in which retries may begin is over before the first retry.
    #[error(
        "no retry begins within {0:?} after the first attempt; give at least a millisecond, or no retries at all"
    )]
    Within(Duration),
    /// No kind of failure is retried.
    #[error("the policy retries no kind of failure; name at least one, or use `RetryPolicy::never`")]
    OnNothing,
}
