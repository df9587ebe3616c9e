//! The scheduler: the handle that users hold, its builder, start and shutdown.
//!
//! The handle writes to the store, as the [client](crate::client) that it also is. The firing loop, on a thread of its own, takes
//! what is due from the store and hands it to a pool, which runs jobs and hands endings back; the loop writes them to the store.
//! An execution never touches the store, and nothing of a job can keep the loop from its work.
//!
//! # The life of a scheduler
//!
//! ```text
//! created ──start──▶ running ◀──start── standby
//!                       │  └───standby───▶  │
//!                       └──── shutdown ─────┴──▶ shutting down ──▶ shut down
//! ```
//!
//! The first start puts the declared schedules into the store, runs the start-up jobs to their end, and then fires.
//! A scheduler in standby lets its runs go on and takes no new work. Shutdown is final: it stops taking work, waits,
//! asks what is left to stop, takes away what does not, and reports, all within one budget.
//!
//! # Many at once
//!
//! At most [`concurrency`](SchedulerBuilder::concurrency) executions are under way; more wait in the store, not in memory.
//! Between triggers and runs that are due together the order is: due time, then higher priority, then key or id.
//!
//! # Watching
//!
//! [`Scheduler::events`] is a stream of what happens. It costs nothing while nobody listens, and a reader that is too
//! slow is told how much it has missed. Everything that happens in a run is inside of a span `run` of `tracing`, with the fields `job`, `trigger`,
//! `launcher`, `run`, `attempt` and `execution`. Logs go through `tracing`: a failed run and a misfire are warnings, a failing
//! store is one error for each streak of failures.

mod builder;
mod explain;
mod handle;
mod lengths;
mod metadata;
mod queue_settings;
mod shutdown;
mod start;
mod this_batch;

pub(crate) use handle::OwnHandle;

pub use crate::engine::RunningExecution;
pub use crate::execute::{Middleware, Next};
pub use crate::watch::{
    Event, Events, JobListener, ListenerId, SchedulerListener, SchedulerState, TriggerListener,
};
pub use builder::{BuildError, SchedulerBuilder};
pub use handle::{Scheduler, WeakScheduler};
pub use metadata::SchedulerMetadata;
pub use shutdown::ShutdownReport;
pub use this_batch::ThisBatch;
