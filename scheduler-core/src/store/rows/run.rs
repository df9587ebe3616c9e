//! The row of a run: one piece of work to be done once. It is stored while it waits, while it is held, and after its end if it is
//! kept.
//!
//! A claim does not change the row of the run that it claims: the row says *waiting* while a node runs it, and whoever ends the attempt
//! writes what becomes of the run. So a node that dies leaves a row that is as it was before, and an attempt is counted once, by whoever
//! ends it or takes it over.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::lateness::{Lateness, whole_millis};
use super::line::{Line, LinePlace};
use super::links::{Batching, Links};
use super::notes::Notes;
use super::place::{Lane, Place};
use crate::data::JobData;
use crate::job::JobDetail;
use crate::key::{JobKey, TriggerKey};
use crate::run::{
    AttemptError, Delivery, FailureKind, FiringCause, Gates, RetryPolicy, RunEnd, RunId, RunKey, RunState,
};
use crate::store::change_note::ChangeNote;
use crate::store::limits::RunLimit;
use crate::store::runs::{Cause, NewRun, RunStatus};
use crate::trigger::{Recovery, Trigger};

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

/// A run.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// Stable over attempts.
    pub id: RunId,
    /// The job that runs.
    pub job: JobKey,
    /// The function of the job.
    pub job_type: Arc<str>,
    /// The queue.
    pub queue: Option<Arc<str>>,
    /// Laid over the data of the job.
    pub data: JobData,
    /// When its next attempt is due.
    pub due: DateTime<Utc>,
    /// Of rows that are due at the same time, the one with the highest priority comes first.
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
    pub(in crate::store) cold: Option<Box<RareFields>>,
}

/// What most runs do not have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::store) struct RareFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<Arc<JobDetail>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<AttemptError>,
    /// When the first attempt that counts began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) replays: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<RunKey>,
    /// Its first attempt has begun, and its key was only taken until then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_key_free: bool,
    /// It waits for the end of the run that has its key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) follows: bool,
    /// A run waits for its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_followed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<Box<Line>>,
    /// It has ended, and is kept only since its key is still taken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_only_key: bool,
    /// It is held because its trigger was paused when it was due.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_paused: bool,
    /// Attempts that were lost with their nodes, one after the other.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) losses: u32,
    /// Attempts that were interrupted.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) interruptions: u32,
    /// Whether it begins again after an attempt that was cut off.
    #[serde(skip_serializing_if = "Delivery::is_default")]
    pub(super) delivery: Delivery,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<DateTime<Utc>>,
    /// Until when it is kept after its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kept_until: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lateness: Option<Box<Lateness>>,
    /// What it needs to begin. A record has it in front, where a driver finds it.
    #[serde(skip)]
    pub(in crate::store) gates: Gates,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) links: Option<Box<Links>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batching: Option<Box<Batching>>,
    /// What an attempt has noted, and what becomes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notes: Option<Box<Notes>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changed: Option<Box<ChangeNote>>,
}

/// Where an ended run stands among those of the same end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Grows with the time of the end. Less than 2⁵³, so that a double can hold it.
    pub number: u64,
    /// The run.
    pub run: RunId,
}

