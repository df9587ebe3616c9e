//! The setting for the maximum length of a queue.

use std::sync::Arc;

use super::builder::SchedulerBuilder;
use crate::client::WhenFull;

impl SchedulerBuilder {
    /// How many runs may wait in a queue when this scheduler enqueues, and what becomes of a call that enqueues more. Default: any number.
    ///
    /// Every run counts that waits in the queue, whoever has stored it: a run that is due, a run that is due later, and a run that waits for
    /// a retry. Runs that a node runs, held runs and ended runs do not count. The store counts in the step that stores the
    /// runs, so the maximum holds for concurrent calls on all nodes.
    ///
    /// The maximum concerns `enqueue`, `enqueue_all` and `trigger_job` of this scheduler, of its [client](crate::Scheduler::client) and of
    /// the jobs that it runs. Other programs need the same setting. Retries, replays, released runs and occurrences of triggers are never
    /// refused, so more runs than the maximum may wait for a while.
    ///
    /// ```
    /// use scheduler_core::Scheduler;
    /// use scheduler_core::client::WhenFull;
    ///
    /// let builder = Scheduler::builder().max_waiting("thumbnails", 10_000, WhenFull::Refuse);
    /// ```
    pub fn max_waiting(mut self, queue: impl Into<Arc<str>>, most: usize, when_full: WhenFull) -> Self {
        self.settings.lengths.set(queue.into(), most, when_full);
        self
    }
}
