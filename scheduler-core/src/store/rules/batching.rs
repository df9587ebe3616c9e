//! Batches: who adds runs, when a batch has ended, and what follows.
//!
//! The step that ends a run adds to the counters of its batch. When nothing is pending any more, or when the first run is dead, the driver
//! rings, and whichever node looks next decides what follows. A batch in another one ends in a step of its own, so nothing recurses.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::settling::{self, FIRST, finish_with};
use super::steps::each;
use super::stored::is_stored;
use super::tallying::membership;
use crate::error::Error;
use crate::job::CancelReason;
use crate::run::{BatchCounts, Condition, Edge, RunEnd, RunId};
use crate::store::batches::{InBatch, MOST_DEPTH};
use crate::store::rows::*;
use crate::store::runs::NewRun;

/// A batch is kept for so long after its end, so that somebody may ask how it went.
const KEPT: TimeDelta = TimeDelta::days(7);

/// Whether a call that opens a batch was carried out before, since the batch is stored. Then nothing of it is stored: what is not there
/// any more has ended.
pub(super) fn is_repeated<R: Rows>(rows: &mut R, runs: &[NewRun]) -> Answer<R, bool> {
    match runs.iter().find(|run| run.opens.is_some()) {
        Some(batch) => is_stored(rows, batch.id),
        None => Ok(false),
    }
}

/// Why these runs must not be stored, if the batch of one takes no more.
pub(super) fn refuse_strangers<R: Rows>(rows: &mut R, runs: &[NewRun]) -> Answer<R, Option<Error>> {
    let opened = runs.iter().filter(|run| run.opens.is_some());
    let of_call: HashMap<_, _> = opened.map(|run| (run.id, membership(run))).collect();
    let (of_new, new): (Vec<_>, Vec<_>) = runs
        .iter()
        .filter_map(|run| Some((run, membership(run)?)))
        .partition(|(_, member)| of_call.contains_key(&member.batch));
    let refused = each(rows, of_new, |rows, (run, member)| refuse_nested(rows, run, member, &of_call))?;
    if let Some(error) = refused.into_iter().flatten().next() {
        return Ok(Some(error));
    }
    let refused = each(rows, new, |rows, (run, member)| {
        if is_stored(rows, run.id)? {
            return Ok(None);
        }
        Ok(refusal(rows, run, member)?.map(|problem| {
            let (batch, text) =
                (member.batch, format!("a run of job `{}` cannot be added to batch", run.job));
            let text = format!("{text} {batch}: {problem}");
            let error =
                if problem.contains("not stored") { Error::not_found(text) } else { Error::conflict(text) };
            error.for_job(&run.job)
        }))
    })?;
    Ok(refused.into_iter().flatten().next())
}

/// Why a run must not be stored in a batch of the same call: the batch is in too many others, or the run waits for one of them.
fn refuse_nested<R: Rows>(
    rows: &mut R,
    run: &NewRun,
    member: InBatch,
    of_call: &HashMap<RunId, Option<InBatch>>,
) -> Answer<R, Option<Error>> {
    let (mut batch, mut depth) = (member.batch, 1);
    let mut waits_for_itself = run.after.iter().any(|edge| edge.parent == batch);
    while let Some(outer) = of_call.get(&batch).copied().flatten() {
        (batch, depth) = (outer.batch, depth + 1);
        waits_for_itself |= run.after.iter().any(|edge| edge.parent == batch);
        if depth > MOST_DEPTH {
            break;
        }
    }
    if !of_call.contains_key(&batch) {
        waits_for_itself |= waits_for_batch(rows, run, batch)?;
        depth += match rows.run(batch)? {
            Some(batch) => rows.get(batch)?.map_or(0, RunRow::depth),
            None => 0,
        };
    }
    let problem = match () {
        () if waits_for_itself => WAITS_FOR_ITSELF,
        () if run.opens.is_some() && depth > MOST_DEPTH => TOO_DEEP,
        () => return Ok(None),
    };
    let text = format!("a run of job `{}` cannot be added to batch {}: {problem}", run.job, member.batch);
    Ok(Some(Error::conflict(text).for_job(&run.job)))
}

