//! Middleware: code of the user around every execution.

use std::future::Future;
use std::sync::Arc;

use crate::job::{BoxFuture, ErasedJob, IntoOutcome, JobContext, Outcome};
use crate::user;

/// Code around the executions of every job: metrics, spans, retries, locks.
///
/// The first one that was added is the outermost. Not calling `next` answers for the job; calling it is running the job. A
/// panic of what is inside is an outcome, [`Outcome::Panicked`], for what is around it.
///
/// ```
/// use scheduler_core::Scheduler;
/// use scheduler_core::job::{JobContext, Outcome};
/// use scheduler_core::scheduler::{Middleware, Next};
///
/// struct Timing;
///
/// impl Middleware for Timing {
///     async fn handle(&self, context: JobContext, next: Next) -> Outcome {
///         let begin = context.clock().monotonic();
///         let outcome = next.run(context.clone()).await;
///         println!("{} took {:?}", context.job_key(), context.clock().monotonic() - begin);
///         outcome
///     }
/// }
///
/// let builder = Scheduler::builder().middleware(Timing);
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Runs the rest, or answers for it.
    fn handle(&self, context: JobContext, next: Next) -> impl Future<Output = Outcome> + Send;
}

pub(crate) trait ErasedMiddleware: Send + Sync {
    fn handle(&self, context: JobContext, next: Next) -> BoxFuture<'_, Outcome>;
}

impl<M: Middleware> ErasedMiddleware for M {
    fn handle(&self, context: JobContext, next: Next) -> BoxFuture<'_, Outcome> {
        Box::pin(Middleware::handle(self, context, next))
    }
}

/// All middleware of a scheduler, outermost first.
pub(crate) type Chain = Arc<[Arc<dyn ErasedMiddleware>]>;

/// What is inside a middleware: the next one, or the job.
pub struct Next(Inside);

enum Inside {
    Chain { chain: Chain, depth: usize, job: Arc<dyn ErasedJob> },
    Answer(BoxFuture<'static, Outcome>),
}

impl Next {
    pub(crate) fn new(chain: Chain, job: Arc<dyn ErasedJob>) -> Self {
        Self(Inside::Chain { chain, depth: 0, job })
    }

    /// In place of a job, a future that gives its result: to test a middleware by itself.
    pub fn answering<T: IntoOutcome>(answer: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Inside::Answer(Box::pin(async { answer.await.into_outcome() })))
    }

    /// Runs it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it aborts the job.
    pub fn run(self, context: JobContext) -> impl Future<Output = Outcome> + Send + 'static {
        let run: BoxFuture<'static, Outcome> = match self.0 {
            Inside::Answer(answer) => answer,
            Inside::Chain { chain, depth, job } => Box::pin(async move {
                // What surrounds a panic sees its outcome.
                let outcome = match chain.get(depth).cloned() {
                    Some(middleware) => {
                        let next = Self(Inside::Chain { chain, depth: depth + 1, job });
                        user::run(|| middleware.handle(context, next)).await
                    }
                    None => user::run(|| job.run(context)).await,
                };
                outcome.unwrap_or_else(Outcome::from)
            }),
        };
        run
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}
