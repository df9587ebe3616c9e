//! Stored runs that users change, runs that are due or expire, and ended runs that are no longer kept.

use chrono::{DateTime, Utc};

use super::batching::{cancel, seal};
use super::keying::{owner, taken_by};
use super::reviving::{hold_children_again, note_replay};
use super::sequencing::{leave_line, line_up};
use super::settling::{FIRST, delete, end_expired, finish};
use crate::job::CancelReason;
use crate::run::{RunEnd, RunId, RunState, RunStep};
use crate::store::rows::*;
use crate::store::run_changes::{ChangeRuns, RunChange, RunChanged, RunEdit};

/// Changes a run. `at` is its place in the list of runs that one call changes.
pub fn change_run<R: Rows>(
    rows: &mut R,
    place: (usize, RunId),
    request: &ChangeRuns,
) -> Answer<R, RunChanged> {
    let changed = change(rows, place, request)?;
    if changed.is_done() {
        note(rows, place.1, request)?;
    }
    Ok(changed)
}

/// Notes who has changed the run, if that is known. What was noted of an earlier change goes.
fn note<R: Rows>(rows: &mut R, id: RunId, request: &ChangeRuns) -> Answer<R, ()> {
    let Some(run) = rows.run(id)? else { return Ok(()) };
    let note = request.note();
    if rows.get(run)?.is_some_and(|row| row.last_change() != note.as_ref()) {
        rows.edit(run, |row| row.note_change(note.clone()))?;
    }
    Ok(())
}

fn change<R: Rows>(rows: &mut R, (at, id): (usize, RunId), request: &ChangeRuns) -> Answer<R, RunChanged> {
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
    if row.is_batch() {
        return change_batch(rows, run, change, state);
    }
    if !allows(row, change, state, claim.is_some()) {
        return Ok(RunChanged::Refused(state));
    }
    match change {
        RunChange::Cancel => finish(rows, run, RunEnd::Cancelled, now)?,
        RunChange::Replay { from, spacing } => {
            if let Some(owner) = taken_by(rows, run, now)? {
                return Ok(RunChanged::KeyTaken(owner));
            }
            let due = RunChange::due(*from, *spacing, at, now);
            let member = rows.get(run)?.and_then(|row| Some((row.member_of(), row.end()?)));
            rows.edit(run, |row| row.replay(due, now))?;
            member.map_or(Ok(()), |member| note_replay(rows, member))?;
            if !hold_children_again(rows, run, now, FIRST)? {
                rows.edit(run, |row| row.stand(Standing::Held, now))?;
            }
            line_up(rows, run)?;
            wait(rows, run)?;
        }
        RunChange::Delete => delete(rows, run, now)?,
        RunChange::Hold => {
            rows.edit(run, |row| row.stand(Standing::Held, now))?;
        }
        RunChange::Release => {
            rows.edit(run, |row| row.stand(Standing::Waiting, now))?;
            line_up(rows, run)?;
            wait(rows, run)?;
        }
        RunChange::Edit(edit) => {
            if let Some(owner) = keep_to(rows, run, request)? {
                return Ok(RunChanged::KeyTaken(owner));
            }
            self::edit(rows, run, edit, now)?;
        }
        RunChange::Seal => {}
    }
    Ok(RunChanged::Done)
}

/// Whether a run that is no batch can be changed like this.
fn allows(row: &RunRow, change: &RunChange, state: RunState, is_claimed: bool) -> bool {
    // A rule is about to go on with its children.
    if row.has_more_children() {
        return false;
    }
    match change {
        RunChange::Delete | RunChange::Edit(_) => !is_claimed,
        RunChange::Cancel => state.after(RunStep::Cancel).is_some(),
        RunChange::Replay { .. } => {
            state.after(RunStep::Replay).is_some() && !row.is_only_key() && !row.lacks_input()
        }
        RunChange::Hold => state.after(RunStep::Hold).is_some(),
        RunChange::Release => {
            let waits_for_other = row.behind().is_some() || row.follows();
            state.after(RunStep::Release).is_some() && !waits_for_other && !row.lacks_input()
        }
        RunChange::Seal => false,
    }
}

/// A batch can only be sealed, cancelled and, after its end, deleted.
fn change_batch<R: Rows>(
    rows: &mut R,
    batch: Id<RunRow>,
    change: &RunChange,
    state: RunState,
) -> Answer<R, RunChanged> {
    let is_open = state != RunState::Ended;
    let is_busy = rows.get(batch)?.is_some_and(RunRow::has_more_children);
    match change {
        RunChange::Seal if is_open => seal(rows, batch)?,
        RunChange::Cancel if is_open => cancel(rows, batch)?,
        RunChange::Delete if !is_open && !is_busy => rows.remove(batch)?,
        _ => return Ok(RunChanged::Refused(state)),
    }
    Ok(RunChanged::Done)
}

/// Puts a waiting run into its place and wakes the nodes.
fn wait<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    rows.show_run(run)?;
    rows.wake();
    Ok(())
}

/// The key, the limits and the sequence that the new argument makes. Answers the run that has the new key, if another one has; then nothing is
/// changed.
fn keep_to<R: Rows>(rows: &mut R, run: Id<RunRow>, request: &ChangeRuns) -> Answer<R, Option<RunId>> {
    let Some(row) = rows.get(run)? else { return Ok(None) };
    let Some(terms) = request.terms.get(&row.id) else { return Ok(None) };
    let (id, gates, is_over) = (row.id, terms.gates(&row.gates()), row.end().is_some());
    // A run that waits behind another one of its key, or before one, stays there.
    let is_alone = !row.is_followed() && !row.follows();
    let key = terms.key(row.key()).filter(|_| is_alone);
    let sequence = terms.sequence(row.sequence());
    if let Some(key) = key {
        let owner = if is_over { None } else { owner(rows, key.id, id, request.now)? };
        if let Some(owner) = owner {
            return Ok(rows.get(owner)?.map(|row| row.id));
        }
        rows.edit(run, |row| row.set_key(key.clone()))?;
    }
    if let Some(sequence) = sequence {
        let was_behind = rows.get(run)?.is_some_and(|row| row.behind().is_some());
        leave_line(rows, run)?;
        rows.edit(run, |row| row.join_later(sequence.clone(), was_behind))?;
        line_up(rows, run)?;
    }
    if rows.get(run)?.is_some_and(|row| row.gates() != gates) {
        rows.edit(run, |row| row.set_gates(gates.clone()))?;
    }
    Ok(None)
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
