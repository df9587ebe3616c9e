//! The contract, over rows.

use std::fmt;
use std::sync::Arc;

use scheduler_core::calendar::Calendar;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::store::rows::Rows;
use scheduler_core::store::view::{Missing, Names as _, View};
use scheduler_core::store::*;
use scheduler_core::time::Clock;
use scheduler_core::{JobKey, Result, TriggerKey};

use super::firing::each;
use super::load::{Loader, PAGE};
use super::names::Names;
use super::run::{Core, Mode, Ran};
use crate::codec;
use crate::settings::RedisStoreBuilder;
use crate::store::RedisJobStore;

/// The store in Redis as a driver of rows.
#[derive(Clone)]
pub struct RowsJobStore {
    old: RedisJobStore,
    core: Arc<Core>,
}

impl fmt::Debug for RowsJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.old.fmt(f)
    }
}

impl RowsJobStore {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// See [`RedisStoreBuilder::connect`].
    pub async fn connect(builder: RedisStoreBuilder) -> Result<Self> {
        let old = builder.connect().await?;
        let core = Arc::new(Core::new(old.0.clone()));
        old.0.rows.set(Arc::downgrade(&core)).ok();
        Ok(Self { old, core })
    }

    async fn on_io<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.old.on_io(task).await
    }

    async fn run<T: Send + 'static>(
        &self,
        verb: &'static str,
        mode: Mode,
        view: View<Names>,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing> + Send + 'static,
    ) -> Result<Ran<T>> {
        let core = self.core.clone();
        self.on_io(async move { core.run(verb, mode, view, rule).await }).await
    }

    fn change<T: Send + 'static>(
        &self,
        verb: &'static str,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(async move { Ok(self.run(verb, Mode::Change, self.core.view(), rule).await?.answer) })
    }

    fn try_change<T: Send + 'static>(
        &self,
        verb: &'static str,
        rule: impl Fn(&mut View<Names>) -> Result<Result<T>, Missing> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(async move { self.run(verb, Mode::Change, self.core.view(), rule).await?.answer })
    }

    /// All of a batch in one transaction.
    fn each<A: Clone + Send + Sync + 'static, T: Send + 'static>(
        &self,
        verb: &'static str,
        all: Vec<A>,
        rule: impl Fn(&mut View<Names>, A) -> Result<T, Missing> + Send + Sync + Copy + 'static,
    ) -> StoreFuture<'_, Vec<T>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(all.len());
            for part in all.chunks(500) {
                let part = part.to_vec();
                let of_part = move |view: &mut View<Names>| each(view, &part, rule);
                answers.extend(self.run(verb, Mode::Change, self.core.view(), of_part).await?.answer);
            }
            Ok(answers)
        })
    }

    fn ask<T: Send + 'static>(
        &self,
        verb: &'static str,
        rule: impl Fn(&mut View<Names>) -> Result<T, Missing> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(async move { Ok(self.run(verb, Mode::Ask, self.fresh(), rule).await?.answer) })
    }

    /// Knows nothing.
    fn fresh(&self) -> View<Names> {
        View::new(Names::new(Arc::default(), self.core.inner.clock.now()))
    }
}

/// What a node takes.
impl RowsJobStore {
    async fn take(&self, request: &AcquireDue) -> Result<Acquired> {
        let core = self.core.clone();
        let request = request.clone();
        self.on_io(Box::pin(core.acquire(request))).await
    }
}

