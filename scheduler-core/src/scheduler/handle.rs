//! The handle of a scheduler: everything that users do with it.

use std::fmt;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::builder::SchedulerBuilder;
use super::core::{Core, SchedulerState};
use super::event::{Event, Events};
use super::firing::Engine;
use super::listener::{ErasedSchedulerListener, JobListener, ListenerId, TriggerListener};
use super::looper;
use super::patience::Patience;
use super::pool::Pool;
use super::reconcile::Declarations;
use super::running::RunningExecution;
use super::shutdown::{ShutdownReport, by};
use crate::error::{Error, Result};
use crate::job::{
    BoxFuture, CancelReason, ExecutionId, ExtractError, FromContext, Invocation, JobContext, Providers,
    RunParts,
};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Matcher;
use crate::store::*;
use crate::trigger::Trigger;

/// How long a node whose start has failed tries to tell the store.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

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
/// A job that waits for the shutdown of its own scheduler waits until it is cancelled, since the shutdown waits for
/// the job.
#[derive(Clone)]
pub struct Scheduler(Arc<Owner>);

/// Ends the loop when the last handle goes.
pub(super) struct Owner {
    core: Arc<Core>,
    declared: Declarations,
    listeners: Mutex<Vec<Arc<dyn ErasedSchedulerListener>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    starting: AtomicBool,
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
pub(super) struct Own(Arc<OnceLock<Weak<Owner>>>);

/// A job that takes a `Scheduler` gets the one that runs it, to schedule or enqueue further work.
impl FromContext for Scheduler {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        let own = context.providers().get::<Own>().and_then(|Own(slot)| slot.get()?.upgrade());
        ready(
            own.map(Self)
                .ok_or_else(|| ExtractError::new("the last handle of the scheduler has been dropped")),
        )
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
        let own = core.providers.get::<Own>();
        let scheduler = Self(Arc::new(Owner {
            core: Arc::new(core),
            declared,
            listeners: Mutex::new(listeners),
            ended: Mutex::default(),
            starting: AtomicBool::new(false),
            names: AtomicU64::new(0),
        }));
        if let Some(Own(slot)) = own {
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

    /// Starts to fire triggers, or goes on after [`standby`](Self::standby). Nothing happens if it runs already.
    ///
    /// The first start puts the declared schedules in place, then runs the start-up jobs to their end, then fires.
    /// Jobs run on the tokio runtime in which this is called. A store that cannot be reached, or has no room, is waited
    /// for, ever longer and for as long as it takes (a process that systemd starts has `TimeoutStartSec` for it); [`store_trouble`](Self::store_trouble) says so meanwhile.
    ///
    /// # Errors
    ///
    /// It has been shut down, also while it waits; there is no runtime; the store refuses what is declared; or a start-up
    /// job has failed. The node is not among the [nodes](Self::nodes) then, and may be started again unless it was shut down.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a start that is dropped half-way cannot be repeated. Shut the scheduler down.
    pub async fn start(&self) -> Result<()> {
        let core = &self.0.core;
        let first = match core.enter(SchedulerState::Running, &[SchedulerState::Standby]) {
            Ok(()) | Err(SchedulerState::Running) => return Ok(()),
            Err(SchedulerState::Created) => !self.0.starting.swap(true, Ordering::AcqRel),
            Err(_) => return Err(closed()),
        };
        if !first {
            return Err(Error::conflict("the scheduler is being started already"));
        }
        let started = self.start_first().await;
        if started.is_err() {
            self.0.starting.store(false, Ordering::Release);
        }
        started
    }

    /// Tells the store that this node does not work: its start has failed.
    async fn leave(&self) {
        let core = &self.0.core;
        let deadline = core.clock.monotonic().saturating_add(LEAVE_WITHIN);
        if let Some(Err(error)) = by(&*core.clock, deadline, core.store.detach(core.session)).await {
            tracing::warn!(%error, "the store could not be told that this node has not started");
        }
    }

    async fn start_first(&self) -> Result<()> {
        let core = &self.0.core;
        let runtime = Handle::try_current()
            .map_err(|error| Error::config("start the scheduler inside a tokio runtime").caused_by(error))?;
        core.set_runtime(&runtime);
        for listener in std::mem::take(&mut *self.0.listeners.lock()) {
            core.spawn(core.bus.attach(listener));
        }
        let pool = Pool::new(runtime, core.tasks.clone());
        let attached = self.patiently(|| Box::pin(self.attach())).await?;
        let started = self.start_attached(&pool, attached).await;
        if started.is_err() {
            self.leave().await;
        }
        started
    }

    /// Everything after the store knows this node.
    async fn start_attached(&self, pool: &Pool, attached: Attached) -> Result<()> {
        let core = &self.0.core;
        core.keeps_history.store(attached.keeps_history, Ordering::Relaxed);
        core.stop_within.set(attached.stop_within.min(core.settings.cancel_grace)).ok();
        self.patiently(|| Box::pin(core.reconcile(&self.0.declared))).await?;
        #[cfg(feature = "schedule-file")]
        for file in &self.0.declared.files {
            core.watch(file.clone(), core.load(file).await?);
        }
        self.run_start_up(pool).await?;
        let engine = Engine::new(core.clone(), pool.clone(), attached);
        *self.0.ended.lock() = Some(looper::start(core, engine, pool.runtime().clone())?);
        core.enter(SchedulerState::Running, &[SchedulerState::Created]).map_err(|_| closed())?;
        core.started.set(core.clock.now()).ok();
        let jobs = core.registry.job_types();
        tracing::info!(scheduler = %core.settings.name, session = core.session, ?jobs, "started");
        Ok(())
    }

    /// Asks the store again while it is in trouble, until the scheduler is shut down.
    async fn patiently<'a, T>(&self, ask: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        let core = &self.0.core;
        let (mut patience, mut phase) = (Patience::new(core.clone()), core.phase.subscribe());
        loop {
            match ask().await {
                Err(error) if error.is_transient() => {
                    let again = core.clock.monotonic().saturating_add(patience.failed(&error));
                    if by(&*core.clock, again, phase.wait_for(SchedulerState::ends)).await.is_some() {
                        return Err(closed());
                    }
                }
                result => {
                    patience.answered();
                    return if core.state().ends() { Err(closed()) } else { result };
                }
            }
        }
    }

