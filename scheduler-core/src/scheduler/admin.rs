//! What users do with jobs, triggers and calendars.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::absent::absent;
use super::core::{Core, SchedulerState};
use super::event::Event;
use super::handle::{Scheduler, closed};
use super::reconcile::anew;
use crate::calendar::Calendar;
use crate::data::JobData;
use crate::error::{During, Error, Result};
use crate::job::{BoxFuture, IntoInvocation, Invocation, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::store::*;
use crate::trigger::{Progress, Trigger, TriggerBuilder};

/// How often a trigger that others change at the same time is read anew before a change of it gives up.
const MOST_TRIES: usize = 16;

/// A schedule that was put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Scheduled {
    /// The name of the trigger.
    pub trigger: TriggerKey,
    /// When it fires first.
    pub first_fire_time: DateTime<Utc>,
}

/// What there is to know about a scheduler itself.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SchedulerMetadata {
    /// Its name.
    pub name: Arc<str>,
    /// The number of this life of it, unique over restarts and nodes.
    pub session: u64,
    /// The version of this library.
    pub version: &'static str,
    /// In which phase of its life it is.
    pub state: SchedulerState,
    /// Since when it has been started; none if it is not yet.
    pub started: Option<DateTime<Utc>>,
    /// How many executions have ended on this node.
    pub executed: u64,
    /// How many are queued or running on this node.
    pub running: usize,
    /// How many may be under way at once.
    pub concurrency: usize,
    /// The job types that it can run.
    pub job_types: Vec<Arc<str>>,
    /// The limits of execution groups.
    pub limits: ExecutionLimits,
}

