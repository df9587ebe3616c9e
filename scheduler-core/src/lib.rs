//! A job scheduling framework.

pub mod calendar;
mod data;
mod error;
pub mod job;
mod key;
pub mod scheduler;
pub mod store;
pub mod time;
pub mod trigger;

pub use data::{DataError, JobData};
pub use error::{Error, Result};
pub use scheduler::{Scheduler, SchedulerState, ShutdownReport};
pub use key::{DEFAULT_GROUP, InvalidKey, JobKey, TriggerKey};
