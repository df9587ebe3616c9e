//! The store of a single process: everything in memory, behind one short lock.
//!
//! There are two locks, that of the table and that of the nodes, and one of those who wait for the ends of runs, which is only taken
//! by itself. Invariants:
//!
//! 1. Nobody holds both: each is released before the other is taken. So there is no order in which they could block each other.
//! 2. That of the table is taken once per verb, but for pages of lists, which release it after each part (`pages.rs`).
//! 3. Neither is held across an await or a call of foreign code; the nodes' wake-up is called after both are released.

mod batches;
mod caps;
mod claiming;
mod driver;
mod ended;
mod entries;
mod fair;
mod firings;
mod gates;
mod index;
pub mod journal;
mod lanes;
mod lengths;
mod limits;
mod listing;
mod pages;
mod parking;
mod slots;
mod table;
mod tags;
mod turns;

use std::convert::Infallible;
use std::fmt::{self, Debug};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::admin::*;
use super::contract::*;
use super::counts::*;
use super::end_signals::{EndSignal, EndSignals};
use super::firing::*;
use super::firings::*;
use super::limits::*;
use super::page::Page;
use super::requests::*;
use super::rows::Rows;
use super::rules;
use super::run_changes::*;
use super::runs::*;
use crate::calendar::Calendar;
use crate::error::Result;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::run::{GateId, Retention, RunId};
use crate::sync::Mutex;
use firings::Firings;
use table::Takes;

pub use table::Table;

/// How to use this store: triggers are claimed when they are due, and a claim is fired at once.
const USE: Attached = Attached {
    look_ahead: Duration::ZERO,
    batch: 1024,
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
    ends: EndSignals,
}

impl MemoryJobStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that keeps the latest [firing records](FiringRecord), so many of them.
    pub fn keeping_history(records: usize) -> Self {
        let store = Self::new();
        store.0.table.lock().firings = Firings::keeping(records).map(Box::new);
        store
    }

    /// How long runs are kept after their end. Default: [`Retention::default`].
    #[must_use]
    pub fn with_retention(self, retention: Retention) -> Self {
        self.0.table.lock().ended.retention = retention;
        self
    }

    /// Runs one rule in a transaction of its own. The verbs do the same; a test of the seam needs it by itself.
    #[doc(hidden)]
    pub fn transact<T>(&self, rule: impl FnOnce(&mut Table) -> Result<T, Infallible>) -> T {
        let (Ok(answer), freed, told) = {
            let mut table = self.0.table.lock();
            let answer = rule(&mut table);
            let (freed, told) = (std::mem::take(&mut table.freed), std::mem::take(&mut table.told));
            match &mut table.journal {
                // They are told once the changes are written.
                Some(journal) => {
                    journal.is_woken |= freed;
                    journal.told.extend(told);
                    (answer, false, Vec::new())
                }
                None => (answer, freed, told),
            }
        };
        if freed {
            self.wake();
        }
        told.into_iter().for_each(|run| self.0.ends.tell(run));
        answer
    }

    /// What has changed is written: whoever waits for it is told.
    #[doc(hidden)]
    pub fn tell(&self, journal: &journal::Journal) {
        if journal.is_woken {
            self.wake();
        }
        journal.told.iter().for_each(|run| self.0.ends.tell(*run));
    }

    /// Another table in place of this one, with what nodes take. Nodes stay attached.
    #[doc(hidden)]
    pub fn replace_rows(&self, mut table: Table) {
        let mut present = self.0.table.lock();
        table.takes = std::mem::take(&mut present.takes);
        table.ended.retention = present.ended.retention;
        *present = table;
    }

    fn call<T: Send + 'static>(
        &self,
        rule: impl FnOnce(&mut Table) -> Result<T, Infallible>,
    ) -> StoreFuture<'_, T> {
        Box::pin(ready(Ok(self.transact(rule))))
    }

    fn try_call<T: Send + 'static>(
        &self,
        rule: impl FnOnce(&mut Table) -> Result<Result<T>, Infallible>,
    ) -> StoreFuture<'_, T> {
        Box::pin(ready(self.transact(rule)))
    }

    /// As [`call`](Self::call), for rules that may bring a due time forward.
    fn waking<T: Send + 'static>(
        &self,
        rule: impl FnOnce(&mut Table) -> Result<T, Infallible>,
    ) -> StoreFuture<'_, T> {
        let answer = self.call(rule);
        self.wake();
        answer
    }

    fn wake(&self) {
        let nodes: Vec<_> = self.0.nodes.lock().iter().map(|node| node.wake.clone()).collect();
        nodes.iter().for_each(|wake| wake());
    }
}

