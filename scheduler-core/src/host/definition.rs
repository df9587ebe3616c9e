//! Services as they are given to a host.

use std::any::Any;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::background::{Background, Body, Supervision};
use super::service::{ErasedService, Service, ServiceFunction, ServiceFuture, ServiceJob, ServiceParameters};
use super::start_up::StartUp;
use super::timer::FirstTick;
use crate::job::Need;
use crate::scheduler::OwnHandle;
use crate::user::Careful;

/// How long a node has a service for itself after it was heard of last.
const LEASE: Duration = Duration::from_secs(15);

/// A beat has to come in time also over a slow network.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// A service for a host, of whatever kind. Made from a [`ServiceBuilder`].
#[must_use]
pub struct ServiceDefinition {
    pub(super) rules: Rules,
    pub(super) kind: Kind,
}

/// A service of one kind with its name and the rules for it. Made by [`hosted`], [`background`], [`every`] and [`start_up`]; a method that
/// means nothing for the kind is not there, so none of these compiles:
///
/// ```compile_fail
/// let service = scheduler_core::host::start_up("migrate", async || {}).waits_until_ready();
/// ```
///
/// ```compile_fail
/// let service = scheduler_core::host::start_up("migrate", async || {}).stop_within(std::time::Duration::ZERO);
/// ```
///
/// ```compile_fail
/// let service = scheduler_core::host::background("poll", async || {}).once_per_cluster(1);
/// ```
#[must_use]
pub struct ServiceBuilder<K> {
    rules: Rules,
    kind: K,
}

/// What every kind of service has.
pub(super) struct Rules {
    pub(super) name: Arc<str>,
    pub(super) place: &'static Location<'static>,
    pub(super) after: Vec<String>,
    pub(super) start_within: Option<Duration>,
    pub(super) stop_within: Option<Duration>,
    pub(super) needs: Vec<Need>,
    pub(super) provides: Vec<Need>,
}

pub(super) enum Kind {
    Hosted(Hosted),
    Background(Background),
    StartUp(StartUp),
}

/// The kind of a service with a start and a stop, made by [`hosted`].
pub struct Hosted(pub(super) Arc<dyn ErasedService>);

impl From<ServiceBuilder<Hosted>> for ServiceDefinition {
    fn from(ServiceBuilder { rules, kind }: ServiceBuilder<Hosted>) -> Self {
        Self { rules, kind: Kind::Hosted(kind) }
    }
}

impl From<ServiceBuilder<Background>> for ServiceDefinition {
    fn from(ServiceBuilder { rules, kind }: ServiceBuilder<Background>) -> Self {
        Self { rules, kind: Kind::Background(kind) }
    }
}

/// The kind of a service that runs a function again and again, made by [`every`].
pub struct Every(Background);

impl From<ServiceBuilder<Every>> for ServiceDefinition {
    fn from(ServiceBuilder { rules, kind }: ServiceBuilder<Every>) -> Self {
        Self { rules, kind: Kind::Background(kind.0) }
    }
}

impl From<ServiceBuilder<StartUp>> for ServiceDefinition {
    fn from(ServiceBuilder { rules, kind }: ServiceBuilder<StartUp>) -> Self {
        Self { rules, kind: Kind::StartUp(kind) }
    }
}

/// A service with a start and a stop. The name is its identity: two services of one type are fine, two of one name are not.
#[track_caller]
pub fn hosted(name: &str, service: impl Service) -> ServiceBuilder<Hosted> {
    let service = Careful::new(std::any::type_name_of_val(&service), service);
    ServiceBuilder::new(name, Vec::new(), Hosted(Arc::new(service)))
}

/// A service that runs as long as the host: an async function or closure that ends when its stop token is cancelled. It
/// never holds up the start of others, unless [it is to](ServiceBuilder::waits_until_ready).
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
pub fn background<P, F>(name: &str, function: F) -> ServiceBuilder<Background>
where
    P: ServiceParameters,
    F: ServiceFunction<P, Running: ServiceFuture>,
{
    ServiceBuilder::new(name, P::needs(), Background::new(Arc::new(ServiceJob::new(function))))
}

