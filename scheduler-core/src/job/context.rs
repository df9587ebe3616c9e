//! What a run knows about itself.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::detail::JobDetail;
use super::launcher::Launcher;
use super::outcome::JobError;
use super::provide::Providers;
use super::run::{Run, Unschedule};
use super::scope::Scope;
use crate::data::JobData;
use crate::error::{Error, Result};
use crate::execution_id::ExecutionId;
use crate::key::{JobKey, TriggerKey};
use crate::run::{AttemptError, FiringCause, MAX_OUTPUT, MAX_PROGRESS_MESSAGE, RunId, RunProgress, cut};
use crate::time::Clock;
use crate::trigger::{Recovery, Trigger};

/// Why a run was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody cancelled the execution or its job.
    Requested,
    /// It has run for longer than the job's timeout.
    Timeout,
    /// Its trigger was due again, and its overlap policy is to cancel the previous run.
    Superseded,
    /// The scheduler is shutting down.
    Shutdown,
    /// The store no longer honours the claim; another node may run the firing.
    ClaimLost,
}

/// Everything a run may ask about itself; take it as a parameter of a job function.
///
/// Cloning copies a pointer.
#[derive(Clone)]
pub struct JobContext(pub(crate) Arc<Run>);

impl JobContext {
    /// The unique id of this execution.
    pub fn execution_id(&self) -> ExecutionId {
        self.0.parts.id
    }

    /// The job as it was stored when it fired.
    pub fn job(&self) -> &JobDetail {
        &self.0.parts.job
    }

    /// The name of the job.
    pub fn job_key(&self) -> &JobKey {
        self.job().key()
    }

    /// The trigger as it was stored when it fired.
    pub fn trigger(&self) -> &Trigger {
        &self.0.parts.trigger
    }

    /// The name of the trigger.
    pub fn trigger_key(&self) -> &TriggerKey {
        self.trigger().key()
    }

    /// What has launched this run.
    pub fn launcher(&self) -> &Launcher {
        &self.0.parts.launcher
    }

    /// When this run was due by its schedule, also if it came late.
    pub fn scheduled_fire_time(&self) -> DateTime<Utc> {
        self.0.parts.scheduled
    }

    /// When the trigger actually fired; never earlier than it was due.
    pub fn fire_time(&self) -> DateTime<Utc> {
        self.0.parts.fired
    }

    /// The scheduled time of the trigger's previous firing; none for the first.
    pub fn previous_fire_time(&self) -> Option<DateTime<Utc>> {
        self.0.parts.previous
    }

    /// When the trigger is due next; none if this was its last firing.
    pub fn next_fire_time(&self) -> Option<DateTime<Utc>> {
        self.0.parts.next
    }

    /// The id of the run, the same for all of its attempts, on whatever node: a good idempotency key.
    pub fn run_id(&self) -> RunId {
        self.0.parts.run_id()
    }

    /// The number of the attempt, from 1. An attempt that fails may be followed by another one, by the
    /// [retry policy](crate::run::RetryPolicy) of the run, its job or the scheduler.
    pub fn attempt(&self) -> u32 {
        self.0.parts.attempt()
    }

    /// How many attempts the run may have in all, by its retry policy; 1 if it is not retried. An attempt that snoozes or is
    /// interrupted by a shutdown does not count.
    pub fn max_attempts(&self) -> u32 {
        let of_job = || self.job().retry().map_or(1, |policy| policy.max().saturating_add(1));
        self.0.parts.stored.as_ref().map_or_else(of_job, |run| run.most)
    }

