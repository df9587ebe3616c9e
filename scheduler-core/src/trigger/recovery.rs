//! Runs that take the place of one whose node died.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::key::TriggerKey;

/// Which lost run an attempt repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recovery {
    /// The trigger that had fired.
    pub trigger: TriggerKey,
    /// When that firing was due.
    pub scheduled: DateTime<Utc>,
    /// When it fired.
    pub fired: DateTime<Utc>,
    /// How often this firing has been recovered, this time included.
    pub count: u32,
}
