//! Runs that are stored: enqueued, claimed, ended, lost, cancelled, replayed.

use std::cmp::Reverse;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::batching::wait_for_start;
use super::holding::note_retry;
use super::keying::{give_back_key, resolve};
use super::sequencing::{leave_line, line_up};
use super::settling::{attach, end_expired, finish, release_follow_up, tell_end};
use super::steps::{each, end_claim, end_run};
use super::stored::keep_for;
use super::tallying::{depth_of, note_added, note_end};
use crate::job::{CancelReason, ExecutionId};
use crate::key::{JobKey, TriggerKey};
use crate::run::{AttemptError, BatchCounts, FailureKind, RunEnd, RunId};
use crate::store::rows::*;

use crate::store::new_keys::Conflict;
use crate::store::page::Page;
use crate::store::runs::{AcquiredRun, Cause, Enqueued, Fate, NewRun, RunCursor, RunQuery, RunStatus};

/// A run is attempted again so many times in a row after its node was lost. One that ends every node that it comes to must end some
/// day.
pub const MOST_LOSSES: u32 = 5;

/// Stores a run.
pub fn enqueue<R: Rows>(rows: &mut R, run: NewRun) -> Answer<R, Enqueued> {
    let (member, id) = (run.batch, run.id);
    // The caller merges it into the run that has its key, and that is when it is skipped.
    let is_merged = run.unique.as_deref().is_some_and(|unique| unique.conflict == Conflict::Follow);
    let answer = store(rows, run)?;
    if !(is_merged && matches!(answer, Enqueued::Existing(_))) {
        note_added(rows, member, id, answer)?;
    }
    Ok(answer)
}

fn store<R: Rows>(rows: &mut R, mut run: NewRun) -> Answer<R, Enqueued> {
    if let Some(known) = rows.run(run.id)? {
        if !rows.get(known)?.is_some_and(RunRow::is_spent) {
            keep_for(rows, known, run.keep)?;
            return Ok(Enqueued::Existing(run.id));
        }
        rows.remove(known)?;
    }
    let starts = wait_for_start(rows, &mut run)?;
    if run.unique.is_some()
        && let Some(answer) = resolve(rows, &run)?
    {
        if let Enqueued::Existing(other) | Enqueued::Replaced(other) = answer
            && let Some(other) = rows.run(other)?
        {
            keep_for(rows, other, run.keep)?;
        }
        return Ok(answer);
    }
    let (lane, now) = (rows.lane(run.queue.as_ref(), &run.job_type), run.now.unwrap_or(run.due));
    let depth = depth_of(rows, &run)?;
    let is_ready = run.opens.is_some_and(|batch| batch.is_sealed).then_some(run.id);
    let mut row = RunRow::new(run, lane);
    row.set_depth(depth);
    row.set_starts_of_outer(starts);
    if !row.has_parents() || attach(rows, &mut row, now)? {
        let has_sequence = row.sequence().is_some();
        let id = rows.add_run(row);
        if has_sequence {
            line_up(rows, id)?;
        }
    }
    if let Some(batch) = is_ready {
        // There may be nothing to wait for.
        rows.tally(batch, BatchCounts::default());
        rows.wake();
    }
    Ok(Enqueued::Created)
}

/// The claim of a run that a driver has taken out of its lane, and what its node is told of it.
pub fn claimed_run(row: &RunRow, claim: ExecutionId, now: DateTime<Utc>) -> (ClaimRow, AcquiredRun) {
    let trigger = Arc::new(row.trigger());
    let (session, attempt) = (claim.session(), row.attempts.saturating_add(1));
    let claimed = ClaimRow {
        session,
        item: Item::Run(row.id),
        trigger: trigger.clone(),
        birth: 0,
        lineage: 0,
        epoch: row.epoch,
        attempt,
        exclusive: row.exclusive,
        fired: true,
        counted: false,
        linked: row.is_linked(),
        lapse: now,
        since: now,
        due: row.scheduled(),
        run_removed: false,
        noted: None,
        cancel: None,
        gates: row.gates().of_attempt(),
    };
    let acquired = AcquiredRun {
        claim,
        run: row.id,
        attempt,
        batch: row.batch_of(),
        job: row.detail().cloned(),
        job_type: row.job_type.clone(),
        trigger,
        occurrence_of: row.occurrence_of().cloned(),
        cause: row.cause_of_attempt(),
        due: row.due,
        scheduled: row.scheduled(),
        first: row.first(),
        retry: row.retry().cloned(),
        errors: if row.attempts > 0 { row.errors().to_vec() } else { Vec::new() },
        checkpoint: row.checkpoint().cloned(),
        interruptions: row.interruptions(),
        delivery: row.delivery(),
    };
    (claimed, acquired)
}

