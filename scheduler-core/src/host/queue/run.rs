//! One job of a queue, from its turn to its outcome.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;

use super::{Item, Shared, Slot};
use crate::host::core::HostCore;
use crate::job::{BoxFuture, CancelReason, JobContext, JobError, Outcome, Run, RunParts, Threading};
use crate::scheduler::{CANCEL_GRACE, Scheduler, by, classify, log_end, run_alone, told};
use crate::time::Clock;
use crate::trigger::Trigger;

impl Shared {
    pub(super) async fn run(&self, item: &Item) -> Outcome {
        let Some(bound) = self.bound.get() else { return Outcome::Cancelled };
        let (detail, number) = (item.job.detail().clone(), item.slot.number);
        let Some(job) = bound.registry.job(detail.job_type()).cloned() else {
            let problem = bound.registry.unknown(&detail).unwrap_or_default();
            return Outcome::Failed(JobError::new(problem));
        };
        let core = &bound.core;
        let now = core.clock.now();
        let name = format!("queue {}/{number}", bound.name);
        let data = item.job.data().cloned().unwrap_or_default();
        let trigger = Trigger::now().name(&name).job(detail.key().clone()).data(data).build(now);
        let trigger = match trigger {
            Ok(trigger) => Arc::new(trigger),
            Err(error) => return Outcome::Failed(error.into()),
        };
        let (timeout, threading, grace) = (detail.timeout(), job.threading(), self.cancel_grace(core));
        let begin = core.clock.monotonic();
        let id = core.next_run();
        let parts = RunParts {
            id,
            job: detail,
            trigger,
            fence: id.count(),
            scheduled: now,
            fired: now,
            previous: None,
            next: None,
            stored: None,
        };
        let run = Arc::new(Run::new(parts, core.providers.clone(), core.clock.clone(), grace));
        let context = JobContext(run.clone());
        for observer in &core.observers {
            told(observer.type_name(), || observer.to_be_executed(&context)).await;
        }
        let body = run_alone(job, run.clone());
        let body: BoxFuture<'static, Outcome> = match threading {
            Threading::Async => Box::pin(body),
            Threading::Blocking => {
                let (handle, activity) = (Handle::current(), core.clock.begin(&id));
                let thread = tokio::task::spawn_blocking(move || {
                    let outcome = handle.block_on(body);
                    drop(activity);
                    outcome
                });
                Box::pin(
                    async move { thread.await.unwrap_or_else(|error| Outcome::Panicked(error.to_string())) },
                )
            }
        };
        let deadline = timeout.map(|timeout| begin.saturating_add(timeout));
        let time_limit = TimeLimit { deadline, grace };
        let outcome = match watched(&*core.clock, time_limit, &item.slot, &run, body, threading).await {
            Some(outcome) => outcome,
            // It was taken away, and what it has open is closed in its place.
            None => run.close(classify(None, run.cancel_reason())).await,
        };
        log_end(&run.parts, &outcome, core.clock.monotonic().saturating_sub(begin));
        core.successes.note(item.job.key(), &outcome, &*core.clock);
        for observer in &core.observers {
            told(observer.type_name(), || observer.was_executed(&context, &outcome)).await;
        }
        outcome
    }

    /// How long a run that listens may take to stop: by the setting of the queue, or else of the scheduler.
    fn cancel_grace(&self, core: &HostCore) -> Duration {
        let of_scheduler = || core.scheduler.as_ref().map(Scheduler::cancel_grace);
        self.settings.cancel_grace.or_else(of_scheduler).unwrap_or(CANCEL_GRACE)
    }
}

/// How long a run may take.
struct TimeLimit {
    /// On the monotonic clock; none if the job has no timeout.
    deadline: Option<Duration>,
    /// From when it was asked to stop.
    grace: Duration,
}

/// The outcome of a body; none if it was taken away: it did not listen when it was asked to stop.
async fn watched(
    clock: &dyn Clock,
    time_limit: TimeLimit,
    slot: &Slot,
    run: &Arc<Run>,
    body: BoxFuture<'static, Outcome>,
    threading: Threading,
) -> Option<Outcome> {
    let mut body = pin!(body);
    let late = async {
        match time_limit.deadline {
            Some(deadline) => clock.sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let asked = async { *slot.wait_for(&slot.cancelled).await };
    let (mut late, mut asked) = (pin!(late), pin!(asked));
    let reason = poll_fn(|cx| {
        if let Poll::Ready(outcome) = body.as_mut().poll(cx) {
            return Poll::Ready(Ok(outcome));
        }
        if late.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(CancelReason::Timeout));
        }
        asked.as_mut().poll(cx).map(Err)
    })
    .await;
    let reason = match reason {
        Ok(outcome) => return Some(outcome),
        Err(reason) => reason,
    };
    let listens = run.cancel(reason);
    if threading == Threading::Blocking {
        // Nobody can take a thread away: the job has its place in the queue until it ends.
        return Some(body.await);
    }
    if !listens {
        return None;
    }
    by(clock, clock.monotonic().saturating_add(time_limit.grace), body).await
}
