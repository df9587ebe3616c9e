//! One execution as a future: admit, run under a guard, end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::core::Core;
use super::ending::{Ending, Guard, classify};
use super::event::Event;
use super::middleware::Next;
use crate::job::{BoxFuture, ErasedJob, JobContext, Outcome, Run, RunParts, Threading};
use crate::store::{Completion, Instruction};
use crate::time::Observed;

impl Core {
    /// The execution of a firing that has taken a slot; none, and the end of it, if this node has no such function.
    pub(super) fn execution(self: &Arc<Self>, parts: RunParts) -> Option<Execution> {
        let activity = self.clock.begin(&parts.id);
        let Some(job) = self.registry.job(parts.job.job_type()).cloned() else {
            let (job, job_type) = (parts.job.key(), parts.job.job_type());
            tracing::error!(%job, job_type, "no such job function is registered; its triggers are put into the error state");
            let completion = Completion { instruction: Instruction::FailJob, ..Completion::of(parts.id) };
            self.hand_over(Ending::new(completion, parts.trigger.clone(), activity));
            return None;
        };
        let audience = self.listeners.of(parts.job.key(), parts.trigger.key());
        let run = Arc::new(Run::new(parts, self.providers.clone(), self.clock.clone()));
        self.running.add(run.clone(), activity.clone());
        Some(Execution { job, guard: Guard::new(self.clone(), run, audience, activity) })
    }

    pub(super) fn report_fired(&self, parts: &RunParts) {
        self.bus.send(|| Event::Fired {
            execution: parts.id,
            job: parts.job.key().clone(),
            trigger: parts.trigger.key().clone(),
            scheduled: parts.scheduled,
            fired: parts.fired,
            next: parts.next,
        });
    }
}

/// An execution that waits for its turn.
pub(super) struct Execution {
    job: Arc<dyn ErasedJob>,
    guard: Guard,
}

impl Execution {
    pub(super) fn threading(&self) -> Threading {
        self.job.threading()
    }

    /// The future of the run; none if it was told to stop before it began.
    pub(super) fn begin(self) -> Option<Body> {
        let Self { job, guard } = self;
        if guard.run().cancel_reason().is_some() {
            return None;
        }
        match attempt(&job, &guard) {
            Ok(future) => Some(Body { future, job, guard: Some(guard) }),
            Err(outcome) => {
                guard.end(outcome);
                None
            }
        }
    }
}

type Attempt = Observed<dyn Future<Output = Outcome> + Send>;

/// One call of the job, with everything around it.
fn attempt(job: &Arc<dyn ErasedJob>, guard: &Guard) -> Result<Attempt, Outcome> {
    let call = || -> BoxFuture<'static, Outcome> {
        let (chain, context) = (guard.chain(), JobContext(guard.run().clone()));
        let audience = guard.audience().cloned();
        let plain = chain.is_empty() && audience.is_none() && !context.providers().has_scoped();
        if plain {
            return job.run(context);
        }
        let next = Next::new(chain.clone(), job.clone());
        Box::pin(async move {
            if let Some(audience) = &audience
                && !audience.may_run(&context).await
            {
                return context.0.scope().close(Outcome::Vetoed).await;
            }
            let outcome = caught(Box::pin(next.run(context.clone()))).await;
            let outcome = classify(Some(outcome), context.cancel_reason());
            // Whoever hears of the outcome hears of one that stays.
            let outcome = context.0.scope().close(outcome).await;
            if let Some(audience) = &audience {
                audience.ended(&context, &outcome).await;
            }
            outcome
        })
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(future) => Ok(guard.activity().observe_boxed(future)),
        Err(panic) => Err(Outcome::Panicked(message(&*panic))),
    }
}

/// The body of a job under way. Ready when it has ended; dropping it earlier aborts the execution.
pub(super) struct Body {
    future: Attempt,
    job: Arc<dyn ErasedJob>,
    guard: Option<Guard>,
}

impl Body {
    /// Its run; none once it has ended.
    pub(super) fn run(&self) -> Option<Arc<Run>> {
        self.guard.as_ref().map(|guard| guard.run().clone())
    }
}

impl Future for Body {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Poll::Ready(outcome) = poll_caught(Pin::new(&mut self.future), cx) else { return Poll::Pending };
        let Some(guard) = self.guard.take() else { return Poll::Ready(()) };
        if !guard.begin_refire() {
            guard.end(outcome);
            return Poll::Ready(());
        }
        match attempt(&self.job, &guard) {
            Ok(future) => {
                self.future = future;
                self.guard = Some(guard);
                // A job that refires for ever must not keep its thread from others.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(outcome) => {
                guard.end(outcome);
                Poll::Ready(())
            }
        }
    }
}

/// Runs a job without a trigger in a store, to its end.
pub(crate) async fn run_alone(job: Arc<dyn ErasedJob>, run: Arc<Run>) -> Outcome {
    let context = JobContext(run.clone());
    let outcome = match catch_unwind(AssertUnwindSafe(|| job.run(context))) {
        Ok(body) => caught(body).await,
        Err(panic) => Outcome::Panicked(message(&*panic)),
    };
    let outcome = classify(Some(outcome), run.cancel_reason());
    run.scope().close(outcome).await
}

async fn caught(mut run: BoxFuture<'static, Outcome>) -> Outcome {
    std::future::poll_fn(|cx| poll_caught(run.as_mut(), cx)).await
}

fn poll_caught<F: Future<Output = Outcome> + ?Sized>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Outcome> {
    catch_unwind(AssertUnwindSafe(|| future.poll(cx)))
        .unwrap_or_else(|panic| Poll::Ready(Outcome::Panicked(message(&*panic))))
}

/// What a panic said.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
