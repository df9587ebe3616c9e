//! Jobs, triggers and claims, and where each waiting trigger stands.
//!
//! Invariants, true whenever the lock is free:
//! 1. A trigger is *queued* if and only if it is waiting and has a next fire time. It then stands in exactly one place:
//!    in its lane, or in the queue of its job, or, while its own run keeps it back, among `overlapping`.
//! 2. Of the queued triggers of a job that disallows concurrent runs, all are in the job's `queues`, and exactly the first
//!    of each lane is in its lane too, and none while a claim of the job exists. So such a job never has two claims, and
//!    freeing it costs the same however many triggers wait.
//! 3. `busy[job]` is the one claim of a job that disallowed concurrent runs when the claim was made.
//! 4. An acquired trigger, and no other, has exactly one unfired claim; `unfired` counts them.
//! 5. Slots and keys map to each other; a claim names its trigger by slot and generation, since slots are reused.
//! 6. A paused trigger has a note, and only a paused one has.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use foldhash::HashMap;
use slab::Slab;

use super::index::{Index, place};
use super::lanes::{Due, Lanes, Moment};
use super::pauses::Pauses;
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::store::admin::{Mark, PauseNote, RunRecord};
use crate::store::state::{Step, StoredState};
use crate::trigger::{OverlapPolicy, Progress, Trigger};

/// One trigger. There are many of them, so what most do not have stands in a box.
#[derive(Debug)]
pub(super) struct TriggerSlot {
    pub(super) trigger: Arc<Trigger>,
    next: Option<DateTime<Utc>>,
    previous: Option<DateTime<Utc>>,
    /// How often, as far as this number goes.
    fired: u32,
    pub(super) state: StoredState,
    pub(super) running: u32,
    job: u32,
    lane: u32,
    /// Where this slot stands among those of its job.
    pub(super) position: u32,
    pub(super) generation: u64,
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Clone, Default)]
struct Rare {
    pause: Option<PauseNote>,
    /// The generation of the first in a row of triggers that took each other's place: their runs count as its own.
    lineage: Option<u64>,
    /// Changes with the description; before the first change it is the generation.
    revision: Option<u64>,
    /// When its own run ended that has kept it waiting.
    freed: Option<DateTime<Utc>>,
    /// How often it has fired, beyond what the slot can count.
    fired: Option<u64>,
    /// What a misfire policy has changed of the progress.
    scheduled: Option<DateTime<Utc>>,
    start: Option<DateTime<Utc>>,
    repeat: Option<u32>,
}

impl TriggerSlot {
    /// A trigger that waits, the latest of its job.
    pub(super) fn new(
        trigger: Arc<Trigger>,
        progress: Progress,
        job: usize,
        lane: usize,
        generation: u64,
    ) -> Self {
        let mut slot = Self {
            trigger,
            next: None,
            previous: None,
            fired: 0,
            state: StoredState::Waiting,
            running: 0,
            job: place(job),
            lane: place(lane),
            position: 0,
            generation,
            rare: None,
        };
        slot.set_progress(progress);
        slot
    }

    pub(super) fn job(&self) -> usize {
        self.job as usize
    }

    pub(super) fn lane(&self) -> usize {
        self.lane as usize
    }

    pub(super) fn set_lane(&mut self, lane: usize) {
        self.lane = place(lane);
    }

    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    pub(super) fn progress(&self) -> Progress {
        let (next, previous, rare) = (self.next, self.previous, self.rare.as_deref());
        let fired = rare.and_then(|rare| rare.fired).unwrap_or_else(|| self.fired.into());
        let [scheduled, start] = [rare.and_then(|rare| rare.scheduled), rare.and_then(|rare| rare.start)];
        Progress { next, previous, fired, scheduled, start, repeat: rare.and_then(|rare| rare.repeat) }
    }

    pub(super) fn set_progress(&mut self, progress: Progress) {
        let Progress { next, previous, fired, scheduled, start, repeat } = progress;
        let many = u32::try_from(fired).is_err().then_some(fired);
        (self.next, self.previous, self.fired) = (next, previous, fired as u32);
        if self.rare.is_some() || many.is_some() || scheduled.is_some() || start.is_some() || repeat.is_some()
        {
            let rare = self.rare();
            (rare.fired, rare.scheduled, rare.start, rare.repeat) = (many, scheduled, start, repeat);
        }
    }