/// A run that was claimed and must not begin, since it does not stand where it has to: it is given back, and stands there. Its job may
/// allow one run at a time or not, other than when the run was stored. A run that has expired ends, and is returned. A boosted run that
/// is not due waits until it is.
pub fn resettle<R: Rows>(
    rows: &mut R,
    claim: ExecutionId,
    exclusive: bool,
    now: DateTime<Utc>,
) -> Answer<R, Option<(RunId, JobKey)>> {
    let Some((id, run, _)) = attempt_of(rows, claim)? else { return Ok(None) };
    let Some(since) = rows.get(id)?.map(|row| row.since) else { return Ok(None) };
    if end_claim_of_run(rows, id, (run, None), since)? {
        return Ok(None);
    }
    let Some(run) = rows.run(run)? else { return Ok(None) };
    rows.edit(run, |row| {
        row.exclusive = exclusive;
        row.set_kept_alive(false);
        row.wait_for(row.due, now);
    })?;
    if rows.get(run)?.is_some_and(|row| row.is_expired(now)) {
        return end_expired(rows, run, claim.session(), now);
    }
    give_back_key(rows, run, now)?;
    rows.show_run(run)?;
    Ok(None)
}

/// The row of a claim, its run, and the number of the attempt; none if it is over, or no run.
pub(super) fn attempt_of<R: Rows>(
    rows: &mut R,
    claim: ExecutionId,
) -> Answer<R, Option<(Id<ClaimRow>, RunId, u32)>> {
    let id = Id::of(claim);
    let row = rows.get(id)?.filter(|row| row.session == claim.session());
    Ok(row.and_then(|row| match row.item {
        Item::Run(run) => Some((id, run, row.attempt)),
        Item::Trigger(_) => None,
    }))
}

/// Takes a claim away. A run that somebody has cancelled meanwhile has ended with that. Says whether nothing is left to be done,
/// also since the run was removed before. `attempts` is how many count then; none for as many as before.
pub(super) fn end_claim_of_run<R: Rows>(
    rows: &mut R,
    claim: Id<ClaimRow>,
    (run, attempts): (RunId, Option<u32>),
    now: DateTime<Utc>,
) -> Answer<R, bool> {
    let row = rows.get(claim)?;
    let is_removed = row.is_some_and(|row| row.run_removed);
    let is_cancelled = row.is_some_and(|row| row.cancel == Some(CancelReason::Requested));
    free_claim_of_run(rows, claim, now)?;
    if is_cancelled
        && !is_removed
        && let Some(run) = rows.run(run)?
    {
        rows.edit(run, |row| row.attempts = attempts.unwrap_or(row.attempts))?;
        finish(rows, run, RunEnd::Cancelled, now)?;
    }
    Ok(is_cancelled || is_removed)
}

/// Takes the claim of a run away, and lets its trigger go on if that has waited for the attempt.
pub(super) fn free_claim_of_run<R: Rows>(
    rows: &mut R,
    claim: Id<ClaimRow>,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    let counted = rows.get(claim)?.filter(|row| row.counted).map(|row| (row.trigger.clone(), row.lineage));
    end_claim(rows, claim)?;
    let Some((trigger, lineage)) = counted else { return Ok(()) };
    match rows.trigger(trigger.key())? {
        Some(trigger) => end_run(rows, trigger, lineage, now),
        None => Ok(()),
    }
}

/// Gives back a run that was claimed and has not begun: the attempt does not count, at no rate either.
pub(super) fn give_back_run<R: Rows>(rows: &mut R, claim: ExecutionId) -> Answer<R, ()> {
    rows.unbegin(Id::of(claim))?;
    give_back_begun(rows, claim)
}