/// Putting schedules in place.
impl Scheduler {
    /// Schedules a job. The job is stored with its first trigger; one that is stored already stays as it is.
    ///
    /// A trigger without a name gets one that nobody else has.
    ///
    /// # Errors
    ///
    /// The trigger is wrong or would never fire, the job's function is not registered, a trigger of this name
    /// exists already, its calendar is not stored, or the store has failed.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the schedule may or may not be in place.
    pub fn schedule(
        &self,
        job: impl IntoInvocation,
        trigger: TriggerBuilder,
    ) -> BoxFuture<'_, Result<Scheduled>> {
        // A future without the type of the job: otherwise the compiler repeats a mistake in it at every `await`.
        let job = job.into_invocation();
        Box::pin(async move { self.put_one(job, trigger).await.during("schedule") })
    }

    /// Schedules many jobs in one step: all of them or none. `existing` says what becomes of jobs and triggers that are
    /// stored already.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// use scheduler_core::store::Existing;
    ///
    /// # #[job] async fn import(region: String) {}
    /// # async fn put(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// let hourly = |region: &str| Trigger::cron("0 0 * * * ?").name(&format!("imports/{region}"));
    /// let schedules = ["eu", "us"].map(|region| (import::with(region.to_owned()), hourly(region)));
    /// scheduler.schedule_all(schedules, Existing::Replace).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule); a conflict names everything that is there already.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, all of them are in place or none. A store may do more than 500 triggers in parts: then some parts may be in
    /// place, and the same call again completes them with any `existing` but [`Existing::Refuse`].
    pub async fn schedule_all(
        &self,
        schedules: impl IntoIterator<Item = (Invocation, TriggerBuilder)>,
        existing: Existing,
    ) -> Result<Vec<Scheduled>> {
        self.put_all(schedules, existing, existing).await.during("schedule_all")
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
    pub fn enqueue(&self, job: impl IntoInvocation) -> BoxFuture<'_, Result<TriggerKey>> {
        let job = job.into_invocation();
        Box::pin(async move {
            let put = self.put_one(job, Trigger::now()).await;
            put.map(|scheduled| scheduled.trigger).during("enqueue")
        })
    }

    /// Runs a stored or registered job as soon as a slot is free, with `data` laid over its own. Returns the name of the
    /// trigger made for it.
    ///
    /// # Errors
    ///
    /// There is no such job, or its argument cannot be read from its data with `data` over it; otherwise as
    /// [`schedule`](Self::schedule).
    pub async fn trigger_job(&self, job: &JobKey, data: JobData) -> Result<TriggerKey> {
        self.put_run(job, data).await.of_job(job).during("trigger_job")
    }

    async fn put_run(&self, job: &JobKey, data: JobData) -> Result<TriggerKey> {
        self.open()?;
        let query = JobQuery { keys: vec![job.clone()], ..JobQuery::default() };
        let detail = match self.core().store.jobs(query).await?.pop() {
            Some(stored) => stored,
            None => self.registered(job)?,
        };
        let put = self.put_one(Invocation::new(detail), Trigger::now().data(data)).await;
        put.map(|scheduled| scheduled.trigger)
    }

    async fn put_one(&self, job: Invocation, trigger: TriggerBuilder) -> Result<Scheduled> {
        let key = job.key().clone();
        let put = self.put_all([(job, trigger)], Existing::Keep, Existing::Refuse).await;
        put.of_job(&key)?.pop().ok_or_else(closed)
    }

    pub(super) fn registered(&self, key: &JobKey) -> Result<Arc<JobDetail>> {
        let known = self.core().registry.in_order();
        let found = known.iter().find(|definition| definition.detail().key() == key);
        found.map(|definition| Arc::new(definition.detail().clone())).ok_or_else(|| {
            absent("job", key, known.iter().map(|definition| definition.detail().key())).for_job(key)
        })
    }

    async fn put_all(
        &self,
        schedules: impl IntoIterator<Item = (Invocation, TriggerBuilder)>,
        existing_jobs: Existing,
        existing_triggers: Existing,
    ) -> Result<Vec<Scheduled>> {
        let core = self.open()?;
        let schedules = schedules.into_iter();
        let (room, now) = (schedules.size_hint().0, core.clock.now());
        let (mut jobs, mut triggers) = (Vec::with_capacity(room), Vec::with_capacity(room));
        for (mut job, trigger) in schedules {
            if let Some(problem) = core.registry.recognise(&mut job) {
                return Err(Error::config(problem).for_job(job.key()));
            }
            let trigger = trigger.or_misfire(core.settings.misfire);
            let trigger = bind(&job, trigger, now, || Some(self.unused_name(job.key())))?;
            self.check_arguments(&job, trigger.data()).await?;
            triggers.push((Arc::new(trigger), Progress::default()));
            jobs.push(job.into_detail());
        }
        let calendars = core.calendars_for(triggers.iter().map(|(trigger, _)| &**trigger)).await?;
        let mut scheduled = Vec::with_capacity(triggers.len());
        for (trigger, progress) in &mut triggers {
            *progress = calendars.first(trigger)?;
            scheduled.push(put_in_place(trigger, progress, now)?);
        }
        let may_be_there = matches!(existing_triggers, Existing::Keep | Existing::Update);
        let told = if may_be_there || core.bus.is_heard() { triggers.clone() } else { Vec::new() };
        let put = core.store.put(Put { jobs, existing_jobs, triggers, existing_triggers }).await;
        put.map_err(|error| match &scheduled[..] {
            [alone] => error.for_trigger(&alone.trigger),
            _ => error,
        })?;
        if may_be_there {
            return self.put_beside(scheduled, told).await;
        }
        told.iter().for_each(|(trigger, progress)| core.report_scheduled(trigger, progress));
        Ok(scheduled)
    }

    /// What became of triggers some of which may have been there.
    async fn put_beside(
        &self,
        mut scheduled: Vec<Scheduled>,
        put: Vec<(Arc<Trigger>, Progress)>,
    ) -> Result<Vec<Scheduled>> {
        let keys = put.iter().map(|(trigger, _)| trigger.key().clone()).collect();
        let stored = self.stored(keys).await?;
        let stored: HashMap<_, _> = stored.iter().map(|status| (status.trigger.key(), status)).collect();
        for (scheduled, (trigger, _)) in scheduled.iter_mut().zip(&put) {
            let Some(status) = stored.get(trigger.key()) else { continue };
            scheduled.first_fire_time = status.progress.next.unwrap_or(scheduled.first_fire_time);
            if *trigger == status.trigger {
                self.core().report_scheduled(trigger, &status.progress);
            }
        }
        Ok(scheduled)
    }

    /// Arguments that were written by `with` fit; all others are read once to find out.
    async fn check_arguments(&self, job: &Invocation, data: &JobData) -> Result<()> {
        let registry = &self.core().registry;
        if !job.data()?.is_empty() || registry.misfit(job.detail(), data).is_none() {
            return Ok(());
        }
        // A job that is stored already stays as it is, and may have data of its own.
        let stored = self.job(job.key()).await?;
        let problem = registry.misfit(stored.as_ref().unwrap_or(job.detail()), data);
        problem.map_or(Ok(()), |problem| Err(Error::config(problem).for_job(job.key())))
    }

    /// For every verb that changes what is stored: none of them works once the shutdown has begun.
    fn open(&self) -> Result<&Arc<Core>> {
        if self.state().ends() { Err(closed()) } else { Ok(self.core()) }
    }
}

