//! The start of a scheduler: reach the store, put in place what is declared, run the start-up jobs, begin to fire.
//!
//! Each step may be repeated, so a start that has failed or was dropped goes on when it is called again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::handle::Scheduler;
use crate::client::{bind, closed};
use crate::engine::{self, Core, Engine, StoreFailures};
use crate::error::{During, Error, Result};
use crate::execute::Pool;
use crate::job::{
    BoxFuture, CANNOT_SNOOZE, CancelReason, ExecutionId, Invocation, Launcher, Outcome, RunParts,
};
use crate::log::listed;
use crate::store::*;
use crate::time::{aside, by};
use crate::trigger::Trigger;
use crate::watch::SchedulerState;

/// How long a node whose start has failed tries to tell the store.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Start-up runs have this bit in their number, so that none of them has the id of a claim of the same session.
const START_UP: u64 = 1 << 63;

/// Held by the call that starts the scheduler, over its waits; when that call is dropped, the next one goes on.
pub(super) type Starting = tokio::sync::Mutex<StartUp>;

/// How far the start-up jobs have got, over all calls.
#[derive(Debug, Default)]
pub(super) struct StartUp {
    /// How many have succeeded.
    done: usize,
    /// Tells how the run of the next one has ended, if it has begun.
    running: Option<oneshot::Receiver<Outcome>>,
    /// The last number that a run got.
    last: u64,
}

/// The start.
impl Scheduler {
    /// Starts to fire triggers, or goes on after [`standby`](Self::standby). Nothing happens if it runs already.
    ///
    /// The first start puts the declared schedules in place, then runs the start-up jobs to their end, then fires.
    /// Jobs run on the tokio runtime in which this is called first. A store that cannot be reached, or has no room, is waited
    /// for, ever longer and for as long as it takes (a process that systemd starts has `TimeoutStartSec` for it); [`store_trouble`](Self::store_trouble) says so meanwhile.
    ///
    /// # Errors
    ///
    /// It has been shut down, also while it waits; another call starts it already; there is no runtime; the store refuses
    /// what is declared; or a start-up job has failed. The node is not among the [nodes](crate::Client::nodes) then. After any of
    /// these but the first it may be started again.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the scheduler is not started, and a start-up job under way goes on to its end. A further call goes on
    /// from there: it waits for that job, and runs no start-up job again that has succeeded.
    pub async fn start(&self) -> Result<()> {
        self.begin().await.during("start")
    }

    async fn begin(&self) -> Result<()> {
        match self.core().enter(SchedulerState::Running, &[SchedulerState::Standby]) {
            Ok(()) | Err(SchedulerState::Running) => return Ok(()),
            Err(SchedulerState::Created) => {}
            Err(_) => return Err(closed()),
        }
        let starting = self.0.starting.try_lock();
        let mut start_up = starting
            .map_err(|_| Error::conflict("the scheduler is being started already; wait for that call"))?;
        match self.state() {
            SchedulerState::Created => self.start_first(&mut start_up).await,
            state if state.ends() => Err(closed()),
            // Another call was faster.
            _ => Ok(()),
        }
    }

    async fn start_first(&self, start_up: &mut StartUp) -> Result<()> {
        let core = self.core();
        let runtime = Handle::try_current()
            .map_err(|error| Error::config("start the scheduler inside a tokio runtime").caused_by(error))?;
        self.attach_listeners(&runtime);
        let pool = Pool::new(runtime, core.tasks.clone());
        let attached = self.patiently(|| Box::pin(self.attach())).await?;
        let started = self.start_attached(&pool, attached, start_up).await;
        if started.is_err() {
            self.leave().await;
        }
        started
    }

    /// From now on the listeners hear of events; a host calls this before its start-up tasks run.
    pub(crate) fn attach_listeners(&self, runtime: &Handle) {
        let core = self.core();
        core.set_runtime(runtime);
        for listener in std::mem::take(&mut *self.0.listeners.lock()) {
            core.spawn(core.pipeline.bus.attach(listener));
        }
    }

    /// Tells the store that this node does not work: its start has failed.
    async fn leave(&self) {
        let core = self.core();
        let deadline = core.clock.monotonic().saturating_add(LEAVE_WITHIN);
        if let Some(Err(error)) = by(&*core.clock, deadline, core.store.detach(core.session)).await {
            tracing::warn!(%error, "the store could not be told that this node has not started");
        }
    }

    /// Everything after the store knows this node.
    async fn start_attached(&self, pool: &Pool, attached: Attached, start_up: &mut StartUp) -> Result<()> {
        let core = self.core();
        core.keeps_history.store(attached.keeps_history, Ordering::Relaxed);
        core.stop_within.set(attached.stop_within.min(core.pipeline.cancel_grace)).ok();
        self.patiently(|| Box::pin(core.reconcile(&self.0.declared))).await?;
        #[cfg(feature = "schedule-file")]
        let watched = self.load_files().await?;
        self.run_start_up(pool, start_up).await?;
        // Nothing waits from here on, so nothing can be dropped half-way.
        let engine = Engine::new(core.clone(), pool.clone(), attached);
        *self.0.ended.lock() = Some(engine::start(core, engine, pool.runtime().clone())?);
        core.enter(SchedulerState::Running, &[SchedulerState::Created]).map_err(|_| closed())?;
        #[cfg(feature = "schedule-file")]
        watched.into_iter().for_each(|(file, text)| core.watch(file, text));
        self.note_started();
        Ok(())
    }

