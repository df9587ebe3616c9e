//! Sequences: runs that run one after the other, in the order of their arrival.

use crate::run::{KeyId, RunId};
use crate::store::rows::*;

/// The first run of a sequence, apart from this one.
fn first_of<R: Rows>(rows: &mut R, sequence: KeyId, except: RunId) -> Answer<R, Option<Id<RunRow>>> {
    for run in rows.tagged(&RunTag::FirstOf(sequence))? {
        if rows.get(run)?.is_some_and(|row| row.id != except) {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// A run that waits for nothing else joins its sequence, if it has one and is not in it yet: it waits behind the last run of it.
pub(super) fn line_up<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    let joins = |row: &&RunRow| row.line_place() == LinePlace::Out && row.standing == Standing::Waiting;
    let Some(row) = rows.get(run)?.filter(joins) else { return Ok(()) };
    let (id, Some(sequence)) = (row.id, row.sequence().map(|sequence| sequence.id)) else { return Ok(()) };
    let Some(first) = first_of(rows, sequence, id)? else {
        rows.edit(run, |row| row.set_line_place(LinePlace::First(None)))?;
        return Ok(());
    };
    let last = rows.edit(first, |row| {
        let last = match row.line_place() {
            LinePlace::First(Some(last)) => last,
            _ => row.id,
        };
        row.set_line_place(LinePlace::First(Some(id)));
        last
    })?;
    rows.edit(run, |row| row.line_up_behind(last.unwrap_or(id)))?;
    Ok(())
}

/// A run leaves its sequence, since it is over or goes. If it was the first, the next one waits for its due time; otherwise whoever came
/// after it comes after the one before it.
pub(super) fn leave_line<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    let Some(row) = rows.get(run)?.filter(|row| row.line_place() != LinePlace::Out) else { return Ok(()) };
    let (id, place, sequence) = (row.id, row.line_place(), row.sequence().map(|sequence| sequence.id));
    rows.edit(run, |row| row.set_line_place(LinePlace::Out))?;
    let next = rows.tagged(&RunTag::Behind(id))?.first().copied();
    match (place, next) {
        (LinePlace::First(last), Some(next)) => {
            rows.edit(next, |row| {
                row.set_line_place(LinePlace::First(last.filter(|last| *last != row.id)));
                row.release();
            })?;
            rows.show_run(next)?;
            rows.wake();
        }
        (LinePlace::Behind(before), Some(next)) => {
            rows.edit(next, |row| row.set_line_place(LinePlace::Behind(before)))?;
        }
        (LinePlace::Behind(before), None) => {
            let first = match sequence {
                Some(sequence) => first_of(rows, sequence, id)?,
                None => None,
            };
            if let Some(first) = first {
                let last = |row: &RunRow| Some(before).filter(|before| *before != row.id);
                rows.edit(first, |row| row.set_line_place(LinePlace::First(last(row))))?;
            }
        }
        (LinePlace::First(_) | LinePlace::Out, _) => {}
    }
    Ok(())
}
