//! What is noted with a run of its last change.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Who has changed a run, why and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChangeNote {
    /// What was done, in one word: `cancel`, `replay`, `hold`, `release`, `edit` or `seal`.
    pub change: Arc<str>,
    /// The author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Arc<str>>,
    /// The reason, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// When it was done.
    pub at: DateTime<Utc>,
}

impl fmt::Display for ChangeNote {
    /// In words: `hold at … by ada: the API is down`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.change, self.at)?;
        self.author.iter().try_for_each(|author| write!(f, " by {author}"))?;
        self.reason.iter().try_for_each(|reason| write!(f, ": {reason}"))
    }
}
