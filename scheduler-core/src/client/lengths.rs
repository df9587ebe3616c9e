//! The maximum lengths of queues: how many runs may wait in a queue, and what becomes of a call that enqueues more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::store::NewRun;

/// What becomes of a call that enqueues more runs than may wait in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The call fails at once with an error that [says so](crate::Error::is_full). Nothing is stored.
    Refuse,
    /// The call waits for room, at most so long, and then fails as with [`Refuse`](Self::Refuse). Calls that wait are served in no
    /// particular order.
    Wait(Duration),
}

/// The maximum length of a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    most: usize,
    when_full: WhenFull,
}

/// Maximum lengths by the names of queues.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lengths(BTreeMap<Arc<str>, Length>);

impl Lengths {
    pub(crate) fn set(&mut self, queue: Arc<str>, most: usize, when_full: WhenFull) {
        self.0.insert(queue, Length { most, when_full });
    }

    /// How many runs may wait in this queue; none for any number.
    pub(super) fn most(&self, queue: &str) -> Option<usize> {
        self.0.get(queue).map(|length| length.most)
    }

    /// How long a call may wait that stores these runs; none if the maximum of one of their queues is not waited for.
    pub(super) fn patience(&self, runs: &[NewRun]) -> Option<Duration> {
        let limited = runs.iter().filter(|run| run.most_waiting.is_some());
        let lengths = limited.filter_map(|run| self.0.get(run.queue.as_ref()?));
        let waits = lengths.map(|length| match length.when_full {
            WhenFull::Wait(most) => most,
            WhenFull::Refuse => Duration::ZERO,
        });
        waits.min().filter(|wait| !wait.is_zero())
    }
}
