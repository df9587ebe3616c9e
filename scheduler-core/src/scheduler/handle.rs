//! The handle of a scheduler: everything that users do with it.

use std::fmt;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::builder::SchedulerBuilder;
use super::core::Core;
use super::reconcile::Declarations;
use super::running::RunningExecution;
use super::shutdown::ShutdownReport;
use super::start::Starting;
use crate::error::{During, Error, Result};
use crate::execute::Pipeline;
use crate::job::{CancelReason, ExecutionId, ExtractError, FromContext, JobContext, Need};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Matcher;
use crate::store::*;
use crate::watch::{
    ErasedSchedulerListener, Events, JobListener, ListenerId, SchedulerState, TriggerListener,
};

/// A scheduler. Cloning gives a handle to the same one; when the last handle is dropped it stops firing.
///
/// Handles are cheap and may be used from any thread and task, also from inside a job, which gets one by taking a
/// `Scheduler` as a parameter:
///
/// ```
/// use scheduler_core::prelude::*;
///
/// #[job]
/// async fn import(scheduler: Scheduler) -> JobResult {
///     // … and when the import is through:
///     scheduler.enqueue(report::with()).await?;
///     Ok(())
/// }
///
/// #[job]
/// async fn report() {}
/// ```
///
/// Once the shutdown has begun, every method that changes what is stored is refused with an error of the kind
/// [`Closed`](crate::ErrorKind::Closed), and [`cancel`](Self::cancel) is refused after the shutdown. Every method that only
/// looks goes on working.
///
/// A job that waits for the shutdown of its own scheduler waits until it is cancelled, since the shutdown waits for
/// the job.
#[derive(Clone)]
pub struct Scheduler(pub(super) Arc<Owner>);

/// Ends the loop when the last handle goes.
pub(super) struct Owner {
    core: Arc<Core>,
    pub(super) declared: Declarations,
    pub(super) listeners: Mutex<Vec<Arc<dyn ErasedSchedulerListener>>>,
    pub(super) ended: Mutex<Option<oneshot::Receiver<()>>>,
    pub(super) starting: Starting,
    names: AtomicU64,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.phase.send_replace(SchedulerState::Shutdown);
        self.core.ring();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.core.fmt(f)
    }
}

/// A handle that does not keep its scheduler alive.
#[derive(Clone)]
pub struct WeakScheduler(Weak<Owner>);

impl fmt::Debug for WeakScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakScheduler").finish_non_exhaustive()
    }
}

impl WeakScheduler {
    /// The scheduler, unless its last handle has been dropped.
    pub fn upgrade(&self) -> Option<Scheduler> {
        self.0.upgrade().map(Scheduler)
    }
}

/// The way from a run back to its scheduler; weak, since the scheduler owns what runs see.
#[derive(Clone, Default)]
pub(crate) struct OwnHandle(Arc<OnceLock<Weak<Owner>>>);

/// A job that takes a `Scheduler` gets the one that runs it, to schedule or enqueue further work.
impl FromContext for Scheduler {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        let own = context.providers().get::<OwnHandle>().and_then(|OwnHandle(slot)| slot.get()?.upgrade());
        ready(
            own.map(Self)
                .ok_or_else(|| ExtractError::new("the last handle of the scheduler has been dropped")),
        )
    }

    fn needs() -> Vec<Need> {
        vec![Need::of_own::<OwnHandle>("Scheduler", "call `.scheduler(…)`")]
    }
}

/// Its life.
impl Scheduler {
    /// Starts to build a scheduler.
    pub fn builder() -> SchedulerBuilder {
        SchedulerBuilder::default()
    }

    pub(super) fn new(
        core: Core,
        declared: Declarations,
        listeners: Vec<Arc<dyn ErasedSchedulerListener>>,
    ) -> Self {
        let own = core.pipeline.providers.get::<OwnHandle>();
        let scheduler = Self(Arc::new(Owner {
            core: Arc::new(core),
            declared,
            listeners: Mutex::new(listeners),
            ended: Mutex::default(),
            starting: Starting::default(),
            names: AtomicU64::new(0),
        }));
        if let Some(OwnHandle(slot)) = own {
            // The slot is new with every builder, so it is empty.
            slot.set(Arc::downgrade(&scheduler.0)).ok();
        }
        scheduler
    }

