//! Retries of occurrences, noted with their triggers, and held while those are paused.

use crate::key::TriggerKey;
use crate::store::rows::*;
use crate::store::state::StoredState;

/// An occurrence of this trigger is to be stored as a run.
pub(super) fn note_retry<R: Rows>(rows: &mut R, key: &TriggerKey) -> Answer<R, ()> {
    match rows.trigger(key)? {
        Some(trigger) => rows.edit(trigger, |row| row.retried = true).map(drop),
        None => Ok(()),
    }
}

/// Whether there is a trigger of this name that is paused.
pub fn is_paused<R: Rows>(rows: &mut R, key: &TriggerKey) -> Answer<R, bool> {
    let Some(trigger) = rows.trigger(key)? else { return Ok(false) };
    Ok(rows.get(trigger)?.is_some_and(|row| row.state == StoredState::Paused))
}

/// A run is due that nobody has claimed: if it tries an occurrence of a paused trigger again, it is held until the trigger is resumed. Says
/// whether it is.
pub fn hold_if_paused<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, bool> {
    let Some(key) = rows.get(run)?.and_then(|row| row.occurrence_of().cloned()) else { return Ok(false) };
    if !is_paused(rows, &key)? {
        return Ok(false);
    }
    note_retry(rows, &key)?;
    rows.edit(run, RunRow::hold_for_trigger)?;
    Ok(true)
}

/// The trigger is about to be paused no more, or to go: its occurrences that were held for it wait for their retry.
pub(super) fn release_held<R: Rows>(rows: &mut R, trigger: Id<TriggerRow>) -> Answer<R, ()> {
    let holds = |row: &&TriggerRow| row.retried && row.state == StoredState::Paused;
    let Some(row) = rows.get(trigger)?.filter(holds) else { return Ok(()) };
    let tag = RunTag::RetryOf(row.trigger.key().clone());
    let retries = rows.tagged(&tag)?;
    for run in retries {
        if rows.get(run)?.is_some_and(RunRow::is_paused) {
            rows.edit(run, RunRow::release)?;
            rows.show_run(run)?;
            rows.wake();
        }
    }
    Ok(())
}
