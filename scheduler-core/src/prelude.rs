//! What most programs need: `use scheduler_core::prelude::*`.
//!
//! [`Provided`] is another name of [`State`], for files that import a `State` of another crate, such as axum's: a name that is
//! imported by itself takes precedence over one from `*`, and the compiler does not say so.

pub use tokio_util::sync::CancellationToken;

pub use crate::job::{JobContext, JobResult, Provided, Scoped, State};
pub use crate::scheduler::Scheduler;
pub use crate::trigger::Trigger;
#[cfg(feature = "macros")]
pub use crate::{Job, job};
