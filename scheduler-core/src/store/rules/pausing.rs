//! Pauses, and what ends them.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::steps::{each, pause_trigger, step};
use crate::key::TriggerKey;
use crate::matcher::Text;
use crate::store::admin::{GroupKind, Pause, PauseNote, PausedQueue, Selection};
use crate::store::pauses::Pauses;
use crate::store::rows::*;
use crate::store::state::Step;

/// Pauses triggers and remembers groups; says which triggers changed, in the order of their keys.
pub fn pause<R: Rows>(rows: &mut R, request: &Pause) -> Answer<R, Vec<TriggerKey>> {
    remember(rows, request)?;
    pause_selected(rows, request)
}

/// The part of a pause that holds for the triggers that are there.
pub fn pause_selected<R: Rows>(rows: &mut R, request: &Pause) -> Answer<R, Vec<TriggerKey>> {
    let by_name = matches!(request.what, Selection::Trigger(_));
    let selected = rows.selected(&request.what)?;
    let paused = each(rows, selected, |rows, id| {
        if pause_again(rows, id, &request.note, by_name)? { key_of(rows, id) } else { Ok(None) }
    })?;
    Ok(sorted(paused))
}

/// The part of a pause that holds for triggers to come. A driver on which others store triggers between the two commits it first.
pub fn remember<R: Rows>(rows: &mut R, request: &Pause) -> Answer<R, ()> {
    let note = &request.note;
    match &request.what {
        Selection::TriggerGroup(groups) => remember_groups(rows, GroupKind::Triggers, groups, note),
        Selection::JobGroup(groups) => remember_groups(rows, GroupKind::Jobs, groups, note),
        Selection::All => {
            let groups = names(rows, GroupKind::Triggers)?;
            rows.edit_pauses(|pauses| pauses.remember_all(&groups, note))
        }
        Selection::Trigger(_) | Selection::Job(_) => Ok(()),
    }
}

fn sorted(keys: Vec<Option<TriggerKey>>) -> Vec<TriggerKey> {
    let mut keys: Vec<_> = keys.into_iter().flatten().collect();
    keys.sort_unstable();
    keys
}

/// A pause of several does not shorten one that is there.
fn pause_again<R: Rows>(
    rows: &mut R,
    id: Id<TriggerRow>,
    note: &PauseNote,
    by_name: bool,
) -> Answer<R, bool> {
    let end = |note: &PauseNote| note.until.unwrap_or(DateTime::<Utc>::MAX_UTC);
    let known = rows.get(id)?.and_then(TriggerRow::pause);
    let stays = known.is_some_and(|known| !by_name && end(known) >= end(note));
    Ok(!stays && pause_trigger(rows, id, note)?)
}

/// Resumes triggers and forgets groups; says which triggers changed, in the order of their keys.
pub fn resume<R: Rows>(rows: &mut R, what: &Selection) -> Answer<R, Vec<TriggerKey>> {
    forget(rows, what)?;
    resume_selected(rows, what)
}

/// The part of a resumption that holds for the triggers that are there.
pub fn resume_selected<R: Rows>(rows: &mut R, what: &Selection) -> Answer<R, Vec<TriggerKey>> {
    let of_groups = matches!(what, Selection::TriggerGroup(_));
    let selected = rows.selected(what)?;
    let resumed = each(rows, selected, |rows, id| {
        let Some(trigger) = rows.get(id)?.map(|row| row.trigger.clone()) else { return Ok(None) };
        // Their jobs are still paused.
        let stays = of_groups && rows.pauses()?.is_job_group_paused(trigger.job().group());
        Ok((!stays && step(rows, id, Step::Resume, None)?).then(|| trigger.key().clone()))
    })?;
    Ok(sorted(resumed))
}

/// The part of a resumption that holds for triggers to come; see [`remember`].
pub fn forget<R: Rows>(rows: &mut R, what: &Selection) -> Answer<R, ()> {
    match what {
        Selection::TriggerGroup(groups) => {
            let existing = names(rows, GroupKind::Triggers)?;
            rows.edit_pauses(|pauses| pauses.forget(GroupKind::Triggers, groups, &existing))
        }
        Selection::JobGroup(groups) => rows.edit_pauses(|pauses| pauses.forget(GroupKind::Jobs, groups, &[])),
        Selection::All => rows.edit_pauses(Pauses::forget_all),
        Selection::Trigger(_) | Selection::Job(_) => Ok(()),
    }
}

/// Pauses a queue; says whether it was not paused before.
pub fn pause_queue<R: Rows>(rows: &mut R, queue: &Arc<str>, note: &PauseNote) -> Answer<R, bool> {
    rows.edit_pauses(|pauses| pauses.pause_queue(queue.clone(), note.clone()))
}

/// Resumes a queue; says whether it was paused.
pub fn resume_queue<R: Rows>(rows: &mut R, queue: &str) -> Answer<R, bool> {
    if !rows.pauses()?.queues().contains_key(queue) {
        return Ok(false);
    }
    rows.wake();
    rows.edit_pauses(|pauses| pauses.resume_queue(queue))
}

/// The queues that are paused, in the order of their names.
pub fn paused_queues<R: Rows>(rows: &mut R) -> Answer<R, Vec<PausedQueue>> {
    let paused =
        |(name, note): (&Arc<str>, &PauseNote)| PausedQueue { name: name.clone(), note: note.clone() };
    Ok(rows.pauses()?.queues().iter().map(paused).collect())
}

/// Clears the error of a trigger; says whether it was in error. It is paused if its group is.
pub fn reset<R: Rows>(rows: &mut R, key: &TriggerKey) -> Answer<R, bool> {
    let Some(id) = rows.trigger(key)? else { return Ok(false) };
    let was_in_error = step(rows, id, Step::Reset, None)?;
    if was_in_error {
        pause_at_birth(rows, id)?;
    }
    Ok(was_in_error)
}

/// Pauses a trigger whose group, or that of its job, is remembered as paused.
pub(super) fn pause_at_birth<R: Rows>(rows: &mut R, id: Id<TriggerRow>) -> Answer<R, ()> {
    let Some(trigger) = rows.get(id)?.map(|row| row.trigger.clone()) else { return Ok(()) };
    let note = rows.pauses()?.at_birth(trigger.key().group(), trigger.job().group()).cloned();
    if let Some(note) = note {
        pause_trigger(rows, id, &note)?;
    }
    Ok(())
}

fn remember_groups<R: Rows>(rows: &mut R, kind: GroupKind, groups: &Text, note: &PauseNote) -> Answer<R, ()> {
    let groups = match groups {
        Text::Is(group) => vec![group.clone()],
        pattern => names(rows, kind)?.into_iter().filter(|group| pattern.matches(group)).collect(),
    };
    rows.edit_pauses(|pauses| pauses.remember(kind, &groups, note))
}

fn names<R: Rows>(rows: &mut R, kind: GroupKind) -> Answer<R, Vec<Arc<str>>> {
    Ok(rows.groups(kind)?.into_keys().collect())
}

fn key_of<R: Rows>(rows: &mut R, id: Id<TriggerRow>) -> Answer<R, Option<TriggerKey>> {
    Ok(rows.get(id)?.map(|row| row.trigger.key().clone()))
}
