//! Background services: a loop that is watched, and what happens when it ends.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::health::ServiceState;
use super::launch::{Call, result_of};
use super::lease::{LOOK, Lease, Tenure, Turn};
use super::service::{ErasedService, Phase, ServiceContext, StopContext};
use super::timer::{FirstTick, PeriodicTimer};
use crate::error::Result;
use crate::execute::Ask;
use crate::job::{BoxFuture, CancelReason, ErasedJob, JobError, JobResult, Launcher, Outcome};
use crate::log::{Shown, Streak, unheard};
use crate::time::{aside, by};

/// What becomes of the host when a background service fails: returns an error, panics, or returns although nobody has
/// asked it to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Supervision {
    /// The host stops, and its run fails.
    #[default]
    StopHost,
    /// The service is called again; when that happens too often, the host stops.
    Restart(Restart),
    /// It is logged, and the service stays away. The host is not healthy.
    Ignore,
}

impl Supervision {
    /// Restarts after 1 s, then twice as long each time up to 30 s; at most five times within ten minutes.
    pub fn restart() -> Self {
        Self::Restart(Restart::default())
    }
}

/// How a service is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Restart {
    /// The wait before the first restart; it doubles with each one within the window.
    #[serde(rename = "first_ms", serialize_with = "crate::stored::millis")]
    pub first: Duration,
    /// The longest wait.
    #[serde(rename = "longest_ms", serialize_with = "crate::stored::millis")]
    pub longest: Duration,
    /// So many restarts are allowed within the window; one more failure stops the host.
    pub most: usize,
    /// How long a restart counts.
    #[serde(rename = "window_ms", serialize_with = "crate::stored::millis")]
    pub window: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            most: 5,
            window: Duration::from_secs(600),
        }
    }
}

