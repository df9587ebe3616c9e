//! Jobs, triggers, claims and the order of what is due.
//!
//! Invariants, true whenever the lock is free:
//! 1. A trigger is *queued* if and only if it is waiting and has a next fire time.
//! 2. A queued trigger of an ordinary job is in `due`. Of the queued triggers of a job that disallows concurrent
//!    runs, kept in its own `queue`, exactly the first is in `due`, and none while a claim of the job exists.
//!    So such a job never has two claims, and freeing it costs the same however many triggers wait.
//! 3. `busy[job]` is the one claim of a job that disallowed concurrent runs when the claim was made.
//! 4. An acquired trigger has exactly one unfired claim; `unfired` counts them.
//! 5. Slots and keys map to each other; a claim names its trigger by slot and generation, since slots are reused.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use slab::Slab;

use crate::error::{Error, Result};
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::store::contract::*;
use crate::store::state::{Step, StoredState};
use crate::trigger::{Progress, Trigger};

/// A place in the order of hand-out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: DateTime<Utc>,
    rank: Reverse<i32>,
    key: TriggerKey,
    slot: usize,
}

#[derive(Debug)]
pub(super) struct TriggerSlot {
    pub(super) trigger: Arc<Trigger>,
    pub(super) progress: Progress,
    pub(super) state: StoredState,
    pub(super) running: u32,
    job: usize,
    /// Where this slot stands in the job's list.
    position: usize,
    generation: u64,
    claim: Option<ExecutionId>,
}

#[derive(Debug)]
pub(super) struct JobSlot {
    pub(super) detail: Arc<JobDetail>,
    triggers: Vec<usize>,
    /// The queued triggers, if the job disallows concurrent runs.
    queue: BTreeSet<Due>,
}

#[derive(Debug)]
struct Claim {
    trigger: usize,
    generation: u64,
    job: JobKey,
    fired: bool,
    lapse: DateTime<Utc>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) jobs: Slab<JobSlot>,
    pub(super) triggers: Slab<TriggerSlot>,
    pub(super) job_slots: HashMap<JobKey, usize>,
    pub(super) trigger_slots: HashMap<TriggerKey, usize>,
    due: BTreeSet<Due>,
    busy: HashMap<JobKey, ExecutionId>,
    claims: HashMap<ExecutionId, Claim>,
    unfired: usize,
    /// No unfired claim lapses before this.
    earliest_lapse: DateTime<Utc>,
    counter: u64,
}

/// The way of a firing.
impl Table {
    pub(super) fn acquire(&mut self, request: &AcquireDue, timing: Attached) -> Acquired {
        self.release_lapsed(request.now);
        let mut triggers = Vec::new();
        while triggers.len() < request.max && self.due.first().is_some_and(|due| due.at <= request.until) {
            let Some(due) = self.due.pop_first() else { break };
            triggers.push(self.claim(&due, request, timing));
        }
        Acquired { triggers, next_due: self.next_due() }
    }

    /// When to ask again: something is due, or a claim lapses that nobody has fired.
    fn next_due(&self) -> Option<DateTime<Utc>> {
        let lapse = (self.unfired > 0).then_some(self.earliest_lapse);
        self.due.first().map(|due| due.at).into_iter().chain(lapse).min()
    }

    fn claim(&mut self, due: &Due, request: &AcquireDue, timing: Attached) -> AcquiredTrigger {
        self.counter += 1;
        let claim = ExecutionId::new(request.session, self.counter);
        let slot = &mut self.triggers[due.slot];
        slot.state = slot.state.after(Step::Acquire).unwrap_or(slot.state);
        slot.claim = Some(claim);
        let (generation, job) = (slot.generation, slot.trigger.job().clone());
        let acquired = AcquiredTrigger {
            claim,
            trigger: slot.trigger.clone(),
            progress: slot.progress.clone(),
            calendar: None,
        };
        let home = &mut self.jobs[slot.job];
        if home.detail.disallow_concurrent() {
            home.queue.remove(due);
            self.busy.insert(job.clone(), claim);
        }
        let lapse = timing.lapse(due.at, request.now);
        self.earliest_lapse = if self.unfired == 0 { lapse } else { self.earliest_lapse.min(lapse) };
        self.unfired += 1;
        self.claims.insert(claim, Claim { trigger: due.slot, generation, job, fired: false, lapse });
        acquired
    }

