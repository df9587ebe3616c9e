//! Jobs and triggers that are stored, replaced, moved on, removed; calendars and marks.

use std::sync::Arc;

use foldhash::{HashSet, HashSetExt};

use super::ending::count_runs;
use super::holding::release_held;
use super::pausing::pause_at_birth;
use super::retrying::{forbid_retries, remove_retries};
use super::running::clear_run;
use super::steps::{each, remove_at, take_out, withdraw};
use crate::calendar::Calendar;
use crate::error::{Error, Result};
use crate::job::JobDetail;
use crate::key::{JobKey, TriggerKey};
use crate::store::admin::*;
use crate::store::pauses::Pauses;
use crate::store::rows::*;
use crate::store::runs::RunQuery;
use crate::store::state::StoredState;
use crate::trigger::{Progress, Trigger};

/// Stores jobs and triggers. Nothing is stored if anything is refused.
pub fn put<R: Rows>(rows: &mut R, request: Put) -> Answer<R, Result<()>> {
    if let Err(error) = check_put(rows, &request)? {
        return Ok(Err(error));
    }
    let existing = request.existing_jobs;
    each(rows, request.distinct_jobs(), |rows, detail| put_job(rows, detail, existing))?;
    each(rows, request.triggers, |rows, (trigger, progress)| {
        put_trigger(rows, trigger, progress, request.existing_triggers)
    })?;
    Ok(Ok(()))
}