/// Changing schedules.
impl Scheduler {
    /// Gives a job another schedule: replaces a trigger by a new one of the same job, which keeps the name unless it has
    /// one of its own, and remembers when the old one fired last. None if there is no such trigger.
    ///
    /// The new trigger keeps the data of the old one, which has the arguments of the job; data of its own is laid over that. The
    /// state begins anew: it is paused only if its group is.
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule); the new trigger names another job.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the trigger is the old one or the new one.
    pub async fn reschedule(&self, key: &TriggerKey, trigger: TriggerBuilder) -> Result<Option<Scheduled>> {
        self.replace_trigger(key, trigger).await.of_trigger(key).during("reschedule")
    }

    async fn replace_trigger(&self, key: &TriggerKey, trigger: TriggerBuilder) -> Result<Option<Scheduled>> {
        let core = self.open()?;
        for _ in 0..MOST_TRIES {
            let Some(old) = self.stored(vec![key.clone()]).await?.pop() else { return Ok(None) };
            let trigger = trigger.clone().or_misfire(core.settings.misfire);
            let now = core.clock.now();
            let trigger =
                trigger.or_for(old.trigger.job()).or_key(key).over(old.trigger.data()).build(now)?;
            let job = self.job(old.trigger.job()).await?;
            let trigger = trigger.or_execution_group(job.as_ref().and_then(|job| job.execution_group()));
            let calendars = core.calendars_for(std::iter::once(&trigger)).await?;
            let progress = anew(&trigger, &old.progress, &calendars)?;
            let scheduled = put_in_place(&trigger, &progress, now)?;
            let trigger = Arc::new(trigger);
            let change = Reschedule {
                old: key.clone(),
                revision: Some(old.revision),
                trigger: trigger.clone(),
                progress: Some(progress.clone()),
            };
            if core.store.reschedule(change).await? {
                core.report_scheduled(&trigger, &progress);
                return Ok(Some(scheduled));
            }
        }
        Err(changes_all_the_time(key))
    }

    /// Changes a trigger without touching when it fires: description, priority, data, misfire and overlap policy, execution
    /// group. It goes on from where it is, paused or not. Says whether there is such a trigger.
    ///
    /// ```
    /// # async fn raise(scheduler: scheduler_core::Scheduler) -> scheduler_core::Result<()> {
    /// scheduler.update_trigger(&"billing/nightly".parse()?, |trigger| trigger.priority(9)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The change would move its fire times or give it another name or job: use [`reschedule`](Self::reschedule).
    pub async fn update_trigger(
        &self,
        key: &TriggerKey,
        change: impl Fn(TriggerBuilder) -> TriggerBuilder,
    ) -> Result<bool> {
        self.change_trigger(key, change).await.of_trigger(key).during("update_trigger")
    }

    async fn change_trigger(
        &self,
        key: &TriggerKey,
        change: impl Fn(TriggerBuilder) -> TriggerBuilder,
    ) -> Result<bool> {
        let core = self.open()?;
        for _ in 0..MOST_TRIES {
            let Some(old) = self.stored(vec![key.clone()]).await?.pop() else { return Ok(false) };
            let trigger = change(old.trigger.to_builder()).build(core.clock.now())?;
            if trigger.key() != key
                || trigger.job() != old.trigger.job()
                || !trigger.same_timing(&old.trigger)
            {
                return Err(Error::config(format!(
                    "the change of trigger `{key}` concerns its name, its job or when it fires; use `reschedule`"
                ))
                .for_trigger(key));
            }
            let (revision, trigger) = (Some(old.revision), Arc::new(trigger));
            if core
                .store
                .reschedule(Reschedule { old: key.clone(), revision, trigger, progress: None })
                .await?
            {
                return Ok(true);
            }
        }
        Err(changes_all_the_time(key))
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
        Ok(self.remove_triggers(vec![trigger.clone()]).await.of_trigger(trigger).during("unschedule")? == 1)
    }

    /// As [`unschedule`](Self::unschedule), for many. Says how many were there.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn unschedule_all(&self, triggers: impl IntoIterator<Item = TriggerKey>) -> Result<usize> {
        self.remove_triggers(triggers.into_iter().collect()).await.during("unschedule_all")
    }

    async fn remove_triggers(&self, keys: Vec<TriggerKey>) -> Result<usize> {
        let core = self.open()?;
        let removed = core.store.remove_triggers(keys.clone()).await?;
        let found = keys.into_iter().zip(removed).filter(|(_, removed)| removed.found);
        Ok(found.map(|(trigger, _)| core.bus.send(|| Event::Unscheduled { trigger })).count())
    }

    /// Pauses triggers, and remembers groups: see [`Pause`]. Says which triggers were not paused before.
    ///
    /// # Errors
    ///
    /// The selection names a trigger or a job that does not exist; the store has failed.
    pub async fn pause(&self, what: Selection) -> Result<Vec<TriggerKey>> {
        self.hold(what, PauseNote::default()).await.during("pause")
    }

    /// As [`pause`](Self::pause), with a reason, an author and an end.
    ///
    /// ```
    /// # use scheduler_core::store::{PauseNote, Selection};
    /// # async fn hold(scheduler: scheduler_core::Scheduler) -> scheduler_core::Result<()> {
    /// let note = PauseNote::because("database migration").by("ada").until("2030-01-01T06:00:00Z".parse().unwrap());
    /// scheduler.pause_with(Selection::All, note).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn pause_with(&self, what: Selection, note: PauseNote) -> Result<Vec<TriggerKey>> {
        self.hold(what, note).await.during("pause_with")
    }

    async fn hold(&self, what: Selection, note: PauseNote) -> Result<Vec<TriggerKey>> {
        let core = self.open()?;
        let note = PauseNote { since: core.clock.now(), ..note };
        let triggers = core.store.pause(Pause { what: what.clone(), note }).await?;
        if triggers.is_empty() {
            self.check_exists(&what).await?;
        }
        core.bus.send(|| Event::Paused { triggers: triggers.clone() });
        Ok(triggers)
    }

    /// Resumes triggers, and forgets groups; says which were paused. What they missed is treated by their misfire policies.
    ///
    /// # Errors
    ///
    /// The selection names a trigger or a job that does not exist; the store has failed.
    pub async fn resume(&self, what: Selection) -> Result<Vec<TriggerKey>> {
        let core = self.open().during("resume")?;
        let triggers = core.store.resume(what.clone()).await.during("resume")?;
        if triggers.is_empty() {
            self.check_exists(&what).await.during("resume")?;
        }
        core.bus.send(|| Event::Resumed { triggers: triggers.clone() });
        Ok(triggers)
    }

    /// Clears the error of a trigger, which is paused then if its group is. Says whether it was in error.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn reset_from_error(&self, trigger: &TriggerKey) -> Result<bool> {
        let core = self.open().during("reset_from_error")?;
        let reset = core.store.reset(vec![trigger.clone()]).await;
        Ok(reset.of_trigger(trigger).during("reset_from_error")?.contains(&true))
    }

    /// Removes all jobs, triggers, calendars and remembered pauses. Runs under way go on, and a job that allows one run at a time
    /// waits for its run when it is stored again. The history stays.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn clear(&self) -> Result<()> {
        let core = self.open().during("clear")?;
        core.store.clear().await.during("clear")?;
        core.bus.send(|| Event::Cleared);
        Ok(())
    }
}

