//! Events and log lines about triggers that were fired, and about runs that ended.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::core::Core;
use super::ending::Ending;
use crate::job::Outcome;
use crate::key::JobKey;
use crate::log::{Shown, When};
use crate::run::{DeadRun, RunId};
use crate::store::*;
use crate::trigger::Trigger;
use crate::watch::{Event, Misfired};

impl Core {
    /// Reports a trigger that came too late, and what its misfire policy made of it.
    pub(crate) fn report_misfire(
        &self,
        acquired: &AcquiredTrigger,
        scheduled: DateTime<Utc>,
        runs: bool,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let trigger = acquired.trigger.key();
        let late = Shown((now - scheduled).to_std().unwrap_or_default());
        let (was_due, next_due) = (When(Some(scheduled)), When(next));
        let fate = if runs { "fires once now" } else { "does not fire for that time" };
        tracing::warn!(%trigger, %scheduled, %late, "trigger `{trigger}` was due at {was_due} and is {late} late; by its misfire policy it {fate}, and is due next at: {next_due}");
        self.pipeline.bus.send(|| Event::Misfired { trigger: trigger.clone(), scheduled, next });
        let Some(audience) = self.pipeline.listeners.of(acquired.trigger.job(), trigger) else { return };
        let misfire = Misfired { trigger: acquired.trigger.clone(), scheduled, next };
        let (clock, grace) = (self.clock.clone(), self.pipeline.cancel_grace);
        let activity = clock.begin(&"the listeners of a misfire");
        self.spawn(activity.observe(async move { audience.misfired(&misfire, &*clock, grace).await }));
    }

    /// Reports a trigger that was moved on without a run. A void claim has nothing to report.
    pub(crate) fn report_no_run(
        &self,
        trigger: &Trigger,
        result: &FireResult,
        scheduled: DateTime<Utc>,
        next: Option<DateTime<Utc>>,
    ) {
        let key = || trigger.key().clone();
        if matches!(result, FireResult::Overlapped) {
            let (name, next_due) = (trigger.key(), When(next));
            tracing::debug!(trigger = %name, %scheduled, "trigger `{name}` does not fire, since its previous run goes on; it is due next at: {next_due}");
            self.pipeline.bus.send(|| Event::Overlapped { trigger: key(), scheduled, next });
        }
        if next.is_none() && matches!(result, FireResult::Overlapped | FireResult::Advanced) {
            self.pipeline.bus.send(|| Event::Finished { trigger: key() });
        }
    }

    /// Reports a dead run that the store keeps no longer.
    pub(crate) fn report_dropped(&self, run: RunId, job: &JobKey) {
        tracing::warn!(%job, %run, "dead run {run} of job `{job}` was removed before its time, since the store keeps no more of them; replay or delete dead runs, or raise `Retention::at_most`");
        self.pipeline.bus.send(|| Event::DeadRunDropped { run, job: job.clone() });
    }

    /// Reports a run of which no retry is left.
    pub(crate) fn report_dead(&self, dead: &DeadRun) {
        let DeadRun { run, job, attempts, error } = dead;
        tracing::error!(%job, %run, attempts, "run {run} of job `{job}` is dead after {attempts} attempts; `Scheduler::replay` runs it again");
        self.pipeline.bus.send(|| Event::Dead {
            run: *run,
            job: job.clone(),
            attempts: *attempts,
            error: error.clone(),
        });
    }

    /// Reports a run that no node began in time.
    pub(crate) fn report_expired(&self, run: RunId, job: &JobKey) {
        tracing::warn!(%job, %run, "run {run} of job `{job}` has expired, since no node began it in time; `Scheduler::replay` runs it again");
        self.pipeline.bus.send(|| Event::Expired { run, job: job.clone() });
    }

