//! One execution as a future: admit, run under a guard, end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::ending::{Guard, classify};
use super::middleware::Next;
use super::pipeline::RunOwner;
use crate::job::{BoxFuture, ErasedJob, JobContext, Outcome, Run, Threading};
use crate::time::{Activity, Observed};
use crate::user::{self, Careful};
use crate::watch::Audience;

/// An execution that waits for its turn.
pub(crate) struct Execution {
    job: Arc<dyn ErasedJob>,
    guard: Guard,
}

impl Execution {
    pub(crate) fn new(
        owner: Arc<dyn RunOwner>,
        job: Arc<dyn ErasedJob>,
        run: Arc<Run>,
        activity: Activity,
    ) -> Self {
        let audience = owner.pipeline().listeners.of(run.parts.job.key(), run.parts.trigger.key());
        Self { job, guard: Guard::new(owner, run, audience, activity) }
    }

    pub(crate) fn threading(&self) -> Threading {
        self.job.threading()
    }

    /// The future of the run; none if it was told to stop before it began.
    pub(crate) fn begin(self) -> Option<Body> {
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
pub(crate) struct Body {
    future: Attempt,
    job: Arc<dyn ErasedJob>,
    guard: Option<Guard>,
}

impl Body {
    /// Its run; none once it has ended.
    pub(crate) fn run(&self) -> Option<Arc<Run>> {
        self.guard.as_ref().map(|guard| guard.run().clone())
    }
}

impl Future for Body {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let body = &mut *self;
        let Some(guard) = &body.guard else { return Poll::Ready(()) };
        let span = guard.span().clone();
        let _entered = span.enter();
        let Poll::Ready(outcome) = user::poll(Pin::new(&mut *body.future), cx) else { return Poll::Pending };
        let outcome = outcome.unwrap_or_else(Outcome::from);
        let Some(guard) = body.guard.take() else { return Poll::Ready(()) };
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
