//! Jobs, triggers and claims, and where each waiting trigger stands.
//!
//! Invariants, true whenever the lock is free:
//! 1. A trigger is *queued* if and only if it is waiting and has a next fire time. It then stands in exactly one place:
//!    in its lane, or in the queue of its job, or, while its own run keeps it back, among `overlapping`.
//! 2. Of the queued triggers of a job that disallows concurrent runs, all are in the job's `queues`, and exactly the first
//!    of each lane is in its lane too, and none while a claim of the job exists. So such a job never has two claims, and
//!    freeing it costs the same however many triggers wait.
//! 3. `busy[job]` is the one claim of a job that disallowed concurrent runs when the claim was made.
//! 4. An acquired trigger has exactly one unfired claim; `unfired` counts them.
//! 5. Slots and keys map to each other; a claim names its trigger by slot and generation, since slots are reused.
//! 6. A paused trigger has a note, and only a paused one has.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use slab::Slab;

use super::lanes::{Due, LaneKey, Lanes};
use super::pauses::Pauses;
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::store::admin::{PauseNote, RunRecord};
use crate::store::state::{Step, StoredState};
use crate::trigger::{OverlapPolicy, Progress, Trigger};

#[derive(Debug)]
pub(super) struct TriggerSlot {
    pub(super) trigger: Arc<Trigger>,
    pub(super) progress: Progress,
    pub(super) state: StoredState,
    pub(super) pause: Option<Box<PauseNote>>,
    pub(super) running: u32,
    pub(super) job: usize,
    pub(super) lane: usize,
    /// Where this slot stands in the job's list.
    pub(super) position: usize,
    pub(super) generation: u64,
    /// The generation of the first in a row of triggers that took each other's place: their runs count as its own.
    pub(super) lineage: u64,
    /// Changes with the description.
    pub(super) revision: u64,
    pub(super) claim: Option<ExecutionId>,
    /// When its own run ended that has kept it waiting.
    pub(super) freed: Option<DateTime<Utc>>,
}

#[derive(Debug)]
pub(super) struct JobSlot {
    pub(super) detail: Arc<JobDetail>,
    pub(super) triggers: Vec<usize>,
    /// The queued triggers by lane, if the job disallows concurrent runs.
    pub(super) queues: BTreeMap<usize, BTreeSet<Due>>,
}

#[derive(Debug)]
pub(super) struct Claim {
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
    pub(super) job_slots: HashMap<JobKey, usize>,
    pub(super) trigger_slots: HashMap<TriggerKey, usize>,
    pub(super) calendars: BTreeMap<Arc<str>, Arc<dyn Calendar>>,
    pub(super) pauses: Pauses,
    /// What each attached node can run.
    pub(super) types: HashMap<u64, Option<HashSet<Arc<str>>>>,
    pub(super) lanes: Lanes,
    /// Triggers that cancel their own run when they are due again.
    pub(super) overlapping: BTreeSet<Due>,
    pub(super) busy: HashMap<JobKey, ExecutionId>,
    pub(super) claims: HashMap<ExecutionId, Claim>,
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
    pub(super) fn due_of(&self, index: usize) -> Option<Due> {
        let slot = &self.triggers[index];
        let at = slot.progress.next.filter(|_| slot.state == StoredState::Waiting)?;
        Some(Due { at, rank: Reverse(slot.trigger.priority()), key: slot.trigger.key().clone(), slot: index })
    }

    fn place_of(&self, index: usize) -> Place {
        let slot = &self.triggers[index];
        match slot.trigger.overlap() {
            OverlapPolicy::CancelPrevious if slot.running > 0 => Place::Overlapping,
            OverlapPolicy::BufferOne if slot.running > 0 => Place::Nowhere,
            _ if self.jobs[slot.job].detail.disallow_concurrent() => Place::Queue,
            _ => Place::Lane,
        }
    }

    /// Puts a trigger that waits for a time into its place.
    pub(super) fn enqueue(&mut self, index: usize) {
        let Some(due) = self.due_of(index) else { return };
        let (place, lane) = (self.place_of(index), self.triggers[index].lane);
        match place {
            Place::Nowhere => {}
            Place::Overlapping => drop(self.overlapping.insert(due)),
            Place::Lane => self.lanes.insert(lane, due),
            Place::Queue => self.enqueue_in_job(due),
        }
    }

    fn enqueue_in_job(&mut self, due: Due) {
        let TriggerSlot { lane, job, .. } = self.triggers[due.slot];
        let home = &mut self.jobs[job];
        let free = !self.busy.contains_key(home.detail.key());
        let queue = home.queues.entry(lane).or_default();
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
        let TriggerSlot { lane, job, .. } = self.triggers[index];
        self.overlapping.remove(&due);
        let was_in_lane = self.lanes.remove(lane, &due);
        let Entry::Occupied(mut queue) = self.jobs[job].queues.entry(lane) else { return };
        queue.get_mut().remove(&due);
        if let Some(first) = queue.get().first().filter(|_| was_in_lane) {
            self.lanes.insert(lane, first.clone());
        }
        if queue.get().is_empty() {
            queue.remove();
        }
    }

    /// Takes what waits for a job that disallows concurrent runs out of the lanes: it is busy from now on.
    pub(super) fn withhold(&mut self, job: usize) {
        for (lane, queue) in &self.jobs[job].queues {
            if let Some(first) = queue.first() {
                self.lanes.remove(*lane, first);
            }
        }
    }

    /// Puts the first of what waits for such a job into the lanes: it is free again.
    pub(super) fn offer(&mut self, job: usize) {
        for (lane, queue) in &self.jobs[job].queues {
            if let Some(first) = queue.first() {
                self.lanes.insert(*lane, first.clone());
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
            slot.pause = None;
        }
        self.enqueue(index);
        true
    }

    pub(super) fn lane_key(&self, job: usize, trigger: &Trigger) -> LaneKey {
        LaneKey {
            group: trigger.execution_group().cloned(),
            job_type: self.jobs[job].detail.shared_job_type().clone(),
        }
    }

    /// Whether a run of the job keeps its triggers waiting.
    pub(super) fn is_busy(&self, job: &JobKey) -> bool {
        let claim = self.busy.get(job).and_then(|claim| self.claims.get(claim));
        claim.is_some_and(|claim| claim.fired)
    }
}
