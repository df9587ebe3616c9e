//! What a run says of its attempts beside their end: how far they have got, what the last one has returned, and how long that is kept.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::run::Noted;

/// What few runs have. There is none where it would say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Notes {
    /// For so long the run is kept at least after its end, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keep: Option<u64>,
    /// What its job has returned, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Arc<str>>,
    /// What its attempts have noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) noted: Option<Box<Noted>>,
}

impl Notes {
    /// Those of a new run.
    pub(super) fn of(keep: Option<Duration>, noted: Option<Box<Noted>>) -> Option<Self> {
        // Less than a millisecond is kept for one.
        let millis = |keep: Duration| u64::try_from(keep.as_millis()).unwrap_or(u64::MAX).max(1);
        let keep = keep.filter(|keep| !keep.is_zero()).map(millis);
        let notes = Self { keep, noted, ..Self::default() };
        (notes != Self::default()).then_some(notes)
    }
}
