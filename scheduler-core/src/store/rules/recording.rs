//! Firing records of what the node of an attempt does not tell.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::job::{ExecutionId, JobDetail};
use crate::run::{FiringCause, RunId};
use crate::store::firings::{FiringOutcome, FiringReason, FiringRecord};
use crate::store::rows::*;

/// Appends a record.
pub(super) fn append<R: Rows>(rows: &mut R, mut record: Box<FiringRecord>) {
    record.cut_failure();
    rows.record(record);
}

/// Appends the record of an occurrence that does not run, while its claim is there.
pub(super) fn not_run<R: Rows>(
    rows: &mut R,
    claim: ExecutionId,
    job: &JobDetail,
    reason: FiringReason,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    let Some(row) = rows.get(Id::of(claim))? else { return Ok(()) };
    let outcome = FiringOutcome::NotRun;
    let mut record =
        FiringRecord::new(job.key().clone(), row.session, FiringCause::Schedule, (row.due, now), outcome);
    record.trigger = Some(row.trigger.key().clone());
    record.job_type = Some(job.shared_job_type().clone());
    record.queue = row.trigger.queue().cloned();
    record.reason = Some(reason);
    append(rows, record.into());
    Ok(())
}

/// The record of a run that no node begins any more. The session is that of the node that has found that, 0 if no node has.
pub(super) fn not_begun(
    run: &RunRow,
    reason: FiringReason,
    session: u64,
    now: DateTime<Utc>,
) -> FiringRecord {
    let times = (run.scheduled(), now);
    let (cause, outcome) = (run.cause_of_attempt(), FiringOutcome::NotRun);
    let mut record = FiringRecord::new(run.job.clone(), session, cause, times, outcome);
    record.run = Some(run.id);
    record.job_type = Some(run.job_type.clone());
    record.queue = run.queue.clone();
    record.reason = Some(reason);
    record
}

/// The record of an attempt that ended with its node; none if it has no claim.
pub(super) fn lost<R: Rows>(
    rows: &mut R,
    execution: ExecutionId,
    node: Option<&Arc<str>>,
    ended: DateTime<Utc>,
) -> Answer<R, Option<Box<FiringRecord>>> {
    let Some(claim) = rows.get(Id::of(execution))?.cloned() else { return Ok(None) };
    let (trigger, session) = (&claim.trigger, claim.session);
    let times = (claim.due, ended);
    let outcome = FiringOutcome::Lost;
    let mut record = FiringRecord::new(trigger.job().clone(), session, FiringCause::Schedule, times, outcome);
    record.run = Some(RunId::new(session, execution.count()));
    record.trigger = Some(trigger.key().clone());
    if let Item::Run(id) = claim.item {
        record.run = Some(id);
        let row = match rows.run(id)? {
            Some(run) => rows.get(run)?,
            None => None,
        };
        record.trigger = row.and_then(|row| row.occurrence_of().cloned());
        // A run that was removed meanwhile says nothing any more.
        record.cause = row.map_or(FiringCause::Enqueued, RunRow::cause_of_attempt);
        record.job_type = row.map(|row| row.job_type.clone());
    } else if let Some(job) = rows.job(trigger.job())? {
        record.job_type = rows.get(job)?.map(|job| job.detail.shared_job_type().clone());
    }
    record.execution = Some(execution);
    record.queue = trigger.queue().cloned();
    record.node = node.cloned();
    record.began = Some(claim.since);
    record.attempt = claim.attempt;
    record.failure = Some("its node died".into());
    Ok(Some(record.into()))
}