impl Restart {
    pub(super) fn wait(&self, restarts: usize) -> Duration {
        let doubled = 1_u32.checked_shl(u32::try_from(restarts).unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

/// What a service does as long as it runs.
#[derive(Clone)]
pub(super) enum Body {
    /// One call of a function, which loops by itself.
    Loop(Arc<dyn ErasedJob>),
    /// One call of a function at each tick.
    Ticks { job: Arc<dyn ErasedJob>, period: Duration, first: FirstTick },
}

/// The kind of a service that runs as long as the host, made by [`background`](super::background()).
pub struct Background {
    pub(super) body: Body,
    pub(super) supervision: Supervision,
    pub(super) may_end: bool,
    pub(super) waits_until_ready: bool,
    /// The lease of the node that runs it, if that is one of those which share a store.
    pub(super) lease: Option<Duration>,
    task: Mutex<Option<AbortHandle>>,
    over: watch::Sender<bool>,
}

impl Background {
    pub(super) fn new(function: Arc<dyn ErasedJob>) -> Self {
        Self::of(Body::Loop(function))
    }

    pub(super) fn ticking(job: Arc<dyn ErasedJob>, period: Duration) -> Self {
        Self::of(Body::Ticks { job, period, first: FirstTick::default() })
    }

    fn of(body: Body) -> Self {
        let (supervision, task, over) = (Supervision::default(), Mutex::default(), watch::Sender::new(false));
        Self { body, supervision, may_end: false, waits_until_ready: false, lease: None, task, over }
    }

    /// Who may run it; none if every node does.
    fn lease(&self, context: &ServiceContext) -> Option<Lease> {
        let (store, name) = (context.scheduler()?.store(), format!("service/{}", context.name()));
        Some(Lease::new(store, context.core.clock.clone(), name, self.lease?))
    }

    fn spawn(&self, context: &ServiceContext) {
        let loop_of = Loop {
            body: self.body.clone(),
            supervision: self.supervision,
            may_end: self.may_end,
            lease: self.lease(context),
            context: context.clone(),
            over: Over(self.over.clone()),
        };
        let activity = context.core.clock.begin(&context.name).idling();
        let task = context.core.tasks.spawn(activity.observe(loop_of.run()));
        *self.task.lock() = Some(task.abort_handle());
    }
}

/// One life of a service: until it ends, fails or is stopped.
struct Life<'a> {
    context: &'a ServiceContext,
    /// Ends the life; that of the host, or one that is also cancelled when another node may take over.
    stop: CancellationToken,
    /// The number of this life, from 1.
    number: u64,
    /// None if every node runs the service.
    fence: Option<u64>,
}

impl Life<'_> {
    async fn run(&self, body: &Body) -> JobResult {
        let name = self.context.name.clone();
        match body {
            Body::Loop(function) => {
                let call = Call::new(Launcher::Service { name }, function, self.number.to_string());
                result_of(self.call(call).await)
            }
            Body::Ticks { job, period, first } => {
                let clock = self.context.core.clock.clone();
                let mut timer = PeriodicTimer::on(*period, clock, self.stop.clone()).first(*first);
                let mut number = 0_u64;
                while let Some(tick) = timer.tick().await {
                    number += 1;
                    let (launcher, place) = (Launcher::Timer { name: name.clone() }, number.to_string());
                    let call = Call { scheduled: Some(tick.scheduled), ..Call::new(launcher, job, place) };
                    // What has become of it is said by the run itself, and the next tick is another one.
                    self.call(call).await;
                }
                Ok(())
            }
        }
    }

    async fn call(&self, call: Call<'_>) -> Outcome {
        let when_dropped = self.fence.map_or(CancelReason::Shutdown, |_| CancelReason::ClaimLost);
        let asked = async {
            self.stop.cancelled().await;
            let by_host = self.context.stop.is_cancelled();
            let reason = if by_host { CancelReason::Shutdown } else { CancelReason::ClaimLost };
            // What does not stop is dropped at the deadline of the service, or before another node begins.
            Ask { reason, within: None }
        };
        self.context.call(Call { fence: self.fence, when_dropped, ..call }, asked).await
    }
}

/// Says that the loop is over, also when its task was aborted.
struct Over(watch::Sender<bool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl ErasedService for Background {
    fn begin<'a>(&'a self, phase: Phase, context: &'a ServiceContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            if phase != Phase::Start {
                return Ok(());
            }
            self.spawn(context);
            if !self.waits_until_ready {
                return Ok(());
            }
            let (mut ready, mut over) = (context.ready.subscribe(), self.over.subscribe());
            let either = async {
                tokio::select! {
                    _ = ready.wait_for(|ready| *ready) => Ok(()),
                    _ = over.wait_for(|over| *over) => Err(JobError::new("it ended before it was ready")),
                }
            };
            aside(either).await
        })
    }

    fn end<'a>(&'a self, phase: Phase, context: &'a StopContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            if phase == Phase::Stop && self.task.lock().is_some() {
                context.context.stop.cancel();
                let mut over = self.over.subscribe();
                let _ = aside(over.wait_for(|over| *over)).await;
            }
            Ok(())
        })
    }

    fn abort(&self) {
        if let Some(task) = &*self.task.lock() {
            task.abort();
        }
    }
}

struct Loop {
    body: Body,
    supervision: Supervision,
    may_end: bool,
    lease: Option<Lease>,
    context: ServiceContext,
    over: Over,
}

impl Loop {
    async fn run(self) {
        let (context, name) = (&self.context, &self.context.name);
        let _over = &self.over;
        let (mut restarts, mut calls) = (VecDeque::new(), 0);
        loop {
            calls += 1;
            let Some(ended) = self.live(calls).await else {
                if context.is_stopping() {
                    return context.core.set_state(name, ServiceState::Stopped);
                }
                continue;
            };
            // Busy until the next wait is armed.
            let activity = context.core.clock.begin(&"the supervision of a service");
            if context.is_stopping() {
                if let Err(error) = ended {
                    tracing::warn!(service = %name, %error, "service `{name}` has failed while it stopped: {error}");
                }
                return context.core.set_state(name, ServiceState::Stopped);
            }
            let failure = match ended {
                Ok(()) if self.may_end => return context.core.set_state(name, ServiceState::Ended),
                Ok(()) => "returned although nobody has asked it to stop".to_owned(),
                Err(error) => error.to_string(),
            };
            let Some(wait) = self.wait_after(&failure, &mut restarts) else { return };
            context.core.set_state(name, ServiceState::Restarting { failure, after: wait });
            let deadline = context.core.clock.monotonic().saturating_add(wait);
            let clock = context.core.clock.clone();
            let waiting = by(&*clock, deadline, context.stop.cancelled());
            if activity.observe(waiting).await.is_some() {
                return context.core.set_state(name, ServiceState::Stopped);
            }
        }
    }

