//! How executions end: exactly one ending for each, whatever happens to the future that carries it.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::event::Event;
use crate::job::{CancelReason, JobError, Outcome, Run};
use crate::store::{Completion, Instruction};
use crate::time::Activity;

/// The end of an execution on its way to the store. The clock stands still until the store has it, or has failed
/// to take it.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) completion: Completion,
    activity: Option<Activity>,
}

impl Ending {
    pub(super) fn new(completion: Completion, activity: Activity) -> Self {
        Self { completion, activity: Some(activity) }
    }

    /// It has to wait for another try, which only time can bring.
    pub(super) fn wait(&mut self) {
        self.activity = None;
    }
}

/// Ends its execution when dropped: with the outcome that was set, or as aborted.
pub(super) struct Guard {
    core: Arc<Core>,
    run: Arc<Run>,
    activity: Activity,
    started: Duration,
    outcome: Option<Outcome>,
}

impl Guard {
    pub(super) fn new(core: Arc<Core>, run: Arc<Run>, activity: Activity) -> Self {
        let started = core.clock.monotonic();
        Self { core, run, activity, started, outcome: None }
    }

    pub(super) fn run(&self) -> &Arc<Run> {
        &self.run
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// The job has come to this end by itself.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let outcome = classify(self.outcome.take(), self.run.cancel_reason());
        let parts = &self.run.parts;
        let took = self.core.clock.monotonic().saturating_sub(self.started);
        log(&self.run, &outcome, took);
        self.core.bus.send(|| Event::Ended {
            execution: parts.id,
            job: parts.job.key().clone(),
            trigger: parts.trigger.key().clone(),
            took,
            outcome: outcome.word(),
            failure: outcome.failure(),
        });
        self.core.running.remove(parts.id);
        let completion = Completion { execution: parts.id, instruction: Instruction::Continue };
        self.core.hand_over(Ending::new(completion, self.activity.clone()));
    }
}

/// The only place that turns what a job did, and why it was told to stop, into an outcome.
///
/// Work that was finished counts as finished, also after the request to stop.
pub(super) fn classify(own: Option<Outcome>, asked: Option<CancelReason>) -> Outcome {
    match (own, asked) {
        (Some(Outcome::Succeeded), _) => Outcome::Succeeded,
        (Some(Outcome::Panicked(message)), _) => Outcome::Panicked(message),
        (_, Some(CancelReason::Timeout)) => Outcome::TimedOut,
        (_, Some(_)) => Outcome::Cancelled,
        (Some(own), None) => own,
        (None, None) => Outcome::Failed(JobError::new("the runtime was shut down while the job ran")),
    }
}

fn log(run: &Run, outcome: &Outcome, took: Duration) {
    let (job, trigger, execution) = (run.parts.job.key(), run.parts.trigger.key(), run.parts.id);
    match outcome.failure() {
        None => tracing::debug!(%job, %trigger, %execution, ?took, "job succeeded"),
        Some(failure) => {
            tracing::warn!(%job, %trigger, %execution, ?took, %failure, "job {}", outcome.word());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_work_counts_and_the_reason_names_the_rest() {
        let failed = || Some(Outcome::Failed(JobError::new("x")));
        let cases = [
            (Some(Outcome::Succeeded), Some(CancelReason::Timeout), "succeeded"),
            (failed(), Some(CancelReason::Timeout), "timed out"),
            (None, Some(CancelReason::Timeout), "timed out"),
            (failed(), Some(CancelReason::Shutdown), "cancelled"),
            (None, Some(CancelReason::Requested), "cancelled"),
            (failed(), None, "failed"),
            (Some(Outcome::Panicked("p".into())), Some(CancelReason::Timeout), "panicked"),
            (None, None, "failed"),
        ];
        for (own, asked, expected) in cases {
            assert_eq!(classify(own, asked).word(), expected);
        }
    }
}
