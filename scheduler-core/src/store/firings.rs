//! Records of what became of attempts, and of occurrences that did not run.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::page::page_size;
use crate::job::{CancelReason, ExecutionId, Outcome};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Text;
use crate::run::{FiringCause, RunId, cut};

/// The most bytes of a [failure](FiringRecord::failure) that are kept.
pub const MAX_FAILURE: usize = 4096;

/// What became of one attempt, or of one occurrence of a trigger that did not run.
///
/// Records are only appended, where the store [keeps them](super::Attached::keeps_history), and the oldest are removed first. What is not known of an
/// attempt is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FiringRecord {
    /// Grows in the order in which the store has written its records. The store sets the number; before that it is 0.
    #[serde(default)]
    pub number: u64,
    /// The attempt; none for an occurrence that was dropped before it became one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// The run of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The job.
    pub job: JobKey,
    /// The trigger of the occurrence; none for a run that was enqueued or started by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerKey>,
    /// The function of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_type: Option<Arc<str>>,
    /// The queue from which it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Arc<str>>,
    /// The label of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Arc<str>>,
    /// The session of the node.
    pub session: u64,
    /// Why there was this attempt.
    pub cause: FiringCause,
    /// When it was due by the schedule; for a run without a trigger, when the attempt was due.
    pub scheduled: DateTime<Utc>,
    /// When it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<DateTime<Utc>>,
    /// When it ended. For an occurrence that did not run: when that was decided. For an attempt that a node left behind in a store
    /// without a clock of its own: when it began, since no end is known.
    pub ended: DateTime<Utc>,
    /// The number of the attempt, counted from 1; 0 if there was none.
    #[serde(default)]
    pub attempt: u32,
    /// How it ended.
    pub outcome: FiringOutcome,
    /// Why it did not run or was cancelled, and what follows a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FiringReason>,
    /// What went wrong, in words; at most [`MAX_FAILURE`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Arc<str>>,
    /// By how much it has exceeded its [timeout](crate::job::JobDetailBuilder::timeout), whatever its outcome; none if it was in
    /// time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overran: Option<Duration>,
}

impl FiringRecord {
    /// A record that says only this. The other fields are set one by one.
    pub fn new(
        job: JobKey,
        session: u64,
        cause: FiringCause,
        (scheduled, ended): (DateTime<Utc>, DateTime<Utc>),
        outcome: FiringOutcome,
    ) -> Self {
        Self {
            number: 0,
            execution: None,
            run: None,
            job,
            trigger: None,
            job_type: None,
            queue: None,
            node: None,
            session,
            cause,
            scheduled,
            began: None,
            ended,
            attempt: 0,
            outcome,
            reason: None,
            failure: None,
            overran: None,
        }
    }

    /// Cuts the failure, between two characters, to what is kept of it.
    pub(super) fn cut_failure(&mut self) {
        if let Some(failure) = self.failure.as_deref().filter(|failure| failure.len() > MAX_FAILURE) {
            self.failure = Some(cut(failure, MAX_FAILURE).into());
        }
    }
}

/// How an attempt ended, or that there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FiringOutcome {
    /// The job did its work.
    Succeeded,
    /// The job returned an error, or its node has no function for it.
    Failed,
    /// The job panicked.
    Panicked,
    /// The job ran longer than its timeout.
    TimedOut,
    /// The job was asked to stop, and has stopped.
    Cancelled,
    /// The node died.
    Lost,
    /// The job was not called; the [reason](FiringRecord::reason) says why.
    NotRun,
    /// The job returned an error that nobody needs to look at.
    Discarded,
    /// The job had nothing to do yet, and its run waits.
    Snoozed,
    /// The job was asked for a pause, and its run waits.
    Throttled,
}

impl FiringOutcome {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::Succeeded,
        Self::Failed,
        Self::Panicked,
        Self::TimedOut,
        Self::Cancelled,
        Self::Lost,
        Self::NotRun,
        Self::Discarded,
        Self::Snoozed,
        Self::Throttled,
    ];

    /// In words, for logs and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::NotRun => "not run",
            Self::Discarded => "discarded",
            Self::Snoozed => "snoozed",
            Self::Throttled => "throttled",
        }
    }
}