    pub(super) fn pause(&self) -> Option<&PauseNote> {
        self.rare.as_deref()?.pause.as_ref()
    }

    pub(super) fn set_pause(&mut self, pause: Option<PauseNote>) {
        if pause.is_some() || self.rare.is_some() {
            self.rare().pause = pause;
        }
    }

    pub(super) fn freed(&self) -> Option<DateTime<Utc>> {
        self.rare.as_deref()?.freed
    }

    pub(super) fn set_freed(&mut self, freed: Option<DateTime<Utc>>) {
        if freed.is_some() || self.rare.is_some() {
            self.rare().freed = freed;
        }
    }

    pub(super) fn lineage(&self) -> u64 {
        self.rare.as_deref().and_then(|rare| rare.lineage).unwrap_or(self.generation)
    }

    pub(super) fn set_lineage(&mut self, lineage: u64) {
        self.rare().lineage = Some(lineage);
    }

    pub(super) fn revision(&self) -> u64 {
        self.rare.as_deref().and_then(|rare| rare.revision).unwrap_or(self.generation)
    }

    pub(super) fn set_revision(&mut self, revision: u64) {
        self.rare().revision = Some(revision);
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// One job. Most have one trigger, so only what others have stands in a box.
#[derive(Debug)]
pub(super) struct JobSlot {
    pub(super) detail: Arc<JobDetail>,
    first: Option<NonZeroU32>,
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    /// The triggers after the first.
    triggers: Vec<u32>,
    /// The queued triggers by lane, if the job disallows concurrent runs.
    queues: BTreeMap<usize, BTreeSet<Due>>,
}

impl JobSlot {
    pub(super) fn new(detail: Arc<JobDetail>) -> Self {
        Self { detail, first: None, more: None }
    }

    pub(super) fn has_triggers(&self) -> bool {
        self.first.is_some()
    }

    pub(super) fn triggers(&self) -> impl Iterator<Item = usize> {
        let others = self.more.iter().flat_map(|more| more.triggers.iter().map(|trigger| *trigger as usize));
        self.first.map(|first| first.get() as usize - 1).into_iter().chain(others)
    }

    /// Says at which position it stands now.
    fn add_trigger(&mut self, trigger: usize) -> u32 {
        if self.first.is_none() {
            self.first = NonZeroU32::new(place(trigger + 1));
            return 0;
        }
        let others = &mut self.more.get_or_insert_default().triggers;
        others.push(place(trigger));
        place(others.len())
    }

    /// Says which other one stands at this position now.
    fn take_trigger(&mut self, position: u32) -> Option<usize> {
        let last = self.more.as_mut().and_then(|more| more.triggers.pop());
        let moved = match (last, position.checked_sub(1)) {
            (None, _) => {
                self.first = None;
                None
            }
            (Some(last), None) => {
                self.first = NonZeroU32::new(last + 1);
                Some(last)
            }
            (Some(last), Some(after)) => {
                let others = self.more.as_mut().map(|more| &mut more.triggers);
                others.and_then(|others| others.get_mut(after as usize)).map(|place| {
                    *place = last;
                    last
                })
            }
        };
        self.drop_if_empty();
        moved.map(|trigger| trigger as usize)
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (usize, &BTreeSet<Due>)> {
        self.more.iter().flat_map(|more| more.queues.iter().map(|(lane, queue)| (*lane, queue)))
    }

    fn queue(&mut self, lane: usize) -> &mut BTreeSet<Due> {
        self.more.get_or_insert_default().queues.entry(lane).or_default()
    }

    /// Takes a trigger out of its queue, if it is there, and says who is the first then.
    pub(super) fn leave_queue(&mut self, lane: usize, due: &Due) -> Option<Due> {
        let Entry::Occupied(mut queue) = self.more.as_mut()?.queues.entry(lane) else { return None };
        queue.get_mut().remove(due);
        let first = queue.get().first().cloned();
        if first.is_none() {
            queue.remove();
            self.drop_if_empty();
        }
        first
    }

    fn drop_if_empty(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.triggers.is_empty() && more.queues.is_empty()) {
            self.more = None;
        }
    }
}

#[derive(Debug)]
pub(super) struct Claim {
    /// The node that has it.
    pub(super) session: u64,
    pub(super) trigger: usize,
    pub(super) generation: u64,
    pub(super) lineage: u64,
    pub(super) key: TriggerKey,
    pub(super) job: JobKey,
    /// Its execution group.
    pub(super) group: Option<Arc<str>>,
    pub(super) fired: bool,
    pub(super) lapse: DateTime<Utc>,
    /// When it was fired; before that, when it was claimed.
    pub(super) since: DateTime<Utc>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) jobs: Slab<JobSlot>,
    pub(super) triggers: Slab<TriggerSlot>,
    jobs_by_name: Index,
    triggers_by_name: Index,
    pub(super) calendars: BTreeMap<Arc<str>, Arc<dyn Calendar>>,
    pub(super) pauses: Pauses,
    /// What each attached node can run.
    pub(super) types: HashMap<u64, Option<HashSet<Arc<str>>>>,
    pub(super) lanes: Lanes,
    /// Triggers that cancel their own run when they are due again.
    pub(super) overlapping: BTreeSet<Due>,
    pub(super) busy: HashMap<JobKey, ExecutionId>,
    /// By number, which no two have in common.
    pub(super) claims: HashMap<u64, Claim>,
    /// How many claims there are of each execution group.
    pub(super) claimed: HashMap<Arc<str>, usize>,
    /// Runs that are to be stopped.
    pub(super) cancelled: BTreeMap<ExecutionId, CancelReason>,
    pub(super) unfired: usize,
    /// Something waits again that was kept back: other nodes may take it.
    pub(super) freed: bool,
    /// No unfired claim lapses before this.
    pub(super) earliest_lapse: DateTime<Utc>,
    pub(super) counter: u64,
    pub(super) marks: BTreeMap<Arc<str>, Mark>,
    /// The latest runs that are over, and how many are kept.
    pub(super) history: VecDeque<Box<RunRecord>>,
    pub(super) keeps: usize,
}

/// Where a queued trigger stands.
enum Place {
    Lane,
    /// In the queues of its job, and in the lane if it is the first there and the job is free.
    Queue,
    /// Kept back by its own run, which it cancels when it is due.
    Overlapping,
    /// Kept back by its own run.
    Nowhere,
}

impl Table {
    pub(super) fn job_slot(&self, key: &JobKey) -> Option<usize> {
        self.jobs_by_name.find(key, |slot| self.jobs.get(slot).is_some_and(|job| job.detail.key() == key))
    }

