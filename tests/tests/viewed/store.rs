//! The contract over views: each rule runs until it has what it needs and its commit is not refused.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::{self, Debug};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use scheduler_conformance::drivers::{DriverUnderTest, Fault};
use scheduler_core::calendar::Calendar;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::run::{GateId, RunId};
use scheduler_core::store::handler::{ChangeHandler, QueryHandler};
use scheduler_core::store::rows::Rows;
use scheduler_core::store::view::{Missing, View};
use scheduler_core::store::*;
use scheduler_core::{JobKey, Result, TriggerKey};

use crate::bugs::Bug;
use crate::interrupting::Act;
use crate::other::Traces;
use crate::server::{Numbers, Server};

pub(crate) const USE: Attached = Attached {
    look_ahead: Duration::ZERO,
    batch: 1024,
    grace: Duration::from_secs(30),
    stop_within: Duration::MAX,
    keeps_history: true,
};

/// More loads and commits than any rule needs; one that never comes to its end fails.
const MOST_TRIES: usize = 100_000;

/// The job types of a node, and the queues from which it takes.
pub(crate) type Takes = (Option<HashSet<Arc<str>>>, QueueFilter);

pub(crate) struct Viewed {
    numbers: Numbers,
    server: Mutex<Server>,
    nodes: Mutex<Vec<Node>>,
    takes: Mutex<HashMap<u64, Takes>>,
    counts: Mutex<CountTable>,
    chance: Mutex<u64>,
    /// Nobody disturbs a rule but those who are told to.
    pub(crate) is_calm: bool,
    /// What happens to the next commit.
    fault: Mutex<Option<Fault>>,
    ends: EndSignals,
    /// What others do meanwhile, each after so many points of the rules under way.
    pub(crate) meanwhile: Mutex<VecDeque<(usize, Act)>>,
}

impl Viewed {
    pub(crate) fn new() -> Self {
        Self::open(None)
    }

    /// Another node works beside every rule.
    pub(crate) fn beside_another_node() -> Self {
        let viewed = Self::new();
        viewed.server.lock().has_other = true;
        viewed
    }

    pub(crate) fn with(bug: Bug) -> Self {
        Self::open(Some(bug))
    }

    fn open(bug: Option<Bug>) -> Self {
        let numbers = Numbers::default();
        let (nodes, takes, fault) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self {
            server: Server::new(numbers.clone(), bug).into(),
            numbers,
            nodes,
            takes,
            counts: Mutex::default(),
            chance: 1.into(),
            is_calm: false,
            fault,
            ends: EndSignals::default(),
            meanwhile: Mutex::default(),
        }
    }

    fn chance(&self) -> u64 {
        let mut chance = self.chance.lock();
        *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *chance >> 33
    }

    /// Whether another node works now, and what it does.
    fn is_disturbed(&self) -> Option<u64> {
        let chance = self.chance();
        (!self.is_calm && chance.is_multiple_of(4)).then_some(chance / 4)
    }

    /// Another node may have taken something when rows are loaded, and given it back before the commit, which nobody else sees; or
    /// it works in between.
    fn run<T>(&self, rule: impl Fn(&mut View<Numbers>) -> Result<T, Missing>) -> T {
        let mut view = View::new(self.numbers.clone());
        let (mut held, mut taken) = (None, Traces::default());
        let (mut is_fresh, mut is_first) = (true, true);
        for _ in 0..MOST_TRIES {
            let ruled = rule(&mut view);
            if held.is_none() {
                self.meet();
            }
            let mut server = held.take().unwrap_or_else(|| self.server.lock());
            if let Ok(answer) = ruled {
                server.undo(std::mem::take(&mut taken));
                if self.commit(&mut server, &view, std::mem::take(&mut is_first)) {
                    drop(server);
                    let ends_in_queue = view.claims().changes().any(|change| {
                        let claim = change.before.filter(|_| change.after.is_none());
                        claim.is_some_and(|claim| claim.trigger.queue().is_some() || !claim.gates.is_empty())
                    });
                    if view.is_woken() || ends_in_queue {
                        self.wake();
                    }
                    view.ended().iter().for_each(|run| self.ends.tell(*run));
                    return answer;
                }
                view.forget();
                is_fresh = true;
            }
            if !server.has(Bug::KeepsDrafts) {
                view.reset();
            }
            if std::mem::take(&mut is_fresh) && self.is_disturbed().is_some() {
                taken = server.take_for_other();
            }
            let wants = view.wants();
            server.load(&mut view, wants);
            held = (!taken.is_empty()).then_some(server);
        }
        panic!("a rule did not come to its end")
    }