/// Everything that stands against the call, before anything is changed.
pub fn check_put<R: Rows>(rows: &mut R, request: &Put) -> Answer<R, Result<()>> {
    let (mut jobs, mut triggers) = (Vec::new(), Vec::new());
    if request.existing_jobs == Existing::Refuse {
        each(rows, &request.jobs, |rows, job| {
            jobs.extend(rows.job(job.key())?.map(|_| job.key()));
            Ok(())
        })?;
    }
    if request.existing_triggers == Existing::Refuse {
        each(rows, &request.triggers, |rows, (trigger, _)| {
            triggers.extend(rows.trigger(trigger.key())?.map(|_| trigger.key()));
            Ok(())
        })?;
    }
    if !jobs.is_empty() || !triggers.is_empty() {
        return Ok(Err(taken(&jobs, &triggers)));
    }
    if let Some(key) = twice(&request.triggers) {
        let error = format!("trigger `{key}` is there twice in one call; give one another name");
        return Ok(Err(Error::conflict(error).for_trigger(key)));
    }
    if let Some((key, job)) = without_job(rows, request)? {
        let error = format!("trigger `{key}` runs job `{job}`, which is not stored; store the job first");
        return Ok(Err(Error::not_found(error).for_trigger(key).for_job(job)));
    }
    for (trigger, _) in &request.triggers {
        if let Err(error) = check_calendar(rows, trigger)? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// The error about names that are taken, with the one that it is about, if there is one.
fn taken(jobs: &[&JobKey], triggers: &[&TriggerKey]) -> Error {
    let of_jobs = jobs.iter().map(|key| format!("job `{key}`"));
    let of_triggers = triggers.iter().map(|key| format!("trigger `{key}`"));
    let taken = of_jobs.chain(of_triggers).collect::<Vec<_>>().join(", ");
    let error = Error::conflict(format!("already stored: {taken}; replace them or use other names"));
    match (jobs, triggers) {
        ([job], []) => error.for_job(job),
        ([], [trigger]) => error.for_trigger(trigger),
        _ => error,
    }
}

fn twice(triggers: &[(Arc<Trigger>, Progress)]) -> Option<&TriggerKey> {
    // A single one, as most are, is not worth a set.
    let count = Some(triggers.len()).filter(|count| *count > 1).unwrap_or_default();
    let mut seen = HashSet::with_capacity(count);
    triggers.iter().take(count).map(|(trigger, _)| trigger.key()).find(|key| !seen.insert(*key))
}

fn without_job<'a, R: Rows>(
    rows: &mut R,
    request: &'a Put,
) -> Answer<R, Option<(&'a TriggerKey, &'a JobKey)>> {
    let mut new = None;
    for (place, (trigger, _)) in request.triggers.iter().enumerate() {
        let job = trigger.job();
        // Most jobs come with their trigger.
        if request.jobs.get(place).is_some_and(|beside| beside.key() == job) || rows.job(job)?.is_some() {
            continue;
        }
        let new = new.get_or_insert_with(|| request.jobs.iter().map(|job| job.key()).collect::<HashSet<_>>());
        if !new.contains(job) {
            return Ok(Some((trigger.key(), job)));
        }
    }
    Ok(None)
}

fn check_calendar<R: Rows>(rows: &mut R, trigger: &Trigger) -> Answer<R, Result<()>> {
    let Some(name) = trigger.calendar() else { return Ok(Ok(())) };
    if rows.calendar(name)?.is_some() {
        return Ok(Ok(()));
    }
    let known = rows.calendars()?;
    let near = scheduler_syntax::nearest(name, known.iter().map(|(known, _)| &**known));
    let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    let key = trigger.key();
    let error =
        format!("trigger `{key}` names the calendar `{name}`, which is not stored{hint}; store it first");
    Ok(Err(Error::not_found(error).for_trigger(key)))
}

fn put_job<R: Rows>(rows: &mut R, detail: Arc<JobDetail>, existing: Existing) -> Answer<R, ()> {
    let known = if existing == Existing::Refuse { None } else { rows.job(detail.key())? };
    let Some(id) = known else {
        rows.add_job(JobRow { detail });
        return Ok(());
    };
    let Some(known) = rows.get(id)?.map(|job| job.detail.clone()).filter(|_| existing != Existing::Keep)
    else {
        return Ok(());
    };
    let keeps_data = existing == Existing::Update && known.persist_data() && detail.persist_data();
    let is_in_place =
        known.disallow_concurrent() == detail.disallow_concurrent() && known.job_type() == detail.job_type();
    let detail =
        if keeps_data { detail.to_builder().data(known.data().clone()).build().into() } else { detail };
    let key = detail.key().clone();
    rows.edit(id, |job| job.detail = detail)?;
    if is_in_place { Ok(()) } else { move_triggers(rows, &key) }
}

/// The place of each trigger of a job depends on the job's rule of concurrency and its function.
pub fn move_triggers<R: Rows>(rows: &mut R, job: &JobKey) -> Answer<R, ()> {
    let triggers = rows.selected(&Selection::Job(job.clone()))?;
    each(rows, triggers, |rows, id| {
        let Some(trigger) = rows.get(id)?.map(|row| row.trigger.clone()) else { return Ok(()) };
        let Some((_, exclusive, lane)) = home(rows, &trigger)? else { return Ok(()) };
        rows.edit(id, |row| (row.exclusive, row.lane) = (exclusive, lane))?;
        Ok(())
    })?;
    Ok(())
}

fn put_trigger<R: Rows>(
    rows: &mut R,
    trigger: Arc<Trigger>,
    progress: Progress,
    existing: Existing,
) -> Answer<R, ()> {
    let known = if existing == Existing::Refuse { None } else { rows.trigger(trigger.key())? };
    let Some(id) = known else { return add(rows, trigger, progress) };
    let same_job = rows.get(id)?.is_some_and(|row| row.trigger.job() == trigger.job());
    match existing {
        Existing::Keep => Ok(()),
        Existing::Update if same_job => update(rows, id, trigger),
        _ => replace(rows, id, trigger, progress),
    }
}

/// The job of a trigger, whether it allows one run at a time, and the lane.
pub(super) fn home<R: Rows>(rows: &mut R, trigger: &Trigger) -> Answer<R, Option<(Id<JobRow>, bool, Lane)>> {
    let Some(id) = rows.job(trigger.job())? else { return Ok(None) };
    let Some(job) = rows.get(id)? else { return Ok(None) };
    let (exclusive, job_type) = (job.detail.disallow_concurrent(), job.detail.shared_job_type().clone());
    Ok(Some((id, exclusive, rows.lane(trigger.queue(), &job_type))))
}

fn add<R: Rows>(rows: &mut R, trigger: Arc<Trigger>, progress: Progress) -> Answer<R, ()> {
    let Some(home) = home(rows, &trigger)? else { return Ok(()) };
    let birth = rows.number();
    let id = rows.add_trigger(TriggerRow::new(trigger, progress, home, birth));
    pause_at_birth(rows, id)
}

/// Another trigger takes the place of one of its name; runs under way count as its own.
fn replace<R: Rows>(
    rows: &mut R,
    id: Id<TriggerRow>,
    trigger: Arc<Trigger>,
    progress: Progress,
) -> Answer<R, ()> {
    let Some(home) = home(rows, &trigger)? else { return Ok(()) };
    let known = rows.get(id)?.map(|row| (row.freed(), row.lineage(), row.retried));
    let Some((freed, lineage, retried)) = known else { return Ok(()) };
    let running = count_runs(rows, id, trigger.overlap())?;
    withdraw(rows, id)?;
    release_held(rows, id)?;
    let birth = rows.number();
    let mut row = TriggerRow::new(trigger, progress, home, birth);
    row.running = running;
    row.set_freed(freed);
    row.set_lineage(lineage);
    row.retried = retried;
    // Another job, that of the trigger before, stays without it, durable or not.
    rows.edit(id, |known| {
        row.epoch = known.epoch.wrapping_add(1);
        *known = row;
    })?;
    rows.show(id)?;
    pause_at_birth(rows, id)
}

/// Another description for a trigger that goes on from where it is.
fn update<R: Rows>(rows: &mut R, id: Id<TriggerRow>, trigger: Arc<Trigger>) -> Answer<R, ()> {
    let Some((_, _, lane)) = home(rows, &trigger)? else { return Ok(()) };
    let running = count_runs(rows, id, trigger.overlap())?;
    let revision = rows.number();
    rows.edit(id, |row| {
        (row.trigger, row.lane, row.running) = (trigger, lane, running);
        row.set_revision(revision);
    })?;
    Ok(())
}

/// Replaces a trigger by another one of the same job; says whether there was one to replace, of the revision asked for.
pub fn reschedule<R: Rows>(rows: &mut R, request: Reschedule) -> Answer<R, Result<bool>> {
    let Reschedule { old, revision, trigger, progress } = request;
    let Some(id) = rows.trigger(&old)? else { return Ok(Ok(false)) };
    let Some(row) = rows.get(id)? else { return Ok(Ok(false)) };
    if revision.is_some_and(|revision| row.revision() != revision) {
        return Ok(Ok(false));
    }
    let (job, known) = (row.trigger.job().clone(), row.progress());
    if job != *trigger.job() {
        let error = format!(
            "trigger `{old}` runs job `{job}`, and the one to replace it runs `{}`; they must run the same job",
            trigger.job()
        );
        return Ok(Err(Error::conflict(error).for_trigger(&old)));
    }
    let same_name = *trigger.key() == old;
    if !same_name && rows.trigger(trigger.key())?.is_some() {
        let error = format!("trigger `{}` is stored already; use another name", trigger.key());
        return Ok(Err(Error::conflict(error).for_trigger(trigger.key())));
    }
    if let Err(error) = check_calendar(rows, &trigger)? {
        return Ok(Err(error));
    }
    match progress {
        None if same_name => update(rows, id, trigger)?,
        Some(progress) if same_name => replace(rows, id, trigger, progress)?,
        progress => {
            if rows.get(id)?.is_some_and(|row| row.retried) {
                remove_retries(rows, &old)?;
            }
            forbid_retries(rows, id)?;
            take_out(rows, id)?;
            add(rows, trigger, progress.unwrap_or(known))?;
        }
    }
    Ok(Ok(true))
}

/// Moves a trigger to another progress, if it has the expected one.
pub fn adjust<R: Rows>(rows: &mut R, adjustment: Adjustment) -> Answer<R, bool> {
    let Some(id) = rows.trigger(&adjustment.trigger)? else { return Ok(false) };
    if rows.get(id)?.is_none_or(|row| row.progress() != adjustment.from) {
        return Ok(false);
    }
    withdraw(rows, id)?;
    rows.edit(id, |row| {
        row.set_progress(adjustment.to);
        row.epoch = row.epoch.wrapping_add(1);
        row.superseded = false;
        if row.next().is_none() && row.state == StoredState::Waiting {
            row.state = StoredState::Complete;
        }
    })?;
    rows.show(id)?;
    Ok(true)
}

/// Removes a trigger, and with the last one a job that is not durable.
pub fn remove_trigger<R: Rows>(rows: &mut R, key: &TriggerKey) -> Answer<R, Removed> {
    let Some(id) = rows.trigger(key)? else {
        // It may have fired for the last time, and its last occurrence may wait for a retry.
        return Ok(Removed { found: remove_retries(rows, key)?, job_removed: false });
    };
    if rows.get(id)?.is_some_and(|row| row.retried) {
        remove_retries(rows, key)?;
    }
    forbid_retries(rows, id)?;
    remove_at(rows, id)
}

/// Removes a job with its triggers; says whether it was there.
pub fn remove_job<R: Rows>(rows: &mut R, key: &JobKey) -> Answer<R, bool> {
    let Some(job) = rows.job(key)? else { return Ok(false) };
    let triggers = rows.selected(&Selection::Job(key.clone()))?;
    each(rows, triggers, |rows, trigger| {
        let retried = rows.get(trigger)?.filter(|row| row.retried).map(|row| row.trigger.key().clone());
        retried.map_or(Ok(false), |key| remove_retries(rows, &key))?;
        forbid_retries(rows, trigger)?;
        withdraw(rows, trigger)?;
        rows.remove(trigger)
    })?;
    rows.remove(job)?;
    Ok(true)
}

/// Removes jobs with their triggers, runs, calendars and remembered pauses.
pub fn clear<R: Rows>(rows: &mut R) -> Answer<R, ()> {
    let runs = rows.runs(&RunQuery::default())?;
    each(rows, runs, clear_run)?;
    let jobs = rows.jobs(&[], |_| true)?;
    each(rows, jobs, |rows, job| remove_job(rows, job.key()))?;
    for (name, _) in rows.calendars()? {
        rows.set_calendar(name, None)?;
    }
    rows.edit_pauses(|pauses| *pauses = Pauses::default())
}

/// Stores a calendar.
pub fn put_calendar<R: Rows>(
    rows: &mut R,
    name: Arc<str>,
    calendar: Arc<dyn Calendar>,
    replace: bool,
) -> Answer<R, Result<()>> {
    if !replace && rows.calendar(&name)?.is_some() {
        let error = format!("the calendar `{name}` is stored already; replace it");
        return Ok(Err(Error::conflict(error)));
    }
    rows.set_calendar(name, Some(calendar))?;
    Ok(Ok(()))
}

/// Removes a calendar that no trigger names; says whether it was there.
pub fn remove_calendar<R: Rows>(rows: &mut R, name: Arc<str>) -> Answer<R, Result<bool>> {
    if let Some(user) = rows.user_of(&name)? {
        let error = format!("trigger `{user}` names the calendar `{name}`; give it another one first");
        return Ok(Err(Error::conflict(error).for_trigger(&user)));
    }
    let found = rows.calendar(&name)?.is_some();
    rows.set_calendar(name, None)?;
    Ok(Ok(found))
}

/// Notes something, if what is there is of the revision that was read.
pub fn put_mark<R: Rows>(rows: &mut R, request: PutMark) -> Answer<R, Option<u64>> {
    let known = rows.mark(&request.name)?.map(|mark| mark.revision);
    if known != request.revision {
        return Ok(None);
    }
    let revision = rows.number().max(known.map_or(0, |known| known + 1));
    rows.set_mark(request.name, Mark { text: request.text, revision });
    Ok(Some(revision))
}
