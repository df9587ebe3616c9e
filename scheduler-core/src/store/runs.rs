//! Parameters and results of the verbs by which runs are stored, claimed and looked at.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::batches::{BatchState, InBatch, NewBatch};
use super::change_note::ChangeNote;
use super::limits::RunLimit;
use super::new_keys::NewKey;
use super::page::page_size;
use crate::data::JobData;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::run::{
    AttemptError, Delivery, Edge, FiringCause, Gates, Noted, RetryPolicy, RunEnd, RunId, RunLog, RunProgress,
    RunSequence, RunState,
};
use crate::trigger::Trigger;

/// Why there is a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Somebody has enqueued it.
    Enqueued,
    /// Somebody has started a job by hand.
    Manual,
    /// Somebody has an occurrence of a trigger run afterwards.
    Backfill {
        /// The trigger.
        trigger: TriggerKey,
        /// When the occurrence was due by the schedule.
        scheduled: DateTime<Utc>,
    },
    /// An occurrence of a trigger, whose first attempt failed, snoozed or was lost.
    Trigger {
        /// The trigger.
        trigger: TriggerKey,
        /// When the occurrence was due by the schedule.
        scheduled: DateTime<Utc>,
        /// When the trigger fired.
        fired: DateTime<Utc>,
    },
}

/// A run to be stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewRun {
    /// Made by the caller. A run whose id is known already is not stored again.
    pub id: RunId,
    /// The job.
    pub job: JobKey,
    /// The function of the job.
    pub job_type: Arc<str>,
    /// The job as it is to run if none of this name is stored; none for the one that the program of the node defines.
    pub detail: Option<Arc<JobDetail>>,
    /// Laid over the data of the job.
    pub data: JobData,
    /// When it is due.
    pub due: DateTime<Utc>,
    /// Of rows that are due at the same time, the one with the highest priority comes first.
    pub priority: i32,
    /// The queue.
    pub queue: Option<Arc<str>>,
    /// The job allows one run at a time. A stored job that says something else decides when the run is claimed.
    pub exclusive: bool,
    /// Another policy than that of the job; also that of a job whose lost runs are not repeated, since the store judges them.
    pub retry: Option<RetryPolicy>,
    /// Why there is this run.
    pub cause: Cause,
    /// Attempts that were made before it was stored.
    pub attempts: u32,
    /// What they have failed with.
    pub errors: Vec<AttemptError>,
    /// It goes before what became due up to so much earlier, in whole milliseconds; zero for no boost.
    pub boost: Duration,
    /// So long after its due time it expires, unless its first attempt has begun; none for never.
    pub expires: Option<Duration>,
    /// So long after its end it is kept at least, with its [output](super::Completion::output). None for as long as its kind of end is.
    pub keep: Option<Duration>,
    /// What attempts before it was stored have noted.
    pub noted: Option<Box<Noted>>,
    /// No more than so many runs may wait in its queue with this one; none for any number. Claimed, held and ended runs do not wait.
    pub most_waiting: Option<usize>,
    /// The present, for a boosted run. Without it the run counts as not due until a node finds it due.
    pub now: Option<DateTime<Utc>>,
    /// Its key, if it is unique.
    pub unique: Option<Box<NewKey>>,
    /// Its sequence, if it has one.
    pub sequence: Option<Box<RunSequence>>,
    /// Its limits.
    pub gates: Gates,
    /// It is held until these have ended. Each parent is stored, or an earlier run of the same call.
    pub after: Vec<Edge>,
    /// After the end of the last parent it is not due before this delay has passed, in whole milliseconds.
    pub delay: Duration,
    /// Whether it begins again after an attempt that was cut off.
    pub delivery: Delivery,
    /// The batch that it is in, or of whose end it tells.
    pub batch: Option<InBatch>,
    /// It is a batch.
    pub opens: Option<NewBatch>,
}

impl NewRun {
    /// A run of this job, due at `due`, as the job itself says it.
    pub fn of(id: RunId, job: &JobDetail, due: DateTime<Utc>) -> Self {
        Self {
            id,
            job: job.key().clone(),
            job_type: job.shared_job_type().clone(),
            detail: None,
            data: JobData::new(),
            due,
            priority: crate::trigger::DEFAULT_PRIORITY,
            queue: job.queue().cloned(),
            exclusive: job.disallow_concurrent(),
            retry: job.ends_when_lost().cloned(),
            cause: Cause::Enqueued,
            attempts: 0,
            errors: Vec::new(),
            unique: None,
            sequence: None,
            gates: Gates::default(),
            after: Vec::new(),
            delay: Duration::ZERO,
            batch: None,
            opens: None,
            boost: job.boost().unwrap_or_default(),
            expires: job.expires(),
            keep: job.keep(),
            delivery: job.delivery(),
            noted: None,
            most_waiting: None,
            now: None,
        }
    }

