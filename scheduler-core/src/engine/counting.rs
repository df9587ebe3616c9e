//! Counts the attempts that have ended on this node, and tells the store its sums.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::core::Core;
use super::ending::Ending;
use crate::store::{Changes, CountKey, EndCount, FiringOutcome};

/// So often a store with a server is told.
const EVERY: Duration = Duration::from_secs(2);

/// The sums since the store was told last.
#[derive(Debug, Default)]
pub(super) struct Counting {
    sums: Vec<EndCount>,
    places: HashMap<CountKey, usize>,
    /// That of the latest ending; what ends in a row is mostly of one kind.
    latest: usize,
    told: Option<Duration>,
}

impl Counting {
    /// One more attempt has ended.
    pub(super) fn note(&mut self, ending: &Ending) {
        let Some(end) = &ending.end else { return };
        let (queue, outcome) = (ending.trigger.queue(), FiringOutcome::from(&ending.outcome));
        let is_of_kind = |known: &&mut EndCount| {
            let key = &known.key;
            Arc::ptr_eq(&key.job_type, &end.job_type) && key.outcome == outcome && key.queue.as_ref() == queue
        };
        if let Some(sum) = self.sums.get_mut(self.latest).filter(is_of_kind) {
            return sum.count(end.took, end.at);
        }
        let key = CountKey::new(end.job_type.clone(), queue.cloned(), outcome);
        self.latest = *self.places.entry(key).or_insert_with_key(|key| {
            self.sums.push(EndCount::new(key.clone(), end.at));
            self.sums.len() - 1
        });
        if let Some(sum) = self.sums.get_mut(self.latest) {
            sum.count(end.took, end.at);
        }
    }

    /// What the store is to be told now.
    fn take(&mut self, now: Duration, is_at_once: bool) -> Vec<EndCount> {
        let is_due = self.told.is_none_or(|told| now.saturating_sub(told) >= EVERY);
        if self.sums.is_empty() || !(is_due || is_at_once) {
            return Vec::new();
        }
        (self.told, self.latest) = (Some(now), 0);
        self.places.clear();
        std::mem::take(&mut self.sums)
    }
}

impl Core {
    /// Tells the store what was counted, if it is time: a store in memory at once, another one every two seconds. The loop does not wait for
    /// it, and what cannot be told is lost: these are statistics.
    pub(super) fn tell_counts(self: &Arc<Self>, counting: &mut Counting, is_last: bool) {
        let is_at_once = is_last || self.store.forgets();
        let counts = counting.take(self.clock.monotonic(), is_at_once);
        if counts.is_empty() {
            return;
        }
        let (store, now) = (self.store.clone(), self.clock.now());
        let activity = self.clock.begin(&"counters");
        let mut call = Box::pin(async move {
            if let Err(error) = store.count(counts, now).await {
                tracing::debug!(%error, "the store was not told how many attempts have ended in the last seconds: {error}");
            }
        });
        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending {
            self.spawn(activity.observe(call));
        }
    }
}
