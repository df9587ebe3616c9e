//! The one error of this crate.

use std::fmt;

use crate::key::{InvalidKey, JobKey, TriggerKey};

/// What a call to a client, a scheduler or a job store refused to do, and why.
///
/// The message names the thing, the value and the way out; [`source`](std::error::Error::source) gives the cause, down to the
/// error of the parser or the client that was the first. A program asks the [kind](Self::kind) or one of the predicates, and
/// which [job](Self::job), [trigger](Self::trigger) and [operation](Self::operation) the error is about.
///
/// ```
/// use scheduler_core::prelude::*;
/// use scheduler_core::{Error, ErrorKind};
///
/// # fn refused() -> Result<(), Error> {
/// let trigger = Trigger::cron("0 0 25 * * ?").name("billing/nightly").for_job("bill");
/// # let now = chrono::DateTime::UNIX_EPOCH;
/// let error = Error::from(trigger.build(now).unwrap_err());
/// assert_eq!(error.kind(), ErrorKind::Config);
/// assert_eq!(error.trigger(), Some(&"billing/nightly".parse()?));
/// assert!(std::error::Error::source(&error).is_some());
/// # Ok(())
/// # }
/// # refused().unwrap();
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    operation: Option<&'static str>,
    job: Option<JobKey>,
    trigger: Option<TriggerKey>,
    source: Option<BoxError>,
}

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something that was asked for does not exist.
    NotFound,
    /// Something is there already, or has changed meanwhile.
    Conflict,
    /// What was given cannot work, now or later.
    Config,
    /// The call did not work now and may work when it is tried again.
    Transient,
    /// As many runs wait in a queue as may. The call may work when it is tried again.
    Full,
    /// The scheduler, or the host of a queue in memory, has been shut down.
    Closed,
}

/// Any error that can cross threads.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (operation, job, trigger, source) = (None, None, None, None);
        Self(Box::new(Inner { kind, message: message.into(), operation, job, trigger, source }))
    }

    /// Something that was asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Something is there already, or has changed meanwhile.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// What was given cannot work, now or later.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// It did not work now and may work when tried again.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// As many runs wait in a queue as may.
    pub fn full(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Full, message)
    }

    /// No `new` runs fit into this queue, in which `waiting` wait and `most` may.
    pub(crate) fn full_queue(queue: &str, waiting: usize, most: usize, new: usize) -> Self {
        if new > most {
            return Self::config(format!(
                "{new} runs cannot be enqueued at once into queue `{queue}`, in which {most} may wait; enqueue fewer at once or raise the \
                 maximum"
            ));
        }
        Self::full(format!(
            "queue `{queue}` has no room for {new} more: {waiting} wait in it, and its maximum is {most}; try again later or raise the maximum"
        ))
    }

    /// The scheduler has been shut down.
    pub fn closed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Closed, message)
    }

    /// This error, caused by `source`.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// This error, which is about this job. The first job that is named stays.
    #[must_use]
    pub fn for_job(mut self, job: &JobKey) -> Self {
        self.0.job.get_or_insert_with(|| job.clone());
        self
    }

    /// This error, which is about this trigger. The first trigger that is named stays.
    #[must_use]
    pub fn for_trigger(mut self, trigger: &TriggerKey) -> Self {
        self.0.trigger.get_or_insert_with(|| trigger.clone());
        self
    }

    /// This error, met by the method of this name. The last method that is named stays: the outermost.
    #[must_use]
    pub fn during(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The job that the error is about; none if it is about none, or about several.
    pub fn job(&self) -> Option<&JobKey> {
        self.0.job.as_ref()
    }

    /// The trigger that the error is about; none if it is about none, or about several.
    pub fn trigger(&self) -> Option<&TriggerKey> {
        self.0.trigger.as_ref()
    }

    /// The method of [`Client`](crate::Client), [`Scheduler`](crate::Scheduler) or [`JobQueue`](crate::host::JobQueue) that has failed, by its name in
    /// the code such as `schedule`; none for an error that was made elsewhere.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// Whether something that was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.0.kind == ErrorKind::NotFound
    }

    /// Whether something was there already or has changed meanwhile.
    pub fn is_conflict(&self) -> bool {
        self.0.kind == ErrorKind::Conflict
    }

    /// Whether what was given can never work.
    pub fn is_config(&self) -> bool {
        self.0.kind == ErrorKind::Config
    }

    /// Whether the same call may succeed later, also since there is room in a queue then.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Transient | ErrorKind::Full)
    }

    /// Whether as many runs wait in a queue as may.
    pub fn is_full(&self) -> bool {
        self.0.kind == ErrorKind::Full
    }

    /// Whether the scheduler has been shut down.
    pub fn is_closed(&self) -> bool {
        self.0.kind == ErrorKind::Closed
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    /// As a person wants to read it when `main` returns it: the message and its causes, each text once.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut said = self.0.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, "\n  caused by: {text}")?;
                said = text;
            }
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

impl From<InvalidKey> for Error {
    fn from(error: InvalidKey) -> Self {
        Self::config(error.to_string()).caused_by(error)
    }
}

impl From<std::sync::Arc<crate::data::DataError>> for Error {
    fn from(error: std::sync::Arc<crate::data::DataError>) -> Self {
        Self::config("the job's arguments cannot be stored").caused_by((*error).clone())
    }
}

/// Results whose error learns which method has met it, and what it is about.
pub(crate) trait During {
    /// The result, whose error was met by the method of this name.
    fn during(self, operation: &'static str) -> Self;

    /// The result, whose error is about this job.
    fn of_job(self, job: &JobKey) -> Self;

    /// The result, whose error is about this trigger.
    fn of_trigger(self, trigger: &TriggerKey) -> Self;
}

impl<T> During for Result<T> {
    fn during(self, operation: &'static str) -> Self {
        self.map_err(|error| error.during(operation))
    }

    fn of_job(self, job: &JobKey) -> Self {
        self.map_err(|error| error.for_job(job))
    }

    fn of_trigger(self, trigger: &TriggerKey) -> Self {
        self.map_err(|error| error.for_trigger(trigger))
    }
}