impl Rank {
    /// Behind all others.
    pub(in crate::store) const LAST: Self = Self { number: u64::MAX, run: RunId::new(u64::MAX, u64::MAX) };
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl RunRow {
    /// A run that waits for its next attempt.
    pub fn new(run: NewRun, lane: Lane) -> Self {
        let NewRun { id, job, job_type, detail, data, due, priority, queue, exclusive, .. } = run;
        let NewRun {
            retry,
            cause,
            attempts,
            errors,
            unique,
            boost,
            expires,
            keep,
            noted,
            now,
            sequence,
            gates,
            after,
            delay,
            batch,
            opens,
            delivery,
            ..
        } = run;
        let key = unique.map(|unique| unique.key);
        let cause = (cause != Cause::Enqueued).then_some(cause);
        let lateness = Lateness::of(boost, expires, gates.fair().is_some())
            .map(|lateness| Box::new(lateness.due(due, now)));
        let line = sequence.map(|sequence| Box::new(Line { sequence: *sequence, place: LinePlace::Out }));
        let links = Links::of(after, delay).map(Box::new);
        let batching = Batching::of(batch.as_ref(), opens.as_ref()).map(Box::new);
        let notes = Notes::of(keep, noted).map(Box::new);
        let waits = links.is_none() && opens.is_none();
        let cold = RareFields {
            cause,
            detail,
            retry,
            errors,
            key,
            lateness,
            line,
            gates,
            links,
            batching,
            notes,
            delivery,
            ..RareFields::default()
        };
        let cold = (cold != RareFields::default()).then(|| Box::new(cold));
        let (standing, epoch) = (if waits { Standing::Waiting } else { Standing::Held }, 0);
        Self {
            id,
            job,
            job_type,
            queue,
            data,
            due,
            priority,
            standing,
            attempts,
            exclusive,
            epoch,
            lane,
            cold,
        }
    }

    /// Where it is found when its time has come; none if it does not wait for a time, or is [later](Self::is_later).
    pub fn place(&self) -> Option<Place> {
        let waits = self.standing == Standing::Waiting && !self.is_later();
        let at = self.lateness().map_or(self.due, |lateness| lateness.place(self.due));
        let rank = Reverse(self.priority);
        waits.then_some(Place { lane: self.lane, at, rank, exclusive: self.exclusive })
    }

    fn lateness(&self) -> Option<&Lateness> {
        self.cold.as_deref()?.lateness.as_deref()
    }

    pub(super) fn edit_lateness(&mut self, edit: impl FnOnce(&mut Lateness)) {
        if let Some(lateness) = self.cold.as_mut().and_then(|cold| cold.lateness.as_deref_mut()) {
            edit(lateness);
        }
    }

    /// By how much it goes before others.
    pub fn boost(&self) -> Option<Duration> {
        self.lateness()?.boost()
    }

    /// Whether it is boosted or takes turns, and waits for its due time in no lane, so that nobody takes it early. Such a run is never claimed.
    pub fn is_later(&self) -> bool {
        self.standing == Standing::Waiting && self.lateness().is_some_and(Lateness::is_later)
    }

    /// It waits for this due time from now on. A run that is boosted or takes turns, and is not due yet, waits in no lane.
    pub fn wait_for(&mut self, due: DateTime<Utc>, now: DateTime<Utc>) {
        self.due = due;
        self.edit_lateness(|lateness| *lateness = lateness.due(due, Some(now)));
    }

    /// When it expires unless its first attempt has begun by then; none if it does not expire, or has ended.
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        let may_expire = self.end().is_none() && self.attempts == 0 && !self.has_parents();
        self.lateness()?.deadline(self.due).filter(|_| may_expire)
    }

    /// Whether it has expired, unless its first attempt has begun in time: a claim says that.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    /// Whether a node that takes work until then must not begin it: it has expired, or is boosted or takes turns and is not due yet.
    pub fn may_not_begin(&self, now: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        let is_early = |lateness: &Lateness| self.due > until.max(now) && lateness.stands_early();
        self.lateness().is_some_and(|lateness| self.is_expired(now) || is_early(lateness))
    }

    /// An attempt has begun, so the run does not expire any more, also if the attempt does not count.
    pub fn note_beginning(&mut self) {
        self.edit_lateness(Lateness::begin);
    }

    /// Whether its claim keeps it from expiring, so that no alarm is needed.
    pub fn set_kept_alive(&mut self, is_kept: bool) {
        self.edit_lateness(|lateness| lateness.set_kept_alive(is_kept));
    }

