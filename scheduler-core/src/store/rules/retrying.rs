//! Occurrences of triggers that are tried again: what becomes of them when their trigger fires, is paused, resumed or removed.

use chrono::{DateTime, Utc};

use super::holding::hold_if_paused;
use super::recording::append;
use super::running::{end_claim_of_run, remove_run};
use super::settling::finish;
use super::steps::each;
use crate::job::ExecutionId;
use crate::key::TriggerKey;
use crate::run::{RunEnd, RunStep};
use crate::store::firings::{FiringOutcome, FiringReason, FiringRecord};
use crate::store::rows::*;

/// The trigger is to fire, and its policy allows one run at a time: it takes the place of its occurrences that wait for a retry. Returns
/// the claims of those that are being tried again.
pub(super) fn take_over<R: Rows>(
    rows: &mut R,
    (trigger, key): (Id<TriggerRow>, &TriggerKey),
    session: u64,
    now: DateTime<Utc>,
) -> Answer<R, Vec<Id<ClaimRow>>> {
    let retries = rows.tagged(&RunTag::RetryOf(key.clone()))?;
    let running = each(rows, retries, |rows, run| match rows.claim_of(run)? {
        Some(claim) => Ok(Some(claim)),
        None => supersede(rows, run, session, now).map(|()| None),
    })?;
    let running: Vec<_> = running.into_iter().flatten().collect();
    rows.edit(trigger, |row| row.retried = !running.is_empty())?;
    Ok(running)
}

/// The trigger waits until these attempts have ended, as for runs of its own.
pub(super) fn wait_for<R: Rows>(
    rows: &mut R,
    trigger: Id<TriggerRow>,
    retries: Vec<Id<ClaimRow>>,
) -> Answer<R, ()> {
    let Some(lineage) = rows.get(trigger)?.map(TriggerRow::lineage) else { return Ok(()) };
    let count = u32::try_from(retries.len()).unwrap_or(u32::MAX);
    each(rows, retries, |rows, claim| {
        rows.edit(claim, |claim| (claim.counted, claim.lineage) = (true, lineage))
    })?;
    rows.edit(trigger, |row| row.running = row.running.saturating_add(count))?;
    Ok(())
}

fn supersede<R: Rows>(rows: &mut R, run: Id<RunRow>, session: u64, now: DateTime<Utc>) -> Answer<R, ()> {
    let Some(row) = rows.get(run)? else { return Ok(()) };
    if row.standing.state(false).after(RunStep::Supersede).is_none() {
        return Ok(());
    }
    let (cause, outcome) = (row.cause_of_attempt(), FiringOutcome::NotRun);
    let mut record = FiringRecord::new(row.job.clone(), session, cause, (row.scheduled(), now), outcome);
    record.run = Some(row.id);
    record.trigger = row.occurrence_of().cloned();
    record.job_type = Some(row.job_type.clone());
    record.queue = row.queue.clone();
    record.reason = Some(FiringReason::Superseded);
    append(rows, record.into());
    finish(rows, run, RunEnd::Superseded, now)
}

/// Somebody removes the trigger: its occurrences that wait for a retry go with it, and those that are being tried again are not retried
/// any more. Says whether there were any.
pub(super) fn remove_retries<R: Rows>(rows: &mut R, key: &TriggerKey) -> Answer<R, bool> {
    let retries = rows.tagged(&RunTag::RetryOf(key.clone()))?;
    let found = !retries.is_empty();
    each(rows, retries, remove_run)?;
    Ok(found)
}

/// Somebody removes the trigger: what is under way is its last attempt.
pub(super) fn forbid_retries<R: Rows>(rows: &mut R, trigger: Id<TriggerRow>) -> Answer<R, ()> {
    let Some((key, lineage, job)) =
        rows.get(trigger)?.map(|row| (row.trigger.key().clone(), row.lineage(), row.job))
    else {
        return Ok(());
    };
    if rows.get(job)?.is_none_or(|job| job.detail.retry().is_none()) {
        return Ok(());
    }
    let is_firing =
        |_, claim: &ClaimRow| claim.trigger_id().is_some() && claim.is_run_of((trigger, &key), lineage);
    for claim in rows.claims(is_firing)? {
        rows.edit(claim, |claim| claim.run_removed = true)?;
    }
    Ok(())
}

/// As [`hold_if_paused`], for a run that was claimed. It is given back if the trigger was resumed meanwhile.
pub fn hold_claimed<R: Rows>(rows: &mut R, claim: ExecutionId) -> Answer<R, ()> {
    let id = Id::of(claim);
    let Some(row) = rows.get(id)?.filter(|row| row.session == claim.session()) else { return Ok(()) };
    let (Item::Run(run), since) = (row.item, row.since) else { return Ok(()) };
    rows.unbegin(id)?;
    if end_claim_of_run(rows, id, (run, None), since)? {
        return Ok(());
    }
    let Some(run) = rows.run(run)? else { return Ok(()) };
    if !hold_if_paused(rows, run)? {
        rows.show_run(run)?;
        rows.wake();
    }
    Ok(())
}
