//! Backoffs as people write them: `fixed(30s)`, `exponential(15s, 1h)`, `sidekiq`.

mod call;
mod factor;

use std::fmt;
use std::time::Duration;

use crate::format_duration;
use call::Call;
pub use factor::Factor;

/// How many durations `delays(…)` takes at most.
pub const MOST_DELAYS: usize = 32;

/// How long a failed run waits for its next attempt, as it is written.
///
/// `Display` writes what [`parse_backoff`] reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackoffExpr {
    /// `fixed(delay)`: the same delay each time.
    Fixed(Duration),
    /// `linear(step, cap)`: the delay grows by the same step each time.
    Linear {
        /// Before the first retry, and what each further delay has more.
        step: Duration,
        /// The longest delay.
        cap: Duration,
    },
    /// `exponential(base, cap)` or `exponential(base, cap, factor)`: the delay is multiplied each time.
    Exponential {
        /// Before the first retry.
        base: Duration,
        /// The longest delay.
        cap: Duration,
        /// By which each delay is multiplied; 2 if it is not written.
        factor: Factor,
    },
    /// `delays(1s, 10s, 1m)`: one delay after the other; the last one repeats.
    Delays(Vec<Duration>),
    /// `hangfire`: the curve of Hangfire.
    Hangfire,
    /// `sidekiq`: the curve of Sidekiq.
    Sidekiq,
}

impl fmt::Display for BackoffExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |time: &Duration| format_duration(*time);
        match self {
            Self::Fixed(delay) => write!(f, "fixed({})", shown(delay)),
            Self::Linear { step, cap } => write!(f, "linear({}, {})", shown(step), shown(cap)),
            Self::Exponential { base, cap, factor } if *factor == Factor::default() => {
                write!(f, "exponential({}, {})", shown(base), shown(cap))
            }
            Self::Exponential { base, cap, factor } => {
                write!(f, "exponential({}, {}, {factor})", shown(base), shown(cap))
            }
            Self::Delays(delays) => {
                let delays: Vec<_> = delays.iter().map(shown).collect();
                write!(f, "delays({})", delays.join(", "))
            }
            Self::Hangfire => f.write_str("hangfire"),
            Self::Sidekiq => f.write_str("sidekiq"),
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

/// The backoff that a text means, with durations as [`parse_duration`](crate::parse_duration) reads them.
///
/// | text | delays |
/// |---|---|
/// | `fixed(delay)` | the same delay each time |
/// | `linear(step, cap)` | the step, twice the step, three times the step, up to the cap |
/// | `exponential(base, cap)` | each delay is twice as long as the one before, up to the cap |
/// | `exponential(base, cap, factor)` | the same with another [factor](Factor) than 2 |
/// | `delays(first, second, …)` | the delays of the list, at most 32; the last one repeats |
/// | `hangfire`, `sidekiq` | the curves of these two |
///
/// White space may stand around each part. A delay is at least a millisecond, and no first delay is longer than the cap.
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
/// Anything else: another word, a wrong number of parts, a duration that cannot be read or is too short, a first delay that
/// is longer than the cap, a factor that is none.
pub fn parse_backoff(text: &str) -> Result<BackoffExpr, BackoffError> {
    let call = Call::read(text)?;
    match call.name {
        "fixed" => call.durations(["delay"]).map(|[delay]| BackoffExpr::Fixed(delay)),
        "linear" => {
            let [step, cap] = call.durations(["step", "cap"])?;
            call.not_beyond("step", step, cap, |step, cap| BackoffExpr::Linear { step, cap })
        }
        "exponential" => {
            let (factor, [base, cap]) = (call.factor()?, call.durations(["base", "cap"])?);
            call.not_beyond("base", base, cap, |base, cap| BackoffExpr::Exponential { base, cap, factor })
        }
        "delays" => call.list().map(BackoffExpr::Delays),
        "hangfire" => Ok(BackoffExpr::Hangfire),
        _ => Ok(BackoffExpr::Sidekiq),
    }
}
