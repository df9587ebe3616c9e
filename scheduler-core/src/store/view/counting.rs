//! The counters of batches in an open transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::run::{BatchCounts, RunId};

/// What was loaded of counters, and what a rule has gone by and done.
#[derive(Debug, Default)]
pub(super) struct Counting {
    pub(super) loaded: HashMap<RunId, BatchCounts>,
    /// Whether the rule has found nothing pending.
    pub(super) read: BTreeMap<RunId, bool>,
    pub(super) changes: BTreeMap<RunId, BatchCounts>,
    pub(super) heard: BTreeSet<RunId>,
}

impl Counting {
    /// What was done does not stay.
    pub(super) fn reset(&mut self) {
        self.read.clear();
        self.changes.clear();
        self.heard.clear();
    }

    pub(super) fn forget(&mut self) {
        self.loaded.clear();
    }
}
