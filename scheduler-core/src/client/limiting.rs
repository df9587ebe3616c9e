//! Runs that are stored only while there is room in their queues.

use std::sync::Arc;
use std::time::Duration;

use super::handle::Client;
use super::lengths::WhenFull;
use crate::error::Result;
use crate::store::*;

/// The first pause of a call that waits for room. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// So many runs are stored as a whole, as the contract of stores says.
const WHOLE: usize = 500;

impl Client {
    /// The same client, which enqueues runs into this queue only while no more than `most` wait there. The method of the same name of a
    /// [`SchedulerBuilder`](crate::SchedulerBuilder::max_waiting) says more.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use scheduler_core::Client;
    /// use scheduler_core::client::WhenFull;
    /// # use scheduler_core::store::MemoryJobStore;
    ///
    /// # let store = MemoryJobStore::new();
    /// let client = Client::new(store).max_waiting("mail", 10_000, WhenFull::Wait(Duration::from_secs(5)));
    /// ```
    #[must_use]
    pub fn max_waiting(&self, queue: impl Into<Arc<str>>, most: usize, when_full: WhenFull) -> Self {
        let mut client = self.clone();
        Arc::make_mut(&mut client.lengths).set(queue.into(), most, when_full);
        client
    }

    /// How many runs may wait in this queue; none for any number.
    pub(super) fn most_waiting(&self, queue: Option<&Arc<str>>) -> Option<usize> {
        self.lengths.most(queue?)
    }

    /// Stores runs, all of them or none, once the queues have room for them. A call of more than 500 runs of which some are limited goes
    /// by parts, each of which waits.
    pub(super) async fn store_limited(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>> {
        if runs.iter().all(|run| run.most_waiting.is_none()) {
            return self.open()?.enqueue(runs).await;
        }
        let mut stored = Vec::with_capacity(runs.len());
        for part in runs.chunks(WHOLE) {
            stored.extend(self.store_part(part).await?);
        }
        Ok(stored)
    }

    async fn store_part(&self, runs: &[NewRun]) -> Result<Vec<Enqueued>> {
        let clock = self.clock();
        let mut deadline = self.lengths.patience(runs).map(|wait| clock.monotonic().saturating_add(wait));
        let mut pause = FIRST_PAUSE;
        loop {
            let stored = self.open()?.enqueue(runs.to_vec()).await;
            let (Err(full), Some(last)) = (&stored, deadline) else { return stored };
            if !full.is_full() {
                return stored;
            }
            let next = clock.monotonic().saturating_add(pause).min(last);
            clock.sleep_until(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if next == last {
                // Once more, and no longer.
                deadline = None;
            }
        }
    }
}
