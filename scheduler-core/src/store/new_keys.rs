//! The keys of runs to be stored.

use chrono::{DateTime, Utc};

use crate::data::JobData;
use crate::run::RunKey;

/// The key of a run to be stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewKey {
    /// The key.
    pub key: RunKey,
    /// What becomes of the run if another one has the key.
    pub conflict: Conflict,
    /// The due time of a run that is replaced stays.
    pub keeps_due: bool,
    /// The present.
    pub now: DateTime<Utc>,
}

impl NewKey {
    /// A key, with what becomes of the run if another one has it.
    pub const fn new(key: RunKey, conflict: Conflict, now: DateTime<Utc>) -> Self {
        Self { key, conflict, keeps_due: true, now }
    }
}

/// What becomes of a run to be stored if another one has its key.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Conflict {
    /// It is not stored.
    Skip,
    /// That is an error, and nothing of the call is stored.
    Refuse,
    /// Behind a run that runs, it waits, if no other one does. Otherwise it is not stored.
    Follow,
    /// The run that waits does what the new one is to do. Behind a run that runs, it waits.
    Replace {
        /// It has the data of the new one.
        data: bool,
        /// Only if the run that waits has these data.
        of: Option<JobData>,
    },
}
