//! Why there was an attempt.

use serde::{Deserialize, Serialize};

/// Why there was an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FiringCause {
    /// A trigger was due.
    Schedule,
    /// Somebody has started the job by hand, or has replayed the run.
    Manual,
    /// Somebody has enqueued the run.
    Enqueued,
    /// Somebody runs an occurrence of a trigger afterwards.
    Backfill,
    /// A run for which it has waited has ended.
    Continuation,
    /// The attempt before has failed.
    Retry,
    /// The attempt before was lost with its node.
    Recovery,
}