    /// Whoever has no answer asks again, with the same number.
    fn commit(&self, server: &mut Server, view: &View<Numbers>, is_first: bool) -> bool {
        let (number, pick, fault) = (self.numbers.next(), self.is_disturbed(), self.fault.lock().take());
        let must = is_first && !self.is_calm && Server::is_worth_it(view);
        let traces = match fault {
            Some(Fault::Refused) => {
                server.touch(view, pick.unwrap_or_default());
                Traces::default()
            }
            Some(_) => Traces::default(),
            None => pick.or(must.then_some(0)).map(|pick| server.disturb(view, pick)).unwrap_or_default(),
        };
        let is_done = server.commit(number, view);
        let is_sent_again = matches!(fault, Some(Fault::Doubled | Fault::AnswerLost));
        let is_done = if is_sent_again { server.commit(number, view) } else { is_done };
        server.check();
        server.undo(traces);
        is_done
    }

    /// Each on its own, as a driver may do it.
    fn each<A: Clone, T: Send + 'static>(
        &self,
        all: Vec<A>,
        rule: impl Fn(&mut View<Numbers>, A) -> Result<T, Missing>,
    ) -> StoreFuture<'_, Vec<T>> {
        let answers = all.into_iter().map(|one| self.run(|view| rule(view, one.clone()))).collect();
        Box::pin(ready(Ok(answers)))
    }

    fn call<T: Send + 'static>(
        &self,
        rule: impl Fn(&mut View<Numbers>) -> Result<T, Missing>,
    ) -> StoreFuture<'_, T> {
        Box::pin(ready(Ok(self.run(rule))))
    }

    fn try_call<T: Send + 'static>(
        &self,
        rule: impl Fn(&mut View<Numbers>) -> Result<Result<T>, Missing>,
    ) -> StoreFuture<'_, T> {
        Box::pin(ready(self.run(rule)))
    }

    fn wake(&self) {
        let nodes: Vec<_> = self.nodes.lock().iter().map(|node| node.wake.clone()).collect();
        nodes.iter().for_each(|wake| wake());
    }

    fn woken<T>(&self, answer: T) -> T {
        self.wake();
        answer
    }
}

impl DriverUnderTest for Viewed {
    type Rows = View<Numbers>;

    fn run<T>(&self, rule: impl Fn(&mut View<Numbers>) -> Result<T, Missing>) -> Result<T> {
        Ok(self.run(rule))
    }

    fn attach(&self, node: Node) -> Result<()> {
        scheduler_conformance::run(JobStore::attach(self, node)).map(drop)
    }

    fn take(&self, request: AcquireDue) -> Result<Acquired> {
        scheduler_conformance::run(self.acquire_due(request))
    }

    fn firings(&self) -> Result<Vec<FiringRecord>> {
        scheduler_conformance::run(self.all_firings(FiringQuery::default()))
    }

    fn inject(&self, fault: Fault) -> bool {
        *self.fault.lock() = Some(fault);
        true
    }

    fn crash(&self) -> bool {
        self.server.lock().crash();
        true
    }
}

impl Debug for Viewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Viewed")
    }
}

