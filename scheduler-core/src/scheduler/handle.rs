//! The handle of a scheduler: everything that users do with it.

use std::future::{Future, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::builder::SchedulerBuilder;
use super::core::{Calendars, Core, SchedulerState};
use super::event::{Event, Events};
use super::firing::Engine;
use super::looper;
use super::pool::Pool;
use super::running::RunningExecution;
use super::shutdown::ShutdownReport;
use crate::error::{Error, Result};
use crate::job::{
    CancelReason, ExecutionId, ExtractError, FromContext, Invocation, JobContext, JobDetail, RunParts,
};
use crate::key::{JobKey, TriggerKey};
use crate::store::*;
use crate::trigger::{Progress, Trigger, TriggerBuilder};

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
#[derive(Debug, Clone)]
pub struct Scheduler(Arc<Owner>);

/// Ends the loop when the last handle goes.
#[derive(Debug)]
pub(super) struct Owner {
    core: Arc<Core>,
    declared: Vec<(Invocation, Trigger)>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    names: AtomicU64,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.phase.send_replace(SchedulerState::Shutdown);
        self.core.ring();
    }
}

/// A handle that does not keep its scheduler alive.
#[derive(Debug, Clone)]
pub struct WeakScheduler(Weak<Owner>);

impl WeakScheduler {
    /// The scheduler, unless its last handle has been dropped.
    pub fn upgrade(&self) -> Option<Scheduler> {
        self.0.upgrade().map(Scheduler)
    }
}

/// The way from a run back to its scheduler; weak, since the scheduler owns what runs see.
#[derive(Debug, Clone, Default)]
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

/// A schedule that was put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scheduled {
    /// The name of the trigger.
    pub trigger: TriggerKey,
    /// When it fires first.
    pub first_fire_time: DateTime<Utc>,
}

/// Its life.
impl Scheduler {
    /// Starts to build a scheduler.
    pub fn builder() -> SchedulerBuilder {
        SchedulerBuilder::default()
    }

