//! Runs that are stored already when somebody enqueues one of the same id or key.

use std::time::Duration;

use crate::run::RunId;
use crate::store::rows::*;

/// Whether a run of this id is stored, so that another one is not stored in its place.
pub(super) fn is_stored<R: Rows>(rows: &mut R, id: RunId) -> Answer<R, bool> {
    match rows.run(id)? {
        Some(run) => Ok(rows.get(run)?.is_some_and(|row| !row.is_spent())),
        None => Ok(false),
    }
}

/// Somebody wants a run that is stored already to be kept for so long after its end. An attempt that is under way was claimed before, so its
/// claim learns of it.
pub(super) fn keep_for<R: Rows>(rows: &mut R, run: Id<RunRow>, keep: Option<Duration>) -> Answer<R, ()> {
    let Some(keep) = keep else { return Ok(()) };
    if !rows.get(run)?.is_some_and(|row| row.end().is_none() && row.is_kept_for_less(keep)) {
        return Ok(());
    }
    if let Some(claim) = rows.claim_of(run)? {
        rows.edit(claim, |claim| claim.linked = true)?;
    }
    rows.edit(run, |row| row.keep_for(keep)).map(drop)
}