/// Jobs and calendars.
impl Scheduler {
    /// Stores a job without a schedule, to be triggered later. Triggers of a job that is replaced stay.
    ///
    /// # Errors
    ///
    /// The job is not durable and has no trigger, so it would be gone at once; its function is not registered; there
    /// is one already and `existing` refuses.
    pub async fn add_job(&self, job: JobDetail, existing: Existing) -> Result<()> {
        self.put_job(job, existing).await.during("add_job")
    }

    async fn put_job(&self, job: JobDetail, existing: Existing) -> Result<()> {
        let core = self.open()?;
        if let Some(problem) = core.registry.unknown(&job) {
            return Err(Error::config(problem).for_job(job.key()));
        }
        let key = job.key().clone();
        let triggers = TriggerQuery { job: Some(key.clone()), limit: Some(1), ..TriggerQuery::default() };
        if !job.durable() && core.store.triggers(triggers).await?.is_empty() {
            return Err(Error::config(format!(
                "job `{key}` is not durable and has no trigger; build it with `durable(true)` or schedule it"
            ))
            .for_job(&key));
        }
        let (jobs, triggers) = (vec![Arc::new(job)], Vec::new());
        core.store.put(Put { jobs, existing_jobs: existing, triggers, existing_triggers: existing }).await?;
        core.bus.send(|| Event::JobStored { job: key });
        Ok(())
    }

