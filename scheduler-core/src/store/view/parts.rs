//! What a view is told, and what it wants to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::calendar::Calendar;
use crate::key::{DEFAULT_GROUP, InvalidKey, JobKey, TriggerKey};
use crate::run::{Retention, RunId, RunState};
use crate::store::admin::{GroupKind, Selection};
use crate::store::rows::*;

/// Something was not loaded; the view has noted what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing;

/// How a driver numbers what has a name.
pub trait Names {
    /// The number of the job of this name, whether it is there or not.
    fn job(&mut self, key: &JobKey) -> Id<JobRow>;
    /// The number of the trigger of this name, whether it is there or not.
    fn trigger(&mut self, key: &TriggerKey) -> Id<TriggerRow>;
    /// The number of the run of this id, whether it is there or not.
    fn run(&mut self, id: RunId) -> Id<RunRow>;
    /// The lane of work of this queue and job type.
    fn lane(&mut self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane;
    /// What a lane is that [`lane`](Self::lane) has given.
    fn lane_of(&self, lane: Lane) -> (Option<Arc<str>>, Arc<str>);
    /// A text that many rows have. A driver may give again what it gave before.
    fn text(&mut self, text: &str) -> Arc<str> {
        text.into()
    }
    /// The key of a job, which many rows have, as [`text`](Self::text).
    ///
    /// # Errors
    ///
    /// The group or the name is none.
    fn job_key(&mut self, group: &str, name: &str) -> Result<JobKey, InvalidKey> {
        JobKey::in_group(if group.is_empty() { DEFAULT_GROUP } else { group }, name)
    }
    /// A number that no other call gives for what has the same name.
    fn number(&mut self) -> u64;
    /// How long runs are kept after their end.
    fn retention(&self) -> Retention {
        Retention::default()
    }
}

/// A set of rows that a driver finds by an index of its own.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Set {
    /// Triggers. Those of a job are exactly these; of others there may be some that are not meant.
    Triggers(Selection),
    /// All jobs.
    Jobs,
    /// All claims.
    Claims,
    /// The claims of this node.
    ClaimsOf(u64),
    /// The claim of this trigger that is not fired yet.
    Unfired(Id<TriggerRow>),
    /// The claim of this run.
    OfRun(Id<RunRow>),
    /// The claim that holds this job, which allows one run at a time.
    Holder(JobKey),
    /// The runs that a query may mean, apart from those of which it knows the ids.
    Runs(Option<RunState>),
    /// The runs that have this tag, exactly; of more than so many, so many.
    Tagged(RunTag, usize),
    /// Triggers, claims and runs whose alarm has come by then, and batches that ring.
    Alarms(DateTime<Utc>),
    /// The oldest ended runs of which there are more than are kept.
    Excess,
}

/// What a view wants to have loaded.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Wants {
    /// Jobs.
    pub jobs: BTreeSet<Id<JobRow>>,
    /// Triggers.
    pub triggers: BTreeSet<Id<TriggerRow>>,
    /// Runs.
    pub runs: BTreeSet<Id<RunRow>>,
    /// Claims.
    pub claims: BTreeSet<Id<ClaimRow>>,
    /// Members of sets, and their rows.
    pub sets: Vec<Set>,
    /// How many triggers these jobs have.
    pub members: BTreeSet<Id<JobRow>>,
    /// The groups of these kinds, with the number of their members.
    pub groups: Vec<GroupKind>,
    /// A trigger that names this calendar.
    pub users: BTreeSet<Arc<str>>,
    /// How many runs wait in these queues.
    pub lengths: BTreeSet<Arc<str>>,
    /// The counters of these batches.
    pub counts: BTreeSet<RunId>,
    /// Pauses and calendars.
    pub rest: bool,
    /// Notes.
    pub marks: BTreeSet<Arc<str>>,
}

/// What there is one of in a store: remembered pauses and calendars.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Rest {
    /// What is remembered of pauses.
    pub pauses: Pauses,
    /// Calendars by name.
    pub calendars: BTreeMap<Arc<str>, Arc<dyn Calendar>>,
}

/// The members of a set.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// Jobs in it.
    pub jobs: Vec<Id<JobRow>>,
    /// Triggers in it.
    pub triggers: Vec<Id<TriggerRow>>,
    /// Runs in it.
    pub runs: Vec<Id<RunRow>>,
    /// Claims in it.
    pub claims: Vec<Id<ClaimRow>>,
    /// Batches in it that ring.
    pub batches: Vec<RunId>,
}
