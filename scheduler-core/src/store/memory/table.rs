//! The rows, and where each waiting trigger stands.
//!
//! Invariants, true whenever the lock is free:
//! 1. A trigger *stands* in its place, as its row says, unless it is claimed and not fired: in its lane, or in the waiting
//!    list of its job. So does a run, unless it is claimed.
//! 2. Of what stands of a job that disallows concurrent runs, all is in the job's waiting lists, and exactly the first
//!    of each lane is in its lane too, and none while the job is busy. So such a job never has two claims, and freeing it
//!    costs the same however many triggers wait.
//! 3. A job is `busy` if and only if a claim holds it.
//! 4. `unfired` counts the claims that are not fired; none of them lapses before `earliest_lapse`.
//! 5. `lengths` counts the runs that wait and have no claim, of the queues that it has.
//! 6. Slots and keys map to each other; numbers of rows name a slot and its generation, since slots are reused.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use foldhash::HashMap;
use slab::Slab;

use super::batches::Batches;
use super::ended::{Ended, Stands, stands};
use super::entries::{Entry, Journal};
use super::fair::FairTable;
use super::firings::Firings;
use super::gates::GateTable;
use super::index::{Index, place};
use super::lanes::{Due, Lanes};
use super::lengths::Lengths;
use super::listing::Listings;
use super::slots::{JobSlot, RunSlot, TriggerSlot, is_of, number, slot_of};
use super::tags::{Tags, tags};
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId};
use crate::key::{JobKey, TriggerKey};
use crate::run::RunId;
use crate::store::admin::Mark;
use crate::store::counts::CountTable;
use crate::store::pauses::Pauses;
use crate::store::queues::QueueFilter;
use crate::store::rows::*;

/// What a node takes.
#[derive(Debug)]
pub(super) struct Takes {
    pub(super) types: Option<HashSet<Arc<str>>>,
    pub(super) queues: QueueFilter,
}

/// An open transaction of the store in memory.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) jobs: Slab<JobSlot>,
    pub(super) triggers: Slab<TriggerSlot>,
    pub(super) runs: Slab<RunSlot>,
    runs_by_id: HashMap<RunId, u32>,
    jobs_by_name: Index,
    triggers_by_name: Index,
    pub(super) listings: Listings,
    pub(super) calendars: BTreeMap<Arc<str>, Arc<dyn Calendar>>,
    pub(super) pauses: Pauses,
    pub(super) counts: CountTable,
    /// When the first pause of a group ends by itself.
    pub(super) pauses_end: Option<DateTime<Utc>>,
    /// What each attached node takes.
    pub(super) takes: HashMap<u64, Takes>,
    pub(super) lanes: Lanes,
    /// Triggers that a rule has to look at.
    pub(super) alarms: BTreeSet<(DateTime<Utc>, Id<TriggerRow>)>,
    /// Runs that have ended, and alarms of runs.
    pub(super) ended: Ended,
    pub(super) tags: Tags,
    pub(super) batches: Batches,
    pub(super) lengths: Lengths,
    pub(super) gates: GateTable,
    pub(super) fair: FairTable,
    pub(super) busy: HashMap<JobKey, u64>,
    /// What stands of jobs that disallow concurrent runs, by lane.
    waiting: HashMap<JobKey, BTreeMap<usize, BTreeSet<Due>>>,
    /// By number, which no two have in common.
    pub(super) claims: HashMap<u64, ClaimRow>,
    /// How many claims there are of each queue.
    pub(super) claimed: HashMap<Arc<str>, usize>,
    /// Runs that are to be stopped.
    pub(super) cancelled: BTreeMap<ExecutionId, CancelReason>,
    pub(super) unfired: usize,
    pub(super) earliest_lapse: DateTime<Utc>,
    /// Something waits again that was kept back: other nodes may take it.
    pub(super) freed: bool,
    /// Runs whose end clients may wait for.
    pub(super) told: Vec<RunId>,
    pub(super) counter: u64,
    generation: u32,
    pub(super) marks: BTreeMap<Arc<str>, Mark>,
    /// The latest firing records, if any are kept.
    pub(super) firings: Option<Box<Firings>>,
    /// What has changed, if somebody wants to know.
    pub(super) journal: Option<Box<Journal>>,
}

