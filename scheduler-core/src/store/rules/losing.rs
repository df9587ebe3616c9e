//! Runs whose node is gone, and runs that a server has forgotten.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::ending::complete;
use super::firing::release;
use super::once::end_if_once;
use super::recording::{append, lost};
use super::running::{NODE_DIED, claimed_run, give_back_begun, lose_attempt, node_died, promise};
use super::steps::{end_claim, withdraw};
use crate::job::{ExecutionId, JobDetail};
use crate::run::{DeadRun, RunEnd, RunId};
use crate::store::firing::{CompleteResult, Completion, Instruction};
use crate::store::firings::FiringReason;
use crate::store::rows::*;
use crate::store::runs::{Fate, NewRun};
use crate::store::state::StoredState;
use crate::trigger::{OverlapPolicy, Progress};

/// What became of a claim whose node is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// There is no such claim.
    Gone,
    /// It was not fired: others can have it.
    GivenBack,
    /// A run that ended with its node.
    Ended {
        /// It is repeated, as its job asks.
        is_repeated: bool,
        /// Its job asks for that, and it was lost too often.
        is_given_up: bool,
        /// No retry is left.
        dead: Option<DeadRun>,
    },
}

/// A claim whose node is gone: given back if it was not fired, otherwise ended, and repeated where its job asks for that.
pub fn lose<R: Rows>(
    rows: &mut R,
    execution: ExecutionId,
    node: &str,
    now: DateTime<Utc>,
) -> Answer<R, Lost> {
    let id = Id::of(execution);
    let known = rows.get(id)?.filter(|claim| claim.session == execution.session()).cloned();
    let Some(claim) = known else { return Ok(Lost::Gone) };
    if !claim.fired {
        release(rows, execution)?;
        return Ok(Lost::GivenBack);
    }
    let trigger = &*claim.trigger;
    let job = trigger.job();
    let mut record = lost(rows, execution, Some(&node.into()), now)?;
    if let Item::Run(run) = claim.item {
        let is_repeated = lose_attempt(rows, execution, node, now)?.unwrap_or_default();
        let row = match rows.run(run)? {
            Some(run) => rows.get(run)?,
            None => None,
        };
        let is_dead = row.is_some_and(|row| row.end() == Some(RunEnd::Dead));
        let is_given_up = is_dead && !row.is_some_and(RunRow::ends_when_lost);
        if let Some(mut record) = record {
            record.reason = match is_repeated {
                true => Some(FiringReason::Retried),
                false => is_dead.then_some(FiringReason::Dead),
            };
            append(rows, record);
        }
        let dead = is_dead.then(|| DeadRun::new(run, job.clone(), claim.attempt, NODE_DIED));
        return Ok(Lost::Ended { is_repeated, is_given_up, dead });
    }
    let detail = match rows.job(job)? {
        Some(job) => rows.get(job)?.map(|job| job.detail.clone()),
        None => None,
    };
    // A job that asks for recovery finishes what it has begun, even if its trigger was removed meanwhile.
    let may_repeat = |detail: &Arc<JobDetail>| detail.requests_recovery() || !claim.run_removed;
    let wanted = detail.filter(|detail| detail.is_repeated_when_lost() && may_repeat(detail));
    let is_repeated = wanted.is_some();
    if let Some(detail) = wanted {
        record.iter_mut().for_each(|record| record.reason = Some(FiringReason::Retried));
        let run = NewRun::of_firing(execution, &detail, trigger, claim.due, claim.since);
        let run = NewRun { noted: claim.noted.clone(), ..run };
        let fate = Fate::Again { at: claim.due, counts: true, error: Some(node_died(1, node, now).into()) };
        promise(rows, (run, fate), 1, now)?;
    }
    let instruction = match trigger.declared_by() {
        Some(_) => Instruction::Continue,
        None => Instruction::RemoveTrigger,
    };
    complete(rows, Completion { instruction, record, ..Completion::of(execution) }, now)?;
    Ok(Lost::Ended { is_repeated, is_given_up: false, dead: None })
}

/// What a server knows of a run that its node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reasserted {
    /// It has not forgotten it.
    Known,
    /// It had, and knows it again.
    Again,
    /// It had, and something else has happened since.
    Overtaken,
    /// Another run holds its job, and the node of that has not said yet whether it has ended.
    Wait,
}

/// A run that its node knows, and a server that came back with older data may not: fired again as before. `from` and `to` are the
/// progress of its trigger before and after it was fired; `is_open` says of a session whether it has not told yet what it knows.
pub fn reassert<R: Rows>(
    rows: &mut R,
    execution: ExecutionId,
    claim: &ClaimRow,
    (from, to): (&Progress, &Progress),
    is_open: impl Fn(u64) -> bool,
) -> Answer<R, Reasserted> {
    let id = Id::of(execution);
    if rows.get(id)?.is_some_and(|known| known.fired) {
        return Ok(Reasserted::Known);
    }
    let Some(item) = rows.trigger(claim.trigger.key())? else { return Ok(Reasserted::Overtaken) };
    let as_before = rows.get(item)?.is_some_and(|row| {
        row.lineage() == claim.lineage && row.state == StoredState::Waiting && row.progress() == *from
    });
    if !as_before {
        return Ok(Reasserted::Overtaken);
    }
    if claim.exclusive
        && let Some(refusal) = free_for(rows, id, claim, is_open)?
    {
        return Ok(refusal);
    }
    withdraw(rows, item)?;
    end_claim(rows, id)?;
    let counted = rows.get(item)?.is_some_and(|row| row.trigger.overlap() != OverlapPolicy::AllowAll);
    rows.edit(item, |row| {
        row.set_progress(to.clone());
        row.set_freed(None);
        // Makes a claim void that another node has made meanwhile.
        row.epoch = row.epoch.wrapping_add(1);
        row.running += u32::from(counted);
        row.superseded = false;
    })?;
    rows.add_claim(id, ClaimRow { item: Item::Trigger(item), counted, fired: true, ..claim.clone() });
    rows.show(item)?;
    Ok(Reasserted::Again)
}

