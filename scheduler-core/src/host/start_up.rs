//! Tasks that run to their end before any service starts, each time or once for all nodes.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::background::Restart;
use super::launch::{Call, result_of};
use super::lease::{Lease, Turn};
use super::service::{ErasedService, Phase, ServiceContext, StopContext};
use crate::execute::Ask;
use crate::job::{BoxFuture, CancelReason, ErasedJob, JobError, JobResult, Launcher, Outcome, StoredRun};
use crate::log::Shown;
use crate::run::{AttemptError, Delivery, FailureKind, FiringCause, RunId};

/// What the names of marks begin with of tasks that run once for all nodes.
const GROUP: &str = "start-up";

/// How long a node has a task before another one may take it; it is renewed while the task runs.
const LEASE: Duration = Duration::from_secs(30);

/// The kind of a task that runs to its end before any service starts, made by [`start_up`](super::start_up()).
pub struct StartUp {
    job: Arc<dyn ErasedJob>,
    pub(super) attempts: usize,
    pub(super) once: Option<u64>,
    pub(super) start_within: Option<Duration>,
}

impl StartUp {
    pub(super) fn new(job: Arc<dyn ErasedJob>) -> Self {
        Self { job, attempts: 1, once: None, start_within: None }
    }

    /// Tries until it succeeds or has been tried often enough.
    async fn run(&self, context: &ServiceContext, lost: &CancellationToken, fence: Option<u64>) -> JobResult {
        let (clock, pauses, id) = (&context.core.clock, Restart::default(), context.core.next_run());
        let (mut attempt, mut errors) = (1, Vec::new());
        let most = u32::try_from(self.attempts).unwrap_or(u32::MAX);
        loop {
            let (run, cause) = (RunId::new(id.session(), id.count()), FiringCause::Manual);
            let (occurrence_of, first, retry) = (None, None, None);
            let stored = StoredRun {
                id: run,
                occurrence_of,
                cause,
                batch: None,
                attempt,
                most,
                first,
                retry,
                errors: errors.clone(),
                checkpoint: None,
                interruptions: 0,
                delivery: Delivery::default(),
            };
            let error = match self.attempt(context, lost, fence, stored).await {
                Ok(()) => return Ok(()),
                Err(error) if (attempt as usize) < self.attempts && !lost.is_cancelled() => error,
                result => return result,
            };
            let wait = pauses.wait(attempt as usize - 1);
            let name = context.name();
            let wait_for = Shown(wait);
            tracing::warn!(task = name, %error, attempt, wait = %wait_for, "start-up task `{name}` has failed (attempt {attempt} of {}) and is tried again in {wait_for}: {error}", self.attempts);
            let failed = FailureKind::Failed;
            errors.push(AttemptError::new(attempt, failed, clock.now(), &error.to_string()));
            errors.drain(..errors.len().saturating_sub(AttemptError::MOST));
            clock.sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        context: &ServiceContext,
        lost: &CancellationToken,
        fence: Option<u64>,
        run: StoredRun,
    ) -> JobResult {
        let call = Call {
            timeout: self.start_within,
            fence,
            when_dropped: if fence.is_some() { CancelReason::ClaimLost } else { CancelReason::Shutdown },
            stored: Some(Box::new(run)),
            ..Call::new(Launcher::Start, &self.job, context.name().to_owned())
        };
        let asked = async {
            lost.cancelled().await;
            Ask { reason: CancelReason::ClaimLost, within: None }
        };
        match (context.call(call, asked).await, self.start_within) {
            (Outcome::TimedOut, Some(time)) => Err(JobError::new(format!("not done within {}", Shown(time)))),
            (outcome, _) => result_of(outcome),
        }
    }

    /// What the task has begun elsewhere learns by its stop token that another node may have the task.
    async fn run_once(&self, context: &ServiceContext, version: u64) -> JobResult {
        let Some(scheduler) = context.scheduler() else {
            return Err(JobError::new("once per cluster needs a scheduler, whose store remembers it"));
        };
        let (clock, name) = (context.core.clock.clone(), format!("{GROUP}/{}", context.name()));
        let (lease, lost) = (Lease::new(scheduler.store(), clock, name, LEASE), CancellationToken::new());
        let Turn::Ours(tenure) = lease.acquire(Some(version), || {}).await? else { return Ok(()) };
        match lease.keep(&tenure, &lost, self.run(context, &lost, Some(tenure.fence))).await {
            Some(Ok(())) if lease.finish(&tenure, version).await? => Ok(()),
            Some(Ok(())) => Err(taken_over(context, "it had ended here, and runs there again")),
            Some(Err(error)) => {
                lease.give_up(&tenure).await;
                Err(error)
            }
            None => Err(taken_over(context, "it was stopped here")),
        }
    }
}

fn taken_over(context: &ServiceContext, end: &str) -> JobError {
    let (task, lease) = (context.name(), Shown(LEASE));
    let text = format!(
        "another node may have taken over the start-up task `{task}`, since this node could not renew its lease of {lease}: {end}"
    );
    tracing::error!(task, "{text}");
    JobError::new(text)
}

impl ErasedService for StartUp {
    fn begin<'a>(&'a self, phase: Phase, context: &'a ServiceContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            match (phase, self.once) {
                (Phase::Prepare, None) => self.run(context, &CancellationToken::new(), None).await,
                (Phase::Prepare, Some(version)) => self.run_once(context, version).await,
                _ => Ok(()),
            }
        })
    }

    fn end<'a>(&'a self, _: Phase, _: &'a StopContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async { Ok(()) })
    }
}

impl std::fmt::Debug for StartUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartUp").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
