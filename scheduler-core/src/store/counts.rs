//! How many attempts have ended, and how: counters of jobs, queues and outcomes.
//!
//! Nodes count in memory and tell the store their sums every few seconds, so a run costs the store nothing. What a node has counted since
//! it told the store last is lost with it: these are statistics. What waits, runs and is dead is counted where it stands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::firings::FiringOutcome;

/// For how long counters of one bucket count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountStep {
    /// Kept for three hours.
    #[default]
    Minute,
    /// Kept for 14 days.
    Hour,
    /// Kept for two years of 365 days.
    Day,
}

impl CountStep {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// For how long a bucket counts, in seconds.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// For how long a bucket is kept from its begin on, in seconds.
    pub const fn kept_seconds(self) -> i64 {
        match self {
            Self::Minute => 3 * 3600,
            Self::Hour => 14 * 86_400,
            Self::Day => 2 * 365 * 86_400,
        }
    }

    /// In one word, for keys and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// When the bucket of this time began, in seconds of Unix time.
    pub const fn start(self, at: DateTime<Utc>) -> i64 {
        self.floor(at.timestamp())
    }

    const fn floor(self, seconds: i64) -> i64 {
        seconds - seconds.rem_euclid(self.seconds())
    }

    /// The first bucket that is still kept.
    pub const fn oldest(self, now: DateTime<Utc>) -> i64 {
        self.start(now) - self.kept_seconds() + self.seconds()
    }
}

/// The kind of attempts that one counter counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CountKey {
    /// The function of the job.
    pub job_type: Arc<str>,
    /// The queue; none for work without one.
    pub queue: Option<Arc<str>>,
    /// How the attempts ended.
    pub outcome: FiringOutcome,
}

impl CountKey {
    /// Attempts of this function, taken from this queue, that ended like this.
    pub const fn new(job_type: Arc<str>, queue: Option<Arc<str>>, outcome: FiringOutcome) -> Self {
        Self { job_type, queue, outcome }
    }
}

/// How long attempts took: how many of them less than 1 ms, 2 ms, 4 ms and so on, each by the first of these bounds that it stayed below.
/// The last one has no bound, and is that of more than an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Durations([u64; Self::BOUNDS]);

impl Durations {
    /// How many bounds there are.
    pub const BOUNDS: usize = 24;

    /// Counts one attempt that took so long.
    pub fn count(&mut self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let place = (u64::BITS - millis.leading_zeros()) as usize;
        self.add(place, 1);
    }

    /// Adds so many at the place of a bound; the last one stands for all places behind it.
    pub fn add(&mut self, place: usize, many: u64) {
        if let Some(count) = self.0.get_mut(place.min(Self::BOUNDS - 1)) {
            *count = count.saturating_add(many);
        }
    }

    /// How many there are at each bound, the shortest first.
    pub fn counts(&self) -> &[u64; Self::BOUNDS] {
        &self.0
    }

    /// The bound below which this part of the attempts stayed, such as 0.99 of them; none if there were none. The true time is at most the
    /// bound and, but for the first one, at least half of it.
    ///
    /// ```
    /// # use scheduler_core::store::Durations;
    /// # use std::time::Duration;
    /// let mut durations = Durations::default();
    /// (0..99).for_each(|_| durations.count(Duration::from_millis(3)));
    /// durations.count(Duration::from_secs(1));
    /// assert_eq!(durations.quantile(0.5), Some(Duration::from_millis(4)));
    /// assert_eq!(durations.quantile(1.0), Some(Duration::from_millis(1024)));
    /// ```
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let all: u64 = self.0.iter().sum();
        let wanted = ((all as f64) * part.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        let place = self.0.iter().position(|many| {
            seen += many;
            seen >= wanted
        });
        place.map(|place| Duration::from_millis(1 << place))
    }

    fn merge(&mut self, other: &Self) {
        other.0.iter().enumerate().for_each(|(place, many)| self.add(place, *many));
    }
}

