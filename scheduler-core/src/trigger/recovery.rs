//! Runs that take the place of one whose node died.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Trigger;
use crate::execution_id::ExecutionId;
use crate::key::{JobKey, TriggerKey};

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

/// A run whose node died.
#[derive(Debug, Clone)]
pub struct LostRun<'a> {
    /// The execution.
    pub execution: ExecutionId,
    /// Its job.
    pub job: &'a JobKey,
    /// Its trigger.
    pub key: &'a TriggerKey,
    /// What is stored of the trigger; none if it is gone.
    pub trigger: Option<&'a Trigger>,
    /// When the firing was due.
    pub scheduled: DateTime<Utc>,
    /// When it fired.
    pub fired: DateTime<Utc>,
}