    fn note_started(&self) {
        let core = self.core();
        core.started.set(core.clock.now()).ok();
        let (scheduler, jobs) = (&core.settings.name, core.registry.job_types());
        let (count, names) = (jobs.len(), listed(jobs));
        tracing::info!(%scheduler, session = core.session, jobs = count, "scheduler `{scheduler}` has started and can run {count} jobs: {names}");
    }

    /// Puts in place what the files say, and returns what each has said.
    #[cfg(feature = "schedule-file")]
    async fn load_files(&self) -> Result<Vec<(crate::plugin::ScheduleFile, String)>> {
        let mut loaded = Vec::new();
        for file in &self.0.declared.files {
            loaded.push((file.clone(), self.core().load(file).await?));
        }
        Ok(loaded)
    }

    /// Asks the store again while it is in trouble, until the scheduler is shut down.
    async fn patiently<'a, T>(&self, ask: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        let core = self.core();
        let (mut store_failures, mut phase) = (StoreFailures::new(core.clone()), core.phase.subscribe());
        loop {
            match ask().await {
                Err(error) if error.is_transient() => {
                    let again = core.clock.monotonic().saturating_add(store_failures.failed(&error));
                    if by(&*core.clock, again, phase.wait_for(SchedulerState::ends)).await.is_some() {
                        return Err(closed());
                    }
                }
                result => {
                    store_failures.answered();
                    return if core.state().ends() { Err(closed()) } else { result };
                }
            }
        }
    }

    async fn attach(&self) -> Result<Attached> {
        let core = self.core();
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
        let queues = core.settings.queues.clone();
        core.store.attach(Node { session, name, types: Some(types), queues, wake, stop }).await
    }

    /// Runs the start-up jobs that have not succeeded yet, one after the other.
    async fn run_start_up(&self, pool: &Pool, start_up: &mut StartUp) -> Result<()> {
        let core = self.core();
        while let Some(job) = core.start_up.get(start_up.done) {
            if core.state().ends() {
                return Err(closed());
            }
            let running = match start_up.running.take() {
                Some(running) => running,
                None => {
                    start_up.last = ExecutionId::count_after(start_up.last, core.clock.now());
                    core.begin_start_up(pool, job, start_up.last)?
                }
            };
            // Stays there while it is awaited, for the next call.
            let outcome = start_up.running.insert(running).await;
            start_up.running = None;
            succeeded(job, outcome)?;
            start_up.done += 1;
        }
        Ok(())
    }
}

impl Core {
    /// Runs a job to its end through the pool, without a trigger in the store; the receiver gets its outcome. The run and
    /// what watches it are tasks, so they go on if the start is dropped.
    fn begin_start_up(
        self: &Arc<Self>,
        pool: &Pool,
        job: &Invocation,
        number: u64,
    ) -> Result<oneshot::Receiver<Outcome>> {
        let now = self.clock.now();
        let trigger = bind(job, Trigger::now(), now, || None)?;
        let parts = RunParts {
            id: ExecutionId::new(self.session, START_UP | number),
            job: job.detail().clone(),
            trigger: Arc::new(trigger),
            launcher: Launcher::Start,
            fence: number,
            scheduled: now,
            fired: now,
            previous: None,
            next: None,
            stored: None,
            caller: None,
        };
        let id = parts.id;
        let deadline = parts.job.timeout().map(|timeout| self.clock.monotonic().saturating_add(timeout));
        self.active.fetch_add(1, Ordering::AcqRel);
        self.pipeline.report_fired(&parts);
        pool.submit(self.execution(parts));
        let (tell, told) = oneshot::channel();
        let core = self.clone();
        let activity = self.clock.begin(&"the watch of a start-up job");
        self.spawn(activity.observe(async move {
            let outcome = core.end_of_start_up(id, deadline).await;
            core.free_slots(1);
            // Fails only if the scheduler is gone.
            tell.send(outcome).ok();
        }));
        Ok(told)
    }

    /// The outcome of a start-up run, which is aborted at the deadline. No loop runs yet that would take the ending, and the
    /// store knows of no claim.
    async fn end_of_start_up(&self, run: ExecutionId, deadline: Option<Duration>) -> Outcome {
        let ended = aside(self.ending_of(run));
        let Some(deadline) = deadline else { return ended.await.outcome };
        if let Some(ending) = by(&*self.clock, deadline, ended).await {
            return ending.outcome;
        }
        self.running.abort(run, CancelReason::Timeout);
        aside(self.ending_of(run)).await.outcome
    }
}

fn succeeded(job: &Invocation, outcome: Result<Outcome, oneshot::error::RecvError>) -> Result<()> {
    let gone = |_| Outcome::Panicked("the runtime was shut down while the job ran".to_owned());
    let outcome = outcome.unwrap_or_else(gone);
    let failure = match &outcome {
        Outcome::Snoozed(_) | Outcome::Throttled { .. } => Some(CANNOT_SNOOZE.to_owned()),
        outcome => outcome.failure(),
    };
    let Some(failure) = failure else { return Ok(()) };
    let error = Error::config(format!("start-up job `{}`: {failure}", job.key())).for_job(job.key());
    Err(match outcome {
        Outcome::Failed(cause) | Outcome::Discarded(cause) => error.caused_by(cause),
        _ => error,
    })
}
