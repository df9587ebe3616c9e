//! What attempts note while they are under way: where the next attempt goes on, and what people look at.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::log::{LogLine, RunLog};
use super::progress::RunProgress;

/// What an attempt has noted since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptNotes {
    /// How far it has got, as JSON; none for no change.
    pub checkpoint: Option<Arc<str>>,
    /// How far it has got, for people; none for no change.
    pub progress: Option<RunProgress>,
    /// The number of the first of the lines, counted from 0 within the attempt. Lines that a store knows are not stored twice, and lines
    /// that are missing count as dropped.
    pub first_line: u64,
    /// What it has logged.
    pub lines: Vec<LogLine>,
}

impl AttemptNotes {
    /// With this checkpoint.
    #[must_use]
    pub fn checkpoint(self, checkpoint: impl Into<Arc<str>>) -> Self {
        Self { checkpoint: Some(checkpoint.into()), ..self }
    }

    /// With this progress.
    #[must_use]
    pub fn progress(self, progress: RunProgress) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// With these lines of its log, of which the first has this number.
    #[must_use]
    pub fn lines(self, first_line: u64, lines: Vec<LogLine>) -> Self {
        Self { first_line, lines, ..self }
    }
}

/// What the attempts of a run have noted until now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Noted {
    /// How far they have got, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Arc<str>>,
    /// How far the last one has got, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<RunProgress>,
    /// What they have logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Arc<RunLog>>,
}

impl Noted {
    /// The attempt with a claim of this number has noted this.
    pub(crate) fn take(&mut self, claim: u64, notes: AttemptNotes) {
        let AttemptNotes { checkpoint, progress, first_line, lines } = notes;
        self.checkpoint = checkpoint.or(self.checkpoint.take());
        self.progress = progress.or(self.progress.take());
        if !lines.is_empty() {
            Arc::make_mut(self.log.get_or_insert_default()).append(claim, first_line, lines);
        }
    }
}
