//! Putting schedules in place.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::absent::absent;
use super::handle::{Client, closed};
use crate::data::JobData;
use crate::error::{During, Error, Result};
use crate::job::{BoxFuture, IntoInvocation, Invocation, JobDetail, Registry};
use crate::key::{JobKey, TriggerKey};
use crate::store::*;
use crate::trigger::{Progress, Trigger, TriggerBuilder};
use crate::watch::Event;

/// A schedule that was put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Scheduled {
    /// The name of the trigger.
    pub trigger: TriggerKey,
    /// When it fires first.
    pub first_fire_time: DateTime<Utc>,
}

/// Putting schedules in place.
impl Client {
    /// Schedules a job. The job is stored with its first trigger; one that is stored already stays as it is.
    ///
    /// A trigger without a name gets one that nobody else has.
    ///
    /// # Errors
    ///
    /// The trigger is wrong or would never fire, a trigger of this name exists already, its calendar is not stored, or the store has
    /// failed. Where the client is that of a scheduler: the job's function is not registered there, or cannot read its argument.
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

    async fn put_one(&self, job: Invocation, trigger: TriggerBuilder) -> Result<Scheduled> {
        let key = job.key().clone();
        let put = self.put_all([(job, trigger)], Existing::Keep, Existing::Refuse).await;
        put.of_job(&key)?.pop().ok_or_else(closed)
    }

    /// The job of this name, as the code declares it.
    pub(crate) fn registered(&self, key: &JobKey) -> Result<Arc<JobDetail>> {
        let known = self.registry().map(Registry::in_order).unwrap_or_default();
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
        let store = self.open()?;
        let schedules = schedules.into_iter();
        let (room, now) = (schedules.size_hint().0, self.now());
        let (mut jobs, mut triggers) = (Vec::with_capacity(room), Vec::with_capacity(room));
        for (mut job, trigger) in schedules {
            if let Some(problem) = self.registry().and_then(|registry| registry.recognise(&mut job)) {
                return Err(Error::config(problem).for_job(job.key()));
            }
            let trigger = trigger.or_misfire(self.misfire());
            let trigger = bind(&job, trigger, now, || Some(self.unused_name(job.key())))?;
            self.check_arguments(&job, trigger.data()).await?;
            triggers.push((Arc::new(trigger), Progress::default()));
            jobs.push(job.into_detail());
        }
        let calendars = self.calendars_for(triggers.iter().map(|(trigger, _)| &**trigger)).await?;
        let mut scheduled = Vec::with_capacity(triggers.len());
        for (trigger, progress) in &mut triggers {
            *progress = calendars.first(trigger)?;
            scheduled.push(put_in_place(trigger, progress, now)?);
        }
        let may_be_there = matches!(existing_triggers, Existing::Keep | Existing::Update);
        let told = if may_be_there || self.is_heard() { triggers.clone() } else { Vec::new() };
        let put = store.put(Put { jobs, existing_jobs, triggers, existing_triggers }).await;
        put.map_err(|error| match &scheduled[..] {
            [alone] => error.for_trigger(&alone.trigger),
            _ => error,
        })?;
        if may_be_there {
            return self.put_beside(scheduled, told).await;
        }
        told.iter().for_each(|(trigger, progress)| self.report_scheduled(trigger, progress));
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
                self.report_scheduled(trigger, &status.progress);
            }
        }
        Ok(scheduled)
    }

    /// Arguments that were written by `with` fit; all others are read once to find out.
    pub(super) async fn check_arguments(&self, job: &Invocation, data: &JobData) -> Result<()> {
        let Some(registry) = self.registry() else { return Ok(()) };
        if !job.data()?.is_empty() || registry.misfit(job.detail(), data).is_none() {
            return Ok(());
        }
        // A job that is stored already stays as it is, and may have data of its own.
        let stored = self.job(job.key()).await?;
        let problem = registry.misfit(stored.as_ref().unwrap_or(job.detail()), data);
        problem.map_or(Ok(()), |problem| Err(Error::config(problem).for_job(job.key())))
    }

    pub(super) fn report_scheduled(&self, trigger: &Trigger, progress: &Progress) {
        let (key, job) = (trigger.key(), trigger.job());
        self.tell(|| Event::Scheduled { trigger: key.clone(), job: job.clone(), next: progress.next });
    }
}

/// The trigger for this job; without a name of its own it takes `name`, or that of the job.
pub(crate) fn bind(
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
    Ok(trigger.or_queue(job.detail().queue()))
}

/// The answer for a trigger that is stored; an error for one that would never fire.
pub(super) fn put_in_place(trigger: &Trigger, progress: &Progress, now: DateTime<Utc>) -> Result<Scheduled> {
    if let Some(problem) = trigger.never_fires(progress, now) {
        return Err(Error::config(problem).for_trigger(trigger.key()).for_job(trigger.job()));
    }
    let first_fire_time = progress.next.unwrap_or(now);
    Ok(Scheduled { trigger: trigger.key().clone(), first_fire_time })
}