const WAITS_FOR_ITSELF: &str = "it waits for the batch that it is in, which waits for it; leave out `after`";
const TOO_DEEP: &str = "batches are in each other up to 8 levels deep; add to one of the outer ones";

fn refusal<R: Rows>(rows: &mut R, run: &NewRun, member: InBatch) -> Answer<R, Option<&'static str>> {
    let batch = match rows.run(member.batch)? {
        Some(batch) => rows.get(batch)?.cloned(),
        None => None,
    };
    let is_member = match member.by {
        Some(by) => match rows.run(by)? {
            Some(by) => {
                rows.get(by)?.is_some_and(|row| row.member_of() == Some(member.batch) && row.end().is_none())
            }
            None => false,
        },
        None => false,
    };
    let Some(batch) = batch.filter(RunRow::is_batch) else {
        return Ok(Some("it is not stored; it has ended long ago, or never was opened"));
    };
    let waits_for_itself = waits_for_batch(rows, run, member.batch)?;
    Ok(match () {
        () if batch.is_cancelled() => Some("it was cancelled"),
        () if batch.end().is_some() => {
            Some("it has ended, and its callbacks have gone out; open another one")
        }
        () if batch.is_sealed() && !is_member => Some("it is sealed, so only its own runs add others"),
        () if waits_for_itself => Some(WAITS_FOR_ITSELF),
        () if run.opens.is_some() && batch.depth() >= MOST_DEPTH => Some(TOO_DEEP),
        () => None,
    })
}

/// Whether the run waits for the batch that it is in, or for one around it.
fn waits_for_batch<R: Rows>(rows: &mut R, run: &NewRun, batch: RunId) -> Answer<R, bool> {
    let mut outer = Some(batch).filter(|_| !run.after.is_empty());
    for _ in 0..=MOST_DEPTH {
        let Some(id) = outer else { return Ok(false) };
        if run.after.iter().any(|edge| edge.parent == id) {
            return Ok(true);
        }
        outer = match rows.run(id)? {
            Some(batch) => rows.get(batch)?.and_then(RunRow::member_of),
            None => None,
        };
    }
    Ok(false)
}

/// The driver rings: no run of a batch is pending, or the first is dead.
pub(super) fn ring_batch<R: Rows>(rows: &mut R, id: RunId, now: DateTime<Utc>) -> Answer<R, ()> {
    let batch = rows.run(id)?;
    let is_open = |row: &RunRow| row.is_batch() && row.end().is_none();
    let is_open = match batch {
        Some(batch) => rows.get(batch)?.is_some_and(is_open),
        None => false,
    };
    let (Some(batch), true) = (batch, is_open) else {
        rows.heard(id);
        return Ok(());
    };
    let counts = rows.counts(id)?;
    rows.heard(id);
    if counts.dead > 0 {
        tell_of_death(rows, batch, now)?;
        if rows.get(batch)?.is_some_and(|row| row.stops_on_death() && !row.is_cancelled()) {
            cancel(rows, batch)?;
        }
    }
    let is_over = |row: &RunRow| {
        row.is_sealed() && !row.is_cancelling() && !row.has_more_children() && counts.pending <= 0
    };
    let Some(end) = rows.get(batch)?.filter(|row| is_over(row)).map(|row| row.end_of_batch(&counts)) else {
        return Ok(());
    };
    let kept = now.checked_add_signed(KEPT);
    finish_with(rows, batch, end, now, (kept, FIRST))
}

/// The first run is dead.
fn tell_of_death<R: Rows>(rows: &mut R, batch: Id<RunRow>, now: DateTime<Utc>) -> Answer<R, ()> {
    let Some((id, on_death)) = rows.get(batch)?.and_then(|row| Some((row.id, row.on_death()?))) else {
        return Ok(());
    };
    let told = rows.run(on_death)?;
    rows.edit(batch, RunRow::take_on_death)?;
    match told {
        Some(told) => settling::meet(rows, told, id, now),
        None => Ok(()),
    }
}