    /// Removes a job with all its triggers. Says whether it was there. Runs under way go on.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn delete_job(&self, job: &JobKey) -> Result<bool> {
        let core = self.open().during("delete_job")?;
        let found =
            core.store.remove_jobs(vec![job.clone()]).await.of_job(job).during("delete_job")?.contains(&true);
        if found {
            core.bus.send(|| Event::JobRemoved { job: job.clone() });
        }
        Ok(found)
    }

    /// Stores a calendar. Triggers that name it move to the times that it includes.
    ///
    /// # Errors
    ///
    /// A conflict: there is one of this name, and it is not to be replaced. The calendar has a
    /// [problem](Calendar::problem).
    pub async fn put_calendar(&self, name: &str, calendar: impl Calendar, replace: bool) -> Result<()> {
        let name: Arc<str> = name.into();
        let core = self.open().during("put_calendar")?;
        core.put_calendar(&name, Arc::new(calendar), replace).await.during("put_calendar")?;
        core.bus.send(|| Event::CalendarChanged { name });
        Ok(())
    }

    /// Removes a calendar. Says whether it was there.
    ///
    /// # Errors
    ///
    /// A conflict: triggers name it.
    pub async fn remove_calendar(&self, name: &str) -> Result<bool> {
        let core = self.open().during("remove_calendar")?;
        let found = core.store.remove_calendar(name.into()).await.during("remove_calendar")?;
        if found {
            core.bus.send(|| Event::CalendarChanged { name: name.into() });
        }
        Ok(found)
    }

    /// The calendars, in the order of their names.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn calendars(&self) -> Result<Vec<NamedCalendar>> {
        self.core().store.calendars().await.during("calendars")
    }
}