    /// The run of a trigger's firing that this execution was the first attempt of. It has no boost and does not expire, as its trigger, and
    /// nobody waits for its output.
    pub fn of_firing(
        execution: ExecutionId,
        job: &Arc<JobDetail>,
        trigger: &Trigger,
        scheduled: DateTime<Utc>,
        fired: DateTime<Utc>,
    ) -> Self {
        let cause = Cause::Trigger { trigger: trigger.key().clone(), scheduled, fired };
        Self {
            detail: Some(job.clone()),
            data: trigger.data().clone(),
            priority: trigger.priority(),
            queue: trigger.queue().cloned(),
            cause,
            boost: Duration::ZERO,
            expires: None,
            keep: None,
            delivery: Delivery::default(),
            ..Self::of(RunId::new(execution.session(), execution.count()), job, scheduled)
        }
    }
}

/// What has become of a run that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Enqueued {
    /// It is stored.
    Created,
    /// Nothing was stored: this run is there already. It has the same id, as after a call whose answer was lost, or the same key.
    Existing(RunId),
    /// This run, which has the same key, does what the new one was to do.
    Replaced(RunId),
}

/// A run that was claimed. Its attempt has begun: there is nothing to fire.
#[derive(Debug, Clone)]
pub struct AcquiredRun {
    /// The claim.
    pub claim: ExecutionId,
    /// The run.
    pub run: RunId,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    /// The batch that it is in, or of whose end it tells.
    pub batch: Option<RunId>,
    /// The job, if one of this name is stored, or as the run brings it along.
    pub job: Option<Arc<JobDetail>>,
    /// The function of the job.
    pub job_type: Arc<str>,
    /// What the attempt shows as its trigger: that of the occurrence which is tried again, otherwise one named by the run.
    pub trigger: Arc<Trigger>,
    /// The trigger of the occurrence that is tried again; none for a run that was enqueued or started by hand.
    pub occurrence_of: Option<TriggerKey>,
    /// Why there is this attempt.
    pub cause: FiringCause,
    /// When the attempt was due.
    pub due: DateTime<Utc>,
    /// When the run was due by the schedule of its trigger; for a run without one, when the attempt was due.
    pub scheduled: DateTime<Utc>,
    /// When the first attempt of the run began; none if this is the first one that counts.
    pub first: Option<DateTime<Utc>>,
    /// Another policy than that of the job.
    pub retry: Option<RetryPolicy>,
    /// What the attempts before have failed with, the latest last. Empty for the first attempt.
    pub errors: Vec<AttemptError>,
    /// How far the attempts before have got, as JSON.
    pub checkpoint: Option<Arc<str>>,
    /// How many attempts before were interrupted.
    pub interruptions: u32,
    /// Whether the run begins again if this attempt is cut off.
    pub delivery: Delivery,
}

/// What becomes of a run whose attempt has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It has succeeded, and leaves no record unless it is [kept](NewRun::keep).
    #[default]
    Over,
    /// Its job was not called, or has said that nobody needs to look at its error. It leaves no record unless it is kept.
    Discarded,
    /// It waits for another attempt.
    Again {
        /// When that is due.
        at: DateTime<Utc>,
        /// Whether the attempt counts. One that snoozed, or was interrupted by a shutdown, does not.
        counts: bool,
        /// What the attempt failed with.
        error: Option<Box<AttemptError>>,
    },
    /// Somebody has cancelled it. A stored run is kept for a while, and can be replayed; an occurrence of a trigger leaves nothing.
    Cancelled,
    /// No retry is left. It is kept for a while, and can be replayed.
    Dead {
        /// What its last attempt failed with.
        error: Option<Box<AttemptError>>,
    },
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunQuery {
    /// Only these; empty for all.
    pub ids: Vec<RunId>,
    /// Only those of this job.
    pub job: Option<JobKey>,
    /// Only those in this state. Ended runs are listed by the time of their end, the latest first; others in the order of the store.
    pub state: Option<RunState>,
    /// Only those that have ended like this.
    pub end: Option<RunEnd>,
    /// Only those of this queue; `Some(None)` for those without one.
    pub queue: Option<Option<Arc<str>>>,
    /// Only those whose last error has this in it.
    pub error: Option<Arc<str>>,
    /// Only occurrences of this trigger that are tried again, or were.
    pub trigger: Option<TriggerKey>,
    /// Only those of this batch, as far as they are stored: a run that has succeeded is not.
    pub batch: Option<RunId>,
    /// Only those that ended at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Only those that ended before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only those from here on: the [`next`](super::Page::next) of the page before.
    pub after: Option<RunCursor>,
    /// At most so many on a page; by default [`PAGE_SIZE`](super::PAGE_SIZE), and never more than
    /// [`MAX_PAGE_SIZE`](super::MAX_PAGE_SIZE). A query with `ids` has no limit by default.
    pub limit: Option<usize>,
    /// Whether the [output](RunStatus::output) of each run is shown, which may be long. Default: no, except for [`one`](Self::one).
    pub with_output: bool,
    /// Whether the [log](RunStatus::log) of each run is shown. Default: no.
    pub with_log: bool,
    /// The present, so that a run whose time to begin is over counts as expired before a node has found it; none for runs as they are
    /// stored. A [`Client`](crate::Client) sets it.
    pub now: Option<DateTime<Utc>>,
}

