//! Parameters and results of the verbs by which triggers fire.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::firings::{FiringReason, FiringRecord};
use super::limits::FullLimit;
use super::queues::QueueShare;
use super::runs::{AcquiredRun, Fate, NewRun};
use crate::calendar::Calendar;
use crate::data::JobData;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::JobKey;
use crate::run::{AttemptNotes, DeadRun, RunId};
use crate::trigger::{Progress, Trigger};

/// Claim due triggers.
#[derive(Debug, Clone)]
pub struct AcquireDue {
    /// The node's session.
    pub session: u64,
    /// The present.
    pub now: DateTime<Utc>,
    /// Triggers are due when their fire time is at most this.
    pub until: DateTime<Utc>,
    /// At most so many; 0 to learn only what is to be cancelled, and when something is due.
    pub max: usize,
    /// What is left of the node's limits.
    pub limits: QueueLimits,
    /// How many of them are for which queues, taken in this order as far as there is work and the limits allow. What is left over
    /// is for whatever is due first. Empty if nothing is shared. The [late ones](Self::late) of a share come first, up to what is left of
    /// their part, then its punctual ones, then its other late ones.
    pub shares: Vec<QueueShare>,
    /// How many of them may be late while punctual ones wait; none for any number.
    pub late: Option<LateShare>,
    /// After a call whose answer was lost: the number of the last claim of which the node has heard. Runs that it has claimed since are
    /// given back.
    pub heard: Option<u64>,
}

impl AcquireDue {
    /// Takes one trigger or run off the limits, the shares and the part of late triggers, for a store that answers one request
    /// in several parts.
    pub fn took(&mut self, queue: Option<&Arc<str>>, due: Option<DateTime<Utc>>) {
        if let Some(left) = self.limits.of(queue).map(|left| left.saturating_sub(1)) {
            match queue {
                Some(queue) => drop(self.limits.named.insert(queue.clone(), left)),
                None => self.limits.default = Some(left),
            }
        }
        if let Some(share) =
            self.shares.iter_mut().find(|share| share.most > 0 && share.queues.contains(queue))
        {
            share.most -= 1;
        }
        let is_late = |share: &&mut LateShare| due.is_some_and(|due| due < share.before);
        if let Some(share) = self.late.as_mut().filter(is_late) {
            share.most = share.most.saturating_sub(1);
        }
    }
}

/// The share of late triggers in a batch, so that a backlog does not keep punctual ones waiting. What punctual ones
/// leave over goes to late ones all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LateShare {
    /// A trigger is late when it was due before this.
    pub before: DateTime<Utc>,
    /// So many late ones come in their order; further ones come after all that are punctual.
    pub most: usize,
}

/// How many executions a node takes at once, by the [queues](Trigger::queue) of triggers and runs. Those for which there is no slot
/// are passed over and keep nobody else waiting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueLimits {
    /// The limits of single queues, by name. With a limit of 0 the node takes nothing from the queue.
    pub named: BTreeMap<Arc<str>, usize>,
    /// The limit of each queue that is not named above; none for no limit.
    pub others: Option<usize>,
    /// The limit of everything that has no queue, taken together; none for no limit.
    pub default: Option<usize>,
    /// The limits of single queues over all nodes together, which hold beside those of each node.
    pub shared: BTreeMap<Arc<str>, usize>,
}

impl QueueLimits {
    /// How many of this queue, if all nodes have so many claims of it already; none for any number.
    pub fn left(&self, queue: Option<&Arc<str>>, claimed: usize) -> Option<usize> {
        let shared = queue.and_then(|queue| self.shared.get(queue)).map(|most| most.saturating_sub(claimed));
        self.of(queue).into_iter().chain(shared).min()
    }

    /// How many of this queue on this node; none for any number.
    pub fn of(&self, queue: Option<&Arc<str>>) -> Option<usize> {
        match queue {
            Some(queue) => self.named.get(queue).copied().or(self.others),
            None => self.default,
        }
    }
}