impl From<&Outcome> for FiringOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed(_) => Self::Failed,
            Outcome::Panicked(_) => Self::Panicked,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Vetoed => Self::NotRun,
            Outcome::Discarded(_) => Self::Discarded,
            Outcome::Snoozed(_) => Self::Snoozed,
            Outcome::Throttled { .. } => Self::Throttled,
        }
    }
}

/// Why an occurrence did not run, why an attempt was cancelled, or what follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FiringReason {
    /// Not run: the trigger was late, and its misfire policy drops what was missed. One record stands for all that was missed.
    Misfired,
    /// Not run: the calendar of the trigger excludes the time.
    Excluded,
    /// Not run: the previous run goes on, and the overlap policy of the trigger is to skip.
    Overlapped,
    /// Not run: a listener has vetoed it.
    Vetoed,
    /// Cancelled: somebody has asked for it.
    Requested,
    /// Cancelled: its trigger was due again, and its overlap policy is to cancel the previous run.
    Superseded,
    /// Cancelled: the scheduler was shut down.
    Shutdown,
    /// Cancelled: others might have held the node for dead.
    ClaimLost,
    /// Not run: no node began the run in time.
    Expired,
    /// Not run: a run for which it has waited has not ended as it has to.
    Dependency,
    /// Another attempt follows.
    Retried,
    /// No attempt is left: the run is dead.
    Dead,
}

impl From<CancelReason> for FiringReason {
    fn from(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Requested | CancelReason::Timeout => Self::Requested,
            CancelReason::Superseded => Self::Superseded,
            CancelReason::Shutdown => Self::Shutdown,
            CancelReason::ClaimLost => Self::ClaimLost,
        }
    }
}

/// Which firing records to list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FiringQuery {
    /// Only those of this job.
    pub job: Option<JobKey>,
    /// Only those of jobs in such groups.
    pub group: Text,
    /// Only those of this trigger.
    pub trigger: Option<TriggerKey>,
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only those with one of these outcomes; empty for all.
    pub outcomes: Vec<FiringOutcome>,
    /// Only what ended at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only what ended before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only those that are older than this one: the [`next`](super::Page::next) of the page before.
    pub after: Option<FiringCursor>,
    /// At most so many on a page; by default [`PAGE_SIZE`](super::PAGE_SIZE), and never more than
    /// [`MAX_PAGE_SIZE`](super::MAX_PAGE_SIZE).
    pub limit: Option<usize>,
}

impl FiringQuery {
    /// Only those of this job.
    #[must_use]
    pub fn of_job(self, job: JobKey) -> Self {
        Self { job: Some(job), ..self }
    }

    /// Only those of this trigger.
    #[must_use]
    pub fn of_trigger(self, trigger: TriggerKey) -> Self {
        Self { trigger: Some(trigger), ..self }
    }

    /// Only those of this run.
    #[must_use]
    pub fn of_run(self, run: RunId) -> Self {
        Self { run: Some(run), ..self }
    }

    /// Only those with one of these outcomes.
    #[must_use]
    pub fn with_outcomes(self, outcomes: impl IntoIterator<Item = FiringOutcome>) -> Self {
        Self { outcomes: outcomes.into_iter().collect(), ..self }
    }

    /// At most so many.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The number of items of a page, for a store.
    pub fn page_size(&self) -> usize {
        page_size(self.limit)
    }

    /// Whether the record is meant, apart from the limit.
    pub fn matches(&self, record: &FiringRecord) -> bool {
        self.after.is_none_or(|after| record.number < after.0)
            && self.job.as_ref().is_none_or(|job| *job == record.job)
            && self.trigger.as_ref().is_none_or(|trigger| Some(trigger) == record.trigger.as_ref())
            && self.run.is_none_or(|run| Some(run) == record.run)
            && (self.outcomes.is_empty() || self.outcomes.contains(&record.outcome))
            && self.from.is_none_or(|from| record.ended >= from)
            && self.until.is_none_or(|until| record.ended < until)
            && self.group.matches(record.job.group())
    }
}

/// Where a list of firing records goes on: at the records before the one of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FiringCursor(pub u64);
