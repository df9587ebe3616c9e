//! Runs that the host launches: those of queues, start-up tasks, services and timers.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::core::HostCore;
use super::service::ServiceContext;
use crate::data::JobData;
use crate::execute::{Ask, Here, run_here};
use crate::job::{
    CANNOT_SNOOZE, CancelReason, ErasedJob, JobDetail, JobError, JobResult, Launcher, Outcome, RunParts,
    StoredRun,
};
use crate::key::{InvalidKey, JobKey};
use crate::trigger::Trigger;

/// A run to be launched.
pub(super) struct Launch {
    pub(super) launcher: Launcher,
    pub(super) job: Arc<dyn ErasedJob>,
    pub(super) detail: Arc<JobDetail>,
    pub(super) data: JobData,
    /// The trigger is named after the launcher and this.
    pub(super) name: String,
    /// None if it is due now.
    pub(super) scheduled: Option<DateTime<Utc>>,
    /// None for one that the host makes.
    pub(super) fence: Option<u64>,
    pub(super) stored: Option<Box<StoredRun>>,
    pub(super) caller: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) grace: Duration,
    pub(super) when_dropped: CancelReason,
}

impl HostCore {
    /// Runs a job to its end where the caller waits for it, through the pipeline of every run.
    pub(super) async fn launch(&self, launch: Launch, asked: impl Future<Output = Ask>) -> Outcome {
        let Launch { launcher, job, detail, data, name, scheduled, fence, stored, caller, .. } = launch;
        let (id, now) = (self.next_run(), self.clock.now());
        let trigger = Trigger::now().name(&format!("{launcher}/{name}")).job(detail.key().clone()).data(data);
        let trigger = match trigger.build(now) {
            Ok(trigger) => Arc::new(trigger),
            Err(error) => return Outcome::Failed(error.into()),
        };
        let parts = RunParts {
            id,
            job: detail,
            trigger,
            launcher,
            fence: fence.unwrap_or(id.count()),
            scheduled: scheduled.unwrap_or(now),
            fired: now,
            previous: None,
            next: None,
            stored,
            caller,
        };
        let here = Here {
            pipeline: self.pipeline.clone(),
            tasks: self.tasks.clone(),
            grace: launch.grace,
            when_dropped: launch.when_dropped,
        };
        run_here(here, job, parts, asked).await
    }
}

/// One call of a function of the host.
pub(super) struct Call<'a> {
    pub(super) launcher: Launcher,
    pub(super) job: &'a Arc<dyn ErasedJob>,
    /// The trigger is named after the launcher and this.
    pub(super) name: String,
    pub(super) timeout: Option<Duration>,
    pub(super) scheduled: Option<DateTime<Utc>>,
    pub(super) fence: Option<u64>,
    pub(super) stored: Option<Box<StoredRun>>,
    pub(super) when_dropped: CancelReason,
}

impl<'a> Call<'a> {
    pub(super) fn new(launcher: Launcher, job: &'a Arc<dyn ErasedJob>, name: String) -> Self {
        let (timeout, scheduled, fence, stored) = Default::default();
        let when_dropped = CancelReason::Shutdown;
        Self { launcher, job, name, timeout, scheduled, fence, stored, when_dropped }
    }
}

impl ServiceContext {
    /// Calls a function of the service once; the function is a job that is named after the service.
    pub(super) async fn call(&self, call: Call<'_>, asked: impl Future<Output = Ask>) -> Outcome {
        let detail = match self.detail(&call) {
            Ok(detail) => Arc::new(detail),
            Err(error) => return Outcome::Failed(error.into()),
        };
        let launch = Launch {
            launcher: call.launcher,
            job: call.job.clone(),
            detail,
            data: JobData::default(),
            name: call.name,
            scheduled: call.scheduled,
            fence: call.fence,
            stored: call.stored,
            caller: Some(Arc::new(self.clone())),
            grace: self.core.pipeline.cancel_grace,
            when_dropped: call.when_dropped,
        };
        self.core.launch(launch, asked).await
    }

    fn detail(&self, call: &Call<'_>) -> Result<JobDetail, InvalidKey> {
        let group = match call.launcher {
            Launcher::Service { .. } => "service",
            Launcher::Timer { .. } => "timer",
            _ => "start-up",
        };
        let detail = JobDetail::builder(JobKey::in_group(group, self.name())?, self.name());
        Ok(match call.timeout {
            Some(timeout) => detail.timeout(timeout).build(),
            None => detail.build(),
        })
    }
}

/// The result of a call, for a service. A call that a listener has vetoed counts as a success.
pub(super) fn result_of(outcome: Outcome) -> JobResult {
    match outcome {
        Outcome::Succeeded | Outcome::Vetoed => Ok(()),
        Outcome::Failed(error) | Outcome::Discarded(error) => Err(error),
        Outcome::Snoozed(_) | Outcome::Throttled { .. } => Err(JobError::new(CANNOT_SNOOZE)),
        other => Err(JobError::new(other.failure().unwrap_or_default())),
    }
}
