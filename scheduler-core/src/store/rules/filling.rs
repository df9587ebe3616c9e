//! Runs that are due and find a limit full.

use chrono::{DateTime, Utc};

use super::recording::{append, not_begun};
use super::settling::finish;
use super::steps::each;
use crate::job::CancelReason;
use crate::key::JobKey;
use crate::run::{GateId, RunEnd, RunId, WhenFull};
use crate::store::firings::FiringReason;
use crate::store::limits::FullLimit;
use crate::store::rows::*;

/// What becomes of a run that waits at a gate since it found no room there. A driver calls it for those of which the gate says anything but
/// [wait](WhenFull::Wait). Returns the runs that have ended.
pub fn meet_full_limit<R: Rows>(
    rows: &mut R,
    full: &FullLimit,
    session: u64,
    now: DateTime<Utc>,
) -> Answer<R, Vec<(RunId, JobKey)>> {
    let Some((run, when_full)) = waits(rows, full.run, &full.limit)? else { return Ok(Vec::new()) };
    let superseded = match when_full {
        WhenFull::Wait => Vec::new(),
        WhenFull::Skip => vec![run],
        WhenFull::CancelRunning => {
            cancel_oldest(rows, &full.limit)?;
            Vec::new()
        }
        WhenFull::KeepNewest | WhenFull::KeepOldest => {
            let others = full.waiting.iter().copied().filter(|other| *other != full.run);
            let others = each(rows, others, |rows, other| waits(rows, other, &full.limit))?;
            let rivals = others.into_iter().flatten().filter(|(_, other)| *other == when_full);
            let mut all = vec![run];
            all.extend(rivals.map(|(run, _)| run));
            let mut all =
                each(rows, all, |rows, run| Ok(rows.get(run)?.map(|row| ((row.due, row.id), run))))?;
            all.sort_unstable_by_key(|known| known.map(|(rank, _)| rank));
            let stays = if when_full == WhenFull::KeepNewest { all.len() - 1 } else { 0 };
            all.remove(stays);
            all.into_iter().flatten().map(|(_, run)| run).collect()
        }
    };
    let ended = each(rows, superseded, |rows, run| supersede(rows, run, &full.limit, session, now))?;
    Ok(ended.into_iter().flatten().collect())
}

/// A run that waits for this gate, and what is to become of it when the gate is full.
fn waits<R: Rows>(rows: &mut R, run: RunId, limit: &GateId) -> Answer<R, Option<(Id<RunRow>, WhenFull)>> {
    let Some(run) = rows.run(run)? else { return Ok(None) };
    if rows.claim_of(run)?.is_some() {
        return Ok(None);
    }
    let gates = rows.get(run)?.filter(|row| row.place().is_some()).map(RunRow::gates).unwrap_or_default();
    Ok(gates.iter().find(|gate| gate.id == *limit).map(|gate| (run, gate.when_full)))
}

fn supersede<R: Rows>(
    rows: &mut R,
    run: Id<RunRow>,
    limit: &GateId,
    session: u64,
    now: DateTime<Utc>,
) -> Answer<R, Option<(RunId, JobKey)>> {
    let Some(row) = rows.get(run)? else { return Ok(None) };
    let ended = (row.id, row.job.clone());
    let mut record = not_begun(row, FiringReason::Superseded, session, now);
    record.failure = Some(format!("limit `{limit}` was full").into());
    append(rows, record.into());
    finish(rows, run, RunEnd::Superseded, now)?;
    Ok(Some(ended))
}

/// Asks the attempt to stop that has held the gate for the longest time, of those that nobody has asked yet.
fn cancel_oldest<R: Rows>(rows: &mut R, limit: &GateId) -> Answer<R, ()> {
    let holders =
        rows.claims(|_, claim| claim.cancel.is_none() && claim.gates.iter().any(|gate| gate.id == *limit))?;
    let since = each(rows, holders, |rows, id| Ok(rows.get(id)?.map(|claim| (claim.since, id))))?;
    match since.into_iter().flatten().min() {
        Some((_, oldest)) => {
            rows.edit(oldest, |claim| claim.cancel = Some(CancelReason::Requested)).map(drop)
        }
        None => Ok(()),
    }
}