/// Nobody but its own runs adds to a batch from now on.
pub(super) fn seal<R: Rows>(rows: &mut R, batch: Id<RunRow>) -> Answer<R, ()> {
    let Some(id) = rows.edit(batch, |row| {
        row.seal();
        row.id
    })?
    else {
        return Ok(());
    };
    // There may be nothing to wait for.
    rows.tally(id, BatchCounts::default());
    match start_of(rows, batch)? {
        Some(start) => seal(rows, start),
        None => Ok(()),
    }
}

/// What the runs of a batch wait for until it is sealed.
fn start_of<R: Rows>(rows: &mut R, batch: Id<RunRow>) -> Answer<R, Option<Id<RunRow>>> {
    let Some(start) = rows.get(batch)?.and_then(RunRow::start) else { return Ok(None) };
    let Some(start) = rows.run(start)? else { return Ok(None) };
    Ok(rows.get(start)?.is_some_and(|row| row.end().is_none()).then_some(start))
}

/// What the runs of a batch wait for until it is sealed, and the batches that it is in are.
pub(super) fn open_starts<R: Rows>(rows: &mut R, batch: RunId) -> Answer<R, Vec<RunId>> {
    let Some(batch) = rows.run(batch)? else { return Ok(Vec::new()) };
    let starts = rows.get(batch)?.map_or_else(Vec::new, RunRow::starts_of_runs);
    let open = each(rows, starts, |rows, id| {
        let Some(start) = rows.run(id)? else { return Ok(None) };
        Ok(rows.get(start)?.is_some_and(|row| row.end().is_none()).then_some(id))
    })?;
    Ok(open.into_iter().flatten().collect())
}

/// A run of a batch that is not to begin before the batch is sealed waits for that. What it waits for, also the runs of a batch.
pub(super) fn wait_for_start<R: Rows>(rows: &mut R, new: &mut NewRun) -> Answer<R, Vec<RunId>> {
    let Some(member) = membership(new) else { return Ok(Vec::new()) };
    let open = open_starts(rows, member.batch)?;
    if new.opens.is_none() {
        let is_new = |id: &&RunId| !new.after.iter().any(|edge| edge.parent == **id);
        let edges: Vec<_> = open.iter().filter(is_new).map(|id| Edge::new(*id, Condition::Success)).collect();
        new.after.extend(edges);
    }
    Ok(open)
}

/// A batch is cancelled: a rule goes on with its runs.
pub(super) fn cancel<R: Rows>(rows: &mut R, batch: Id<RunRow>) -> Answer<R, ()> {
    rows.edit(batch, RunRow::cancel_batch)?;
    rows.wake();
    match start_of(rows, batch)? {
        Some(start) => cancel(rows, start),
        None => Ok(()),
    }
}

/// Goes on with so many runs of a cancelled batch.
pub(super) fn go_on_cancelling<R: Rows>(
    rows: &mut R,
    batch: Id<RunRow>,
    now: DateTime<Utc>,
    most: usize,
) -> Answer<R, ()> {
    let Some(id) = rows.get(batch)?.map(|row| row.id) else { return Ok(()) };
    let (members, may_be_more) = rows.some_tagged(&RunTag::Member(id), most)?;
    each(rows, members, |rows, member| cancel_member(rows, member, now))?;
    if !may_be_more {
        rows.edit(batch, RunRow::end_cancelling)?;
        rows.tally(id, BatchCounts::default());
    }
    Ok(())
}

fn cancel_member<R: Rows>(rows: &mut R, member: Id<RunRow>, now: DateTime<Utc>) -> Answer<R, ()> {
    if rows.get(member)?.is_some_and(RunRow::is_batch) {
        cancel(rows, member)?;
        return rows.edit(member, |row| row.set_asked(true)).map(drop);
    }
    let Some(claim) = rows.claim_of(member)? else {
        return finish_with(rows, member, RunEnd::Cancelled, now, (None, 0));
    };
    rows.edit(claim, |claim| *claim.cancel.get_or_insert(CancelReason::Requested))?;
    rows.edit(member, |row| row.set_asked(true)).map(drop)
}