    pub(super) fn fire(&mut self, firing: Firing) -> FireResult {
        let Some(claim) = self.claims.get_mut(&firing.claim) else {
            return FireResult::Stale;
        };
        if claim.fired {
            // The same call again, after its reply was lost.
            return match self.job_slots.get(&claim.job) {
                Some(&job) => {
                    FireResult::Run { fence: firing.claim.count(), job: self.jobs[job].detail.clone() }
                }
                None => FireResult::Stale,
            };
        }
        let index = claim.trigger;
        let slot = &mut self.triggers[index];
        let step = if firing.progress.may_fire_again() { Step::Fire } else { Step::FireLast };
        slot.state = slot.state.after(step).unwrap_or(slot.state);
        slot.progress = firing.progress;
        slot.claim = None;
        self.unfired -= 1;
        if firing.run {
            claim.fired = true;
            slot.running += 1;
            let (fence, job) = (firing.claim.count(), self.jobs[slot.job].detail.clone());
            self.enqueue(index);
            return FireResult::Run { fence, job };
        }
        self.end_claim(firing.claim);
        self.enqueue(index);
        self.remove_if_finished(index);
        FireResult::Advanced
    }

    pub(super) fn complete(&mut self, completion: &Completion) -> CompleteResult {
        if self.claims.get(&completion.execution).is_none_or(|claim| !claim.fired) {
            return CompleteResult::Gone;
        }
        let Some(claim) = self.end_claim(completion.execution) else { return CompleteResult::Gone };
        if completion.instruction == Instruction::FailJob {
            self.fail_job(&claim.job);
        }
        let current = self.triggers.get_mut(claim.trigger).filter(|slot| slot.generation == claim.generation);
        let Some(slot) = current else { return CompleteResult::Done { trigger_removed: false } };
        slot.running -= 1;
        CompleteResult::Done { trigger_removed: self.remove_if_finished(claim.trigger) }
    }

    pub(super) fn release(&mut self, id: ExecutionId) {
        let Some(claim) = self.claims.get(&id).filter(|claim| !claim.fired) else { return };
        let index = claim.trigger;
        self.withdraw_claim(index);
        self.apply(index, Step::Release);
    }

    fn release_lapsed(&mut self, now: DateTime<Utc>) {
        if self.unfired == 0 || now < self.earliest_lapse {
            return;
        }
        let open = self.claims.iter().filter(|(_, claim)| !claim.fired);
        let (lapsed, alive): (Vec<_>, Vec<_>) =
            open.map(|(id, claim)| (*id, claim.lapse)).partition(|(_, lapse)| *lapse <= now);
        self.earliest_lapse = alive.iter().map(|(_, lapse)| *lapse).min().unwrap_or(now);
        lapsed.into_iter().for_each(|(id, _)| self.release(id));
    }

    /// Forgets the claim and, if it held its job, lets the job's next trigger come up.
    fn end_claim(&mut self, id: ExecutionId) -> Option<Claim> {
        let claim = self.claims.remove(&id)?;
        if self.busy.get(&claim.job) == Some(&id) {
            self.busy.remove(&claim.job);
            if let Some(&job) = self.job_slots.get(&claim.job) {
                self.due.extend(self.jobs[job].queue.first().cloned());
            }
        }
        Some(claim)
    }

    /// Takes an unfired claim away from its trigger.
    fn withdraw_claim(&mut self, index: usize) {
        if let Some(id) = self.triggers[index].claim.take() {
            self.unfired -= 1;
            self.end_claim(id);
        }
    }
}