impl JobStore for RowsJobStore {
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        self.old.clock()
    }

    fn trouble(&self) -> Option<Arc<str>> {
        self.old.trouble()
    }

    fn may_have_fired(&self, _: u64) -> bool {
        false
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        self.old.attach(node)
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.old.0.sessions.lock().remove(&session);
            let core = self.core.clone();
            self.on_io(Box::pin(async move { core.bury(Some(session)).await })).await
        })
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        Box::pin(async move {
            let runs = self.ask("nodes", rules::runs_by_session).await?;
            let mut nodes = self.old.nodes().await?;
            for node in &mut nodes {
                node.executions = runs.get(&node.session).copied().unwrap_or_default();
            }
            Ok(nodes)
        })
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        if let Some(known) = self.old.0.sessions.lock().get_mut(&request.session) {
            known.takes = request.max > 0;
        }
        Box::pin(async move { self.take(&request).await })
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        let core = self.core.clone();
        Box::pin(async move { self.on_io(Box::pin(async move { core.fire(request).await })).await })
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        let core = self.core.clone();
        Box::pin(async move { self.on_io(Box::pin(async move { core.complete(request).await })).await })
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        let core = self.core.clone();
        Box::pin(async move { self.on_io(Box::pin(async move { core.release(claims).await })).await })
    }

    fn cancel(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionId>> {
        self.change("cancel", move |view| rules::cancel(view, &what))
    }

    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut view = self.core.view();
            // Most names are free; the commit tells if one is not.
            for job in request.jobs.iter().filter(|_| request.existing_jobs == Existing::Refuse) {
                let id = view.names().job(job.key());
                view.load_job(id, None, 0);
            }
            for (trigger, _) in
                request.triggers.iter().filter(|_| request.existing_triggers == Existing::Refuse)
            {
                let id = view.names().trigger(trigger.key());
                view.load_trigger(id, None, 0);
            }
            let core = self.core.clone();
            self.on_io(Box::pin(async move { core.put(view, request).await })).await
        })
    }

    fn reschedule(&self, request: Reschedule) -> StoreFuture<'_, bool> {
        self.try_change("reschedule", move |view| rules::reschedule(view, request.clone()))
    }

    fn adjust(&self, adjustments: Vec<Adjustment>) -> StoreFuture<'_, Vec<bool>> {
        self.each("adjust", adjustments, rules::adjust)
    }

    fn remove_triggers(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<Removed>> {
        self.each("remove_triggers", keys, |view, key| rules::remove_trigger(view, &key))
    }

    fn remove_jobs(&self, keys: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        self.each("remove_jobs", keys, |view, key| rules::remove_job(view, &key))
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        self.change("clear", rules::clear)
    }

    fn pause(&self, request: Pause) -> StoreFuture<'_, Vec<TriggerKey>> {
        Box::pin(async move {
            // A trigger that is stored between the two commits starts paused.
            let first = request.clone();
            self.change("pause", move |view| rules::remember(view, &first)).await?;
            self.change("pause", move |view| rules::pause(view, &request)).await
        })
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, Vec<TriggerKey>> {
        Box::pin(async move {
            // A trigger that is stored between the two commits does not start paused.
            let first = what.clone();
            self.change("resume", move |view| rules::forget(view, &first)).await?;
            self.change("resume", move |view| rules::resume(view, &what)).await
        })
    }

    fn reset(&self, keys: Vec<TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        self.each("reset", keys, |view, key| rules::reset(view, &key))
    }

    fn put_calendar(
        &self,
        name: Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> StoreFuture<'_, ()> {
        self.try_change("put_calendar", move |view| {
            rules::put_calendar(view, name.clone(), calendar.clone(), replace)
        })
    }

    fn remove_calendar(&self, name: Arc<str>) -> StoreFuture<'_, bool> {
        self.try_change("remove_calendar", move |view| rules::remove_calendar(view, name.clone()))
    }

    fn calendars(&self) -> StoreFuture<'_, Vec<NamedCalendar>> {
        self.ask("calendars", Rows::calendars)
    }

    fn mark(&self, name: Arc<str>) -> StoreFuture<'_, Option<Mark>> {
        self.ask("mark", move |view| view.mark(&name))
    }

    fn put_mark(&self, request: PutMark) -> StoreFuture<'_, Option<u64>> {
        self.change("put_mark", move |view| rules::put_mark(view, request.clone()))
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>> {
        Box::pin(async move {
            let (mut found, mut since) = (Vec::new(), query.after.as_ref().map(codec::key));
            let limit = query.limit.unwrap_or(usize::MAX);
            let (mut part, pages) = (query.clone(), query.keys.is_empty());
            loop {
                if pages {
                    let keys = self.page("nj", codec::only_group(&query.group), since.take()).await?;
                    since = keys.last().filter(|_| keys.len() == PAGE).cloned();
                    part.keys = keys.iter().map(|key| codec::job_key(key)).collect::<Result<_>>()?;
                    if part.keys.is_empty() {
                        break;
                    }
                }
                let of_part = part.clone();
                found.extend(self.ask("jobs", move |view| rules::jobs(view, &of_part)).await?);
                if !pages || since.is_none() || found.len() >= limit {
                    break;
                }
            }
            found.truncate(limit);
            Ok(found)
        })
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>> {
        Box::pin(async move {
            let (mut found, mut since) = (Vec::new(), query.after.as_ref().map(codec::key));
            let limit = query.limit.unwrap_or(usize::MAX);
            let (mut part, pages) = (query.clone(), query.keys.is_empty() && query.job.is_none());
            loop {
                if pages {
                    let keys = self.page("nt", codec::only_group(&query.group), since.take()).await?;
                    since = keys.last().filter(|_| keys.len() == PAGE).cloned();
                    part.keys = keys.iter().map(|key| codec::trigger_key(key)).collect::<Result<_>>()?;
                    if part.keys.is_empty() {
                        break;
                    }
                }
                let of_part = part.clone();
                found.extend(self.ask("triggers", move |view| rules::triggers(view, &of_part)).await?);
                if !pages || since.is_none() || found.len() >= limit {
                    break;
                }
            }
            found.truncate(limit);
            Ok(found)
        })
    }

    fn executions(&self, what: Executions) -> StoreFuture<'_, Vec<ExecutionStatus>> {
        self.ask("executions", move |view| rules::executions(view, &what))
    }

    fn history(&self, query: HistoryQuery) -> StoreFuture<'_, Vec<RunRecord>> {
        self.old.history(query)
    }

    fn groups(&self, kind: GroupKind) -> StoreFuture<'_, Vec<GroupStatus>> {
        self.ask("groups", move |view| rules::groups(view, kind))
    }
}

impl RowsJobStore {
    async fn page(
        &self,
        zset: &'static str,
        group: Option<&str>,
        since: Option<String>,
    ) -> Result<Vec<String>> {
        let (core, group) = (self.core.clone(), group.map(str::to_owned));
        self.on_io(async move {
            let mut view = View::new(Names::nothing());
            let loader = Loader { server: &core.server, known: &core.known, view: &mut view };
            Box::pin(loader.page(zset, group.as_deref(), since.as_deref())).await
        })
        .await
    }
}
