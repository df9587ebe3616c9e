//! What the scheduler makes of its runs: executions for the pool, and completions of those that have ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};

use super::core::Core;
use super::ending::Ending;
use super::queueing::instruction_of;
use crate::execute::{Ended, Execution, Pipeline, RunOwner};
use crate::job::{BoxFuture, CancelReason, Failure, JobError, Outcome, RunParts, Unschedule};
use crate::run::{AttemptError, Delivery, FailureKind, FiringCause, RetryPolicy, Verdict};
use crate::store::{Completion, Fate, FiringReason, FiringRecord, Instruction, NewRun};

/// A shorter snooze would keep the node busy with a job that has nothing to do.
const SHORTEST_SNOOZE: TimeDelta = TimeDelta::milliseconds(100);

/// No limit is shut for longer, as no rate has a longer window.
const LONGEST_PAUSE: TimeDelta = TimeDelta::days(24);

/// From so many interruptions of a run on, an operator should know of them.
const MANY_INTERRUPTIONS: u32 = 5;

/// Why a job that its node has no function for cannot run.
const NO_FUNCTION: &str = "no such job function is registered";

impl Core {
    /// The execution of a firing that has taken a slot; none, and the end of it, if this node has no such function.
    pub(crate) fn execution(self: &Arc<Self>, parts: RunParts) -> Option<Execution> {
        let activity = self.clock.begin(&parts.id);
        let Some(job) = self.registry.job(parts.job.job_type()).cloned() else {
            let (job, job_type) = (parts.job.key(), parts.job.job_type());
            tracing::error!(%job, job_type, "job `{job}` cannot run on this node, since no function `{job_type}` is registered; its triggers are put into the error state until `reset_from_error` is called");
            // A stored run is kept for a program that has the function.
            let fate = parts.stored.as_ref().map_or(Fate::Over, |_| Fate::Dead {
                error: Some(self.error_of(&parts, FailureKind::Failed, NO_FUNCTION)),
            });
            let instruction = match parts.stored {
                Some(_) => Instruction::Continue,
                None => Instruction::FailJob,
            };
            let outcome = Outcome::Failed(JobError::new(NO_FUNCTION));
            let reason = matches!(fate, Fate::Dead { .. }).then_some(FiringReason::Dead);
            let record = self.record(&parts, &outcome, reason);
            let completion = Completion { instruction, fate, record, ..Completion::of(parts.id) };
            let ending = Ending::new(completion, parts.trigger.clone(), outcome, activity);
            self.hand_over(ending.of_run(&parts, self.clock.now()));
            return None;
        };
        let run = self.pipeline.run(parts, self.pipeline.cancel_grace);
        self.running.add(run.clone(), activity.clone(), job.threading());
        Some(Execution::new(self.clone(), job, run, activity))
    }

    /// What the store is told of the end of a run.
    fn completion(&self, ended: &Ended<'_>, now: DateTime<Utc>) -> Completion {
        let parts = &ended.run.parts;
        let wishes = ended.run.take_wishes();
        let instruction = match wishes.unschedule {
            None => instruction_of(parts),
            Some(Unschedule::Trigger) => Instruction::FinishTrigger,
            Some(Unschedule::Job) => Instruction::FinishJob,
        };
        let unfinished = matches!(ended.outcome, Outcome::Cancelled)
            && ended.run.cancel_reason() == Some(CancelReason::ClaimLost);
        let (execution, data) = (parts.id, wishes.data);
        let output = wishes.output.filter(|_| parts.stored.is_some() && ended.outcome.is_success());
        let resets = self.resets(ended);
        let fate = self.fate(ended, resets, now);
        let mut record = self.record(parts, ended.outcome, reason(ended, &fate));
        record.iter_mut().for_each(|record| record.overran = ended.overran);
        let notes = &ended.run.notebook;
        let promise = (fate != Fate::Over && parts.stored.is_none()).then(|| Box::new(self.promise(parts)));
        let is_stored = parts.stored.is_some() || promise.is_some();
        let noted = notes.unstored().filter(|_| is_stored).map(|(notes, _)| Box::new(notes));
        let throttles = match ended.outcome {
            Outcome::Throttled { limit, .. } => Some(limit.clone()),
            _ => None,
        };
        let asks_for_that = matches!(ended.outcome, Outcome::Snoozed(_) | Outcome::Throttled { .. });
        let interrupted = !asks_for_that && matches!(fate, Fate::Again { counts: false, .. });
        if interrupted {
            warn_of_interruptions(parts);
        }
        let rest = Completion::of(execution);
        let of_run = Completion { fate, promise, output, noted, resets, interrupted, throttles, ..rest };
        Completion { instruction, data, record, unfinished, ..of_run }
    }

