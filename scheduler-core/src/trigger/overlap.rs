//! What becomes of a firing while the previous run of its trigger goes on.

use serde::{Deserialize, Serialize};

/// What becomes of a firing that is due while a run of the same trigger still goes on.
///
/// It concerns one trigger; a job that [disallows concurrent runs](crate::job::JobDetail::disallow_concurrent) holds
/// back all its triggers, whatever this says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OverlapPolicy {
    /// It runs beside the previous one.
    #[default]
    AllowAll,
    /// It is dropped, and the trigger moves on to its next time.
    Skip,
    /// It runs when the previous one has ended; of several that were due meanwhile, one.
    BufferOne,
    /// The previous run is asked to stop, and this one runs when it has.
    CancelPrevious,
}

impl OverlapPolicy {
    /// Whether the next firing waits for the end of the run.
    pub fn waits(self) -> bool {
        matches!(self, Self::BufferOne | Self::CancelPrevious)
    }
}