/// Jobs.
impl Table {
    pub(super) fn job_slot(&self, key: &JobKey) -> Option<usize> {
        self.jobs_by_name.find(key, |slot| self.jobs.get(slot).is_some_and(|job| job.row.detail.key() == key))
    }

    pub(super) fn job_of(&self, id: Id<JobRow>) -> Option<usize> {
        let slot = slot_of(id);
        self.jobs.get(slot).filter(|job| is_of(id, job.generation)).map(|_| slot)
    }

    pub(super) fn insert_job(&mut self, row: JobRow) -> Id<JobRow> {
        let index = self.jobs.vacant_key();
        self.note(|| Entry::Job(row.detail.key().clone()));
        self.jobs_by_name.insert(row.detail.key(), index);
        self.generation = self.generation.wrapping_add(1);
        self.listings.jobs.added(number(index, self.generation), self.jobs.len());
        self.jobs.insert(JobSlot::new(row, self.generation));
        number(index, self.generation)
    }

    pub(super) fn drop_job(&mut self, index: usize) {
        let job = self.jobs.remove(index);
        self.note(|| Entry::Job(job.row.detail.key().clone()));
        self.jobs_by_name.remove(job.row.detail.key(), index);
    }

    /// Takes what waits for a job that disallows concurrent runs out of the lanes: it is busy from now on.
    pub(super) fn withhold(&mut self, job: &JobKey) {
        for (lane, list) in self.waiting.get(job).into_iter().flatten() {
            if let Some(first) = list.first() {
                self.lanes.remove(*lane, first);
            }
        }
    }

    /// Puts the first of what waits for such a job into the lanes: it is free again.
    pub(super) fn offer(&mut self, job: &JobKey) {
        for (lane, list) in self.waiting.get(job).into_iter().flatten() {
            if let Some(first) = list.first() {
                self.lanes.insert(*lane, first.clone());
                self.freed = true;
            }
        }
    }

    fn stand_in_job(&mut self, due: Due, lane: usize, job: &JobKey) {
        let free = !self.busy.contains_key(job);
        let list = self.waiting.entry(job.clone()).or_default().entry(lane).or_default();
        if let Some(first) = list.first().filter(|first| free && due < **first) {
            self.lanes.remove(lane, first);
        }
        list.insert(due.clone());
        if free && list.first() == Some(&due) {
            self.lanes.insert(lane, due);
        }
    }

    /// Takes one out of the waiting list of its job, if it is there, and says who is the first then.
    pub(super) fn leave_waiting(&mut self, job: &JobKey, lane: usize, due: &Due) -> Option<Due> {
        let lists = self.waiting.get_mut(job)?;
        let list = lists.get_mut(&lane)?;
        list.remove(due);
        let first = list.first().cloned();
        if first.is_none() {
            lists.remove(&lane);
            if lists.is_empty() {
                self.waiting.remove(job);
            }
        }
        first
    }

    pub(super) fn stand_at(&mut self, due: Due, at: &Place, job: &JobKey) {
        let lane = at.lane.0 as usize;
        if at.exclusive { self.stand_in_job(due, lane, job) } else { self.lanes.insert(lane, due) }
    }

    fn leave_from(&mut self, due: &Due, at: &Place, job: &JobKey) {
        let lane = at.lane.0 as usize;
        let was_in_lane = self.lanes.remove(lane, due);
        if !at.exclusive {
            return;
        }
        if let Some(first) = self.leave_waiting(job, lane, due).filter(|_| was_in_lane) {
            self.lanes.insert(lane, first);
        }
    }
}

/// Triggers.
impl Table {
    pub(super) fn trigger_slot(&self, key: &TriggerKey) -> Option<usize> {
        let is = |slot: usize| self.triggers.get(slot).is_some_and(|slot| slot.row.trigger.key() == key);
        self.triggers_by_name.find(key, is)
    }

