//! The error of a trigger that cannot be built.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::key::{JobKey, TriggerKey};

/// The error of a trigger that cannot be built, with its name, its job and every problem found.
///
/// The [source](std::error::Error::source) is the first error of a parser among the problems: a
/// [`CronError`](scheduler_syntax::cron::CronError) says in which column, an [`InvalidKey`](crate::InvalidKey) which part of a name.
#[derive(Debug, Clone)]
pub struct TriggerError {
    trigger: Option<TriggerKey>,
    job: Option<JobKey>,
    problems: Vec<String>,
    cause: Option<Cause>,
}

pub(super) type Cause = Arc<dyn std::error::Error + Send + Sync>;

impl TriggerError {
    pub(super) fn new(
        trigger: Option<TriggerKey>,
        job: Option<JobKey>,
        problems: Vec<String>,
        cause: Option<Cause>,
    ) -> Self {
        Self { trigger, job, problems, cause }
    }

    /// The name of the trigger; none if it has none yet.
    pub fn trigger(&self) -> Option<&TriggerKey> {
        self.trigger.as_ref()
    }

    /// The job that the trigger was to run; none if it names none.
    pub fn job(&self) -> Option<&JobKey> {
        self.job.as_ref()
    }

    /// Each problem in a sentence.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for TriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trigger {
            Some(key) => write!(f, "trigger `{key}`: ")?,
            None => f.write_str("trigger: ")?,
        }
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for TriggerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<TriggerError> for Error {
    fn from(error: TriggerError) -> Self {
        let mut wrapped = Self::config(error.to_string());
        if let Some(trigger) = error.trigger() {
            wrapped = wrapped.for_trigger(trigger);
        }
        if let Some(job) = error.job() {
            wrapped = wrapped.for_job(job);
        }
        wrapped.caused_by(error)
    }
}
