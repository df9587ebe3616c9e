//! The one error of this crate.

use std::fmt;

use crate::job::BoxError;

/// What a call to the scheduler or a job store refused to do, and why.
///
/// The message names the thing, the value and the way out; [`source`](std::error::Error::source) gives the cause.
/// Ask the predicates what kind of failure it is.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    source: Option<BoxError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotFound,
    Conflict,
    Config,
    Transient,
    Closed,
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    /// Something that was asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Something is there already, or has changed meanwhile.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// What was given cannot work, now or later.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// It did not work now and may work when tried again.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(Kind::Transient, message)
    }

    /// The scheduler has been shut down.
    pub fn closed(message: impl Into<String>) -> Self {
        Self::new(Kind::Closed, message)
    }

    /// This error, caused by `source`.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Whether something that was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.0.kind == Kind::NotFound
    }

    /// Whether something was there already or has changed meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.0.kind == Kind::Conflict
    }

    /// Whether what was given can never work.
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        self.0.kind == Kind::Transient
    }

    /// Whether the scheduler has been shut down.
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    /// As a person wants to read it when `main` returns it: the message and its causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<crate::trigger::TriggerError> for Error {
    fn from(error: crate::trigger::TriggerError) -> Self {
        Self::config(error.to_string())
    }
}

impl From<crate::key::InvalidKey> for Error {
    fn from(error: crate::key::InvalidKey) -> Self {
        Self::config(error.to_string())
    }
}

impl From<std::sync::Arc<crate::data::DataError>> for Error {
    fn from(error: std::sync::Arc<crate::data::DataError>) -> Self {
        Self::config("the job's arguments cannot be stored").caused_by(error)
    }
}