    pub(super) fn trigger_of(&self, id: Id<TriggerRow>) -> Option<usize> {
        let slot = slot_of(id);
        self.triggers.get(slot).filter(|trigger| is_of(id, trigger.generation)).map(|_| slot)
    }

    pub(super) fn id_of(&self, index: usize) -> Id<TriggerRow> {
        number(index, self.triggers[index].generation)
    }

    pub(super) fn insert_trigger(&mut self, row: TriggerRow) -> Id<TriggerRow> {
        let index = self.triggers.vacant_key();
        self.note(|| Entry::Trigger(row.trigger.key().clone()));
        self.triggers_by_name.insert(row.trigger.key(), index);
        self.generation = self.generation.wrapping_add(1);
        let (id, alarm) = (number(index, self.generation), row.alarm());
        self.listings.triggers.added(number(index, self.generation), self.triggers.len());
        self.lanes.join(row.lane.0 as usize);
        let position = self.jobs[slot_of(row.job)].add_trigger(index);
        self.triggers.insert(TriggerSlot {
            row,
            generation: self.generation,
            position,
            stands: false,
            claimed: false,
        });
        self.set_alarm(id, None, alarm);
        self.stand(index);
        id
    }

    pub(super) fn drop_trigger(&mut self, index: usize) {
        let (place, alarm, id) =
            (self.triggers[index].row.place(), self.triggers[index].row.alarm(), self.id_of(index));
        self.leave(index, place);
        self.set_alarm(id, alarm, None);
        let slot = self.triggers.remove(index);
        self.note(|| Entry::Trigger(slot.row.trigger.key().clone()));
        self.triggers_by_name.remove(slot.row.trigger.key(), index);
        self.lanes.leave(slot.row.lane.0 as usize);
        self.leave_job(slot.row.job, slot.position);
    }

    fn leave_job(&mut self, job: Id<JobRow>, position: u32) {
        if let Some(moved) = self.jobs[slot_of(job)].take_trigger(position) {
            self.triggers[moved].position = position;
        }
    }

    pub(super) fn edit_trigger<A>(&mut self, index: usize, edit: impl FnOnce(&mut TriggerRow) -> A) -> A {
        let row = &mut self.triggers[index].row;
        let (place, alarm, lane, job) = (row.place(), row.alarm(), row.lane, row.job);
        let job_key = row.trigger.job().clone();
        let answer = edit(row);
        let (place_now, alarm_now, lane_now, job_now) = (row.place(), row.alarm(), row.lane, row.job);
        if place_now != place || job_now != job {
            self.leave_of(index, &job_key, place);
            if job_now != job {
                self.leave_job(job, self.triggers[index].position);
                self.triggers[index].position = self.jobs[slot_of(job_now)].add_trigger(index);
            }
            if !self.triggers[index].claimed {
                self.stand(index);
            }
        }
        if lane_now != lane {
            self.lanes.join(lane_now.0 as usize);
            self.lanes.leave(lane.0 as usize);
        }
        if alarm_now != alarm {
            self.set_alarm(self.id_of(index), alarm, alarm_now);
        }
        if self.journal.is_some() {
            let key = self.triggers[index].row.trigger.key().clone();
            self.note(|| Entry::Trigger(key));
        }
        answer
    }

    fn set_alarm(&mut self, id: Id<TriggerRow>, before: Option<DateTime<Utc>>, after: Option<DateTime<Utc>>) {
        if let Some(before) = before {
            self.alarms.remove(&(before, id));
        }
        if let Some(after) = after {
            self.lanes.has_news();
            self.alarms.insert((after, id));
        }
    }

    fn due(&self, index: usize, at: &Place) -> Due {
        Due::of_trigger(self.triggers[index].row.trigger.key().clone(), index, at)
    }

