//! The verbs of a job store.

use std::collections::{BTreeSet, HashSet};
use std::fmt::{self, Debug};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::end_signals::EndSignal;
use super::firing::*;
use super::queues::QueueFilter;
use super::requests::{Change, Changed, Found, Query};
use crate::calendar::Calendar;
use crate::error::Result;
use crate::job::{CancelReason, ExecutionId};
use crate::run::RunId;
use crate::time::Clock;

/// What every verb returns.
///
/// # Cancel safety
///
/// Dropping it leaves open whether the call took effect; every verb may be repeated.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A calendar with its name.
pub type NamedCalendar = (Arc<str>, Arc<dyn Calendar>);

/// A place where jobs, triggers and calendars live, shared by the nodes of a scheduler.
///
/// Each verb is atomic: it happens as a whole or not at all, and never half. A store whose server must not be held up may do a
/// verb that touches more than 500 jobs or triggers in several parts, each of which is atomic; it checks all of a
/// [`put`](super::Changes::put) before it stores the first part. Results come in the order of the parameters, one each. Futures are polled on the scheduler's own thread, inside the runtime's context.
pub trait JobStore: Debug + Send + Sync + 'static {
    /// The clock that its nodes go by, where that is not each one's own.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        None
    }

    /// Whether everything in it is gone with the process. A scheduler then finishes what is due before it shuts down. Default:
    /// false.
    fn forgets(&self) -> bool {
        false
    }

    /// What keeps it from working at this moment, as far as it is known without asking; none while it works.
    fn trouble(&self) -> Option<Arc<str>> {
        None
    }

    /// Makes a node known before it uses any other verb.
    fn attach(&self, node: Node) -> StoreFuture<'_, Attached>;

    /// Forgets a node that has ended, with whatever claims it still has.
    fn detach(&self, session: u64) -> StoreFuture<'_, ()>;

    /// Claims due triggers and runs, in the order of due time, then higher priority, then triggers before runs, then key or id; of late
    /// ones no more than their [share](AcquireDue::late) before the punctual ones.
    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired>;

    /// Exchanges claims for the right to run, and moves each trigger on. A claim that was fired before, by a call whose
    /// reply was lost, is answered the same again.
    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>>;

    /// Ends executions. A repeated or late completion is answered [`CompleteResult::Gone`] and changes nothing.
    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>>;

    /// Gives back claims: those that were not fired, and runs that have not begun. Unknown ones are ignored.
    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()>;

    /// Changes what is stored, as a user asks for it. [`Changes`](super::Changes) has a method for each.
    fn change(&self, change: Change) -> StoreFuture<'_, Changed>;

    /// Reads what is stored. [`Queries`](super::Queries) has a method for each.
    fn query(&self, query: Query) -> StoreFuture<'_, Found>;

    /// Tells a client when this run, which is [kept](super::NewRun::keep), may have ended, on whatever node. A signal may come too early,
    /// and may be lost between processes: a client looks now and then by itself. Default: no signal ever comes.
    fn listen(&self, _run: RunId) -> EndSignal {
        EndSignal::never()
    }
}

/// One life of one node.
#[derive(Clone)]
pub struct Node {
    /// Unique for this life; the first half of the ids of its claims.
    pub session: u64,
    /// A label for people.
    pub name: Arc<str>,
    /// The job types that it can run; none stands for all. Triggers of other jobs are left for nodes that can.
    pub types: Option<HashSet<Arc<str>>>,
    /// The queues from which it takes. Work of other queues is left for nodes that do.
    pub queues: QueueFilter,
    /// To be called when the earliest due time may have become earlier.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// To be called when a run of the node is to stop and cannot wait until it asks.
    pub stop: Arc<dyn Fn(ExecutionId, CancelReason) + Send + Sync>,
}

impl Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("session", &self.session)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a store knows of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodeStatus {
    /// One life of the node.
    pub session: u64,
    /// A label for people.
    pub name: Arc<str>,
    /// The version of the library that it runs.
    pub version: Arc<str>,
    /// The job types that it can run; none stands for all.
    pub types: Option<BTreeSet<Arc<str>>>,
    /// The queues from which it takes.
    pub queues: QueueFilter,
    /// How many runs it has under way.
    pub executions: usize,
    /// For how long nothing was heard of it.
    #[serde(rename = "silent_ms", serialize_with = "crate::stored::millis")]
    pub silent: Duration,
}

impl NodeStatus {
    /// What is known at once of a node of this version.
    pub fn new(node: &Node, version: &str, executions: usize, silent: Duration) -> Self {
        let types = node.types.as_ref().map(|types| types.iter().cloned().collect());
        Self {
            session: node.session,
            name: node.name.clone(),
            version: version.into(),
            types,
            queues: node.queues.clone(),
            executions,
            silent,
        }
    }
}

/// How the store wants to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// How far ahead of their due times triggers should be acquired: about two round trips.
    pub look_ahead: Duration,
    /// How many are acquired with one call at most. Where answers take time, smaller ones let a node begin sooner.
    pub batch: usize,
    /// How long after its due time a claim that was not fired lapses.
    pub grace: Duration,
    /// How long a run may take to stop that has lost its claim, before it is taken away; others may begin then.
    pub stop_within: Duration,
    /// Whether [records of firings](super::FiringRecord) are kept for [`firings`](super::Queries::firings).
    pub keeps_history: bool,
}

impl Attached {
    /// When a claim for a firing due at `due` lapses.
    pub fn lapse(&self, due: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let ahead = TimeDelta::from_std(self.look_ahead + self.grace).unwrap_or(TimeDelta::MAX);
        due.max(now).checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