impl RunQuery {
    /// The number of items of a page, for a store.
    pub fn page_size(&self) -> usize {
        if self.ids.is_empty() { page_size(self.limit) } else { self.limit.unwrap_or(usize::MAX) }
    }

    /// Only those of this job.
    #[must_use]
    pub fn of_job(self, job: JobKey) -> Self {
        Self { job: Some(job), ..self }
    }

    /// Only those in this state.
    #[must_use]
    pub fn in_state(self, state: RunState) -> Self {
        Self { state: Some(state), ..self }
    }

    /// Only those that have ended like this.
    #[must_use]
    pub fn that_are(self, end: RunEnd) -> Self {
        Self { state: Some(RunState::Ended), end: Some(end), ..self }
    }

    /// All dead runs, the latest first.
    pub fn dead() -> Self {
        Self::default().that_are(RunEnd::Dead)
    }

    /// Only those without a queue.
    #[must_use]
    pub fn without_queue(self) -> Self {
        Self { queue: Some(None), ..self }
    }

    /// Only those of this queue.
    #[must_use]
    pub fn of_queue(self, queue: impl Into<Arc<str>>) -> Self {
        Self { queue: Some(Some(queue.into())), ..self }
    }

    /// Only occurrences of this trigger that are tried again, or were.
    #[must_use]
    pub fn of_trigger(self, trigger: TriggerKey) -> Self {
        Self { trigger: Some(trigger), ..self }
    }

    /// Only those of this batch, in any order unless only ended runs are meant. A store finds them by an index. A run that ends while pages are
    /// read may be left out.
    #[must_use]
    pub fn of_batch(self, batch: RunId) -> Self {
        Self { batch: Some(batch), ..self }
    }

    /// Only those that ended in this time: from its begin on, and before its end.
    #[must_use]
    pub fn ended_in(self, time: std::ops::Range<DateTime<Utc>>) -> Self {
        Self { from: Some(time.start), until: Some(time.end), ..self }
    }

    /// Only those whose last error has this in it.
    #[must_use]
    pub fn with_error(self, part: impl Into<Arc<str>>) -> Self {
        Self { error: Some(part.into()), ..self }
    }

    /// Runs as they are seen at this time: a run whose time to begin is over has expired, whether a node has found that or not.
    #[must_use]
    pub fn as_of(self, now: DateTime<Utc>) -> Self {
        Self { now: Some(now), ..self }
    }

    /// For a store: the ends that the query may mean, whose runs are listed by the time of their end; none if it means others, too.
    pub fn ends(&self) -> Option<Vec<RunEnd>> {
        match (self.end, self.state) {
            (Some(end), _) => Some(vec![end]),
            (None, Some(RunState::Ended)) => Some(RunEnd::ALL.to_vec()),
            _ => None,
        }
    }

    /// Shows what the jobs of the runs have returned.
    #[must_use]
    pub fn with_output(self) -> Self {
        Self { with_output: true, ..self }
    }

    /// Shows what the jobs of the runs have logged.
    #[must_use]
    pub fn with_log(self) -> Self {
        Self { with_log: true, ..self }
    }

    /// Only this one.
    pub fn one(id: RunId) -> Self {
        Self { ids: vec![id], with_output: true, ..Self::default() }
    }
}

