//! What most programs need: `use scheduler_core::prelude::*`.

pub use tokio_util::sync::CancellationToken;

pub use crate::job::{JobContext, JobResult, Scoped, State};
pub use crate::scheduler::Scheduler;
pub use crate::trigger::Trigger;
#[cfg(feature = "macros")]
pub use crate::{Job, job};
