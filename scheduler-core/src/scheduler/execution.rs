//! One execution as a future: admit, run under a guard, end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::core::Core;
use super::ending::{Ending, Guard};
use super::event::Event;
use super::running::Brake;
use crate::job::{ErasedJob, JobContext, Outcome, Run, RunParts, Threading};
use crate::store::{Completion, Instruction};
use crate::time::Observed;

impl Core {
    /// The execution of a firing that has taken a slot; none, and the end of it, if this node has no such function.
    pub(super) fn execution(self: &Arc<Self>, parts: RunParts) -> Option<Execution> {
        let activity = self.clock.begin(&parts.id);
        let Some(job) = self.registry.job(parts.job.job_type()).cloned() else {
            let (job, job_type) = (parts.job.key(), parts.job.job_type());
            tracing::error!(%job, job_type, "no such job function is registered; its triggers are put into the error state");
            let completion = Completion { execution: parts.id, instruction: Instruction::FailJob };
            self.hand_over(Ending::new(completion, activity));
            return None;
        };
        let run = Arc::new(Run::new(parts, self.providers.clone(), self.clock.clone()));
        let brake = self.running.add(run.clone(), activity.clone());
        Some(Execution { job, guard: Guard::new(self.clone(), run, activity), brake })
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
    pub(super) job: Arc<dyn ErasedJob>,
    pub(super) guard: Guard,
    pub(super) brake: Arc<Brake>,
}

impl Execution {
    pub(super) fn threading(&self) -> Threading {
        self.job.threading()
    }

    /// The future of the run; none if it was told to stop before it began.
    pub(super) fn begin(self) -> Option<Body> {
        let run = self.guard.run().clone();
        if run.cancel_reason().is_some() {
            return None;
        }
        let call = catch_unwind(AssertUnwindSafe(|| self.job.run(JobContext(run))));
        match call {
            Ok(future) => {
                let future = self.guard.activity().observe_boxed(future);
                Some(Body { future, guard: Some(self.guard), brake: self.brake })
            }
            Err(panic) => {
                self.guard.end(Outcome::Panicked(message(&*panic)));
                None
            }
        }
    }
}

/// The body of a job under way. Ready when it has ended; dropping it earlier aborts the execution.
pub(super) struct Body {
    future: Observed<dyn Future<Output = Outcome> + Send>,
    guard: Option<Guard>,
    pub(super) brake: Arc<Brake>,
}

impl Future for Body {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let future = Pin::new(&mut self.future);
        let outcome = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(panic) => Outcome::Panicked(message(&*panic)),
        };
        if let Some(guard) = self.guard.take() {
            guard.end(outcome);
        }
        Poll::Ready(())
    }
}

/// What a panic said.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