    /// Takes no new work until it is started again; what runs goes on. Nothing happens if it is in standby already.
    ///
    /// # Errors
    ///
    /// It is not started, or has been shut down.
    pub fn standby(&self) -> Result<()> {
        match self.0.core.enter(SchedulerState::Standby, &[SchedulerState::Running]) {
            Ok(()) | Err(SchedulerState::Standby) => Ok(()),
            Err(SchedulerState::Created) => Err(Error::config("the scheduler is not started yet")),
            Err(_) => Err(closed()),
        }
    }

    /// Ends the scheduler within `budget`: takes no more work, waits for what runs, asks what is left to stop
    /// (10 s before the budget ends, or after two thirds of a smaller one), and takes away what does not.
    ///
    /// The call returns within the budget. Only if aborted runs are not gone by then, it takes up to a second more: a run is gone
    /// when its next await point is reached and its scoped values are closed. Blocking jobs are not waited for.
    ///
    /// Once it is shut down, a further call does nothing and reports nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropped early it leaves the scheduler taking no work; call it again to end it.
    pub async fn shutdown(&self, budget: Duration) -> ShutdownReport {
        let core = &self.0.core;
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
        tracing::info!(scheduler = %core.settings.name, ?report, "shut down");
        report
    }

    /// Ready when it is over, or about to be.
    pub(crate) async fn ending(&self) {
        let mut phase = self.core().phase.subscribe();
        // Fails only if the scheduler is gone.
        phase.wait_for(SchedulerState::ends).await.ok();
    }

    pub(crate) fn providers(&self) -> Arc<Providers> {
        self.0.core.providers.clone()
    }

    async fn attach(&self) -> Result<Attached> {
        let core = &self.0.core;
        let weak = Arc::downgrade(core);
        let wake = Arc::new(move || {
            if let Some(core) = weak.upgrade() {
                core.wake();
            }
        });
        let weak = Arc::downgrade(core);
        let stop = Arc::new(move |run, reason| {
            if let Some(core) = weak.upgrade() {
                core.stop_now(run, reason);
            }
        });
        let types = core.registry.job_types().into_iter().collect();
        let (session, name) = (core.session, core.settings.node.clone());
        core.store.attach(Node { session, name, types: Some(types), wake, stop }).await
    }

