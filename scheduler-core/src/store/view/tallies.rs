//! The counters of batches, as the rules and the commit see them.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::Missing;
use super::transaction::View;
use crate::run::{BatchCounts, RunId};

impl<N> View<N> {
    /// The counters of a batch were loaded; zeros if there is none.
    pub fn load_counts(&mut self, batch: RunId, counts: BatchCounts) {
        self.counting.loaded.insert(batch, counts);
    }

    /// Batches whose counters the rule has gone by. If the rule has found nothing pending, they are given as they were loaded, and the commit
    /// is refused if any of them has changed. Otherwise it is refused if nothing is pending.
    pub fn read_counts(&self) -> impl Iterator<Item = (RunId, Option<BatchCounts>)> {
        let read = self.counting.read.iter();
        read.map(|(batch, is_over)| (*batch, self.counting.loaded.get(batch).copied().filter(|_| *is_over)))
    }

    /// What the commit adds to the counters of batches that are stored.
    pub fn tallies(&self) -> &BTreeMap<RunId, BatchCounts> {
        &self.counting.changes
    }

    /// Batches that ring no more, unless the commit has them ring again.
    pub fn heard_batches(&self) -> &BTreeSet<RunId> {
        &self.counting.heard
    }

    pub(super) fn counts_of(&mut self, batch: RunId) -> Result<BatchCounts, Missing> {
        let Some(mut counts) = self.counting.loaded.get(&batch).copied() else {
            self.wants.counts.insert(batch);
            return Err(Missing);
        };
        counts += self.counting.changes.get(&batch).copied().unwrap_or_default();
        *self.counting.read.entry(batch).or_default() |= counts.pending <= 0;
        Ok(counts)
    }

    pub(super) fn add_to_counts(&mut self, batch: RunId, change: BatchCounts) {
        *self.counting.changes.entry(batch).or_default() += change;
    }

    pub(super) fn hear(&mut self, batch: RunId) {
        self.counting.heard.insert(batch);
    }
}
