//! How a run ended.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::error::BoxError;
use crate::user::{self, Careful, Panic};

/// What a job function returns when it can fail; `?` works on every error type.
pub type JobResult<T = ()> = Result<T, JobError>;

/// Why a job failed: the error that its function returned.
///
/// Deliberately no `std::error::Error` itself, so that `?` converts every other error into it.
#[derive(Clone)]
pub struct JobError(Arc<Careful<BoxError>>);

impl JobError {
    /// A failure described in words.
    pub fn new(message: impl Into<BoxError>) -> Self {
        Self(Arc::new(Careful::new("the error of a job", message.into())))
    }

    /// The error as such, with its chain of sources.
    pub fn error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &***self.0
    }

    fn chain(&self) -> String {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl From<JobError> for BoxError {
    fn from(error: JobError) -> Self {
        Box::new(Shared(error.0))
    }
}

/// The same error, owned by several.
#[derive(Debug)]
struct Shared(Arc<Careful<BoxError>>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self.0, f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl fmt::Display for JobError {
    /// The error and its causes on one line, outermost first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text of an error is code of the user.
        let text = user::call(|| self.chain());
        f.write_str(&text.unwrap_or_else(|panic| format!("an error whose text {panic}")))
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobError({self})")
    }
}

/// How an execution ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// The job returned without an error.
    Succeeded,
    /// The job returned an error, or its arguments could not be made.
    Failed(JobError),
    /// The job panicked; the message of the panic.
    Panicked(String),
    /// The job ran longer than its timeout and was cancelled or aborted.
    TimedOut,
    /// The job was cancelled by a caller or by the shutdown, and has stopped.
    Cancelled,
    /// A listener has refused the run, and the job was not called.
    Vetoed,
}

impl Outcome {
    /// Whether the job did its work.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded)
    }

    /// One word for logs and tables: `succeeded`, `failed`, `panicked`, `timed out`, `cancelled` or `vetoed`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::TimedOut => "timed out",
            Self::Cancelled => "cancelled",
            Self::Vetoed => "vetoed",
        }
    }

    /// What went wrong, in words; none after a success or a veto.
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Succeeded | Self::Vetoed => None,
            Self::Failed(error) => Some(error.to_string()),
            Self::Panicked(message) => Some(format!("panicked: {message}")),
            Self::TimedOut => Some("ran longer than its timeout allows".to_owned()),
            Self::Cancelled => Some("stopped when it was asked to".to_owned()),
        }
    }
}

impl Serialize for Outcome {
    /// An object with the [word](Self::word) as `outcome` and, where something went wrong, `failure`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failure = self.failure();
        let mut object = serializer.serialize_struct("Outcome", 1 + usize::from(failure.is_some()))?;
        object.serialize_field("outcome", self.word())?;
        if let Some(failure) = failure {
            object.serialize_field("failure", &failure)?;
        }
        object.end()
    }
}

impl From<Panic> for Outcome {
    fn from(panic: Panic) -> Self {
        Self::Panicked(panic.0)
    }
}

/// What a job function may return: `()`, or `Result<(), E>` with any error.
#[diagnostic::on_unimplemented(
    message = "a job cannot return `{Self}`",
    note = "return `()`, `JobResult`, or `Result<(), E>` where `E` is an error"
)]
pub trait IntoOutcome {
    /// The outcome that this value stands for.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Succeeded
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl<E: Into<BoxError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(()) => Outcome::Succeeded,
            Err(error) => Outcome::Failed(JobError::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_prints_its_whole_chain_once() {
        fn read() -> JobResult {
            let error = "x".parse::<u8>().unwrap_err();
            Err(std::io::Error::other(error))?;
            Ok(())
        }
        assert_eq!(read().into_outcome().failure().unwrap(), "invalid digit found in string");
        let plain: Result<(), String> = Err("no route".into());
        assert_eq!(plain.into_outcome().failure().unwrap(), "no route");
    }
}
