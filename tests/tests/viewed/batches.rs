//! The counters of batches.

use std::collections::{BTreeMap, BTreeSet};

use scheduler_core::run::{BatchCounts, RunId};
use scheduler_core::store::rows::RunRow;
use scheduler_core::store::view::View;

use crate::server::Numbers;

#[derive(Debug, Clone, Default)]
pub(crate) struct Batches {
    counts: BTreeMap<RunId, BatchCounts>,
    ringing: BTreeSet<RunId>,
}

impl Batches {
    pub(crate) fn of(&self, batch: RunId) -> BatchCounts {
        self.counts.get(&batch).copied().unwrap_or_default()
    }

    pub(crate) fn ringing(&self) -> Vec<RunId> {
        self.ringing.iter().copied().collect()
    }

    pub(crate) fn is_same(&self, batch: RunId, read: Option<BatchCounts>) -> bool {
        let now = self.of(batch);
        read.map_or(now.pending > 0, |read| now == read)
    }

    /// With a fault nothing is ever added.
    pub(crate) fn write(&mut self, view: &View<Numbers>, adds_nothing: bool) {
        for change in view.runs().changes() {
            let batch = |row: Option<&RunRow>| row.filter(|row| row.is_batch()).map(|row| row.id);
            match (batch(change.before), batch(change.after)) {
                (None, Some(batch)) => drop(self.counts.insert(batch, BatchCounts::default())),
                (Some(batch), None) => {
                    self.counts.remove(&batch);
                    self.ringing.remove(&batch);
                }
                _ => {}
            }
        }
        for batch in view.heard_batches() {
            self.ringing.remove(batch);
        }
        for (batch, change) in view.tallies().iter().filter(|_| !adds_nothing) {
            let Some(counts) = self.counts.get_mut(batch) else { continue };
            let before = *counts;
            *counts += *change;
            if counts.rings(&before) {
                self.ringing.insert(*batch);
            }
        }
    }
}
