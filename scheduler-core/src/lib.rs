//! A job scheduling framework.

pub mod calendar;
mod data;
mod error;
pub mod job;
mod key;
pub mod prelude;
#[cfg(feature = "macros")]
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod scheduler;
pub mod store;
pub mod time;
pub mod trigger;

pub use data::{DataError, JobData};
pub use error::{Error, Result};
pub use key::{DEFAULT_GROUP, InvalidKey, JobKey, TriggerKey};
pub use scheduler::{Scheduler, SchedulerState, ShutdownReport};
#[cfg(feature = "macros")]
pub use scheduler_macros::{Job, job};
