//! Runs that end without an attempt, and ended runs that are no longer kept.

use chrono::{DateTime, Utc};

use super::recording::{append, expired as expired_record};
use crate::key::JobKey;
use crate::run::{RunEnd, RunId};
use crate::store::rows::*;

/// Ends a run that no node runs: it is kept for as long as its kind of end is, or removed.
pub(super) fn finish<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    end: RunEnd,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    release_follow_up(rows, run)?;
    tell_end(rows, run)?;
    let (key_until, keep) =
        rows.get(run)?.map_or((None, None), |row| (row.key_until(now), row.kept_for(now)));
    match (rows.retention().until(end, now).max(keep), key_until) {
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
        let is_kept = row.kept_until().is_some_and(|until| until > now);
        match row.key_until(now) {
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

/// The run has ended, or goes: whoever waits for that is told.
pub(super) fn tell_end<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    if let Some(id) = rows.get(run)?.filter(|row| row.is_kept()).map(|row| row.id) {
        rows.tell_end(id);
    }
    Ok(())
}

/// The run is over, or goes: the one that has waited for that waits for its due time.
pub(super) fn release_follow_up<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    let Some(row) = rows.get(run)?.filter(|row| row.is_followed()) else { return Ok(()) };
    let Some(key) = row.key().map(|key| key.id) else { return Ok(()) };
    rows.edit(run, |row| row.set_followed(false))?;
    for next in rows.tagged(&RunTag::FollowUp(key))? {
        rows.edit(next, RunRow::release)?;
        rows.show_run(next)?;
        rows.wake();
    }
    Ok(())
}
