//! The contract: each verb is a rule over rows, or a part after the other.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::calendar::Calendar;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::run::{GateId, RunId};
use scheduler_core::store::handler::{ChangeHandler, QueryHandler};
use scheduler_core::store::rows::Rows;
use scheduler_core::store::view::{Missing, View};
use scheduler_core::store::*;
use scheduler_core::time::Clock;
use scheduler_core::{JobKey, Result, TriggerKey};
use serde_json::json;

use crate::codec;
use crate::names::Names;
use crate::parts::PART;
use crate::rest::is_foreign;
use crate::run::{Mode, each};
use crate::session::Session;
use crate::settings::{cap, margin};
use crate::store::RedisJobStore;
use crate::take::USE;

impl RedisJobStore {
    fn write<T: Send + 'static>(
        &self,
        call: &'static str,
        mode: Mode,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing> + Send + Sync + 'static,
    ) -> StoreFuture<'_, T> {
        let shared = self.0.clone();
        let task = Box::pin(async move { Ok(shared.run(call, mode, shared.view(), rule).await?.answer) });
        Box::pin(self.on_io(task))
    }

    fn try_write<T: Send + 'static>(
        &self,
        call: &'static str,
        mode: Mode,
        rule: impl Fn(&mut View<Names>) -> Result<Result<T>, Missing> + Send + Sync + 'static,
    ) -> StoreFuture<'_, T> {
        let shared = self.0.clone();
        let task = Box::pin(async move { shared.run_or_refuse(call, mode, shared.view(), rule, None).await });
        Box::pin(self.on_io(task))
    }

    /// A batch in parts.
    fn each<A: Clone + Send + Sync + 'static, T: Send + 'static>(
        &self,
        call: &'static str,
        mode: Mode,
        all: Vec<A>,
        rule: impl Fn(&mut View<Names>, A) -> Result<T, Missing> + Send + Sync + Copy + 'static,
    ) -> StoreFuture<'_, Vec<T>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(all.len());
            for part in all.chunks(PART) {
                let part = part.to_vec();
                answers.extend(self.write(call, mode, move |view| each(view, &part, rule)).await?);
            }
            Ok(answers)
        })
    }

    fn look<T: Send + 'static>(
        &self,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing> + Send + Sync + 'static,
    ) -> StoreFuture<'_, T> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.look(rule).await })))
    }
}

impl JobStore for RedisJobStore {
    /// That of the server: all nodes agree on it.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(Arc::new(self.0.clock.clone()))
    }

    fn trouble(&self) -> Option<Arc<str>> {
        if self.0.is_gone() {
            return Some(self.0.all_gone().to_string().into());
        }
        self.0.state.lock().trouble.clone()
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        Box::pin(async move {
            let shared = self.0.clone();
            self.0.sessions.lock().insert(node.session, Session::new(node.clone()));
            let session = node.session;
            let registered = self.on_io(async move { shared.register(&node, false).await }).await;
            if registered.is_err() {
                self.0.sessions.lock().remove(&session);
            }
            let lease = self.0.state.lock().lease;
            let (stop_within, keeps_history) =
                (margin(lease).saturating_sub(cap(lease)), self.0.settings.keeps > 0);
            registered.map(|_| Attached { stop_within, keeps_history, ..USE })
        })
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        self.0.sessions.lock().remove(&session);
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move {
            shared.give_back_runs(session).await?;
            shared.take_over(session.to_string().into()).await
        })))
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        if let Some(known) = self.0.sessions.lock().get_mut(&request.session) {
            known.takes = request.max > 0;
        }
        let (session, shared) = (request.session, self.0.clone());
        Box::pin(self.as_node(session, Box::pin(async move { shared.acquire(request).await })))
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        let session = request.firings.first().map_or(0, |firing| firing.claim.session());
        let shared = self.0.clone();
        Box::pin(self.as_node(session, Box::pin(async move { shared.fire(request).await })))
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.complete(request).await })))
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.release(claims).await })))
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