/// A function that the host runs once in every `period`, one run after the other, from the start to the stop. A run that fails is
/// reported like that of any job, and the next one comes at its time. Ticks for which a run took too long become one.
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_core::host::{Host, every};
/// use scheduler_core::job::{JobResult, Scoped};
/// # #[derive(Clone)]
/// # struct Transaction;
/// # async fn begin() -> Result<Transaction, scheduler_core::job::JobError> { Ok(Transaction) }
///
/// /// Each run has a transaction of its own.
/// async fn clean(Scoped(_transaction): Scoped<Transaction>) -> JobResult {
///     Ok(())
/// }
///
/// let builder = Host::builder()
///     .provide_scoped(begin)
///     .service(every("clean", Duration::from_secs(60), clean));
/// ```
#[track_caller]
pub fn every<P, F>(name: &str, period: Duration, function: F) -> ServiceBuilder<Every>
where
    P: ServiceParameters,
    F: ServiceFunction<P, Running: ServiceFuture>,
{
    let background = Background::ticking(Arc::new(ServiceJob::new(function)), period);
    ServiceBuilder::new(name, P::needs(), Every(background))
}

/// A task that runs to its end before any service starts: a migration, a warm-up. If it fails, nothing starts.
#[track_caller]
pub fn start_up<P, F>(name: &str, function: F) -> ServiceBuilder<StartUp>
where
    P: ServiceParameters,
    F: ServiceFunction<P, Running: ServiceFuture>,
{
    ServiceBuilder::new(name, P::needs(), StartUp::new(Arc::new(ServiceJob::new(function))))
}

impl<K> ServiceBuilder<K> {
    #[track_caller]
    pub(super) fn new(name: &str, needs: Vec<Need>, kind: K) -> Self {
        let (name, place) = (name.into(), Location::caller());
        let (after, provides) = (Vec::new(), Vec::new());
        let rules = Rules { name, place, after, start_within: None, stop_within: None, needs, provides };
        Self { rules, kind }
    }

    /// Starts after that service, and stops before it. What a service takes orders it by itself: one that takes `Scheduler` or a
    /// [`JobQueue`](super::JobQueue) comes after them, and one that takes a value comes after the service that
    /// [provides](Self::provides) it. This is for what its parameters do not tell.
    pub fn after(mut self, service: &str) -> Self {
        self.rules.after.push(service.to_owned());
        self
    }

    /// This service keeps up the value of type `T` that is provided to the host: a pool that it opens, a cache that it fills. Every
    /// service that takes `State<T>`, or a value that is made of `T`, starts after this one and stops before it.
    ///
    /// ```
    /// use scheduler_core::host::{Host, Service, background, hosted};
    /// use scheduler_core::job::{JobResult, State};
    ///
    /// #[derive(Clone)]
    /// struct Pool;
    ///
    /// /// Opens the pool at its start and closes it at its stop.
    /// impl Service for Pool {}
    ///
    /// async fn poll(State(_pool): State<Pool>) -> JobResult {
    ///     Ok(())
    /// }
    ///
    /// let host = Host::builder()
    ///     .provide(Pool)
    ///     .service(background("poll", poll)) // stops while the pool is still open
    ///     .service(hosted("pool", Pool).provides::<Pool>());
    /// ```
    pub fn provides<T: Any>(mut self) -> Self {
        self.rules.provides.push(Need::of::<T>());
        self
    }

    /// How long each phase of its start may take; then the start has failed. Of a start-up task: each attempt. Default: any
    /// time.
    pub fn start_within(mut self, time: Duration) -> Self {
        self.rules.start_within = Some(time);
        self
    }
}

impl ServiceBuilder<Hosted> {
    /// How long the stop may take, within the budget of the host. Default: all of the budget.
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.rules.stop_within = Some(time);
        self
    }
}

