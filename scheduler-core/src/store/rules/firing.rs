//! Claims: made, fired, given back, and what the clock brings.

use chrono::{DateTime, Utc};

use super::batching::ring_batch;
use super::finishing::{bound, drop_excess, ring_run};
use super::recording::not_run;
use super::retrying::{take_over, wait_for};
use super::running::give_back_run;
use super::steps::{each, end_claim, end_run, pause_trigger, step};
use crate::job::{CancelReason, ExecutionId};
use crate::key::JobKey;
use crate::run::{DeadRun, Gates, RunId};
use crate::store::firing::{FireResult, Firing};
use crate::store::firings::FiringReason;
use crate::store::rows::*;
use crate::store::state::{Step, StoredState};
use crate::trigger::OverlapPolicy;

/// The claim of a trigger that a driver has taken out of its lane.
pub fn claimed(
    item: Id<TriggerRow>,
    row: &TriggerRow,
    session: u64,
    now: DateTime<Utc>,
    lapse: DateTime<Utc>,
) -> ClaimRow {
    ClaimRow {
        session,
        item: Item::Trigger(item),
        trigger: row.trigger.clone(),
        birth: row.birth,
        lineage: row.lineage(),
        linked: false,
        epoch: row.epoch,
        attempt: 1,
        exclusive: row.exclusive,
        fired: false,
        counted: false,
        lapse,
        since: now,
        due: row.progress().scheduled().unwrap_or(now),
        run_removed: false,
        noted: None,
        cancel: None,
        gates: Gates::default(),
    }
}

/// Moves a claimed trigger on, and says whether its job may run.
pub fn fire<R: Rows>(rows: &mut R, firing: Firing, now: DateTime<Utc>) -> Answer<R, FireResult> {
    let (id, fence) = (Id::of(firing.claim), firing.claim.count());
    let known = rows.get(id)?.filter(|claim| claim.session == firing.claim.session());
    let Some(claim) = known else { return Ok(FireResult::Stale) };
    let Some(item) = claim.trigger_id() else { return Ok(FireResult::Stale) };
    let (birth, epoch) = (claim.birth, claim.epoch);
    if claim.fired {
        return fire_again(rows, firing.claim, item, now);
    }
    let good =
        |row: &&TriggerRow| row.birth == birth && row.epoch == epoch && row.state == StoredState::Waiting;
    let Some(row) = rows.get(item)?.filter(good) else {
        end_claim(rows, id)?;
        return Ok(FireResult::Stale);
    };
    let (job, overlap, trigger) = (row.job, row.trigger.overlap(), row.trigger.clone());
    let mut overlaps = row.running > 0 && overlap == OverlapPolicy::Skip;
    let is_retried = row.retried && firing.dropped.is_none() && overlap != OverlapPolicy::AllowAll;
    let Some(job) = rows.get(job)?.map(|job| job.detail.clone()) else {
        // Somebody has destroyed it.
        step(rows, item, Step::Fail, None)?;
        return Ok(FireResult::Stale);
    };
    if is_retried {
        let retries = take_over(rows, (item, trigger.key()), firing.claim.session(), now)?;
        overlaps |= overlap == OverlapPolicy::Skip && !retries.is_empty();
        if overlap.waits() && !retries.is_empty() {
            end_claim(rows, id)?;
            wait_for(rows, item, retries)?;
            rows.show(item)?;
            return Ok(FireResult::Stale);
        }
    }
    let dropped = firing.dropped.or(overlaps.then_some(FiringReason::Overlapped));
    let runs = dropped.is_none();
    let counted = runs && overlap != OverlapPolicy::AllowAll;
    rows.edit(item, |row| {
        row.set_progress(firing.progress);
        row.set_freed(None);
        row.superseded = false;
        if counted {
            row.running += 1;
        } else if !runs && row.next().is_none() {
            row.state = StoredState::Complete;
        }
    })?;
    if runs {
        rows.edit(id, |claim| (claim.fired, claim.counted, claim.since) = (true, counted, now))?;
        rows.show(item)?;
        return Ok(FireResult::Run { fence, job });
    }
    if let Some(reason) = dropped {
        not_run(rows, firing.claim, &job, reason, now)?;
    }
    end_claim(rows, id)?;
    rows.show(item)?;
    Ok(if firing.dropped.is_none() { FireResult::Overlapped } else { FireResult::Advanced })
}

/// The same call again, after its reply was lost.
fn fire_again<R: Rows>(
    rows: &mut R,
    claim: ExecutionId,
    item: Id<TriggerRow>,
    now: DateTime<Utc>,
) -> Answer<R, FireResult> {
    let id = Id::of(claim);
    let Some(row) = rows.get(id)? else { return Ok(FireResult::Stale) };
    let (trigger, counted, lineage) = (row.trigger.clone(), row.counted, row.lineage);
    // Its node has to know how it stands.
    rows.get(item)?;
    let job = match rows.job(trigger.job())? {
        Some(job) => rows.get(job)?.map(|job| job.detail.clone()),
        None => None,
    };
    if let Some(job) = job {
        return Ok(FireResult::Run { fence: claim.count(), job });
    }
    // Nobody will run it.
    end_claim(rows, id)?;
    if counted {
        end_run(rows, item, lineage, now)?;
    }
    Ok(FireResult::Stale)
}

