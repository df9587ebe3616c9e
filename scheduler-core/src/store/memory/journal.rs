//! The journal of a table, for a driver that writes its changes elsewhere, and what brings them back from there.
#![allow(missing_docs, reason = "the names say it, and nobody but drivers sees them")]

use std::collections::BTreeSet;
use std::sync::Arc;

pub use super::entries::*;
use super::slots::number;
use super::table::Table;
use crate::calendar::Calendar;
use crate::key::{JobKey, TriggerKey};
use crate::run::{BatchCounts, GateId, RunId};
use crate::store::admin::Mark;
use crate::store::counts::{CountStep, EndCount};
use crate::store::firings::FiringRecord;
use crate::store::limits::LimitOverride;
use crate::store::pauses::Pauses;
use crate::store::rows::*;
use crate::store::view::Names;

impl Table {
    /// An empty table, which keeps so many firing records.
    pub fn keeping_history(records: usize) -> Self {
        let mut table = Self::default();
        table.firings = super::firings::Firings::keeping(records).map(Box::new);
        table
    }

    /// From now on changes are noted.
    pub fn keep_journal(&mut self) {
        self.journal = Some(Box::default());
    }

    /// What has changed since this was called last.
    pub fn take_journal(&mut self) -> Journal {
        self.journal.as_mut().map(|journal| std::mem::take(&mut **journal)).unwrap_or_default()
    }

    /// The largest number that was given to a claim, or to a row.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    pub(super) fn note(&mut self, entry: impl FnOnce() -> Entry) {
        if let Some(journal) = &mut self.journal {
            journal.entries.insert(entry());
        }
    }

    pub(super) fn note_run(&mut self, row: &RunRow) {
        self.note(|| Entry::Run(row.id));
        if row.is_batch() {
            self.note(|| Entry::Batch(row.id));
        }
    }

    /// A node has claimed the trigger and has not fired it.
    pub(super) fn hide(&mut self, index: usize) {
        self.leave(index, self.triggers[index].row.place());
        self.triggers[index].claimed = true;
    }

    /// What an entry is by now.
    pub fn stored(&self, entry: &Entry) -> Stored<'_> {
        let found = match entry {
            Entry::Job(key) => self.job_slot(key).map(|slot| Stored::Job(&self.jobs[slot].row)),
            Entry::Trigger(key) => {
                self.trigger_slot(key).map(|slot| Stored::Trigger(&self.triggers[slot].row))
            }
            Entry::Run(id) => self.run_slot(*id).map(|slot| Stored::Run(&self.runs[slot].row)),
            Entry::Claim(number) => self.claims.get(number).map(Stored::Claim),
            Entry::Batch(id) => self.batches.entry(*id).map(|(counts, rings)| Stored::Batch(counts, rings)),
            Entry::Gate(id) => self.gates.by_id.get(id).map(|entry| {
                let (rate, shut, idle_at) = (entry.rate.clone(), entry.shut, entry.idle_at);
                Stored::Gate(GateState { rate, shut, idle_at })
            }),
            Entry::Cap(id) => self.gates.caps.set.get(id).map(Stored::Cap),
            Entry::Calendar(name) => self.calendars.get(name).map(Stored::Calendar),
            Entry::Mark(name) => self.marks.get(name).map(Stored::Mark),
            Entry::Pauses => Some(Stored::Pauses(&self.pauses)),
            Entry::Counts(step, start) => self.counts.bucket(*step, *start).map(|bucket| {
                let row = |ends: &EndCount| (ends.key.clone(), ends.count, ends.durations, ends.latest);
                Stored::Counts(bucket.map(row).collect())
            }),
        };
        found.unwrap_or(Stored::Gone)
    }
}

/// What was written comes back, before anything else is done: jobs, then triggers and runs, then claims, then the rest.
impl Table {
    pub fn restore_counter(&mut self, counter: u64) {
        self.counter = self.counter.max(counter);
    }

    pub fn restore_job(&mut self, row: JobRow) {
        self.insert_job(row);
    }

    /// Says whether its job is there; otherwise it is left out.
    pub fn restore_trigger(&mut self, row: TriggerRow) -> bool {
        let is_there = self.job_of(row.job).is_some();
        if is_there {
            self.insert_trigger(row);
        }
        is_there
    }

    pub fn restore_run(&mut self, row: RunRow) {
        self.gates.hold(&row.gates().of_run());
        self.insert_run(row);
    }

