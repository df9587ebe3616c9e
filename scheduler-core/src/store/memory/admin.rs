//! What users change: jobs, triggers, calendars, pauses.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::pauses::Ending;
use super::table::{Table, TriggerSlot};
use chrono::{DateTime, Utc};
use foldhash::{HashSet, HashSetExt};

use crate::calendar::Calendar;
use crate::error::{Error, Result};
use crate::job::JobDetail;
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Text;
use crate::store::admin::*;
use crate::store::state::{Step, StoredState};
use crate::trigger::{Progress, Trigger};

/// The runs that a trigger takes over from the one whose place it takes.
#[derive(Default)]
struct Runs {
    running: u32,
    lineage: Option<u64>,
    freed: Option<DateTime<Utc>>,
}

/// Jobs and triggers.
impl Table {
    pub(super) fn put(&mut self, request: Put) -> Result<()> {
        self.check(&request)?;
        for detail in request.distinct_jobs() {
            self.put_job(detail, request.existing_jobs);
        }
        for (trigger, progress) in request.triggers {
            self.put_trigger(trigger, progress, request.existing_triggers);
        }
        Ok(())
    }

    /// Everything that stands against the call, before anything is changed.
    fn check(&self, request: &Put) -> Result<()> {
        let mut taken = Vec::new();
        if request.existing_jobs == Existing::Refuse {
            let jobs = request.jobs.iter().filter(|job| self.job_slot(job.key()).is_some());
            taken.extend(jobs.map(|job| format!("job `{}`", job.key())));
        }
        if request.existing_triggers == Existing::Refuse {
            let triggers =
                request.triggers.iter().filter(|(trigger, _)| self.trigger_slot(trigger.key()).is_some());
            taken.extend(triggers.map(|(trigger, _)| format!("trigger `{}`", trigger.key())));
        }
        if !taken.is_empty() {
            let taken = taken.join(", ");
            return Err(Error::conflict(format!("already stored: {taken}; replace them or use other names")));
        }
        // A single one, as most are, is not worth a set.
        let count = Some(request.triggers.len()).filter(|count| *count > 1).unwrap_or_default();
        let mut keys = request.triggers.iter().take(count).map(|(trigger, _)| trigger.key());
        let mut seen = HashSet::with_capacity(count);
        if let Some(key) = keys.find(|key| !seen.insert(*key)) {
            return Err(Error::conflict(format!(
                "trigger `{key}` is there twice in one call; give one another name"
            )));
        }
        let new = LazyCell::new(|| request.jobs.iter().map(|job| job.key()).collect::<HashSet<_>>());
        // Most jobs come with their trigger.
        let is_beside =
            |place: usize, key: &JobKey| request.jobs.get(place).is_some_and(|job| job.key() == key);
        let is_known = |(place, (trigger, _)): &(usize, &(Arc<Trigger>, Progress))| {
            let job = trigger.job();
            is_beside(*place, job) || self.job_slot(job).is_some() || new.contains(job)
        };
        if let Some((_, (trigger, _))) = request.triggers.iter().enumerate().find(|one| !is_known(one)) {
            let (key, job) = (trigger.key(), trigger.job());
            return Err(Error::not_found(format!("trigger `{key}` runs job `{job}`, which is not stored")));
        }
        request.triggers.iter().try_for_each(|(trigger, _)| self.check_calendar(trigger))
    }

    fn check_calendar(&self, trigger: &Trigger) -> Result<()> {
        match trigger.calendar() {
            Some(name) if !self.calendars.contains_key(name) => {
                let near = scheduler_syntax::nearest(name, self.calendars.keys().map(|known| &**known));
                let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                Err(Error::not_found(format!(
                    "trigger `{}` names the calendar `{name}`, which is not stored{hint}; store it first",
                    trigger.key()
                )))
            }
            _ => Ok(()),
        }
    }

