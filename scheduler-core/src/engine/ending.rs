//! The ends of runs on their way to the store.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::job::{Outcome, RunParts};
use crate::run::RunId;
use crate::store::Completion;
use crate::time::Activity;
use crate::trigger::Trigger;

/// The end of an execution on its way to the store. The clock stands still until the loop has taken it.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) completion: Completion,
    pub(crate) trigger: Arc<Trigger>,
    pub(crate) outcome: Outcome,
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
    /// The attempt for the counters; none for an ending that was no attempt.
    pub(crate) end: Option<CountedEnd>,
    /// It was put into the queue, and nothing has run.
    pub(crate) is_queued: bool,
    activity: Option<Activity>,
}

impl Ending {
    pub(crate) fn new(
        completion: Completion,
        trigger: Arc<Trigger>,
        outcome: Outcome,
        activity: Activity,
    ) -> Self {
        let run = RunId::new(completion.execution.session(), completion.execution.count());
        Self {
            completion,
            trigger,
            outcome,
            run,
            attempt: 1,
            end: None,
            is_queued: false,
            activity: Some(activity),
        }
    }

    /// That of this attempt, which has ended at `at`.
    pub(crate) fn of_run(mut self, parts: &RunParts, at: DateTime<Utc>) -> Self {
        (self.run, self.attempt) = (parts.run_id(), parts.attempt());
        let took = (at - parts.fired).to_std().unwrap_or_default();
        self.end = Some(CountedEnd { job_type: parts.job.shared_job_type().clone(), at, took });
        self
    }

    /// It was put into the queue, and nothing has run.
    pub(crate) fn queued(self) -> Self {
        Self { is_queued: true, ..self }
    }

    /// The loop has it.
    pub(crate) fn wait(&mut self) {
        self.activity = None;
    }
}

/// An attempt for the counters.
#[derive(Debug)]
pub(crate) struct CountedEnd {
    pub(crate) job_type: Arc<str>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) took: Duration,
}
