//! The ends of attempts of stored runs, and what follows for the runs.

use chrono::{DateTime, Utc};

use super::running::{attempt_of, end_claim_of_run, free_claim_of_run};
use super::settling::finish;
use crate::run::{RunEnd, RunId};
use crate::store::firing::Completion;
use crate::store::rows::*;
use crate::store::runs::Fate;

/// Ends an attempt. Says whether the run follows what the end asks for: no retry and no death comes of a run that somebody has cancelled or
/// removed meanwhile.
pub(super) fn end_attempt<R: Rows>(
    rows: &mut R,
    completion: Completion,
    now: DateTime<Utc>,
) -> Answer<R, bool> {
    let Some((id, run, number)) = attempt_of(rows, completion.execution)? else { return Ok(true) };
    let Some((began, is_removed)) = rows.get(id)?.map(|claim| (claim.since, claim.run_removed)) else {
        return Ok(true);
    };
    let end = match completion.fate {
        Fate::Over => Some(RunEnd::Succeeded),
        Fate::Discarded => Some(RunEnd::Discarded),
        _ => None,
    };
    if let Some(end) = end {
        // Also if somebody has cancelled the run meanwhile: the work is done.
        end_run_of(rows, (id, run, number), end, completion, now)?;
        return Ok(true);
    }
    if let Some(noted) = completion.noted.as_ref().filter(|_| !is_removed)
        && let Some(row) = rows.run(run)?
    {
        rows.edit(row, |row| row.note(completion.execution, (**noted).clone()))?;
    }
    let asks = completion.fate != Fate::Cancelled;
    if end_claim_of_run(rows, id, (run, Some(number)), now)? {
        return Ok(!asks);
    }
    if let Some(run) = rows.run(run)? {
        follow(rows, run, (number, began), completion, now)?;
    }
    Ok(true)
}

/// The work of a run is done: its claim is removed, and the run with it unless somebody is to see its end.
fn end_run_of<R: Rows>(
    rows: &mut R,
    (id, run, number): (Id<ClaimRow>, RunId, u32),
    end: RunEnd,
    completion: Completion,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    let Some((is_removed, linked)) = rows.get(id)?.map(|row| (row.run_removed, row.linked)) else {
        return Ok(());
    };
    free_claim_of_run(rows, id, now)?;
    if is_removed {
        return Ok(());
    }
    if !linked {
        return rows.drop_run(run);
    }
    let Some(run) = rows.run(run)? else { return Ok(()) };
    let Completion { execution, output, noted, .. } = completion;
    rows.edit(run, |row| {
        row.attempts = number;
        row.set_output(output);
        noted.into_iter().for_each(|noted| row.note(execution, *noted));
    })?;
    finish(rows, run, end, now)
}

/// Does to a run what the end of its attempt asks for: another attempt, or an end without success.
fn follow<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    (number, began): (u32, DateTime<Utc>),
    completion: Completion,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    let Completion { fate, resets, interrupted, .. } = completion;
    let (end, error) = match fate {
        Fate::Over | Fate::Discarded => return Ok(()),
        Fate::Cancelled => (RunEnd::Cancelled, None),
        Fate::Dead { error } => (RunEnd::Dead, error),
        Fate::Again { at, counts, error } => {
            rows.edit(run, |row| {
                // An attempt that has got further and does not count leaves none that do.
                row.attempts = match counts {
                    true if resets => 1,
                    true => number,
                    false if resets => 0,
                    false => row.attempts,
                };
                row.wait_for(at, now);
                row.note_beginning();
                row.epoch = row.epoch.wrapping_add(1);
                row.note_begun();
                row.hold_gates();
                // Its node has ended it in order.
                row.set_losses(0);
                if interrupted {
                    row.note_interruption();
                }
                if counts {
                    error.into_iter().for_each(|error| row.push_error(*error));
                    row.note_attempt(began);
                }
            })?;
            rows.show_run(run)?;
            rows.wake();
            return Ok(());
        }
    };
    rows.edit(run, |row| {
        row.attempts = number;
        error.into_iter().for_each(|error| row.push_error(*error));
    })?;
    finish(rows, run, end, now)
}