/// Looking.
impl Scheduler {
    /// The job of this name.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn job(&self, key: &JobKey) -> Result<Option<Arc<JobDetail>>> {
        let query = JobQuery { keys: vec![key.clone()], ..JobQuery::default() };
        Ok(self.core().store.jobs(query).await.of_job(key).during("job")?.pop())
    }

    /// The trigger of this name, with its state and fire times.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn trigger(&self, key: &TriggerKey) -> Result<Option<TriggerStatus>> {
        Ok(self.stored(vec![key.clone()]).await.of_trigger(key).during("trigger")?.pop())
    }

    /// The jobs that match, in the order of their keys.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn jobs(&self, query: JobQuery) -> Result<Vec<Arc<JobDetail>>> {
        self.core().store.jobs(query).await.during("jobs")
    }

    /// The triggers that match, in the order of their keys.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn triggers(&self, query: TriggerQuery) -> Result<Vec<TriggerStatus>> {
        self.core().store.triggers(query).await.during("triggers")
    }

    async fn stored(&self, keys: Vec<TriggerKey>) -> Result<Vec<TriggerStatus>> {
        self.core().store.triggers(TriggerQuery { keys, ..TriggerQuery::default() }).await
    }

    /// The groups of jobs or triggers, with how many are in each and whether it is paused.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn groups(&self, kind: GroupKind) -> Result<Vec<GroupStatus>> {
        self.core().store.groups(kind).await.during("groups")
    }

    /// What there is to know about the scheduler itself.
    pub fn metadata(&self) -> SchedulerMetadata {
        let core = self.core();
        SchedulerMetadata {
            name: core.settings.name.clone(),
            session: core.session,
            version: env!("CARGO_PKG_VERSION"),
            state: core.state(),
            started: core.started.get().copied(),
            executed: core.executed.load(Ordering::Relaxed),
            running: core.running.list().len(),
            concurrency: core.settings.concurrency,
            job_types: core.registry.job_types(),
            limits: core.limits.read().clone(),
        }
    }

    /// Sets the limits of execution groups of this node. Runs that exceed them go on. Nothing happens after the shutdown.
    pub fn set_limits(&self, limits: ExecutionLimits) {
        *self.core().limits.write() = limits;
        self.core().wake();
    }
}

impl Core {
    pub(super) fn misfire_threshold(&self) -> TimeDelta {
        TimeDelta::from_std(self.settings.misfire_threshold).unwrap_or(TimeDelta::MAX)
    }

    fn report_scheduled(&self, trigger: &Trigger, progress: &Progress) {
        let (key, job) = (trigger.key(), trigger.job());
        self.bus.send(|| Event::Scheduled { trigger: key.clone(), job: job.clone(), next: progress.next });
    }
}

/// The trigger for this job; without a name of its own it takes `name`, or that of the job.
pub(super) fn bind(
    job: &Invocation,
    trigger: TriggerBuilder,
    now: DateTime<Utc>,
    name: impl FnOnce() -> Option<String>,
) -> Result<Trigger> {
    let data = job.data().map_err(|error| Error::from(error).for_job(job.key()))?;
    if let Some(problem) = job.detail().problem() {
        return Err(Error::config(problem).for_job(job.key()));
    }
    let trigger = match (!trigger.has_key()).then(name) {
        None => trigger,
        Some(Some(name)) => trigger.key(TriggerKey::in_group(job.key().group(), &name)?),
        Some(None) => trigger.key(TriggerKey::from(job.key())),
    };
    let trigger = trigger.or_for(job.key()).over(data).build(now)?;
    Ok(trigger.or_execution_group(job.detail().execution_group()))
}

fn put_in_place(trigger: &Trigger, progress: &Progress, now: DateTime<Utc>) -> Result<Scheduled> {
    if let Some(problem) = trigger.never_fires(progress, now) {
        return Err(Error::config(problem).for_trigger(trigger.key()).for_job(trigger.job()));
    }
    let first_fire_time = progress.next.unwrap_or(now);
    Ok(Scheduled { trigger: trigger.key().clone(), first_fire_time })
}

fn changes_all_the_time(key: &TriggerKey) -> Error {
    Error::conflict(format!("trigger `{key}` was changed by others each time; try again")).for_trigger(key)
}
