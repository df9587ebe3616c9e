//! The store of a single process: everything in memory, behind one short lock.
//!
//! There are two locks, that of the table and that of the nodes. Invariants:
//!
//! 1. Nobody holds both: each is released before the other is taken. So there is no order in which they could block each other.
//! 2. That of the table is taken once per verb.
//! 3. Neither is held across an await or a call of foreign code; the nodes' wake-up is called after both are released.

mod admin;
mod firing;
mod index;
mod lanes;
mod pauses;
mod query;
mod table;

use std::fmt::{self, Debug};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use super::admin::*;
use super::contract::*;
use super::firing::*;
use crate::calendar::Calendar;
use crate::error::Result;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::sync::Mutex;
use table::Table;

/// How to use this store: triggers are claimed when they are due, and a claim is fired at once.
const USE: Attached = Attached {
    look_ahead: Duration::ZERO,
    grace: Duration::from_secs(30),
    stop_within: Duration::MAX,
    keeps_history: false,
};

/// A job store in memory, gone with its process.
///
/// The default of a scheduler. Cloning gives the same store, for several schedulers of one process. Nothing is lost while the process lives; for anything longer, or for several nodes,
/// take a store that is kept elsewhere.
#[derive(Clone, Default)]
pub struct MemoryJobStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    nodes: Mutex<Vec<Node>>,
}

impl MemoryJobStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that keeps the latest runs for [`history`](JobStore::history), so many of them.
    pub fn keeping_history(runs: usize) -> Self {
        let store = Self::new();
        store.0.table.lock().keeps = runs;
        store
    }

    fn call<T: Send + 'static>(&self, verb: impl FnOnce(&mut Table) -> T) -> StoreFuture<'_, T> {
        self.try_call(|table| Ok(verb(table)))
    }

    fn try_call<T: Send + 'static>(&self, verb: impl FnOnce(&mut Table) -> Result<T>) -> StoreFuture<'_, T> {
        let (result, freed) = {
            let mut table = self.0.table.lock();
            let result = verb(&mut table);
            (result, std::mem::take(&mut table.freed))
        };
        if freed {
            self.wake();
        }
        Box::pin(ready(result))
    }

    /// As [`call`](Self::call), for verbs that may bring a due time forward.
    fn change<T: Send + 'static>(&self, verb: impl FnOnce(&mut Table) -> T) -> StoreFuture<'_, T> {
        self.try_change(|table| Ok(verb(table)))
    }

    fn try_change<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Table) -> Result<T>,
    ) -> StoreFuture<'_, T> {
        let result = self.try_call(verb);
        self.wake();
        result
    }

    fn wake(&self) {
        let nodes: Vec<_> = self.0.nodes.lock().iter().map(|node| node.wake.clone()).collect();
        nodes.iter().for_each(|wake| wake());
    }
}

impl JobStore for MemoryJobStore {
    /// A call has its answer at once.
    fn may_have_fired(&self, _: u64) -> bool {
        false
    }

    fn forgets(&self) -> bool {
        true
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        let keeps_history = {
            let mut table = self.0.table.lock();
            table.types.insert(node.session, node.types.clone());
            table.keeps > 0
        };
        let mut nodes = self.0.nodes.lock();
        nodes.retain(|known| known.session != node.session);
        nodes.push(node);
        Box::pin(ready(Ok(Attached { keeps_history, ..USE })))
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        self.0.nodes.lock().retain(|node| node.session != session);
        self.change(|table| table.detach(session))
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        let runs = self.0.table.lock().runs_by_session();
        let status = |node: &Node| {
            let executions = runs.get(&node.session).copied().unwrap_or_default();
            NodeStatus::new(node, env!("CARGO_PKG_VERSION"), executions, Duration::ZERO)
        };
        let mut nodes: Vec<_> = self.0.nodes.lock().iter().map(status).collect();
        nodes.sort_unstable_by(|a, b| (&a.name, a.session).cmp(&(&b.name, b.session)));
        Box::pin(ready(Ok(nodes)))
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        let mut others = false;
        let acquired = self.call(|table| {
            let acquired;
            (acquired, others) = table.acquire(&request, USE);
            acquired
        });
        if others {
            self.wake();
        }
        acquired
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.call(|table| request.firings.into_iter().map(|firing| table.fire(firing, request.now)).collect())
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.call(|table| {
            request.executions.into_iter().map(|completion| table.complete(completion, request.now)).collect()
        })
    }

    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Vec<RunRecord>> {
        self.call(|table| {
            let found = table.history.iter().rev().filter(|record| query.matches(record));
            found.take(query.limit.unwrap_or(usize::MAX)).map(|record| (**record).clone()).collect()
        })
    }

    fn cancel(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionId>> {
        self.change(|table| table.cancel(&what))
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.change(|table| claims.into_iter().for_each(|claim| table.release(claim)))
    }

    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        self.try_call(|table| {
            table.lanes.take_news();
            let result = table.put(request);
            // Whoever knows the first of a lane knows enough of it.
            table.freed |= table.lanes.take_news();
            result
        })
    }

    fn reschedule(&self, request: Reschedule) -> StoreFuture<'_, bool> {
        self.try_change(|table| table.reschedule(request))
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> StoreFuture<'_, Vec<bool>> {
        self.change(|table| adjustments.into_iter().map(|adjustment| table.adjust(adjustment)).collect())
    }

    fn remove_triggers(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        self.call(|table| keys.iter().map(|key| table.remove_trigger(key)).collect())
    }

    fn remove_jobs(&self, keys: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        self.call(|table| keys.iter().map(|key| table.remove_job(key)).collect())
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        self.call(Table::clear)
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        self.change(|table| table.pause(&request))
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, Vec<TriggerKey>> {
        self.change(|table| table.resume(&what))
    }

    fn reset(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        self.change(|table| keys.iter().map(|key| table.reset(key)).collect())
    }

    fn put_calendar(
        &self,
        name: Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> StoreFuture<'_, ()> {
        self.try_call(|table| table.put_calendar(name, calendar, replace))
    }

    fn remove_calendar(&self, name: Arc<str>) -> StoreFuture<'_, bool> {
        self.try_call(|table| table.remove_calendar(&name))
    }

    fn calendars(&self) -> StoreFuture<'_, Vec<NamedCalendar>> {
        self.call(|table| {
            table.calendars.iter().map(|(name, calendar)| (name.clone(), calendar.clone())).collect()
        })
    }

    fn mark(&self, name: Arc<str>) -> StoreFuture<'_, Option<Mark>> {
        self.call(|table| table.marks.get(&name).cloned())
    }

    fn put_mark(&self, request: PutMark) -> StoreFuture<'_, Option<u64>> {
        self.call(|table| table.put_mark(request))
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>> {
        self.call(|table| table.list_jobs(&query))
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>> {
        self.call(|table| table.list_triggers(&query))
    }

    fn executions(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionStatus>> {
        self.call(|table| table.list_executions(&what))
    }

    fn groups(&self, kind: GroupKind) -> StoreFuture<'_, Vec<GroupStatus>> {
        self.call(|table| table.list_groups(kind))
    }
}

impl Debug for MemoryJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.table.lock();
        f.debug_struct("MemoryJobStore")
            .field("jobs", &table.jobs.len())
            .field("triggers", &table.triggers.len())
            .finish()
    }
}
