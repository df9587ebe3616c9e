//! What does not fit together any more, since somebody has changed or lost rows outside of the rules.

use std::sync::Arc;

use super::putting::home;
use super::steps::step;
use crate::key::TriggerKey;
use crate::store::rows::*;
use crate::store::state::{Step, StoredState};

/// A fault of a trigger's row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsound {
    /// Its job is not there.
    NoJob,
    /// Its calendar of this name is not there.
    NoCalendar(Arc<str>),
    /// It does not stand where its job wants it to.
    Misplaced,
    /// It counts other runs than there are.
    Runs {
        /// As many as it counts.
        counted: u32,
        /// As many as are there.
        there: u32,
    },
}

/// Says what is the matter with a trigger, and mends it if that is wished: what can never fire is put into the error state.
pub fn examine<R: Rows>(rows: &mut R, key: &TriggerKey, mends: bool) -> Answer<R, Vec<Unsound>> {
    let mut found = Vec::new();
    let Some(id) = rows.trigger(key)? else { return Ok(found) };
    let Some(row) = rows.get(id)? else { return Ok(found) };
    let (trigger, state, place) = (row.trigger.clone(), row.state, (row.exclusive, row.lane));
    let (counted, lineage) = (row.running, row.lineage());
    let home = home(rows, &trigger)?;
    if home.is_none() && state != StoredState::Error {
        found.push(Unsound::NoJob);
    }
    if let Some((_, exclusive, lane)) = home.filter(|(_, exclusive, lane)| (*exclusive, *lane) != place) {
        found.push(Unsound::Misplaced);
        if mends {
            rows.edit(id, |row| (row.exclusive, row.lane) = (exclusive, lane))?;
        }
    }
    if let Some(name) = trigger.calendar()
        && state != StoredState::Error
        && rows.calendar(name)?.is_none()
    {
        found.push(Unsound::NoCalendar(name.into()));
    }
    let is_counted = |_, claim: &ClaimRow| claim.counted && claim.is_run_of((id, trigger.key()), lineage);
    let there = u32::try_from(rows.claims(is_counted)?.len()).unwrap_or(u32::MAX);
    if counted != there {
        found.push(Unsound::Runs { counted, there });
        if mends {
            rows.edit(id, |row| {
                row.running = there;
                row.superseded &= there > 0;
            })?;
            rows.wake();
        }
    }
    if mends && found.iter().any(|unsound| matches!(unsound, Unsound::NoJob | Unsound::NoCalendar(_))) {
        step(rows, id, Step::Fail, None)?;
    }
    Ok(found)
}

/// Removes a job that is not durable and has no trigger; says whether it has.
pub fn drop_unused<R: Rows>(rows: &mut R, key: &crate::key::JobKey) -> Answer<R, bool> {
    let Some(id) = rows.job(key)? else { return Ok(false) };
    let goes = rows.get(id)?.is_some_and(|job| !job.detail.durable()) && rows.members(id)? == 0;
    if goes {
        rows.remove(id)?;
    }
    Ok(goes)
}