    /// What keeps the job store from working, as far as it is known; none while it works.
    pub fn store_trouble(&self) -> Option<Arc<str>> {
        self.core().store.trouble().or_else(|| self.core().store_failure.read().clone())
    }

    /// How late the firing loop is with its next turn; nothing while it is in time.
    pub fn lag(&self) -> Duration {
        self.core().lag()
    }

    /// Whether due work of a store that forgets is run before the end.
    pub(crate) fn drains(&self) -> bool {
        self.core().settings.drains
    }

    pub(crate) fn store(&self) -> Arc<dyn JobStore> {
        self.core().store.clone()
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    /// A name for a trigger that nobody else has.
    pub(super) fn unused_name(&self, job: &JobKey) -> String {
        let number = self.0.names.fetch_add(1, Ordering::Relaxed);
        format!("{}~{:x}-{number}", job.name(), self.0.core.session)
    }

    /// A handle that does not keep it alive.
    pub fn downgrade(&self) -> WeakScheduler {
        WeakScheduler(Arc::downgrade(&self.0))
    }

    /// In which phase of its life it is.
    pub fn state(&self) -> SchedulerState {
        self.0.core.state()
    }

    /// Takes no new work until it is started again; what runs goes on. Nothing happens if it is in standby already.
    ///
    /// # Errors
    ///
    /// It is not started, or has been shut down.
    pub fn standby(&self) -> Result<()> {
        match self.0.core.enter(SchedulerState::Standby, &[SchedulerState::Running]) {
            Ok(()) | Err(SchedulerState::Standby) => Ok(()),
            Err(SchedulerState::Created) => {
                Err(Error::config("the scheduler is not started yet; call `start` first").during("standby"))
            }
            Err(_) => Err(closed().during("standby")),
        }
    }

    /// Ends the scheduler within `budget`: takes no more work, waits for what runs, asks what is left to stop
    /// (10 s before the budget ends, or after two thirds of a smaller one), and takes away what does not.
    ///
    /// The call returns within the budget. Only if aborted runs are not gone by then, it takes up to a second more: a run is gone
    /// when its next await point is reached and its scoped values are closed. Blocking jobs are not waited for.
    ///
    /// A running scheduler whose store [forgets](JobStore::forgets), as that in memory does, first runs what is due, unless the
    /// builder [says otherwise](SchedulerBuilder::drain_at_shutdown). What is due and was not run is named in the report.
    ///
    /// Once it is shut down, a further call does nothing and reports nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropped early it leaves the scheduler taking no work; call it again to end it.
    pub async fn shutdown(&self, budget: Duration) -> ShutdownReport {
        self.shut_down(budget, self.state() == SchedulerState::Running).await
    }

    /// As [`shutdown`](Self::shutdown); `ran` says whether it took new work until it was told to end.
    pub(crate) async fn shut_down(&self, budget: Duration, ran: bool) -> ShutdownReport {
        let core = &self.0.core;
        if ran && core.settings.drains && core.store.forgets() && !core.state().ends() {
            core.drain_due();
        }
        let live = [
            SchedulerState::Created,
            SchedulerState::Running,
            SchedulerState::Standby,
            SchedulerState::ShuttingDown,
        ];
        if core.enter(SchedulerState::ShuttingDown, &live).is_err() {
            return ShutdownReport::default();
        }
        let activity = core.clock.begin(&"the shutdown of the scheduler");
        let ended = self.0.ended.lock().take();
        let report = activity.observe(core.end(budget, ended)).await;
        let scheduler = &core.settings.name;
        if report.is_clean() {
            tracing::info!(%scheduler, "scheduler `{scheduler}` has shut down: {report}");
        } else {
            tracing::warn!(%scheduler, "scheduler `{scheduler}` has shut down: {report}");
        }
        report
    }

    /// Ready when it is over, or about to be.
    pub(crate) async fn ending(&self) {
        let mut phase = self.core().phase.subscribe();
        // Fails only if the scheduler is gone.
        phase.wait_for(SchedulerState::ends).await.ok();
    }

    /// What is around its runs, and those that its host launches.
    pub(crate) fn pipeline(&self) -> &Arc<Pipeline> {
        &self.core().pipeline
    }
}

/// Its executions.
impl Scheduler {
    /// What is queued or running on this node.
    pub fn running(&self) -> Vec<RunningExecution> {
        self.core().running.list()
    }

