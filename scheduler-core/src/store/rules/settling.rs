//! Runs that end without an attempt, and runs that wait for the ends of others: stored, let go, cancelled.
//!
//! The step that ends a parent settles its first children. With more of them the parent stays stored until a rule has gone on with the
//! rest, part by part, so whichever node looks next goes on. A child that is cancelled settles its own children in the same way, so neither
//! a long chain nor many children make a long step.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::recording::{append, not_begun};
use super::sequencing::{leave_line, line_up};
use super::steps::each;
use super::stored::is_stored;
use super::tallying::note_end;
use crate::error::Error;
use crate::key::JobKey;
use crate::run::{RunEnd, RunId};
use crate::store::firings::FiringReason;
use crate::store::rows::*;
use crate::store::runs::NewRun;

/// The step that ends a run settles so many of its children.
pub(super) const FIRST: usize = 20;

/// In the firing record of a run that no node has ended.
const NOBODY: u64 = 0;

/// Why these runs must not be stored, if one waits for a run that is not there.
pub(super) fn refuse_orphans<R: Rows>(rows: &mut R, runs: &[NewRun]) -> Answer<R, Option<Error>> {
    let mut earlier = HashSet::new();
    let mut orphans = Vec::new();
    for run in runs {
        // Also the output of a run of the same call, which may have ended before: the call is repeated.
        let parents = run.after.iter().filter(|edge| edge.input.is_some() || !earlier.contains(&edge.parent));
        orphans.extend(parents.map(|edge| (run, edge, earlier.contains(&edge.parent))));
        earlier.insert(run.id);
    }
    let missing = each(rows, orphans, |rows, (run, edge, is_of_call)| {
        // Of a run whose key is still taken nothing else may be left.
        let has_output = |row: &RunRow| edge.input.is_none() || !row.is_only_key();
        let is_there = match rows.run(edge.parent)? {
            Some(parent) => rows.get(parent)?.is_some_and(has_output),
            None => is_of_call,
        };
        let is_known = is_there || is_stored(rows, run.id)?;
        Ok((!is_known).then_some((run, edge.parent)))
    })?;
    Ok(missing.into_iter().flatten().next().map(|(run, parent)| {
        let text = format!(
            "a run of job `{}` cannot wait for run {parent}: it has ended and was not kept, or was never stored; store both in one call with `then`, or keep the runs of that job after their end",
            run.job
        );
        Error::not_found(text).for_job(&run.job)
    }))
}

/// A run is about to be stored: it waits for those of its parents that have not ended. Says whether it is to be stored.
pub(super) fn attach<R: Rows>(rows: &mut R, row: &mut RunRow, now: DateTime<Utc>) -> Answer<R, bool> {
    let edges = row.parents().to_vec();
    let mut kept_until = rows.retention().until(RunEnd::Cancelled, now);
    let ended = each(rows, edges, |rows, edge| {
        // Another run has had the key of a parent that is not there, so it was not stored.
        let Some(parent) = rows.run(edge.parent)? else {
            return Ok(Some((edge, RunEnd::Cancelled, (None, None))));
        };
        let Some(end) = rows.get(parent)?.and_then(RunRow::end) else {
            become_parent(rows, parent)?;
            return Ok(None);
        };
        let (until, output) =
            rows.get(parent)?.map_or((None, None), |row| (row.kept_until(), row.output().cloned()));
        if !edge.on.is_met_by(end) {
            rows.edit(parent, |parent| parent.set_unmet_children(true))?;
        }
        Ok(Some((edge, end, (until, output))))
    })?;
    for (edge, end, (until, output)) in ended.into_iter().flatten() {
        row.settle(edge.parent, (end, output.as_ref()), now);
        if !edge.on.is_met_by(end) {
            kept_until = kept_until.max(until);
        }
    }
    if row.is_unmet() {
        append(rows, not_begun(row, FiringReason::Dependency, NOBODY, now).into());
        row.finish(RunEnd::Cancelled, now, kept_until.unwrap_or(now));
        return Ok(kept_until.is_some());
    }
    if row.is_free() {
        row.begin_waiting(now);
    }
    Ok(true)
}

/// A run waits for the end of this one. An attempt that is under way was claimed before, so its claim learns of it.
fn become_parent<R: Rows>(rows: &mut R, parent: Id<RunRow>) -> Answer<R, ()> {
    if rows.get(parent)?.is_some_and(RunRow::is_parent) {
        return Ok(());
    }
    let waits = rows.get(parent)?.is_some_and(|row| row.standing == Standing::Waiting);
    if waits && let Some(claim) = rows.claim_of(parent)? {
        rows.edit(claim, |claim| claim.linked = true)?;
    }
    rows.edit(parent, RunRow::become_parent).map(drop)
}

/// Ends a run that no node runs: it is kept for as long as its kind of end is, or removed.
pub(super) fn finish<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    end: RunEnd,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    finish_with(rows, run, end, now, (None, FIRST))
}

