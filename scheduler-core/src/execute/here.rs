//! Runs that are polled where somebody waits for them: no loop watches their deadlines.

use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio_util::task::TaskTracker;

use super::execution::Execution;
use super::pipeline::{Ended, Pipeline, RunOwner};
use crate::job::{BoxFuture, CancelReason, ErasedJob, JobError, Outcome, Run, RunParts, Threading};
use crate::sync::Mutex;
use crate::time::{Activity, Clock, aside, by};

/// A request to a run to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) reason: CancelReason,
    /// The run is aborted after this time, or at once if it does not listen. None if the caller drops it in time.
    pub(crate) within: Option<Duration>,
}

/// The surroundings of a run, as its launcher gives them.
pub(crate) struct Here {
    pub(crate) pipeline: Arc<Pipeline>,
    /// Tasks that close the scoped values of a run whose caller has dropped it.
    pub(crate) tasks: TaskTracker,
    /// How long a run may take to stop after its timeout, and each close hook and listener of a run that was asked to.
    pub(crate) grace: Duration,
    /// The reason that is noted when the caller drops the run, unless the run was asked to stop before.
    pub(crate) when_dropped: CancelReason,
}

/// Runs a job to its end.
///
/// # Cancel safety
///
/// Dropping it aborts the run, which ends all the same: its values are closed, and listeners hear of it.
pub(crate) async fn run_here(
    here: Here,
    job: Arc<dyn ErasedJob>,
    parts: RunParts,
    asked: impl Future<Output = Ask>,
) -> Outcome {
    let Here { pipeline, tasks, grace, when_dropped } = here;
    let (clock, runtime, threading) = (pipeline.clock.clone(), Handle::current(), job.threading());
    let activity = match threading {
        Threading::Async => Activity::of_current(),
        Threading::Blocking => clock.begin(&parts.id),
    };
    let deadline = parts.job.timeout().map(|timeout| clock.monotonic().saturating_add(timeout));
    pipeline.report_fired(&parts);
    let run = pipeline.run(parts, grace);
    let (tell, mut told) = oneshot::channel();
    let owner =
        Caller { pipeline, tasks: tasks.clone(), runtime: runtime.clone(), tell: Mutex::new(Some(tell)) };
    let execution = Execution::new(Arc::new(owner), job, run.clone(), activity);
    let body: BoxFuture<'static, ()> = match (threading, execution) {
        (Threading::Async, execution) => {
            execution.begin().map_or_else(|| Box::pin(ready(())) as _, |body| Box::pin(body) as _)
        }
        (Threading::Blocking, execution) => {
            let on_thread = runtime.clone();
            let thread = tasks.spawn_blocking_on(
                move || {
                    if let Some(body) = execution.begin() {
                        on_thread.block_on(body);
                    }
                },
                &runtime,
            );
            // The run has ended by then, in whatever way.
            Box::pin(aside(async { drop(thread.await) }))
        }
    };
    let watched = Watched { clock: &*clock, run: &run, deadline, grace, threading, when_dropped };
    watched.watch(body, asked).await;
    let gone = || Outcome::Failed(JobError::new("the runtime was shut down"));
    match told.try_recv() {
        // Awaiting a channel uses up the budget of the task, which is then rescheduled, and another thread is woken.
        Ok(outcome) => outcome,
        Err(TryRecvError::Closed) => gone(),
        // Values of a run that was aborted are closed in its place.
        Err(TryRecvError::Empty) => aside(told).await.unwrap_or_else(|_| gone()),
    }
}

/// Notes why a run ends whose caller was dropped.
struct Dropped<'a> {
    run: Option<&'a Run>,
    reason: CancelReason,
}

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.run {
            run.cancel(self.reason);
        }
    }
}

/// The owner of one run, which tells its caller how the run has ended.
struct Caller {
    pipeline: Arc<Pipeline>,
    tasks: TaskTracker,
    runtime: Handle,
    tell: Mutex<Option<oneshot::Sender<Outcome>>>,
}

impl RunOwner for Caller {
    fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    fn ended(&self, ended: Ended<'_>) {
        if let Some(tell) = self.tell.lock().take() {
            // The caller may be gone.
            tell.send(ended.outcome.clone()).ok();
        }
    }
}

/// A run whose deadlines are watched where it is polled.
struct Watched<'a> {
    clock: &'a dyn Clock,
    run: &'a Run,
    /// On the monotonic clock; none if the job has no timeout.
    deadline: Option<Duration>,
    grace: Duration,
    threading: Threading,
    when_dropped: CancelReason,
}

impl Watched<'_> {
    /// Ready when the body is over, by itself or since it was aborted.
    async fn watch(self, mut body: BoxFuture<'static, ()>, asked: impl Future<Output = Ask>) {
        // Goes before the body, which is a parameter.
        let mut dropped = Dropped { run: Some(self.run), reason: self.when_dropped };
        let late = async {
            match self.deadline {
                Some(deadline) => self.clock.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let (mut late, mut asked) = (pin!(late), pin!(asked));
        let ask = poll_fn(|cx| {
            // First, so that a run which is told to stop in the same moment knows.
            if let Poll::Ready(ask) = asked.as_mut().poll(cx) {
                return Poll::Ready(Some(ask));
            }
            if body.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let ask = Ask { reason: CancelReason::Timeout, within: Some(self.grace) };
            late.as_mut().poll(cx).map(|()| Some(ask))
        })
        .await;
        dropped.run = None;
        let Some(Ask { reason, within }) = ask else { return };
        let listens = self.run.cancel(reason);
        match within {
            // Nobody can take a thread away.
            _ if self.threading == Threading::Blocking => body.await,
            None => body.await,
            Some(within) => {
                // A run that does not listen may have finished anyway.
                let within = if listens { within } else { Duration::ZERO };
                by(self.clock, self.clock.monotonic().saturating_add(within), body).await;
            }
        }
    }
}
