//! The limits of runs that are enqueued.

use super::enqueuing::Enqueue;
use super::handle::Client;
use crate::data::JobData;
use crate::error::{Error, Result};
use crate::job::{Invocation, make_gates};
use crate::run::{Gates, Limit};

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
        self.options.limits.push(limit);
        self
    }
}

impl Client {
    /// The gates of a run: the limits that its job makes of its data, and those of the call.
    pub(super) fn gates_of(&self, job: &Invocation, data: &JobData, of_call: Vec<Limit>) -> Result<Gates> {
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
