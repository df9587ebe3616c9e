//! Services as they are given to a host.

use std::future::ready;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::background::{Background, Call, Supervision};
use super::service::{ErasedService, Service, ServiceFunction, ServiceFuture, ServiceParameters};
use super::start_up::StartUp;
use crate::job::Need;
use crate::user::Careful;

/// A service with its name and the rules for it. Made by [`hosted`], [`background`] and [`start_up`].
#[must_use]
pub struct ServiceDefinition {
    pub(super) name: Arc<str>,
    pub(super) place: &'static Location<'static>,
    pub(super) after: Vec<String>,
    pub(super) start_within: Option<Duration>,
    pub(super) stop_within: Option<Duration>,
    pub(super) needs: Vec<Need>,
    pub(super) kind: Kind,
    pub(super) problems: Vec<String>,
}

pub(super) enum Kind {
    Hosted(Arc<dyn ErasedService>),
    Background(Background),
    StartUp(StartUp),
}

/// A service with a start and a stop. The name is its identity: two services of one type are fine, two of one name are not.
#[track_caller]
pub fn hosted(name: &str, service: impl Service) -> ServiceDefinition {
    let service = Careful::new(std::any::type_name_of_val(&service), service);
    ServiceDefinition::new(name, Vec::new(), Kind::Hosted(Arc::new(service)))
}

/// A service that runs as long as the host: an async function or closure that ends when its stop token is cancelled. It
/// never holds up the start of others, unless [it is to](ServiceDefinition::waits_until_ready).
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_core::host::{ServiceContext, background};
/// use scheduler_core::job::JobResult;
///
/// async fn poll(context: ServiceContext) -> JobResult {
///     let mut timer = context.every(Duration::from_secs(5));
///     while let Some(tick) = timer.tick().await {
///         println!("looked at {}", tick.scheduled);
///     }
///     Ok(())
/// }
///
/// let service = background("poll", poll);
/// ```
#[track_caller]
pub fn background<P, F>(name: &str, function: F) -> ServiceDefinition
where
    P: ServiceParameters,
    F: ServiceFunction<P, Running: ServiceFuture>,
{
    ServiceDefinition::new(name, P::needs(), Kind::Background(Background::new(call(function))))
}

/// A task that runs to its end before any service starts: a migration, a warm-up. If it fails, nothing starts.
#[track_caller]
pub fn start_up<P, F>(name: &str, function: F) -> ServiceDefinition
where
    P: ServiceParameters,
    F: ServiceFunction<P, Running: ServiceFuture>,
{
    ServiceDefinition::new(name, P::needs(), Kind::StartUp(StartUp::new(call(function))))
}

fn call<P, F>(function: F) -> Call
where
    P: ServiceParameters,
    F: ServiceFunction<P, Running: ServiceFuture>,
{
    Arc::new(move |context| match P::from_service(context) {
        Ok(parameters) => function.call(parameters).boxed(),
        Err(error) => Box::pin(ready(Err(error.into()))),
    })
}

impl ServiceDefinition {
    #[track_caller]
    pub(super) fn new(name: &str, needs: Vec<Need>, kind: Kind) -> Self {
        let (after, problems) = (Vec::new(), Vec::new());
        let place = Location::caller();
        Self { name: name.into(), place, after, start_within: None, stop_within: None, needs, kind, problems }
    }

    /// Starts after that service, and stops before it.
    pub fn after(mut self, service: &str) -> Self {
        self.after.push(service.to_owned());
        self
    }

    /// How long each phase of its start may take; then the start has failed. Of a start-up task: each attempt. Default: any
    /// time.
    pub fn start_within(mut self, time: Duration) -> Self {
        self.start_within = Some(time);
        self
    }

    /// How long its stop may take, within the budget of the host. Default: all of the budget.
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.stop_within = Some(time);
        self
    }

    /// What becomes of the host when a background service fails. Default: it stops.
    pub fn supervise(mut self, supervision: Supervision) -> Self {
        match &mut self.kind {
            Kind::Background(background) => background.supervision = supervision,
            _ => self.misused("supervise", "background service"),
        }
        self
    }

    /// A background service that may come to its end by itself; otherwise that is a failure.
    pub fn may_end(mut self) -> Self {
        match &mut self.kind {
            Kind::Background(background) => background.may_end = true,
            _ => self.misused("may_end", "background service"),
        }
        self
    }

    /// Holds the start of later services until a background service has called
    /// [`ready`](super::ServiceContext::ready).
    pub fn waits_until_ready(mut self) -> Self {
        match &mut self.kind {
            Kind::Background(background) => background.waits_until_ready = true,
            _ => self.misused("waits_until_ready", "background service"),
        }
        self
    }

    /// How often a start-up task is tried in all; the waits between grow from one second to thirty. Default: once.
    pub fn attempts(mut self, attempts: usize) -> Self {
        match &mut self.kind {
            Kind::StartUp(task) => task.attempts = attempts,
            _ => self.misused("attempts", "start-up task"),
        }
        self
    }

    /// Runs a start-up task on one node only for each version, however many nodes start with the same store; the others wait
    /// until it is done. A node that dies or is frozen meanwhile is replaced by another one after 30 seconds. A frozen node that
    /// wakes up learns that before its task goes on: the task is dropped, its stop token is cancelled, and the start fails with an
    /// error that says so. A version that is lower than
    /// one that was done counts as done. Needs a scheduler, whose store remembers it, also when the store is cleared.
    pub fn once_per_cluster(mut self, version: u64) -> Self {
        match &mut self.kind {
            Kind::StartUp(task) => task.once = Some(version),
            _ => self.misused("once_per_cluster", "start-up task"),
        }
        self
    }

    fn misused(&mut self, option: &str, kind: &str) {
        self.problems.push(format!("service `{}`: `{option}` is for a {kind}; leave it out", self.name));
    }
}

impl std::fmt::Debug for ServiceDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceDefinition").field("name", &self.name).finish_non_exhaustive()
    }
}
