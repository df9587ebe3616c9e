//! The pipeline around every run of a scheduler or host, and the owner that a run reports to.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::middleware::{Chain, ErasedMiddleware};
use crate::job::{BoxFuture, Noting, Outcome, Providers, Run, RunParts};
use crate::time::{Activity, Clock};
use crate::watch::{Bus, Event, Listeners};

/// How long a run that listens may take to stop, unless it is set.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Listeners and middleware, as a builder collects them.
#[derive(Default)]
pub(crate) struct Surroundings {
    pub(crate) listeners: Listeners,
    /// Outermost first.
    pub(crate) middleware: Vec<Arc<dyn ErasedMiddleware>>,
}

impl Surroundings {
    /// Adds those of a host around its own.
    pub(crate) fn adopt(&mut self, outer: Self) {
        self.listeners.adopt(outer.listeners);
        self.middleware.splice(0..0, outer.middleware);
    }
}

/// Clock, values, listeners and middleware around every run, shared by all launchers of a scheduler or host.
pub(crate) struct Pipeline {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) listeners: Listeners,
    pub(crate) middleware: Chain,
    pub(crate) bus: Arc<Bus>,
    /// How long a run that listens may take to stop.
    pub(crate) cancel_grace: Duration,
    /// Stores what attempts note. Weak, since the scheduler has the pipeline.
    noting: OnceLock<Weak<dyn Noting>>,
}

impl Pipeline {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        providers: Arc<Providers>,
        surroundings: Surroundings,
        cancel_grace: Duration,
    ) -> Self {
        let Surroundings { listeners, middleware } = surroundings;
        let (bus, middleware) = (Arc::new(Bus::new(clock.clone())), middleware.into());
        Self { clock, providers, listeners, middleware, bus, cancel_grace, noting: OnceLock::new() }
    }

    /// A run that may take as long as `grace` to stop.
    pub(crate) fn run(&self, parts: RunParts, grace: Duration) -> Arc<Run> {
        let noting = self.noting.get().cloned();
        Arc::new(Run::new(parts, self.providers.clone(), self.clock.clone(), grace, noting))
    }

    /// Has attempts note to this one. The first one stays.
    pub(crate) fn note_to(&self, noting: Weak<dyn Noting>) {
        self.noting.set(noting).ok();
    }

    pub(crate) fn report_fired(&self, parts: &RunParts) {
        self.bus.send(|| Event::Fired {
            execution: parts.id,
            launcher: parts.launcher.clone(),
            job: parts.job.key().clone(),
            trigger: parts.trigger.key().clone(),
            scheduled: parts.scheduled,
            fired: parts.fired,
            next: parts.next,
        });
    }
}

/// The launcher of runs, which handles their ends.
pub(crate) trait RunOwner: Send + Sync {
    fn pipeline(&self) -> &Pipeline;

    /// Runs a task that the end of the owner waits for.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// A run is over and has nothing open any more. Comes once for each run.
    fn ended(&self, ended: Ended<'_>);
}

/// The end of a run.
pub(crate) struct Ended<'a> {
    pub(crate) run: &'a Run,
    pub(crate) outcome: &'a Outcome,
    /// By how much it has exceeded its timeout.
    pub(crate) overran: Option<Duration>,
    /// Neither the job nor anybody else has ended it: its runtime was dropped.
    pub(crate) was_dropped: bool,
    pub(crate) activity: &'a Activity,
}
