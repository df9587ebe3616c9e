//! What the scheduler makes of its runs: executions for the pool, and completions of those that have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use super::ending::Ending;
use crate::execute::{Ended, Execution, Pipeline, RunOwner};
use crate::job::{BoxFuture, CancelReason, JobError, Outcome, RunParts, Unschedule};
use crate::run::{RetryPolicy, Verdict};
use crate::store::{Completion, Fate, Instruction, NewRun, RunRecord};

/// Why a job that its node has no function for cannot run.
const NO_FUNCTION: &str = "no such job function is registered";

impl Core {
    /// The execution of a firing that has taken a slot; none, and the end of it, if this node has no such function.
    pub(super) fn execution(self: &Arc<Self>, parts: RunParts) -> Option<Execution> {
        let activity = self.clock.begin(&parts.id);
        let Some(job) = self.registry.job(parts.job.job_type()).cloned() else {
            let (job, job_type) = (parts.job.key(), parts.job.job_type());
            tracing::error!(%job, job_type, "job `{job}` cannot run on this node, since no function `{job_type}` is registered; its triggers are put into the error state until `reset_from_error` is called");
            // A stored run is kept for a program that has the function.
            let fate =
                parts.stored.as_ref().map_or(Fate::Over, |_| Fate::Dead { error: Some(NO_FUNCTION.into()) });
            let instruction = match parts.stored {
                Some(_) => Instruction::Continue,
                None => Instruction::FailJob,
            };
            let completion = Completion { instruction, fate, ..Completion::of(parts.id) };
            let outcome = Outcome::Failed(JobError::new(NO_FUNCTION));
            let ending = Ending::new(completion, parts.trigger.clone(), outcome, activity);
            self.hand_over(ending.of_run(&parts));
            return None;
        };
        let run = self.pipeline.run(parts, self.pipeline.cancel_grace);
        self.running.add(run.clone(), activity.clone(), job.threading());
        Some(Execution::new(self.clone(), job, run, activity))
    }

    /// What the store is told of the end of a run.
    fn completion(&self, ended: &Ended<'_>) -> Completion {
        let parts = &ended.run.parts;
        let wishes = ended.run.take_wishes();
        let instruction = match wishes.unschedule {
            // What is declared stays, complete: otherwise the next start would declare it anew.
            None if parts.stored.is_some() => Instruction::Continue,
            None if parts.next.is_none() && parts.trigger.declared_by().is_none() => {
                Instruction::RemoveTrigger
            }
            None => Instruction::Continue,
            Some(Unschedule::Trigger) => Instruction::FinishTrigger,
            Some(Unschedule::Job) => Instruction::FinishJob,
        };
        let record = self.keeps_history.load(Ordering::Relaxed).then(|| Box::new(self.record(ended)));
        let unfinished = matches!(ended.outcome, Outcome::Cancelled)
            && ended.run.cancel_reason() == Some(CancelReason::ClaimLost);
        let (execution, data) = (parts.id, wishes.data);
        let fate = self.fate(ended);
        let promise = (fate != Fate::Over && parts.stored.is_none()).then(|| Box::new(self.promise(parts)));
        Completion { execution, instruction, data, record, unfinished, fate, promise }
    }

    /// What becomes of the run: an attempt that failed is followed by another one as long as a retry is left, and a stored run that
    /// was interrupted waits again.
    fn fate(&self, ended: &Ended<'_>) -> Fate {
        let (parts, now) = (&ended.run.parts, self.clock.now());
        let interrupted = || {
            let reason = ended.run.cancel_reason();
            ended.was_dropped || matches!(reason, Some(CancelReason::Shutdown | CancelReason::ClaimLost))
        };
        match ended.outcome {
            Outcome::Succeeded | Outcome::Vetoed => Fate::Over,
            Outcome::Cancelled | Outcome::Failed(_)
                if parts.stored.is_some()
                    && interrupted()
                    && (ended.was_dropped || matches!(ended.outcome, Outcome::Cancelled)) =>
            {
                Fate::Again { at: parts.trigger.start(), counts: false, error: None }
            }
            Outcome::Cancelled => Fate::Over,
            Outcome::Failed(_) | Outcome::Panicked(_) | Outcome::TimedOut => {
                let Some(policy) = policy(parts) else { return Fate::Over };
                let error = ended.outcome.failure().map(Arc::from);
                match policy.after(parts.run_id(), parts.attempt(), now) {
                    Verdict::Again(at) => Fate::Again { at, counts: true, error },
                    Verdict::Dead => Fate::Dead { error },
                }
            }
        }
    }

    /// The run of a trigger's firing, of which this was the first attempt.
    fn promise(&self, parts: &RunParts) -> NewRun {
        let RunParts { id, job, trigger, scheduled, fired, .. } = parts;
        let run = NewRun::of_firing(*id, job, trigger, *scheduled, *fired);
        let is_defined = self.registry.defines(job);
        NewRun { detail: run.detail.filter(|_| !is_defined), ..run }
    }

    fn record(&self, ended: &Ended<'_>) -> RunRecord {
        let (parts, outcome) = (&ended.run.parts, ended.outcome);
        RunRecord {
            execution: parts.id,
            job: parts.job.key().clone(),
            trigger: parts.trigger.key().clone(),
            node: self.settings.node.clone(),
            scheduled: parts.scheduled,
            fired: parts.fired,
            ended: self.clock.now(),
            outcome: outcome.word().into(),
            failure: outcome.failure().map(Into::into),
            overran: ended.overran,
        }
    }
}

/// That of the run, or else that of its job.
fn policy(parts: &RunParts) -> Option<RetryPolicy> {
    parts.stored.as_ref().and_then(|run| run.retry).or(parts.job.retry())
}

impl RunOwner for Core {
    fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        Self::spawn(self, task);
    }

    fn ended(&self, ended: Ended<'_>) {
        let parts = &ended.run.parts;
        self.running.remove(parts.id);
        let completion = self.completion(&ended);
        self.executed.fetch_add(1, Ordering::Relaxed);
        let (trigger, activity) = (parts.trigger.clone(), ended.activity.clone());
        let ending = Ending::new(completion, trigger, ended.outcome.clone(), activity);
        self.hand_over(ending.of_run(parts));
    }
}
