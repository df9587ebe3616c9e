//! What becomes of a run whose attempt has failed.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_syntax::{FAILURES, format_duration, jitter_percent};
use serde::{Deserialize, Serialize};

use super::RunId;
use super::backoff::{Backoff, SHORTEST};
use super::invalid::InvalidRetry;

/// Percent of a delay by which it is spread in either direction, by default.
const JITTER: u8 = 20;

/// How often a failed run is tried again, and when. By default ten times, with the default [`Backoff`].
///
/// ```
/// # use std::time::Duration;
/// use scheduler_core::run::{Backoff, FailureKind, RetryPolicy};
///
/// let policy = RetryPolicy::new(3, Backoff::exponential(Duration::from_secs(15), Duration::from_secs(3_600))?)
///     .jitter(0.5)?
///     .within(Duration::from_secs(86_400))
///     .on([FailureKind::Failed, FailureKind::TimedOut]);
/// assert_eq!(policy.max(), 3); // four attempts in all
/// assert_eq!(policy.to_string(), "3 times, exponential(15s, 1h), jitter 0.5, within 1d, on failed, timed_out");
/// # Ok::<(), scheduler_core::run::InvalidRetry>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryPolicy {
    pub(crate) max: u32,
    pub(crate) backoff: Backoff,
    /// In percent.
    #[serde(default = "jitter::default", with = "jitter", skip_serializing_if = "jitter::is_default")]
    pub(crate) jitter: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) within: Option<Duration>,
    #[serde(default, skip_serializing_if = "Kinds::are_all")]
    on: Kinds,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_reset_by_progress: bool,
}

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The job has returned an error, or its arguments could not be made.
    Failed,
    /// The job has panicked.
    Panicked,
    /// The job has exceeded its timeout.
    TimedOut,
    /// The node that ran the job has died.
    Lost,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Panicked, Self::TimedOut, Self::Lost];

    /// The word by which the kind is written: `failed`, `panicked`, `timed_out` or `lost`.
    pub const fn word(self) -> &'static str {
        FAILURES[self as usize]
    }

    /// The kinds that a text names, such as `failed, timed_out`.
    #[cfg(feature = "schedule-file")]
    pub(crate) fn read(text: &str) -> Result<Vec<Self>, String> {
        let words = scheduler_syntax::parse_failures(text)?;
        Ok(Self::ALL.into_iter().filter(|kind| words.contains(&kind.word())).collect())
    }
}

/// A set of kinds of failure, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<FailureKind>", into = "Vec<FailureKind>")]
struct Kinds(u8);

impl Kinds {
    const ALL: Self = Self(0b1111);

    const fn has(self, kind: FailureKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    fn are_all(&self) -> bool {
        *self == Self::ALL
    }

    fn iter(self) -> impl Iterator<Item = FailureKind> {
        FailureKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<FailureKind> for Kinds {
    fn from_iter<I: IntoIterator<Item = FailureKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind as u8))
    }
}

impl From<Vec<FailureKind>> for Kinds {
    fn from(kinds: Vec<FailureKind>) -> Self {
        kinds.into_iter().collect()
    }
}

impl From<Kinds> for Vec<FailureKind> {
    fn from(kinds: Kinds) -> Self {
        kinds.iter().collect()
    }
}

/// A jitter is stored as the number that people write.
mod jitter {
    use scheduler_syntax::jitter_percent;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn default() -> u8 {
        super::JITTER
    }

    pub(super) fn is_default(percent: &u8) -> bool {
        *percent == super::JITTER
    }

    pub(super) fn serialize<S: Serializer>(percent: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(*percent) / 100.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
        jitter_percent(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// What becomes of a run whose attempt has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The run waits for another attempt, which is due then.
    Again(DateTime<Utc>),
    /// No retry is left.
    Dead,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new(10, Backoff::default())
    }
}

impl RetryPolicy {
    /// At most `max` retries after the first attempt.
    pub const fn new(max: u32, backoff: Backoff) -> Self {
        Self { max, backoff, jitter: JITTER, within: None, on: Kinds::ALL, is_reset_by_progress: false }
    }

    /// No retry: a run whose attempt fails is dead, and can be replayed.
    pub const fn never() -> Self {
        Self::new(0, Backoff::Fixed(SHORTEST))
    }

