//! The host: services that start and stop with the program, background loops that are watched, start-up tasks, queues, and
//! the scheduler as one service among them.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use scheduler_core::host::{Host, HostError, ServiceContext, background, start_up};
//! use scheduler_core::prelude::*;
//!
//! #[job(cron = "0 0 2 * * ?")]
//! async fn nightly() {}
//!
//! async fn migrate() -> JobResult {
//!     Ok(()) // before anything else starts
//! }
//!
//! async fn outbox(context: ServiceContext) -> JobResult {
//!     let mut timer = context.every(Duration::from_secs(5));
//!     while let Some(_tick) = timer.tick().await {
//!         // deliver
//!     }
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), HostError> {
//!     Host::builder()
//!         .service(start_up("migrate", migrate).attempts(3))
//!         .service(background("outbox", outbox))
//!         .scheduler(Scheduler::builder().discover_jobs())
//!         .build()?
//!         .run()
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! # The life of a host
//!
//! ```text
//! prepare ─▶ start ─▶ started ─▶ (until a signal, a request, a failure) ─▶ drain delay ─▶ stopping ─▶ stop ─▶ stopped
//! ```
//!
//! A phase is over for all services before the next one begins. Inside a phase, services go by layers: a service that comes
//! after another one begins when that one is done; those of a layer go together. The last three phases go backwards.
//!
//! What a service takes orders it. A background service that takes `Scheduler` comes after the scheduler, one that takes a
//! [`JobQueue`] after the queues, and one that takes a value after the service that [provides](ServiceBuilder::provides) it;
//! so each is stopped while what it uses still works. [`after`](ServiceBuilder::after) says the rest. The scheduler and the
//! queues come after all services that do not come after them. Services that come after each other are reported when the host is
//! built. Start-up tasks run before all of this.
//!
//! * A start that fails is unwound: what has started is stopped, backwards, and the error names the service.
//! * The stop has one [budget](HostBuilder::stop_budget). Each service is first told (`stopping`: take no new work), then
//!   asked (`stop`, the stop token), and at its deadline taken away. Whoever did not stop is named.
//! * A background service that fails is an event, and by default the end of the host with an error: the process never
//!   goes on without it in silence, and never ends with code 0 after it.
//! * [`Host::run`] owns the process: SIGINT, SIGTERM and SIGQUIT (elsewhere Ctrl-C) ask for the stop, a second one ends
//!   the process at once with 128 + the signal's number; and when something cannot be stopped, the process ends all the
//!   same, with code 1. [`Host::run_until`] touches no signals and ends nothing.
//!
//! # The same around every run
//!
//! A queue, a start-up task, a background service and a timer launch job functions, and so does the scheduler. [Middleware](HostBuilder::middleware),
//! [listeners](HostBuilder::job_listener), [events](HostHandle::runs), the span `run` of `tracing`, [scoped values](crate::job::Scoped), timeouts and the cancel
//! grace are the same for all of them, and [`JobContext::launcher`](crate::job::JobContext::launcher) says which one it is. A background service is one run for each
//! call of its function, [`every`] one for each tick. [`one_per_cluster`](ServiceBuilder::one_per_cluster) has either on one node of those that share a store.
//!
//! # Testing
//!
//! Host, timers, queues and supervision run on the clock that the builder is given. On a
//! [`ManualClock`](crate::time::ManualClock) no tick is lost: a loop counts as busy from a tick until it asks for the next.

mod background;
mod builder;
mod core;
mod definition;
mod health;
mod launch;
mod lease;
mod order;
mod queue;
mod run;
mod scheduled;
mod service;
mod signals;
mod start_up;
#[cfg(all(feature = "systemd", target_os = "linux"))]
mod systemd;
mod timer;

pub use self::core::{HostEvent, HostEvents, HostHandle, StopReason};
pub use background::{Background, Restart, Supervision};
pub use builder::HostBuilder;
pub use definition::{Every, Hosted, ServiceBuilder, ServiceDefinition, background, every, hosted, start_up};
pub use health::{Health, JobHealth, SchedulerHealth, ServiceState};
pub use queue::{AtStop, JobQueue, JobQueueBuilder, Overflow, QueuedJob};
pub use run::{Host, HostError, HostReport};
pub use service::{Service, ServiceContext, ServiceFunction, ServiceFuture, ServiceParameters, StopContext};
pub use start_up::StartUp;
pub use timer::{FirstTick, MissedTicks, PeriodicTimer, PeriodicTimerHandle, Tick};
