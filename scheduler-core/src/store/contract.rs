//! The verbs of a job store, their parameters and results.

use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::state::TriggerState;
use crate::calendar::Calendar;
use crate::error::Result;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::trigger::{Progress, Trigger};

/// What every verb returns.
///
/// # Cancel safety
///
/// Dropping it leaves open whether the call took effect; every verb may be repeated.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A place where jobs and triggers live, shared by the nodes of a scheduler.
///
/// Each verb is atomic: it happens as a whole or not at all, and never half. Results come in the order of the
/// parameters, one each. Futures are polled on the scheduler's own thread, inside the runtime's context.
pub trait JobStore: Debug + Send + Sync + 'static {
    /// Makes a node known before it uses any other verb.
    fn attach(&self, node: Node) -> StoreFuture<'_, Attached>;

    /// Claims due triggers, in the order of due time, then higher priority, then key.
    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired>;

    /// Exchanges claims for the right to run, and moves each trigger on. A claim that was fired before, by a call whose
    /// reply was lost, is answered the same again.
    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>>;

    /// Ends executions. A repeated or late completion is answered [`CompleteResult::Gone`] and changes nothing.
    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>>;

    /// Gives back claims that were not fired. Unknown ones are ignored.
    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()>;

    /// Stores jobs and triggers, all or nothing.
    ///
    /// # Errors
    ///
    /// A conflict that names every job and trigger that is there already, or a trigger whose job is nowhere.
    fn put(&self, request: Put) -> StoreFuture<'_, ()>;

    /// Removes triggers, and with the last one a job that is not durable. Says for each whether it was there.
    fn remove_triggers(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>>;

    /// Removes jobs with all their triggers. Says for each whether it was there.
    fn remove_jobs(&self, keys: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>>;

    /// Pauses the selected triggers; says how many changed.
    fn pause(&self, what: Selection) -> StoreFuture<'_, usize>;

    /// Resumes the selected triggers; says how many changed.
    fn resume(&self, what: Selection) -> StoreFuture<'_, usize>;

    /// Clears the error of triggers. Says for each whether it was in error.
    fn reset(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>>;

    /// The jobs that match, in the order of their keys.
    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>>;

    /// The triggers that match, in the order of their keys.
    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>>;
}

/// One life of one node.
#[derive(Clone)]
pub struct Node {
    /// Unique for this life; the first half of the ids of its claims.
    pub session: u64,
    /// A label for people.
    pub name: Arc<str>,
    /// To be called when the earliest due time may have become earlier.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("session", &self.session)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How the store wants to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// How far ahead of their due times triggers should be acquired: about two round trips.
    pub look_ahead: Duration,
    /// How long after its due time a claim that was not fired lapses.
    pub grace: Duration,
}

/// Claim due triggers.
#[derive(Debug, Clone)]
pub struct AcquireDue {
    /// The node's session.
    pub session: u64,
    /// The present.
    pub now: DateTime<Utc>,
    /// Triggers are due when their fire time is at most this.
    pub until: DateTime<Utc>,
    /// At most so many.
    pub max: usize,
}

/// Triggers that were claimed.
#[derive(Debug, Clone, Default)]
pub struct Acquired {
    /// In the order in which they are to be fired.
    pub triggers: Vec<AcquiredTrigger>,
    /// When to ask again: the next trigger that was not claimed is due, or a claim lapses. None if there is nothing.
    pub next_due: Option<DateTime<Utc>>,
}

/// One claimed trigger.
#[derive(Debug, Clone)]
pub struct AcquiredTrigger {
    /// The claim.
    pub claim: ExecutionId,
    /// The trigger as stored.
    pub trigger: Arc<Trigger>,
    /// How far it has got.
    pub progress: Progress,
    /// The calendar that it names.
    pub calendar: Option<Arc<dyn Calendar>>,
}

/// Exchange claims for the right to run.
#[derive(Debug, Clone)]
pub struct Fire {
    /// The present.
    pub now: DateTime<Utc>,
    /// One for each claim.
    pub firings: Vec<Firing>,
}

/// What to do with one claim.
#[derive(Debug, Clone)]
pub struct Firing {
    /// The claim.
    pub claim: ExecutionId,
    /// The trigger's progress from now on.
    pub progress: Progress,
    /// False to move the trigger on without running its job: its misfire policy drops the firing.
    pub run: bool,
}

/// What became of one claim.
#[derive(Debug, Clone)]
pub enum FireResult {
    /// The job may run; the claim stays until it is completed.
    Run {
        /// Grows with every claim of this job.
        fence: u64,
        /// The job as stored.
        job: Arc<JobDetail>,
    },
    /// The trigger was moved on without a run.
    Advanced,
    /// The job is busy and allows one run at a time; the trigger fires when it is free.
    Busy,
    /// The claim is no longer valid: the trigger was paused, changed or removed, or the claim has lapsed.
    Stale,
}

/// End executions.
#[derive(Debug, Clone)]
pub struct Complete {
    /// The present.
    pub now: DateTime<Utc>,
    /// One for each execution.
    pub executions: Vec<Completion>,
}

/// How one execution ended.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The execution.
    pub execution: ExecutionId,
    /// What is to become of its trigger.
    pub instruction: Instruction,
}

/// What is to become of a trigger after an execution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// It goes on as scheduled.
    #[default]
    Continue,
    /// It is put into the error state, and so is every other trigger of the job: the job cannot be run.
    FailJob,
}

/// What became of one completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompleteResult {
    /// The execution is over.
    Done {
        /// The trigger had no further fire time and was removed.
        trigger_removed: bool,
    },
    /// The claim is unknown: it was completed before, or another node has taken over.
    Gone,
}

/// What to do with something that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse the whole call.
    Refuse,
    /// Replace it.
    Replace,
    /// Leave it as it is.
    Keep,
}

/// Store jobs and triggers.
#[derive(Debug, Clone)]
pub struct Put {
    /// The jobs.
    pub jobs: Vec<Arc<JobDetail>>,
    /// What to do with a job that is there already. A replaced job keeps its triggers.
    pub existing_jobs: Existing,
    /// The triggers, each with its first progress; their jobs are stored or among `jobs`.
    pub triggers: Vec<(Arc<Trigger>, Progress)>,
    /// What to do with a trigger that is there already.
    pub existing_triggers: Existing,
}

/// Which triggers are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// This one.
    Trigger(TriggerKey),
    /// All triggers of this job.
    Job(JobKey),
    /// All triggers.
    All,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Only these; empty for all.
    pub keys: Vec<JobKey>,
    /// Only those after this key: the last one of the page before.
    pub after: Option<JobKey>,
    /// At most so many; none for all.
    pub limit: Option<usize>,
}

/// Which triggers to list.
#[derive(Debug, Clone, Default)]
pub struct TriggerQuery {
    /// Only these; empty for all.
    pub keys: Vec<TriggerKey>,
    /// Only those of this job.
    pub job: Option<JobKey>,
    /// Only those after this key: the last one of the page before.
    pub after: Option<TriggerKey>,
    /// At most so many; none for all.
    pub limit: Option<usize>,
}

/// A trigger with everything a caller may want to know.
#[derive(Debug, Clone)]
pub struct TriggerStatus {
    /// The trigger as stored.
    pub trigger: Arc<Trigger>,
    /// How far it has got.
    pub progress: Progress,
    /// Its visible state.
    pub state: TriggerState,
}

impl Attached {
    /// When a claim for a firing due at `due` lapses.
    pub fn lapse(&self, due: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let ahead = TimeDelta::from_std(self.look_ahead + self.grace).unwrap_or(TimeDelta::MAX);
        due.max(now).checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