    async fn run_start_up(&self, pool: &Pool) -> Result<()> {
        for (number, job) in self.0.core.start_up.iter().enumerate() {
            if self.0.core.state().ends() {
                return Err(closed());
            }
            self.run_before_start(pool, number as u64, job).await?;
        }
        Ok(())
    }

    /// Runs a job to its end through the pool, without a trigger in the store.
    async fn run_before_start(&self, pool: &Pool, number: u64, job: &Invocation) -> Result<()> {
        let core = &self.0.core;
        let now = core.clock.now();
        let id = ExecutionId::new(core.session, u64::MAX - number);
        let trigger = super::admin::bind(job, Trigger::now(), now, || None)?;
        let parts = RunParts {
            id,
            job: job.detail().clone(),
            trigger: Arc::new(trigger),
            fence: 0,
            scheduled: now,
            fired: now,
            previous: None,
            next: None,
        };
        let deadline = parts.job.timeout().map(|timeout| core.clock.monotonic().saturating_add(timeout));
        let mut events = core.bus.subscribe();
        core.active.fetch_add(1, Ordering::AcqRel);
        core.report_fired(&parts);
        let slot = Slot { core, run: id, free: false };
        pool.submit(core.execution(parts));
        let failure = match deadline {
            None => ended(&mut events, id).await,
            Some(deadline) => match by(&*core.clock, deadline, ended(&mut events, id)).await {
                Some(failure) => failure,
                None => {
                    core.running.abort(id, CancelReason::Timeout);
                    ended(&mut events, id).await
                }
            },
        };
        // No loop runs yet that would take the ending, and the store knows of no claim.
        core.ending_of(id).await;
        slot.free();
        match failure {
            Some(failure) => Err(Error::config(format!("start-up job `{}`: {failure}", job.key()))),
            None => Ok(()),
        }
    }
}

/// The place in the pool of a run that no loop looks after. If its start is dropped, the run still frees it at its end.
struct Slot<'a> {
    core: &'a Arc<Core>,
    run: ExecutionId,
    free: bool,
}

impl Slot<'_> {
    fn free(mut self) {
        self.free = true;
        self.core.free_slots(1);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.free {
            let (core, run) = (self.core.clone(), self.run);
            self.core.spawn(async move {
                core.ending_of(run).await;
                core.free_slots(1);
            });
        }
    }
}

/// Why a run has failed, once it has ended; none if it has not failed.
async fn ended(events: &mut Events, id: ExecutionId) -> Option<String> {
    while let Some(event) = events.next().await {
        match event {
            Event::Ended { execution, failure, .. } if execution == id => return failure,
            _ => {}
        }
    }
    None
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
        self.core().store.executions(what).await
    }

    /// Runs that are over, the latest first, as far as the store keeps them: see
    /// [`MemoryJobStore::keeping_history`], and the settings of other stores.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn history(&self, query: HistoryQuery) -> Result<Vec<RunRecord>> {
        self.core().store.history(query).await
    }

    /// The nodes of this scheduler's store, this one among them.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>> {
        self.core().store.nodes().await
    }

    /// Asks executions to stop, through their cancellation tokens, wherever they run. Those of this node hear of it at
    /// once. Says which are under way.
    ///
    /// # Errors
    ///
    /// The store has failed; those of this node have heard of it nevertheless.
    pub async fn cancel(&self, what: Executions) -> Result<Vec<ExecutionId>> {
        let core = self.core();
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
        core.store.cancel(what).await
    }
}

/// Whoever watches it.
impl Scheduler {
    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.core().bus.subscribe()
    }

    /// Adds a listener to the jobs that match. It hears of executions that begin from now on.
    pub fn add_job_listener(&self, jobs: Matcher<JobKey>, listener: impl JobListener) -> ListenerId {
        self.core().listeners.add_job(jobs, listener)
    }

    /// Adds a listener to the triggers that match. It hears of firings from now on.
    pub fn add_trigger_listener(
        &self,
        triggers: Matcher<TriggerKey>,
        listener: impl TriggerListener,
    ) -> ListenerId {
        self.core().listeners.add_trigger(triggers, listener)
    }

    /// Takes a listener away; one that hears of an execution under way hears of its end. Says whether it was there.
    pub fn remove_listener(&self, listener: ListenerId) -> bool {
        self.core().listeners.remove(listener)
    }
}

pub(super) fn closed() -> Error {
    Error::closed("the scheduler has been shut down; build a new one")
}
