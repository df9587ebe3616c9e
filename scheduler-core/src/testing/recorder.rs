//! What has run, as a list of values.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::data::{DataError, JobData};
use crate::job::{ExecutionId, JobContext, Outcome};
use crate::key::{JobKey, TriggerKey};
use crate::scheduler::JobListener;

/// An execution that has begun.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fired {
    /// The execution.
    pub execution: ExecutionId,
    /// Its job.
    pub job: JobKey,
    /// Its trigger.
    pub trigger: TriggerKey,
    /// When it was due.
    pub scheduled: DateTime<Utc>,
    /// When it fired.
    pub fired: DateTime<Utc>,
    /// The job's data with the trigger's over it, among it the argument.
    pub data: JobData,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// How often the job was called before in this attempt.
    pub refires: u32,
    /// How it has ended; none if it has not yet.
    pub outcome: Option<Outcome>,
}

impl Fired {
    /// The argument of the run.
    ///
    /// # Errors
    ///
    /// The data does not fit the type.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        self.data.to_args()
    }
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, "{} by {} due {}", self.job, self.trigger, shown(self.scheduled))?;
        if self.fired != self.scheduled {
            write!(f, ", fired {}", shown(self.fired))?;
        }
        match &self.outcome {
            None => f.write_str(", still running"),
            Some(outcome) => write!(f, ", {}", outcome.word()),
        }
    }
}

/// Notes every execution.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<Fired>>>);

impl Recorder {
    pub(super) fn all(&self) -> Vec<Fired> {
        self.0.lock().clone()
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl JobListener for Recorder {
    async fn to_be_executed(&self, context: &JobContext) {
        self.0.lock().push(Fired {
            execution: context.execution_id(),
            job: context.job_key().clone(),
            trigger: context.trigger_key().clone(),
            scheduled: context.scheduled_fire_time(),
            fired: context.fire_time(),
            data: context.data().clone(),
            attempt: context.attempt(),
            refires: context.refire_count(),
            outcome: None,
        });
    }

    async fn was_executed(&self, context: &JobContext, outcome: &Outcome) {
        let mut all = self.0.lock();
        let of_run = |fired: &&mut Fired| {
            fired.execution == context.execution_id() && fired.refires == context.refire_count()
        };
        if let Some(fired) = all.iter_mut().rev().find(of_run) {
            fired.outcome = Some(outcome.clone());
        }
    }
}
