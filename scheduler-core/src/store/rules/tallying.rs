//! What becomes of a run, as its batch counts it.

use crate::run::{BatchCounts, RunEnd, RunId};
use crate::store::batches::InBatch;
use crate::store::rows::*;
use crate::store::runs::{Enqueued, NewRun};

/// The batch that a new run is in.
pub(super) fn membership(run: &NewRun) -> Option<InBatch> {
    run.batch.filter(|member| !member.is_callback)
}

/// How deep a new run is, if it is a batch.
pub(super) fn depth_of<R: Rows>(rows: &mut R, new: &NewRun) -> Answer<R, u32> {
    let (Some(member), true) = (membership(new), new.opens.is_some()) else { return Ok(0) };
    match rows.run(member.batch)? {
        Some(batch) => Ok(rows.get(batch)?.map_or(0, |row| row.depth().saturating_add(1))),
        None => Ok(0),
    }
}

/// A run of a batch was to be stored, and this has become of it.
pub(super) fn note_added<R: Rows>(
    rows: &mut R,
    member: Option<InBatch>,
    id: RunId,
    answer: Enqueued,
) -> Answer<R, ()> {
    let Some(member) = member.filter(|member| !member.is_callback) else { return Ok(()) };
    match answer {
        Enqueued::Created => {
            rows.tally(member.batch, BatchCounts::added());
            let end = match rows.run(id)? {
                Some(run) => rows.get(run)?.and_then(RunRow::end),
                // What it waits for cannot come any more, and nothing is kept of it.
                None => Some(RunEnd::Cancelled),
            };
            end.into_iter().for_each(|end| rows.tally(member.batch, BatchCounts::ended(end, 1)));
        }
        Enqueued::Existing(other) | Enqueued::Replaced(other) if other != id => {
            rows.tally(member.batch, BatchCounts::skipped());
        }
        _ => {}
    }
    Ok(())
}

/// A run is about to end like this: its batch counts that.
pub(super) fn note_end<R: Rows>(rows: &mut R, run: Id<RunRow>, end: RunEnd) -> Answer<R, ()> {
    let batch = rows.get(run)?.filter(|row| row.end().is_none()).and_then(RunRow::member_of);
    batch.into_iter().for_each(|batch| rows.tally(batch, BatchCounts::ended(end, 1)));
    Ok(())
}
