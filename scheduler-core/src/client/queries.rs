//! Reading what is stored.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::handle::Client;
use crate::error::{During, Result};
use crate::job::JobDetail;
use crate::key::{JobKey, TriggerKey};
use crate::store::*;

/// Reading.
impl Client {
    /// The job of this name.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn job(&self, key: &JobKey) -> Result<Option<Arc<JobDetail>>> {
        let query = JobQuery { keys: vec![key.clone()], ..JobQuery::default() };
        Ok(self.store().all_jobs(query).await.of_job(key).during("job")?.pop())
    }

    /// How many attempts have ended, by function, queue and outcome, with how long they took and when the latest of them ended: one item for
    /// each kind and each minute, hour or day.
    ///
    /// Nodes count always, in memory, and tell a store with a server every two seconds; a run costs the store nothing. What a node has
    /// counted since then is lost if the node is killed, and an attempt that is lost with its node is not counted. Minutes are kept for three
    /// hours, hours for 14 days, days for two years.
    ///
    /// ```
    /// # use scheduler_core::Client;
    /// # use scheduler_core::store::{CountQuery, CountStep, FiringOutcome};
    /// # async fn show(client: Client) -> scheduler_core::Result<()> {
    /// let failed = CountQuery::kept(CountStep::Hour, chrono::Utc::now()).of_outcome(FiringOutcome::Failed);
    /// for bucket in client.counts(failed).await? {
    ///     println!("{}: {} of `{}` failed", bucket.start, bucket.ends.count, bucket.ends.key.job_type);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn counts(&self, query: CountQuery) -> Result<Vec<CountBucket>> {
        self.store().counts(query, self.now()).await.during("counts")
    }

    /// The trigger of this name, with its state and fire times.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn trigger(&self, key: &TriggerKey) -> Result<Option<TriggerStatus>> {
        Ok(self.stored(vec![key.clone()]).await.of_trigger(key).during("trigger")?.pop())
    }

    /// The next `most` times at which a trigger fires, without those that its calendar leaves out; fewer if it ends before. None
    /// if there is no such trigger.
    ///
    /// The answer is that of the schedule: pauses and misfires are not foreseen. [`Trigger::upcoming`] answers without a
    /// scheduler.
    ///
    /// [`Trigger::upcoming`]: crate::trigger::Trigger::upcoming
    ///
    /// # Errors
    ///
    /// The calendar of the trigger is not stored, or the store has failed.
    pub async fn next_fire_times(&self, key: &TriggerKey, most: usize) -> Result<Option<Vec<DateTime<Utc>>>> {
        let Some(status) = self.trigger(key).await? else { return Ok(None) };
        let trigger = &status.trigger;
        let calendars = self.calendars_for(std::iter::once(&**trigger)).await?;
        calendars.upcoming(trigger, &status.progress, most).map(Some)
    }

    /// A page of the jobs that match, in the order of their keys.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn jobs(&self, query: JobQuery) -> Result<Page<Arc<JobDetail>, JobKey>> {
        self.store().jobs(query).await.during("jobs")
    }

    /// All jobs that match, in the order of their keys. The store is asked for page after page; a limit stands for all of them.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn all_jobs(&self, query: JobQuery) -> Result<Vec<Arc<JobDetail>>> {
        self.store().all_jobs(query).await.during("jobs")
    }

    /// A page of the triggers that match, in the order of their keys.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// use scheduler_core::store::{TriggerQuery, TriggerState};
    ///
    /// # async fn print(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// let mut query = TriggerQuery { state: Some(TriggerState::Paused), ..TriggerQuery::default() };
    /// loop {
    ///     let page = scheduler.triggers(query.clone()).await?;
    ///     for status in &page.items {
    ///         println!("{}", status.trigger.key());
    ///     }
    ///     // A short page is not the last one: where few triggers match, the store looks at some of them for each page.
    ///     let Some(next) = page.next else { break };
    ///     query.after = Some(next);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn triggers(&self, query: TriggerQuery) -> Result<Page<TriggerStatus, TriggerKey>> {
        self.store().triggers(query).await.during("triggers")
    }

    /// All triggers that match, as [`all_jobs`](Self::all_jobs).
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn all_triggers(&self, query: TriggerQuery) -> Result<Vec<TriggerStatus>> {
        self.store().all_triggers(query).await.during("triggers")
    }

    pub(super) async fn stored(&self, keys: Vec<TriggerKey>) -> Result<Vec<TriggerStatus>> {
        self.store().all_triggers(TriggerQuery { keys, ..TriggerQuery::default() }).await
    }

    /// The groups of jobs or triggers, with how many are in each and whether it is paused.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn groups(&self, kind: GroupKind) -> Result<Vec<GroupStatus>> {
        self.store().groups(kind).await.during("groups")
    }

    /// The executions that wait for a slot or run, on all nodes.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn executions(&self, what: Executions) -> Result<Vec<ExecutionStatus>> {
        self.store().executions(what).await.during("executions")
    }

    /// A page of the firing records that match, the latest first: one for each attempt that has ended, and one for each occurrence of
    /// a trigger that did not run. Empty unless the store keeps records: see [`MemoryJobStore::keeping_history`], and the settings
    /// of other stores.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn firings(&self, query: FiringQuery) -> Result<Page<FiringRecord, FiringCursor>> {
        self.store().firings(query).await.during("firings")
    }

    /// All firing records that match, the latest first; at most as many as the limit says.
    ///
    /// ```
    /// use scheduler_core::Client;
    /// use scheduler_core::store::{FiringOutcome, FiringQuery};
    ///
    /// # async fn look(client: Client) -> scheduler_core::Result<()> {
    /// let wrong = [FiringOutcome::Failed, FiringOutcome::NotRun];
    /// for firing in client.all_firings(FiringQuery::default().with_outcomes(wrong).limit(20)).await? {
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
        self.store().all_firings(query).await.during("firings")
    }

    /// The nodes that share the store: schedulers that are started. A client is none of them.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>> {
        self.store().nodes().await.during("nodes")
    }
}
