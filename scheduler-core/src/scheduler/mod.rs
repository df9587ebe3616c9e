//! The scheduler: the handle that users hold, the loop that fires, the pool that runs.
//!
//! One direction: the handle writes to the store; the firing loop, on a thread of its own, takes what is due from
//! the store and hands it to the pool; the pool runs jobs and hands endings back to the loop, which writes them to
//! the store. An execution never touches the store, and nothing of a job can keep the loop from its work.

mod builder;
mod core;
mod ending;
mod event;
mod execution;
mod firing;
mod handle;
mod looper;
mod pool;
mod running;
mod shutdown;

pub use self::core::SchedulerState;
pub use builder::{BuildError, SchedulerBuilder};
pub use event::{Event, Events};
pub use handle::{Scheduled, Scheduler, WeakScheduler};
pub use running::RunningExecution;
pub use shutdown::ShutdownReport;