/// Gives back a run whose attempt has begun: it counts for rates, and for nothing else.
pub(super) fn give_back_begun<R: Rows>(rows: &mut R, claim: ExecutionId) -> Answer<R, ()> {
    let Some((id, run, _)) = attempt_of(rows, claim)? else { return Ok(()) };
    // Nobody says when it was given back.
    let Some(since) = rows.get(id)?.map(|row| row.since) else { return Ok(()) };
    if end_claim_of_run(rows, id, (run, None), since)? {
        return Ok(());
    }
    let Some(run) = rows.run(run)? else { return Ok(()) };
    give_back_key(rows, run, since)?;
    if rows.get(run)?.is_some_and(|row| row.expires().is_some()) {
        rows.edit(run, |row| row.set_kept_alive(false))?;
    }
    rows.show_run(run)?;
    rows.wake();
    Ok(())
}

/// The error of an attempt whose node has died.
pub(super) const NODE_DIED: &str = "its node died";

/// What an attempt has failed with whose node has died.
pub(super) fn node_died(attempt: u32, node: &str, now: DateTime<Utc>) -> AttemptError {
    AttemptError::new(attempt, FailureKind::Lost, now, NODE_DIED).on_node(node.into())
}

/// The attempt of a node that is gone. The run is attempted again at once, since it was due before; one that was lost too often in a
/// row, or whose policy does not retry lost attempts, is dead. Says whether it is attempted again; none if there is no such attempt.
pub(super) fn lose_attempt<R: Rows>(
    rows: &mut R,
    claim: ExecutionId,
    node: &str,
    now: DateTime<Utc>,
) -> Answer<R, Option<bool>> {
    let Some((id, run, number)) = attempt_of(rows, claim)? else { return Ok(None) };
    let began = rows.get(id)?.map(|claim| claim.since);
    if end_claim_of_run(rows, id, (run, Some(number)), now)? {
        return Ok(Some(false));
    }
    let Some(run) = rows.run(run)? else { return Ok(Some(false)) };
    let is_dead = rows.edit(run, |row| {
        let losses = row.losses().saturating_add(1);
        row.attempts = number;
        row.epoch = row.epoch.wrapping_add(1);
        row.note_begun();
        row.hold_gates();
        row.set_losses(losses);
        row.push_error(node_died(number, node, now));
        began.into_iter().for_each(|began| row.note_attempt(began));
        losses > MOST_LOSSES || row.ends_when_lost()
    })?;
    if is_dead == Some(false) {
        rows.show_run(run)?;
        rows.wake();
    } else {
        finish(rows, run, RunEnd::Dead, now)?;
    }
    Ok(Some(is_dead == Some(false)))
}

/// The run of a trigger's firing which is not over: it is stored with what has become of its first attempt.
pub(super) fn promise<R: Rows>(
    rows: &mut R,
    (run, fate): (NewRun, Fate),
    losses: u32,
    now: DateTime<Utc>,
) -> Answer<R, ()> {
    let id = run.id;
    if let (Fate::Again { .. }, Cause::Trigger { trigger, .. }) = (&fate, &run.cause) {
        note_retry(rows, trigger)?;
    }
    let (due, attempts, error, is_dead) = match fate {
        Fate::Over | Fate::Discarded | Fate::Cancelled => return Ok(()),
        Fate::Again { at, counts, error } => (at, counts.into(), error, false),
        Fate::Dead { error } => (run.due, 1, error, true),
    };
    let errors = error.into_iter().map(|error| *error).collect();
    if enqueue(rows, NewRun { due, attempts, errors, ..run })? == Enqueued::Existing(id) {
        return Ok(());
    }
    if let Some(run) = rows.run(id)? {
        rows.edit(run, |row| {
            row.set_losses(losses);
            if let (Cause::Trigger { fired, .. }, true) = (row.cause(), attempts > 0) {
                let fired = *fired;
                row.note_attempt(fired);
            }
        })?;
        if is_dead {
            finish(rows, run, RunEnd::Dead, now)?;
        }
    }
    rows.wake();
    Ok(())
}

/// Gives back the runs that a node has claimed after `heard`, since it has not heard of them.
pub fn give_back_unheard<R: Rows>(rows: &mut R, session: u64, heard: u64) -> Answer<R, ()> {
    let claims = rows.claims_of(session)?;
    each(rows, claims, |rows, claim| match claim.0 > heard {
        true => give_back_run(rows, ExecutionId::new(session, claim.0)),
        false => Ok(()),
    })?;
    Ok(())
}

