//! The run as a row: one piece of work to be done once. It is stored while it waits, while it is held, and after its end if it is
//! kept.
//!
//! A claim does not change the row of the run that it claims: the row says *waiting* while a node runs it, and whoever ends the attempt
//! writes what becomes of the run. So a node that dies leaves a row that is as it was before, and an attempt is counted once, by whoever
//! ends it or takes it over.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rows::{Answer, Id, Lane, Place, Table};
use crate::data::JobData;
use crate::job::ExecutionId;
use crate::key::{JobKey, TriggerKey};
use crate::run::{RetryPolicy, RunEnd, RunId, RunState};

/// How a run stands when no node runs it. [`Claimed`](RunState::Claimed) follows from a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is due now or later.
    Waiting,
    /// It waits for other runs or for a person.
    Held,
    /// Nothing happens any more by itself.
    Ended(RunEnd),
}

impl Standing {
    /// The state that the table of steps knows.
    pub const fn state(self, is_claimed: bool) -> RunState {
        match self {
            Self::Waiting if is_claimed => RunState::Claimed,
            Self::Waiting => RunState::Waiting,
            Self::Held => RunState::Held,
            Self::Ended(_) => RunState::Ended,
        }
    }
}

/// Why there is a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Somebody has enqueued it.
    Enqueued,
    /// Somebody has started a job by hand.
    Manual,
    /// An occurrence of a trigger, whose first attempt did not succeed.
    Trigger {
        /// Which.
        trigger: TriggerKey,
        /// When the occurrence was due by the schedule.
        due: DateTime<Utc>,
    },
}

/// A run.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// Stable over attempts.
    pub id: RunId,
    /// The job that runs.
    pub job: JobKey,
    /// Laid over the data of the job.
    pub data: Arc<JobData>,
    /// When its next attempt is due.
    pub due: DateTime<Utc>,
    /// Of runs and triggers that are due at the same time the higher one comes first.
    pub priority: i32,
    /// How it stands.
    pub standing: Standing,
    /// Attempts that have ended and count.
    pub attempts: u32,
    /// Its job allows one run at a time.
    pub exclusive: bool,
    /// Changes when a claim that was made before is no longer good.
    pub epoch: u32,
    /// Where it stands when it waits.
    pub lane: Lane,
    cold: Option<Box<ColdFields>>,
}

/// What most runs do not have.
#[derive(Debug, Clone, Default)]
struct ColdFields {
    cause: Option<Cause>,
    retry: Option<RetryPolicy>,
    last_error: Option<Arc<str>>,
    replays: u32,
    /// Attempts that were lost with their nodes.
    losses: u32,
}

impl RunRow {
    /// A run that waits for its first attempt.
    pub fn new(
        id: RunId,
        job: JobKey,
        data: Arc<JobData>,
        due: DateTime<Utc>,
        priority: i32,
        (exclusive, lane): (bool, Lane),
    ) -> Self {
        let (standing, attempts, epoch, cold) = (Standing::Waiting, 0, 0, None);
        Self { id, job, data, due, priority, standing, attempts, exclusive, epoch, lane, cold }
    }

    /// Where it is found when its time has come; none if it does not wait for a time.
    pub fn place(&self) -> Option<Place> {
        let waits = self.standing == Standing::Waiting;
        let rank = std::cmp::Reverse(self.priority);
        waits.then_some(Place { lane: self.lane, at: self.due, rank, exclusive: self.exclusive })
    }

    /// Why there is this run.
    pub fn cause(&self) -> &Cause {
        self.cold.as_deref().and_then(|cold| cold.cause.as_ref()).unwrap_or(&Cause::Enqueued)
    }

    /// Why there is this run.
    pub fn set_cause(&mut self, cause: Cause) {
        if cause != Cause::Enqueued || self.cold.is_some() {
            self.cold().cause = Some(cause);
        }
    }

    /// How often it is tried again; none for the policy of its job.
    pub fn retry(&self) -> Option<RetryPolicy> {
        self.cold.as_deref()?.retry
    }

    /// Another policy than that of its job.
    pub fn set_retry(&mut self, retry: Option<RetryPolicy>) {
        if retry.is_some() || self.cold.is_some() {
            self.cold().retry = retry;
        }
    }

    /// What the last attempt has failed with.
    pub fn last_error(&self) -> Option<&Arc<str>> {
        self.cold.as_deref()?.last_error.as_ref()
    }

    /// What the last attempt has failed with.
    pub fn set_last_error(&mut self, error: Option<Arc<str>>) {
        if error.is_some() || self.cold.is_some() {
            self.cold().last_error = error;
        }
    }

    /// How often somebody has run it again after its end.
    pub fn replays(&self) -> u32 {
        self.cold.as_deref().map_or(0, |cold| cold.replays)
    }

    /// One replay more: it begins anew.
    pub fn replay(&mut self, due: DateTime<Utc>) {
        (self.standing, self.due, self.attempts) = (Standing::Waiting, due, 0);
        self.epoch = self.epoch.wrapping_add(1);
        let cold = self.cold();
        cold.replays = cold.replays.saturating_add(1);
        cold.losses = 0;
    }

    /// How many attempts were lost with their nodes, one after the other.
    pub fn losses(&self) -> u32 {
        self.cold.as_deref().map_or(0, |cold| cold.losses)
    }

    /// So many attempts were lost with their nodes.
    pub fn set_losses(&mut self, losses: u32) {
        if losses > 0 || self.cold.is_some() {
            self.cold().losses = losses;
        }
    }

    fn cold(&mut self) -> &mut ColdFields {
        self.cold.get_or_insert_default()
    }
}

/// The claim of a run. Claiming a run is starting it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunClaim {
    /// The node that has it.
    pub session: u64,
    /// The claimed run.
    pub run: Id<RunRow>,
    /// As it was claimed; where the row has another one, the claim is void.
    pub epoch: u32,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    /// It holds its job, which allows one run at a time.
    pub exclusive: bool,
    /// When it was claimed.
    pub since: DateTime<Utc>,
    /// It is to be stopped.
    pub is_cancelled: bool,
}

impl RunClaim {
    /// Of a run that a driver has taken out of its lane.
    pub fn of(item: Id<RunRow>, row: &RunRow, session: u64, now: DateTime<Utc>) -> Self {
        let (epoch, attempt, exclusive) = (row.epoch, row.attempts.saturating_add(1), row.exclusive);
        Self { session, run: item, epoch, attempt, exclusive, since: now, is_cancelled: false }
    }
}

/// The part of an open transaction that knows runs.
#[expect(clippy::missing_errors_doc, reason = "there is one error: a row that was not loaded")]
pub trait Runs: Table<RunRow> + Table<RunClaim> {
    /// Its id is free.
    fn add_run(&mut self, row: RunRow) -> Id<RunRow>;

    /// The run of this id.
    fn run(&mut self, id: RunId) -> Answer<Self, Option<Id<RunRow>>>;

    /// The claim of a run, if a node runs it.
    fn claim_of(&mut self, run: Id<RunRow>) -> Answer<Self, Option<Id<RunClaim>>>;

    /// A run that waits stands in its place again: its claim is over.
    fn show_run(&mut self, run: Id<RunRow>) -> Answer<Self, ()>;

    /// The job, which allows one run at a time, is free.
    fn free_job(&mut self, job: &JobKey) -> Answer<Self, ()>;

    /// Other nodes may find something to take.
    fn wake_others(&mut self);
}

impl Id<RunClaim> {
    /// The row of a claim; whether it is that of the same session, the row says.
    pub const fn of_run(claim: ExecutionId) -> Self {
        Self::new(claim.count())
    }
}