    pub(super) fn new(core: Core, declared: Vec<(Invocation, Trigger)>) -> Self {
        let own = core.providers.get::<Own>().cloned();
        let scheduler = Self(Arc::new(Owner {
            core: Arc::new(core),
            declared,
            ended: Mutex::default(),
            names: AtomicU64::new(0),
        }));
        if let Some(Own(slot)) = own {
            // The slot is new with every builder, so it is empty.
            slot.set(Arc::downgrade(&scheduler.0)).ok();
        }
        scheduler
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
    /// Jobs run on the tokio runtime in which this is called.
    ///
    /// # Errors
    ///
    /// It has been shut down, there is no runtime, the store cannot be reached, or a start-up job has failed.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a start that is dropped half-way cannot be repeated; shut the scheduler down.
    pub async fn start(&self) -> Result<()> {
        let core = &self.0.core;
        let first = match core.enter(SchedulerState::Running, &[SchedulerState::Standby]) {
            Ok(()) | Err(SchedulerState::Running) => return Ok(()),
            Err(SchedulerState::Created) => self.0.ended.lock().is_none(),
            Err(_) => return Err(closed()),
        };
        if !first {
            return Err(Error::conflict("the scheduler is being started already"));
        }
        let runtime = Handle::try_current()
            .map_err(|error| Error::config("start the scheduler inside a tokio runtime").caused_by(error))?;
        let pool = Pool::new(runtime);
        let attached = self.attach().await?;
        self.put_declared().await?;
        self.run_start_up(&pool).await?;
        let engine = Engine::new(core.clone(), pool.clone(), attached);
        *self.0.ended.lock() = Some(looper::start(core, engine, pool.runtime().clone())?);
        core.enter(SchedulerState::Running, &[SchedulerState::Created]).map_err(|_| closed())?;
        let jobs = core.registry.in_order();
        let names: Vec<_> = jobs.iter().map(|job| job.detail().job_type()).collect();
        tracing::info!(scheduler = %core.settings.name, session = core.session, jobs = ?names, "started");
        Ok(())
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
    /// A second call does nothing and reports nothing.
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

    async fn attach(&self) -> Result<Attached> {
        let core = &self.0.core;
        let weak = Arc::downgrade(core);
        let wake = Arc::new(move || {
            if let Some(core) = weak.upgrade() {
                core.wake();
            }
        });
        core.store.attach(Node { session: core.session, name: core.settings.name.clone(), wake }).await
    }

    async fn put_declared(&self) -> Result<()> {
        if self.0.declared.is_empty() {
            return Ok(());
        }
        let jobs = self.0.declared.iter().map(|(job, _)| job.detail().clone()).collect();
        let triggers = self
            .0
            .declared
            .iter()
            .map(|(_, trigger)| (Arc::new(trigger.clone()), trigger.first(self.0.core.calendar_of(trigger))))
            .collect();
        let put =
            Put { jobs, existing_jobs: Existing::Replace, triggers, existing_triggers: Existing::Replace };
        self.0.core.store.put(put).await
    }

    async fn run_start_up(&self, pool: &Pool) -> Result<()> {
        for (number, job) in self.0.core.start_up.iter().enumerate() {
            self.run_before_start(pool, number as u64, job).await?;
        }
        Ok(())
    }

    /// Runs a job to its end through the pool, without a trigger in the store.
    async fn run_before_start(&self, pool: &Pool, number: u64, job: &Invocation) -> Result<()> {
        let core = &self.0.core;
        let now = core.clock.now();
        let id = ExecutionId::new(core.session, u64::MAX - number);
        let trigger = Self::bind(job, Trigger::now(), now, None)?;
        let parts = RunParts {
            id,
            job: job.detail().clone(),
            trigger: Arc::new(trigger),
            fence: 0,
            attempt: 1,
            scheduled: now,
            fired: now,
            previous: None,
            next: None,
        };
        let mut events = core.bus.subscribe();
        core.active.fetch_add(1, Ordering::AcqRel);
        core.report_fired(&parts);
        pool.submit(core.execution(parts));
        while let Some(event) = events.next().await {
            match event {
                Event::Ended { execution, failure: Some(failure), .. } if execution == id => {
                    return Err(Error::config(format!("start-up job `{}`: {failure}", job.key())));
                }
                Event::Ended { execution, .. } if execution == id => break,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Its jobs and triggers.
impl Scheduler {
    /// Schedules a job. The job is stored with its first trigger; one that is stored already stays as it is.
    ///
    /// A trigger without a name gets one that nobody else has.
    ///
    /// # Errors
    ///
    /// The trigger is wrong or would never fire, the job's function is not registered, a trigger of this name
    /// exists already, or the store has failed.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the schedule may or may not be in place.
    pub async fn schedule(&self, job: impl Into<Invocation>, trigger: TriggerBuilder) -> Result<Scheduled> {
        let job = job.into();
        let core = &self.0.core;
        self.check_open()?;
        if let Some(problem) = core.registry.unknown(job.detail()) {
            return Err(Error::config(problem));
        }
        let trigger = trigger.or_misfire(core.settings.misfire);
        let trigger = Self::bind(&job, trigger, core.clock.now(), Some(self.unused_name(job.key())))?;
        let trigger = known_calendar(&core.calendars, trigger)?;
        let progress = trigger.first(core.calendar_of(&trigger));
        let Some(first_fire_time) = progress.next else { return Err(never_fires(&trigger)) };
        let key = trigger.key().clone();
        self.put(job.detail().clone(), trigger, progress).await?;
        Ok(Scheduled { trigger: key, first_fire_time })
    }

    /// Runs a job as soon as a slot is free: fire and forget. Returns the name of the trigger made for it.
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule).
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the job may or may not run.
    pub async fn enqueue(&self, job: impl Into<Invocation>) -> Result<TriggerKey> {
        self.schedule(job, Trigger::now()).await.map(|scheduled| scheduled.trigger)
    }

    /// Removes a trigger, and with its last one a job that is not durable. Says whether it was there.
    ///
    /// # Errors
    ///
    /// The store has failed.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the trigger may or may not be gone.
    pub async fn unschedule(&self, trigger: &TriggerKey) -> Result<bool> {
        Ok(self.0.core.store.remove_triggers(vec![trigger.clone()]).await?.contains(&true))
    }

    /// Pauses triggers; says how many were not paused before.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn pause(&self, what: Selection) -> Result<usize> {
        self.0.core.store.pause(what).await
    }

    /// Resumes triggers; says how many were paused. What they missed is treated by their misfire policies.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn resume(&self, what: Selection) -> Result<usize> {
        self.0.core.store.resume(what).await
    }

    /// The job of this name.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn job(&self, key: &JobKey) -> Result<Option<Arc<JobDetail>>> {
        Ok(self.jobs(JobQuery { keys: vec![key.clone()], ..JobQuery::default() }).await?.pop())
    }

    /// The trigger of this name, with its state and fire times.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn trigger(&self, key: &TriggerKey) -> Result<Option<TriggerStatus>> {
        Ok(self.triggers(TriggerQuery { keys: vec![key.clone()], ..TriggerQuery::default() }).await?.pop())
    }

    /// The jobs that match, in the order of their keys.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn jobs(&self, query: JobQuery) -> Result<Vec<Arc<JobDetail>>> {
        self.0.core.store.jobs(query).await
    }

