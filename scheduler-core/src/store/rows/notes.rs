//! What a run says of its attempts beside their end: what it has returned, and how long that is kept.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::run::RunRow;

/// What few runs have. There is none where it would say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Notes {
    /// For so long the run is kept at least after its end, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<u64>,
    /// What its job has returned, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Arc<str>>,
}

impl Notes {
    /// Those of a new run.
    pub(super) fn of(keep: Option<Duration>) -> Option<Self> {
        let keep = keep.filter(|keep| !keep.is_zero())?;
        // Less than a millisecond is kept for one.
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX).max(1);
        Some(Self { keep: Some(keep), ..Self::default() })
    }
}

impl RunRow {
    fn notes(&self) -> Option<&Notes> {
        self.cold.as_deref()?.notes.as_deref()
    }

    fn edit_notes(&mut self, edit: impl FnOnce(&mut Notes)) {
        let cold = self.cold();
        let mut notes = cold.notes.take().unwrap_or_default();
        edit(&mut notes);
        cold.notes = Some(notes).filter(|notes| **notes != Notes::default());
    }

    /// Whether it is kept after its end because its caller or its job has asked for that.
    pub fn is_kept(&self) -> bool {
        self.notes().is_some_and(|notes| notes.keep.is_some())
    }

    /// Until when it is kept at least if it ends now.
    pub fn kept_for(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let keep = i64::try_from(self.notes()?.keep?).ok().and_then(TimeDelta::try_milliseconds);
        Some(keep.and_then(|keep| now.checked_add_signed(keep)).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// What its job has returned, as JSON.
    pub fn output(&self) -> Option<&Arc<str>> {
        self.notes()?.output.as_ref()
    }

    /// Its job has returned this. A run that is not kept keeps no output either.
    pub fn set_output(&mut self, output: Option<Arc<str>>) {
        if output.is_some() && self.is_kept() {
            self.edit_notes(|notes| notes.output = output);
        }
    }

    /// It begins anew.
    pub(super) fn forget_output(&mut self) {
        if self.output().is_some() {
            self.edit_notes(|notes| notes.output = None);
        }
    }
}
