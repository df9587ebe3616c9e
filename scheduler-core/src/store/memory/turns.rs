//! Runs that wait for their turns, and those that come up.

use std::sync::Arc;

use super::fair::Of;
use super::lanes::Due;
use super::table::Table;
use crate::store::rows::Place;

impl Table {
    /// The entry of a run in its lane, or at the gate where it is parked.
    pub(super) fn due_of_run(&self, slot: usize, at: &Place) -> Due {
        let at = self.fair.turn_of(slot).map_or(*at, |turn| turn.place(*at));
        Due::of_run(self.runs[slot].row.id, slot, &at)
    }

    /// A run with a fair key has this place by its row: it waits for its turn.
    pub(super) fn line_up(&mut self, slot: usize, at: &Place, key: Arc<str>) {
        let row = &self.runs[slot].row;
        let of = Of { queue: row.queue.clone(), key, lane: at.lane.0 as usize };
        self.fair.enter(slot, of.clone(), Due::of_run(row.id, slot, at));
        self.bring_up(&of);
    }

    /// A run that has a turn waits at a gate: others of its key need not wait for that.
    pub(super) fn pass_turn(&mut self, slot: usize) {
        if let Some(of) = self.fair.pass(slot) {
            self.bring_up(&of);
        }
    }

    /// A run has been claimed.
    pub(super) fn take_turn(&mut self, slot: usize) {
        self.fair.claimed(slot);
        self.leave_line(slot);
    }

    /// A run stands nowhere any more, if it has a fair key.
    pub(super) fn leave_line(&mut self, slot: usize) {
        if let Some(of) = self.fair.leave(slot) {
            self.bring_up(&of);
            self.fair.tidy(&of);
        }
    }

    fn bring_up(&mut self, of: &Of) {
        let Some(slot) = self.fair.next(of).map(Due::slot_of_run) else { return };
        let Some(place) = self.runs[slot].row.place() else { return };
        self.fair.bring_up(slot, place.at);
        let (due, job) = (self.due_of_run(slot, &place), self.runs[slot].row.job.clone());
        self.stand_at(due, &place, &job);
        self.gates.opened.push(of.lane);
    }
}