    /// What becomes of the run: an attempt that failed is followed by another one as long as a retry is left, and a stored run that
    /// was interrupted waits again.
    fn fate(&self, ended: &Ended<'_>, resets: bool, now: DateTime<Utc>) -> Fate {
        let parts = &ended.run.parts;
        let interrupted = || {
            let reason = ended.run.cancel_reason();
            ended.was_dropped || matches!(reason, Some(CancelReason::Shutdown | CancelReason::ClaimLost))
        };
        match *ended.outcome {
            Outcome::Succeeded => Fate::Over,
            // The end of a firing that leaves nothing has no name.
            Outcome::Vetoed | Outcome::Discarded(_) if parts.stored.is_none() => Fate::Over,
            Outcome::Vetoed | Outcome::Discarded(_) => Fate::Discarded,
            Outcome::Snoozed(delay) | Outcome::Throttled { delay, .. } => {
                let soonest = now + SHORTEST_SNOOZE;
                let latest = match *ended.outcome {
                    // A pause of all runs of a limit ends some day, whatever the answer of a service was taken for.
                    Outcome::Throttled { .. } => now + LONGEST_PAUSE,
                    _ => DateTime::<Utc>::MAX_UTC,
                };
                Fate::Again { at: delay.from(now).clamp(soonest, latest), counts: false, error: None }
            }
            Outcome::Cancelled | Outcome::Failed(_)
                if parts.stored.is_some()
                    && interrupted()
                    && (ended.was_dropped || matches!(ended.outcome, Outcome::Cancelled)) =>
            {
                match parts.stored.as_ref().is_some_and(|run| run.delivery == Delivery::AtMostOnce) {
                    true => Fate::Cancelled,
                    false => Fate::Again { at: parts.trigger.start(), counts: false, error: None },
                }
            }
            Outcome::Cancelled if parts.stored.is_some() => Fate::Cancelled,
            Outcome::Cancelled => Fate::Over,
            Outcome::Failed(_) | Outcome::Panicked(_) | Outcome::TimedOut => {
                let Some(policy) = self.policy(parts) else {
                    // An occurrence without a policy has a successor in place of a retry.
                    return if parts.stored.is_some() { Fate::Discarded } else { Fate::Over };
                };
                let error =
                    ended.outcome.failure().map(|text| self.error_of(parts, kind_of(ended.outcome), &text));
                match verdict(policy, (parts, resets), ended.outcome, now) {
                    Verdict::Again(at) => Fate::Again { at, counts: true, error },
                    Verdict::Dead => Fate::Dead { error },
                }
            }
        }
    }

    /// Whether the attempts before do not count any more: the policy says so, and this one has noted another checkpoint.
    fn resets(&self, ended: &Ended<'_>) -> bool {
        let parts = &ended.run.parts;
        let before = parts.stored.as_ref().and_then(|run| run.checkpoint.as_ref());
        self.policy(parts).is_some_and(RetryPolicy::is_reset_by_progress)
            && ended.run.notebook.checkpoint().is_some_and(|latest| before != Some(&latest))
    }

    fn error_of(&self, parts: &RunParts, kind: FailureKind, text: &str) -> Box<AttemptError> {
        let error = AttemptError::new(parts.attempt(), kind, self.clock.now(), text);
        error.on_node(self.settings.node.clone()).into()
    }

    /// The policy of the run, or else of its job, or else of the scheduler. The last one holds for enqueued runs only, since an
    /// occurrence of a trigger has a successor.
    fn policy<'a>(&'a self, parts: &'a RunParts) -> Option<&'a RetryPolicy> {
        let stored = parts.stored.as_deref();
        let enqueued = stored.filter(|run| run.occurrence_of.is_none());
        let of_run = stored.and_then(|run| run.retry.as_ref());
        of_run.or(parts.job.retry()).or(enqueued.map(|_| &self.settings.retry))
    }

    /// The run of a trigger's firing, of which this was the first attempt.
    pub(super) fn promise(&self, parts: &RunParts) -> NewRun {
        let RunParts { id, job, trigger, scheduled, fired, .. } = parts;
        let run = NewRun::of_firing(*id, job, trigger, *scheduled, *fired);
        let is_defined = self.registry.defines(job);
        NewRun { detail: run.detail.filter(|_| !is_defined), ..run }
    }