    pub fn restore_claim(&mut self, number: u64, claim: ClaimRow) {
        match claim.item {
            Item::Run(run) => {
                if let Some(slot) = self.run_slot(run) {
                    self.lengths.leave(&self.runs[slot]);
                    let place = self.runs[slot].row.place();
                    self.leave_run(slot, place);
                    self.runs[slot].claim = number;
                }
            }
            Item::Trigger(id) => {
                let is_meant = |row: &TriggerRow| (row.birth, row.epoch) == (claim.birth, claim.epoch);
                let slot = self.trigger_of(id).filter(|slot| is_meant(&self.triggers[*slot].row));
                if let Some(slot) = slot.filter(|_| !claim.fired) {
                    self.hide(slot);
                }
            }
        }
        if claim.exclusive {
            self.withhold(claim.trigger.job());
        }
        if let Some(reason) = claim.cancel {
            self.cancelled.insert(crate::job::ExecutionId::new(claim.session, number), reason);
        }
        self.counter = self.counter.max(number);
        self.insert_claim(number, claim);
    }

    pub fn restore_batch(&mut self, batch: RunId, counts: BatchCounts, rings: bool) {
        self.batches.restore(batch, counts, rings);
    }

    pub fn restore_gate(&mut self, id: GateId, state: GateState) {
        self.gates.restore(id, state);
    }

    pub fn restore_cap(&mut self, id: GateId, cap: LimitOverride) {
        self.gates.caps.set.insert(id, cap);
    }

    pub fn restore_calendar(&mut self, name: Arc<str>, calendar: Arc<dyn Calendar>) {
        self.calendars.insert(name, calendar);
    }

    pub fn restore_mark(&mut self, name: Arc<str>, mark: Mark) {
        self.marks.insert(name, mark);
    }

    pub fn restore_pauses(&mut self, pauses: Pauses) {
        self.pauses_end = pauses.next_ending();
        self.pauses = pauses;
    }

    pub fn restore_counts(&mut self, step: CountStep, start: i64, rows: Vec<CountRow>) {
        let ends = rows.into_iter().map(|(key, count, durations, latest)| {
            let mut ends = EndCount::new(key, latest);
            (ends.count, ends.durations) = (count, durations);
            ends
        });
        self.counts.restore(step, start, ends);
    }

    /// In the order of their numbers.
    pub fn restore_firing(&mut self, record: FiringRecord) {
        if let Some(firings) = &mut self.firings {
            firings.restore(record.into());
        }
    }
}

/// Numbers and lanes of what is read back.
#[derive(Debug)]
pub struct Naming<'a> {
    pub table: &'a mut Table,
    texts: BTreeSet<Arc<str>>,
}

impl<'a> Naming<'a> {
    pub fn of(table: &'a mut Table) -> Self {
        Self { table, texts: BTreeSet::new() }
    }
}

/// No row has this number.
const NOBODY: u64 = u64::MAX;

impl Names for Naming<'_> {
    fn job(&mut self, key: &JobKey) -> Id<JobRow> {
        let slot = self.table.job_slot(key);
        slot.map_or(Id::new(NOBODY), |slot| number(slot, self.table.jobs[slot].generation))
    }

    fn trigger(&mut self, key: &TriggerKey) -> Id<TriggerRow> {
        self.table.trigger_slot(key).map_or(Id::new(NOBODY), |slot| self.table.id_of(slot))
    }

    fn run(&mut self, id: RunId) -> Id<RunRow> {
        self.table.run_slot(id).map_or(Id::new(NOBODY), |slot| self.table.run_id(slot))
    }

    fn lane(&mut self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane {
        self.table.lane(queue, job_type)
    }

    fn lane_of(&self, lane: Lane) -> (Option<Arc<str>>, Arc<str>) {
        self.table.lane_of(lane)
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        new
    }

    fn number(&mut self) -> u64 {
        Rows::number(self.table)
    }
}

/// To write a trigger, only the names of lanes are needed.
impl Table {
    pub fn lane_of(&self, lane: Lane) -> (Option<Arc<str>>, Arc<str>) {
        self.lanes.name(lane.0 as usize)
    }

    /// A trigger as bytes.
    ///
    /// # Errors
    ///
    /// Its data cannot be written as JSON.
    pub fn record_of_trigger(&self, row: &TriggerRow) -> crate::Result<Vec<u8>> {
        crate::store::view::record::trigger(row, &LaneNames(self))
    }
}

/// The names of lanes.
struct LaneNames<'a>(&'a Table);

impl Names for LaneNames<'_> {
    fn job(&mut self, _: &JobKey) -> Id<JobRow> {
        Id::new(NOBODY)
    }

    fn trigger(&mut self, _: &TriggerKey) -> Id<TriggerRow> {
        Id::new(NOBODY)
    }

    fn run(&mut self, _: RunId) -> Id<RunRow> {
        Id::new(NOBODY)
    }

    fn lane(&mut self, _: Option<&Arc<str>>, _: &Arc<str>) -> Lane {
        Lane(0)
    }

    fn lane_of(&self, lane: Lane) -> (Option<Arc<str>>, Arc<str>) {
        self.0.lane_of(lane)
    }

    fn number(&mut self) -> u64 {
        NOBODY
    }
}
