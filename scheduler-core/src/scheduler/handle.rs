//! The handle of a scheduler: everything that users do with it.

use std::fmt;
use std::future::{Future, ready};
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::builder::SchedulerBuilder;
use super::shutdown::ShutdownReport;
use super::start::Starting;
use crate::client::{Client, closed};
use crate::declare::Declarations;
use crate::engine::{Core, RunningExecution};
use crate::error::{Error, Result};
use crate::execute::Pipeline;
use crate::job::{ExecutionId, ExtractError, FromContext, JobContext, Need};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Matcher;
use crate::store::*;
use crate::watch::{Events, JobListener, ListenerId, Listening, SchedulerState, TriggerListener};

/// A scheduler. Cloning gives a handle to the same one; when the last handle is dropped it stops firing.
///
/// A scheduler is a [`Client`] that also runs: everything that changes or reads what is stored is a method of the client, to which a
/// scheduler dereferences, such as [`schedule`](Client::schedule), [`enqueue`](Client::enqueue), [`pause`](Client::pause) and
/// [`triggers`](Client::triggers). A program that runs no jobs needs a client only.
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
    /// Refuses changes once the shutdown has begun.
    client: Client,
    pub(super) declared: Declarations,
    pub(super) listeners: Mutex<Vec<Listening>>,
    pub(super) ended: Mutex<Option<oneshot::Receiver<()>>>,
    pub(super) starting: Starting,
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

/// The way from a run back to its scheduler; weak, since the scheduler owns what runs see. The client does not lead back.
#[derive(Clone, Default)]
pub(crate) struct OwnHandle(Arc<OnceLock<(Weak<Owner>, Client)>>);

/// A job that takes a `Scheduler` gets the one that runs it, to schedule or enqueue further work.
impl FromContext for Scheduler {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        let own = context.providers().get::<OwnHandle>().and_then(|OwnHandle(slot)| slot.get()?.0.upgrade());
        ready(
            own.map(Self)
                .ok_or_else(|| ExtractError::new("the last handle of the scheduler has been dropped")),
        )
    }

    fn needs() -> Vec<Need> {
        vec![Need::of_own::<OwnHandle>("Scheduler", "call `.scheduler(…)`")]
    }
}

/// A job that takes a `Client` gets that of the scheduler that runs it, which goes on when the scheduler ends.
impl FromContext for Client {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        let own =
            context.providers().get::<OwnHandle>().and_then(|OwnHandle(slot)| Some(slot.get()?.1.clone()));
        ready(own.ok_or_else(|| ExtractError::new("there is no scheduler")))
    }

    fn needs() -> Vec<Need> {
        vec![Need::of_own::<OwnHandle>("Client", "call `.scheduler(…)`")]
    }
}

/// Everything that a client can do.
impl Deref for Scheduler {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0.client
    }
}

/// Its life.
impl Scheduler {
    /// Starts to build a scheduler.
    pub fn builder() -> SchedulerBuilder {
        SchedulerBuilder::default()
    }

    pub(super) fn new(core: Core, declared: Declarations, listeners: Vec<Listening>) -> Self {
        let own = core.pipeline.providers.get::<OwnHandle>();
        let (client, open) = (core.client.clone(), core.client.ending_with(core.phase.subscribe()));
        let core = Arc::new(core);
        let noting: Weak<Core> = Arc::downgrade(&core);
        core.pipeline.note_to(noting);
        let scheduler = Self(Arc::new(Owner {
            core,
            client: open,
            declared,
            listeners: Mutex::new(listeners),
            ended: Mutex::default(),
            starting: Starting::default(),
        }));
        if let Some(OwnHandle(slot)) = own {
            // The slot is new with every builder, so it is empty.
            slot.set((Arc::downgrade(&scheduler.0), client)).ok();
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

    /// A client of the same store, with the checks and the events of this scheduler. It does not keep the scheduler alive, and goes on
    /// when the scheduler ends: see [`Client`].
    pub fn client(&self) -> Client {
        self.core().client.clone()
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

    /// Asks executions to stop, through their cancellation tokens, wherever they run. Those of this node hear of it at
    /// once. Says which are under way. Works while the scheduler shuts down, so what holds up the shutdown can be stopped.
    ///
    /// # Errors
    ///
    /// The scheduler has been shut down; `what` names a job or a trigger that does not exist and has no run; or the store has
    /// failed, and the executions of this node have heard of it nevertheless.
    pub async fn cancel(&self, what: Executions) -> Result<Vec<ExecutionId>> {
        if self.state() != SchedulerState::Shutdown {
            self.core().cancel_here(&what);
        }
        self.0.client.cancel(what).await
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
