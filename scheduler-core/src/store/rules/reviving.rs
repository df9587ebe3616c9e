//! Runs that are replayed, and the runs that were cancelled with them and are held again.

use chrono::{DateTime, Utc};

use super::keying::taken_by;
use super::steps::each;
use crate::run::RunId;
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
    rows.edit(child, RunRow::hold_again).map(drop)
}
