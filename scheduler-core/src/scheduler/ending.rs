//! How executions end: exactly one ending for each, whatever happens to the future that carries it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core::Core;
use super::event::Event;
use super::listener::Audience;
use super::middleware::Chain;
use crate::job::{CancelReason, JobContext, JobError, Outcome, Run, RunParts, Unschedule};
use crate::log::{Shown, unheard};
use crate::run::{RetryPolicy, RunId, Verdict};
use crate::store::{Completion, Fate, Instruction, NewRun, RunRecord};
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

/// Ends its execution when dropped: with the outcome that was set, or as aborted.
pub(super) struct Guard {
    end: End,
    outcome: Option<Outcome>,
}

impl Guard {
    pub(super) fn new(
        core: Arc<Core>,
        run: Arc<Run>,
        audience: Option<Arc<Audience>>,
        activity: Activity,
    ) -> Self {
        let started = core.clock.monotonic();
        Self { end: End { core, run, audience, activity, started, was_dropped: false }, outcome: None }
    }

    /// Who hears of this execution.
    pub(super) fn audience(&self) -> Option<&Arc<Audience>> {
        self.end.audience.as_ref()
    }

    /// What is around every job.
    pub(super) fn chain(&self) -> &Chain {
        &self.end.core.middleware
    }

    /// Whether the job wishes to be run again at once; if so, the next attempt has begun.
    pub(super) fn begin_refire(&self) -> bool {
        let again = self.run().begin_refire();
        if let Some(audience) = self.audience().filter(|_| again) {
            audience.again();
        }
        again
    }

    pub(super) fn run(&self) -> &Arc<Run> {
        &self.end.run
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.end.activity
    }

    /// The job has come to this end by itself.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let asked = self.run().cancel_reason();
        let settled = self.run().settled();
        // Neither the job nor anybody else has ended it: its runtime was dropped.
        self.end.was_dropped = settled.is_none() && self.outcome.is_none() && asked.is_none();
        let outcome = settled.unwrap_or_else(|| classify(self.outcome.take(), asked));
        if self.run().scope().is_empty() {
            return self.end.write(outcome);
        }
        // The run was taken away, so its values are closed in its place. The job stays busy meanwhile.
        let closing = Closing { end: self.end.clone(), outcome };
        self.end.core.spawn(self.end.activity.observe(closing.close()));
    }
}

/// Writes the ending when dropped: when the values are closed, or when the runtime ends before.
struct Closing {
    end: End,
    outcome: Outcome,
}

impl Closing {
    async fn close(mut self) {
        self.outcome = self.end.run.close(self.outcome.clone()).await;
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.end.write(self.outcome.clone());
    }
}

/// The end of an execution that has nothing open any more.
#[derive(Clone)]
struct End {
    core: Arc<Core>,
    run: Arc<Run>,
    audience: Option<Arc<Audience>>,
    activity: Activity,
    started: Duration,
    was_dropped: bool,
}

impl End {
    fn write(&self, outcome: Outcome) {
        let parts = &self.run.parts;
        let took = self.core.clock.monotonic().saturating_sub(self.started);
        let overran = overrun(parts.job.timeout(), took);
        log_end(parts, &outcome, took);
        self.core.bus.send(|| Event::Ended {
            execution: parts.id,
            job: parts.job.key().clone(),
            trigger: parts.trigger.key().clone(),
            took,
            outcome: outcome.word(),
            failure: outcome.failure(),
            overran,
        });
        self.core.running.remove(parts.id);
        self.run.abort.release();
        let wishes = self.run.take_wishes();
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
        let record =
            self.core.keeps_history.load(Ordering::Relaxed).then(|| Box::new(self.record(&outcome, overran)));
        let unfinished = matches!(outcome, Outcome::Cancelled)
            && self.run.cancel_reason() == Some(CancelReason::ClaimLost);
        let (execution, data) = (parts.id, wishes.data);
        let fate = self.fate(&outcome);
        let promise = (fate != Fate::Over && parts.stored.is_none()).then(|| Box::new(self.promise()));
        let completion = Completion { execution, instruction, data, record, unfinished, fate, promise };
        self.core.executed.fetch_add(1, Ordering::Relaxed);
        let (trigger, activity) = (parts.trigger.clone(), self.activity.clone());
        self.core.hand_over(Ending::new(completion, trigger, outcome.clone(), activity).of_run(parts));
        self.announce(outcome);
    }

    /// What becomes of the run: an attempt that failed is followed by another one as long as a retry is left, and a stored run that
    /// was interrupted waits again.
    fn fate(&self, outcome: &Outcome) -> Fate {
        let (parts, now) = (&self.run.parts, self.core.clock.now());
        let interrupted = || {
            let reason = self.run.cancel_reason();
            self.was_dropped || matches!(reason, Some(CancelReason::Shutdown | CancelReason::ClaimLost))
        };
        match outcome {
            Outcome::Succeeded | Outcome::Vetoed => Fate::Over,
            Outcome::Cancelled | Outcome::Failed(_)
                if parts.stored.is_some()
                    && interrupted()
                    && (self.was_dropped || matches!(outcome, Outcome::Cancelled)) =>
            {
                Fate::Again { at: parts.trigger.start(), counts: false, error: None }
            }
            Outcome::Cancelled => Fate::Over,
            Outcome::Failed(_) | Outcome::Panicked(_) | Outcome::TimedOut => {
                let Some(policy) = self.policy() else { return Fate::Over };
                let error = outcome.failure().map(Arc::from);
                match policy.after(parts.run_id(), parts.attempt(), now) {
                    Verdict::Again(at) => Fate::Again { at, counts: true, error },
                    Verdict::Dead => Fate::Dead { error },
                }
            }
        }
    }

