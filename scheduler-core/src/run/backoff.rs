//! How long a run waits for its next attempt.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use scheduler_syntax::{BackoffError, BackoffExpr, Factor, MOST_DELAYS, parse_backoff};
use serde::{Deserialize, Serialize};

use super::invalid::InvalidRetry;

/// No retry comes later than this after the failure, whatever the backoff says.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 86_400);
/// With shorter delays a job that fails at once would keep its node busy.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// How long a run waits for its next attempt. The [jitter](super::RetryPolicy::jitter) of the policy spreads the delays of
/// different runs, so that runs that failed together do not come back together.
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backoff {
    /// The same delay each time.
    Fixed(Duration),
    /// The delay grows by the same step each time.
    Linear {
        /// Before the first retry, and what each further delay has more.
        step: Duration,
        /// The longest delay.
        cap: Duration,
    },
    /// The delay is multiplied each time.
    Exponential {
        /// Before the first retry.
        base: Duration,
        /// The longest delay.
        cap: Duration,
        /// By which each delay is multiplied.
        #[serde(default, with = "factor", skip_serializing_if = "factor::is_default")]
        factor: Factor,
    },
    /// One delay after the other; the last one repeats.
    Delays(Arc<[Duration]>),
    /// The curve of [Hangfire](Backoff::hangfire).
    Hangfire,
    /// The curve of [Sidekiq](Backoff::sidekiq).
    Sidekiq,
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

    /// `step` before the first retry, twice the step before the second one, three times the step before the third one, but never
    /// longer than `cap`.
    ///
    /// # Errors
    ///
    /// The step is shorter than a millisecond or longer than the cap.
    pub fn linear(step: Duration, cap: Duration) -> Result<Self, InvalidRetry> {
        Self::Linear { step, cap }.checked()
    }

    /// `base` before the first retry, then twice as long each time, but never longer than `cap`.
    ///
    /// # Errors
    ///
    /// The base is shorter than a millisecond or longer than the cap.
    pub fn exponential(base: Duration, cap: Duration) -> Result<Self, InvalidRetry> {
        Self::Exponential { base, cap, factor: Factor::default() }.checked()
    }

    /// The same exponential backoff with another factor than 2: a number from 1 to 100 with at most three decimals.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use scheduler_core::run::Backoff;
    ///
    /// let slow = Backoff::exponential(Duration::from_secs(10), Duration::from_secs(3_600))?.factor(1.5)?;
    /// assert_eq!(slow, "exponential(10s, 1h, 1.5)".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The number is no such factor, or the backoff is not exponential.
    pub fn factor(self, factor: f64) -> Result<Self, InvalidRetry> {
        let wanted = Factor::new(factor).ok_or_else(|| InvalidRetry::Factor(factor.to_string()))?;
        match self {
            Self::Exponential { base, cap, .. } => Ok(Self::Exponential { base, cap, factor: wanted }),
            other => Err(InvalidRetry::NoFactor(other.to_string())),
        }
    }

    /// One delay after the other; when all have been used, the last one repeats.
    ///
    /// # Errors
    ///
    /// There is no delay, there are more than 32, or one of them is shorter than a millisecond.
    pub fn delays(delays: impl IntoIterator<Item = Duration>) -> Result<Self, InvalidRetry> {
        Self::Delays(delays.into_iter().collect()).checked()
    }

    /// The curve of Hangfire: (n − 1)⁴ + 15 + 14.5 · n seconds before retry n, which are about 4 h 30 min for ten retries.
    ///
    /// Hangfire draws a number from 0 to 29 where we have its mean, 14.5: the jitter of the policy spreads the delays instead, so
    /// that the time of a retry does not depend on the node that computes it.
    pub const fn hangfire() -> Self {
        Self::Hangfire
    }

    /// The curve of Sidekiq: (n − 1)⁴ + 15 + 5 · n seconds before retry n, which are about 20 days for 25 retries.
    ///
    /// Sidekiq draws a number from 0 to 10 where we have its mean, 5: the jitter of the policy spreads the delays instead, so that
    /// the time of a retry does not depend on the node that computes it.
    pub const fn sidekiq() -> Self {
        Self::Sidekiq
    }

    /// The variants are public, and a record may hold anything.
    fn checked(self) -> Result<Self, InvalidRetry> {
        self.problem().map_or(Ok(self), Err)
    }

    pub(super) fn problem(&self) -> Option<InvalidRetry> {
        let too_short = |delay: Duration| (delay < SHORTEST).then_some(InvalidRetry::TooShort(delay));
        match *self {
            Self::Fixed(delay) => too_short(delay),
            Self::Linear { step: base, cap } | Self::Exponential { base, cap, .. } => {
                too_short(base).or((base > cap).then_some(InvalidRetry::CapBelowBase { base, cap }))
            }
            Self::Delays(ref delays) if (1..=MOST_DELAYS).contains(&delays.len()) => {
                delays.iter().copied().find_map(too_short)
            }
            Self::Delays(ref delays) => Some(InvalidRetry::Delays(delays.len())),
            Self::Hangfire | Self::Sidekiq => None,
        }
    }

    /// The delay before the retry of this number, counted from 1, without its spread.
    pub(super) fn delay(&self, retry: u32) -> Duration {
        let retry = retry.max(1);
        let delay = match *self {
            Self::Fixed(delay) => delay,
            Self::Linear { step, cap } => step.saturating_mul(retry).min(cap),
            Self::Exponential { base, cap, factor } => multiplied(base, cap.min(LONGEST), factor, retry - 1),
            Self::Delays(ref delays) => {
                let last = delays.len().saturating_sub(1);
                let place = usize::try_from(retry - 1).unwrap_or(last).min(last);
                delays.get(place).copied().unwrap_or(SHORTEST)
            }
            Self::Hangfire => quartic(retry, Duration::from_millis(14_500)),
            Self::Sidekiq => quartic(retry, Duration::from_secs(5)),
        };
        delay.min(LONGEST)
    }
}