    /// Puts a trigger into its place, if it has one and does not stand there.
    pub(super) fn stand(&mut self, index: usize) {
        let slot = &mut self.triggers[index];
        let Some(at) = slot.row.place().filter(|_| !slot.stands) else { return };
        slot.stands = true;
        let job = slot.row.trigger.job().clone();
        self.stand_at(self.due(index, &at), &at, &job);
    }

    pub(super) fn leave(&mut self, index: usize, at: Option<Place>) {
        let job = self.triggers[index].row.trigger.job().clone();
        self.leave_of(index, &job, at);
    }

    /// Takes a trigger out of the place that it had as one of this job.
    fn leave_of(&mut self, index: usize, job: &JobKey, at: Option<Place>) {
        if !std::mem::take(&mut self.triggers[index].stands) {
            return;
        }
        if let Some(at) = at {
            self.leave_from(&self.due(index, &at), &at, job);
        }
    }
}

/// Runs.
impl Table {
    pub(super) fn run_of(&self, id: Id<RunRow>) -> Option<usize> {
        let slot = slot_of(id);
        self.runs.get(slot).filter(|run| is_of(id, run.generation)).map(|_| slot)
    }

    pub(super) fn run_slot(&self, id: RunId) -> Option<usize> {
        self.runs_by_id.get(&id).map(|slot| *slot as usize)
    }

    pub(super) fn run_id(&self, index: usize) -> Id<RunRow> {
        number(index, self.runs[index].generation)
    }

    pub(super) fn insert_run(&mut self, row: RunRow) -> Id<RunRow> {
        let index = self.runs.vacant_key();
        self.note_run(&row);
        self.runs_by_id.insert(row.id, place(index));
        self.generation = self.generation.wrapping_add(1);
        self.listings.runs.added(number(index, self.generation), self.runs.len());
        self.lanes.join(row.lane.0 as usize);
        let (id, stood) = (number(index, self.generation), stands(&row));
        self.tags.change(id, &[], &tags(&row));
        self.batches.entered(&row);
        self.runs.insert(RunSlot { row, generation: self.generation, stands: false, claim: 0 });
        self.lengths.enter(&self.runs[index]);
        self.change_ended(id, (None, None), stood);
        self.stand_run(index);
        id
    }

    pub(super) fn remove_run(&mut self, index: usize) {
        let place = self.runs[index].row.place();
        self.leave_run(index, place);
        let id = self.run_id(index);
        self.lengths.leave(&self.runs[index]);
        let slot = self.runs.remove(index);
        self.note_run(&slot.row);
        self.ended.change(id, stands(&slot.row), (None, None));
        self.tags.change(id, &tags(&slot.row), &[]);
        self.free_gates(&slot.row.gates().of_run());
        self.batches.left(&slot.row);
        self.runs_by_id.remove(&slot.row.id);
        self.lanes.leave(slot.row.lane.0 as usize);
    }

    pub(super) fn edit_run<A>(&mut self, index: usize, edit: impl FnOnce(&mut RunRow) -> A) -> A {
        self.lengths.leave(&self.runs[index]);
        let (id, row) = (self.run_id(index), &mut self.runs[index].row);
        let (before, end, lane, tagged) = (row.place(), stands(row), row.lane, tags(row));
        let gates = row.gates();
        let answer = edit(row);
        let (lane_now, id_of_run) = (row.lane, row.id);
        let (end_now, tagged_now, has_other_gates) = (stands(row), tags(row), row.gates() != gates);
        self.lengths.enter(&self.runs[index]);
        self.change_ended(id, end, end_now);
        self.tags.change(id, &tagged, &tagged_now);
        if lane_now != lane {
            self.lanes.join(lane_now.0 as usize);
        }
        if has_other_gates {
            self.gates.hold(&self.runs[index].row.gates().of_run());
            self.free_gates(&gates.of_run());
        }
        if self.runs[index].row.place() != before || has_other_gates {
            self.leave_run(index, before);
            if self.runs[index].claim == 0 {
                self.stand_run(index);
            }
        }
        if lane_now != lane {
            self.lanes.leave(lane.0 as usize);
        }
        self.note(|| Entry::Run(id_of_run));
        answer
    }