    fn put_job(&mut self, detail: Arc<JobDetail>, existing: Existing) {
        let known = if existing == Existing::Refuse { None } else { self.job_slot(detail.key()) };
        let Some(index) = known else { return self.add_job(detail) };
        if existing == Existing::Keep {
            return;
        }
        let known = &self.jobs[index].detail;
        let keeps_data = existing == Existing::Update && known.persist_data() && detail.persist_data();
        let is_in_place = known.disallow_concurrent() == detail.disallow_concurrent()
            && known.job_type() == detail.job_type();
        let detail =
            if keeps_data { detail.to_builder().data(known.data().clone()).build().into() } else { detail };
        if is_in_place {
            self.jobs[index].detail = detail;
            return;
        }
        // The place of every trigger depends on the rule of concurrency and the function.
        let triggers: Vec<_> = self.jobs[index].triggers().collect();
        triggers.iter().for_each(|trigger| self.dequeue(*trigger));
        self.jobs[index].detail = detail;
        for trigger in triggers {
            self.change_lane(trigger);
            self.enqueue(trigger);
        }
    }

    fn change_lane(&mut self, index: usize) {
        let slot = &self.triggers[index];
        let (old, job, trigger) = (slot.lane(), slot.job(), slot.trigger.clone());
        let lane = self.join_lane(job, &trigger);
        self.triggers[index].set_lane(lane);
        self.lanes.leave(old);
    }

    fn put_trigger(&mut self, trigger: Arc<Trigger>, progress: Progress, existing: Existing) {
        let known = if existing == Existing::Refuse { None } else { self.trigger_slot(trigger.key()) };
        if let Some(index) = known {
            let same_job = self.triggers[index].trigger.job() == trigger.job();
            match existing {
                Existing::Keep => return,
                Existing::Update if same_job => return self.update_trigger(index, trigger),
                // Not `remove_trigger`: the job must survive even if it is not durable.
                _ => {
                    let runs = self.take_runs(index);
                    self.take_trigger(index);
                    self.insert_trigger(trigger, progress, runs);
                    return;
                }
            }
        }
        self.insert_trigger(trigger, progress, Runs::default());
    }

    /// The runs of a trigger that another one takes the place of.
    fn take_runs(&self, index: usize) -> Runs {
        let slot = &self.triggers[index];
        Runs { running: slot.running, lineage: Some(slot.lineage()), freed: slot.freed() }
    }

    fn insert_trigger(&mut self, trigger: Arc<Trigger>, progress: Progress, runs: Runs) {
        let Some(job) = self.job_slot(trigger.job()) else { return };
        self.counter += 1;
        let key = trigger.key().clone();
        let lane = self.join_lane(job, &trigger);
        let mut slot = TriggerSlot::new(trigger, progress, job, lane, self.counter);
        slot.running = runs.running;
        slot.set_freed(runs.freed);
        if let Some(lineage) = runs.lineage {
            slot.set_lineage(lineage);
        }
        let index = self.add_trigger(slot);
        self.enqueue(index);
        let note = self.pauses.at_birth(key.group(), self.jobs[job].detail.key().group()).cloned();
        if let Some(note) = note {
            self.pause_trigger(index, &note);
        }
    }

    fn update_trigger(&mut self, index: usize, trigger: Arc<Trigger>) {
        self.counter += 1;
        self.dequeue(index);
        let slot = &mut self.triggers[index];
        slot.trigger = trigger;
        slot.set_revision(self.counter);
        self.change_lane(index);
        self.enqueue(index);
    }

    pub(super) fn reschedule(&mut self, request: Reschedule) -> Result<bool> {
        let Some(index) = self.trigger_slot(&request.old) else { return Ok(false) };
        if request.revision.is_some_and(|revision| self.triggers[index].revision() != revision) {
            return Ok(false);
        }
        let (old, new) = (&self.triggers[index].trigger, &request.trigger);
        if old.job() != new.job() {
            return Err(Error::conflict(format!(
                "trigger `{}` runs job `{}`, and the one to replace it runs `{}`; they must run the same job",
                request.old,
                old.job(),
                new.job()
            )));
        }
        if new.key() != &request.old && self.trigger_slot(new.key()).is_some() {
            return Err(Error::conflict(format!(
                "trigger `{}` is stored already; use another name",
                new.key()
            )));
        }
        self.check_calendar(new)?;
        match request.progress {
            None if new.key() == &request.old => self.update_trigger(index, request.trigger),
            progress => {
                let progress = progress.unwrap_or_else(|| self.triggers[index].progress());
                let same_name = request.trigger.key() == &request.old;
                let runs = if same_name { self.take_runs(index) } else { Runs::default() };
                self.take_trigger(index);
                self.insert_trigger(request.trigger, progress, runs);
            }
        }
        Ok(true)
    }