impl JobStore for MemoryJobStore {
    fn forgets(&self) -> bool {
        true
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        let keeps_history = {
            let mut table = self.0.table.lock();
            table
                .takes
                .insert(node.session, Takes { types: node.types.clone(), queues: node.queues.clone() });
            table.firings.is_some()
        };
        let mut nodes = self.0.nodes.lock();
        nodes.retain(|known| known.session != node.session);
        nodes.push(node);
        Box::pin(ready(Ok(Attached { keeps_history, ..USE })))
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        let name = {
            let mut nodes = self.0.nodes.lock();
            let place = nodes.iter().position(|node| node.session == session);
            place.map(|place| nodes.remove(place).name)
        };
        self.waking(|table| {
            table.takes.remove(&session);
            rules::detach(table, session, name.as_ref())
        })
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        self.call(|table| Ok(table.acquire(&request, USE)))
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.call(|table| {
            request.firings.into_iter().map(|firing| rules::fire(table, firing, request.now)).collect()
        })
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.call(|table| {
            let all = request.executions.into_iter();
            all.map(|completion| rules::complete(table, completion, request.now)).collect()
        })
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.waking(|table| claims.into_iter().try_for_each(|claim| rules::release(table, claim)))
    }

    fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
        ChangeHandler::change(self, change)
    }

    fn query(&self, query: Query) -> StoreFuture<'_, Found> {
        QueryHandler::query(self, query)
    }

    fn listen(&self, run: RunId) -> EndSignal {
        self.0.ends.listen(run)
    }
}

impl ChangeHandler for MemoryJobStore {
    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        self.try_call(|table| {
            table.lanes.take_news();
            let result = rules::put(table, request);
            // Whoever knows the first of a lane knows enough of it.
            table.freed |= table.lanes.take_news();
            result
        })
    }

    fn reschedule(&self, request: Reschedule) -> StoreFuture<'_, bool> {
        let result = self.try_call(|table| rules::reschedule(table, request));
        self.wake();
        result
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> StoreFuture<'_, Vec<bool>> {
        self.waking(|table| adjustments.into_iter().map(|one| rules::adjust(table, one)).collect())
    }

    fn count(&self, counts: Vec<EndCount>, now: DateTime<Utc>) -> StoreFuture<'_, ()> {
        self.call(|table| {
            table.counts.add(&counts, now);
            for step in CountStep::ALL {
                table.note(|| journal::Entry::Counts(step, step.start(now)));
            }
            Ok(())
        })
    }

    fn remove_triggers(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        self.call(|table| keys.iter().map(|key| rules::remove_trigger(table, key)).collect())
    }

    fn remove_jobs(&self, keys: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        self.call(|table| keys.iter().map(|key| rules::remove_job(table, key)).collect())
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        self.call(rules::clear)
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        self.waking(|table| rules::pause(table, &request))
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, Vec<TriggerKey>> {
        self.waking(|table| rules::resume(table, &what))
    }

    fn pause_queue(&self, queue: Arc<str>, note: PauseNote) -> StoreFuture<'_, bool> {
        self.waking(|table| rules::pause_queue(table, &queue, &note))
    }

    fn resume_queue(&self, queue: Arc<str>) -> StoreFuture<'_, bool> {
        self.waking(|table| rules::resume_queue(table, &queue))
    }

    fn set_limit(&self, limit: GateId, cap: Option<LimitOverride>) -> StoreFuture<'_, ()> {
        self.waking(|table| rules::set_limit(table, &limit, cap.as_ref()))
    }

    fn reset(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        self.waking(|table| keys.iter().map(|key| rules::reset(table, key)).collect())
    }

    fn put_calendar(
        &self,
        name: Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> StoreFuture<'_, ()> {
        self.try_call(|table| rules::put_calendar(table, name, calendar, replace))
    }

    fn remove_calendar(&self, name: Arc<str>) -> StoreFuture<'_, bool> {
        self.try_call(|table| rules::remove_calendar(table, name))
    }

    fn put_mark(&self, request: PutMark) -> StoreFuture<'_, Option<u64>> {
        self.call(|table| rules::put_mark(table, request))
    }

    fn enqueue(&self, runs: Vec<NewRun>) -> StoreFuture<'_, Vec<Enqueued>> {
        self.try_call(|table| {
            table.lanes.take_news();
            let answers = rules::enqueue_all(table, runs);
            table.freed |= table.lanes.take_news();
            answers
        })
    }

    fn change_runs(&self, request: ChangeRuns) -> StoreFuture<'_, Vec<RunChanged>> {
        self.waking(|table| {
            let runs = request.runs.iter().copied().enumerate();
            runs.map(|run| rules::change_run(table, run, &request)).collect()
        })
    }

    fn note(&self, notes: Vec<RunNote>) -> StoreFuture<'_, Vec<bool>> {
        self.call(|table| notes.into_iter().map(|note| rules::note(table, note)).collect())
    }

    fn cancel(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionId>> {
        self.waking(|table| rules::cancel(table, &what))
    }
}

