//! Changing what is stored: triggers, pauses and jobs; and stopping what runs.

use std::sync::Arc;

use super::calendars::anew;
use super::handle::Client;
use super::scheduling::{Scheduled, put_in_place};
use crate::error::{During, Error, Result};
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::store::*;
use crate::trigger::TriggerBuilder;
use crate::watch::Event;

/// How often a trigger that others change at the same time is read anew before a change of it gives up.
const MOST_TRIES: usize = 16;

/// Changing schedules.
impl Client {
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
        let store = self.open()?;
        for _ in 0..MOST_TRIES {
            let Some(old) = self.stored(vec![key.clone()]).await?.pop() else { return Ok(None) };
            let trigger = trigger.clone().or_misfire(self.misfire());
            let now = self.now();
            let trigger =
                trigger.or_for(old.trigger.job()).or_key(key).over(old.trigger.data()).build(now)?;
            let job = self.job(old.trigger.job()).await?;
            let trigger = trigger.or_queue(job.as_ref().and_then(|job| job.queue()));
            let calendars = self.calendars_for(std::iter::once(&trigger)).await?;
            let progress = anew(&trigger, &old.progress, &calendars)?;
            let scheduled = put_in_place(&trigger, &progress, now)?;
            let trigger = Arc::new(trigger);
            let change = Reschedule {
                old: key.clone(),
                revision: Some(old.revision),
                trigger: trigger.clone(),
                progress: Some(progress.clone()),
            };
            if store.reschedule(change).await? {
                self.report_scheduled(&trigger, &progress);
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
        let store = self.open()?;
        for _ in 0..MOST_TRIES {
            let Some(old) = self.stored(vec![key.clone()]).await?.pop() else { return Ok(false) };
            let trigger = change(old.trigger.to_builder()).build(self.now())?;
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
            if store.reschedule(Reschedule { old: key.clone(), revision, trigger, progress: None }).await? {
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
        let store = self.open()?;
        let removed = store.remove_triggers(keys.clone()).await?;
        let found = keys.into_iter().zip(removed).filter(|(_, removed)| removed.found);
        Ok(found.map(|(trigger, _)| self.tell(|| Event::Unscheduled { trigger })).count())
    }

    /// Pauses triggers, and remembers groups: see [`Pause`]. Says which triggers were not paused before. Runs that somebody has
    /// enqueued or started by hand are not held up by it.
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
        let store = self.open()?;
        let note = PauseNote { since: self.now(), ..note };
        let triggers = store.pause(Pause { what: what.clone(), note }).await?;
        if triggers.is_empty() {
            self.check_exists(&what).await?;
        }
        self.tell(|| Event::Paused { triggers: triggers.clone() });
        Ok(triggers)
    }

    /// Pauses a queue on all nodes, with a reason, an author and an end: no node takes triggers or runs of the queue, and runs
    /// under way go on. Runs wait. A trigger gets late, and its misfire policy decides what becomes of that when the queue is resumed.
    /// Pausing and resuming [all](Selection::All) triggers leaves queues as they are. Says whether the queue was not paused before.
    ///
    /// ```
    /// # use scheduler_core::store::PauseNote;
    /// # async fn hold(scheduler: scheduler_core::Scheduler) -> scheduler_core::Result<()> {
    /// scheduler.pause_queue("mail", PauseNote::because("the mail server moves").by("ada")).await?;
    /// scheduler.resume_queue("mail").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed, or the scheduler is shut down.
    pub async fn pause_queue(&self, queue: &str, note: PauseNote) -> Result<bool> {
        let paused = async {
            let note = PauseNote { since: self.now(), ..note };
            self.open()?.pause_queue(queue.into(), note).await
        };
        let paused = paused.await.during("pause_queue")?;
        self.tell(|| Event::QueuePaused { queue: queue.into() });
        Ok(paused)
    }

    /// Resumes a queue. Says whether it was paused.
    ///
    /// # Errors
    ///
    /// The store has failed, or the scheduler is shut down.
    pub async fn resume_queue(&self, queue: &str) -> Result<bool> {
        let resumed = async { self.open()?.resume_queue(queue.into()).await };
        let resumed = resumed.await.during("resume_queue")?;
        if resumed {
            self.tell(|| Event::QueueResumed { queue: queue.into() });
        }
        Ok(resumed)
    }

    /// The queues that are paused, in the order of their names.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn paused_queues(&self) -> Result<Vec<PausedQueue>> {
        self.store().paused_queues().await.during("paused_queues")
    }

    /// Resumes triggers, and forgets groups; says which were paused. What they missed is treated by their misfire policies.
    ///
    /// # Errors
    ///
    /// The selection names a trigger or a job that does not exist; the store has failed.
    pub async fn resume(&self, what: Selection) -> Result<Vec<TriggerKey>> {
        let store = self.open().during("resume")?;
        let triggers = store.resume(what.clone()).await.during("resume")?;
        if triggers.is_empty() {
            self.check_exists(&what).await.during("resume")?;
        }
        self.tell(|| Event::Resumed { triggers: triggers.clone() });
        Ok(triggers)
    }

    /// Clears the error of a trigger, which is paused then if its group is. Says whether it was in error.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn reset_from_error(&self, trigger: &TriggerKey) -> Result<bool> {
        let store = self.open().during("reset_from_error")?;
        let reset = store.reset(vec![trigger.clone()]).await;
        Ok(reset.of_trigger(trigger).during("reset_from_error")?.contains(&true))
    }