    pub(super) fn adjust(&mut self, adjustment: Adjustment) -> bool {
        let Some(index) = self.trigger_slot(&adjustment.trigger) else { return false };
        if self.triggers[index].progress() != adjustment.from {
            return false;
        }
        self.dequeue(index);
        self.withdraw_claim(index);
        let slot = &mut self.triggers[index];
        slot.set_progress(adjustment.to);
        let exhausted = slot.next().is_none();
        slot.state = match slot.state {
            StoredState::Acquired | StoredState::Waiting if exhausted => StoredState::Complete,
            StoredState::Acquired => StoredState::Waiting,
            state => state,
        };
        self.enqueue(index);
        true
    }

    pub(super) fn remove_trigger(&mut self, key: &TriggerKey) -> Removed {
        self.trigger_slot(key).map_or_else(Removed::default, |index| self.remove_trigger_at(index))
    }

    pub(super) fn remove_trigger_at(&mut self, index: usize) -> Removed {
        let job = self.take_trigger(index);
        let slot = &self.jobs[job];
        let job_removed = !slot.has_triggers() && !slot.detail.durable();
        if job_removed {
            self.drop_job(job);
        }
        Removed { found: true, job_removed }
    }

    pub(super) fn remove_job(&mut self, key: &JobKey) -> bool {
        let Some(index) = self.job_slot(key) else { return false };
        let triggers: Vec<_> = self.jobs[index].triggers().collect();
        for trigger in triggers {
            self.take_trigger(trigger);
        }
        self.drop_job(index);
        true
    }

    /// Removes a trigger and returns the slot of its job.
    fn take_trigger(&mut self, index: usize) -> usize {
        self.dequeue(index);
        self.withdraw_claim(index);
        let slot = self.drop_trigger(index);
        self.lanes.leave(slot.lane());
        slot.job()
    }

    pub(super) fn clear(&mut self) {
        let jobs: Vec<JobKey> = self.jobs.iter().map(|(_, slot)| slot.detail.key().clone()).collect();
        for job in jobs {
            self.remove_job(&job);
        }
        self.calendars.clear();
        self.pauses.forget_all();
    }
}

/// Calendars.
impl Table {
    pub(super) fn put_calendar(
        &mut self,
        name: Arc<str>,
        calendar: Arc<dyn Calendar>,
        replace: bool,
    ) -> Result<()> {
        if !replace && self.calendars.contains_key(&name) {
            return Err(Error::conflict(format!("the calendar `{name}` is stored already; replace it")));
        }
        self.calendars.insert(name, calendar);
        Ok(())
    }

    pub(super) fn remove_calendar(&mut self, name: &str) -> Result<bool> {
        let user = self.triggers.iter().find(|(_, slot)| slot.trigger.calendar() == Some(name));
        match user {
            Some((_, slot)) => Err(Error::conflict(format!(
                "trigger `{}` names the calendar `{name}`; give it another one first",
                slot.trigger.key()
            ))),
            None => Ok(self.calendars.remove(name).is_some()),
        }
    }
}

/// Marks.
impl Table {
    pub(super) fn put_mark(&mut self, request: PutMark) -> Option<u64> {
        let known = self.marks.get(&request.name).map(|mark| mark.revision);
        if known != request.revision {
            return None;
        }
        self.counter += 1;
        self.marks.insert(request.name, Mark { text: request.text, revision: self.counter });
        Some(self.counter)
    }
}

/// Pauses.
impl Table {
    pub(super) fn pause(&mut self, request: &Pause) -> Vec<TriggerKey> {
        let note = &request.note;
        match &request.what {
            Selection::TriggerGroup(groups) => {
                let groups = named(groups, &self.trigger_groups());
                self.pauses.remember(GroupKind::Triggers, &groups, note);
            }
            Selection::JobGroup(groups) => {
                let groups = named(groups, &self.job_groups());
                self.pauses.remember(GroupKind::Jobs, &groups, note);
            }
            Selection::All => {
                let groups = self.trigger_groups();
                self.pauses.remember_all(&groups, note);
            }
            Selection::Trigger(_) | Selection::Job(_) => {}
        }
        let selected = self.select(&request.what);
        let by_name = matches!(request.what, Selection::Trigger(_));
        let paused = selected.into_iter().filter(|index| self.pause_again(*index, note, by_name)).collect();
        self.keys_of(paused)
    }

