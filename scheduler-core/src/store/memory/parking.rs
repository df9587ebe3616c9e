//! Runs that wait at gates: parked when a gate is full, and let out when there is room.

use chrono::{DateTime, Utc};

use super::entries::Entry;
use super::gates::{At, Entry as Gated};
use super::lanes::{Due, Open, Stood};
use super::table::Table;
use crate::run::{Gate, GateId, Gates, RunId};

/// So many runs of a lane are let out at a time.
const MOST_OUT: u64 = 200;

/// So many that wait in a lane are looked at when only one of all is to wait.
const MOST_SEEN: usize = 20;

impl Table {
    /// Where a run has to wait that was taken out of its lane: where there is no room, or one that comes before it waits in the same lane.
    pub(super) fn full_gate(&self, slot: usize) -> Option<GateId> {
        let row = &self.runs[slot].row;
        if !row.is_gated() {
            return None;
        }
        let is_out = self.gates.at.contains_key(&slot);
        let is_behind = |entry: &Gated| {
            let Some(place) = row.place().filter(|_| !is_out) else { return false };
            let first =
                entry.waiting.get(&(place.lane.0 as usize)).and_then(|waiting| waiting.parked.first());
            first.is_some_and(|first| *first < self.due_of_run(slot, &place))
        };
        let is_full = |gate: &&Gate| {
            let capped = self.gates.caps.capped(gate);
            let Some(entry) = self.gates.by_id.get(&gate.id) else { return !capped.is_enough() };
            !entry.has_room(&capped, self.gates.now) || is_behind(entry)
        };
        row.gates().iter().filter(|gate| !gate.is_held).find(is_full).map(|gate| gate.id.clone())
    }

    /// A run that stands in its lane waits at this gate.
    pub(super) fn park(&mut self, slot: usize, gate: GateId) {
        let Some(place) = self.runs[slot].row.place() else { return };
        self.leave_place(slot, Some(place));
        let (lane, due) = (place.lane.0 as usize, self.due_of_run(slot, &place));
        let entry = self.gates.by_id.entry(gate.clone()).or_default();
        entry.waiting.entry(lane).or_default().parked.insert(due);
        self.gates.at.insert(slot, At { gate: gate.clone(), lane, is_out: false });
        self.runs[slot].stands = true;
        self.open_gate(&gate);
        self.pass_turn(slot);
    }

    /// The first runs of each lane that are parked at this gate.
    pub(super) fn parked_at(&self, gate: &GateId) -> Vec<RunId> {
        let waiting = self.gates.by_id.get(gate).into_iter().flat_map(|entry| entry.waiting.values());
        let parked = waiting.flat_map(|waiting| waiting.parked.iter().take(MOST_SEEN));
        let runs = parked.filter_map(|due| match due.what() {
            Stood::Run(slot) => Some(self.runs[slot].row.id),
            Stood::Trigger(_) => None,
        });
        runs.collect()
    }

    /// A run leaves its place, wherever that is. Says whether it was parked, and so stood in no lane.
    pub(super) fn leave_gate(&mut self, slot: usize, due: &Due) -> bool {
        let Some((gate, was_parked)) = self.gates.forget(slot, Some(due)) else { return false };
        self.open_gate(&gate);
        was_parked
    }

    /// A run has been claimed: whoever waits behind it may find room, too.
    pub(super) fn pass_gates(&mut self, slot: usize, gates: &Gates) {
        self.gates.forget(slot, None);
        gates.iter().for_each(|gate| self.open_gate(&gate.id));
    }

    /// A claim that has held these gates is gone, or a run holds them no more.
    pub(super) fn free_gates(&mut self, gates: &Gates) {
        for gate in gates {
            if let Some(entry) = self.gates.by_id.get_mut(&gate.id).filter(|_| gate.pace.is_none()) {
                entry.used = entry.used.saturating_sub(gate.weight.into());
            }
            self.open_gate(&gate.id);
        }
    }

    /// Nobody enters this gate before that time.
    pub(super) fn shut_gate(&mut self, id: &GateId, until: i64) {
        self.gates.shut(id, until);
        self.note(|| Entry::Gate(id.clone()));
        self.open_gate(id);
    }

    /// The attempts that have begun at the rates among these gates have changed.
    pub(super) fn note_rates(&mut self, gates: &Gates) {
        if self.journal.is_some() {
            let rates = gates.iter().filter(|gate| gate.pace.is_some());
            rates.for_each(|gate| self.note(|| Entry::Gate(gate.id.clone())));
        }
    }

    /// Lets out as many of those that wait as there is room for.
    pub(super) fn open_gate(&mut self, id: &GateId) {
        let caps = &self.gates.caps;
        let Some(entry) = self.gates.by_id.get_mut(id) else { return };
        let (mut out, mut opens, now) = (Vec::new(), None, self.gates.now);
        let (used, rate, shut) = (entry.used, entry.rate.clone(), entry.shut);
        let of_gate = Gated { used, rate, shut, ..Gated::default() };
        let (fits, room) = (|gate: &Gate| of_gate.has_room(gate, now), |gate: &Gate| of_gate.room(gate, now));
        let opening = |gate: &Gate| of_gate.opening(gate, now);
        for waiting in entry.waiting.values_mut() {
            while let Some(Stood::Run(slot)) = waiting.parked.first().map(Due::what) {
                let gates = self.runs[slot].row.gates();
                let of_gate = gates.iter().find(|gate| gate.id == *id).map(|gate| caps.capped(gate));
                let fits = |gate: &Gate| fits(gate) && waiting.out < room(gate).min(MOST_OUT);
                if !of_gate.as_deref().is_none_or(fits) {
                    opens = opens.into_iter().chain(of_gate.as_deref().and_then(opening)).min();
                    break;
                }
                waiting.out += 1;
                out.extend(waiting.parked.pop_first().map(|due| (slot, due)));
            }
        }
        entry.waiting.retain(|_, waiting| waiting.out > 0 || !waiting.parked.is_empty());
        if entry.is_idle(now) {
            self.gates.by_id.remove(id);
        }
        if let Some(opens) = opens {
            self.gates.opens_at(id, opens);
        }
        for (slot, due) in out {
            let Some(place) = self.runs[slot].row.place() else { continue };
            let job = self.runs[slot].row.job.clone();
            if let Some(at) = self.gates.at.get_mut(&slot) {
                at.is_out = true;
            }
            self.stand_at(due, &place, &job);
            self.gates.opened.push(place.lane.0 as usize);
            self.freed = true;
        }
    }

    /// It is this time by now: gates with a rate may be open.
    pub(super) fn open_rates(&mut self, now: DateTime<Utc>) {
        self.gates.now = now.timestamp_millis().max(self.gates.now);
        while let Some(id) = self.gates.pop_open() {
            self.open_gate(&id);
        }
        self.look_at_changed();
        self.gates.sweep();
    }

    /// Looks anew at the lanes in which somebody was let out.
    pub(super) fn look_at_opened(&mut self, open: &mut Open) {
        for lane in std::mem::take(&mut self.gates.opened) {
            open.looked_for(&self.lanes, lane);
        }
    }
}
