//! Batches, as they are stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::run::{BatchCounts, RunId};

/// A batch can be in at most so many others.
pub const MOST_DEPTH: u32 = 8;

/// That a run to be stored has to do with a batch, which is stored or an earlier run of the same call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InBatch {
    /// The batch.
    pub batch: RunId,
    /// The run of the batch that adds it; none for a caller from outside, who adds nothing to a sealed batch.
    pub by: Option<RunId>,
    /// It is none of the runs of the batch, but tells of its end.
    pub is_callback: bool,
}

impl InBatch {
    /// A run of this batch. `by` is the run of the batch that adds it.
    pub const fn member(batch: RunId, by: Option<RunId>) -> Self {
        Self { batch, by, is_callback: false }
    }

    /// A run that tells of the end of this batch.
    pub const fn callback(batch: RunId) -> Self {
        Self { batch, by: None, is_callback: true }
    }
}

/// That a run to be stored is a batch. No node claims it: it is held until its runs have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewBatch {
    /// The run that is let go when the first run of the batch is dead. It waits for the [death](crate::run::Condition::Death) of the batch.
    pub on_death: Option<RunId>,
    /// It is stored together with all of its runs: only these add others.
    pub is_sealed: bool,
    /// It is cancelled once the first of its runs is dead.
    pub stops_on_death: bool,
    /// It is cancelled at this time unless it is sealed by then.
    pub open_until: Option<DateTime<Utc>>,
    /// An empty batch for which all its runs wait, also those of batches in this one. It is sealed, or cancelled, together with this one.
    pub start: Option<RunId>,
}

impl NewBatch {
    /// A batch, with the run that is let go when the first of its runs is dead.
    pub const fn new(on_death: Option<RunId>) -> Self {
        Self { on_death, is_sealed: false, stops_on_death: false, open_until: None, start: None }
    }
}

/// A batch as it is stored, beside what is known of it as a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchState {
    /// Only its own runs add others.
    pub is_sealed: bool,
    /// Somebody has cancelled it.
    pub is_cancelled: bool,
    /// In so many other batches.
    pub depth: u32,
    /// How many of its runs stand where.
    pub counts: BatchCounts,
}

impl BatchState {
    pub(crate) const fn new(is_sealed: bool, is_cancelled: bool, depth: u32) -> Self {
        let counts = BatchCounts::of([0; 8]);
        Self { is_sealed, is_cancelled, depth, counts }
    }
}
