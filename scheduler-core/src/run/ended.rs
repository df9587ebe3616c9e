//! What has become of a run that somebody waits for.

use std::sync::Arc;

use serde::Serialize;

use super::id::RunId;
use crate::error::Error;
use crate::key::JobKey;

/// The longest output of a run, in bytes of JSON: 64 KiB. A job that has more to return stores it elsewhere and returns its address.
pub const MAX_OUTPUT: usize = 64 * 1024;

/// The longest checkpoint of a run, in bytes of JSON: 4 KiB.
pub const MAX_CHECKPOINT: usize = 4 * 1024;

/// A run of which no retry is left. It stays stored for a while and can be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeadRun {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobKey,
    /// How many attempts were made.
    pub attempts: u32,
    /// What the last one has failed with.
    pub error: Arc<str>,
}

impl DeadRun {
    /// A run that is dead after so many attempts.
    pub fn new(run: RunId, job: JobKey, attempts: u32, error: impl Into<Arc<str>>) -> Self {
        Self { run, job, attempts, error: error.into() }
    }
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No retry is left, or no retry can help. A replay runs it again.
    #[error("run {run} is dead: {error}")]
    Dead {
        /// The run.
        run: RunId,
        /// What its last attempt failed with.
        error: Arc<str>,
    },
    /// Its job has returned an error that nobody needs to look at, or a listener has refused the run.
    #[error(
        "run {0} has ended without a result: its job was refused by a listener, or has discarded its error"
    )]
    Discarded(RunId),
    /// Somebody has cancelled it.
    #[error("run {0} was cancelled")]
    Cancelled(RunId),
    /// No node began it in time.
    #[error("run {0} has expired: no node began it in time")]
    Expired(RunId),
    /// The next occurrence of its trigger has taken its place.
    #[error("run {0} was superseded by the next occurrence of its trigger")]
    Superseded(RunId),
    /// It is a batch, and not all of its runs have succeeded.
    #[error("batch {0} has ended, and not all of its runs have succeeded")]
    Incomplete(RunId),
    /// It is not stored: it was removed, or it has ended and was not kept, or no longer.
    #[error(
        "run {0} is not stored: it has ended and was not kept, or was removed; keep runs for longer with `keep` on the call or the job"
    )]
    NotKept(RunId),
    /// It has succeeded, and its output is no value of the type that was asked for.
    #[error("the output of run {run} cannot be read as `{wanted}`: {problem}")]
    Unreadable {
        /// The run.
        run: RunId,
        /// The type.
        wanted: &'static str,
        /// The fault of the output.
        problem: Arc<str>,
    },
    /// The store has failed. The run is not concerned, and asking again may help.
    #[error(transparent)]
    Store(#[from] Error),
}