    /// The record of an attempt, if the store keeps it.
    pub(super) fn record(
        &self,
        parts: &RunParts,
        outcome: &Outcome,
        reason: Option<FiringReason>,
    ) -> Option<Box<FiringRecord>> {
        if !self.keeps_history.load(Ordering::Relaxed) {
            return None;
        }
        let (job, stored) = (&parts.job, parts.stored.as_deref());
        let cause = stored.map_or(FiringCause::Schedule, |run| run.cause);
        let times = (parts.scheduled, self.clock.now());
        let mut record =
            FiringRecord::new(job.key().clone(), parts.id.session(), cause, times, outcome.into());
        record.execution = Some(parts.id);
        record.run = Some(parts.run_id());
        record.trigger = match stored {
            Some(run) => run.occurrence_of.clone(),
            None => Some(parts.trigger.key().clone()),
        };
        record.job_type = Some(job.shared_job_type().clone());
        record.queue = parts.trigger.queue().cloned();
        record.node = Some(self.settings.node.clone());
        record.began = Some(parts.fired);
        record.attempt = parts.attempt();
        record.reason = reason;
        record.failure = outcome.failure().map(Into::into);
        Some(record.into())
    }

    /// The calendar of a trigger has panicked: instead of a run, the trigger gets into the error state.
    pub(crate) fn fail_trigger(&self, parts: &RunParts) {
        let outcome = Outcome::Failed(JobError::new("the calendar of its trigger has panicked"));
        let record = self.record(parts, &outcome, None);
        let instruction = Instruction::FailTrigger;
        let completion = Completion { instruction, record, ..Completion::of(parts.id) };
        let activity = self.clock.begin(&"the failure of a trigger");
        self.hand_over(Ending::new(completion, parts.trigger.clone(), outcome, activity));
    }
}

/// A run that is interrupted again and again never ends.
fn warn_of_interruptions(parts: &RunParts) {
    let count = parts.stored.as_ref().map_or(0, |run| run.interruptions).saturating_add(1);
    if count >= MANY_INTERRUPTIONS {
        let (run, job) = (parts.run_id(), parts.job.key());
        tracing::warn!(%run, %job, count, "run {run} of job `{job}` was interrupted for the {count}th time and begins again; let the job note checkpoints, or allow more time for the shutdown");
    }
}

/// Why it did not run or was cancelled, and what follows a failure.
fn reason(ended: &Ended<'_>, fate: &Fate) -> Option<FiringReason> {
    match ended.outcome {
        Outcome::Succeeded | Outcome::Discarded(_) | Outcome::Snoozed(_) => None,
        Outcome::Throttled { .. } => None,
        Outcome::Vetoed => Some(FiringReason::Vetoed),
        Outcome::Cancelled => ended.run.cancel_reason().map(Into::into),
        Outcome::Failed(_) | Outcome::Panicked(_) | Outcome::TimedOut => match fate {
            Fate::Over | Fate::Discarded | Fate::Cancelled => None,
            Fate::Again { .. } => Some(FiringReason::Retried),
            Fate::Dead { .. } => Some(FiringReason::Dead),
        },
    }
}

/// The kind of failure that an outcome is.
fn kind_of(outcome: &Outcome) -> FailureKind {
    match outcome {
        Outcome::TimedOut => FailureKind::TimedOut,
        Outcome::Panicked(_) => FailureKind::Panicked,
        _ => FailureKind::Failed,
    }
}

/// The verdict of the policy, unless the error itself says when to try again, or that no retry can help.
fn verdict(
    policy: &RetryPolicy,
    (parts, resets): (&RunParts, bool),
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Verdict {
    let means = match outcome {
        Outcome::Failed(error) => error.means(),
        _ => Failure::Retry,
    };
    let kind = kind_of(outcome);
    let attempt = if resets { 1 } else { parts.attempt() };
    let first = parts.first_attempt();
    match means {
        Failure::Fatal => Verdict::Dead,
        Failure::RetryAfter(delay) => policy.verdict(kind, attempt, first, delay.from(now)),
        _ => policy.after(kind, parts.run_id(), attempt, first, now),
    }
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
        let now = self.clock.now();
        let completion = self.completion(&ended, now);
        self.executed.fetch_add(1, Ordering::Relaxed);
        let (trigger, activity) = (parts.trigger.clone(), ended.activity.clone());
        let ending = Ending::new(completion, trigger, ended.outcome.clone(), activity);
        self.hand_over(ending.of_run(parts, now));
    }
}