impl ChangeHandler for RedisJobStore {
    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { Box::pin(shared.put(request)).await })))
    }

    fn reschedule(&self, request: Reschedule) -> StoreFuture<'_, bool> {
        self.try_write("reschedule", Mode::Change, move |view| rules::reschedule(view, request.clone()))
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> StoreFuture<'_, Vec<bool>> {
        self.each("adjust", Mode::Removal, adjustments, rules::adjust)
    }

    fn remove_triggers(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        self.each("remove_triggers", Mode::Removal, keys, |view, key| rules::remove_trigger(view, &key))
    }

    fn remove_jobs(&self, keys: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.remove_jobs(&keys).await })))
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.clear().await })))
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { Box::pin(shared.pause(request)).await })))
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, Vec<TriggerKey>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { Box::pin(shared.resume(what)).await })))
    }

    fn reset(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        self.each("reset", Mode::Removal, keys, |view, key| rules::reset(view, &key))
    }

    fn put_calendar(
        &self,
        name: Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> StoreFuture<'_, ()> {
        self.try_write("put_calendar", Mode::Change, move |view| {
            rules::put_calendar(view, name.clone(), calendar.clone(), replace)
        })
    }

    fn remove_calendar(&self, name: Arc<str>) -> StoreFuture<'_, bool> {
        self.try_write("remove_calendar", Mode::Removal, move |view| {
            rules::remove_calendar(view, name.clone())
        })
    }

    fn put_mark(&self, request: PutMark) -> StoreFuture<'_, Option<u64>> {
        self.write("put_mark", Mode::Change, move |view| rules::put_mark(view, request.clone()))
    }

    fn enqueue(&self, runs: Vec<NewRun>) -> StoreFuture<'_, Vec<Enqueued>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.enqueue(runs).await })))
    }

    fn pause_queue(&self, queue: Arc<str>, note: PauseNote) -> StoreFuture<'_, bool> {
        self.write("pause_queue", Mode::Change, move |view| rules::pause_queue(view, &queue, &note))
    }

    fn resume_queue(&self, queue: Arc<str>) -> StoreFuture<'_, bool> {
        self.write("resume_queue", Mode::Change, move |view| rules::resume_queue(view, &queue))
    }

    fn set_limit(&self, limit: GateId, cap: Option<LimitOverride>) -> StoreFuture<'_, ()> {
        self.write("set_limit", Mode::Change, move |view| rules::set_limit(view, &limit, cap.as_ref()))
    }

    fn change_runs(&self, request: ChangeRuns) -> StoreFuture<'_, Vec<RunChanged>> {
        let mode = match request.change {
            RunChange::Cancel | RunChange::Delete => Mode::Removal,
            _ => Mode::Change,
        };
        Box::pin(async move {
            let runs: Vec<_> = request.runs.iter().copied().enumerate().collect();
            let mut answers = Vec::with_capacity(runs.len());
            for part in runs.chunks(PART) {
                let (part, request) = (part.to_vec(), request.clone());
                let rule = move |view: &mut View<Names>| {
                    each(view, &part, |view, run| rules::change_run(view, run, &request))
                };
                answers.extend(self.write("change_runs", mode, rule).await?);
            }
            Ok(answers)
        })
    }

    fn count(&self, counts: Vec<EndCount>, now: DateTime<Utc>) -> StoreFuture<'_, ()> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.add_counts(&counts, now).await })))
    }

    fn note(&self, notes: Vec<RunNote>) -> StoreFuture<'_, Vec<bool>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.note(notes).await })))
    }

    fn cancel(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionId>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.cancel(what).await })))
    }
}

impl QueryHandler for RedisJobStore {
    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        Box::pin(async move {
            let runs = self.look(rules::runs_by_session).await?;
            let shared = self.0.clone();
            let answer = self.on_io(async move { shared.node_call("nodes", &json!({})).await }).await?;
            let mut nodes = Vec::new();
            for row in codec::list(&answer) {
                match codec::node(row) {
                    Ok(node) => nodes.push(node),
                    Err(error) => tracing::error!(%error, "a node is left out of the list: {error}"),
                }
            }
            for node in &mut nodes {
                node.executions = runs.get(&node.session).copied().unwrap_or_default();
            }
            nodes.sort_unstable_by(|a, b| (&a.name, a.session).cmp(&(&b.name, b.session)));
            Ok(nodes)
        })
    }

    fn calendars(&self) -> StoreFuture<'_, Vec<NamedCalendar>> {
        self.look(|view| {
            let mut calendars = Rows::calendars(view)?;
            calendars.retain(|(_, calendar)| !is_foreign(&**calendar));
            Ok(calendars)
        })
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Page<Arc<JobDetail>, JobKey>> {
        if !query.keys.is_empty() {
            return self.look(move |view| rules::jobs(view, &query));
        }
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.page_of_jobs(&query).await })))
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Page<TriggerStatus, TriggerKey>> {
        if !query.keys.is_empty() {
            return self.look(move |view| rules::triggers(view, &query));
        }
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.page_of_triggers(&query).await })))
    }

    fn runs(&self, query: RunQuery) -> StoreFuture<'_, Page<RunStatus, RunCursor>> {
        if !query.ids.is_empty() {
            return self.look(move |view| rules::runs(view, &query));
        }
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.page_of_runs(&query).await })))
    }

    fn executions(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionStatus>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.executions(&what).await })))
    }

    fn mark(&self, name: Arc<str>) -> StoreFuture<'_, Option<Mark>> {
        self.look(move |view| view.mark(&name))
    }

    fn firings(&self, query: FiringQuery) -> StoreFuture<'_, Page<FiringRecord, FiringCursor>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.page_of_firings(&query).await })))
    }

    fn counts(&self, query: CountQuery, now: DateTime<Utc>) -> StoreFuture<'_, Vec<CountBucket>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.find_counts(&query, now).await })))
    }

    fn limits(&self, query: LimitQuery, now: DateTime<Utc>) -> StoreFuture<'_, Page<LimitStatus, GateId>> {
        let shared = self.0.clone();
        Box::pin(self.on_io(Box::pin(async move { shared.page_of_limits(&query, now).await })))
    }

    fn paused_queues(&self) -> StoreFuture<'_, Vec<PausedQueue>> {
        self.look(rules::paused_queues)
    }

    fn groups(&self, kind: GroupKind) -> StoreFuture<'_, Vec<GroupStatus>> {
        self.look(move |view| rules::groups(view, kind))
    }
}
