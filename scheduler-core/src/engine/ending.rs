//! The ends of runs on their way to the store.

use std::sync::Arc;

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
        Self { completion, trigger, outcome, run, attempt: 1, activity: Some(activity) }
    }

    /// That of a stored run.
    pub(crate) fn of_run(mut self, parts: &RunParts) -> Self {
        (self.run, self.attempt) = (parts.run_id(), parts.attempt());
        self
    }

    /// The loop has it.
    pub(crate) fn wait(&mut self) {
        self.activity = None;
    }
}
