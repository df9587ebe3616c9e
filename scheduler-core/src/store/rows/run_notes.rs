//! What a run says of its attempts beside their end.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::notes::Notes;
use super::run::RunRow;
use crate::job::ExecutionId;
use crate::run::{AttemptNotes, Noted, RunLog, RunProgress};

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

    /// Its job has returned this. A run that is not kept, and for which no run waits, keeps no output either.
    pub fn set_output(&mut self, output: Option<Arc<str>>) {
        if output.is_some() && (self.is_kept() || self.is_parent()) {
            self.edit_notes(|notes| notes.output = output);
        }
    }

    fn noted(&self) -> Option<&Noted> {
        self.notes()?.noted.as_deref()
    }

    /// How far its attempts have got, as JSON.
    pub fn checkpoint(&self) -> Option<&Arc<str>> {
        self.noted()?.checkpoint.as_ref()
    }

    /// How far its last attempt has got, for people.
    pub fn progress(&self) -> Option<&RunProgress> {
        self.noted()?.progress.as_ref()
    }

    /// What its attempts have logged.
    pub fn log(&self) -> Option<&Arc<RunLog>> {
        self.noted()?.log.as_ref()
    }

    /// An attempt has noted this.
    pub fn note(&mut self, claim: ExecutionId, new: AttemptNotes) {
        self.edit_notes(|notes| notes.noted.get_or_insert_default().take(claim.count(), new));
    }

    /// What it did so far does not count for what it is to do now.
    pub(super) fn forget_checkpoint(&mut self) {
        if self.checkpoint().is_some() || self.progress().is_some() {
            self.edit_notes(|notes| {
                let log = notes.noted.take().and_then(|noted| noted.log);
                notes.noted = log.map(|log| Noted { log: Some(log), ..Noted::default() }.into());
            });
        }
    }

    /// Whether somebody wants it to be kept for longer than it is.
    pub fn is_kept_for_less(&self, keep: Duration) -> bool {
        Notes::of(Some(keep), None)
            .is_some_and(|wanted| wanted.keep > self.notes().and_then(|notes| notes.keep))
    }

    /// It is kept for so long at least.
    pub fn keep_for(&mut self, keep: Duration) {
        if self.is_kept_for_less(keep) {
            let keep = Notes::of(Some(keep), None).and_then(|wanted| wanted.keep);
            self.edit_notes(|notes| notes.keep = keep);
        }
    }

    /// It begins anew.
    pub(super) fn forget_output(&mut self) {
        if self.output().is_some() {
            self.edit_notes(|notes| notes.output = None);
        }
    }
}
