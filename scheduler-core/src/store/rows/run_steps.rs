//! What rules do to a run.

use chrono::{DateTime, Utc};

use super::lateness::Lateness;
use super::line::{Line, LinePlace};
use super::place::Lane;
use super::run::{RunRow, Standing};
use crate::run::{Gates, RunEnd, RunKey, RunSequence};
use crate::store::change_note::ChangeNote;
use crate::store::run_changes::RunEdit;

impl RunRow {
    /// What it has waited for has come. Nobody says what time it is, so a boosted run counts as not due until a rule finds it due.
    pub fn release(&mut self) {
        self.stand(Standing::Waiting, DateTime::<Utc>::MIN_UTC);
    }

    /// It stands like this from now on, without an attempt.
    pub fn stand(&mut self, standing: Standing, now: DateTime<Utc>) {
        self.standing = standing;
        self.wait_for(self.due, now);
        self.epoch = self.epoch.wrapping_add(1);
        if let Some(cold) = &mut self.cold {
            (cold.is_paused, cold.follows) = (false, false);
        }
        if standing == Standing::Waiting {
            self.forget_parents();
        }
    }

    /// It has ended like this.
    pub fn finish(&mut self, end: RunEnd, now: DateTime<Utc>, kept_until: DateTime<Utc>) {
        self.standing = Standing::Ended(end);
        self.epoch = self.epoch.wrapping_add(1);
        let ended = DateTime::from_timestamp_millis(now.timestamp_millis());
        let cold = self.cold();
        (cold.ended, cold.kept_until) = (ended, Some(kept_until));
        cold.gates.set_held(false);
        if !self.is_unmet() {
            self.forget_parents();
        }
    }

    /// One replay more: it begins anew, and expires so long after the new due time.
    pub fn replay(&mut self, due: DateTime<Utc>, now: DateTime<Utc>) {
        if self.end() == Some(RunEnd::Succeeded) {
            self.forget_checkpoint();
        }
        (self.standing, self.attempts) = (Standing::Waiting, 0);
        self.epoch = self.epoch.wrapping_add(1);
        let cold = self.cold();
        cold.replays = cold.replays.saturating_add(1);
        (cold.losses, cold.interruptions) = (0, 0);
        (cold.first, cold.ended, cold.kept_until) = (None, None, None);
        (cold.is_key_free, cold.follows, cold.is_followed) = (false, false, false);
        self.forget_parents();
        self.set_asked(false);
        self.edit_lateness(Lateness::begin_anew);
        self.forget_output();
        self.wait_for(due, now);
    }

    /// Somebody has edited it. A new queue is another lane.
    pub fn edit(&mut self, edit: &RunEdit, lane: Lane, now: DateTime<Utc>) {
        self.epoch = self.epoch.wrapping_add(1);
        if let Some(data) = edit.data.as_ref().filter(|data| **data != self.data) {
            self.forget_checkpoint();
            self.data = data.clone();
        }
        if edit.data.is_some() {
            self.has_input();
        }
        if let Some(queue) = &edit.queue {
            (self.queue, self.lane) = (queue.clone(), lane);
        }
        if let Some(due) = edit.due.filter(|_| self.end().is_none()) {
            self.wait_for(due, now);
        }
        self.priority = edit.priority.unwrap_or(self.priority);
        if let Some(retry) = &edit.retry {
            self.cold().retry.clone_from(retry);
        }
    }

    /// What was noted of the last change that somebody has made.
    pub fn last_change(&self) -> Option<&ChangeNote> {
        self.cold.as_deref()?.changed.as_deref()
    }

    /// Somebody has changed it, and has said this of it.
    pub fn note_change(&mut self, note: Option<ChangeNote>) {
        self.cold().changed = note.map(Box::new);
    }

    /// Its key is this one from now on.
    pub fn set_key(&mut self, key: RunKey) {
        self.cold().key = Some(key);
    }

    /// Its limits and the key by which it takes turns are these from now on.
    pub fn set_gates(&mut self, gates: Gates) {
        self.cold().gates = gates;
    }

    /// Its sequence is this one from now on; it has yet to join it. If it was held for its old one only, it waits for its due time.
    pub fn join_later(&mut self, sequence: RunSequence, was_behind: bool) {
        if was_behind {
            self.standing = Standing::Waiting;
        }
        self.cold().line = Some(Box::new(Line { sequence, place: LinePlace::Out }));
    }
}
