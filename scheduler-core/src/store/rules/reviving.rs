//! Runs that are replayed, and the runs that were cancelled with them and are held again.

use chrono::{DateTime, Utc};

use super::keying::taken_by;
use super::steps::each;
use crate::run::{BatchCounts, RunEnd, RunId};
use crate::store::batches::MOST_DEPTH;
use crate::store::rows::*;

/// A run is replayed: the runs that were cancelled since it has not ended as it has to are held again. With more than `most` of them the
/// run is held itself until all of them are.
pub(super) fn hold_children_again<R: Rows>(
    rows: &mut R,
    parent: Id<RunRow>,
    now: DateTime<Utc>,
    most: usize,
) -> Answer<R, bool> {
    let Some(id) = rows.get(parent)?.filter(|row| row.has_unmet_children()).map(|row| row.id) else {
        return Ok(true);
    };
    let (children, may_be_more) = rows.some_tagged(&RunTag::UnmetBy(id), most)?;
    each(rows, children, |rows, child| hold_again(rows, child, id, now))?;
    rows.edit(parent, |row| {
        row.become_parent();
        row.set_unmet_children(may_be_more);
        row.set_more_children(may_be_more);
    })?;
    Ok(!may_be_more)
}

fn hold_again<R: Rows>(rows: &mut R, child: Id<RunRow>, parent: RunId, now: DateTime<Utc>) -> Answer<R, ()> {
    rows.edit(child, |row| row.wait_again_for(parent))?;
    if rows.get(child)?.is_none_or(RunRow::is_unmet) {
        return Ok(());
    }
    if taken_by(rows, child, now)?.is_some() {
        return rows.edit(child, RunRow::give_up_parents).map(drop);
    }
    let member = rows.get(child)?.and_then(|row| Some((row.member_of(), row.end()?)));
    rows.edit(child, RunRow::hold_again)?;
    member.map_or(Ok(()), |member| note_replay(rows, member))
}

/// A run of this batch, which has ended like this, is to run again. The batch has not ended then, and neither has the one that it is in. What
/// was cancelled with the end of a batch is held again by the alarm of the batch.
pub(super) fn note_replay<R: Rows>(
    rows: &mut R,
    (mut batch, mut end): (Option<RunId>, RunEnd),
) -> Answer<R, ()> {
    for _ in 0..=MOST_DEPTH {
        let Some(id) = batch else { return Ok(()) };
        rows.tally(id, BatchCounts::ended(end, -1));
        let Some(run) = rows.run(id)? else { return Ok(()) };
        let Some((outer, Some(ended))) = rows.get(run)?.map(|row| (row.member_of(), row.end())) else {
            return Ok(());
        };
        (batch, end) = (outer, ended);
        rows.edit(run, RunRow::reopen_batch)?;
        rows.wake();
    }
    Ok(())
}