/// Gives back a claim that was not fired, or a run that has not begun.
pub fn release<R: Rows>(rows: &mut R, claim: ExecutionId) -> Answer<R, ()> {
    let id = Id::of(claim);
    let Some(row) = rows.get(id)?.filter(|row| row.session == claim.session()) else { return Ok(()) };
    match row.item {
        Item::Run(_) => give_back_run(rows, claim),
        Item::Trigger(_) if !row.fired => give_back(rows, id),
        Item::Trigger(_) => Ok(()),
    }
}

/// A claim whose trigger no node can fire: it is put into the error state.
pub fn spoil<R: Rows>(rows: &mut R, claim: ExecutionId) -> Answer<R, ()> {
    let Some(item) = rows.get(Id::of(claim))?.and_then(ClaimRow::trigger_id) else { return Ok(()) };
    release(rows, claim)?;
    step(rows, item, Step::Fail, None)?;
    Ok(())
}

fn give_back<R: Rows>(rows: &mut R, id: Id<ClaimRow>) -> Answer<R, ()> {
    let Some((item, birth, epoch)) =
        rows.get(id)?.map(|claim| (claim.trigger_id(), claim.birth, claim.epoch))
    else {
        return Ok(());
    };
    let Some(item) = item else { return Ok(()) };
    // A claim that is void already says nothing of where its trigger stands: another node may have that.
    let is_good = rows.get(item)?.is_some_and(|row| row.birth == birth && row.epoch == epoch);
    end_claim(rows, id)?;
    if is_good { rows.show(item) } else { Ok(()) }
}

/// The runs that [`ring`] has ended or removed, with their jobs.
#[derive(Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rung {
    /// Dead runs of which there were too many.
    pub dropped: Vec<(RunId, JobKey)>,
    /// Runs that have expired.
    pub expired: Vec<(RunId, JobKey)>,
    /// Runs that are dead since their nodes have died. Whoever buries these adds them.
    pub dead: Vec<DeadRun>,
}

/// What the clock brings: claims that lapse, pauses that end, runs that are to make room for the next one, that are due, that expire or
/// that are no longer kept.
pub fn ring<R: Rows>(rows: &mut R, now: DateTime<Utc>, session: u64) -> Answer<R, Rung> {
    let mut rung = Rung::default();
    let alarms = rows.alarms(now)?;
    let (alarms, children) = bound(rows, alarms)?;
    each(rows, alarms, |rows, alarm| {
        match alarm {
            Alarm::Claim(id) => {
                if rows.get(id)?.is_some_and(|claim| !claim.fired && claim.lapse <= now) {
                    give_back(rows, id)?;
                }
            }
            Alarm::Pauses => rows.edit_pauses(|pauses| pauses.end(now))?,
            Alarm::Trigger(id) => ring_trigger(rows, id, now, session)?,
            Alarm::Run(id) => rung.expired.extend(ring_run(rows, id, session, now, children)?),
            Alarm::Batch(id) => ring_batch(rows, id, now)?,
            Alarm::Excess(id) => rung.dropped.extend(drop_excess(rows, id)?),
        }
        Ok(())
    })?;
    Ok(rung)
}

fn ring_trigger<R: Rows>(
    rows: &mut R,
    id: Id<TriggerRow>,
    now: DateTime<Utc>,
    session: u64,
) -> Answer<R, ()> {
    let Some(row) = rows.get(id)?.filter(|row| row.alarm().is_some_and(|at| at <= now)) else {
        return Ok(());
    };
    if row.state != StoredState::Paused {
        return supersede(rows, id, session);
    }
    let trigger = row.trigger.clone();
    let of_group = rows.pauses()?.at_birth(trigger.key().group(), trigger.job().group()).cloned();
    match of_group {
        // Its group is paused for longer.
        Some(note) => pause_trigger(rows, id, &note)?,
        None => step(rows, id, Step::Resume, None)?,
    };
    Ok(())
}

/// Asks the runs of a trigger to stop that is due again and whose policy is to cancel them.
fn supersede<R: Rows>(rows: &mut R, id: Id<TriggerRow>, session: u64) -> Answer<R, ()> {
    let Some((key, lineage)) = rows.get(id)?.map(|row| (row.trigger.key().clone(), row.lineage())) else {
        return Ok(());
    };
    for run in rows.claims(|_, claim| claim.is_run_of((id, &key), lineage))? {
        let of = rows.edit(run, |claim| {
            claim.cancel.get_or_insert(CancelReason::Superseded);
            claim.session
        })?;
        if of.is_some_and(|of| of != session) {
            rows.wake();
        }
    }
    rows.edit(id, |row| row.superseded = true)?;
    Ok(())
}