/// The queue.
impl Table {
    fn due_of(&self, index: usize) -> Option<Due> {
        let slot = &self.triggers[index];
        let at = slot.progress.next.filter(|_| slot.state == StoredState::Waiting)?;
        Some(Due { at, rank: Reverse(slot.trigger.priority()), key: slot.trigger.key().clone(), slot: index })
    }

    /// Puts a trigger that is waiting for a time into its place.
    fn enqueue(&mut self, index: usize) {
        let Some(due) = self.due_of(index) else { return };
        let home = &mut self.jobs[self.triggers[index].job];
        if !home.detail.disallow_concurrent() {
            self.due.insert(due);
            return;
        }
        let free = !self.busy.contains_key(home.detail.key());
        if let Some(first) = home.queue.first().filter(|first| free && due < **first) {
            self.due.remove(first);
        }
        home.queue.insert(due.clone());
        if free && home.queue.first() == Some(&due) {
            self.due.insert(due);
        }
    }

    /// Takes a trigger out of its place, before anything of it changes.
    fn dequeue(&mut self, index: usize) {
        let Some(due) = self.due_of(index) else { return };
        let was_first = self.due.remove(&due);
        let home = &mut self.jobs[self.triggers[index].job];
        home.queue.remove(&due);
        if was_first {
            self.due.extend(home.queue.first().cloned());
        }
    }

    /// Takes a step of the state table and keeps the queue in line; says whether the step was legal.
    fn apply(&mut self, index: usize, step: Step) -> bool {
        let Some(next) = self.triggers[index].state.after(step) else { return false };
        self.dequeue(index);
        self.withdraw_claim(index);
        self.triggers[index].state = next;
        self.enqueue(index);
        true
    }
}

/// What users do.
impl Table {
    pub(super) fn put(&mut self, request: Put) -> Result<()> {
        self.check(&request)?;
        for detail in request.jobs {
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
            let jobs = request.jobs.iter().filter(|job| self.job_slots.contains_key(job.key()));
            taken.extend(jobs.map(|job| format!("job `{}`", job.key())));
        }
        if request.existing_triggers == Existing::Refuse {
            let triggers =
                request.triggers.iter().filter(|(trigger, _)| self.trigger_slots.contains_key(trigger.key()));
            taken.extend(triggers.map(|(trigger, _)| format!("trigger `{}`", trigger.key())));
        }
        if !taken.is_empty() {
            return Err(Error::conflict(format!(
                "already stored: {}; replace them or use other names",
                taken.join(", ")
            )));
        }
        let known = |key: &JobKey| {
            self.job_slots.contains_key(key) || request.jobs.iter().any(|job| job.key() == key)
        };
        match request.triggers.iter().find(|(trigger, _)| !known(trigger.job())) {
            Some((trigger, _)) => Err(Error::not_found(format!(
                "trigger `{}` runs job `{}`, which is not stored",
                trigger.key(),
                trigger.job()
            ))),
            None => Ok(()),
        }
    }

    fn put_job(&mut self, detail: Arc<JobDetail>, existing: Existing) {
        let Some(&index) = self.job_slots.get(detail.key()) else {
            let key = detail.key().clone();
            let slot = JobSlot { detail, triggers: Vec::new(), queue: BTreeSet::new() };
            self.job_slots.insert(key, self.jobs.insert(slot));
            return;
        };
        if existing == Existing::Replace {
            // The rule of concurrency may change, and with it the place of every trigger.
            let triggers = self.jobs[index].triggers.clone();
            triggers.iter().for_each(|trigger| self.dequeue(*trigger));
            self.jobs[index].detail = detail;
            triggers.iter().for_each(|trigger| self.enqueue(*trigger));
        }
    }