impl JobStore for Viewed {
    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        self.takes.lock().insert(node.session, (node.types.clone(), node.queues.clone()));
        let mut nodes = self.nodes.lock();
        nodes.retain(|known| known.session != node.session);
        nodes.push(node);
        Box::pin(ready(Ok(USE)))
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        let name = {
            let mut nodes = self.nodes.lock();
            let place = nodes.iter().position(|node| node.session == session);
            place.map(|place| nodes.remove(place).name)
        };
        self.takes.lock().remove(&session);
        let done = self.call(|view| rules::detach(view, session, name.as_ref()));
        self.woken(done)
    }

    fn acquire_due(&self, mut request: AcquireDue) -> StoreFuture<'_, Acquired> {
        let mut rung = self.run(|view| rules::ring(view, request.now, request.session));
        if let Some(heard) = request.heard {
            self.run(|view| rules::give_back_unheard(view, request.session, heard));
        }
        let takes = self.takes.lock().get(&request.session).cloned().unwrap_or_default();
        let pauses = self.run(|view| view.pauses().cloned());
        pauses.close(&mut request.limits);
        let (session, now) = (request.session, request.now);
        self.meet();
        let (mut acquired, misplaced) = self.server.lock().take(request, &takes, USE);
        for (claim, exclusive) in misplaced {
            rung.expired.extend(self.run(|view| rules::resettle(view, claim, exclusive, now)));
            acquired.next_due = Some(now);
        }
        (acquired.dropped, acquired.expired) = (rung.dropped, rung.expired);
        acquired.limited = self.server.lock().newly_limited();
        for full in &acquired.limited {
            let ended = self.run(|view| rules::meet_full_limit(view, full, session, now));
            acquired.superseded.extend(ended);
        }
        acquired.cancel = self.run(|view| view.cancelled(session));
        Box::pin(ready(Ok(acquired)))
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.each(request.firings, |view, firing| rules::fire(view, firing, request.now))
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.each(request.executions, |view, one| rules::complete(view, one, request.now))
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        let done = self.call(|view| claims.iter().try_for_each(|claim| rules::release(view, *claim)));
        self.woken(done)
    }

    fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
        ChangeHandler::change(self, change)
    }

    fn query(&self, query: Query) -> StoreFuture<'_, Found> {
        QueryHandler::query(self, query)
    }

    fn listen(&self, run: RunId) -> EndSignal {
        self.ends.listen(run)
    }
}

impl ChangeHandler for Viewed {
    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        let done = self.try_call(|view| rules::put(view, request.clone()));
        self.woken(done)
    }

    fn reschedule(&self, request: Reschedule) -> StoreFuture<'_, bool> {
        let done = self.try_call(|view| rules::reschedule(view, request.clone()));
        self.woken(done)
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> StoreFuture<'_, Vec<bool>> {
        let done = self.each(adjustments, rules::adjust);
        self.woken(done)
    }

    fn remove_triggers(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        self.each(keys, |view, key| rules::remove_trigger(view, &key))
    }

    fn remove_jobs(&self, keys: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        self.each(keys, |view, key| rules::remove_job(view, &key))
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        self.call(rules::clear)
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        let paused = self.call(|view| rules::pause(view, &request));
        self.woken(paused)
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, Vec<TriggerKey>> {
        let resumed = self.call(|view| rules::resume(view, &what));
        self.woken(resumed)
    }

    fn reset(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        let done = self.each(keys, |view, key| rules::reset(view, &key));
        self.woken(done)
    }

    fn put_calendar(
        &self,
        name: Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> StoreFuture<'_, ()> {
        self.try_call(|view| rules::put_calendar(view, name.clone(), calendar.clone(), replace))
    }

    fn remove_calendar(&self, name: Arc<str>) -> StoreFuture<'_, bool> {
        self.try_call(|view| rules::remove_calendar(view, name.clone()))
    }

    fn put_mark(&self, request: PutMark) -> StoreFuture<'_, Option<u64>> {
        self.call(|view| rules::put_mark(view, request.clone()))
    }

    fn enqueue(&self, runs: Vec<NewRun>) -> StoreFuture<'_, Vec<Enqueued>> {
        let done = self.try_call(|view| rules::enqueue_all(view, runs.clone()));
        self.woken(done)
    }

    fn pause_queue(&self, queue: Arc<str>, note: PauseNote) -> StoreFuture<'_, bool> {
        let paused = self.call(|view| rules::pause_queue(view, &queue, &note));
        self.woken(paused)
    }

    fn resume_queue(&self, queue: Arc<str>) -> StoreFuture<'_, bool> {
        let resumed = self.call(|view| rules::resume_queue(view, &queue));
        self.woken(resumed)
    }

    fn set_limit(&self, limit: GateId, cap: Option<LimitOverride>) -> StoreFuture<'_, ()> {
        let set = self.call(|view| rules::set_limit(view, &limit, cap.as_ref()));
        self.woken(set)
    }

    fn change_runs(&self, request: ChangeRuns) -> StoreFuture<'_, Vec<RunChanged>> {
        let runs = request.runs.iter().copied().enumerate().collect();
        let done = self.each(runs, |view, run| rules::change_run(view, run, &request));
        self.woken(done)
    }

    fn count(&self, counts: Vec<EndCount>, now: DateTime<Utc>) -> StoreFuture<'_, ()> {
        self.counts.lock().add(&counts, now);
        Box::pin(ready(Ok(())))
    }

    fn note(&self, notes: Vec<RunNote>) -> StoreFuture<'_, Vec<bool>> {
        self.each(notes, rules::note)
    }

    fn cancel(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionId>> {
        let asked = self.call(|view| rules::cancel(view, &what));
        self.woken(asked)
    }
}

