//! How many runs wait in the queues that have a maximum length.

use std::sync::Arc;

use foldhash::HashMap;
use slab::Slab;

use super::slots::RunSlot;
use crate::store::rows::Standing;

/// The queues whose length somebody has asked for. Others are not counted.
#[derive(Debug, Default)]
pub(super) struct Lengths(HashMap<Arc<str>, usize>);

/// The queue in which a run waits; none if it does not wait, or has no queue.
fn waits(slot: &RunSlot) -> Option<&Arc<str>> {
    slot.row.queue.as_ref().filter(|_| slot.claim == 0 && slot.row.standing == Standing::Waiting)
}

impl Lengths {
    /// How many runs wait in this queue. They are counted the first time, and from then on with every change.
    pub(super) fn of(&mut self, queue: &Arc<str>, runs: &Slab<RunSlot>) -> usize {
        let count = || runs.iter().filter(|(_, slot)| waits(slot) == Some(queue)).count();
        *self.0.entry(queue.clone()).or_insert_with(count)
    }

    /// This run may have begun to wait: it has changed, or its claim has gone.
    pub(super) fn enter(&mut self, slot: &RunSlot) {
        if let Some(count) = self.counted(slot) {
            *count += 1;
        }
    }

    /// This run, if it waits, is about to be changed, claimed or removed.
    pub(super) fn leave(&mut self, slot: &RunSlot) {
        if let Some(count) = self.counted(slot) {
            *count -= 1;
        }
    }

    fn counted(&mut self, slot: &RunSlot) -> Option<&mut usize> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get_mut(waits(slot)?)
    }
}
