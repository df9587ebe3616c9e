//! Stored runs that users change, and ended runs that are no longer kept.

use chrono::{DateTime, Utc};

use super::keying::{release_follow_up, taken_by};
use crate::job::CancelReason;
use crate::key::JobKey;
use crate::run::{RunEnd, RunId, RunStep};
use crate::store::rows::*;
use crate::store::run_changes::{ChangeRuns, RunChange, RunChanged, RunEdit};

/// Changes a run. `at` is its place in the list of runs that one call changes.
pub fn change_run<R: Rows>(
    rows: &mut R,
    (at, id): (usize, RunId),
    request: &ChangeRuns,
) -> Answer<R, RunChanged> {
    let ChangeRuns { change, now, .. } = request;
    let now = *now;
    let Some(run) = rows.run(id)? else { return Ok(RunChanged::Unknown) };
    let claim = rows.claim_of(run)?;
    let Some(row) = rows.get(run)? else { return Ok(RunChanged::Unknown) };
    let state = row.standing.state(claim.is_some());
    let is_meant = request.state.is_none_or(|wanted| wanted == state)
        && request.end.is_none_or(|wanted| row.end() == Some(wanted));
    if !is_meant {
        return Ok(RunChanged::Refused(state));
    }
    if let (RunChange::Cancel, Some(claim)) = (change, claim) {
        rows.edit(claim, |row| *row.cancel.get_or_insert(CancelReason::Requested))?;
        return Ok(RunChanged::Done);
    }
    let is_only_key = row.is_only_key();
    let allows = match change {
        RunChange::Delete | RunChange::Edit(_) => claim.is_none(),
        RunChange::Cancel => state.after(RunStep::Cancel).is_some(),
        RunChange::Replay { .. } => state.after(RunStep::Replay).is_some() && !is_only_key,
        RunChange::Hold => state.after(RunStep::Hold).is_some(),
        RunChange::Release => state.after(RunStep::Release).is_some(),
    };
    if !allows {
        return Ok(RunChanged::Refused(state));
    }
    match change {
        RunChange::Cancel => finish(rows, run, RunEnd::Cancelled, now)?,
        RunChange::Replay { from, spacing } => {
            if let Some(owner) = taken_by(rows, run, now)? {
                return Ok(RunChanged::KeyTaken(owner));
            }
            let due = RunChange::due(*from, *spacing, at, now);
            rows.edit(run, |row| row.replay(due))?;
            wait(rows, run)?;
        }
        RunChange::Delete => {
            release_follow_up(rows, run)?;
            rows.remove(run)?;
        }
        RunChange::Hold => {
            rows.edit(run, |row| row.stand(Standing::Held))?;
        }
        RunChange::Release => {
            rows.edit(run, |row| row.stand(Standing::Waiting))?;
            wait(rows, run)?;
        }
        RunChange::Edit(edit) => self::edit(rows, run, edit)?,
    }
    Ok(RunChanged::Done)
}

/// Puts a waiting run into its place and wakes the nodes.
fn wait<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    rows.show_run(run)?;
    rows.wake();
    Ok(())
}

fn edit<R: Rows>(rows: &mut R, run: Id<RunRow>, edit: &RunEdit) -> Answer<R, ()> {
    let Some((queue, job_type, lane)) =
        rows.get(run)?.map(|row| (row.queue.clone(), row.job_type.clone(), row.lane))
    else {
        return Ok(());
    };
    let lane = match &edit.queue {
        Some(new) if *new != queue => rows.lane(new.as_ref(), &job_type),
        _ => lane,
    };
    rows.edit(run, |row| row.edit(edit, lane))?;
    wait(rows, run)
}

/// Ends a run that no node runs: it is kept for as long as its kind of end is, or removed.
pub(super) fn finish<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    end: RunEnd,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    release_follow_up(rows, run)?;
    let key_until = rows.get(run)?.and_then(|row| row.key_until(now));
    match (rows.retention().until(end, now), key_until) {
        (Some(until), _) => rows.edit(run, |row| row.finish(end, now, until)).map(drop),
        (None, Some(until)) => rows.edit(run, |row| row.keep_key(end, now, until)).map(drop),
        (None, None) => rows.remove(run),
    }
}

/// Removes a run whose time after its end is over.
pub(super) fn ring_run<R: Rows>(rows: &mut R, run: Id<RunRow>, now: DateTime<Utc>) -> Answer<R, ()> {
    let is_over = |row: &&RunRow| row.alarm().is_some_and(|at| at <= now);
    let Some(row) = rows.get(run)?.filter(is_over) else { return Ok(()) };
    match row.end().zip(row.key_until(now)) {
        Some((end, until)) => rows.edit(run, |row| row.keep_key(end, now, until)).map(drop),
        None => rows.remove(run),
    }
}

/// Removes one of too many ended runs. Returns a dead run, since somebody may miss it.
pub(super) fn drop_excess<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, Option<(RunId, JobKey)>> {
    let Some(end) = rows.get(run)?.and_then(RunRow::end) else { return Ok(None) };
    let dropped = rows.get(run)?.map(|row| (row.id, row.job.clone()));
    match rows.get(run)?.and_then(|row| row.key()?.until) {
        Some(until) => drop(rows.edit(run, |row| row.keep_key(end, until, until))?),
        None => rows.remove(run)?,
    }
    Ok(dropped.filter(|_| end == RunEnd::Dead))
}