    fn put_trigger(&mut self, trigger: Arc<Trigger>, progress: Progress, existing: Existing) {
        if self.trigger_slots.contains_key(trigger.key()) {
            if existing == Existing::Keep {
                return;
            }
            // Not `remove_trigger`: the job must survive even if it is not durable.
            self.take_trigger(trigger.key());
        }
        let Some(&job) = self.job_slots.get(trigger.job()) else { return };
        self.counter += 1;
        let position = self.jobs[job].triggers.len();
        let (key, generation) = (trigger.key().clone(), self.counter);
        let state = if progress.may_fire_again() { StoredState::Waiting } else { StoredState::Complete };
        let slot =
            TriggerSlot { trigger, progress, state, running: 0, job, position, generation, claim: None };
        let index = self.triggers.insert(slot);
        self.jobs[job].triggers.push(index);
        self.trigger_slots.insert(key, index);
        self.enqueue(index);
    }

    pub(super) fn remove_trigger(&mut self, key: &TriggerKey) -> bool {
        let Some(job) = self.take_trigger(key) else { return false };
        self.remove_if_orphaned(job);
        true
    }

    pub(super) fn remove_job(&mut self, key: &JobKey) -> bool {
        let Some(&index) = self.job_slots.get(key) else { return false };
        let triggers: Vec<_> =
            self.jobs[index].triggers.iter().map(|t| self.triggers[*t].trigger.key().clone()).collect();
        for trigger in &triggers {
            self.take_trigger(trigger);
        }
        self.job_slots.remove(key);
        self.jobs.remove(index);
        true
    }

    /// Removes a trigger and returns the slot of its job.
    fn take_trigger(&mut self, key: &TriggerKey) -> Option<usize> {
        let &index = self.trigger_slots.get(key)?;
        self.dequeue(index);
        self.withdraw_claim(index);
        self.trigger_slots.remove(key);
        let slot = self.triggers.remove(index);
        let siblings = &mut self.jobs[slot.job].triggers;
        siblings.swap_remove(slot.position);
        if let Some(&moved) = siblings.get(slot.position) {
            self.triggers[moved].position = slot.position;
        }
        Some(slot.job)
    }

    fn remove_if_finished(&mut self, index: usize) -> bool {
        let slot = &self.triggers[index];
        let finished =
            slot.state == StoredState::Complete && slot.running == 0 && !slot.progress.may_fire_again();
        let key = slot.trigger.key().clone();
        finished && self.remove_trigger(&key)
    }

    fn remove_if_orphaned(&mut self, index: usize) {
        let slot = &self.jobs[index];
        if slot.triggers.is_empty() && !slot.detail.durable() {
            let key = slot.detail.key().clone();
            self.remove_job(&key);
        }
    }

    pub(super) fn pause(&mut self, what: &Selection) -> usize {
        self.step_each(what, Step::Pause)
    }

    pub(super) fn resume(&mut self, what: &Selection) -> usize {
        self.step_each(what, Step::Resume)
    }

    pub(super) fn reset(&mut self, key: &TriggerKey) -> bool {
        self.step_each(&Selection::Trigger(key.clone()), Step::Reset) == 1
    }

    /// Whether a run of the job keeps its triggers waiting.
    pub(super) fn is_busy(&self, job: &JobKey) -> bool {
        self.busy.contains_key(job)
    }

    fn fail_job(&mut self, key: &JobKey) {
        self.step_each(&Selection::Job(key.clone()), Step::Fail);
    }

    fn step_each(&mut self, what: &Selection, step: Step) -> usize {
        let selected: Vec<usize> = match what {
            Selection::Trigger(key) => self.trigger_slots.get(key).copied().into_iter().collect(),
            Selection::Job(key) => {
                self.job_slots.get(key).map(|job| self.jobs[*job].triggers.clone()).unwrap_or_default()
            }
            Selection::All => self.trigger_slots.values().copied().collect(),
        };
        selected.into_iter().filter(|index| self.apply(*index, step)).count()
    }
}
