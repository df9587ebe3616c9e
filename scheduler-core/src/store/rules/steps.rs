//! Steps that several rules take.

use chrono::{DateTime, Utc};

use super::holding::release_held;
use crate::key::JobKey;
use crate::store::admin::{PauseNote, Removed, Selection};
use crate::store::rows::*;
use crate::store::state::{Step, StoredState};

/// Takes an unfired claim away from a trigger, so that nobody waits for it.
pub(super) fn withdraw<R: Rows>(rows: &mut R, trigger: Id<TriggerRow>) -> Answer<R, ()> {
    if rows.get(trigger)?.is_none_or(|row| row.next().is_none()) {
        // Nobody claims what is never due.
        return Ok(());
    }
    match rows.unfired(trigger)? {
        Some(claim) => end_claim(rows, claim),
        None => Ok(()),
    }
}

/// Forgets a claim and, if it held its job, lets the job's next trigger come up.
pub(super) fn end_claim<R: Rows>(rows: &mut R, id: Id<ClaimRow>) -> Answer<R, ()> {
    let Some(claim) = rows.get(id)? else { return Ok(()) };
    let job = claim.exclusive.then(|| claim.trigger.job().clone());
    rows.remove(id)?;
    job.map_or(Ok(()), |job| rows.free(&job))
}

/// The trigger has one run less, also if another one has taken the place of the one that was fired.
pub(super) fn end_run<R: Rows>(
    rows: &mut R,
    id: Id<TriggerRow>,
    lineage: u64,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    let counts = |row: &&TriggerRow| row.running > 0 && row.lineage() == lineage;
    let Some(row) = rows.get(id)?.filter(counts) else { return Ok(()) };
    let waits = row.trigger.overlap().waits();
    rows.edit(id, |row| {
        row.running -= 1;
        row.superseded &= row.running > 0;
        if waits && row.next().is_some_and(|due| due <= now) {
            row.set_freed(Some(now));
        }
    })?;
    if waits {
        rows.wake();
    }
    Ok(())
}

/// Takes a step of the table of states; says whether it was legal. The note is that of a pause.
pub(super) fn step<R: Rows>(
    rows: &mut R,
    id: Id<TriggerRow>,
    with: Step,
    note: Option<&PauseNote>,
) -> Answer<R, bool> {
    let Some(next) = rows.get(id)?.and_then(|row| row.state.after(with)) else { return Ok(false) };
    withdraw(rows, id)?;
    if next != StoredState::Paused {
        release_held(rows, id)?;
    }
    rows.edit(id, |row| {
        row.state = next;
        row.epoch = row.epoch.wrapping_add(1);
        row.set_pause(note.filter(|_| next == StoredState::Paused).cloned());
    })?;
    rows.show(id)?;
    Ok(true)
}

/// Pauses a trigger; one that is paused already has another note from now on, and counts as unchanged.
pub(super) fn pause_trigger<R: Rows>(rows: &mut R, id: Id<TriggerRow>, note: &PauseNote) -> Answer<R, bool> {
    if step(rows, id, Step::Pause, Some(note))? {
        return Ok(true);
    }
    if rows.get(id)?.is_some_and(|row| row.state == StoredState::Paused) {
        rows.edit(id, |row| row.set_pause(Some(note.clone())))?;
    }
    Ok(false)
}

/// A rule for each of several. It goes on after one for which something was not loaded, so that all of that is known at once.
pub fn each<R: Rows, A, T>(
    rows: &mut R,
    all: impl IntoIterator<Item = A>,
    mut rule: impl FnMut(&mut R, A) -> Answer<R, T>,
) -> Answer<R, Vec<T>> {
    let mut missing = None;
    let mut answers = Vec::new();
    for one in all {
        match rule(rows, one) {
            Ok(answer) => answers.push(answer),
            Err(error) => missing = Some(error),
        }
    }
    missing.map_or(Ok(answers), Err)
}

/// Takes the step for all triggers of a job.
pub(super) fn step_job<R: Rows>(rows: &mut R, job: &JobKey, with: Step) -> Answer<R, ()> {
    let triggers = rows.selected(&Selection::Job(job.clone()))?;
    each(rows, triggers, |rows, id| step(rows, id, with, None))?;
    Ok(())
}

/// Removes a trigger and says whether that was the last one of a job that is not durable, which goes with it.
pub(super) fn remove_at<R: Rows>(rows: &mut R, id: Id<TriggerRow>) -> Answer<R, Removed> {
    let Some(job) = rows.get(id)?.map(|row| row.job) else { return Ok(Removed::default()) };
    let goes = rows.get(job)?.is_some_and(|job| !job.detail.durable());
    let job_removed = goes && !rows.has_several(job)?;
    take_out(rows, id)?;
    if job_removed {
        rows.remove(job)?;
    }
    Ok(Removed { found: true, job_removed })
}

/// Removes a trigger; its job stays.
pub(super) fn take_out<R: Rows>(rows: &mut R, id: Id<TriggerRow>) -> Answer<R, ()> {
    withdraw(rows, id)?;
    release_held(rows, id)?;
    rows.remove(id)
}