/// The base, multiplied so many times, up to the cap. In whole numbers: floating point differs between machines, and two nodes
/// must have the same answer.
fn multiplied(base: Duration, cap: Duration, factor: Factor, times: u32) -> Duration {
    let (base, cap) = (base.min(cap).as_nanos(), cap.as_nanos());
    // A factor of 1 never comes to the cap, and every other one soon does.
    let times = if factor.thousandths() == 1_000 { 0 } else { times };
    let mut delay = base;
    for _ in 0..times {
        delay = (delay * u128::from(factor.thousandths()) / 1_000).min(cap);
        if delay == cap {
            break;
        }
    }
    Duration::from_nanos(u64::try_from(delay).unwrap_or(u64::MAX))
}

/// (n − 1)⁴ seconds, 15 seconds, and the mean of what is drawn for each retry.
fn quartic(retry: u32, mean: Duration) -> Duration {
    let power = u64::from(retry - 1).saturating_pow(4);
    Duration::from_secs(power.saturating_add(15)).saturating_add(mean.saturating_mul(retry))
}

/// A factor is stored as the number that people write.
mod factor {
    use scheduler_syntax::Factor;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::InvalidRetry;

    pub(super) fn is_default(factor: &Factor) -> bool {
        *factor == Factor::default()
    }

    pub(super) fn serialize<S: Serializer>(factor: &Factor, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(factor.value())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Factor, D::Error> {
        let factor = f64::deserialize(deserializer)?;
        Factor::new(factor).ok_or_else(|| D::Error::custom(InvalidRetry::Factor(factor.to_string())))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        let (base, cap) = (Duration::from_secs(15), Duration::from_secs(6 * 3_600));
        Self::Exponential { base, cap, factor: Factor::default() }
    }
}

impl FromStr for Backoff {
    type Err = BackoffError;

