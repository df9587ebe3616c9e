//! The store of a single process: everything in memory, behind one short lock.
//!
//! The lock is private to [`MemoryJobStore`], is taken once per verb and never held across an await or a call of
//! foreign code; the node's wake-up is called after it is released.

mod query;
mod table;

use std::fmt::{self, Debug};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::contract::*;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use table::Table;

/// How to use this store: triggers are claimed when they are due, and a claim is fired at once.
const USE: Attached = Attached { look_ahead: Duration::ZERO, grace: Duration::from_secs(30) };

/// A job store in memory, gone with its process.
///
/// The default of a scheduler. Nothing is lost while the process lives; for anything longer, or for several nodes,
/// take a store that is kept elsewhere.
#[derive(Default)]
pub struct MemoryJobStore {
    table: Mutex<Table>,
    nodes: Mutex<Vec<Node>>,
}

impl MemoryJobStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn call<T: Send + 'static>(&self, verb: impl FnOnce(&mut Table) -> T) -> StoreFuture<'_, T> {
        let result = verb(&mut self.table.lock());
        Box::pin(ready(Ok(result)))
    }

    /// As [`call`](Self::call), for verbs that may bring a due time forward.
    fn change<T: Send + 'static>(&self, verb: impl FnOnce(&mut Table) -> T) -> StoreFuture<'_, T> {
        let result = self.call(verb);
        let nodes: Vec<_> = self.nodes.lock().iter().map(|node| node.wake.clone()).collect();
        nodes.iter().for_each(|wake| wake());
        result
    }
}

impl JobStore for MemoryJobStore {
    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        let mut nodes = self.nodes.lock();
        nodes.retain(|known| known.session != node.session);
        nodes.push(node);
        Box::pin(ready(Ok(USE)))
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        self.call(|table| table.acquire(&request, USE))
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.call(|table| request.firings.into_iter().map(|firing| table.fire(firing)).collect())
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.call(|table| request.executions.iter().map(|completion| table.complete(completion)).collect())
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.change(|table| claims.into_iter().for_each(|claim| table.release(claim)))
    }

    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        let stored = self.table.lock().put(request);
        if let Err(error) = stored {
            return Box::pin(ready(Err(error)));
        }
        self.change(|_| ())
    }

    fn remove_triggers(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        self.call(|table| keys.iter().map(|key| table.remove_trigger(key)).collect())
    }

    fn remove_jobs(&self, keys: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        self.call(|table| keys.iter().map(|key| table.remove_job(key)).collect())
    }

    fn pause(&self, what: Selection) -> StoreFuture<'_, usize> {
        self.call(|table| table.pause(&what))
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, usize> {
        self.change(|table| table.resume(&what))
    }

    fn reset(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        self.change(|table| keys.iter().map(|key| table.reset(key)).collect())
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>> {
        self.call(|table| table.list_jobs(&query))
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>> {
        self.call(|table| table.list_triggers(&query))
    }
}

impl Debug for MemoryJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.lock();
        f.debug_struct("MemoryJobStore")
            .field("jobs", &table.job_count())
            .field("triggers", &table.trigger_count())
            .finish()
    }
}
