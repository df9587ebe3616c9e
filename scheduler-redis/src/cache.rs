//! What a process remembers of records, so that it need not read them again: jobs, and descriptions of triggers.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use scheduler_core::JobKey;
use scheduler_core::job::JobDetail;
use scheduler_core::store::rows::JobRow;
use scheduler_core::store::view::Version;
use scheduler_core::store::view::record::Descriptions;
use scheduler_core::trigger::Trigger;

/// No more of each are remembered.
const MOST: usize = 10_000;

/// Jobs may be out of date: whoever goes by one has its version checked.
#[derive(Debug, Default)]
pub(crate) struct Known {
    jobs: Mutex<HashMap<JobKey, (Version, JobRow)>>,
    triggers: Mutex<HashMap<Box<[u8]>, Arc<Trigger>>>,
    of_runs: Mutex<OfRuns>,
    /// How many triggers jobs had that have several.
    members: Mutex<HashMap<JobKey, usize>>,
}

/// The stored jobs of runs, as of this version of all jobs; none for a job that is not stored.
#[derive(Debug, Default)]
struct OfRuns {
    version: String,
    jobs: HashMap<JobKey, Option<Arc<JobDetail>>>,
}

impl Known {
    pub(crate) fn job(&self, key: &JobKey) -> Option<(Version, JobRow)> {
        self.jobs.lock().get(key).cloned()
    }

    pub(crate) fn keep_job(&self, key: &JobKey, version: Version, row: &JobRow) {
        let mut jobs = self.jobs.lock();
        if jobs.len() >= MOST {
            jobs.clear();
        }
        jobs.insert(key.clone(), (version, row.clone()));
    }

    /// How many triggers a job had when somebody counted them; one if nobody has.
    pub(crate) fn members(&self, key: &JobKey) -> usize {
        self.members.lock().get(key).copied().unwrap_or(1)
    }

    pub(crate) fn keep_members(&self, key: &JobKey, count: usize) {
        let mut members = self.members.lock();
        if count < 2 {
            members.remove(key);
            return;
        }
        if members.len() >= MOST {
            members.clear();
        }
        members.insert(key.clone(), count);
    }

    /// The jobs of runs of which nothing is known, if all jobs are of this version.
    pub(crate) fn unknown_of_runs(
        &self,
        version: &str,
        jobs: impl Iterator<Item: Borrow<JobKey>>,
    ) -> HashSet<JobKey> {
        let mut known = self.of_runs.lock();
        if known.version != version || known.jobs.len() >= MOST {
            known.jobs.clear();
            version.clone_into(&mut known.version);
        }
        jobs.filter(|job| !known.jobs.contains_key(job.borrow())).map(|job| job.borrow().clone()).collect()
    }

    /// As of this version of all jobs.
    pub(crate) fn keep_for_runs(&self, version: &str, key: JobKey, detail: Option<Arc<JobDetail>>) {
        let mut known = self.of_runs.lock();
        if known.version == version {
            known.jobs.insert(key, detail);
        }
    }

    pub(crate) fn job_of_run(&self, key: &JobKey) -> Option<Arc<JobDetail>> {
        self.of_runs.lock().jobs.get(key).cloned().flatten()
    }

    pub(crate) fn forget_job(&self, key: &JobKey) {
        self.jobs.lock().remove(key);
    }
}

impl Descriptions for &Known {
    fn find(&mut self, text: &[u8]) -> Option<Arc<Trigger>> {
        self.triggers.lock().get(text).cloned()
    }

    fn keep(&mut self, text: &[u8], trigger: &Arc<Trigger>) {
        let mut triggers = self.triggers.lock();
        if triggers.len() >= MOST {
            triggers.clear();
        }
        triggers.insert(text.into(), trigger.clone());
    }
}