    /// The triggers that match, in the order of their keys.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn triggers(&self, query: TriggerQuery) -> Result<Vec<TriggerStatus>> {
        self.0.core.store.triggers(query).await
    }

    fn unused_name(&self, job: &JobKey) -> String {
        let number = self.0.names.fetch_add(1, Ordering::Relaxed);
        format!("{}~{:x}-{number}", job.name(), self.0.core.session)
    }

    fn check_open(&self) -> Result<()> {
        match self.state() {
            SchedulerState::ShuttingDown | SchedulerState::Shutdown => Err(closed()),
            _ => Ok(()),
        }
    }

    /// The trigger for this job; without a name of its own it takes `name`, or that of the job.
    pub(super) fn bind(
        job: &Invocation,
        trigger: TriggerBuilder,
        now: DateTime<Utc>,
        name: Option<String>,
    ) -> Result<Trigger> {
        let data = job.data()?;
        let key = match name {
            Some(name) => TriggerKey::in_group(job.key().group(), &name)?,
            None => TriggerKey::from(job.key()),
        };
        Ok(trigger.or_for(job.key(), || key).over(data).build(now)?)
    }

    async fn put(&self, job: Arc<JobDetail>, trigger: Trigger, progress: Progress) -> Result<()> {
        let (jobs, triggers) = (vec![job], vec![(Arc::new(trigger), progress)]);
        let put = Put { jobs, existing_jobs: Existing::Keep, triggers, existing_triggers: Existing::Refuse };
        self.0.core.store.put(put).await
    }
}

/// Its executions.
impl Scheduler {
    /// What is queued or running on this node.
    pub fn running(&self) -> Vec<RunningExecution> {
        self.0.core.running.list()
    }

    /// Asks an execution on this node to stop, through its cancellation token. Says whether it is under way here.
    pub fn cancel(&self, execution: ExecutionId) -> bool {
        self.0.core.running.cancel(execution, CancelReason::Requested).is_some()
    }

    /// Asks every execution of a job on this node to stop. Says how many there are.
    pub fn cancel_job(&self, job: &JobKey) -> usize {
        self.0.core.running.ids_of(job).into_iter().filter(|id| self.cancel(*id)).count()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.0.core.bus.subscribe()
    }
}

/// The trigger, unless it names a calendar that is not there.
pub(super) fn known_calendar(calendars: &Calendars, trigger: Trigger) -> Result<Trigger> {
    match trigger.calendar() {
        Some(name) if !calendars.contains_key(name) => {
            let near = scheduler_syntax::nearest(name, calendars.keys().map(|known| &**known));
            let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            let key = trigger.key();
            Err(Error::config(format!(
                "trigger `{key}` names the calendar `{name}`, which is not there{hint}; call `.calendar(…)`"
            )))
        }
        _ => Ok(trigger),
    }
}

fn closed() -> Error {
    Error::closed("the scheduler has been shut down; build a new one")
}

fn never_fires(trigger: &Trigger) -> Error {
    Error::config(format!(
        "trigger `{}` ({}) will never fire: its schedule has no time in its window",
        trigger.key(),
        trigger.schedule()
    ))
}