    /// The entries of a run in the orders of alarms and ended runs have changed.
    fn change_ended(&mut self, id: Id<RunRow>, before: Stands, after: Stands) {
        if self.ended.change(id, before, after) {
            self.lanes.has_news();
        }
    }

    /// A claim of a run is gone, if it had one.
    pub(super) fn end_claim_of(&mut self, index: usize) {
        if self.runs[index].claim != 0 {
            self.runs[index].claim = 0;
            self.lengths.enter(&self.runs[index]);
        }
    }

    /// Puts a run into its place, if it has one and does not stand there.
    pub(super) fn stand_run(&mut self, index: usize) {
        let slot = &mut self.runs[index];
        let Some(at) = slot.row.place().filter(|_| !slot.stands) else { return };
        slot.stands = true;
        if slot.row.is_gated()
            && let Some(key) = slot.row.gates().fair()
        {
            return self.line_up(index, &at, key.clone());
        }
        let (due, job) = (Due::of_run(slot.row.id, index, &at), slot.row.job.clone());
        self.stand_at(due, &at, &job);
    }

    pub(super) fn leave_run(&mut self, index: usize, at: Option<Place>) {
        self.leave_place(index, at);
        self.leave_line(index);
    }

    /// Takes a run out of its lane or its gate. What it has to do with others of its key stays.
    pub(super) fn leave_place(&mut self, index: usize, at: Option<Place>) {
        if !std::mem::take(&mut self.runs[index].stands) {
            return;
        }
        if let Some(at) = at.filter(|_| !self.fair.is_waiting(index)) {
            let (due, job) = (self.due_of_run(index, &at), self.runs[index].row.job.clone());
            if !self.leave_gate(index, &due) {
                self.leave_from(&due, &at, &job);
            }
        }
    }
}

/// Claims.
impl Table {
    pub(super) fn insert_claim(&mut self, number: u64, claim: ClaimRow) {
        if !claim.fired {
            self.earliest_lapse =
                if self.unfired == 0 { claim.lapse } else { self.earliest_lapse.min(claim.lapse) };
            self.unfired += 1;
        }
        if let Some(queue) = claim.trigger.queue() {
            *self.claimed.entry(queue.clone()).or_default() += 1;
        }
        if claim.exclusive {
            self.busy.insert(claim.trigger.job().clone(), number);
        }
        self.gates.hold(&claim.gates);
        self.note(|| Entry::Claim(number));
        self.claims.insert(number, claim);
    }

    pub(super) fn edit_claim<A>(&mut self, number: u64, edit: impl FnOnce(&mut ClaimRow) -> A) -> Option<A> {
        let claim = self.claims.get_mut(&number)?;
        let (fired, cancel) = (claim.fired, claim.cancel);
        let answer = edit(claim);
        self.unfired -= usize::from(claim.fired && !fired);
        if claim.cancel != cancel {
            let id = ExecutionId::new(claim.session, number);
            self.cancelled.extend(claim.cancel.map(|reason| (id, reason)));
        }
        self.note(|| Entry::Claim(number));
        Some(answer)
    }

    pub(super) fn drop_claim(&mut self, number: u64) {
        let Some(claim) = self.claims.remove(&number) else { return };
        self.note(|| Entry::Claim(number));
        self.unfired -= usize::from(!claim.fired);
        if let Item::Run(run) = claim.item
            && let Some(slot) = self.run_slot(run)
            && self.runs[slot].claim == number
        {
            self.end_claim_of(slot);
        }
        if claim.cancel.is_some() {
            self.cancelled.remove(&ExecutionId::new(claim.session, number));
        }
        self.free_gates(&claim.gates);
        let Some(queue) = claim.trigger.queue() else { return };
        // Another node may have waited for the end of it.
        self.freed = true;
        let left = self.claimed.get_mut(queue).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            self.claimed.remove(queue);
        }
    }
}
