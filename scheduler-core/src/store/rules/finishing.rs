//! What an alarm of a run asks for: runs that are due, expire or are no longer kept, and children that are left to be settled.

use chrono::{DateTime, Utc};

use super::batching::{cancel, go_on_cancelling};
use super::reviving::hold_children_again;
use super::sequencing::leave_line;
use super::settling::{end_expired, let_go, settle};
use crate::key::JobKey;
use crate::run::{BatchCounts, RunEnd, RunId};
use crate::store::rows::*;

/// A step that goes on with children touches so many, of so many parents.
const PART: usize = 200;
const PARENTS: usize = 20;

/// The alarms that one step looks at, and with how many children of each run it goes on.
pub(super) fn bound<R: Rows>(rows: &mut R, alarms: Vec<Alarm>) -> Answer<R, (Vec<Alarm>, usize)> {
    let (mut parents, mut kept) = (0, Vec::with_capacity(alarms.len()));
    for alarm in alarms {
        let is_parent = match alarm {
            Alarm::Run(run) => {
                rows.get(run)?.is_some_and(|row| row.has_more_children() || row.is_cancelling())
            }
            _ => false,
        };
        parents += usize::from(is_parent);
        if !is_parent || parents <= PARENTS {
            kept.push(alarm);
        }
    }
    Ok((kept, PART / parents.clamp(1, PARENTS)))
}

/// Goes on with so many children of a run.
fn go_on<R: Rows>(rows: &mut R, run: Id<RunRow>, now: DateTime<Utc>, most: usize) -> Answer<R, ()> {
    let Some(row) = rows.get(run)? else { return Ok(()) };
    let (end, kept_until) = (row.end(), row.kept_until());
    let Some(end) = end else {
        if hold_children_again(rows, run, now, most)? {
            let_go(rows, run, now)?;
            // The batch may be over by now.
            let batch = rows.get(run)?.filter(|row| row.is_batch()).map(|row| row.id);
            batch.into_iter().for_each(|batch| rows.tally(batch, BatchCounts::default()));
        }
        return Ok(());
    };
    if settle(rows, run, (end, kept_until.filter(|until| *until > now)), now, most)? {
        rows.edit(run, |row| row.set_more_children(false))?;
    }
    Ok(())
}

/// Looks at a run whose time has come. A boosted run that is due stands in its lane from now on. A run that no node has begun in time
/// ends as expired, and is returned. A batch that nobody has sealed in time is cancelled. An ended run that is no longer kept is removed. Of a run with many children so many are looked at.
pub(super) fn ring_run<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    session: u64,
    now: DateTime<Utc>,
    children: usize,
) -> Answer<R, Option<(RunId, JobKey)>> {
    if rows.get(run)?.is_some_and(RunRow::has_more_children) {
        go_on(rows, run, now, children)?;
        let is_over = |row: &RunRow| !row.has_more_children() && row.kept_until().is_some_and(|at| at <= now);
        if !rows.get(run)?.is_some_and(is_over) {
            return Ok(None);
        }
    }
    if rows.get(run)?.is_some_and(RunRow::is_cancelling) {
        return go_on_cancelling(rows, run, now, children).map(|()| None);
    }
    if rows.get(run)?.and_then(RunRow::open_until).is_some_and(|until| until <= now) {
        return cancel(rows, run).map(|()| None);
    }
    let Some(row) = rows.get(run)?.filter(|row| row.alarm().is_some_and(|at| at <= now)) else {
        return Ok(None);
    };
    if let Some(end) = row.end() {
        let (is_kept, key_until) = (row.kept_until().is_some_and(|until| until > now), row.key_until(now));
        if !is_kept {
            leave_line(rows, run)?;
        }
        match key_until {
            _ if is_kept => drop(rows.edit(run, RunRow::free_key)?),
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

/// Removes one of too many ended runs. Returns a dead run, since somebody may miss it.
pub(super) fn drop_excess<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, Option<(RunId, JobKey)>> {
    let Some(end) = rows.get(run)?.and_then(RunRow::end) else { return Ok(None) };
    let dropped = rows.get(run)?.map(|row| (row.id, row.job.clone()));
    leave_line(rows, run)?;
    match rows.get(run)?.and_then(|row| row.key()?.until) {
        Some(until) => drop(rows.edit(run, |row| row.keep_key(end, until, until))?),
        None => rows.remove(run)?,
    }
    Ok(dropped.filter(|_| end == RunEnd::Dead))
}
