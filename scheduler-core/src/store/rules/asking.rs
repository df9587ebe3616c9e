//! Lists. Nothing in here changes anything, but for the runs that are to be stopped.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::steps::each;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::store::admin::*;
use crate::store::page::Page;
use crate::store::rows::*;
use crate::store::state::TriggerState;

/// Keeps the first so many and one more, in order. What is not wanted is not sorted either.
fn first<T>(all: &mut Vec<T>, limit: usize, order: impl Fn(&T, &T) -> Ordering) {
    if limit < all.len() {
        all.select_nth_unstable_by(limit, &order);
        all.truncate(limit + 1);
    }
    all.sort_unstable_by(order);
}

/// The first page of the jobs that match. All of them are looked at.
pub fn jobs<R: Rows>(rows: &mut R, query: &JobQuery) -> Answer<R, Page<Arc<JobDetail>, JobKey>> {
    let mut found = rows.jobs(&query.keys, |job| query.matches(job))?;
    let (limit, looked_at) = (query.page_size(), found.len());
    first(&mut found, limit, |a, b| a.key().cmp(b.key()));
    Ok(Page::first(found, limit, looked_at, |job| job.key().clone()))
}

/// What goes on, from which the visible states follow.
pub(crate) struct Running {
    /// With their lineages, since another trigger may have the name of one that is gone.
    triggers: HashSet<(Id<TriggerRow>, u64)>,
    jobs: HashSet<JobKey>,
}

impl Running {
    pub(crate) fn of<R: Rows>(rows: &mut R) -> Answer<R, Self> {
        let mut running = Self { triggers: HashSet::new(), jobs: HashSet::new() };
        for id in rows.claims(|_, claim| claim.fired)? {
            let Some(claim) = rows.get(id)? else { continue };
            running.triggers.extend(claim.trigger_id().map(|trigger| (trigger, claim.lineage)));
            if claim.exclusive {
                running.jobs.insert(claim.trigger.job().clone());
            }
        }
        Ok(running)
    }

    fn state(&self, id: Id<TriggerRow>, row: &TriggerRow) -> TriggerState {
        let busy = !self.jobs.is_empty() && self.jobs.contains(row.trigger.job());
        TriggerState::of(row.state, row.next().is_none(), self.triggers.contains(&(id, row.lineage())), busy)
    }

    /// The trigger as it is shown, if the query means it.
    pub(crate) fn wanted(
        &self,
        query: &TriggerQuery,
        id: Id<TriggerRow>,
        row: &TriggerRow,
    ) -> Option<TriggerStatus> {
        let state = self.state(id, row);
        query.matches(&row.trigger, state).then(|| TriggerStatus {
            trigger: row.trigger.clone(),
            progress: row.progress(),
            state,
            pause: row.pause().cloned(),
            revision: row.revision(),
        })
    }
}

/// The first page of the triggers that match. All of them are looked at.
pub fn triggers<R: Rows>(rows: &mut R, query: &TriggerQuery) -> Answer<R, Page<TriggerStatus, TriggerKey>> {
    let running = Running::of(rows)?;
    let ids = rows.triggers(query, |id, row| query.matches(&row.trigger, running.state(id, row)))?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(rows.get(id)?.map(|row| (row.trigger.clone(), id)));
    }
    let (limit, looked_at) = (query.page_size(), found.len());
    first(&mut found, limit, |(a, _), (b, _)| a.key().cmp(b.key()));
    let mut statuses = Vec::with_capacity(found.len());
    for (_, id) in found {
        statuses.extend(rows.get(id)?.and_then(|row| running.wanted(query, id, row)));
    }
    Ok(Page::first(statuses, limit, looked_at, |status| status.trigger.key().clone()))
}

/// The fired claims that are meant, in the order of their ids.
fn fired<R: Rows>(rows: &mut R, what: &Executions) -> Answer<R, Vec<(ExecutionId, Id<ClaimRow>)>> {
    if let Executions::One(wanted) = what {
        let id = Id::of(*wanted);
        let is_there = rows.get(id)?.is_some_and(|claim| claim.fired && claim.session == wanted.session());
        return Ok(is_there.then_some((*wanted, id)).into_iter().collect());
    }
    let is_meant = |_, claim: &ClaimRow| {
        claim.fired
            && match what {
                Executions::One(_) => false,
                Executions::OfJob(job) => claim.trigger.job() == job,
                Executions::OfTrigger(trigger) => claim.trigger.key() == trigger,
                Executions::OfQueue(queue) => claim.trigger.queue() == Some(queue),
                Executions::All => true,
            }
    };
    let mut found = Vec::new();
    for id in rows.claims(is_meant)? {
        found.extend(rows.get(id)?.map(|claim| (ExecutionId::new(claim.session, id.0), id)));
    }
    found.sort_unstable_by_key(|(execution, _)| *execution);
    Ok(found)
}

/// The executions under way, in the order of their ids.
pub fn executions<R: Rows>(rows: &mut R, what: &Executions) -> Answer<R, Vec<ExecutionStatus>> {
    let fired = fired(rows, what)?;
    let with_log = matches!(what, Executions::One(_));
    let statuses = each(rows, fired, |rows, (execution, id)| {
        let Some(claim) = rows.get(id)? else { return Ok(None) };
        let noted = claim.noted.as_deref();
        let mut status = ExecutionStatus {
            id: execution,
            job: claim.trigger.job().clone(),
            trigger: claim.trigger.key().clone(),
            queue: claim.trigger.queue().cloned(),
            fired: claim.since,
            progress: noted.and_then(|noted| noted.progress.clone()),
            log: noted.and_then(|noted| noted.log.clone()).filter(|_| with_log),
        };
        if let Item::Run(run) = claim.item
            && let Some(run) = rows.run(run)?
            && let Some(row) = rows.get(run)?
        {
            status.progress = row.progress().cloned();
            status.log = row.log().cloned().filter(|_| with_log);
        }
        Ok(Some(status))
    })?;
    Ok(statuses.into_iter().flatten().collect())
}

/// Asks runs to stop; says which.
pub fn cancel<R: Rows>(rows: &mut R, what: &Executions) -> Answer<R, Vec<ExecutionId>> {
    let runs = fired(rows, what)?;
    for (_, id) in &runs {
        rows.edit(*id, |claim| *claim.cancel.get_or_insert(CancelReason::Requested))?;
    }
    Ok(runs.into_iter().map(|(execution, _)| execution).collect())
}

/// How many runs each node has under way.
pub fn runs_by_session<R: Rows>(rows: &mut R) -> Answer<R, HashMap<u64, usize>> {
    let mut runs = HashMap::new();
    for (execution, _) in fired(rows, &Executions::All)? {
        *runs.entry(execution.session()).or_default() += 1;
    }
    Ok(runs)
}

/// The groups that are in use or remembered, in the order of their names.
pub fn groups<R: Rows>(rows: &mut R, kind: GroupKind) -> Answer<R, Vec<GroupStatus>> {
    let members = rows.groups(kind)?;
    let pauses = rows.pauses()?;
    let mut groups: BTreeMap<Arc<str>, usize> =
        pauses.of(kind).keys().map(|group| (group.clone(), 0)).collect();
    groups.extend(members);
    let pause = |name: &Arc<str>| pauses.of_group(kind, name).cloned();
    Ok(groups.into_iter().map(|(name, members)| GroupStatus { pause: pause(&name), name, members }).collect())
}
