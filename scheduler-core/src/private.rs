//! What generated code needs and nobody else should use; no promise is made about it.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::JobData;
use crate::error::BoxError;
use crate::job::{
    ExtractError, Failure, FromContext, IntoOutcome, Invocation, JobContext, JobDefinition, JobDetail,
    JobError, Need, Outcome, Outputs, argument_of,
};
use crate::key::JobKey;
use crate::run::OnConflict;

pub use inventory;

/// A key whose parts the macro has checked.
///
/// # Panics
///
/// A part is empty or contains a NUL character.
#[must_use]
pub fn job_key(group: &str, name: &str) -> JobKey {
    match JobKey::in_group(group, name) {
        Ok(key) => key,
        Err(error) => panic!("{error}"),
    }
}

/// What merges the arguments of two runs with one key.
pub fn merge<T: Args>(merge: fn(T, T) -> T) -> OnConflict {
    OnConflict::Merge(Arc::new(move |waiting, new| {
        JobData::from_args(&merge(waiting.to_args()?, new.to_args()?))
    }))
}

/// What a run can weigh.
#[diagnostic::on_unimplemented(
    message = "the weight of a run is a whole number, and `{Self}` is not one",
    label = "not a whole number",
    note = "name a field such as `size: u32`, or a function that returns a whole number"
)]
pub trait Weight {
    /// The weight. A number that is negative or too large is larger than every limit, so that the call says what is wrong.
    fn weight(self) -> u32;
}

#[diagnostic::do_not_recommend]
impl<T: TryInto<u32>> Weight for T {
    fn weight(self) -> u32 {
        self.try_into().unwrap_or(u32::MAX)
    }
}

/// The weight of a run.
pub fn weight<T: Weight>(value: T) -> u32 {
    value.weight()
}

/// The weight of a run that a field of its argument gives.
pub fn weight_of<T: Weight + Clone>(value: &T) -> u32 {
    value.clone().weight()
}

/// A value that the macro has checked.
///
/// # Panics
///
/// The value is refused all the same.
pub fn checked<T, E: Display>(value: Result<T, E>) -> T {
    value.unwrap_or_else(|error| panic!("{error}"))
}

/// What a job needs of its argument to be run by a declared trigger.
#[diagnostic::on_unimplemented(
    message = "a job with a declared trigger needs an argument type with `Default`",
    label = "`{Self}` has no default, so nobody knows the argument of these runs",
    note = "derive `Default` for it, or schedule the job in code with `with(…)`"
)]
pub trait DefaultArgs: Serialize {
    /// The default argument.
    fn default_args() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default + Serialize> DefaultArgs for T {
    fn default_args() -> Self {
        T::default()
    }
}

/// The data of a job that is run with the default argument.
///
/// # Panics
///
/// The default does not serialise to JSON.
#[must_use]
pub fn default_args<T: DefaultArgs>() -> JobData {
    match JobData::from_args(&T::default_args()) {
        Ok(data) => data,
        Err(error) => panic!("the default of `{}`: {error}", std::any::type_name::<T>()),
    }
}

/// What can be a job's argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the argument of a job",
    label = "neither an argument nor a value from the run",
    note = "for a value that the program provides, write `State(name): State<{Self}>`, or `Scoped(name): Scoped<{Self}>` for one of this run",
    note = "for the job's argument, derive `serde::Serialize` and `serde::Deserialize` for `{Self}`",
    note = "for a type that implements `FromContext`, mark the parameter `#[extract]`"
)]
pub trait Args: Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Args for T {}

/// How a job writes and reads its argument. Every use of an argument goes through [`argument`], so that a type that
/// cannot be one is reported once.
#[derive(Debug)]
pub struct Argument<T> {
    write: fn(Arc<JobDetail>, &T) -> Invocation,
    read: fn(&JobData) -> Result<T, ExtractError>,
}