    /// Reads the texts of [`parse_backoff`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match parse_backoff(text)? {
            BackoffExpr::Fixed(delay) => Self::Fixed(delay),
            BackoffExpr::Linear { step, cap } => Self::Linear { step, cap },
            BackoffExpr::Exponential { base, cap, factor } => Self::Exponential { base, cap, factor },
            BackoffExpr::Delays(delays) => Self::Delays(delays.into()),
            BackoffExpr::Hangfire => Self::Hangfire,
            BackoffExpr::Sidekiq => Self::Sidekiq,
        })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed(delay) => BackoffExpr::Fixed(delay),
            Self::Linear { step, cap } => BackoffExpr::Linear { step, cap },
            Self::Exponential { base, cap, factor } => BackoffExpr::Exponential { base, cap, factor },
            Self::Delays(ref delays) => BackoffExpr::Delays(delays.to_vec()),
            Self::Hangfire => BackoffExpr::Hangfire,
            Self::Sidekiq => BackoffExpr::Sidekiq,
        }
        .fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[track_caller]
    fn has_delays(text: &str, expected: &[(u32, u64)]) {
        let backoff: Backoff = text.parse().unwrap();
        for (retry, millis) in expected {
            assert_eq!(backoff.delay(*retry), Duration::from_millis(*millis), "{text}, retry {retry}");
        }
    }

    #[test]
    fn each_kind_has_its_delays() {
        has_delays("fixed(30s)", &[(1, 30_000), (2, 30_000), (u32::MAX, 30_000)]);
        has_delays("linear(10s, 25s)", &[(1, 10_000), (2, 20_000), (3, 25_000), (u32::MAX, 25_000)]);
        let doubling = [(1, 15_000), (2, 30_000), (10, 7_680_000), (12, 21_600_000), (u32::MAX, 21_600_000)];
        has_delays("exponential(15s, 6h)", &doubling);
        let by_half = [(1, 1_000), (2, 1_500), (3, 2_250), (4, 3_375), (5, 5_000), (u32::MAX, 5_000)];
        has_delays("exponential(1s, 5s, 1.5)", &by_half);
        has_delays("exponential(1s, 5s, 1)", &[(1, 1_000), (2, 1_000), (u32::MAX, 1_000)]);
        has_delays("exponential(1ms, 1s, 1.001)", &[(1, 1), (u32::MAX, 1_000)]);
        has_delays(
            "delays(1s, 10s, 5s)",
            &[(1, 1_000), (2, 10_000), (3, 5_000), (4, 5_000), (u32::MAX, 5_000)],
        );
        has_delays("hangfire", &[(1, 29_500), (2, 45_000), (3, 74_500), (10, 6_721_000)]);
        has_delays("sidekiq", &[(1, 20_000), (2, 26_000), (3, 46_000), (25, 331_916_000)]);
    }

    #[test]
    fn the_curves_of_others_take_as_long_as_theirs() {
        let sum = |backoff: Backoff, retries: u32| (1..=retries).map(|n| backoff.delay(n)).sum::<Duration>();
        assert_eq!(sum(Backoff::hangfire(), 10).as_secs() / 60, 271, "4 h 31 min");
        assert_eq!(sum(Backoff::sidekiq(), 25).as_secs() / 86_400, 20, "20 days");
    }

    #[test]
    fn no_number_overflows() {
        let (shortest, longest) = (SHORTEST, Duration::MAX);
        let huge = [
            Backoff::fixed(longest),
            Backoff::linear(shortest, longest),
            Backoff::linear(longest, longest),
            Backoff::exponential(shortest, longest),
            Backoff::exponential(shortest, longest).and_then(|backoff| backoff.factor(100.0)),
            Backoff::exponential(shortest, longest).and_then(|backoff| backoff.factor(1.001)),
            Backoff::exponential(longest, longest),
            Backoff::delays([shortest, longest]),
            Ok(Backoff::hangfire()),
            Ok(Backoff::sidekiq()),
        ];
        for backoff in huge.map(Result::unwrap) {
            let mut before = Duration::ZERO;
            for retry in [0, 1, 2, 31, 32, 33, 64, 65_536, u32::MAX - 1, u32::MAX] {
                let delay = backoff.delay(retry);
                assert!(SHORTEST <= delay && delay <= LONGEST, "{backoff}, {retry}: {delay:?}");
                assert!(before <= delay, "{backoff}, {retry}: {delay:?} after {before:?}");
                before = delay;
            }
        }
        let empty = Backoff::Delays([].into());
        assert_eq!(empty.delay(7), SHORTEST, "also of a backoff that would be refused");
    }

    #[test]
    fn texts_and_records_are_read_back() {
        let duration = |seconds: u64| format!("{{\"secs\":{seconds},\"nanos\":0}}");
        let between = |name: &str, first: &str, rest: &str| {
            format!("{{\"{name}\":{{\"{first}\":{},\"cap\":{}{rest}}}}}", duration(15), duration(3_600))
        };
        for (text, record) in [
            ("fixed(15s)", format!("{{\"fixed\":{}}}", duration(15))),
            ("linear(15s, 1h)", between("linear", "step", "")),
            ("exponential(15s, 1h)", between("exponential", "base", "")),
            ("exponential(15s, 1h, 1.5)", between("exponential", "base", ",\"factor\":1.5")),
            ("exponential(15s, 1h, 3)", between("exponential", "base", ",\"factor\":3.0")),
            ("delays(1s, 10s)", format!("{{\"delays\":[{},{}]}}", duration(1), duration(10))),
            ("hangfire", "\"hangfire\"".to_owned()),
            ("sidekiq", "\"sidekiq\"".to_owned()),
        ] {
            let backoff: Backoff = text.parse().unwrap();
            assert_eq!(backoff.to_string(), text);
            assert_eq!(serde_json::to_string(&backoff).unwrap(), record);
            assert_eq!(serde_json::from_str::<Backoff>(&record).unwrap(), backoff);
            assert_eq!(backoff.clone().checked(), Ok(backoff));
        }
        assert_eq!(Backoff::default().to_string(), "exponential(15s, 6h)");
        let wrong = between("exponential", "base", ",\"factor\":0.5");
        let error = serde_json::from_str::<Backoff>(&wrong).unwrap_err().to_string();
        assert!(error.contains("a factor of 0.5 is not between 1 and 100"), "{error}");
        assert!(serde_json::from_str::<Backoff>("\"oban\"").is_err());
    }

    #[test]
    fn a_backoff_that_makes_no_sense_is_refused() {
        let (short, minute) = (Duration::from_micros(999), 60 * SECOND);
        for refused in [
            Backoff::fixed(short),
            Backoff::linear(short, minute),
            Backoff::exponential(short, minute),
            Backoff::delays([SECOND, short]),
        ] {
            assert_eq!(refused, Err(InvalidRetry::TooShort(short)));
        }
        let cap =
            "a backoff that begins with 60s cannot end with 1s; give a cap that is not shorter than the base";
        let factor =
            "a factor of 1.2345 is not between 1 and 100 with at most three decimals; give one such as 1.5";
        for (refused, words) in [
            (Backoff::exponential(minute, SECOND), cap),
            (Backoff::linear(minute, SECOND), cap),
            (Backoff::default().factor(1.2345), factor),
            (
                Backoff::hangfire().factor(2.0),
                "the backoff `hangfire` takes no factor; use `exponential(15s, 1h, 1.5)`",
            ),
            (Backoff::delays([]), "a backoff has 0 delays; give 1 to 32"),
            (Backoff::delays([SECOND; 33]), "a backoff has 33 delays; give 1 to 32"),
        ] {
            assert_eq!(refused.unwrap_err().to_string(), words);
        }
        for text in ["fixed(999us)", "exponential(999us, 1h)", "exponential(2s, 1s)", "delays()"] {
            assert!(text.parse::<Backoff>().is_err(), "{text}");
        }
    }
}
