//! What runs: definitions, arguments and extractors, the context of a run, its outcome, and the registry.
//!
//! A job is an async function. This module turns it into a named definition whose handler is boxed at once, so
//! that nothing behind the registration knows its type. When it runs is the business of [`trigger`](crate::trigger);
//! who runs it that of [`scheduler`](crate::scheduler).
//!
//! # By hand
//!
//! `#[job]` writes nothing that cannot be written by hand. A function becomes a job by a [`JobDetail`], which is what
//! is stored, and a [`JobDefinition`], which ties it to the function:
//!
//! ```
//! use scheduler_core::job::{JobContext, JobDefinition, JobDetail, JobResult, State};
//! use scheduler_core::{JobKey, Scheduler};
//!
//! async fn nightly(State(shop): State<String>, context: JobContext) -> JobResult {
//!     println!("{shop} at {}", context.fire_time());
//!     Ok(())
//! }
//!
//! let detail = JobDetail::builder(JobKey::in_group("billing", "nightly")?, "nightly").durable(true).build();
//! let scheduler = Scheduler::builder()
//!     .provide("books & more".to_owned())
//!     .register(JobDefinition::new(detail, nightly))
//!     .build()?;
//! # Ok::<(), scheduler_core::Error>(())
//! ```
//!
//! # Parameters
//!
//! | parameter | is |
//! |---|---|
//! | `State<T>` | a clone of the value given to [`provide`](crate::scheduler::SchedulerBuilder::provide) |
//! | `Scoped<T>` | a value of this execution, by [`provide_scoped`](crate::scheduler::SchedulerBuilder::provide_scoped) |
//! | [`JobContext`] | keys, fire times, attempt, fence, data of this run |
//! | `CancellationToken` | cancelled when the run should stop |
//! | [`Scheduler`](crate::Scheduler) | the scheduler that runs the job |
//! | [`Resume<C>`](Resume) | how far earlier attempts of the run have got |
//! | any type that implements [`FromContext`] | whatever it makes of the context |
//! | one type with `serde::Deserialize` | the job's argument, from the data of job and trigger |
//!
//! # Endings
//!
//! A function returns `()` or `Result<(), E>` with any error. An error or a panic ends this run as failed and changes
//! nothing for the next one. A run that is asked to stop (see [`CancelReason`]) learns it from its token; one that
//! does not watch its token is dropped at its next await point.

mod checkpoints;
mod context;
mod definition;
mod deriving;
mod detail;
mod extract;
mod handler;
mod launcher;
mod notebook;
mod outcome;
mod outputs;
mod provide;
mod registry;
mod run;
#[cfg(feature = "run-log")]
mod run_log;
mod scope;

pub use crate::error::BoxError;
pub use crate::execution_id::{ExecutionId, InvalidExecutionId};
pub use checkpoints::Resume;
pub use context::{CancelReason, JobContext};
pub use definition::{IntoInvocation, Invocation, JobDefinition, JobFn};
pub(crate) use deriving::{make_gates, make_sequence, stored_sequence};
pub use detail::{JobDetail, JobDetailBuilder};
/// [`State`] under a name that no web framework uses.
pub use extract::State as Provided;
#[cfg(feature = "macros")]
pub(crate) use extract::argument_of;
pub use extract::{Extract, ExtractError, FromContext, Need, State, ViaArgs, ViaContext};
pub use handler::{BlockingHandler, Handler};
pub(crate) use handler::{BoxFuture, ErasedJob, Identity, Threading};
pub use launcher::Launcher;
pub(crate) use notebook::{Noting, Storing};
pub(crate) use outcome::CANNOT_SNOOZE;
pub use outcome::{Delay, Failure, IntoOutcome, JobError, JobResult, Outcome};
pub(crate) use outputs::{ArgumentPart, PartialArgument};
pub use outputs::{OutputOr, Outputs};
pub(crate) use provide::provide_methods;
pub use provide::{Factory, Providers, ScopedFactory, Shared};
#[cfg(feature = "macros")]
pub use registry::Discovered;
pub use registry::{Registry, RegistryProblem};
pub(crate) use run::{Run, RunParts, StoredRun, Unschedule};
#[cfg(feature = "run-log")]
pub use run_log::RunLogLayer;
#[cfg(feature = "run-log")]
pub(crate) use run_log::span_of;
pub use scope::Scoped;
