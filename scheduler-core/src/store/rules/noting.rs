//! What attempts under way note.

use crate::store::firing::RunNote;
use crate::store::rows::*;

/// Stores what an attempt has noted: in the row of its run, or in the claim if the firing of a trigger has no such row yet. Says whether
/// the claim is still good.
pub fn note<R: Rows>(rows: &mut R, note: RunNote) -> Answer<R, bool> {
    let RunNote { claim, notes } = note;
    let id = Id::of(claim);
    let is_good = |row: &&ClaimRow| row.session == claim.session() && row.fired && !row.run_removed;
    let Some((item, epoch)) = rows.get(id)?.filter(is_good).map(|row| (row.item, row.epoch)) else {
        return Ok(false);
    };
    let Item::Run(run) = item else {
        return Ok(rows
            .edit(id, |row| row.noted.get_or_insert_default().take(claim.count(), notes))?
            .is_some());
    };
    let Some(run) = rows.run(run)? else { return Ok(false) };
    if rows.get(run)?.is_none_or(|row| row.epoch != epoch) {
        return Ok(false);
    }
    Ok(rows.edit(run, |row| row.note(claim, notes))?.is_some())
}
