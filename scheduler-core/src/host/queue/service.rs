//! What the host starts and stops of a queue.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::{AtStop, Item, Shared};
use crate::host::service::{ErasedService, Phase, ServiceContext, StopContext};
use crate::job::{BoxFuture, CancelReason, JobError, JobResult};
use crate::log::listed;
use crate::time::{aside, by};

/// Runs are asked to stop this long before the time for the stop is over, or after two thirds of a shorter time.
const CANCEL_BEFORE_END: Duration = Duration::from_secs(10);

pub(super) struct QueueService {
    queue: Arc<Shared>,
    workers: Mutex<Vec<AbortHandle>>,
}

impl QueueService {
    pub(super) fn new(queue: Arc<Shared>) -> Self {
        Self { queue, workers: Mutex::default() }
    }

    fn close(&self) {
        self.queue.state.lock().closed = true;
        self.queue.tell();
    }

    /// Takes the jobs that wait out of the queue; dropped, they are cancelled.
    fn drop_waiting(&self) -> Vec<Item> {
        let waiting = std::mem::take(&mut self.queue.state.lock().waiting);
        self.queue.tell();
        waiting.into()
    }

    async fn stop(&self, context: &StopContext) -> JobResult {
        if self.queue.settings.at_stop == AtStop::Drop {
            self.drop_waiting();
        }
        let clock = context.service().clock();
        let early = CANCEL_BEFORE_END.min(context.remaining() / 3);
        let drained = by(clock, context.deadline.saturating_sub(early), self.queue.emptied()).await.is_some();
        if drained {
            return Ok(());
        }
        let left = self.drop_waiting();
        let running = self.queue.state.lock().running.clone();
        for slot in running {
            slot.cancel(CancelReason::Shutdown);
        }
        aside(self.queue.emptied()).await;
        if left.is_empty() {
            return Ok(());
        }
        let (count, jobs) = (left.len(), listed(left.iter().map(|item| item.job.key())));
        Err(JobError::new(format!(
            "{count} waiting jobs were not run and are lost: {jobs}; allow more time for the stop, or keep them with \
             `at_stop(AtStop::Persist)`"
        )))
    }

    /// While the scheduler still takes jobs. One that the store refuses does not keep back the others.
    async fn persist(&self, context: &StopContext) -> JobResult {
        let Some(scheduler) = context.service().scheduler() else {
            return Err(JobError::new("the waiting jobs cannot be kept: the host has no scheduler"));
        };
        // They are for the next start, unless the store forgets them: then the scheduler drains them at its stop.
        // One that never started does not run them either.
        context.service().core.hold_scheduler().ok();
        let mut result = Ok(());
        for item in self.drop_waiting() {
            if let Err(error) = scheduler.enqueue(item.job.clone()).await {
                let job = item.job.key();
                tracing::error!(%job, %error, "job `{job}` waited in a queue and is lost, since the scheduler could not store it: {error}");
                result = result.and(Err(error.into()));
            }
        }
        result
    }
}

impl ErasedService for QueueService {
    fn begin<'a>(&'a self, phase: Phase, context: &'a ServiceContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            if phase == Phase::Start {
                let clock = &context.core.clock;
                for item in self.queue.state.lock().waiting.iter_mut().take(self.queue.settings.concurrency) {
                    item.activity.get_or_insert_with(|| clock.begin(&"a queued job"));
                }
                let worker = |_| context.core.tasks.spawn(self.queue.clone().work()).abort_handle();
                *self.workers.lock() = (0..self.queue.settings.concurrency).map(worker).collect();
            }
            Ok(())
        })
    }

    /// A run that has not stopped is dropped, and ends as cancelled.
    fn abort(&self) {
        self.workers.lock().iter().for_each(AbortHandle::abort);
    }

    fn end<'a>(&'a self, phase: Phase, context: &'a StopContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            match phase {
                Phase::Stopping => {
                    self.close();
                    match self.queue.settings.at_stop {
                        AtStop::Persist => self.persist(context).await,
                        _ => Ok(()),
                    }
                }
                Phase::Stop => self.stop(context).await,
                _ => Ok(()),
            }
        })
    }
}

/// Also when its host did not start, or was never run.
impl Drop for QueueService {
    fn drop(&mut self) {
        self.close();
        self.drop_waiting();
    }
}
