//! One execution as a future: admit, run under a guard, end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::core::Core;
use super::ending::{Ending, Guard, classify};
use super::event::Event;
use super::listener::Audience;
use super::middleware::Next;
use crate::job::{BoxFuture, ErasedJob, JobContext, JobError, Outcome, Run, RunParts, Threading};
use crate::store::{Completion, Fate, Instruction};
use crate::time::Observed;
use crate::user::{self, Careful};

/// Why a job that its node has no function for cannot run.
const NO_FUNCTION: &str = "no such job function is registered";

impl Core {
    /// The execution of a firing that has taken a slot; none, and the end of it, if this node has no such function.
    pub(super) fn execution(self: &Arc<Self>, parts: RunParts) -> Option<Execution> {
        let activity = self.clock.begin(&parts.id);
        let Some(job) = self.registry.job(parts.job.job_type()).cloned() else {
            let (job, job_type) = (parts.job.key(), parts.job.job_type());
            tracing::error!(%job, job_type, "job `{job}` cannot run on this node, since no function `{job_type}` is registered; its triggers are put into the error state until `reset_from_error` is called");
            // A stored run is kept for a program that has the function.
            let fate =
                parts.stored.as_ref().map_or(Fate::Over, |_| Fate::Dead { error: Some(NO_FUNCTION.into()) });
            let instruction = match parts.stored {
                Some(_) => Instruction::Continue,
                None => Instruction::FailJob,
            };
            let completion = Completion { instruction, fate, ..Completion::of(parts.id) };
            let outcome = Outcome::Failed(JobError::new(NO_FUNCTION));
            let ending = Ending::new(completion, parts.trigger.clone(), outcome, activity);
            self.hand_over(ending.of_run(&parts));
            return None;
        };
        let audience = self.listeners.of(parts.job.key(), parts.trigger.key());
        let run =
            Arc::new(Run::new(parts, self.providers.clone(), self.clock.clone(), self.settings.cancel_grace));
        self.running.add(run.clone(), activity.clone(), job.threading());
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

type Attempt = Careful<Observed<dyn Future<Output = Outcome> + Send>>;

/// One call of the job, with everything around it.
fn attempt(job: &Arc<dyn ErasedJob>, guard: &Guard) -> Result<Attempt, Outcome> {
    let chain = guard.chain();
    let plain = chain.is_empty() && guard.audience().is_none() && !guard.run().providers.has_scoped();
    let context = JobContext(guard.run().clone());
    let future = match plain {
        true => user::call(|| job.run(context)).map_err(Outcome::from)?,
        false => surrounded(Next::new(chain.clone(), job.clone()), context, guard.audience().cloned()),
    };
    Ok(Careful::new("a job", guard.activity().observe_boxed(future)))
}

/// The job with its middleware, between the calls of those that hear of it.
fn surrounded(
    next: Next,
    context: JobContext,
    audience: Option<Arc<Audience>>,
) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        let run = context.0.clone();
        if let Some(audience) = &audience
            && !audience.may_run(&context).await
        {
            return run.close(Outcome::Vetoed).await;
        }
        let outcome = next.run(context.clone()).await;
        let outcome = classify(Some(outcome), run.cancel_reason());
        // Scoped values close first, since their hooks may change the outcome that listeners are told.
        let outcome = run.close(outcome).await;
        if let Some(audience) = &audience {
            run.settle(outcome.clone());
            audience.ended(&context, &outcome).await;
        }
        outcome
    })
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
        let Poll::Ready(outcome) = user::poll(Pin::new(&mut *self.future), cx) else { return Poll::Pending };
        let outcome = outcome.unwrap_or_else(Outcome::from);
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
    let outcome = user::run(|| job.run(JobContext(run.clone()))).await.unwrap_or_else(Outcome::from);
    let outcome = classify(Some(outcome), run.cancel_reason());
    run.close(outcome).await
}