    /// What an attempt shows as its trigger: that of the occurrence which is tried again, otherwise one named by the run.
    pub fn trigger(&self) -> Trigger {
        let (cause, losses) = (self.cause(), self.losses());
        let recovery = match cause {
            Cause::Trigger { trigger, scheduled, fired } if losses > 0 => {
                let (trigger, scheduled, fired) = (trigger.clone(), *scheduled, *fired);
                Some(Box::new(Recovery { trigger, scheduled, fired, count: losses }))
            }
            _ => None,
        };
        let key = match cause {
            Cause::Trigger { trigger, .. } | Cause::Backfill { trigger, .. } => trigger.clone(),
            Cause::Enqueued | Cause::Manual => self.id.name_beside(&self.job),
        };
        let (data, queue) = (self.data.clone(), self.queue.clone());
        Trigger::of_run(key, &self.job, self.due, self.priority, data, queue, recovery)
    }

    /// When the run was due by the schedule of its trigger; for a run without one, when the attempt is due.
    pub fn scheduled(&self) -> DateTime<Utc> {
        match self.cause() {
            Cause::Trigger { scheduled, .. } | Cause::Backfill { scheduled, .. } => *scheduled,
            _ => self.due,
        }
    }

    /// What people see of it.
    pub fn status(&self, is_claimed: bool) -> RunStatus {
        RunStatus {
            id: self.id,
            job: self.job.clone(),
            job_type: self.job_type.clone(),
            exclusive: self.exclusive,
            state: self.standing.state(is_claimed),
            end: self.end(),
            ended: self.ended(),
            kept_until: self.kept_until(),
            boost: self.boost(),
            expires: self.expires(),
            queue: self.queue.clone(),
            priority: self.priority,
            due: self.due,
            attempts: self.attempts,
            replays: self.replays(),
            interruptions: self.interruptions(),
            last_error: self.errors().last().map(|error| error.text.clone()),
            errors: self.errors().to_vec(),
            data: self.data.clone(),
            key: self.key().map(|key| key.text.clone()),
            sequence: self.sequence().map(|sequence| sequence.text.clone()),
            behind: self.behind(),
            limits: self.gates().iter().map(RunLimit::of).collect(),
            fair: self.gates().fair().cloned(),
            output: self.output().cloned(),
            checkpoint: self.checkpoint().cloned(),
            progress: self.progress().cloned(),
            log: self.log().cloned(),
            cause: self.cause().clone(),
            parents: self.parents().to_vec(),
            member_of: self.member_of(),
            batch: self.batch_state(),
            changed: self.last_change().cloned(),
        }
    }

    /// Why there is this run.
    pub fn cause(&self) -> &Cause {
        self.cold.as_deref().and_then(|cold| cold.cause.as_ref()).unwrap_or(&Cause::Enqueued)
    }

    /// The trigger of the occurrence that is tried again; none if nobody but a caller is the reason for the run.
    pub fn occurrence_of(&self) -> Option<&TriggerKey> {
        match self.cause() {
            Cause::Trigger { trigger, .. } => Some(trigger),
            _ => None,
        }
    }

    /// Why there is its next attempt, or the one under way.
    pub fn cause_of_attempt(&self) -> FiringCause {
        match self.cause() {
            _ if self.losses() > 0 => FiringCause::Recovery,
            _ if self.attempts > 0 => FiringCause::Retry,
            Cause::Enqueued if self.replays() == 0 && self.is_child() => FiringCause::Continuation,
            Cause::Enqueued if self.replays() == 0 => FiringCause::Enqueued,
            Cause::Trigger { .. } if self.replays() == 0 => FiringCause::Schedule,
            Cause::Backfill { .. } if self.replays() == 0 => FiringCause::Backfill,
            _ => FiringCause::Manual,
        }
    }

    /// The job as it is to run if none of this name is stored.
    pub fn detail(&self) -> Option<&Arc<JobDetail>> {
        self.cold.as_deref()?.detail.as_ref()
    }

