//! The rows of jobs and triggers.

use std::cmp::Reverse;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::place::{Id, Lane, Place};
use crate::job::JobDetail;
use crate::store::admin::PauseNote;
use crate::store::state::StoredState;
use crate::trigger::{OverlapPolicy, Progress, Trigger};

/// A job.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// As it was stored.
    pub detail: Arc<JobDetail>,
}

/// A trigger. There are many of them, so what most do not have stands in a box.
#[derive(Debug, Clone)]
pub struct TriggerRow {
    /// As it was stored.
    pub trigger: Arc<Trigger>,
    next: Option<DateTime<Utc>>,
    previous: Option<DateTime<Utc>>,
    /// How often, as far as this number goes.
    fired: u32,
    /// Never [`StoredState::Acquired`]: a claim does not change the row.
    pub state: StoredState,
    /// Its job allows one run at a time.
    pub exclusive: bool,
    /// Its runs were asked to stop, since it is due again.
    pub superseded: bool,
    /// Occurrences of it may be stored as runs, since they are tried again.
    pub retried: bool,
    /// Its runs under way, where its overlap policy asks for them; 0 elsewhere.
    pub running: u32,
    /// Changes when a claim that was made before is no longer good.
    pub epoch: u32,
    /// Where it stands when it waits for a time.
    pub lane: Lane,
    /// Its job.
    pub job: Id<JobRow>,
    /// Changes when another trigger takes its place.
    pub birth: u64,
    cold: Option<Box<ColdFields>>,
}

#[derive(Debug, Clone, Default)]
struct ColdFields {
    pause: Option<PauseNote>,
    /// The birth of the first in a row of triggers that took each other's place: their runs count as its own.
    lineage: Option<u64>,
    /// Changes with the description; before the first change it is the birth.
    revision: Option<u64>,
    /// When its own run ended that has kept it waiting.
    freed: Option<DateTime<Utc>>,
    /// How often it has fired, beyond what the row can count.
    fired: Option<u64>,
    /// What a misfire policy has changed of the progress.
    scheduled: Option<DateTime<Utc>>,
    start: Option<DateTime<Utc>>,
    repeat: Option<u32>,
}

impl TriggerRow {
    /// A trigger that waits.
    pub fn new(
        trigger: Arc<Trigger>,
        progress: Progress,
        (job, exclusive, lane): (Id<JobRow>, bool, Lane),
        birth: u64,
    ) -> Self {
        let mut row = Self {
            trigger,
            next: None,
            previous: None,
            fired: 0,
            state: StoredState::Waiting,
            exclusive,
            superseded: false,
            retried: false,
            running: 0,
            epoch: 0,
            lane,
            job,
            birth,
            cold: None,
        };
        row.set_progress(progress);
        row
    }

    /// Where it is found when its time has come; none if it does not wait for a time, or its own run keeps it back.
    pub fn place(&self) -> Option<Place> {
        let at = self.next.filter(|_| self.state == StoredState::Waiting && !self.is_kept_back())?;
        Some(Place { lane: self.lane, at, rank: Reverse(self.trigger.priority()), exclusive: self.exclusive })
    }

    /// When a rule has to look at it, apart from its firing: its pause ends, or its run is to make room.
    pub fn alarm(&self) -> Option<DateTime<Utc>> {
        match self.state {
            StoredState::Paused => self.pause()?.until,
            StoredState::Waiting if self.running > 0 && !self.superseded => {
                self.next.filter(|_| self.trigger.overlap() == OverlapPolicy::CancelPrevious)
            }
            _ => None,
        }
    }

    fn is_kept_back(&self) -> bool {
        self.running > 0 && self.trigger.overlap().waits()
    }

    /// When it is due; none if never again.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    /// How far it has got.
    pub fn progress(&self) -> Progress {
        let (next, previous, cold) = (self.next, self.previous, self.cold.as_deref());
        let fired = cold.and_then(|cold| cold.fired).unwrap_or_else(|| self.fired.into());
        let [scheduled, start] = [cold.and_then(|cold| cold.scheduled), cold.and_then(|cold| cold.start)];
        Progress { next, previous, fired, scheduled, start, repeat: cold.and_then(|cold| cold.repeat) }
    }

    /// Moves it on.
    pub fn set_progress(&mut self, progress: Progress) {
        let Progress { next, previous, fired, scheduled, start, repeat } = progress;
        let many = u32::try_from(fired).is_err().then_some(fired);
        (self.next, self.previous, self.fired) = (next, previous, fired as u32);
        if self.cold.is_some() || many.is_some() || scheduled.is_some() || start.is_some() || repeat.is_some()
        {
            let cold = self.cold();
            (cold.fired, cold.scheduled, cold.start, cold.repeat) = (many, scheduled, start, repeat);
        }
    }

    /// Why it is paused, if it is.
    pub fn pause(&self) -> Option<&PauseNote> {
        self.cold.as_deref()?.pause.as_ref()
    }

    /// Another note, or none.
    pub fn set_pause(&mut self, pause: Option<PauseNote>) {
        if pause.is_some() || self.cold.is_some() {
            self.cold().pause = pause;
        }
    }

    /// When its own run ended, if that has kept it waiting.
    pub fn freed(&self) -> Option<DateTime<Utc>> {
        self.cold.as_deref()?.freed
    }

    /// When its own run ended that has kept it waiting; none when it fires.
    pub fn set_freed(&mut self, freed: Option<DateTime<Utc>>) {
        if freed.is_some() || self.cold.is_some() {
            self.cold().freed = freed;
        }
    }

    /// Which runs count as its own: those whose claim has the same lineage.
    pub fn lineage(&self) -> u64 {
        self.cold.as_deref().and_then(|cold| cold.lineage).unwrap_or(self.birth)
    }

    /// It takes the place of a trigger of this lineage.
    pub fn set_lineage(&mut self, lineage: u64) {
        self.cold().lineage = Some(lineage);
    }

    /// Another number whenever its description was changed.
    pub fn revision(&self) -> u64 {
        self.cold.as_deref().and_then(|cold| cold.revision).unwrap_or(self.birth)
    }

    /// Its description was changed.
    pub fn set_revision(&mut self, revision: u64) {
        self.cold().revision = Some(revision);
    }

    fn cold(&mut self) -> &mut ColdFields {
        self.cold.get_or_insert_default()
    }
}
