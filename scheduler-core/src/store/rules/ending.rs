//! Runs that end.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::attempts::end_attempt;
use super::limiting::throttle;
use super::once::release_at_end;
use super::recording::{append, lost};
use super::running::promise;
use super::steps::{end_claim, end_run, remove_at, step, step_job};
use crate::data::JobData;
use crate::job::ExecutionId;
use crate::key::JobKey;
use crate::store::firing::{CompleteResult, Completion, Instruction};
use crate::store::rows::*;
use crate::store::runs::{Fate, NewRun};
use crate::store::state::Step;
use crate::trigger::OverlapPolicy;

const DONE: CompleteResult = CompleteResult::Done { trigger_removed: false, job_removed: false };

/// Ends a run, and does to its trigger what it says.
pub fn complete<R: Rows>(
    rows: &mut R,
    mut completion: Completion,
    now: DateTime<Utc>,
) -> Answer<R, CompleteResult> {
    let id = Id::of(completion.execution);
    let known = rows.get(id)?.filter(|claim| claim.fired && claim.session == completion.execution.session());
    let Some(claim) = known else { return Ok(CompleteResult::Gone) };
    let (item, birth, lineage, counted) = (claim.trigger_id(), claim.birth, claim.lineage, claim.counted);
    let (trigger, is_removed) = (claim.trigger.clone(), claim.run_removed);
    let mut noted = claim.noted.clone().filter(|_| completion.promise.is_some());
    if let Some(data) = &completion.data {
        keep_data(rows, trigger.job(), data)?;
    }
    if let Some(record) = completion.record.take() {
        append(rows, record);
    }
    if let (Some(limit), Fate::Again { at, .. }) = (&completion.throttles, &completion.fate) {
        throttle(rows, id, limit, *at)?;
    }
    let Some(item) = item else {
        let instruction = completion.instruction;
        let follows = end_attempt(rows, completion, now)?;
        end_job(rows, trigger.job(), instruction)?;
        return Ok(if follows { DONE } else { CompleteResult::Withdrawn });
    };
    end_claim(rows, id)?;
    if counted {
        end_run(rows, item, lineage, now)?;
    }
    // What somebody has unscheduled meanwhile is not retried.
    let done = if is_removed && completion.promise.is_some() { CompleteResult::Withdrawn } else { DONE };
    if let Some(run) = completion.promise.filter(|_| !is_removed) {
        if let Some(new) = completion.noted {
            noted.get_or_insert_default().take(completion.execution.count(), *new);
        }
        promise(rows, (NewRun { noted, ..*run }, completion.fate), 0, now)?;
    }
    match completion.instruction {
        Instruction::Continue => return Ok(done),
        Instruction::FinishJob | Instruction::FailJob => {
            end_job(rows, trigger.job(), completion.instruction)?;
        }
        of_trigger if rows.get(item)?.is_some_and(|row| row.birth == birth) => match of_trigger {
            Instruction::FinishTrigger => drop(step(rows, item, Step::Finish, None)?),
            Instruction::FailTrigger => drop(step(rows, item, Step::Fail, None)?),
            _ => return remove_if_finished(rows, item),
        },
        _ => {}
    }
    Ok(done)
}

/// Does what a run says of all triggers of its job: they finish or fail. Nothing for another instruction.
pub fn end_job<R: Rows>(rows: &mut R, job: &JobKey, instruction: Instruction) -> Answer<R, ()> {
    match instruction {
        Instruction::FinishJob => step_job(rows, job, Step::Finish),
        Instruction::FailJob => step_job(rows, job, Step::Fail),
        _ => Ok(()),
    }
}

/// The data that a run has changed, for a job that wants to keep it and is still there.
fn keep_data<R: Rows>(rows: &mut R, job: &JobKey, data: &JobData) -> Answer<R, ()> {
    let Some(job) = rows.job(job)? else { return Ok(()) };
    rows.edit(job, |job| {
        if job.detail.persist_data() {
            job.detail = job.detail.to_builder().data(data.clone()).build().into();
        }
    })?;
    Ok(())
}

/// A trigger that was given no further fire time meanwhile goes.
fn remove_if_finished<R: Rows>(rows: &mut R, id: Id<TriggerRow>) -> Answer<R, CompleteResult> {
    if rows.get(id)?.is_some_and(|row| row.next().is_some()) {
        return Ok(DONE);
    }
    let job_removed = remove_at(rows, id)?.job_removed;
    Ok(CompleteResult::Done { trigger_removed: true, job_removed })
}

/// The claims of a node that has ended are those of nobody: runs wait again.
pub fn detach<R: Rows>(rows: &mut R, session: u64, node: Option<&Arc<str>>) -> Answer<R, ()> {
    for id in rows.claims_of(session)? {
        let Some((fires, since)) =
            rows.get(id)?.map(|claim| (claim.fired && claim.trigger_id().is_some(), claim.since))
        else {
            continue;
        };
        let execution = ExecutionId::new(session, id.0);
        match fires {
            false => release_at_end(rows, execution)?,
            true => {
                let record = lost(rows, execution, node, since)?;
                complete(rows, Completion { record, ..Completion::of(execution) }, since)?;
            }
        }
    }
    Ok(())
}

/// How many runs a trigger has under way, for a policy that asks for it: from now on they are counted.
pub(super) fn count_runs<R: Rows>(
    rows: &mut R,
    id: Id<TriggerRow>,
    overlap: OverlapPolicy,
) -> Answer<R, u32> {
    if overlap == OverlapPolicy::AllowAll {
        return Ok(0);
    }
    let Some((key, lineage)) = rows.get(id)?.map(|row| (row.trigger.key().clone(), row.lineage())) else {
        return Ok(0);
    };
    let runs = rows.claims(|_, claim| claim.is_run_of((id, &key), lineage))?;
    for run in &runs {
        rows.edit(*run, |claim| claim.counted = true)?;
    }
    Ok(u32::try_from(runs.len()).unwrap_or(u32::MAX))
}
