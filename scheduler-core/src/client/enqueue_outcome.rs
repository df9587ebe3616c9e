//! The answer of a call that enqueues a run.

use crate::run::RunId;

/// What has become of a run that was to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnqueueOutcome {
    /// It is stored.
    Created(RunId),
    /// Nothing was stored: this run has the same id or the same [key](crate::run::Unique).
    Existing(RunId),
    /// This run, which has the same key, does what the new one was to do.
    Replaced(RunId),
}

impl EnqueueOutcome {
    /// The run that stands for the call.
    pub const fn run(self) -> RunId {
        match self {
            Self::Created(run) | Self::Existing(run) | Self::Replaced(run) => run,
        }
    }
}
