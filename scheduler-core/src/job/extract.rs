//! Parameters of job functions.
//!
//! A parameter either comes from the context of the run, through [`FromContext`], or is the job's one argument,
//! read from its data. Both are reached through [`Extract`], whose marker lets the compiler tell them apart.

use std::any::{Any, TypeId};
use std::future::{Future, ready};

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::context::JobContext;
use crate::data::JobData;

/// A parameter could not be made; the execution fails with this as its error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ExtractError(String);

impl ExtractError {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Something that must be provided before a job can run; checked when the scheduler is built.
#[derive(Debug, Clone)]
pub struct Need {
    type_id: TypeId,
    type_name: &'static str,
    scoped: bool,
    remedy: &'static str,
}

impl Need {
    /// The need for a shared value of type `T`.
    pub fn of<T: Any>() -> Self {
        let (type_id, type_name) = (TypeId::of::<T>(), std::any::type_name::<T>());
        Self { type_id, type_name, scoped: false, remedy: "call `.provide(…)` with one" }
    }

    /// The need for a value of type `T` that belongs to the execution.
    pub fn of_scoped<T: Any>() -> Self {
        Self { scoped: true, remedy: "call `.provide_scoped(…)`", ..Self::of::<T>() }
    }

    /// The need for a value that is not given to `provide`: what users call it, and what they have to do.
    pub(crate) fn of_own<T: Any>(type_name: &'static str, remedy: &'static str) -> Self {
        Self { type_name, remedy, ..Self::of::<T>() }
    }

    /// The type that must be provided.
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    pub(crate) fn type_id(&self) -> TypeId {
        self.type_id
    }

    pub(crate) fn is_scoped(&self) -> bool {
        self.scoped
    }

    pub(super) fn remedy(&self) -> &'static str {
        self.remedy
    }
}

/// A parameter that is made from the context of the run.
///
/// Implement it for types of your own and mark such parameters `#[extract]` in a `#[job]` function:
///
/// ```
/// use scheduler_core::job::{ExtractError, FromContext, JobContext};
///
/// struct Tenant(String);
///
/// impl FromContext for Tenant {
///     async fn from_context(context: &JobContext) -> Result<Self, ExtractError> {
///         let name = context.data().get("tenant").map_err(|e| ExtractError::new(e.to_string()))?;
///         name.map(Tenant).ok_or_else(|| ExtractError::new("the job's data has no entry `tenant`"))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made from the context of a run",
    note = "for a value that the program provides, write `State(name): State<{Self}>`, or `Scoped(name): Scoped<{Self}>` for one of this run",
    note = "if the file imports another crate's `State`, write `Provided(name): Provided<T>`, which is the `State` of this crate",
    note = "use `JobContext`, `CancellationToken`, `Scheduler` or `Client`, or implement `FromContext` for `{Self}`"
)]
pub trait FromContext: Sized + Send {
    /// Makes the value for one run.
    ///
    /// # Errors
    ///
    /// The value cannot be made; the run fails with the error.
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send;

    /// What must be provided for it.
    fn needs() -> Vec<Need> {
        Vec::new()
    }
}

/// A value provided to the scheduler, shared by all runs: each run gets a clone.
///
/// Where another crate's `State` is imported, such as axum's, use the name [`Provided`](super::Provided): it is the same type.
#[derive(Debug, Clone, Copy)]
pub struct State<T>(pub T);

impl<T: Any + Clone + Send + Sync> FromContext for State<T> {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        ready(context.providers().shared().map(State))
    }

    fn needs() -> Vec<Need> {
        vec![Need::of::<T>()]
    }
}

impl FromContext for JobContext {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        ready(Ok(context.clone()))
    }
}

impl FromContext for CancellationToken {
    fn from_context(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        ready(Ok(context.cancellation()))
    }
}

/// Marks a parameter that comes from the context.
#[derive(Debug)]
pub struct ViaContext;

/// Marks the parameter that is the job's argument.
#[derive(Debug)]
pub struct ViaArgs;

/// A parameter of a job function, by either way.
#[diagnostic::on_unimplemented(
    message = "a job function cannot take a parameter of type `{Self}`",
    note = "its one argument must implement `serde::Serialize` and `serde::Deserialize`",
    note = "every other parameter must implement `FromContext`, as `State<T>`, `JobContext` and `CancellationToken` do"
)]
pub trait Extract<Marker>: Sized + Send {
    /// 1 for the job's argument, else 0.
    const ARGS: usize;

    /// Makes the parameter for one run.
    ///
    /// # Errors
    ///
    /// It cannot be made; the run fails with the error.
    fn extract(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send;

    /// What must be provided for it.
    fn needs() -> Vec<Need>;

    /// Whether the parameter can be made of this data; one that does not come from the data can always.
    ///
    /// # Errors
    ///
    /// The data does not fit the job's argument.
    fn accepts(data: &JobData) -> Result<(), ExtractError> {
        let _ = data;
        Ok(())
    }
}

impl<T: FromContext> Extract<ViaContext> for T {
    const ARGS: usize = 0;

    fn extract(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        T::from_context(context)
    }

    fn needs() -> Vec<Need> {
        T::needs()
    }
}

impl<T: DeserializeOwned + Send> Extract<ViaArgs> for T {
    const ARGS: usize = 1;

    fn extract(context: &JobContext) -> impl Future<Output = Result<Self, ExtractError>> + Send {
        ready(argument_of(context.data()))
    }

    fn needs() -> Vec<Need> {
        Vec::new()
    }

    fn accepts(data: &JobData) -> Result<(), ExtractError> {
        argument_of::<T>(data).map(drop)
    }
}

/// The job's argument, from the data of the run.
pub(crate) fn argument_of<T: DeserializeOwned>(data: &JobData) -> Result<T, ExtractError> {
    data.to_args().map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        ExtractError(format!("{error}: {cause}"))
    })
}
