//! Where runs are in their sequences.

use serde::{Deserialize, Serialize};

use crate::run::{RunId, RunSequence};

/// A run of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) sequence: RunSequence,
    #[serde(default)]
    pub(super) place: LinePlace,
}

/// Where a run is in its sequence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinePlace {
    /// It has not joined yet, or has left.
    #[default]
    Out,
    /// It is the first; with the last one, if there are others.
    First(Option<RunId>),
    /// It waits for this one.
    Behind(RunId),
}
