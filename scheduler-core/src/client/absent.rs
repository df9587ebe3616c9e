//! Errors for calls that name a job or trigger which does not exist.

use std::fmt::Display;

use scheduler_syntax::nearest;

use super::handle::Client;
use crate::error::{Error, Result};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Text;
use crate::store::{Executions, JobQuery, Selection, TriggerQuery};

/// So many names of a group are compared with the one that does not exist.
const MOST_COMPARED: usize = 1000;

impl Client {
    /// An error if the selection names one trigger or job, and it does not exist. A group may come into being later.
    pub(super) async fn check_exists(&self, what: &Selection) -> Result<()> {
        match what {
            Selection::Trigger(key) => self.check_trigger_exists(key).await,
            Selection::Job(key) => self.check_job_exists(key).await,
            Selection::TriggerGroup(_) | Selection::JobGroup(_) | Selection::All => Ok(()),
        }
    }

    /// As [`check_exists`](Self::check_exists). A job that is not durable may have gone with its last run, but its function is
    /// registered.
    pub(super) async fn check_exists_to_cancel(&self, what: Executions) -> Result<()> {
        match what {
            Executions::OfTrigger(key) => self.check_trigger_exists(&key).await,
            Executions::OfJob(key) if self.registered(&key).is_ok() => Ok(()),
            Executions::OfJob(key) => self.check_job_exists(&key).await,
            Executions::One(_) | Executions::OfQueue(_) | Executions::All => Ok(()),
        }
    }

    async fn check_trigger_exists(&self, key: &TriggerKey) -> Result<()> {
        if self.trigger(key).await?.is_some() { Ok(()) } else { Err(self.no_trigger(key).await?) }
    }

    /// There is no trigger of this name.
    pub(super) async fn no_trigger(&self, key: &TriggerKey) -> Result<Error> {
        let group = Text::is(key.group());
        let query = TriggerQuery { group, limit: Some(MOST_COMPARED), ..TriggerQuery::default() };
        let others = self.all_triggers(query).await?;
        Ok(absent("trigger", key, others.iter().map(|status| status.trigger.key())))
    }

    async fn check_job_exists(&self, key: &JobKey) -> Result<()> {
        if self.job(key).await?.is_some() { Ok(()) } else { Err(self.no_job(key).await?) }
    }

    /// The error for a job that is not stored.
    pub(super) async fn no_job(&self, key: &JobKey) -> Result<Error> {
        let group = Text::is(key.group());
        let query = JobQuery { group, limit: Some(MOST_COMPARED), ..JobQuery::default() };
        let others = self.all_jobs(query).await?;
        Ok(absent("job", key, others.iter().map(|job| job.key())))
    }
}

/// There is no such thing, and perhaps one with a name much like it.
pub(super) fn absent<K: Display>(kind: &str, key: &K, others: impl Iterator<Item = impl Display>) -> Error {
    let others: Vec<_> = others.map(|other| other.to_string()).collect();
    let near = nearest(&key.to_string(), others.iter().map(String::as_str));
    let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    Error::not_found(format!("there is no {kind} `{key}`{hint}"))
}
