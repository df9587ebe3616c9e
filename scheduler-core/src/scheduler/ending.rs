//! The ends of runs on their way to the store.

use std::sync::Arc;

use crate::job::{Outcome, RunParts};
use crate::run::RunId;
use crate::store::Completion;
use crate::time::Activity;
use crate::trigger::Trigger;

/// The end of an execution on its way to the store. The clock stands still until the loop has taken it.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) completion: Completion,
    pub(super) trigger: Arc<Trigger>,
    pub(super) outcome: Outcome,
    pub(super) run: RunId,
    pub(super) attempt: u32,
    activity: Option<Activity>,
}

impl Ending {
    pub(super) fn new(
        completion: Completion,
        trigger: Arc<Trigger>,
        outcome: Outcome,
        activity: Activity,
    ) -> Self {
        let run = RunId::new(completion.execution.session(), completion.execution.count());
        Self { completion, trigger, outcome, run, attempt: 1, activity: Some(activity) }
    }

    /// That of a stored run.
    pub(super) fn of_run(mut self, parts: &RunParts) -> Self {
        (self.run, self.attempt) = (parts.run_id(), parts.attempt());
        self
    }

    /// The loop has it.
    pub(super) fn wait(&mut self) {
        self.activity = None;
    }
}