/// Attempts that have ended, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndCount {
    /// What was counted.
    #[serde(flatten)]
    pub key: CountKey,
    /// How many there were.
    pub count: u64,
    /// How long they took from their begin to their end.
    pub durations: Durations,
    /// When the last of them ended.
    pub latest: DateTime<Utc>,
}

impl EndCount {
    /// None yet, until this time.
    pub fn new(key: CountKey, latest: DateTime<Utc>) -> Self {
        Self { key, count: 0, durations: Durations::default(), latest }
    }

    /// One more attempt has ended.
    pub fn count(&mut self, took: Duration, ended: DateTime<Utc>) {
        self.count = self.count.saturating_add(1);
        self.durations.count(took);
        self.latest = self.latest.max(ended);
    }

    /// Adds another sum of the same kind.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.durations.merge(&other.durations);
        self.latest = self.latest.max(other.latest);
    }
}

/// The counters of one span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CountBucket {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// What was counted in it.
    #[serde(flatten)]
    pub ends: EndCount,
}

impl CountBucket {
    /// The bucket that begins at this second of Unix time.
    pub fn new(start: i64, ends: EndCount) -> Self {
        Self { start: DateTime::from_timestamp(start, 0).unwrap_or_default(), ends }
    }
}

/// Which counters to list.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CountQuery {
    /// How long the buckets are.
    pub step: CountStep,
    /// Only those that begin at this time or later; buckets that are not kept any more are gone, whatever is asked for.
    pub from: DateTime<Utc>,
    /// Only those that begin before this time.
    pub until: DateTime<Utc>,
    /// Only those of this function.
    pub job_type: Option<Arc<str>>,
    /// Only those of this queue; `Some(None)` for work without one.
    pub queue: Option<Option<Arc<str>>>,
    /// Only those of attempts that ended like this.
    pub outcome: Option<FiringOutcome>,
}

impl CountQuery {
    /// All counters that are kept at this time, in buckets of this length.
    pub fn kept(step: CountStep, now: DateTime<Utc>) -> Self {
        let from = DateTime::from_timestamp(step.oldest(now), 0).unwrap_or_default();
        // Nodes whose clocks are ahead count, too.
        let until = now.checked_add_signed(TimeDelta::seconds(2 * step.seconds())).unwrap_or(now);
        Self { step, from, until, job_type: None, queue: None, outcome: None }
    }

    /// Only buckets that begin at this time or later.
    #[must_use]
    pub fn from(self, from: DateTime<Utc>) -> Self {
        Self { from, ..self }
    }

    /// Only buckets that begin before this time.
    #[must_use]
    pub fn until(self, until: DateTime<Utc>) -> Self {
        Self { until, ..self }
    }

    /// Only attempts of this function.
    #[must_use]
    pub fn of_job_type(self, job_type: impl Into<Arc<str>>) -> Self {
        Self { job_type: Some(job_type.into()), ..self }
    }

    /// Only attempts that were taken from this queue.
    #[must_use]
    pub fn of_queue(self, queue: impl Into<Arc<str>>) -> Self {
        Self { queue: Some(Some(queue.into())), ..self }
    }

