//! Stored runs that users change, runs that are due or expire, and ended runs that are no longer kept.

use chrono::{DateTime, Utc};

use super::keying::{release_follow_up, taken_by};
use super::recording::{append, expired as expired_record};
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
    if claim.is_none() && rows.get(run)?.is_some_and(|row| row.is_expired(now)) {
        // No node has found it yet. It is over all the same.
        end_expired(rows, run, 0, now)?;
    }
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
            rows.edit(run, |row| row.replay(due, now))?;
            wait(rows, run)?;
        }
        RunChange::Delete => {
            release_follow_up(rows, run)?;
            rows.remove(run)?;
        }
        RunChange::Hold => {
            rows.edit(run, |row| row.stand(Standing::Held, now))?;
        }
        RunChange::Release => {
            rows.edit(run, |row| row.stand(Standing::Waiting, now))?;
            wait(rows, run)?;
        }
        RunChange::Edit(edit) => self::edit(rows, run, edit, now)?,
    }
    Ok(RunChanged::Done)
}

/// Puts a waiting run into its place and wakes the nodes.
fn wait<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    rows.show_run(run)?;
    rows.wake();
    Ok(())
}

fn edit<R: Rows>(rows: &mut R, run: Id<RunRow>, edit: &RunEdit, now: DateTime<Utc>) -> Answer<R, ()> {
    let Some((queue, job_type, lane)) =
        rows.get(run)?.map(|row| (row.queue.clone(), row.job_type.clone(), row.lane))
    else {
        return Ok(());
    };
    let lane = match &edit.queue {
        Some(new) if *new != queue => rows.lane(new.as_ref(), &job_type),
        _ => lane,
    };
    rows.edit(run, |row| row.edit(edit, lane, now))?;
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

/// Looks at a run whose time has come. A boosted run that is due stands in its lane from now on. A run that no node has begun in time
/// ends as expired, and is returned. An ended run that is no longer kept is removed.
pub(super) fn ring_run<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    session: u64,
    now: DateTime<Utc>,
) -> Answer<R, Option<(RunId, JobKey)>> {
    let Some(row) = rows.get(run)?.filter(|row| row.alarm().is_some_and(|at| at <= now)) else {
        return Ok(None);
    };
    if let Some(end) = row.end() {
        let until = row.key_until(now);
        match until {
            Some(until) => drop(rows.edit(run, |row| row.keep_key(end, now, until))?),
            None => rows.remove(run)?,
        }
        return Ok(None);
    }
    let is_later = row.is_later();
    if !row.is_expired(now) {
        rows.edit(run, |row| row.wait_for(row.due, now))?;
        return rows.show_run(run).map(|()| None);
    }
    if !is_later && rows.claim_of(run)?.is_some() {
        // Its first attempt has begun in time.
        rows.edit(run, |row| row.set_kept_alive(true))?;
        return Ok(None);
    }
    end_expired(rows, run, session, now)
}

/// Ends a run whose first attempt has not begun in time.
pub(crate) fn end_expired<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    session: u64,
    now: DateTime<Utc>,
) -> Answer<R, Option<(RunId, JobKey)>> {
    let Some(row) = rows.get(run)? else { return Ok(None) };
    let expired = (row.id, row.job.clone());
    let record = expired_record(row, session, now);
    append(rows, record.into());
    finish(rows, run, RunEnd::Expired, now)?;
    Ok(Some(expired))
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