/// As [`reassert`], for the attempt of a run; `run` is its row as it was claimed. A run of which nothing is known is added.
pub fn reassert_run<R: Rows>(
    rows: &mut R,
    execution: ExecutionId,
    claim: &ClaimRow,
    run: &RunRow,
    is_open: impl Fn(u64) -> bool,
) -> Answer<R, Reasserted> {
    let id = Id::of(execution);
    if rows.get(id)?.is_some() {
        return Ok(Reasserted::Known);
    }
    let known = rows.run(run.id)?;
    let mut linked = claim.linked;
    if let Some(known) = known {
        let Some(row) = as_claimed(rows, known, claim.epoch)? else { return Ok(Reasserted::Overtaken) };
        linked |= row.is_linked();
    }
    if claim.exclusive
        && let Some(refusal) = free_for(rows, id, claim, is_open)?
    {
        return Ok(refusal);
    }
    if known.is_none() {
        rows.add_run(run.clone());
    }
    rows.add_claim(id, ClaimRow { linked, ..claim.clone() });
    Ok(Reasserted::Again)
}

/// As [`reassert_run`], for an attempt that has ended, whose end is told next. A run of which nothing is known may be over since.
pub fn reassert_ended_run<R: Rows>(
    rows: &mut R,
    execution: ExecutionId,
    (run, epoch): (RunId, u32),
    now: DateTime<Utc>,
    is_open: impl Fn(u64) -> bool,
) -> Answer<R, Reasserted> {
    let id = Id::of(execution);
    if rows.get(id)?.is_some() {
        return Ok(Reasserted::Known);
    }
    let Some(known) = rows.run(run)? else { return Ok(Reasserted::Overtaken) };
    let Some(row) = as_claimed(rows, known, epoch)? else { return Ok(Reasserted::Overtaken) };
    let claim = claimed_run(&row, execution, now).0;
    if claim.exclusive
        && let Some(refusal) = free_for(rows, id, &claim, is_open)?
    {
        return Ok(refusal);
    }
    rows.add_claim(id, claim);
    Ok(Reasserted::Again)
}

/// The row of a run that waits as it did before it was claimed; none if something has happened to it since.
fn as_claimed<R: Rows>(rows: &mut R, run: Id<RunRow>, epoch: u32) -> Answer<R, Option<RunRow>> {
    if rows.claim_of(run)?.is_some() {
        return Ok(None);
    }
    let as_before = |row: &&RunRow| row.standing == Standing::Waiting && row.epoch == epoch;
    Ok(rows.get(run)?.filter(as_before).cloned())
}

/// Takes an unfired claim away from a job that allows one run at a time; says why that is not enough.
fn free_for<R: Rows>(
    rows: &mut R,
    id: Id<ClaimRow>,
    claim: &ClaimRow,
    is_open: impl Fn(u64) -> bool,
) -> Answer<R, Option<Reasserted>> {
    let Some(holder) = rows.holder(claim.trigger.job())?.filter(|holder| *holder != id) else {
        return Ok(None);
    };
    let Some((session, fired)) = rows.get(holder)?.map(|other| (other.session, other.fired)) else {
        return Ok(None);
    };
    Ok(match (fired, is_open(session)) {
        (false, _) => {
            release(rows, ExecutionId::new(session, holder.0))?;
            None
        }
        (true, true) => Some(Reasserted::Wait),
        (true, false) => Some(Reasserted::Overtaken),
    })
}

/// As [`complete`], of a run that was stopped before its end since others might have held its node for dead. A stored run is given back.
pub fn abandon<R: Rows>(
    rows: &mut R,
    completion: Completion,
    node: &str,
    now: DateTime<Utc>,
) -> Answer<R, CompleteResult> {
    let execution = completion.execution;
    let id = Id::of(execution);
    let of_run = |row: &ClaimRow| row.session == execution.session() && matches!(row.item, Item::Run(_));
    if rows.get(id)?.is_some_and(of_run) {
        if let Some(record) = completion.record {
            append(rows, record);
        }
        let Some(Item::Run(run)) = rows.get(id)?.map(|row| row.item) else { return Ok(CompleteResult::Gone) };
        if let Some(run) = rows.run(run)? {
            rows.edit(run, |row| {
                completion.noted.into_iter().for_each(|noted| row.note(execution, *noted));
                row.note_interruption();
                if completion.resets {
                    row.attempts = 0;
                }
            })?;
        }
        give_back_begun(rows, execution)?;
        end_if_once(rows, run, now)?;
        return Ok(CompleteResult::Done { trigger_removed: false, job_removed: false });
    }
    Ok(match lose(rows, execution, node, now)? {
        Lost::Ended { .. } => CompleteResult::Done { trigger_removed: false, job_removed: false },
        _ => CompleteResult::Gone,
    })
}
