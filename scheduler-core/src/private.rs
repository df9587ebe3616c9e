//! What generated code needs and nobody else should use; no promise is made about it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::JobData;
use crate::job::{FromContext, IntoOutcome};
use crate::key::JobKey;

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
    label = "must implement `serde::Serialize` and `serde::Deserialize`",
    note = "derive both for it; or, if it implements `FromContext`, mark the parameter `#[extract]`"
)]
pub trait Args {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Args for T {}

/// Asserts that a parameter can be the argument.
pub fn is_args<T: Args>() {}

/// Asserts that a parameter can be made from the run.
pub fn is_extractor<T: FromContext>() {}

/// Asserts that a job may return this.
pub fn is_output<T: IntoOutcome>() {}

/// Asserts that the future of a job can move between threads.
pub fn is_send<F: Future + Send>(_: F) {}
