//! What a service is, and what it gets to know.

use std::any::Any;
use std::fmt;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::core::HostCore;
use super::timer::PeriodicTimer;
use crate::job::{BoxError, BoxFuture, ExtractError, JobError, JobResult, Need, State};
use crate::scheduler::Scheduler;
use crate::time::Clock;
use crate::user::Careful;

/// Something that starts and stops with the program: a cache, a listener on a port, a client of a message bus.
///
/// A phase is over for all services before the next one begins: prepare, start, started; at the end stopping, stop,
/// stopped, in the reverse order.
///
/// ```
/// use scheduler_core::host::{Service, ServiceContext, StopContext};
/// use scheduler_core::job::JobResult;
///
/// struct Cache;
///
/// impl Service for Cache {
///     async fn start(&self, _: &ServiceContext) -> JobResult {
///         println!("filled");
///         Ok(())
///     }
///
///     async fn stop(&self, context: &StopContext) -> JobResult {
///         println!("written, with {:?} left", context.remaining());
///         Ok(())
///     }
/// }
/// ```
///
/// # Cancel safety
///
/// Each future is dropped when its time is over, or when the host is asked to stop while it starts.
pub trait Service: Send + Sync + 'static {
    /// Before any service starts: what others rely on, such as a migration.
    fn prepare(&self, context: &ServiceContext) -> impl Future<Output = JobResult> + Send {
        let _ = context;
        ready(Ok(()))
    }

    /// Starts it; services of later layers wait until this is done.
    fn start(&self, context: &ServiceContext) -> impl Future<Output = JobResult> + Send {
        let _ = context;
        ready(Ok(()))
    }

    /// All services have started.
    fn started(&self, context: &ServiceContext) -> impl Future<Output = JobResult> + Send {
        let _ = context;
        ready(Ok(()))
    }

    /// The host is about to stop: take no new work.
    fn stopping(&self, context: &StopContext) -> impl Future<Output = JobResult> + Send {
        let _ = context;
        ready(Ok(()))
    }

    /// Stops it. Called only if it has started.
    fn stop(&self, context: &StopContext) -> impl Future<Output = JobResult> + Send {
        let _ = context;
        ready(Ok(()))
    }

    /// All services have stopped.
    fn stopped(&self, context: &StopContext) -> impl Future<Output = JobResult> + Send {
        let _ = context;
        ready(Ok(()))
    }
}

/// A phase in the life of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Prepare,
    Start,
    Started,
    Stopping,
    Stop,
    Stopped,
}

impl Phase {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Start => "start",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Stop => "stop",
            Self::Stopped => "stopped",
        }
    }
}

/// A service with its type erased.
pub(super) trait ErasedService: Send + Sync {
    fn begin<'a>(&'a self, phase: Phase, context: &'a ServiceContext) -> BoxFuture<'a, JobResult>;
    fn end<'a>(&'a self, phase: Phase, context: &'a StopContext) -> BoxFuture<'a, JobResult>;
    /// Its time is over: what can be taken away is taken away.
    fn abort(&self) {}
}

impl<S: Service> ErasedService for Careful<S> {
    fn begin<'a>(&'a self, phase: Phase, context: &'a ServiceContext) -> BoxFuture<'a, JobResult> {
        match phase {
            Phase::Prepare => Box::pin(self.prepare(context)),
            Phase::Start => Box::pin(self.start(context)),
            _ => Box::pin(self.started(context)),
        }
    }

    fn end<'a>(&'a self, phase: Phase, context: &'a StopContext) -> BoxFuture<'a, JobResult> {
        match phase {
            Phase::Stopping => Box::pin(self.stopping(context)),
            Phase::Stop => Box::pin(self.stop(context)),
            _ => Box::pin(self.stopped(context)),
        }
    }
}

/// What a service may ask about itself and its host. Cloning copies a pointer.
#[derive(Clone)]
pub struct ServiceContext {
    pub(super) name: Arc<str>,
    pub(super) core: Arc<HostCore>,
    pub(super) stop: CancellationToken,
    pub(super) ready: Arc<watch::Sender<bool>>,
}

impl ServiceContext {
    /// The name of the service.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token that is cancelled when the service should stop.
    pub fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Whether the service should stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ready when the service should stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Says that the service is up. Needed only if it was registered with
    /// [`waits_until_ready`](super::ServiceBuilder::waits_until_ready).
    pub fn ready(&self) {
        self.ready.send_replace(true);
    }

    /// Asks the host to stop, as a signal does.
    pub fn stop_host(&self) {
        self.core.request_stop(super::StopReason::Requested);
    }

    /// The clock of the host: sleep on it, and a test can drive the service.
    pub fn clock(&self) -> &dyn Clock {
        &*self.core.clock
    }

    /// A timer on the clock of the host that ends when the service should stop.
    pub fn every(&self, period: Duration) -> PeriodicTimer {
        PeriodicTimer::on(period, self.core.clock.clone(), self.stop.clone())
    }

    /// The shared value of type `T`; none if nobody provides it.
    pub fn get<T: Any + Clone + Send + Sync>(&self) -> Option<T> {
        self.core.providers.get()
    }

    /// The scheduler of the host, if it has one.
    pub fn scheduler(&self) -> Option<&Scheduler> {
        self.core.scheduler.as_ref()
    }
}

impl fmt::Debug for ServiceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceContext").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a service may ask while it stops.
#[derive(Debug, Clone)]
pub struct StopContext {
    pub(super) context: ServiceContext,
    /// On the monotonic clock of the host.
    pub(super) deadline: Duration,
}

