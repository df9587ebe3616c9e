//! The scheduler as a service.

use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::health::ServiceState;
use super::service::{ErasedService, Phase, ServiceContext, StopContext};
use crate::job::{BoxFuture, JobError, JobResult};
use crate::scheduler::Scheduler;

/// What the scheduler needs beyond the time that its runs get, in the worst case.
const RESERVE: Duration = Duration::from_millis(2500);

pub(super) struct SchedulerService {
    pub(super) scheduler: Scheduler,
    pub(super) tasks: TaskTracker,
}

impl SchedulerService {
    /// Reports a failure if anybody but the host shuts the scheduler down.
    fn watch(&self, context: &ServiceContext) {
        let (scheduler, context) = (self.scheduler.clone(), context.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = context.stopping() => {}
                () = scheduler.ending() => {
                    // The host may have asked for the end after the first look.
                    if context.is_stopping() {
                        return;
                    }
                    let failure = "it was shut down by the program, not by its host; stop the host instead";
                    tracing::error!(service = context.name(), failure, "the scheduler has ended; the host stops");
                    context.core.service_failed(context.name(), failure);
                }
            }
        });
    }

    async fn stop(&self, context: &StopContext) -> JobResult {
        let remaining = context.remaining();
        let report = self
            .scheduler
            .shut_down(remaining - RESERVE.min(remaining / 4), context.context.core.scheduler_ran())
            .await;
        if !report.abandoned.is_empty() {
            context.context.core.set_state(context.service().name(), ServiceState::NotStopped);
        }
        // A program that turns draining off accepts that due work is lost.
        let loses = self.scheduler.drains() && !report.lost.is_empty();
        if report.aborted.is_empty() && report.abandoned.is_empty() && !loses {
            return Ok(());
        }
        Err(JobError::new(report.troubles().join("; ")))
    }
}

impl ErasedService for SchedulerService {
    fn begin<'a>(&'a self, phase: Phase, context: &'a ServiceContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            match phase {
                Phase::Start => {
                    self.scheduler.start().await?;
                    self.watch(context);
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    fn end<'a>(&'a self, phase: Phase, context: &'a StopContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            match phase {
                // It takes no work if it was shut down already.
                Phase::Stopping if self.scheduler.state().ends() => Ok(()),
                Phase::Stopping => Ok(context.context.core.hold_scheduler()?),
                Phase::Stop => self.stop(context).await,
                _ => Ok(()),
            }
        })
    }

    /// Also when its start was cut short: a start-up job may run.
    fn abort(&self) {
        let scheduler = self.scheduler.clone();
        self.tasks.spawn(async move { scheduler.shutdown(Duration::ZERO).await });
    }
}
