//! The table of executions that are in the pool, read by queries and by cancel from any thread.
//!
//! The map is private and every method is synchronous and returns owned values, so that no guard of it can be held
//! across an await.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use dashmap::DashMap;
use foldhash::fast::RandomState;
use serde::Serialize;

use crate::job::{CancelReason, ExecutionId, Run, Threading};
use crate::key::{JobKey, TriggerKey};
use crate::time::Activity;

/// An execution that is queued or running on this node.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RunningExecution {
    /// The execution.
    pub id: ExecutionId,
    /// Its job.
    pub job: JobKey,
    /// Its trigger.
    pub trigger: TriggerKey,
    /// Its queue: that of its trigger, which is the job's unless it has one of its own.
    pub queue: Option<Arc<str>>,
    /// When it was due.
    pub scheduled: DateTime<Utc>,
    /// When it fired.
    pub fired: DateTime<Utc>,
    /// Why it was asked to stop; none if it was not.
    pub cancelled: Option<CancelReason>,
}

#[derive(Clone)]
struct Entry {
    run: Arc<Run>,
    activity: Activity,
    threading: Threading,
}

#[derive(Default)]
pub(crate) struct Running(DashMap<ExecutionId, Entry, RandomState>);

impl Running {
    pub(crate) fn add(&self, run: Arc<Run>, activity: Activity, threading: Threading) {
        self.0.insert(run.parts.id, Entry { run, activity, threading });
    }

    pub(crate) fn remove(&self, id: ExecutionId) {
        self.0.remove(&id);
    }

    /// Whether this was asked before of this execution; true if it is not here.
    pub(crate) fn was_asked(&self, id: ExecutionId) -> bool {
        self.0.get(&id).is_none_or(|entry| entry.run.abort.was_asked())
    }

    /// Asks an execution to stop; says whether anybody in it listens, or none if it is not here.
    pub(crate) fn cancel(&self, id: ExecutionId, reason: CancelReason) -> Option<bool> {
        let entry = self.0.get(&id)?.value().clone();
        let listens = entry.run.cancel(reason);
        entry.activity.nudge();
        Some(listens)
    }

    /// Takes the future of an execution away. A body that blocks its thread goes on regardless.
    pub(crate) fn abort(&self, id: ExecutionId, reason: CancelReason) {
        let Some(entry) = self.0.get(&id).map(|entry| entry.value().clone()) else { return };
        entry.run.cancel(reason);
        entry.run.abort.pull();
        entry.activity.nudge();
    }

    /// Whether any execution can be aborted.
    pub(crate) fn any_can_be_aborted(&self) -> bool {
        self.0.iter().any(|entry| entry.threading == Threading::Async)
    }

    /// Aborts an execution whose job has not ended yet; the end of the others is bounded by itself.
    pub(crate) fn abort_body(&self, id: ExecutionId, reason: CancelReason) {
        if self.0.get(&id).is_some_and(|entry| !entry.run.is_ending()) {
            self.abort(id, reason);
        }
    }

    /// The executions with something noted that is not stored.
    pub(crate) fn with_notes(&self) -> Vec<Arc<Run>> {
        let noted = self.0.iter().filter(|entry| entry.run.notebook.has_unstored());
        noted.map(|entry| entry.run.clone()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<ExecutionId> {
        self.0.iter().map(|entry| *entry.key()).collect()
    }

    pub(crate) fn list(&self) -> Vec<RunningExecution> {
        let mut all: Vec<_> = self.0.iter().map(|entry| describe(&entry.run)).collect();
        all.sort_unstable_by_key(|execution| execution.id);
        all
    }
}

fn describe(run: &Run) -> RunningExecution {
    let parts = &run.parts;
    RunningExecution {
        id: parts.id,
        job: parts.job.key().clone(),
        trigger: parts.trigger.key().clone(),
        queue: parts.trigger.queue().cloned(),
        scheduled: parts.scheduled,
        fired: parts.fired,
        cancelled: run.cancel_reason(),
    }
}
