//! What a view is told, and what it wants to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::calendar::Calendar;
use crate::key::{JobKey, TriggerKey};
use crate::store::admin::Selection;
use crate::store::rows::*;

/// Something was not loaded; the view has noted what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing;

/// How a driver numbers what has a name.
pub trait Names {
    /// The number of the job of this name, whether it is there or not.
    fn job(&self, key: &JobKey) -> Id<JobRow>;
    /// The number of the trigger of this name, whether it is there or not.
    fn trigger(&self, key: &TriggerKey) -> Id<TriggerRow>;
    /// The lane of triggers of this execution group and job type.
    fn lane(&self, group: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane;
    /// A number that no other call gives, on any node, larger than any before.
    fn number(&self) -> u64;
}

/// A set of rows that a driver finds by an index of its own.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Set {
    /// Triggers.
    Triggers(Selection),
    /// All jobs.
    Jobs,
    /// All claims.
    Claims,
    /// Triggers and claims whose alarm has come by then.
    Alarms(DateTime<Utc>),
}

/// What a view wants to have loaded.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Wants {
    /// Jobs.
    pub jobs: BTreeSet<Id<JobRow>>,
    /// Triggers.
    pub triggers: BTreeSet<Id<TriggerRow>>,
    /// Claims.
    pub claims: BTreeSet<Id<ClaimRow>>,
    /// Members of sets, and their rows.
    pub sets: Vec<Set>,
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
    /// Claims in it.
    pub claims: Vec<Id<ClaimRow>>,
}