    /// What is queued or running on any node.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn executions(&self, what: Executions) -> Result<Vec<ExecutionStatus>> {
        self.core().store.executions(what).await.during("executions")
    }

    /// A page of the firing records that match, the latest first: one for each attempt that has ended, and one for each occurrence of
    /// a trigger that did not run. Empty unless the store keeps records: see [`MemoryJobStore::keeping_history`], and the settings
    /// of other stores.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn firings(&self, query: FiringQuery) -> Result<Page<FiringRecord, FiringCursor>> {
        self.core().store.firings(query).await.during("firings")
    }

    /// All firing records that match, the latest first; at most as many as the limit says.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// use scheduler_core::store::{FiringOutcome, FiringQuery};
    ///
    /// # async fn look(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// let wrong = [FiringOutcome::Failed, FiringOutcome::NotRun];
    /// for firing in scheduler.all_firings(FiringQuery::default().with_outcomes(wrong).limit(20)).await? {
    ///     println!("{} {} {:?} {:?}", firing.job, firing.outcome.word(), firing.reason, firing.failure);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn all_firings(&self, query: FiringQuery) -> Result<Vec<FiringRecord>> {
        self.core().store.all_firings(query).await.during("firings")
    }

    /// The nodes of this scheduler's store, this one among them.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>> {
        self.core().store.nodes().await.during("nodes")
    }

    /// Asks executions to stop, through their cancellation tokens, wherever they run. Those of this node hear of it at
    /// once. Says which are under way. Works while the scheduler shuts down, so what holds up the shutdown can be stopped.
    ///
    /// # Errors
    ///
    /// The scheduler has been shut down; `what` names a job or a trigger that does not exist and has no run; or the store has
    /// failed, and the executions of this node have heard of it nevertheless.
    pub async fn cancel(&self, what: Executions) -> Result<Vec<ExecutionId>> {
        let core = self.core();
        if self.state() == SchedulerState::Shutdown {
            return Err(closed().during("cancel"));
        }
        for run in core.running.list() {
            let meant = match &what {
                Executions::One(id) => run.id == *id,
                Executions::OfJob(job) => run.job == *job,
                Executions::OfTrigger(trigger) => run.trigger == *trigger,
                Executions::OfGroup(group) => run.execution_group.as_ref() == Some(group),
                Executions::All => true,
            };
            if meant {
                core.running.cancel(run.id, CancelReason::Requested);
                core.stop(run.id, CancelReason::Requested);
            }
        }
        let cancelled = core.store.cancel(what.clone()).await.during("cancel")?;
        if cancelled.is_empty() {
            self.check_exists_to_cancel(what).await.during("cancel")?;
        }
        Ok(cancelled)
    }
}

/// Whoever watches it.
impl Scheduler {
    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.core().pipeline.bus.subscribe()
    }

    /// Adds a listener to the jobs that match. It hears of executions that begin from now on.
    pub fn add_job_listener(&self, jobs: Matcher<JobKey>, listener: impl JobListener) -> ListenerId {
        self.core().pipeline.listeners.add_job(jobs, listener)
    }

    /// Adds a listener to the triggers that match. It hears of firings from now on.
    pub fn add_trigger_listener(
        &self,
        triggers: Matcher<TriggerKey>,
        listener: impl TriggerListener,
    ) -> ListenerId {
        self.core().pipeline.listeners.add_trigger(triggers, listener)
    }

    /// Takes a listener away; one that hears of an execution under way hears of its end. Says whether it was there.
    pub fn remove_listener(&self, listener: ListenerId) -> bool {
        self.core().pipeline.listeners.remove(listener)
    }
}

pub(super) fn closed() -> Error {
    Error::closed("the scheduler has been shut down; build a new one")
}