    pub(super) fn trigger_slot(&self, key: &TriggerKey) -> Option<usize> {
        let is = |slot: usize| self.triggers.get(slot).is_some_and(|slot| slot.trigger.key() == key);
        self.triggers_by_name.find(key, is)
    }

    pub(super) fn add_job(&mut self, detail: Arc<JobDetail>) {
        let index = self.jobs.vacant_key();
        self.jobs_by_name.insert(detail.key(), index);
        self.jobs.insert(JobSlot::new(detail));
    }

    pub(super) fn drop_job(&mut self, index: usize) {
        let job = self.jobs.remove(index);
        self.jobs_by_name.remove(job.detail.key(), index);
    }

    pub(super) fn add_trigger(&mut self, mut slot: TriggerSlot) -> usize {
        let index = self.triggers.vacant_key();
        self.triggers_by_name.insert(slot.trigger.key(), index);
        slot.position = self.jobs[slot.job()].add_trigger(index);
        self.triggers.insert(slot)
    }

    pub(super) fn drop_trigger(&mut self, index: usize) -> TriggerSlot {
        let slot = self.triggers.remove(index);
        self.triggers_by_name.remove(slot.trigger.key(), index);
        if let Some(moved) = self.jobs[slot.job()].take_trigger(slot.position) {
            self.triggers[moved].position = slot.position;
        }
        slot
    }

    /// The claim of this name, fired or not.
    pub(super) fn claim_of(&self, id: ExecutionId) -> Option<&Claim> {
        self.claims.get(&id.count()).filter(|claim| claim.session == id.session())
    }