/// Removes a run, whatever its state. An attempt under way goes on, and its end does nothing.
pub(super) fn remove_run<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    if let Some(claim) = rows.claim_of(run)? {
        rows.edit(claim, |claim| claim.run_removed = true)?;
    }
    note_end(rows, run, RunEnd::Cancelled)?;
    release_follow_up(rows, run)?;
    tell_end(rows, run)?;
    leave_line(rows, run)?;
    let is_parent = rows.get(run)?.is_some_and(|row| row.is_parent() && row.end().is_none());
    if !is_parent {
        return rows.remove(run);
    }
    // Nobody says what time it is. Whoever rings settles its children as those of a cancelled run, and removes it.
    rows.edit(run, |row| {
        row.finish_with_children(RunEnd::Cancelled, DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
    })?;
    rows.wake();
    Ok(())
}

/// Removes a run together with all others, so that nobody waits for it.
pub fn clear_run<R: Rows>(rows: &mut R, run: Id<RunRow>) -> Answer<R, ()> {
    if let Some(claim) = rows.claim_of(run)? {
        rows.edit(claim, |claim| claim.run_removed = true)?;
    }
    tell_end(rows, run)?;
    rows.remove(run)
}

/// Whether the query means a run in this state.
pub(crate) fn is_meant(query: &RunQuery, run: &RunStatus) -> bool {
    query.state.is_none_or(|state| run.state == state)
        && query.end.is_none_or(|end| run.end == Some(end))
        && query.job.as_ref().is_none_or(|job| run.job == *job)
        && query.queue.as_ref().is_none_or(|queue| run.queue == *queue)
        && query
            .error
            .as_ref()
            .is_none_or(|part| run.last_error.as_ref().is_some_and(|error| error.contains(&**part)))
        && query.batch.is_none_or(|batch| run.member_of == Some(batch))
        && query.trigger.as_ref().is_none_or(|trigger| is_of_trigger(run, trigger))
        && query.from.is_none_or(|from| run.ended.is_some_and(|ended| ended >= from))
        && query.until.is_none_or(|until| run.ended.is_some_and(|ended| ended < until))
}

fn is_of_trigger(run: &RunStatus, key: &TriggerKey) -> bool {
    matches!(&run.cause, Cause::Trigger { trigger, .. } if trigger == key)
}

/// Whether the run stands behind the cursor of a query, in the order of its list.
fn is_behind(query: &RunQuery, run: &RunRow) -> bool {
    let Some(RunCursor { after: Some(after), scan, .. }) = query.after else { return true };
    match query.ends() {
        Some(_) => run.rank().is_some_and(|(_, rank)| rank < Rank { number: scan, run: after }),
        None => run.id > after,
    }
}

/// The first page of the runs that match. All of them are looked at.
pub fn runs<R: Rows>(rows: &mut R, query: &RunQuery) -> Answer<R, Page<RunStatus, RunCursor>> {
    let ids = rows.runs(query)?;
    let found = each(rows, ids, |rows, id| {
        let is_claimed = rows.claim_of(id)?.is_some();
        let row = rows.get(id)?.filter(|row| is_behind(query, row));
        let Some((rank, mut status)) = row.map(|row| (row.rank(), row.status(is_claimed).seen_by(query)))
        else {
            return Ok(None);
        };
        if let Some(batch) = &mut status.batch {
            batch.counts = rows.counts(status.id)?;
        }
        Ok(Some((rank.map(|(_, rank)| Reverse(rank)), status)))
    })?;
    let looked_at = found.len();
    let mut found: Vec<_> = found.into_iter().flatten().filter(|(_, run)| is_meant(query, run)).collect();
    let by_end = query.ends().is_some();
    found.sort_unstable_by_key(|(rank, run)| (rank.filter(|_| by_end), run.id));
    let page = Page::first(found, query.page_size(), looked_at, |(rank, run)| match rank {
        Some(Reverse(rank)) if by_end => RunCursor::in_scan(rank.number, Some(run.id)),
        _ => run.id.into(),
    });
    Ok(page.map(|(_, run)| run))
}
