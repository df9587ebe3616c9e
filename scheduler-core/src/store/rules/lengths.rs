//! The maximum length of a queue.

use std::collections::{BTreeMap, HashSet};

use super::batching::{is_repeated, open_starts, refuse_strangers};
use super::keying::{is_taken, refuse};
use super::running::enqueue;
use super::settling::refuse_orphans;
use super::steps::each;
use super::tallying::membership;
use crate::error::Error;
use crate::store::rows::*;
use crate::store::runs::{Enqueued, NewRun};

/// Stores the runs of a call, all of them or none, or says why they must not be stored.
pub fn enqueue_all<R: Rows>(rows: &mut R, runs: Vec<NewRun>) -> Answer<R, Result<Vec<Enqueued>, Error>> {
    if is_repeated(rows, &runs)? {
        return Ok(Ok(runs.iter().map(|run| Enqueued::Existing(run.id)).collect()));
    }
    match check_enqueue(rows, &runs)? {
        Some(error) => Ok(Err(error)),
        None => each(rows, runs, enqueue).map(Ok),
    }
}

/// Why these runs must not be stored: one waits for a run that is not there, a batch takes no more runs, too many would wait in a queue, or the key of one is taken and
/// that is an error.
fn check_enqueue<R: Rows>(rows: &mut R, runs: &[NewRun]) -> Answer<R, Option<Error>> {
    if let Some(orphan) = refuse_orphans(rows, runs)? {
        return Ok(Some(orphan));
    }
    if let Some(stranger) = refuse_strangers(rows, runs)? {
        return Ok(Some(stranger));
    }
    match full_queue(rows, runs)? {
        Some(full) => Ok(Some(full)),
        None => refuse(rows, runs),
    }
}

/// Whether the run is in a batch that is not sealed, and waits for that.
fn is_held<R: Rows>(rows: &mut R, run: &NewRun, call: &[NewRun]) -> Answer<R, bool> {
    let Some(member) = membership(run) else { return Ok(false) };
    let of_call = call.iter().find(|other| other.id == member.batch).and_then(|batch| batch.opens);
    match of_call {
        Some(opens) if opens.start.is_some() => Ok(true),
        _ => Ok(!open_starts(rows, member.batch)?.is_empty()),
    }
}

/// Why these runs must not be stored, if more would wait in a queue then than [may](NewRun::most_waiting). A run that is stored already does not count, and neither does one
/// whose key another run has.
fn full_queue<R: Rows>(rows: &mut R, runs: &[NewRun]) -> Answer<R, Option<Error>> {
    let (mut new, mut seen, mut keys) = (BTreeMap::new(), HashSet::new(), HashSet::new());
    for run in runs {
        let (Some(queue), Some(most)) = (&run.queue, run.most_waiting) else { continue };
        // A run that is held does not wait.
        if !run.after.is_empty() || run.opens.is_some() || !seen.insert(run.id) || is_held(rows, run, runs)? {
            continue;
        }
        let is_stored = match rows.run(run.id)? {
            // Its record is only kept for people, and the new run takes its place.
            Some(known) => !rows.get(known)?.is_some_and(RunRow::is_spent),
            None => is_taken(rows, run)?,
        };
        // Of several runs of a call with one key, one waits.
        let key = run.unique.as_ref().map(|unique| unique.key.id);
        let is_stored = is_stored || key.is_some_and(|key| !keys.insert(key));
        let (count, least) = new.entry(queue.clone()).or_insert((0, most));
        *count += usize::from(!is_stored);
        *least = most.min(*least);
    }
    for (queue, (count, most)) in new {
        // A repeated call is answered, however many wait.
        if count == 0 {
            continue;
        }
        if let Err(waiting) = rows.room_in(&queue, count, most)? {
            return Ok(Some(Error::full_queue(&queue, waiting, most, count)));
        }
    }
    Ok(None)
}