/// Where a list of runs goes on.
///
/// A store that keeps its runs in the order of their ids only needs the last id. Another one goes through them in an order of
/// its own, and notes where it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunCursor {
    /// The last id of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RunId>,
    /// Where the store is in its own order.
    #[serde(default)]
    pub scan: u64,
}

impl RunCursor {
    /// From this place of the store's own order on, there behind this id.
    pub fn in_scan(scan: u64, after: Option<RunId>) -> Self {
        Self { after, scan }
    }
}

impl From<RunId> for RunCursor {
    /// Behind this id.
    fn from(id: RunId) -> Self {
        Self::in_scan(0, Some(id))
    }
}

/// A run as it is stored.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RunStatus {
    /// The run.
    pub id: RunId,
    /// The job.
    pub job: JobKey,
    /// The function of the job, unless a stored job of this name says something else.
    pub job_type: Arc<str>,
    /// The job allows one run at a time, unless a stored job of this name says something else.
    pub exclusive: bool,
    /// Its state.
    pub state: RunState,
    /// How it ended, if it has.
    pub end: Option<RunEnd>,
    /// When it ended, if it has.
    pub ended: Option<DateTime<Utc>>,
    /// Until when it is kept, if it has ended.
    pub kept_until: Option<DateTime<Utc>>,
    /// By how much it goes before others.
    #[serde(rename = "boost_ms", serialize_with = "crate::stored::millis_or_none")]
    pub boost: Option<Duration>,
    /// When it expires unless its first attempt has begun by then.
    pub expires: Option<DateTime<Utc>>,
    /// Its queue.
    pub queue: Option<Arc<str>>,
    /// Its priority.
    pub priority: i32,
    /// When its next attempt is due, or the last one was.
    pub due: DateTime<Utc>,
    /// Attempts that have ended and count.
    pub attempts: u32,
    /// How often somebody has run it again after its end.
    pub replays: u32,
    /// How many attempts were interrupted, by a shutdown or since their node had lost its claims. They do not count.
    pub interruptions: u32,
    /// What the last attempt failed with.
    pub last_error: Option<Arc<str>>,
    /// What the latest attempts have failed with, in their order; at most [`AttemptError::MOST`].
    pub errors: Vec<AttemptError>,
    /// The data that is laid over that of the job.
    pub data: JobData,
    /// Its key, if it is unique.
    pub key: Option<Arc<str>>,
    /// Its sequence, if it has one.
    pub sequence: Option<Arc<str>>,
    /// The run of its sequence for which it waits.
    pub behind: Option<RunId>,
    /// Its limits, as they were when it was enqueued.
    pub limits: Vec<RunLimit>,
    /// The key by which it takes turns with other runs of its queue, if it has one.
    pub fair: Option<Arc<str>>,
    /// What its job has returned, as JSON. Only shown if the query [asks for it](RunQuery::with_output).
    pub output: Option<Arc<str>>,
    /// How far its attempts have got, as JSON. At most 4 KiB.
    pub checkpoint: Option<Arc<str>>,
    /// How far its last attempt has got, for people.
    pub progress: Option<RunProgress>,
    /// What its attempts have logged, if its job [logs](crate::job::JobDetail::log). Only shown if the query [asks for it](RunQuery::with_log).
    pub log: Option<Arc<RunLog>>,
    /// Why there is this run.
    pub cause: Cause,
    /// The runs for which it waits; of a run that was cancelled since one of them has not ended as it has to, those with that one.
    pub parents: Vec<Edge>,
    /// The batch that it is in.
    pub member_of: Option<RunId>,
    /// Its state as a batch, if it is one.
    pub batch: Option<BatchState>,
    /// The last change that somebody has made, if that was noted [with an author or a reason](super::NotedChange).
    pub changed: Option<ChangeNote>,
}

impl RunStatus {
    /// As a query sees it: a run whose time to begin is over has expired, and long outputs do not belong into long lists.
    pub(super) fn seen_by(mut self, query: &RunQuery) -> Self {
        self.output = self.output.filter(|_| query.with_output);
        self.log = self.log.filter(|_| query.with_log);
        self.at(query.now)
    }

    fn at(self, now: Option<DateTime<Utc>>) -> Self {
        let waits = matches!(self.state, RunState::Waiting | RunState::Held);
        let is_over = now.zip(self.expires).is_some_and(|(now, expires)| waits && expires <= now);
        let (state, end) = (RunState::Ended, Some(RunEnd::Expired));
        if is_over { Self { state, end, ended: self.expires, expires: None, ..self } } else { self }
    }
}