    /// How much the delays of different runs vary: with a jitter of 0.2, each delay is between 80 and 120 percent of what the
    /// backoff says. The jitter is rounded to whole percent; 0 is none. Default: 0.2.
    ///
    /// The variation is a function of the run and the attempt: a repeated question has the same answer.
    ///
    /// # Errors
    ///
    /// The number is not between 0 and 1.
    pub fn jitter(self, jitter: f64) -> Result<Self, InvalidRetry> {
        let jitter = jitter_percent(jitter).map_err(InvalidRetry::Jitter)?;
        Ok(Self { jitter, ..self })
    }

    /// No retry begins later than this after the beginning of the first attempt: a run whose next retry would be later is dead
    /// instead. Attempts that do not count, such as those that snoozed, are not the first one. Default: no limit.
    ///
    /// A run that was lost with its node is attempted again at once, also later.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { within: Some(time), ..self }
    }

    /// The kinds of failure that are retried; a run that fails in another way is dead. Default: all.
    ///
    /// Without [`Lost`](FailureKind::Lost) a run whose node dies is dead, and an occurrence of a trigger in its first attempt is over.
    #[must_use]
    pub fn on(self, kinds: impl IntoIterator<Item = FailureKind>) -> Self {
        Self { on: kinds.into_iter().collect(), ..self }
    }

    /// Counts attempts anew after an attempt that has noted another [checkpoint](crate::job::JobContext::checkpoint) than the one from which it
    /// began: for an import that fails every hour at another place. So the next attempt has the number 2, and the backoff begins anew.
    /// [`within`](Self::within) still counts from the very first attempt, and an attempt that is lost with its node counts as ever. Default:
    /// no.
    #[must_use]
    pub fn reset_by_progress(self) -> Self {
        Self { is_reset_by_progress: true, ..self }
    }

    /// Whether an attempt that has noted another checkpoint lets those before it not count.
    pub const fn is_reset_by_progress(&self) -> bool {
        self.is_reset_by_progress
    }

    /// The largest number of retries. The number of attempts is larger by one.
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// How long a run waits between attempts.
    pub const fn backoff(&self) -> &Backoff {
        &self.backoff
    }

    /// Whether a failure of this kind is retried.
    pub const fn retries(&self, kind: FailureKind) -> bool {
        self.on.has(kind)
    }

    /// What makes no sense. A record may hold anything.
    pub(crate) fn checked(&self) -> Result<(), InvalidRetry> {
        let hasty = self.within.filter(|within| *within < SHORTEST).map(InvalidRetry::Within);
        let nothing = || (self.on == Kinds(0)).then_some(InvalidRetry::OnNothing);
        self.backoff.problem().or(hasty).or_else(nothing).map_or(Ok(()), Err)
    }

