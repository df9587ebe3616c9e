//! Gates: how much of each limit is used, and which runs wait for it.
//!
//! Invariants, true whenever the lock is free:
//! 1. What is used of a gate is the sum of the weights of the claims that hold it.
//! 2. A run that was looked at while a gate was full is *parked* there, and stands in no lane. It holds nothing.
//! 3. Of each lane whose runs are parked at a gate, the first has no room there, or some of them are *let out*: they stand in the lane
//!    again and were not looked at since. Whatever else becomes of a run that is let out, the next one is.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;

use super::lanes::Due;
use crate::run::{GateId, Gates};

/// The gates that are used or waited for.
#[derive(Debug, Default)]
pub(super) struct GateTable {
    pub(super) by_id: HashMap<GateId, Entry>,
    /// By the slots of runs.
    pub(super) at: HashMap<usize, At>,
    /// Lanes in which somebody was let out.
    pub(super) opened: Vec<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) used: u64,
    /// By lane.
    pub(super) waiting: BTreeMap<usize, Waiting>,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) parked: BTreeSet<Due>,
    /// How many are let out.
    pub(super) out: u64,
}

/// Where a run waits.
#[derive(Debug)]
pub(super) struct At {
    pub(super) gate: GateId,
    pub(super) lane: usize,
    pub(super) is_out: bool,
}

impl Entry {
    pub(super) fn has_parked(&self) -> bool {
        self.waiting.values().any(|waiting| !waiting.parked.is_empty())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.used == 0 && self.waiting.is_empty()
    }
}

impl GateTable {
    /// A claim holds these gates from now on.
    pub(super) fn hold(&mut self, gates: &Gates) {
        for gate in gates {
            self.by_id.entry(gate.id.clone()).or_default().used += u64::from(gate.weight);
        }
    }

    /// The run does not wait at a gate any more. Says at which it did, and whether it stood in no lane because of that.
    pub(super) fn forget(&mut self, slot: usize, due: Option<&Due>) -> Option<(GateId, bool)> {
        let At { gate, lane, is_out } = self.at.remove(&slot)?;
        let entry = self.by_id.get_mut(&gate)?;
        let waiting = entry.waiting.get_mut(&lane)?;
        if is_out {
            waiting.out -= 1;
        } else if let Some(due) = due {
            waiting.parked.remove(due);
        }
        Some((gate, !is_out))
    }
}