impl ServiceBuilder<Background> {
    /// How long the stop may take, within the budget of the host. Default: all of the budget.
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.rules.stop_within = Some(time);
        self
    }

    /// What becomes of the host when the service fails. Default: the host stops.
    pub fn supervise(mut self, supervision: Supervision) -> Self {
        self.kind.supervision = supervision;
        self
    }

    /// The service may end by itself; otherwise that is a failure.
    pub fn may_end(mut self) -> Self {
        self.kind.may_end = true;
        self
    }

    /// Holds the start of later services until this one has called [`ready`](super::ServiceContext::ready).
    pub fn waits_until_ready(mut self) -> Self {
        self.kind.waits_until_ready = true;
        self
    }
}

impl AsMut<Self> for Background {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl AsMut<Background> for Every {
    fn as_mut(&mut self) -> &mut Background {
        &mut self.0
    }
}

impl<K: AsMut<Background>> ServiceBuilder<K> {
    /// Runs the service on exactly one of the nodes that share a store; the others wait for their turn. A node that dies, or cannot
    /// reach the store, is replaced within the [lease](Self::lease) and a beat of a third of it; a node that stops gracefully hands the service over at once.
    ///
    /// The stop token of the service is cancelled when the lease could not be renewed for two thirds of its time, and what has not
    /// stopped by five sixths is dropped: before another node may begin. A process that is frozen for longer than its lease learns so
    /// before the service goes on. Blocking code and spawned tasks cannot be dropped, the close hooks of what was
    /// dropped take their time, and a machine that was suspended learns of its loss only with its next beat, so hand
    /// [`JobContext::fence`](crate::job::JobContext::fence) to what the service writes to: the fence grows with every change of the
    /// node, and a resource that refuses smaller ones is safe from whoever is late.
    ///
    /// A service that waits for its turn counts as [ready](Self::waits_until_ready). Needs a scheduler, whose store has the lease.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use scheduler_core::Scheduler;
    /// use scheduler_core::host::{Host, ServiceContext, background};
    /// use scheduler_core::job::{JobContext, JobResult};
    ///
    /// async fn relay(context: ServiceContext, run: JobContext) -> JobResult {
    ///     let mut timer = context.every(Duration::from_secs(1));
    ///     while timer.tick().await.is_some() {
    ///         println!("only this node sends, with the fence {}", run.fence());
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let builder = Host::builder()
    ///     .scheduler(Scheduler::builder()) // with a store that several nodes share
    ///     .service(background("relay", relay).one_per_cluster());
    /// ```
    pub fn one_per_cluster(mut self) -> Self {
        self.kind.as_mut().lease.get_or_insert(LEASE);
        self.rules.needs.push(Need::of_own::<OwnHandle>("Scheduler", "call `.scheduler(…)`"));
        self
    }

    /// How long a node has a service [for itself](Self::one_per_cluster) after it was heard of last. A second at least.
    /// Default: 15 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.kind.as_mut().lease = Some(lease.max(SHORTEST_LEASE));
        self.one_per_cluster()
    }
}

impl ServiceBuilder<Every> {
    /// How long the stop may take, within the budget of the host. Default: all of the budget.
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.rules.stop_within = Some(time);
        self
    }

    /// When the first run comes. Default: after a period.
    pub fn first(mut self, first: FirstTick) -> Self {
        if let Body::Ticks { first: own, .. } = &mut self.kind.0.body {
            *own = first;
        }
        self
    }
}

impl ServiceBuilder<StartUp> {
    /// How often the task is tried in all; the waits between grow from one second to thirty. Default: once.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.kind.attempts = attempts;
        self
    }

    /// Runs a start-up task on one node only for each version, however many nodes start with the same store; the others wait
    /// until it is done. A node that dies or is frozen meanwhile is replaced by another one after 30 seconds. A node that
    /// was frozen for so long drops its task before that goes on: the stop token is cancelled, and the start fails with an error that
    /// says so. A version that is lower than
    /// one that was done counts as done. Needs a scheduler, whose store remembers it, also when the store is cleared.
    pub fn once_per_cluster(mut self, version: u64) -> Self {
        self.kind.once = Some(version);
        self
    }
}

impl<K> std::fmt::Debug for ServiceBuilder<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceBuilder").field("name", &self.rules.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ServiceDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceDefinition").field("name", &self.rules.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Every {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Every").field(&self.0).finish()
    }
}

impl std::fmt::Debug for Hosted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosted").finish_non_exhaustive()
    }
}