impl QueryHandler for MemoryJobStore {
    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        let Ok(runs) = rules::runs_by_session(&mut *self.0.table.lock());
        let status = |node: &Node| {
            let executions = runs.get(&node.session).copied().unwrap_or_default();
            NodeStatus::new(node, env!("CARGO_PKG_VERSION"), executions, Duration::ZERO)
        };
        let mut nodes: Vec<_> = self.0.nodes.lock().iter().map(status).collect();
        nodes.sort_unstable_by(|a, b| (&a.name, a.session).cmp(&(&b.name, b.session)));
        Box::pin(ready(Ok(nodes)))
    }

    fn calendars(&self) -> StoreFuture<'_, Vec<NamedCalendar>> {
        self.call(Rows::calendars)
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Page<Arc<JobDetail>, JobKey>> {
        if !query.keys.is_empty() {
            return self.call(|table| rules::jobs(table, &query));
        }
        Box::pin(async move { Ok(self.page_of_jobs(&query).await) })
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Page<TriggerStatus, TriggerKey>> {
        if !query.keys.is_empty() || query.job.as_ref().is_some_and(|job| self.has_few_triggers(job)) {
            return self.call(|table| rules::triggers(table, &query));
        }
        Box::pin(async move { Ok(self.page_of_triggers(&query).await) })
    }

    fn runs(&self, query: RunQuery) -> StoreFuture<'_, Page<RunStatus, RunCursor>> {
        if !query.ids.is_empty() {
            return self.call(|table| rules::runs(table, &query));
        }
        Box::pin(async move { Ok(self.page_of_runs(&query).await) })
    }

    fn executions(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionStatus>> {
        self.call(|table| rules::executions(table, &what))
    }

    fn mark(&self, name: Arc<str>) -> StoreFuture<'_, Option<Mark>> {
        self.call(|table| table.mark(&name))
    }

    fn firings(&self, query: FiringQuery) -> StoreFuture<'_, Page<FiringRecord, FiringCursor>> {
        Box::pin(async move { Ok(self.page_of_firings(&query).await) })
    }

    fn groups(&self, kind: GroupKind) -> StoreFuture<'_, Vec<GroupStatus>> {
        self.call(|table| rules::groups(table, kind))
    }

    fn counts(&self, query: CountQuery, now: DateTime<Utc>) -> StoreFuture<'_, Vec<CountBucket>> {
        self.call(|table| Ok(table.counts.find(&query, now)))
    }

    fn limits(&self, query: LimitQuery, now: DateTime<Utc>) -> StoreFuture<'_, Page<LimitStatus, GateId>> {
        self.call(|table| {
            let Page { items, next, looked_at, complete } = table.uses_of(&query);
            let items = rules::limits(table, &items, now)?;
            Ok(Page { items, next, looked_at, complete })
        })
    }

    fn paused_queues(&self) -> StoreFuture<'_, Vec<PausedQueue>> {
        self.call(rules::paused_queues)
    }
}

impl Debug for MemoryJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.table.lock();
        f.debug_struct("MemoryJobStore")
            .field("jobs", &table.jobs.len())
            .field("triggers", &table.triggers.len())
            .field("runs", &table.runs.len())
            .finish()
    }
}