    /// Whether the number of retries allows no further attempt. A [time limit](crate::run::RetryPolicy::within) of the policy and the
    /// kinds of failure that it retries are not foreseen.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt() >= self.max_attempts()
    }

    /// When the first attempt of the run began.
    pub fn first_attempt_at(&self) -> DateTime<Utc> {
        self.0.parts.first_attempt()
    }

    /// What the attempt before failed with; none for the first one.
    pub fn last_error(&self) -> Option<&str> {
        self.errors().last().map(|error| &*error.text)
    }

    /// What the attempts before have failed with, the latest last; at most [`AttemptError::MOST`]. Empty for the first attempt, also
    /// after a replay; later attempts see errors from before the replay, too.
    pub fn errors(&self) -> &[AttemptError] {
        self.0.parts.stored.as_ref().map_or(&[], |run| &run.errors)
    }

    /// How many attempts of this run were interrupted before: by a shutdown, or since their node had lost its claims. They do not count as
    /// attempts. A run that is interrupted again and again is longer than the life of its node, and needs
    /// [checkpoints](Self::checkpoint). From the fifth time on, a warning says so.
    pub fn interruptions(&self) -> u32 {
        self.0.parts.stored.as_ref().map_or(0, |run| run.interruptions)
    }

    /// Why there is this attempt. Manual where neither a trigger nor a stored run is the reason, as in a queue in memory.
    pub fn cause(&self) -> FiringCause {
        match (&self.0.parts.stored, &self.0.parts.launcher) {
            (Some(run), _) => run.cause,
            (None, Launcher::Trigger) => FiringCause::Schedule,
            (None, _) => FiringCause::Manual,
        }
    }

    /// How often the job was called again in this attempt, by [`refire`](Self::refire).
    pub fn refire_count(&self) -> u32 {
        self.0.refires.load(Ordering::Relaxed)
    }

    /// The lost run that this one repeats, since its node died while it ran and the job
    /// [requests recovery](JobDetail::requests_recovery); none for every other run.
    pub fn recovering(&self) -> Option<&Recovery> {
        self.trigger().recovery()
    }

    /// A number that grows with every claim the store gives out, and in a queue in memory with every run of its host. Hand the number
    /// to an outside resource that refuses smaller numbers than it has seen, and a run that was frozen and overtaken can do
    /// no harm there.
    ///
    /// The number never starts anew: after a restart it is at least the time in microseconds since 1970. So numbers grow over
    /// restarts as long as the clock of the new process (with Redis, of the server) is not behind the old one.
    pub fn fence(&self) -> u64 {
        self.0.parts.fence
    }

    /// The job's data overlaid with the trigger's, a copy of this run's own.
    pub fn data(&self) -> &JobData {
        self.0.data.get_or_init(|| self.job().data().merged(self.trigger().data()))
    }

    /// What the job's own data is to be from now on, also if this run fails. The next run sees it.
    ///
    /// # Errors
    ///
    /// The job does not [keep data](JobDetail::persist_data).
    pub fn set_job_data(&self, data: JobData) -> Result<()> {
        if !self.job().persist_data() {
            let job = self.job_key();
            return Err(Error::config(format!(
                "job `{job}` does not keep the data that its runs set; build its detail with `persist_data(true)`"
            ))
            .for_job(job));
        }
        self.0.wishes.lock().data = Some(data);
        Ok(())
    }

    /// What the run is to return to whoever [waits](crate::client::RunHandle::result) for it, if it succeeds. `#[job(output)]` does this with
    /// what the function returns. The value is stored as JSON with a run that is [kept](crate::client::Enqueue::keep), and goes with it. The
    /// last value of an attempt holds.
    ///
    /// # Errors
    ///
    /// The value cannot be written as JSON, or is longer than [`MAX_OUTPUT`](crate::run::MAX_OUTPUT). No retry helps, so a job that returns the error is
    /// dead.
    pub fn set_output(&self, output: &impl Serialize) -> Result<(), JobError> {
        let text = serde_json::to_string(output)
            .map_err(|error| JobError::fatal(format!("the output of the job is no JSON: {error}")))?;
        if text.len() > MAX_OUTPUT {
            return Err(JobError::fatal(format!(
                "the output of the job has {} bytes as JSON, and {MAX_OUTPUT} are the most; store it elsewhere and return its address",
                text.len()
            )));
        }
        self.0.wishes.lock().output = Some(text.into());
        Ok(())
    }

    /// Says how far this attempt has got, for people: so many units of so many, and 0 for a total that is not known. The value is one in
    /// memory until it is stored with those of all runs of the node, once a second if it has changed, and with the end of the attempt. So a
    /// job may say it for each item. [`RunHandle::progress`](crate::client::RunHandle::progress) and
    /// [`RunStatus::progress`](crate::store::RunStatus::progress) show it, and
    /// [`ExecutionStatus::progress`](crate::store::ExecutionStatus::progress) that of the first attempt of an occurrence.
    ///
    /// Nothing depends on it: where the next attempt goes on is said by a [checkpoint](Self::checkpoint). A run that nobody has stored, as
    /// in a queue in memory, shows nothing.
    ///
    /// ```
    /// use scheduler_core::prelude::*;
    ///
    /// #[job]
    /// async fn import(context: JobContext) -> JobResult {
    ///     let rows = ["a", "b", "c"];
    ///     context.progress_message("the rows of today");
    ///     for (done, row) in (1..).zip(rows) {
    ///         println!("{row}");
    ///         context.progress(done, 3);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn progress(&self, done: u64, total: u64) {
        self.note_progress(|progress| (progress.done, progress.total) = (done, total));
    }

    /// Says in words what this attempt does, beside its [progress](Self::progress). Of a text longer than
    /// [`MAX_PROGRESS_MESSAGE`](crate::run::MAX_PROGRESS_MESSAGE) the rest is cut off.
    pub fn progress_message(&self, text: &str) {
        self.note_progress(|progress| progress.message = Some(cut(text, MAX_PROGRESS_MESSAGE).into()));
    }

    fn note_progress(&self, change: impl FnOnce(&mut RunProgress)) {
        if let Some(noting) = self.0.noting()
            && self.0.notebook.set_progress(change)
        {
            noting.noted(true);
        }
    }

    /// Calls the job again as soon as this call has ended, however it ends, in the same attempt. Without limit or
    /// delay: look at [`refire_count`](Self::refire_count). Ignored once the run was asked to stop.
    pub fn refire(&self) {
        self.0.wishes.lock().refire = true;
    }

    /// Lets this trigger never fire again, from the end of this run on. It stays stored, complete.
    pub fn unschedule_trigger(&self) {
        self.0.wishes.lock().unschedule.get_or_insert(Unschedule::Trigger);
    }

    /// Lets no trigger of this job ever fire again, from the end of this run on. They stay stored, complete.
    pub fn unschedule_job(&self) {
        self.0.wishes.lock().unschedule = Some(Unschedule::Job);
    }

    /// The token that is cancelled when the run should stop: timeout, cancel, shutdown.
    pub fn cancellation(&self) -> CancellationToken {
        self.0.listen().clone()
    }

    /// Why the run was asked to stop; none while it was not.
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.0.cancel_reason()
    }

    /// The scheduler's clock: sleep on it, and a test can drive the job.
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(super) fn scope(&self) -> &Scope {
        self.0.scope()
    }

    /// The values provided to the scheduler.
    pub fn providers(&self) -> &Providers {
        &self.0.providers
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.parts.fmt(f)
    }
}