/// As [`finish`]; the run is kept until then at least, and so many of its children are settled in this step.
pub(super) fn finish_with<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    end: RunEnd,
    now: DateTime<Utc>,
    (at_least, most): (Option<DateTime<Utc>>, usize),
) -> Answer<R, ()> {
    note_end(rows, run, end)?;
    release_follow_up(rows, run)?;
    tell_end(rows, run)?;
    let keep = rows.get(run)?.and_then(|row| row.kept_for(now));
    let kept_until = rows.retention().until(end, now).max(at_least).max(keep);
    let is_halted = |row: &RunRow| end == RunEnd::Dead && row.sequence().is_some_and(|of| of.halts);
    if kept_until.is_none() || !rows.get(run)?.is_some_and(is_halted) {
        leave_line(rows, run)?;
    }
    if !settle(rows, run, (end, kept_until), now, most)? {
        rows.wake();
        let until = kept_until.unwrap_or(now);
        return rows.edit(run, |row| row.finish_with_children(end, now, until)).map(drop);
    }
    let key_until = rows.get(run)?.and_then(|row| row.key_until(now));
    match (kept_until, key_until) {
        (Some(until), _) => rows.edit(run, |row| row.finish(end, now, until)).map(drop),
        (None, Some(until)) => rows.edit(run, |row| row.keep_key(end, now, until)).map(drop),
        (None, None) => rows.remove(run),
    }
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
    let record = not_begun(row, FiringReason::Expired, session, now);
    append(rows, record.into());
    finish(rows, run, RunEnd::Expired, now)?;
    Ok(Some(expired))
}

/// Removes a run that no node runs. Runs that wait for its end see it cancelled.
pub(super) fn delete<R: Rows>(rows: &mut R, run: Id<RunRow>, now: DateTime<Utc>) -> Answer<R, ()> {
    note_end(rows, run, RunEnd::Cancelled)?;
    release_follow_up(rows, run)?;
    tell_end(rows, run)?;
    leave_line(rows, run)?;
    let has_ended = rows.get(run)?.is_none_or(|row| row.end().is_some());
    if has_ended || settle(rows, run, (RunEnd::Cancelled, None), now, FIRST)? {
        return rows.remove(run);
    }
    rows.wake();
    rows.edit(run, |row| row.finish_with_children(RunEnd::Cancelled, now, now)).map(drop)
}

/// The run has ended, or goes: whoever waits for that is told.
pub(super) fn tell_end<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    if let Some(id) = rows.get(run)?.filter(|row| row.is_kept() || row.is_batch()).map(|row| row.id) {
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
        rows.edit(next, RunRow::stop_following)?;
        line_up(rows, next)?;
        rows.show_run(next)?;
        rows.wake();
    }
    Ok(())
}

/// A run has ended like this and is kept until then: its first children are settled. Says whether that were all.
pub(super) fn settle<R: Rows>(
    rows: &mut R,
    parent: Id<RunRow>,
    (end, kept_until): (RunEnd, Option<DateTime<Utc>>),
    now: DateTime<Utc>,
    most: usize,
) -> Answer<R, bool> {
    let of = rows.get(parent)?.filter(|row| row.is_parent()).map(|row| (row.id, row.output().cloned()));
    let Some((id, output)) = of else { return Ok(true) };
    if most == 0 {
        return Ok(false);
    }
    let (children, may_be_more) = rows.some_tagged(&RunTag::ChildOf(id), most)?;
    let unmet =
        each(rows, children, |rows, child| settle_edge(rows, child, (id, end, &output), kept_until, now))?;
    if unmet.contains(&true) {
        rows.edit(parent, |row| row.set_unmet_children(true))?;
    }
    Ok(!may_be_more)
}

/// Says whether the edge is not met.
fn settle_edge<R: Rows>(
    rows: &mut R,
    child: Id<RunRow>,
    (parent, end, output): (RunId, RunEnd, &Option<Arc<str>>),
    kept_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Answer<R, bool> {
    rows.edit(child, |row| row.settle(parent, (end, output.as_ref()), now))?;
    let Some(row) = rows.get(child)? else { return Ok(false) };
    let is_unmet = row.parents().iter().any(|edge| edge.parent == parent && edge.is_unmet);
    if row.end().is_some() {
        return Ok(is_unmet);
    }
    if is_unmet {
        let record = not_begun(row, FiringReason::Dependency, NOBODY, now);
        append(rows, record.into());
        finish_with(rows, child, RunEnd::Cancelled, now, (kept_until, 0))?;
    } else {
        let_go(rows, child, now)?;
    }
    Ok(is_unmet)
}

/// What a run has waited for has come before the end of the parent.
pub(super) fn meet<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    parent: RunId,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    match rows.edit(run, |row| row.meet(parent))? {
        Some(true) => let_go(rows, run, now),
        _ => Ok(()),
    }
}

/// A run that is held for nothing any more waits for its due time.
pub(super) fn let_go<R: Rows>(rows: &mut R, run: Id<RunRow>, now: DateTime<Utc>) -> Answer<R, ()> {
    if rows.get(run)?.is_some_and(RunRow::is_free) {
        rows.edit(run, |row| row.begin_waiting(now))?;
        line_up(rows, run)?;
        rows.show_run(run)?;
        rows.wake();
    }
    Ok(())
}
