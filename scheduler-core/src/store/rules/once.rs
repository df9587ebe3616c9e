//! Runs that begin at most once.

use chrono::{DateTime, Utc};

use super::firing::release;
use super::settling::finish;
use crate::job::ExecutionId;
use crate::run::{Delivery, RunEnd, RunId};
use crate::store::rows::*;

/// A run that was interrupted and must not begin twice is cancelled.
pub(super) fn end_if_once<R: Rows>(rows: &mut R, run: RunId, now: DateTime<Utc>) -> Answer<R, ()> {
    let Some(run) = rows.run(run)? else { return Ok(()) };
    let waits = |row: &RunRow| row.standing == Standing::Waiting && row.delivery() == Delivery::AtMostOnce;
    match rows.get(run)?.is_some_and(waits) {
        true => finish(rows, run, RunEnd::Cancelled, now),
        false => Ok(()),
    }
}

/// Gives back a claim of a node that has ended. Nobody says whether the attempt has begun, so a run that must not begin twice is cancelled.
pub fn release_at_end<R: Rows>(rows: &mut R, claim: ExecutionId) -> Answer<R, ()> {
    let row = rows.get(Id::of(claim))?.filter(|row| row.session == claim.session());
    let run = row.and_then(|row| match row.item {
        Item::Run(run) => Some((run, row.since)),
        Item::Trigger(_) => None,
    });
    release(rows, claim)?;
    run.map_or(Ok(()), |(run, since)| end_if_once(rows, run, since))
}