    /// As [`pause_trigger`](Self::pause_trigger); a pause of several does not shorten one that is there.
    fn pause_again(&mut self, index: usize, note: &PauseNote, by_name: bool) -> bool {
        let end = |note: &PauseNote| note.until.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let known = self.triggers[index].pause().filter(|known| !by_name && end(known) >= end(note));
        known.is_none() && self.pause_trigger(index, note)
    }

    pub(super) fn pause_trigger(&mut self, index: usize, note: &PauseNote) -> bool {
        let changed = self.apply(index, Step::Pause);
        let slot = &mut self.triggers[index];
        if slot.state == StoredState::Paused {
            slot.set_pause(Some(note.clone()));
            let ending = Ending::Trigger(index, slot.generation);
            self.pauses.ends(ending, note.until);
        }
        changed
    }

    pub(super) fn resume(&mut self, what: &Selection) -> Vec<TriggerKey> {
        let mut selected = self.select(what);
        match what {
            Selection::TriggerGroup(groups) => {
                let existing = self.trigger_groups();
                self.pauses.forget(GroupKind::Triggers, groups, &existing);
                // Their jobs are still paused.
                selected.retain(|index| {
                    !self.pauses.is_job_group_paused(self.triggers[*index].trigger.job().group())
                });
            }
            Selection::JobGroup(groups) => drop(self.pauses.forget(GroupKind::Jobs, groups, &[])),
            Selection::All => self.pauses.forget_all(),
            Selection::Trigger(_) | Selection::Job(_) => {}
        }
        let resumed = selected.into_iter().filter(|index| self.apply(*index, Step::Resume)).collect();
        self.keys_of(resumed)
    }

    pub(super) fn reset(&mut self, key: &TriggerKey) -> bool {
        let Some(index) = self.trigger_slot(key) else { return false };
        let was_in_error = self.apply(index, Step::Reset);
        let slot = &self.triggers[index];
        let note = self.pauses.at_birth(key.group(), slot.trigger.job().group()).cloned();
        if let Some(note) = note.filter(|_| was_in_error) {
            self.pause_trigger(index, &note);
        }
        was_in_error
    }

    pub(super) fn step_job(&mut self, key: &JobKey, step: Step) -> usize {
        let selected = self.select(&Selection::Job(key.clone()));
        selected.into_iter().filter(|index| self.apply(*index, step)).count()
    }

    fn select(&self, what: &Selection) -> Vec<usize> {
        let all = |wanted: &dyn Fn(&TriggerSlot) -> bool| {
            self.triggers.iter().filter(|(_, slot)| wanted(slot)).map(|(index, _)| index).collect()
        };
        match what {
            Selection::Trigger(key) => self.trigger_slot(key).into_iter().collect(),
            Selection::Job(key) => {
                self.job_slot(key).map(|job| self.jobs[job].triggers().collect()).unwrap_or_default()
            }
            Selection::TriggerGroup(groups) => all(&|slot| groups.matches(slot.trigger.key().group())),
            Selection::JobGroup(groups) => all(&|slot| groups.matches(slot.trigger.job().group())),
            Selection::All => all(&|_| true),
        }
    }

    fn keys_of(&self, slots: Vec<usize>) -> Vec<TriggerKey> {
        let mut keys: Vec<_> =
            slots.into_iter().map(|index| self.triggers[index].trigger.key().clone()).collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn trigger_groups(&self) -> Vec<Arc<str>> {
        distinct(self.triggers.iter().map(|(_, slot)| slot.trigger.key().group()))
    }

    pub(super) fn job_groups(&self) -> Vec<Arc<str>> {
        distinct(self.jobs.iter().map(|(_, slot)| slot.detail.key().group()))
    }
}

/// The groups that a pattern stands for: those that exist, and one that is named exactly.
fn named(groups: &Text, existing: &[Arc<str>]) -> Vec<Arc<str>> {
    match groups {
        Text::Is(group) => vec![group.clone()],
        pattern => existing.iter().filter(|group| pattern.matches(group)).cloned().collect(),
    }
}

fn distinct<T: AsRef<str> + Ord>(groups: impl Iterator<Item = T>) -> Vec<Arc<str>> {
    groups.collect::<BTreeSet<_>>().into_iter().map(|group| Arc::from(group.as_ref())).collect()
}
