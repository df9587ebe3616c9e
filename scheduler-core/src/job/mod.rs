//! What runs: definitions, arguments and extractors, the context of a run, its outcome, and the registry.
//!
//! A job is an async function. This module turns it into a named definition whose handler is boxed at once, so
//! that nothing behind the registration knows its type. When it runs is the business of [`trigger`](crate::trigger);
//! who runs it that of [`scheduler`](crate::scheduler).

mod context;
mod definition;
mod detail;
mod extract;
mod handler;
mod outcome;
mod provide;
mod registry;

pub use context::{CancelReason, ExecutionId, JobContext};
pub(crate) use context::{Run, RunParts};
pub use definition::{Invocation, JobDefinition, JobFn};
pub use detail::{JobDetail, JobDetailBuilder};
pub use extract::{Extract, ExtractError, FromContext, Need, State, ViaArgs, ViaContext};
pub use handler::{BlockingHandler, Handler};
pub(crate) use handler::{ErasedJob, Threading};
pub use outcome::{BoxError, IntoOutcome, JobError, JobResult, Outcome};
pub use provide::Providers;
#[cfg(feature = "macros")]
pub use registry::Discovered;
pub use registry::{Registry, RegistryProblem};