/// Triggers that were claimed.
#[derive(Debug, Clone, Default)]
pub struct Acquired {
    /// In the order in which they are to be fired, within each share of the request.
    pub triggers: Vec<AcquiredTrigger>,
    /// Runs whose attempts have begun, in the order in which they were due, within each share of the request.
    pub runs: Vec<AcquiredRun>,
    /// Executions of this node that are to be stopped, in the order of their ids, each until it has ended: somebody has
    /// asked for it, or their trigger is due again and its overlap policy is to cancel the previous run.
    pub cancel: Vec<(ExecutionId, CancelReason)>,
    /// When to ask again: the next trigger that this node can take is due, a claim lapses, or a pause ends. None if there
    /// is nothing.
    pub next_due: Option<DateTime<Utc>>,
    /// Dead runs that this call has removed, since more of them were stored than [are kept](crate::run::Retention::at_most).
    pub dropped: Vec<(RunId, JobKey)>,
    /// Runs that this call has found expired and has ended.
    pub expired: Vec<(RunId, JobKey)>,
    /// Runs that have found a limit full for the first time since their latest attempt, and wait or have ended.
    pub limited: Vec<FullLimit>,
    /// Runs that this call has ended, since a limit was full and they [are not to wait](crate::run::WhenFull).
    pub superseded: Vec<(RunId, JobKey)>,
    /// Runs that are dead since this node has found that theirs has died.
    pub dead: Vec<DeadRun>,
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
    /// When its own run ended, if that has kept it waiting by its overlap policy: until then it was not late.
    pub freed: Option<DateTime<Utc>>,
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
    /// Why the trigger is moved on without running its job: its misfire policy drops the firing, or its calendar excludes it. None to
    /// run the job.
    pub dropped: Option<FiringReason>,
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
    /// The trigger was moved on without a run. One that has no further fire time stays, complete.
    Advanced,
    /// The trigger was moved on without a run: its previous run goes on, and its overlap policy is to skip.
    Overlapped,
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
    /// New data of the job, if the run has changed it and the job keeps what runs change.
    pub data: Option<JobData>,
    /// Its record, if the store [keeps records](super::Attached::keeps_history).
    pub record: Option<Box<FiringRecord>>,
    /// It was stopped before its end, because others might have held its node for dead. A store whose claims can be lost treats
    /// it as lost with its node, so that it is repeated where its job asks for it, whoever was the first.
    pub unfinished: bool,
    /// What becomes of the run.
    pub fate: Fate,
    /// The run of a trigger's firing, to be stored if it is not over.
    pub promise: Option<Box<NewRun>>,
    /// What its job has returned, as JSON. It is stored with a run that is [kept](NewRun::keep).
    pub output: Option<Arc<str>>,
    /// The name of a limit of the run. With [`Fate::Again`], the gates of this limit that the run has open for nobody before that time.
    /// An earlier time than one that is known changes nothing.
    pub throttles: Option<Arc<str>>,
    /// What it has noted that is not stored yet.
    pub noted: Option<Box<AttemptNotes>>,
    /// It has got further than the attempts before, and by its retry policy they do not count any more.
    pub resets: bool,
    /// It was interrupted, by a shutdown or since its node has lost its claims. For a run that is attempted again.
    pub interrupted: bool,
}

impl Completion {
    /// The execution is over, and its trigger goes on as scheduled.
    pub fn of(execution: ExecutionId) -> Self {
        let (instruction, fate) = (Instruction::Continue, Fate::Over);
        Self {
            execution,
            instruction,
            data: None,
            record: None,
            unfinished: false,
            fate,
            promise: None,
            output: None,
            throttles: None,
            noted: None,
            resets: false,
            interrupted: false,
        }
    }
}

/// What an attempt under way has noted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunNote {
    /// The attempt. A claim that is gone, or no longer good, notes nothing: a node that was frozen cannot turn back what another one has
    /// noted since.
    pub claim: ExecutionId,
    /// The notes that are new.
    pub notes: AttemptNotes,
}

impl RunNote {
    /// What an attempt has noted since the last time.
    pub const fn new(claim: ExecutionId, notes: AttemptNotes) -> Self {
        Self { claim, notes }
    }

    /// How far an attempt has got.
    pub fn checkpoint(claim: ExecutionId, checkpoint: impl Into<Arc<str>>) -> Self {
        Self::new(claim, AttemptNotes::default().checkpoint(checkpoint))
    }
}

/// What is to become of a trigger after an execution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// It goes on as scheduled.
    #[default]
    Continue,
    /// It has fired for the last time and is removed, unless it was given further fire times meanwhile.
    RemoveTrigger,
    /// It never fires again, and stays, complete.
    FinishTrigger,
    /// So do all triggers of the job.
    FinishJob,
    /// It is put into the error state.
    FailTrigger,
    /// So are all triggers of the job: the job cannot be run.
    FailJob,
}

/// What became of one completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompleteResult {
    /// The execution is over.
    Done {
        /// The trigger was removed.
        trigger_removed: bool,
        /// It was the last trigger of a job that is not durable, which went with it.
        job_removed: bool,
    },
    /// The execution is over, and so is its run: somebody has cancelled or removed the run meanwhile. There is no retry, and the run is not
    /// dead.
    Withdrawn,
    /// The claim is unknown: it was completed before, or another node has taken over.
    Gone,
}