impl StopContext {
    /// How much time is left before it is taken away.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_sub(self.context.clock().monotonic())
    }

    /// What it may ask otherwise.
    pub fn service(&self) -> &ServiceContext {
        &self.context
    }
}

/// A parameter of a background service or a start-up task.
#[diagnostic::on_unimplemented(
    message = "a service cannot take a parameter of type `{Self}`",
    note = "for a value that the program provides, write `State(name): State<{Self}>`",
    note = "if the file imports another crate's `State`, write `Provided(name): Provided<T>`, which is the `State` of this crate",
    note = "use `ServiceContext`, `CancellationToken` or `Scheduler`, or implement `FromService` for `{Self}`"
)]
pub trait FromService: Sized + Send {
    /// Makes the value for one run.
    ///
    /// # Errors
    ///
    /// It cannot be made; the run fails with the error.
    fn from_service(context: &ServiceContext) -> Result<Self, ExtractError>;

    /// What must be provided for it.
    fn needs() -> Vec<Need> {
        Vec::new()
    }
}

impl FromService for ServiceContext {
    fn from_service(context: &ServiceContext) -> Result<Self, ExtractError> {
        Ok(context.clone())
    }
}

impl FromService for CancellationToken {
    fn from_service(context: &ServiceContext) -> Result<Self, ExtractError> {
        Ok(context.stop.clone())
    }
}

impl FromService for Scheduler {
    fn from_service(context: &ServiceContext) -> Result<Self, ExtractError> {
        context.scheduler().cloned().ok_or_else(|| ExtractError::new("the host has no scheduler"))
    }

    fn needs() -> Vec<Need> {
        vec![Need::of::<OfHost>()]
    }
}

/// What stands for the host's scheduler among the needs of a service.
pub(super) struct OfHost;

impl<T: Any + Clone + Send + Sync> FromService for State<T> {
    fn from_service(context: &ServiceContext) -> Result<Self, ExtractError> {
        context.core.providers.shared().map(State)
    }

    fn needs() -> Vec<Need> {
        vec![Need::of::<T>()]
    }
}

/// What a background service or a start-up task may return: `()`, or `Result<(), E>` with any error.
#[diagnostic::on_unimplemented(
    message = "a service cannot return `{Self}`",
    note = "return `()`, `JobResult`, or `Result<(), E>` where `E` is an error"
)]
pub trait IntoJobResult {
    /// The result that this value stands for.
    ///
    /// # Errors
    ///
    /// The value is one.
    fn into_job_result(self) -> JobResult;
}

impl IntoJobResult for () {
    fn into_job_result(self) -> JobResult {
        Ok(())
    }
}

impl<E: Into<BoxError>> IntoJobResult for Result<(), E> {
    fn into_job_result(self) -> JobResult {
        self.map_err(JobError::new)
    }
}

/// An async function that can be a background service or a start-up task, with up to six parameters.
///
/// `Parameters` is the tuple of its parameters, which must be [`ServiceParameters`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as a background service",
    label = "not an async function of up to six parameters",
    note = "a background service is an `async fn`, or a closure that returns a future and whose parameters have their types written down",
    note = "pass the function itself, without calling it"
)]
pub trait ServiceFunction<Parameters>: Send + Sync + 'static {
    /// The future that the function returns.
    type Running;

    /// Calls the function.
    fn call(&self, parameters: Parameters) -> Self::Running;
}

/// What a background service or a start-up task returns: a future that is `Send` and ends with an [`IntoJobResult`].
pub trait ServiceFuture: Send + 'static {
    /// The future, boxed and with its result.
    fn boxed(self) -> BoxFuture<'static, JobResult>;
}

impl<F: Future<Output: IntoJobResult> + Send + 'static> ServiceFuture for F {
    fn boxed(self) -> BoxFuture<'static, JobResult> {
        Box::pin(async move { self.await.into_job_result() })
    }
}

/// The parameters of a background service or a start-up task: a tuple of up to six types that are [`FromService`].
pub trait ServiceParameters: Sized + 'static {
    /// Makes the values for one run.
    ///
    /// # Errors
    ///
    /// One of them cannot be made; the run fails with the error.
    fn from_service(context: &ServiceContext) -> Result<Self, ExtractError>;

    /// What must be provided for them.
    fn needs() -> Vec<Need>;
}

macro_rules! service_functions {
    ($($arg:ident),*) => {
        impl<F, Running, $($arg),*> ServiceFunction<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Running + Send + Sync + 'static,
        {
            type Running = Running;

            #[allow(non_snake_case, reason = "a macro over type names")]
            fn call(&self, ($($arg,)*): ($($arg,)*)) -> Running {
                self($($arg),*)
            }
        }

        impl<$($arg: FromService + 'static),*> ServiceParameters for ($($arg,)*) {
            #[allow(unused_variables, reason = "a macro over type names, also for no parameter at all")]
            fn from_service(context: &ServiceContext) -> Result<Self, ExtractError> {
                Ok(($($arg::from_service(context)?,)*))
            }

            fn needs() -> Vec<Need> {
                let needs: Vec<Vec<Need>> = vec![$($arg::needs()),*];
                needs.concat()
            }
        }
    };
}

service_functions!();
service_functions!(A1);
service_functions!(A1, A2);
service_functions!(A1, A2, A3);
service_functions!(A1, A2, A3, A4);
service_functions!(A1, A2, A3, A4, A5);
service_functions!(A1, A2, A3, A4, A5, A6);
