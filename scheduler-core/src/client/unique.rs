//! The keys of runs that are enqueued.

use std::fmt::Display;
use std::sync::Arc;

use super::handle::Client;
use crate::data::JobData;
use crate::error::{Error, Result};
use crate::job::{Delay, Invocation};
use crate::run::{Merge, OnConflict, RunId, RunState, Unique};
use crate::store::*;
use crate::user;

/// A run that is ready to be stored.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) new: NewRun,
    /// What makes one set of data of two, if another run has its key.
    pub(super) merge: Option<Merge>,
}

impl Prepared {
    /// A run that waits for others must not take the place of one with the same key.
    pub(super) fn refuse_to_replace(&self) -> Result<()> {
        let replaces =
            |key: &NewKey| self.merge.is_some() || matches!(key.conflict, Conflict::Replace { .. });
        if self.new.after.is_empty() || !self.new.unique.as_deref().is_some_and(replaces) {
            return Ok(());
        }
        let job = &self.new.job;
        Err(Error::config(format!(
            "a run of job `{job}` waits for another run, so it cannot take the place of a run with the same key; use `skip` or `refuse` as `on_conflict`"
        ))
        .for_job(job))
    }
}

/// Gives a run its key.
pub(super) fn keyed(new: &mut NewRun, unique: &Unique) -> Result<Option<Merge>> {
    if let Some(problem) = unique.problem() {
        return Err(Error::config(format!("a run of job `{}` cannot be enqueued: {problem}", new.job)));
    }
    let quiet = unique.quiet();
    let (conflict, merge) = match unique.conflict() {
        OnConflict::Skip => (Conflict::Skip, None),
        OnConflict::Refuse => (Conflict::Refuse, None),
        OnConflict::Replace => {
            let data = quiet.is_none_or(|(_, keeps_first)| !keeps_first);
            (Conflict::Replace { data, of: None }, None)
        }
        OnConflict::Merge(merge) => (Conflict::Follow, Some(merge.clone())),
    };
    let now = new.due;
    let mut key = NewKey::new(unique.stored(&new.job_type, now), conflict, now);
    if let Some((quiet, _)) = quiet {
        new.due = Delay::For(quiet).from(now);
        key.keeps_due = false;
    }
    new.unique = Some(Box::new(key));
    Ok(merge)
}

impl Client {
    /// The key that the job makes of the data of a run, if its runs are unique.
    pub(super) fn unique_of(&self, job: &Invocation, data: &JobData) -> Result<Option<Unique>> {
        let of_registry = || self.registry()?.derivations(job.detail().job_type())?.unique.as_ref();
        let Some(of) = job.derivations().unique.as_ref().or_else(of_registry) else { return Ok(None) };
        let all = job.detail().data().merged(data);
        let problem = |problem: &dyn Display| {
            Error::config(format!("the key of a run of job `{}` cannot be made: {problem}", job.key()))
        };
        match user::call(|| of(&all)) {
            Ok(Ok(unique)) => Ok(Some(unique)),
            Ok(Err(error)) => Err(problem(&error)),
            Err(panic) => Err(problem(&panic)),
        }
    }

    /// Merges the data of a run into those of the one that has its key, as long as that waits. Another caller may do so at the same time.
    pub(super) async fn merge_into(&self, run: &Prepared, of: RunId) -> Result<Enqueued> {
        let (Some(merge), mut other) = (&run.merge, of) else { return Ok(Enqueued::Existing(of)) };
        for _ in 0..MOST_MERGES {
            let known = self.store().all_runs(RunQuery::one(other)).await?.pop();
            let waiting =
                known.as_ref().filter(|known| matches!(known.state, RunState::Waiting | RunState::Held));
            let has_ended = known.as_ref().is_some_and(|known| known.state == RunState::Ended);
            let before = waiting.map(|waiting| waiting.data.clone());
            let mut new = run.new.clone();
            if let (Some(waiting), Some(unique)) = (waiting, &mut new.unique) {
                let merged = user::call(|| merge(&waiting.data, &run.new.data)).map_err(|panic| {
                    Error::config(format!("the function that merges runs of job `{}` {panic}", new.job))
                })?;
                new.data = merged.map_err(Arc::new)?;
                unique.conflict = Conflict::Replace { data: true, of: Some(waiting.data.clone()) };
            }
            let answer = self.store_limited(vec![new]).await?.pop();
            match answer {
                // It has its key for longer than it lives.
                Some(Enqueued::Existing(run)) if has_ended && run == other => {
                    return Ok(Enqueued::Existing(run));
                }
                Some(Enqueued::Existing(run)) if run == other && before.is_some() => {
                    let now = self.store().all_runs(RunQuery::one(other)).await?.pop();
                    // It is as it was, so the new run must not take its place: it waits for its batch to be sealed.
                    if now.is_some_and(|now| Some(now.data) == before) {
                        return Ok(Enqueued::Existing(run));
                    }
                }
                Some(Enqueued::Existing(run)) => other = run,
                Some(answer) => return Ok(answer),
                None => break,
            }
        }
        Err(Error::transient(format!(
            "the data of run {other} has changed {MOST_MERGES} times while others were to be merged into it; try again"
        )))
    }
}

/// So often somebody else may be faster in merging data.
const MOST_MERGES: u32 = 100;
