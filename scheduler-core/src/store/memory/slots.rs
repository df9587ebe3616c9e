//! Rows in slots, and what stands beside them. A row's number is that of its slot and the slot's generation.

use std::num::NonZeroU32;

use super::index::place;
use crate::store::rows::{Id, JobRow, RunRow, TriggerRow};

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
    /// It is in its lane, or in the waiting list of its job.
    pub(super) stands: bool,
    /// A node has claimed it and has not fired it yet: wherever its row says that it waits, it does not stand there.
    pub(super) claimed: bool,
}

#[derive(Debug)]
pub(super) struct RunSlot {
    pub(super) row: RunRow,
    pub(super) generation: u32,
    /// It is in its lane, or in the waiting list of its job.
    pub(super) stands: bool,
    /// The number of its claim; 0 for none. Meanwhile it does not stand in its place.
    pub(super) claim: u64,
}

/// One job. Most have one trigger, so only what others have stands in a box.
#[derive(Debug)]
pub(super) struct JobSlot {
    pub(super) row: JobRow,
    pub(super) generation: u32,
    first: Option<NonZeroU32>,
    more: Option<Box<More>>,
}

/// The triggers after the first.
#[derive(Debug, Default)]
struct More(Vec<u32>);

impl JobSlot {
    pub(super) fn new(row: JobRow, generation: u32) -> Self {
        Self { row, generation, first: None, more: None }
    }

    pub(super) fn triggers(&self) -> impl Iterator<Item = usize> {
        let others = self.more.iter().flat_map(|more| more.0.iter().map(|trigger| *trigger as usize));
        self.first.map(|first| first.get() as usize - 1).into_iter().chain(others)
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, |more| more.0.len())
    }

    /// Says at which position it stands now.
    pub(super) fn add_trigger(&mut self, trigger: usize) -> u32 {
        if self.first.is_none() {
            self.first = NonZeroU32::new(place(trigger + 1));
            return 0;
        }
        let others = &mut self.more.get_or_insert_default().0;
        others.push(place(trigger));
        place(others.len())
    }

    /// Says which other one stands at this position now.
    pub(super) fn take_trigger(&mut self, position: u32) -> Option<usize> {
        let last = self.more.as_mut().and_then(|more| more.0.pop());
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
                self.more.as_mut().and_then(|others| others.0.get_mut(after as usize)).map(|place| {
                    *place = last;
                    last
                })
            }
        };
        self.drop_if_empty();
        moved.map(|trigger| trigger as usize)
    }

    fn drop_if_empty(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.0.is_empty()) {
            self.more = None;
        }
    }
}
