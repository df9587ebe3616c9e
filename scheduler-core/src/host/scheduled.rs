//! The scheduler as a service.

use std::time::Duration;

use super::service::{ErasedService, Phase, ServiceContext, StopContext};
use crate::job::{BoxFuture, JobError, JobResult};
use crate::scheduler::Scheduler;

/// What the scheduler needs for itself after its runs are gone.
const RESERVE: Duration = Duration::from_millis(1500);

pub(super) struct SchedulerService(pub(super) Scheduler);

impl SchedulerService {
    async fn stop(&self, context: &StopContext) -> JobResult {
        let remaining = context.remaining();
        let report = self.0.shutdown(remaining - RESERVE.min(remaining / 4)).await;
        let list =
            |jobs: &[crate::JobKey]| jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if report.aborted.is_empty() && report.abandoned.is_empty() {
            return Ok(());
        }
        let (aborted, abandoned) = (list(&report.aborted), list(&report.abandoned));
        Err(JobError::new(format!(
            "jobs that did not stop when asked: taken away [{aborted}], going on [{abandoned}]"
        )))
    }
}

impl ErasedService for SchedulerService {
    fn begin<'a>(&'a self, phase: Phase, _: &'a ServiceContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            match phase {
                Phase::Start => Ok(self.0.start().await?),
                _ => Ok(()),
            }
        })
    }

    fn end<'a>(&'a self, phase: Phase, context: &'a StopContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            match phase {
                Phase::Stopping => Ok(self.0.standby()?),
                Phase::Stop => self.stop(context).await,
                _ => Ok(()),
            }
        })
    }
}
