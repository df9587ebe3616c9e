//! The counters of batches, and the batches that ring.

use std::collections::BTreeSet;

use foldhash::HashMap;

use crate::run::{BatchCounts, RunId};
use crate::store::rows::RunRow;

/// So many batches ring in one step.
const PART: usize = 100;

/// The counters of the batches that are stored.
#[derive(Debug, Default)]
pub(super) struct Batches {
    counts: HashMap<RunId, BatchCounts>,
    ringing: BTreeSet<RunId>,
}

impl Batches {
    pub(super) fn entered(&mut self, row: &RunRow) {
        if row.is_batch() {
            self.counts.entry(row.id).or_default();
        }
    }

    pub(super) fn left(&mut self, row: &RunRow) {
        if row.is_batch() {
            self.counts.remove(&row.id);
            self.ringing.remove(&row.id);
        }
    }

    pub(super) fn of(&self, batch: RunId) -> BatchCounts {
        self.counts.get(&batch).copied().unwrap_or_default()
    }

    /// The counters of a batch that is stored, and whether it rings.
    pub(super) fn entry(&self, batch: RunId) -> Option<(BatchCounts, bool)> {
        self.counts.get(&batch).map(|counts| (*counts, self.ringing.contains(&batch)))
    }

    pub(super) fn restore(&mut self, batch: RunId, counts: BatchCounts, rings: bool) {
        if let Some(known) = self.counts.get_mut(&batch) {
            *known = counts;
            self.ringing.extend(rings.then_some(batch));
        }
    }

    /// Says whether the batch rings.
    pub(super) fn add(&mut self, batch: RunId, change: BatchCounts) -> bool {
        let Some(counts) = self.counts.get_mut(&batch) else { return false };
        let before = *counts;
        *counts += change;
        counts.rings(&before) && self.ringing.insert(batch)
    }

    pub(super) fn heard(&mut self, batch: RunId) {
        self.ringing.remove(&batch);
    }

    pub(super) fn ringing(&self) -> impl Iterator<Item = RunId> {
        self.ringing.iter().copied().take(PART)
    }

    pub(super) fn is_ringing(&self) -> bool {
        !self.ringing.is_empty()
    }
}