/// The argument of a job.
#[must_use]
pub fn argument<T: Args>() -> Argument<T> {
    Argument { write: Invocation::with_args, read: argument_of }
}

impl<T> Argument<T> {
    /// The job with this argument.
    pub fn invocation(&self, detail: Arc<JobDetail>, args: &T) -> Invocation {
        (self.write)(detail, args)
    }

    /// The argument of a run.
    ///
    /// # Errors
    ///
    /// The data of the run does not fit the type.
    pub fn read(&self, context: &JobContext) -> Result<T, ExtractError> {
        (self.read)(context.data())
    }

    /// Whether the argument can be read from this data.
    ///
    /// # Errors
    ///
    /// The data does not fit the type.
    pub fn accepts(&self, data: &JobData) -> Result<(), ExtractError> {
        (self.read)(data).map(drop)
    }
}

/// The job with the outputs of other runs as its argument.
pub fn with_outputs<T>(detail: Arc<JobDetail>, outputs: impl Outputs<T>) -> Invocation {
    Invocation::with_outputs(detail, outputs)
}

/// A parameter that comes from the run, made by [`parameter`].
///
/// Its methods ask nothing of the type, so that a type that cannot be such a parameter is reported by [`parameter`] alone.
pub trait Parameter<T> {
    /// What must be provided for it.
    fn needs(&self) -> Vec<Need>;

    /// The value of a run.
    fn make(&self, context: &JobContext) -> impl Future<Output = Result<T, ExtractError>> + Send;
}

struct FromRun<T>(PhantomData<fn() -> T>);

impl<T: FromContext> Parameter<T> for FromRun<T> {
    fn needs(&self) -> Vec<Need> {
        T::needs()
    }

    fn make(&self, context: &JobContext) -> impl Future<Output = Result<T, ExtractError>> + Send {
        T::from_context(context)
    }
}

/// A parameter that comes from the run.
#[must_use]
pub fn parameter<T: FromContext>() -> impl Parameter<T> {
    FromRun(PhantomData)
}

/// The outcome that a returned value stands for.
pub fn outcome_of<T: IntoOutcome>(value: T) -> Outcome {
    value.into_outcome()
}

/// What a job with `retry(when = …)` returns: a result, whose error is asked about.
#[diagnostic::on_unimplemented(
    message = "a job with `retry(when = …)` cannot return `{Self}`",
    label = "no error that `when` could be asked about",
    note = "return `JobResult` or `Result<(), E>` where `E` is an error, or leave `when` out"
)]
pub trait Fallible {
    /// The error.
    type Error: Into<BoxError>;

    /// The result itself.
    fn asked(self) -> Asked<Self::Error>;
}

impl<E: Into<BoxError>> Fallible for Result<(), E> {
    type Error = E;

    fn asked(self) -> Asked<E> {
        Asked(self, None)
    }
}

/// A result whose error is asked about.
///
/// Its method asks nothing of the type, so that a job that returns no such result is reported by [`asked`] alone.
#[derive(Debug)]
pub struct Asked<E>(Result<(), E>, Option<JobError>);

/// The result of a job with `retry(when = …)`.
pub fn asked<T: Fallible>(value: T) -> Asked<T::Error> {
    value.asked()
}

impl<E: Into<BoxError>> Asked<E> {
    /// The outcome that the result stands for, where `when` says which errors are retried.
    pub fn retried_if(self, when: fn(&E) -> bool) -> Outcome {
        if let Some(error) = self.1 {
            return Outcome::Failed(error);
        }
        let is_retried = self.0.as_ref().err().is_none_or(when);
        match self.0.into_outcome() {
            // An error that says by itself what it means has the last word.
            Outcome::Failed(error) if !is_retried && error.means() == Failure::Retry => {
                Outcome::Failed(error.meaning(Failure::Fatal))
            }
            outcome => outcome,
        }
    }
}

