//! Rows in slots, and what stands beside them. A row's number is that of its slot and the slot's generation.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use super::index::place;
use super::lanes::Due;
use crate::store::rows::{Id, JobRow, TriggerRow};

/// The number of a row.
pub(super) fn number<R>(slot: usize, generation: u32) -> Id<R> {
    Id::new((u64::from(generation) << 32) | u64::from(place(slot)))
}

/// The slot of a row that may be gone.
pub(super) fn slot_of<R>(id: Id<R>) -> usize {
    id.0 as u32 as usize
}

/// Whether the slot still has the row of this number.
pub(super) fn is_of<R>(id: Id<R>, generation: u32) -> bool {
    (id.0 >> 32) as u32 == generation
}

#[derive(Debug)]
pub(super) struct TriggerSlot {
    pub(super) row: TriggerRow,
    pub(super) generation: u32,
    /// Where this slot stands among those of its job.
    pub(super) position: u32,
    /// It is in its lane, or in the queue of its job.
    pub(super) stands: bool,
    /// A node has claimed it and has not fired it yet: wherever its row says that it waits, it does not stand there.
    pub(super) claimed: bool,
}

/// One job. Most have one trigger, so only what others have stands in a box.
#[derive(Debug)]
pub(super) struct JobSlot {
    pub(super) row: JobRow,
    pub(super) generation: u32,
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
    pub(super) fn new(row: JobRow, generation: u32) -> Self {
        Self { row, generation, first: None, more: None }
    }

    pub(super) fn triggers(&self) -> impl Iterator<Item = usize> {
        let others = self.more.iter().flat_map(|more| more.triggers.iter().map(|trigger| *trigger as usize));
        self.first.map(|first| first.get() as usize - 1).into_iter().chain(others)
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, |more| more.triggers.len())
    }

    /// Says at which position it stands now.
    pub(super) fn add_trigger(&mut self, trigger: usize) -> u32 {
        if self.first.is_none() {
            self.first = NonZeroU32::new(place(trigger + 1));
            return 0;
        }
        let others = &mut self.more.get_or_insert_default().triggers;
        others.push(place(trigger));
        place(others.len())
    }

    /// Says which other one stands at this position now.
    pub(super) fn take_trigger(&mut self, position: u32) -> Option<usize> {
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

    pub(super) fn queue(&mut self, lane: usize) -> &mut BTreeSet<Due> {
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
