//! Jobs, triggers and claims, and where each waiting trigger stands.
//!
//! Invariants, true whenever the lock is free:
//! 1. A trigger is *queued* if and only if it is waiting and has a next fire time. It then stands in exactly one place:
//!    in its lane, or in the queue of its job, or, while its own run keeps it back, among `overlapping`.
//! 2. Of the queued triggers of a job that disallows concurrent runs, all are in the job's `queue`, and exactly the first is
//!    in its lane too, and none while a claim of the job exists. So such a job never has two claims, and freeing it costs
//!    the same however many triggers wait.
//! 3. `busy[job]` is the one claim of a job that disallowed concurrent runs when the claim was made.
//! 4. An acquired trigger has exactly one unfired claim; `unfired` counts them.
//! 5. Slots and keys map to each other; a claim names its trigger by slot and generation, since slots are reused.
//! 6. A paused trigger has a note, and only a paused one has.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use slab::Slab;

use super::lanes::{Due, LaneKey, Lanes};
use super::pauses::Pauses;
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::store::admin::PauseNote;
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
    /// Changes with the description.
    pub(super) revision: u64,
    pub(super) claim: Option<ExecutionId>,
}

#[derive(Debug)]
pub(super) struct JobSlot {
    pub(super) detail: Arc<JobDetail>,
    pub(super) triggers: Vec<usize>,
    /// The queued triggers, if the job disallows concurrent runs.
    pub(super) queue: BTreeSet<Due>,
}

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) trigger: usize,
    pub(super) generation: u64,
    pub(super) key: TriggerKey,
    pub(super) job: JobKey,
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
    /// Runs that are to be stopped and whose nodes have not heard of it.
    pub(super) cancelled: Vec<(ExecutionId, CancelReason)>,
    pub(super) unfired: usize,
    /// No unfired claim lapses before this.
    pub(super) earliest_lapse: DateTime<Utc>,
    pub(super) counter: u64,
}

/// Where a queued trigger stands.
enum Place {
    Lane,
    /// In the queue of its job, and in the lane if it is the first there and the job is free.
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
        let home = &mut self.jobs[self.triggers[due.slot].job];
        let free = !self.busy.contains_key(home.detail.key());
        if let Some(first) = home.queue.first().filter(|first| free && due < **first) {
            self.lanes.remove(self.triggers[first.slot].lane, first);
        }
        home.queue.insert(due.clone());
        if free && home.queue.first() == Some(&due) {
            self.lanes.insert(self.triggers[due.slot].lane, due);
        }
    }

    /// Takes a trigger out of its place, before anything of it changes.
    pub(super) fn dequeue(&mut self, index: usize) {
        let Some(due) = self.due_of(index) else { return };
        self.overlapping.remove(&due);
        let was_in_lane = self.lanes.remove(self.triggers[index].lane, &due);
        let home = &mut self.jobs[self.triggers[index].job];
        let was_queued = home.queue.remove(&due);
        if was_in_lane && was_queued {
            self.offer_first(self.triggers[index].job);
        }
    }

    /// Puts the first waiting trigger of a free job that disallows concurrent runs into its lane.
    pub(super) fn offer_first(&mut self, job: usize) {
        if let Some(first) = self.jobs[job].queue.first().cloned() {
            self.lanes.insert(self.triggers[first.slot].lane, first);
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
