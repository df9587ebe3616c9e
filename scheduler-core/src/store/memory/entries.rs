//! The names of what a transaction has changed, and what each of them is by then.
#![allow(missing_docs, reason = "the names say it, and nobody but drivers sees them")]

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::calendar::Calendar;
use crate::key::{JobKey, TriggerKey};
use crate::run::{BatchCounts, GateId, RateState, RunId};
use crate::store::admin::Mark;
use crate::store::counts::{CountKey, CountStep, Durations};
use crate::store::firings::FiringRecord;
use crate::store::limits::LimitOverride;
use crate::store::pauses::Pauses;
use crate::store::rows::*;

/// Something that is stored, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    Job(JobKey),
    Trigger(TriggerKey),
    Run(RunId),
    Claim(u64),
    /// The counters of a batch.
    Batch(RunId),
    /// The attempts of a rate, and until when nobody enters.
    Gate(GateId),
    Cap(GateId),
    Calendar(Arc<str>),
    Mark(Arc<str>),
    Pauses,
    /// Counters of attempts, by the begin of their bucket in seconds.
    Counts(CountStep, i64),
}

/// What has changed since it was taken last.
#[derive(Debug, Default)]
pub struct Journal {
    /// Whatever is not there any more was removed.
    pub entries: BTreeSet<Entry>,
    /// New firing records, in their order.
    pub firings: Vec<FiringRecord>,
    /// Runs whose end clients may wait for.
    pub told: Vec<RunId>,
    /// Other nodes may find something to take.
    pub is_woken: bool,
}

/// What an entry is by now.
#[derive(Debug)]
pub enum Stored<'a> {
    Gone,
    Job(&'a JobRow),
    Trigger(&'a TriggerRow),
    Run(&'a RunRow),
    Claim(&'a ClaimRow),
    /// And whether a rule has yet to look at it.
    Batch(BatchCounts, bool),
    Gate(GateState),
    Cap(&'a LimitOverride),
    Calendar(&'a Arc<dyn Calendar>),
    Mark(&'a Mark),
    Pauses(&'a Pauses),
    Counts(Vec<CountRow>),
}

/// What is to be remembered of a gate, in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateState {
    pub rate: RateState,
    /// Nobody enters before this time.
    pub shut: i64,
    /// From then on there is nothing to be remembered.
    pub idle_at: i64,
}

/// A counter of a bucket.
pub type CountRow = (CountKey, u64, Durations, DateTime<Utc>);