    /// How often it is tried again; none for the policy of its job.
    pub fn retry(&self) -> Option<&RetryPolicy> {
        self.cold.as_deref()?.retry.as_ref()
    }

    /// Whether the run is over once an attempt is lost with its node.
    pub fn ends_when_lost(&self) -> bool {
        let is_retried = self.retry().is_none_or(|policy| policy.retries(FailureKind::Lost));
        !is_retried || self.delivery() == Delivery::AtMostOnce
    }

    /// When the first attempt that counts began; none if no attempt has ended yet that does.
    pub fn first(&self) -> Option<DateTime<Utc>> {
        self.cold.as_deref()?.first
    }

    /// An attempt that counts began at this time.
    pub fn note_attempt(&mut self, began: DateTime<Utc>) {
        self.cold().first.get_or_insert(began);
    }

    /// What the latest attempts have failed with, in their order.
    pub fn errors(&self) -> &[AttemptError] {
        self.cold.as_deref().map_or(&[], |cold| &cold.errors)
    }

    /// One more attempt has failed.
    pub fn push_error(&mut self, error: AttemptError) {
        let errors = &mut self.cold().errors;
        let too_many = (errors.len() + 1).saturating_sub(AttemptError::MOST);
        errors.drain(..too_many);
        errors.push(error);
    }

    /// How often somebody has run it again after its end.
    pub fn replays(&self) -> u32 {
        self.cold.as_deref().map_or(0, |cold| cold.replays)
    }

    /// How it has ended, if it has.
    pub const fn end(&self) -> Option<RunEnd> {
        match self.standing {
            Standing::Ended(end) => Some(end),
            Standing::Waiting | Standing::Held => None,
        }
    }

    /// When it ended, if it has; in whole milliseconds.
    pub fn ended(&self) -> Option<DateTime<Utc>> {
        self.end().and(self.cold.as_deref()?.ended)
    }

    /// Until when it is kept after its end.
    pub fn kept_until(&self) -> Option<DateTime<Utc>> {
        self.end().and(self.cold.as_deref()?.kept_until)
    }

    /// When a rule is to look at it: it is boosted and due, it expires, it is a batch that nobody has sealed in time, the time for which it is kept after its end is over, or there are
    /// more runs that wait for it than one step touches.
    pub fn alarm(&self) -> Option<DateTime<Utc>> {
        let cold = self.cold.as_deref()?;
        if self.has_more_children() || self.is_cancelling() {
            return Some(DateTime::UNIX_EPOCH);
        }
        match self.standing {
            // A key that is taken for a time is looked at when the time is over.
            Standing::Ended(_) => {
                cold.kept_until.into_iter().chain(cold.key.as_ref().and_then(|key| key.until)).min()
            }
            Standing::Waiting if self.is_later() => Some(whole_millis(self.due)),
            Standing::Held if self.is_batch() => self.open_until().map(whole_millis),
            Standing::Waiting | Standing::Held => {
                let expires = || self.expires().map(whole_millis);
                self.lateness().filter(|lateness| !lateness.is_kept_alive()).and_then(|_| expires())
            }
        }
    }

    /// Where it stands among the runs of the same end, if it has ended. Runs that end in one millisecond have mostly different numbers, so
    /// that a driver whose order is that of numbers need not go through all of them.
    pub fn rank(&self) -> Option<(RunEnd, Rank)> {
        let end = self.end().filter(|_| !self.is_only_key() && !self.has_more_children())?;
        let millis = self.ended().unwrap_or_default().timestamp_millis();
        let millis = u64::try_from(millis).unwrap_or_default().min((1 << 43) - 1);
        let number = (millis << 10) | (self.id.scatter(0) % (1 << 10));
        Some((end, Rank { number, run: self.id }))
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

    pub(super) fn cold(&mut self) -> &mut RareFields {
        self.cold.get_or_insert_default()
    }
}
