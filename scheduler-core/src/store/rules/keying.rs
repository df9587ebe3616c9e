//! Unique runs: who has a key, and what becomes of a run whose key is taken.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::settling::end_expired;
use crate::data::JobData;
use crate::error::Error;
use crate::run::{KeyId, RunId};
use crate::store::new_keys::{Conflict, NewKey};
use crate::store::rows::*;
use crate::store::runs::{Enqueued, NewRun};

/// In the firing record of a run that no node has found expired.
const NOBODY: u64 = 0;

/// The run that has a key, other than this one. A run that has ended may still have its key, since the key is taken for a time, while the
/// run that has waited for its end has the key, too: then that one is the answer.
pub(super) fn owner<R: Rows>(
    rows: &mut R,
    key: KeyId,
    except: RunId,
    now: DateTime<Utc>,
) -> Answer<R, Option<Id<RunRow>>> {
    let mut ended = None;
    for run in rows.tagged(&RunTag::Key(key))? {
        let Some(row) = rows.get(run)?.filter(|row| row.id != except && row.has_key(false, now)) else {
            continue;
        };
        if row.is_expired(now) && rows.claim_of(run)?.is_none() {
            // Nobody has found it yet. The run that has waited for its end has the key by now.
            end_expired(rows, run, NOBODY, now)?;
            return owner(rows, key, except, now);
        }
        let Some(row) = rows.get(run)? else { continue };
        let has_ended = row.end().is_some();
        // Whether a node runs it only matters where that frees the key.
        let has_it = row.has_key(true, now) || rows.claim_of(run)?.is_none();
        match (has_it, has_ended) {
            (true, false) => return Ok(Some(run)),
            (true, true) => ended = Some(run),
            (false, _) => {}
        }
    }
    Ok(ended)
}

/// What becomes of a run that is to be stored, if another one has its key; none if it is to be stored as it is.
pub(super) fn resolve<R: Rows>(rows: &mut R, new: &NewRun) -> Answer<R, Option<Enqueued>> {
    let Some(unique) = new.unique.as_deref() else { return Ok(None) };
    let Some(owner) = owner(rows, unique.key.id, new.id, unique.now)? else { return Ok(None) };
    let Some((id, has_ended)) = rows.get(owner)?.map(|row| (row.id, row.end().is_some())) else {
        return Ok(None);
    };
    let is_of_waiting = matches!(&unique.conflict, Conflict::Replace { of: Some(_), .. });
    match &unique.conflict {
        // A run that waits for others cannot take the place of one that does not.
        Conflict::Follow | Conflict::Replace { .. } if !has_ended && new.after.is_empty() => {}
        _ => return Ok(Some(Enqueued::Existing(id))),
    }
    // The run that waits behind it has later data than it, also if it waits for a retry itself.
    let is_followed = rows.get(owner)?.is_some_and(RunRow::is_followed);
    let next =
        if is_followed { rows.tagged(&RunTag::FollowUp(unique.key.id))?.first().copied() } else { None };
    if let Some(next) = next {
        return replace(rows, next, new, unique).map(Some);
    }
    if rows.claim_of(owner)?.is_none() {
        return replace(rows, owner, new, unique).map(Some);
    }
    if is_of_waiting {
        // The run whose data the new ones were made of runs by now.
        return Ok(Some(Enqueued::Existing(id)));
    }
    rows.edit(owner, |row| row.set_followed(true))?;
    let lane = rows.lane(new.queue.as_ref(), &new.job_type);
    let mut row = RunRow::new(new.clone(), lane);
    row.follow(unique.now);
    rows.add_run(row);
    Ok(Some(Enqueued::Created))
}

/// Why these runs must not be stored, if the key of one is taken and that is an error.
pub(super) fn refuse<R: Rows>(rows: &mut R, runs: &[NewRun]) -> Answer<R, Option<Error>> {
    let mut of_call = BTreeMap::new();
    for run in runs {
        let Some(unique) = run.unique.as_deref() else { continue };
        let earlier = of_call.insert(unique.key.id, run.id).filter(|earlier| *earlier != run.id);
        if unique.conflict != Conflict::Refuse || rows.run(run.id)?.is_some() {
            continue;
        }
        let taken = match (earlier, owner(rows, unique.key.id, run.id, unique.now)?) {
            (Some(earlier), _) => Some(earlier),
            (None, Some(owner)) => rows.get(owner)?.map(|row| row.id),
            (None, None) => None,
        };
        if let Some(taken) = taken {
            let (job, text) = (&run.job, &unique.key.text);
            return Ok(Some(Error::conflict(format!(
                "run {taken} has the key `{text}`, and job `{job}` refuses a second run; wait for its end, cancel it, or say what becomes of the new one by `on_conflict`"
            ))));
        }
    }
    Ok(None)
}

/// Whether another run has the key of a run that is to be stored, so that the new one does not wait beside it.
pub(super) fn is_taken<R: Rows>(rows: &mut R, new: &NewRun) -> Answer<R, bool> {
    match new.unique.as_deref() {
        Some(unique) => Ok(owner(rows, unique.key.id, new.id, unique.now)?.is_some()),
        None => Ok(false),
    }
}

/// A run that waits does what the new one is to do.
fn replace<R: Rows>(rows: &mut R, run: Id<RunRow>, new: &NewRun, unique: &NewKey) -> Answer<R, Enqueued> {
    let Some(row) = rows.get(run)? else { return Ok(Enqueued::Existing(new.id)) };
    let Conflict::Replace { data, of } = &unique.conflict else { return Ok(Enqueued::Existing(row.id)) };
    if of.as_ref().is_some_and(|of| *of != row.data) {
        return Ok(Enqueued::Existing(row.id));
    }
    let latest = row.key().and_then(|key| key.latest).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let due = if unique.keeps_due { row.due } else { new.due.min(latest) };
    let kept: Option<JobData> = (!data).then(|| row.data.clone());
    let id = row.id;
    rows.edit(run, |row| row.replace(new, kept.unwrap_or_else(|| new.data.clone()), (due, unique.now)))?;
    rows.show_run(run)?;
    rows.wake();
    Ok(Enqueued::Replaced(id))
}

/// The run that has the key of this one, if another one has.
pub(super) fn taken_by<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    now: DateTime<Utc>,
) -> Answer<R, Option<RunId>> {
    let Some((id, Some(key))) = rows.get(run)?.map(|row| (row.id, row.key().map(|key| key.id))) else {
        return Ok(None);
    };
    match owner(rows, key, id, now)? {
        Some(owner) => Ok(rows.get(owner)?.map(|row| row.id)),
        None => Ok(None),
    }
}

/// A run that was claimed is given back before it has begun. If its key was only taken until then, and another run has taken it meanwhile,
/// that one keeps it.
pub(super) fn give_back_key<R: Rows>(rows: &mut R, run: Id<RunRow>, now: DateTime<Utc>) -> Answer<R, ()> {
    let is_open = |row: &RunRow| row.key().is_some_and(|key| key.until_started);
    if rows.get(run)?.is_some_and(is_open) && taken_by(rows, run, now)?.is_some() {
        rows.edit(run, RunRow::note_begun)?;
    }
    Ok(())
}