    /// Reports a run that has found a limit full.
    pub(crate) fn report_limited(&self, full: &FullLimit) {
        let (run, job, limit) = (full.run, &full.job, &full.limit);
        tracing::debug!(%job, %run, %limit, "run {run} of job `{job}` has found no room at limit `{limit}`; `Scheduler::explain_run` says who has it");
        self.pipeline.bus.send(|| Event::Limited {
            run,
            job: job.clone(),
            limit: limit.name().into(),
            key: limit.key().map(Into::into),
        });
    }

    /// Reports a run that is not run, since another one has taken its place.
    pub(crate) fn report_superseded(&self, run: RunId, job: &JobKey) {
        tracing::info!(%job, %run, "run {run} of job `{job}` has ended without an attempt: its limit was full, and such runs do not wait for it");
        self.pipeline.bus.send(|| Event::Superseded { run, job: job.clone() });
    }

    /// Reports that a job was asked for a pause.
    fn report_throttled(&self, ending: &Ending, limit: &Arc<str>, until: DateTime<Utc>) {
        let (run, job, shown) = (ending.run, ending.trigger.job(), When(Some(until)));
        tracing::info!(%job, %run, %limit, "run {run} of job `{job}` was asked for a pause: no run of limit `{limit}` with the same key begins before {shown}");
        self.pipeline.bus.send(|| Event::Throttled { run, job: job.clone(), limit: limit.clone(), until });
    }

    /// Reports what the store removed when a run ended, or that the store no longer knows the run.
    pub(crate) fn report_end(&self, ending: &Ending, result: CompleteResult) {
        let (run, job) = (ending.run, ending.trigger.job());
        if result == CompleteResult::Withdrawn {
            tracing::info!(%job, %run, "run {run} of job `{job}` was cancelled or removed while its attempt was under way; there is no further one");
            return;
        }
        let CompleteResult::Done { trigger_removed, job_removed } = result else {
            let execution = ending.completion.execution;
            tracing::warn!(%job, %execution, "run {execution} of job `{job}` has ended, but the store no longer knows it: another node may have taken it over and run it again");
            return;
        };
        match &ending.completion.fate {
            Fate::Again { at, .. } if ending.is_queued => {
                let due = *at;
                tracing::debug!(%job, %run, "an occurrence of job `{job}` waits as run {run}, since the job has limits or a sequence");
                self.pipeline.bus.send(|| Event::Enqueued { run, job: job.clone(), due });
            }
            Fate::Over | Fate::Discarded | Fate::Cancelled => {}
            Fate::Again { at, .. } if matches!(ending.outcome, Outcome::Snoozed(_)) => {
                let (due, shown) = (*at, When(Some(*at)));
                tracing::debug!(%job, %run, "run {run} of job `{job}` has nothing to do yet and waits; it is attempted again at {shown}");
                self.pipeline.bus.send(|| Event::Snoozed { run, job: job.clone(), due });
            }
            Fate::Again { at, counts, .. } => {
                if let Outcome::Throttled { limit, .. } = &ending.outcome {
                    return self.report_throttled(ending, limit, *at);
                }
                let (attempt, due) = (ending.attempt, *at);
                let (shown, what) = (When(Some(due)), if *counts { "failed" } else { "was interrupted" });
                tracing::info!(%job, %run, attempt, "attempt {attempt} of run {run} of job `{job}` {what}; the run is attempted again at {shown}");
                self.pipeline.bus.send(|| Event::Retrying { run, job: job.clone(), attempt, due });
            }
            Fate::Dead { error } => {
                let error = error.as_ref().map_or_else(Default::default, |error| error.text.clone());
                self.report_dead(&DeadRun::new(run, job.clone(), ending.attempt, error));
            }
        }
        if trigger_removed || ending.completion.instruction == Instruction::FinishTrigger {
            self.pipeline.bus.send(|| Event::Finished { trigger: ending.trigger.key().clone() });
        }
        if job_removed {
            self.pipeline.bus.send(|| Event::JobRemoved { job: ending.trigger.job().clone() });
        }
    }
}