/// What a job with `output` returns that can fail.
#[diagnostic::on_unimplemented(
    message = "a job with `output` cannot return `{Self}`",
    note = "return `T` or `Result<T, E>`, where `E` is an error"
)]
pub trait HasOutput {
    /// The value.
    type Output;
    /// The error.
    type Error: Into<BoxError>;

    /// The result.
    fn result(self) -> Result<Self::Output, Self::Error>;
}

impl<T, E: Into<BoxError>> HasOutput for Result<T, E> {
    type Output = T;
    type Error = E;

    fn result(self) -> Self {
        self
    }
}

/// The result of a job with `output`, whose value is noted.
pub fn produced<T: HasOutput<Output: OutputAlone>>(value: T, context: &JobContext) -> Asked<T::Error> {
    match value.result() {
        Ok(output) => Asked(Ok(()), context.set_output(&output).err()),
        Err(error) => Asked(Err(error), None),
    }
}

/// A value that a job with `output` returns, by itself or in a result.
#[diagnostic::on_unimplemented(
    message = "a job with `output` cannot return `{Self}`",
    label = "no value that could be stored",
    note = "return `T` or `Result<T, E>`, where `T` implements `serde::Serialize` and `serde::Deserialize`, and `E` is an error"
)]
pub trait OutputAlone: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> OutputAlone for T {}

/// The value of a job with `output` that cannot fail.
pub fn produced_alone<T: OutputAlone>(value: T, context: &JobContext) -> Asked<Infallible> {
    Asked(Ok(()), context.set_output(&value).err())
}

type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A job of an async function: makes the parameters, then calls it.
///
/// The future of the function is the only one that must be `Send` here, so that one which is not is reported once.
pub fn run<P, F, R>(
    parameters: impl Future<Output = Result<P, ExtractError>> + Send + 'static,
    function: fn(P) -> F,
    outcome: fn(R) -> Outcome,
) -> Running
where
    P: Send + 'static,
    F: Future<Output = R> + Send + 'static,
    R: 'static,
{
    run_noting(parameters, function, outcome)
}

/// As [`run`], of a job whose outcome is noted in its context.
pub fn run_noting<P, F, R>(
    parameters: impl Future<Output = Result<P, ExtractError>> + Send + 'static,
    function: fn(P) -> F,
    outcome: impl FnOnce(R) -> Outcome + Send + 'static,
) -> Running
where
    P: Send + 'static,
    F: Future<Output = R> + Send + 'static,
    R: 'static,
{
    Box::pin(async move {
        match parameters.await {
            Ok(parameters) => outcome(function(parameters).await),
            Err(error) => Outcome::Failed(JobError::from(error)),
        }
    })
}

/// A job of a function that blocks its thread.
pub fn run_blocking<P: Send + 'static, R: 'static>(
    parameters: impl Future<Output = Result<P, ExtractError>> + Send + 'static,
    function: fn(P) -> R,
    outcome: fn(R) -> Outcome,
) -> Running {
    run_blocking_noting(parameters, function, outcome)
}

/// As [`run_blocking`], of a job whose outcome is noted in its context.
pub fn run_blocking_noting<P: Send + 'static, R: 'static>(
    parameters: impl Future<Output = Result<P, ExtractError>> + Send + 'static,
    function: fn(P) -> R,
    outcome: impl FnOnce(R) -> Outcome + Send + 'static,
) -> Running {
    Box::pin(async move {
        match parameters.await {
            Ok(parameters) => outcome(function(parameters)),
            Err(error) => Outcome::Failed(JobError::from(error)),
        }
    })
}

/// The definition of an annotated function.
#[track_caller]
#[must_use]
pub fn definition(
    detail: JobDetail,
    blocking: bool,
    needs: fn() -> Vec<Need>,
    accepts: fn(&JobData) -> Result<(), ExtractError>,
    run: fn(JobContext) -> Running,
) -> JobDefinition {
    JobDefinition::generated(detail, blocking, needs, accepts, run)
}
