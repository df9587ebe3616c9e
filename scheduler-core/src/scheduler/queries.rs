//! Reading what is stored, and what the scheduler is doing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::handle::Scheduler;
use crate::error::{During, Result};
use crate::job::JobDetail;
use crate::key::{JobKey, TriggerKey};
use crate::store::*;
use crate::watch::SchedulerState;

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
    /// The limits of queues.
    pub limits: QueueLimits,
}

/// Reading.
impl Scheduler {
    /// The job of this name.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn job(&self, key: &JobKey) -> Result<Option<Arc<JobDetail>>> {
        let query = JobQuery { keys: vec![key.clone()], ..JobQuery::default() };
        Ok(self.core().store.all_jobs(query).await.of_job(key).during("job")?.pop())
    }

    /// The trigger of this name, with its state and fire times.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn trigger(&self, key: &TriggerKey) -> Result<Option<TriggerStatus>> {
        Ok(self.stored(vec![key.clone()]).await.of_trigger(key).during("trigger")?.pop())
    }

    /// A page of the jobs that match, in the order of their keys.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn jobs(&self, query: JobQuery) -> Result<Page<Arc<JobDetail>, JobKey>> {
        self.core().store.jobs(query).await.during("jobs")
    }

    /// All jobs that match, in the order of their keys. The store is asked for page after page; a limit stands for all of them.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn all_jobs(&self, query: JobQuery) -> Result<Vec<Arc<JobDetail>>> {
        self.core().store.all_jobs(query).await.during("jobs")
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
        self.core().store.triggers(query).await.during("triggers")
    }

    /// All triggers that match, as [`all_jobs`](Self::all_jobs).
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn all_triggers(&self, query: TriggerQuery) -> Result<Vec<TriggerStatus>> {
        self.core().store.all_triggers(query).await.during("triggers")
    }

    pub(super) async fn stored(&self, keys: Vec<TriggerKey>) -> Result<Vec<TriggerStatus>> {
        self.core().store.all_triggers(TriggerQuery { keys, ..TriggerQuery::default() }).await
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

    /// Sets the limits of queues of this node. Runs that exceed them go on. Nothing happens after the shutdown.
    pub fn set_limits(&self, limits: QueueLimits) {
        *self.core().limits.write() = limits;
        self.core().wake();
    }
}