    /// Only attempts that ended like this.
    #[must_use]
    pub fn of_outcome(self, outcome: FiringOutcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// For a store: whether these counters are meant, apart from their time.
    pub fn matches(&self, key: &CountKey) -> bool {
        self.job_type.as_ref().is_none_or(|job_type| *job_type == key.job_type)
            && self.queue.as_ref().is_none_or(|queue| *queue == key.queue)
            && self.outcome.is_none_or(|outcome| outcome == key.outcome)
    }

    /// For a store: the begins of the buckets that may be meant and are kept, the first and the last; none if there is none.
    pub fn starts(&self, now: DateTime<Utc>) -> Option<(i64, i64)> {
        let step = self.step;
        // The first second from which on a bucket may begin, and the last one.
        let from = self.from.timestamp() + i64::from(self.from.timestamp_subsec_nanos() > 0);
        let until = self.until.timestamp() - i64::from(self.until.timestamp_subsec_nanos() == 0);
        let first = step.floor(from + step.seconds() - 1).max(step.oldest(now));
        let last = step.floor(until).min(step.floor(now.timestamp() + step.seconds()));
        (first <= last).then_some((first, last))
    }
}

/// Counters in memory, for stores that keep nothing else.
#[derive(Debug, Default)]
pub struct CountTable(BTreeMap<(CountStep, i64), BTreeMap<CountKey, EndCount>>);

impl CountTable {
    /// Adds what a node has counted until now, and forgets buckets that are not kept any more.
    pub fn add(&mut self, counts: &[EndCount], now: DateTime<Utc>) {
        for step in CountStep::ALL {
            let bucket = self.0.entry((step, step.start(now))).or_default();
            for ends in counts {
                match bucket.get_mut(&ends.key) {
                    Some(known) => known.merge(ends),
                    None => drop(bucket.insert(ends.key.clone(), ends.clone())),
                }
            }
        }
        self.0.retain(|(step, start), _| *start >= step.oldest(now));
    }

    /// The counters of one bucket; none if it is not kept.
    pub(in crate::store) fn bucket(
        &self,
        step: CountStep,
        start: i64,
    ) -> Option<impl Iterator<Item = &EndCount>> {
        self.0.get(&(step, start)).map(BTreeMap::values)
    }

    /// The counters of a bucket, as they were.
    pub(in crate::store) fn restore(
        &mut self,
        step: CountStep,
        start: i64,
        ends: impl Iterator<Item = EndCount>,
    ) {
        self.0.insert((step, start), ends.map(|ends| (ends.key.clone(), ends)).collect());
    }

    /// The counters that are meant, in the order of their buckets, functions, queues and outcomes.
    pub fn find(&self, query: &CountQuery, now: DateTime<Utc>) -> Vec<CountBucket> {
        let Some((first, last)) = query.starts(now) else { return Vec::new() };
        let buckets = self.0.range((query.step, first)..=(query.step, last));
        let meant = buckets.flat_map(|((_, start), bucket)| {
            let meant = bucket.values().filter(|ends| query.matches(&ends.key));
            meant.map(|ends| CountBucket::new(*start, ends.clone()))
        });
        meant.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    #[test]
    fn durations_are_counted_below_powers_of_two() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantile(0.5), None);
        for took in [Duration::ZERO, Duration::from_micros(999), Duration::from_millis(1), Duration::MAX] {
            durations.count(took);
        }
        assert_eq!((durations.counts()[0], durations.counts()[1], durations.counts()[23]), (2, 1, 1));
        assert_eq!(durations.quantile(0.0), Some(Duration::from_millis(1)));
        assert_eq!(durations.quantile(0.75), Some(Duration::from_millis(2)));
    }

    #[test]
    fn a_query_asks_for_whole_buckets_that_are_kept() {
        let now = at(1_000_000);
        let query = CountQuery::kept(CountStep::Minute, now);
        assert_eq!(query.starts(now).map(|(first, _)| first), Some(CountStep::Minute.oldest(now)));
        let query = query.from(at(999_901)).until(at(999_960));
        assert_eq!(query.starts(now), None, "a bucket begins at 999,900 and one at 999,960");
        assert_eq!(query.clone().from(at(999_900)).starts(now), Some((999_900, 999_900)));
        assert_eq!(query.clone().until(at(999_961)).starts(now), Some((999_960, 999_960)));
        let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        assert_eq!(query.clone().until(first).starts(now), None);
        assert_eq!(
            query.from(first).until(last).starts(now),
            CountQuery::kept(CountStep::Minute, now).starts(now)
        );
        for now in [first, last] {
            CountQuery::kept(CountStep::Day, now).starts(now);
        }
    }
}