    /// That of the run, or else that of its job.
    fn policy(&self) -> Option<RetryPolicy> {
        let parts = &self.run.parts;
        parts.stored.as_ref().and_then(|run| run.retry).or(parts.job.retry())
    }

    /// The run of a trigger's firing, of which this was the first attempt.
    fn promise(&self) -> NewRun {
        let RunParts { id, job, trigger, scheduled, fired, .. } = &self.run.parts;
        let run = NewRun::of_firing(*id, job, trigger, *scheduled, *fired);
        let is_defined = self.core.registry.defines(job);
        NewRun { detail: run.detail.filter(|_| !is_defined), ..run }
    }

    fn record(&self, outcome: &Outcome, overran: Option<Duration>) -> RunRecord {
        let parts = &self.run.parts;
        RunRecord {
            execution: parts.id,
            job: parts.job.key().clone(),
            trigger: parts.trigger.key().clone(),
            node: self.core.settings.node.clone(),
            scheduled: parts.scheduled,
            fired: parts.fired,
            ended: self.core.clock.now(),
            outcome: outcome.word().into(),
            failure: outcome.failure().map(Into::into),
            overran,
        }
    }

    /// Tells the listeners of a run that was taken away before it could do so itself.
    fn announce(&self, outcome: Outcome) {
        let audience = self.audience.clone().filter(|audience| !audience.was_told());
        let Some(audience) = audience.filter(|_| !matches!(outcome, Outcome::Vetoed)) else { return };
        let context = JobContext(self.run.clone());
        let telling = async move { audience.ended(&context, &outcome).await };
        let activity = self.core.clock.begin(&"the listeners of an aborted run");
        self.core.spawn(activity.observe(telling));
    }
}

/// The only place that turns what a job did, and why it was told to stop, into an outcome.
///
/// Work that was finished counts as finished, also after the request to stop.
pub(crate) fn classify(own: Option<Outcome>, asked: Option<CancelReason>) -> Outcome {
    match (own, asked) {
        (Some(Outcome::Succeeded), _) => Outcome::Succeeded,
        (Some(Outcome::Panicked(message)), _) => Outcome::Panicked(message),
        (Some(Outcome::Vetoed), _) => Outcome::Vetoed,
        (_, Some(CancelReason::Timeout)) => Outcome::TimedOut,
        (_, Some(_)) => Outcome::Cancelled,
        (Some(own), None) => own,
        (None, None) => Outcome::Failed(JobError::new("the runtime was shut down while the job ran")),
    }
}

/// By how much a run has exceeded its timeout; none if it was in time.
pub(crate) fn overrun(timeout: Option<Duration>, took: Duration) -> Option<Duration> {
    took.checked_sub(timeout?).filter(|overran| !overran.is_zero())
}

/// Logs how a run has ended, in a sentence.
pub(crate) fn log_end(parts: &RunParts, outcome: &Outcome, took: Duration) {
    let (job, trigger, execution, took) = (parts.job.key(), parts.trigger.key(), parts.id, Shown(took));
    let Some(sentence) = trouble(parts, outcome, took.0) else {
        return tracing::debug!(%job, %trigger, %execution, "job `{job}` {} after {took}", outcome.word());
    };
    if !outcome.is_success() {
        unheard(&sentence);
    }
    tracing::warn!(%job, %trigger, %execution, "{sentence}");
}

/// What an operator should know of a run that has ended; none if all went well.
fn trouble(parts: &RunParts, outcome: &Outcome, took: Duration) -> Option<String> {
    let (job, after) = (parts.job.key(), Shown(took));
    let timeout = Shown(parts.job.timeout().unwrap_or(Duration::MAX));
    Some(match outcome {
        Outcome::Failed(error) => format!("job `{job}` failed after {after}: {error}"),
        Outcome::Panicked(message) => format!("job `{job}` panicked after {after}: {message}"),
        Outcome::TimedOut => {
            format!("job `{job}` timed out: its timeout is {timeout}, and it was stopped after {after}")
        }
        Outcome::Cancelled => format!("job `{job}` was cancelled and has stopped after {after}"),
        Outcome::Vetoed => return None,
        Outcome::Succeeded => {
            let late = Shown(overrun(parts.job.timeout(), took)?);
            format!(
                "job `{job}` succeeded after {after}, {late} later than its timeout of {timeout} allows; raise the timeout, or \
                 let the job watch its cancellation token"
            )
        }
    })
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
