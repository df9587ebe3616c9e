//! Hooks for dead runs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::bus::Listening;
use super::event::Event;
use super::listener::{ErasedSchedulerListener, SchedulerListener};
use crate::job::Registry;
use crate::key::JobKey;
use crate::run::DeadRun;
use crate::time::{Clock, by};

/// So long a hook may take for one run.
const WITHIN: Duration = Duration::from_secs(30);

/// Makes the listener of a hook, which needs the clock.
pub(crate) type MakeOnDead = Box<dyn FnOnce(Arc<dyn Clock>) -> Arc<dyn ErasedSchedulerListener> + Send>;

/// A hook that hears of dead runs, one after the other.
pub(crate) struct OnDead<F> {
    hook: F,
    /// The only job whose runs matter; none for all.
    of: Option<JobKey>,
    clock: Arc<dyn Clock>,
}

impl<F> OnDead<F> {
    pub(crate) const fn new(hook: F, of: Option<JobKey>, clock: Arc<dyn Clock>) -> Self {
        Self { hook, of, clock }
    }

    fn hears_of(&self, job: &JobKey) -> bool {
        self.of.as_ref().is_none_or(|only| only == job)
    }
}

/// Whether a hook hears of this event.
const fn is_death(event: &Event) -> bool {
    matches!(event, Event::Dead { .. })
}

impl<F, R> SchedulerListener for OnDead<F>
where
    F: Fn(DeadRun) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    async fn on_event(&self, event: &Event) {
        match event {
            Event::Dead { run, job, attempts, error } if self.hears_of(job) => {
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

/// The listeners of all hooks for dead runs: those of the scheduler, and those of single jobs.
pub(crate) fn dead_hooks(
    of_all: Vec<MakeOnDead>,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Vec<Listening> {
    let of_jobs = registry.in_order().into_iter().filter_map(|job| {
        let (hook, key) = (job.dead_hook()?.clone(), job.detail().key().clone());
        let listener: Listening =
            (Arc::new(OnDead::new(move |dead| hook(dead), Some(key), clock.clone())), is_death);
        Some(listener)
    });
    of_all.into_iter().map(|make| -> Listening { (make(clock.clone()), is_death) }).chain(of_jobs).collect()
}
