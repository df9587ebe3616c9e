//! What becomes of keys, limits and sequences when the argument of a run is edited.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chrono::{DateTime, Utc};

use super::gates::OwnGates;
use super::handle::Client;
use crate::data::JobData;
use crate::error::{Error, Result};
use crate::job::Invocation;
use crate::run::RunId;
use crate::store::*;

impl Client {
    /// What the jobs of these runs make of new data. New data are refused if the function of a job is known and cannot read its argument
    /// from them. Nothing is known of jobs that are not registered here.
    pub(super) async fn terms_of(
        &self,
        runs: &[RunStatus],
        change: &RunChange,
    ) -> Result<BTreeMap<RunId, NewTerms>> {
        let mut terms = BTreeMap::new();
        let RunChange::Edit(edit) = change else { return Ok(terms) };
        let (Some(data), Some(registry)) = (&edit.data, self.registry()) else { return Ok(terms) };
        let mut jobs = BTreeMap::new();
        for run in runs {
            let job = match jobs.entry((&run.job, &run.job_type)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let stored = self.job(&run.job).await?;
                    let detail = stored.or_else(|| registry.declared(&run.job, &run.job_type).cloned());
                    let problem = detail.as_ref().and_then(|detail| registry.misfit(detail, data));
                    if let Some(problem) = problem {
                        return Err(Error::config(problem).for_job(&run.job));
                    }
                    let is_bound = registry.derivations(&run.job_type).is_some_and(|all| !all.is_empty());
                    place.insert(detail.filter(|_| is_bound).map(Invocation::<()>::new))
                }
            };
            let Some(job) = job else { continue };
            let now = self.now();
            // What the job makes nothing of has got its key, its limits and its sequence from the call.
            let Ok(before) = self.made_of(job, &run.data, now) else { continue };
            let after = self.made_of(job, data, now).map_err(|error| error.for_job(&run.job))?;
            terms.insert(run.id, NewTerms::new(before, after));
        }
        Ok(terms)
    }

    fn made_of(&self, job: &Invocation, data: &JobData, now: DateTime<Utc>) -> Result<RunTerms> {
        let unique = self.unique_of(job, data)?;
        if let Some(problem) = unique.as_ref().and_then(crate::run::Unique::problem) {
            return Err(Error::config(format!(
                "a run of job `{}` cannot have this argument: {problem}",
                job.key()
            )));
        }
        let key = unique.map(|unique| unique.stored(job.detail().job_type(), now));
        let gates = self.gates_of(job, data, OwnGates::default())?;
        let sequence = self.sequence_of(job, data, None)?.map(|sequence| *sequence);
        Ok(RunTerms::new(key, gates, sequence))
    }
}