impl QueryHandler for Viewed {
    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        let runs = self.run(rules::runs_by_session);
        let status = |node: &Node| {
            let executions = runs.get(&node.session).copied().unwrap_or_default();
            NodeStatus::new(node, env!("CARGO_PKG_VERSION"), executions, Duration::ZERO)
        };
        let mut nodes: Vec<_> = self.nodes.lock().iter().map(status).collect();
        nodes.sort_unstable_by(|a, b| (&a.name, a.session).cmp(&(&b.name, b.session)));
        Box::pin(ready(Ok(nodes)))
    }

    fn calendars(&self) -> StoreFuture<'_, Vec<NamedCalendar>> {
        self.call(Rows::calendars)
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Page<Arc<JobDetail>, JobKey>> {
        self.call(|view| rules::jobs(view, &query))
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Page<TriggerStatus, TriggerKey>> {
        self.call(|view| rules::triggers(view, &query))
    }

    fn runs(&self, query: RunQuery) -> StoreFuture<'_, Page<RunStatus, RunCursor>> {
        self.call(|view| rules::runs(view, &query))
    }

    fn executions(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionStatus>> {
        self.call(|view| rules::executions(view, &what))
    }

    fn mark(&self, name: Arc<str>) -> StoreFuture<'_, Option<Mark>> {
        self.call(|view| view.mark(&name))
    }

    fn firings(&self, query: FiringQuery) -> StoreFuture<'_, Page<FiringRecord, FiringCursor>> {
        let server = self.server.lock();
        let found = server.firings.iter().rev().filter(|record| query.matches(record)).cloned().collect();
        let looked_at = server.firings.len();
        let page = Page::first(found, query.page_size(), looked_at, |record| FiringCursor(record.number));
        Box::pin(ready(Ok(page)))
    }

    fn counts(&self, query: CountQuery, now: DateTime<Utc>) -> StoreFuture<'_, Vec<CountBucket>> {
        Box::pin(ready(Ok(self.counts.lock().find(&query, now))))
    }

    fn limits(&self, query: LimitQuery, now: DateTime<Utc>) -> StoreFuture<'_, Page<LimitStatus, GateId>> {
        let uses = self.server.lock().uses(&query);
        let limits = self.run(|view| rules::limits(view, &uses, now));
        let looked_at = limits.len();
        let page = Page::first(limits, query.page_size(), looked_at, LimitStatus::gate);
        Box::pin(ready(Ok(page)))
    }

    fn paused_queues(&self) -> StoreFuture<'_, Vec<PausedQueue>> {
        self.call(rules::paused_queues)
    }

    fn groups(&self, kind: GroupKind) -> StoreFuture<'_, Vec<GroupStatus>> {
        self.call(|view| rules::groups(view, kind))
    }
}
