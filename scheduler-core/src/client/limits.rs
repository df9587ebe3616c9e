//! The limits of runs that are enqueued, and the keys by which they take turns.

use std::fmt::Display;
use std::sync::Arc;

use super::enqueuing::Enqueue;
use super::gates::OwnGates;
use super::handle::Client;
use crate::data::JobData;
use crate::error::{Error, Result};
use crate::job::{Invocation, make_gates};
use crate::run::{Gates, Limit, stored_key};
use crate::user;

impl<T> Enqueue<'_, T> {
    /// At most so many runs of this limit are under way at the same time, over all nodes; until then the run waits. A limit whose name the
    /// job uses, too, takes its place. A run has at most four limits. Default: the limits of the job.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::run::Limit;
    /// # #[job] async fn import(tenant: u64) {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// // Two imports of a tenant at a time.
    /// scheduler.enqueue(import::with(17)).limit(Limit::new("import", 2).key(17)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn limit(mut self, limit: Limit) -> Self {
        self.options.gates.limits.push(limit);
        self
    }

    /// The run takes turns with the other runs of its queue by this key: any value with a text, such as a number or a name. Of each key one
    /// run begins in each round, so the runs of a key with a long backlog do not keep those of the others waiting. Default: the key that
    /// the [job](crate::job::JobDefinition::fair) makes of the argument, if it makes one; a run without a key begins in the order of due
    /// times. A key of several parts is a [`FairKey`](crate::run::FairKey). Retries take turns, too.
    ///
    /// Runs of one key begin in the order of their due times. A key for which no run waited begins in the present round, and has gained
    /// nothing by being idle. The empty key and `*` are keys like any other. Keys belong to the queue: the same key in another queue is
    /// another one. A [boost](Self::boost) has its effect among the runs of the key only.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # #[job] async fn import(file: String) {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// // Other tenants do not wait for the thousand files of this one.
    /// for number in 0..1000 {
    ///     scheduler.enqueue(import::with(format!("{number}.csv"))).fair("tenant 17").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn fair(mut self, key: impl Display) -> Self {
        self.options.gates.fair = Some(stored_key(&key));
        self
    }
}

impl Client {
    /// The gates of a run: the limits and the key that its job makes of its data, and those of the call.
    pub(super) fn gates_of(&self, job: &Invocation, data: &JobData, of_call: OwnGates) -> Result<Gates> {
        let fair = match of_call.fair {
            Some(key) => Some(key),
            None => self.fair_key_of(job, data)?,
        };
        Ok(self.limits_of(job, data, of_call.limits)?.with_fair(fair))
    }

    fn fair_key_of(&self, job: &Invocation, data: &JobData) -> Result<Option<Arc<str>>> {
        let of_registry = || self.registry()?.derivations(job.detail().job_type())?.fair.as_ref();
        let Some(of) = job.derivations().fair.as_ref().or_else(of_registry) else { return Ok(None) };
        let problem = |problem: &dyn Display| {
            Error::config(format!("a run of job `{}` cannot be enqueued: {problem}", job.key()))
        };
        match user::call(|| of(&job.detail().data().merged(data))) {
            Ok(Ok(key)) => Ok(Some(key)),
            Ok(Err(error)) => Err(problem(&format_args!("its fair key cannot be made: {error}"))),
            Err(panic) => Err(problem(&format_args!("the function that makes its fair key {panic}"))),
        }
    }

    fn limits_of(&self, job: &Invocation, data: &JobData, of_call: Vec<Limit>) -> Result<Gates> {
        let of_registry = || Some(&*self.registry()?.derivations(job.detail().job_type())?.limits);
        let own = &*job.derivations().limits;
        let of_job = if own.is_empty() { of_registry().unwrap_or_default() } else { own };
        if of_job.is_empty() && of_call.is_empty() {
            return Ok(Gates::default());
        }
        make_gates(of_job, &job.detail().data().merged(data), of_call).map_err(|problem| {
            Error::config(format!("a run of job `{}` cannot be enqueued: {problem}", job.key()))
        })
    }
}
