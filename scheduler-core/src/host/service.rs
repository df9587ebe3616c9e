//! What a service is, and what it gets to know.

use std::any::Any;
use std::fmt;
use std::future::{Future, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::core::HostCore;
use super::timer::PeriodicTimer;
use crate::data::JobData;
use crate::job::{
    BoxFuture, ErasedJob, ExtractError, FromContext, Identity, IntoOutcome, JobContext, JobResult, Need,
    Outcome, Threading,
};
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
    /// The run of which it is a parameter; its token is cancelled whatever the run is asked to stop for.
    pub(super) run: Option<JobContext>,
    pub(super) ready: Arc<watch::Sender<bool>>,
}

impl ServiceContext {
    /// The name of the service.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The token that is cancelled when the service should stop.
    pub fn stop_token(&self) -> &CancellationToken {
        self.run.as_ref().map_or(&self.stop, |run| run.0.listen())
    }

    /// Whether the service should stop.
    pub fn is_stopping(&self) -> bool {
        self.stop_token().is_cancelled()
    }

    /// Ready when the service should stop.
    pub async fn stopping(&self) {
        self.stop_token().cancelled().await;
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
        PeriodicTimer::on(period, self.core.clock.clone(), self.stop_token().clone())
    }

    /// The shared value of type `T`; none if nobody provides it.
    pub fn get<T: Any + Clone + Send + Sync>(&self) -> Option<T> {
        self.core.pipeline.providers.get()
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

/// What a background service, a start-up task or the function of a timer knows of its host. Other jobs cannot take it.
impl FromContext for ServiceContext {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        let own = context.0.parts.caller.as_ref().and_then(|caller| caller.downcast_ref::<Self>());
        let own = own.map(|own| Self { run: Some(context.clone()), ..own.clone() });
        ready(own.ok_or_else(|| ExtractError::new("the host has not launched this run as a service")))
    }

    fn needs() -> Vec<Need> {
        vec![Need::of_own::<Self>(
            "ServiceContext",
            "launch it with `background(…)`, `start_up(…)` or `every(…)`",
        )]
    }
}

/// An async function that the host can launch: as a background service, a start-up task or at each tick of a timer. It has up to six
/// parameters.
///
/// `Parameters` is the tuple of its parameters, which must be [`ServiceParameters`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as a background service",
    label = "not an async function of up to six parameters",
    note = "what the host launches is an `async fn`, or a closure that returns a future and whose parameters have their types written down",
    note = "pass the function itself, without calling it"
)]
pub trait ServiceFunction<Parameters>: Send + Sync + 'static {
    /// The future that the function returns.
    type Running;

    /// Calls the function.
    fn call(&self, parameters: Parameters) -> Self::Running;
}

/// What a function of the host returns: a future that is `Send` and ends with an [`IntoOutcome`].
pub trait ServiceFuture: Send + 'static {
    /// The future, boxed and with its outcome.
    fn boxed(self) -> BoxFuture<'static, Outcome>;
}

impl<F: Future<Output: IntoOutcome> + Send + 'static> ServiceFuture for F {
    fn boxed(self) -> BoxFuture<'static, Outcome> {
        Box::pin(async move { self.await.into_outcome() })
    }
}

/// The parameters of a function of the host: a tuple of up to six types that are [`FromContext`].
pub trait ServiceParameters: Sized + Send + 'static {
    /// Makes the values for one run.
    ///
    /// # Errors
    ///
    /// One of them cannot be made; the run fails with the error.
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send;

    /// What must be provided for them.
    fn needs() -> Vec<Need>;
}

/// A function of the host as a job.
pub(super) struct ServiceJob<P, F>(Arc<F>, PhantomData<fn() -> P>);

impl<P, F> ServiceJob<P, F> {
    pub(super) fn new(function: F) -> Self {
        Self(Arc::new(function), PhantomData)
    }
}

impl<P: ServiceParameters, F: ServiceFunction<P, Running: ServiceFuture>> ErasedJob for ServiceJob<P, F> {
    fn run(&self, context: JobContext) -> BoxFuture<'static, Outcome> {
        let function = self.0.clone();
        Box::pin(async move {
            let parameters = match P::from_context(&context).await {
                Ok(parameters) => parameters,
                Err(error) => return Outcome::Failed(error.into()),
            };
            drop(context);
            let running = function.call(parameters).boxed();
            running.await
        })
    }

    fn needs(&self) -> Vec<Need> {
        P::needs()
    }

    fn threading(&self) -> Threading {
        Threading::Async
    }

    fn accepts(&self, _: &JobData) -> Result<(), ExtractError> {
        Ok(())
    }

    fn identity(&self) -> Identity {
        Identity::Unknown
    }
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

        impl<$($arg: FromContext + 'static),*> ServiceParameters for ($($arg,)*) {
            #[allow(unused_variables, reason = "a macro over type names, also for no parameter at all")]
            async fn from_context(context: &JobContext) -> Result<Self, ExtractError> {
                Ok(($($arg::from_context(context).await?,)*))
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