    /// One life of the service; none if this node did not get its turn or has lost it.
    async fn live(&self, number: u64) -> Option<JobResult> {
        let (context, name) = (&self.context, &self.context.name);
        let life = |stop, fence| Life { context, stop, number, fence };
        let Some(lease) = &self.lease else {
            context.core.set_state(name, ServiceState::Running);
            return Some(life(context.stop.clone(), None).run(&self.body).await);
        };
        let tenure = match self.turn(lease).await? {
            Ok(tenure) => tenure,
            Err(error) => return Some(Err(error.into())),
        };
        let (stop, fence) = (context.stop.child_token(), tenure.fence);
        context.core.set_state(name, ServiceState::Running);
        tracing::info!(service = %name, fence, "service `{name}` runs on this node, with the fence {fence}");
        let ended = lease.keep(&tenure, &stop, life(stop.clone(), Some(fence)).run(&self.body)).await;
        // Also after a lease that was nearly lost: the mark is this node's own or it is not touched. What was dropped may still be
        // closing its scoped values, so its lease runs out.
        if ended.is_some() {
            lease.give_up(&tenure).await;
        }
        if stop.is_cancelled() && !context.is_stopping() {
            tracing::warn!(service = %name, fence, "service `{name}` was stopped on this node, since its lease could not be renewed; another node may run it, and this one waits for its turn");
            return None;
        }
        ended
    }

    /// The right to run the service; none if it stops before.
    async fn turn(&self, lease: &Lease) -> Option<Result<Tenure>> {
        let (context, mut failures) = (&self.context, Streak::default());
        loop {
            context.core.set_state(&context.name, ServiceState::Waiting);
            // Others that wait until this service is ready do not wait for another node.
            let waiting = lease.acquire(None, || context.ready());
            let error = match context.stop.run_until_cancelled(waiting).await? {
                Ok(Turn::Ours(tenure)) => return Some(Ok(tenure)),
                Ok(Turn::Done) => continue,
                Err(error) if error.is_transient() => error,
                Err(error) => return Some(Err(error)),
            };
            if failures.failed(context.core.clock.monotonic()).is_some() {
                let name = &context.name;
                tracing::warn!(service = %name, %error, "service `{name}` waits for its turn, and the store cannot be asked who runs it: {error}");
            }
            context.stop.run_until_cancelled(context.core.clock.sleep(LOOK)).await?;
        }
    }

    /// How long to wait before the next call; none if there is none.
    fn wait_after(&self, failure: &str, restarts: &mut VecDeque<Duration>) -> Option<Duration> {
        let (core, name) = (&self.context.core, &self.context.name);
        let stop_host = |why: &str| {
            report(name, format_args!("service `{name}` has failed{why}, so the host stops: {failure}"));
            core.service_failed(name, failure);
        };
        match self.supervision {
            Supervision::StopHost => {
                stop_host("");
                None
            }
            Supervision::Ignore => {
                report(
                    name,
                    format_args!(
                        "service `{name}` has failed and is not restarted; the host goes on without it: {failure}"
                    ),
                );
                core.set_state(name, ServiceState::Failed { failure: failure.to_owned() });
                None
            }
            Supervision::Restart(restart) => {
                let now = core.clock.monotonic();
                while restarts.front().is_some_and(|time| now.saturating_sub(*time) > restart.window) {
                    restarts.pop_front();
                }
                if restarts.len() >= restart.most {
                    stop_host(" too often");
                    return None;
                }
                let wait = restart.wait(restarts.len());
                restarts.push_back(now);
                let wait_for = Shown(wait);
                tracing::warn!(service = %name, failure, wait = %wait_for, "service `{name}` has failed and is restarted in {wait_for}: {failure}");
                Some(wait)
            }
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("supervision", &self.supervision).finish_non_exhaustive()
    }
}

/// A failure after which a service is gone.
fn report(service: &str, sentence: fmt::Arguments<'_>) {
    unheard(sentence);
    tracing::error!(service, "{sentence}");
}