    pub(super) fn due_of(&self, index: usize) -> Option<Due> {
        let slot = &self.triggers[index];
        let at = slot.next().filter(|_| slot.state == StoredState::Waiting)?;
        let (rank, key) = (Reverse(slot.trigger.priority()), slot.trigger.key().clone());
        Some(Due { at: Moment::of(at), rank, key, slot: place(index) })
    }

    fn place_of(&self, index: usize) -> Place {
        let slot = &self.triggers[index];
        match slot.trigger.overlap() {
            OverlapPolicy::CancelPrevious if slot.running > 0 => Place::Overlapping,
            OverlapPolicy::BufferOne if slot.running > 0 => Place::Nowhere,
            _ if self.jobs[slot.job()].detail.disallow_concurrent() => Place::Queue,
            _ => Place::Lane,
        }
    }

    /// Puts a trigger that waits for a time into its place.
    pub(super) fn enqueue(&mut self, index: usize) {
        let Some(due) = self.due_of(index) else { return };
        let (place, lane) = (self.place_of(index), self.triggers[index].lane());
        match place {
            Place::Nowhere => {}
            Place::Overlapping => {
                self.lanes.has_news();
                self.overlapping.insert(due);
            }
            Place::Lane => self.lanes.insert(lane, due),
            Place::Queue => self.enqueue_in_job(due),
        }
    }

    fn enqueue_in_job(&mut self, due: Due) {
        let slot = &self.triggers[due.slot as usize];
        let (lane, home) = (slot.lane(), &mut self.jobs[slot.job()]);
        let free = !self.busy.contains_key(home.detail.key());
        let queue = home.queue(lane);
        if let Some(first) = queue.first().filter(|first| free && due < **first) {
            self.lanes.remove(lane, first);
        }
        queue.insert(due.clone());
        if free && queue.first() == Some(&due) {
            self.lanes.insert(lane, due);
        }
    }

    /// Takes a trigger out of its place, before anything of it changes.
    pub(super) fn dequeue(&mut self, index: usize) {
        let Some(due) = self.due_of(index) else { return };
        let (lane, job) = (self.triggers[index].lane(), self.triggers[index].job());
        self.overlapping.remove(&due);
        let was_in_lane = self.lanes.remove(lane, &due);
        if let Some(first) = self.jobs[job].leave_queue(lane, &due).filter(|_| was_in_lane) {
            self.lanes.insert(lane, first);
        }
    }

    /// Takes what waits for a job that disallows concurrent runs out of the lanes: it is busy from now on.
    pub(super) fn withhold(&mut self, job: usize) {
        for (lane, queue) in self.jobs[job].queues() {
            if let Some(first) = queue.first() {
                self.lanes.remove(lane, first);
            }
        }
    }

    /// Puts the first of what waits for such a job into the lanes: it is free again.
    pub(super) fn offer(&mut self, job: usize) {
        for (lane, queue) in self.jobs[job].queues() {
            if let Some(first) = queue.first() {
                self.lanes.insert(lane, first.clone());
                self.freed = true;
            }
        }
    }

    /// Takes a step of the state table and keeps everything in line; says whether the step was legal.
    pub(super) fn apply(&mut self, index: usize, step: Step) -> bool {
        let Some(next) = self.triggers[index].state.after(step) else { return false };
        self.dequeue(index);
        self.withdraw_claim(index);
        let slot = &mut self.triggers[index];
        slot.state = next;
        if next != StoredState::Paused {
            slot.set_pause(None);
        }
        self.enqueue(index);
        true
    }

    /// Makes a trigger of that job a member of its lane.
    pub(super) fn join_lane(&mut self, job: usize, trigger: &Trigger) -> usize {
        self.lanes.join(trigger.execution_group(), self.jobs[job].detail.shared_job_type())
    }

    /// Whether a run of the job keeps its triggers waiting.
    pub(super) fn is_busy(&self, job: &JobKey) -> bool {
        let claim = self.busy.get(job).and_then(|claim| self.claim_of(*claim));
        claim.is_some_and(|claim| claim.fired)
    }
}