    /// Removes all jobs, triggers, calendars and remembered pauses. Runs under way go on, and a job that allows one run at a time
    /// waits for its run when it is stored again. Firing records stay.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn clear(&self) -> Result<()> {
        let store = self.open().during("clear")?;
        store.clear().await.during("clear")?;
        self.tell(|| Event::Cleared);
        Ok(())
    }
}

/// Jobs.
impl Client {
    /// Stores a job without a schedule, to be triggered later. Triggers of a job that is replaced stay.
    ///
    /// # Errors
    ///
    /// The job is not durable and has no trigger, so it would be gone at once; its function is not registered in the
    /// scheduler of this client; there is one already and `existing` refuses.
    pub async fn add_job(&self, job: JobDetail, existing: Existing) -> Result<()> {
        self.put_job(job, existing).await.during("add_job")
    }

    async fn put_job(&self, job: JobDetail, existing: Existing) -> Result<()> {
        let store = self.open()?;
        if let Some(problem) = self.registry().and_then(|registry| registry.unknown(&job)) {
            return Err(Error::config(problem).for_job(job.key()));
        }
        let key = job.key().clone();
        let triggers = TriggerQuery { job: Some(key.clone()), limit: Some(1), ..TriggerQuery::default() };
        if !job.durable() && store.all_triggers(triggers).await?.is_empty() {
            return Err(Error::config(format!(
                "job `{key}` is not durable and has no trigger; build it with `durable(true)` or schedule it"
            ))
            .for_job(&key));
        }
        let (jobs, triggers) = (vec![Arc::new(job)], Vec::new());
        store.put(Put { jobs, existing_jobs: existing, triggers, existing_triggers: existing }).await?;
        self.tell(|| Event::JobStored { job: key });
        Ok(())
    }

    /// Removes a job with all its triggers. Says whether it was there. Runs under way go on.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn delete_job(&self, job: &JobKey) -> Result<bool> {
        let store = self.open().during("delete_job")?;
        let found =
            store.remove_jobs(vec![job.clone()]).await.of_job(job).during("delete_job")?.contains(&true);
        if found {
            self.tell(|| Event::JobRemoved { job: job.clone() });
        }
        Ok(found)
    }
}

/// Executions.
impl Client {
    /// Asks executions to stop, through their cancellation tokens, wherever they run. Says which are under way. Works while a
    /// scheduler shuts down, so what holds up the shutdown can be stopped.
    ///
    /// # Errors
    ///
    /// The scheduler has been shut down; `what` names a job or a trigger that does not exist and has no run; or the store has failed.
    pub async fn cancel(&self, what: Executions) -> Result<Vec<ExecutionId>> {
        let store = self.open_to_the_end().during("cancel")?;
        let cancelled = store.cancel(what.clone()).await.during("cancel")?;
        if cancelled.is_empty() {
            self.check_exists_to_cancel(what).await.during("cancel")?;
        }
        Ok(cancelled)
    }
}

fn changes_all_the_time(key: &TriggerKey) -> Error {
    Error::conflict(format!("trigger `{key}` was changed by others each time; try again")).for_trigger(key)
}
