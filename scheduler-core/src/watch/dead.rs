//! Hooks for dead runs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::event::Event;
use super::listener::{ErasedSchedulerListener, SchedulerListener};
use crate::run::DeadRun;
use crate::time::{Clock, by};

/// So long a hook may take for one run.
const WITHIN: Duration = Duration::from_secs(30);

/// Makes the listener of a hook, which needs the clock.
pub(crate) type MakeOnDead = Box<dyn FnOnce(Arc<dyn Clock>) -> Arc<dyn ErasedSchedulerListener> + Send>;

/// A hook that hears of dead runs, one after the other.
pub(crate) struct OnDead<F> {
    hook: F,
    clock: Arc<dyn Clock>,
}

impl<F> OnDead<F> {
    pub(crate) const fn new(hook: F, clock: Arc<dyn Clock>) -> Self {
        Self { hook, clock }
    }
}

/// Whether a hook hears of this event.
pub(crate) const fn is_death(event: &Event) -> bool {
    matches!(event, Event::Dead { .. })
}

impl<F, R> SchedulerListener for OnDead<F>
where
    F: Fn(DeadRun) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    async fn on_event(&self, event: &Event) {
        match event {
            Event::Dead { run, job, attempts, error } => {
                let dead = DeadRun::new(*run, job.clone(), *attempts, error.clone());
                let late = self.clock.monotonic().saturating_add(WITHIN);
                if by(&*self.clock, late, (self.hook)(dead)).await.is_none() {
                    tracing::warn!(%run, %job, "the hook for dead runs has taken more than {WITHIN:?} for run {run} of job `{job}` and was dropped");
                }
            }
            Event::Missed { count } => {
                tracing::warn!(
                    count,
                    "the hook for dead runs is too slow and has missed {count} dead runs; `RunQuery::dead()` lists all"
                );
            }
            _ => {}
        }
    }
}