    /// What becomes of a run whose attempt of this number, counted from 1, has failed in this way at `now`; `first` is the
    /// beginning of its first attempt.
    ///
    /// The answer depends on the arguments alone: a repeated call, another node and another store give the same time.
    pub fn after(
        &self,
        kind: FailureKind,
        run: RunId,
        attempt: u32,
        first: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Verdict {
        self.verdict(kind, attempt, first, later(now, self.delay(run, attempt)))
    }

    /// As [`after`](Self::after), for a retry that would be due at this time.
    pub(crate) fn verdict(
        &self,
        kind: FailureKind,
        attempt: u32,
        first: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Verdict {
        let is_too_late = self.within.is_some_and(|within| at > later(first, within));
        match attempt > self.max || !self.retries(kind) || is_too_late {
            true => Verdict::Dead,
            false => Verdict::Again(at),
        }
    }

    /// The delay of the backoff with its spread: with a jitter of 20 percent, from 80 to 120 percent.
    fn delay(&self, run: RunId, attempt: u32) -> Duration {
        let jitter = u32::from(self.jitter.min(100));
        let spread = u32::try_from(run.scatter(attempt) % u64::from(2 * jitter + 1)).unwrap_or(jitter);
        (self.backoff.delay(attempt).saturating_mul(100 - jitter + spread) / 100).max(SHORTEST)
    }
}

/// A delay that no date can hold ends with the last one.
fn later(time: DateTime<Utc>, delay: Duration) -> DateTime<Utc> {
    let delay = TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX);
    time.checked_add_signed(delay).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl fmt::Display for RetryPolicy {
    /// The policy in words; what it has by default is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times, {}", self.max, self.backoff)?;
        if self.jitter != JITTER {
            write!(f, ", jitter {}", f64::from(self.jitter) / 100.0)?;
        }
        if let Some(within) = self.within {
            write!(f, ", within {}", format_duration(within))?;
        }
        if !self.on.are_all() {
            let words: Vec<_> = self.on.iter().map(FailureKind::word).collect();
            write!(f, ", on {}", words.join(", "))?;
        }
        if self.is_reset_by_progress {
            f.write_str(", reset by progress")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const EPOCH: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn fixed(max: u32, delay: Duration) -> RetryPolicy {
        RetryPolicy::new(max, Backoff::fixed(delay).unwrap())
    }

    fn delay(policy: &RetryPolicy, run: RunId, attempt: u32) -> Option<Duration> {
        match policy.after(FailureKind::Failed, run, attempt, EPOCH, EPOCH) {
            Verdict::Again(at) => Some((at - EPOCH).to_std().unwrap()),
            Verdict::Dead => None,
        }
    }

    #[test]
    fn delays_double_up_to_the_cap_and_end_with_the_last_retry() {
        let policy = RetryPolicy::new(5, Backoff::exponential(MINUTE, 5 * MINUTE).unwrap());
        for sender in 0..100 {
            let run = RunId::new(sender, 7);
            for (attempt, minutes) in (1..).zip([1, 2, 4, 5, 5]) {
                let (found, plain) = (delay(&policy, run, attempt).unwrap(), minutes * MINUTE);
                assert!(plain * 4 / 5 <= found && found <= plain * 6 / 5, "{run}, {attempt}: {found:?}");
            }
            assert_eq!(delay(&policy, run, 6), None);
        }
    }

    #[test]
    fn runs_that_fail_together_do_not_come_back_together() {
        for (jitter, least, most) in [(0.0, 100, 100), (0.2, 80, 120), (0.3, 70, 130), (1.0, 0, 200)] {
            let policy = fixed(1, 100 * MINUTE).jitter(jitter).unwrap();
            let delays = (0..5_000).map(|count| delay(&policy, RunId::new(1, count), 1).unwrap());
            let distinct: std::collections::BTreeSet<_> = delays.collect();
            let every: Vec<_> = (least..=most).map(|percent| (percent * MINUTE).max(SHORTEST)).collect();
            assert_eq!(Vec::from_iter(distinct), every, "every percent of a jitter of {jitter} occurs");
        }
        assert_eq!(fixed(1, MINUTE).jitter(0.2).unwrap(), fixed(1, MINUTE), "a fifth is the default");
    }

    /// Mass retry: a hundred thousand runs that fail in one second.
    #[test]
    fn runs_that_fail_in_one_second_do_not_come_back_in_one_second() {
        let policy = RetryPolicy::default();
        let mut by_second = std::collections::BTreeMap::<u64, u32>::new();
        for count in 0..100_000 {
            let back = delay(&policy, RunId::new(1, count), 1).unwrap().as_secs();
            *by_second.entry(back).or_default() += 1;
        }
        let most = by_second.values().max().unwrap();
        assert!(*most <= 20_000, "a fifth of them at most: {by_second:?}");
    }

    #[test]
    fn the_same_question_has_the_same_answer() {
        let policy = RetryPolicy::new(9, Backoff::exponential(MINUTE, 60 * MINUTE).unwrap());
        let ask = || (1..=9).map(|attempt| delay(&policy, RunId::new(3, 4), attempt)).collect::<Vec<_>>();
        assert_eq!(ask(), ask());
    }

    #[test]
    fn no_retry_begins_later_than_the_policy_says() {
        let policy = fixed(9, 10 * MINUTE).jitter(0.0).unwrap().within(25 * MINUTE);
        let at = |minutes: i64| EPOCH + TimeDelta::minutes(minutes);
        for (now, expected) in [
            (0, Verdict::Again(at(10))),
            (15, Verdict::Again(at(25))),
            (16, Verdict::Dead),
            (-5, Verdict::Again(at(5))),
        ] {
            assert_eq!(
                policy.after(FailureKind::Failed, RunId::new(0, 0), 1, EPOCH, at(now)),
                expected,
                "{now}"
            );
        }
        let endless = policy.within(Duration::MAX);
        let last = DateTime::<Utc>::MAX_UTC;
        assert_eq!(
            endless.after(FailureKind::Failed, RunId::new(0, 0), 1, EPOCH, last),
            Verdict::Again(last)
        );
    }

    #[test]
    fn only_the_kinds_that_the_policy_names_are_retried() {
        let after = |policy: &RetryPolicy| {
            FailureKind::ALL
                .map(|kind| policy.after(kind, RunId::new(0, 0), 1, EPOCH, EPOCH) != Verdict::Dead)
        };
        let policy = fixed(1, MINUTE);
        assert_eq!(after(&policy), [true; 4]);
        assert_eq!(after(&policy.clone().on([FailureKind::Failed])), [true, false, false, false]);
        let twice = policy.clone().on([FailureKind::Lost, FailureKind::TimedOut, FailureKind::Lost]);
        assert_eq!(after(&twice), [false, false, true, true]);
        assert_eq!(policy.clone().on(FailureKind::ALL), policy);
        assert_eq!(FailureKind::ALL.map(FailureKind::word), FAILURES);
    }

    #[test]
    fn no_date_overflows() {
        // elsa-workflows/elsa-extensions PR#179: a delay that no date can hold.
        let policy = RetryPolicy::new(u32::MAX, Backoff::fixed(Duration::MAX).unwrap()).jitter(1.0).unwrap();
        for count in 0..100 {
            assert!(delay(&policy, RunId::new(0, count), u32::MAX).is_some());
            let last = DateTime::<Utc>::MAX_UTC;
            assert_eq!(
                policy.after(FailureKind::Lost, RunId::new(0, count), 1, last, last),
                Verdict::Again(last)
            );
        }
    }

    #[test]
    fn records_are_read_back() {
        let plain = RetryPolicy::new(3, Backoff::hangfire());
        let part = plain.clone().jitter(0.0).unwrap();
        let whole =
            plain.clone().jitter(0.35).unwrap().within(MINUTE).on([FailureKind::Lost, FailureKind::TimedOut]);
        for (policy, record, words) in [
            (plain, "", "3 times, hangfire"),
            (part, ",\"jitter\":0.0", "3 times, hangfire, jitter 0"),
            (
                whole,
                ",\"jitter\":0.35,\"within\":{\"secs\":60,\"nanos\":0},\"on\":[\"timed_out\",\"lost\"]",
                "3 times, hangfire, jitter 0.35, within 1m, on timed_out, lost",
            ),
        ] {
            let record = format!("{{\"max\":3,\"backoff\":\"hangfire\"{record}}}");
            assert_eq!(serde_json::to_string(&policy).unwrap(), record);
            assert_eq!(serde_json::from_str::<RetryPolicy>(&record).unwrap(), policy);
            assert_eq!(policy.to_string(), words);
        }
        for (wrong, problem) in [
            (",\"jitter\":1.5", "a jitter of 1.5 is not between 0 and 1"),
            (",\"on\":[\"throttled\"]", "unknown variant `throttled`"),
        ] {
            let record = format!("{{\"max\":3,\"backoff\":\"hangfire\"{wrong}}}");
            let error = serde_json::from_str::<RetryPolicy>(&record).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused() {
        let policy = fixed(1, MINUTE);
        assert_eq!(policy.checked(), Ok(()));
        assert!(matches!(policy.clone().jitter(f64::NAN), Err(InvalidRetry::Jitter(_))));
        assert_eq!(policy.clone().on([]).checked(), Err(InvalidRetry::OnNothing));
        assert_eq!(
            policy.within(Duration::ZERO).checked().unwrap_err().to_string(),
            "no retry begins within 0ns after the first attempt; give at least a millisecond, or no retries at all"
        );
        let nonsense = RetryPolicy::new(1, Backoff::Fixed(Duration::ZERO));
        assert_eq!(nonsense.checked(), Err(InvalidRetry::TooShort(Duration::ZERO)));
    }
}
