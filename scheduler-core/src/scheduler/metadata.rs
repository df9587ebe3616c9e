//! What a scheduler says of itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::handle::Scheduler;
use crate::store::QueueLimits;
use crate::watch::SchedulerState;

/// What there is to know about a scheduler itself.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SchedulerMetadata {
    /// Its name.
    pub name: Arc<str>,
    /// The number of this life of it, unique over restarts and nodes.
    pub session: u64,
    /// The version of this library.
    pub version: &'static str,
    /// In which phase of its life it is.
    pub state: SchedulerState,
    /// Since when it has been started; none if it is not yet.
    pub started: Option<DateTime<Utc>>,
    /// How many executions have ended on this node.
    pub executed: u64,
    /// How many are queued or running on this node.
    pub running: usize,
    /// How many may be under way at once.
    pub concurrency: usize,
    /// The job types that it can run.
    pub job_types: Vec<Arc<str>>,
    /// The limits of queues.
    pub limits: QueueLimits,
}

impl Scheduler {
    /// What there is to know about the scheduler itself.
    pub fn metadata(&self) -> SchedulerMetadata {
        let core = self.core();
        SchedulerMetadata {
            name: core.settings.name.clone(),
            session: core.session,
            version: env!("CARGO_PKG_VERSION"),
            state: core.state(),
            started: core.started.get().copied(),
            executed: core.executed.load(Ordering::Relaxed),
            running: core.running.list().len(),
            concurrency: core.settings.concurrency,
            job_types: core.registry.job_types(),
            limits: core.limits.read().clone(),
        }
    }

    /// Sets the limits of queues of this node. Runs that exceed them go on. Nothing happens after the shutdown.
    pub fn set_limits(&self, limits: QueueLimits) {
        *self.core().limits.write() = limits;
        self.core().wake();
    }
}
