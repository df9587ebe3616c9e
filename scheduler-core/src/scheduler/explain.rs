//! Why a trigger does not fire: what the scheduler of this process adds.

use std::sync::Arc;

use super::handle::Scheduler;
use crate::client::{Explanation, Obstacle};
use crate::error::{During, Result};
use crate::key::TriggerKey;
use crate::store::*;
use crate::watch::SchedulerState;

impl Scheduler {
    /// Why a trigger does not fire, or did not: everything that stands in its way, from the store and from this node.
    ///
    /// ```
    /// # use scheduler_core::Scheduler;
    /// # async fn ask(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// println!("{}", scheduler.explain(&"nightly".parse().unwrap()).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn explain(&self, key: &TriggerKey) -> Result<Explanation> {
        self.explain_here(key).await.of_trigger(key).during("explain")
    }

    async fn explain_here(&self, key: &TriggerKey) -> Result<Explanation> {
        let (mut explanation, status) = self.explained(key).await?;
        if let Some(status) = status {
            explanation.reasons.extend(self.obstacles_here(&status).await?);
        }
        Ok(explanation)
    }

    /// How many runs of the queue there are on all nodes.
    async fn claimed_of(&self, queue: &Arc<str>) -> Result<usize> {
        Ok(self.executions(Executions::OfQueue(queue.clone())).await?.len())
    }

    async fn obstacles_here(&self, status: &TriggerStatus) -> Result<Vec<Obstacle>> {
        let (core, mut found) = (self.core(), Vec::new());
        if self.state() != SchedulerState::Running {
            found.push(Obstacle::NotRunning { state: self.state() });
        }
        let job = self.job(status.trigger.job()).await?;
        let job_type = job.as_ref().map(|job| job.job_type());
        if let Some(job_type) = job_type.filter(|job_type| !core.registry.knows(job_type)) {
            found.push(Obstacle::NotRegistered { job_type: job_type.to_owned() });
        }
        let running = self.running();
        let queue = status.trigger.queue();
        if !core.settings.queues.takes(queue) {
            let by_nobody = match job_type {
                Some(job_type) => self.no_node_for(job_type, queue).await?,
                None => None,
            };
            found.push(by_nobody.unwrap_or(Obstacle::QueueNotTaken { queue: queue.cloned() }));
        }
        let used = running.iter().filter(|run| run.queue.as_ref() == queue).count();
        if let Some(limit) = core.limits.read().of(queue).filter(|limit| used >= *limit) {
            found.push(Obstacle::QueueFull { queue: queue.map(ToString::to_string), limit });
        }
        let shared = queue.and_then(|queue| core.limits.read().shared.get(queue).copied());
        if let (Some(queue), Some(limit)) = (queue, shared)
            && self.claimed_of(queue).await? >= limit
        {
            found.push(Obstacle::QueueFullOnAllNodes { queue: queue.to_string(), limit });
        }
        if running.len() >= core.settings.concurrency {
            found.push(Obstacle::NoSlot { concurrency: core.settings.concurrency });
        }
        Ok(found)
    }
}
