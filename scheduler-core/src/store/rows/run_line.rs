//! The place of a run in its sequence.
//!
//! A sequence is a chain: each run knows the one before it, and the first knows the last. So a run joins, leaves and is found by reading
//! two rows, however many wait.

use chrono::{DateTime, Utc};

use super::line::{Line, LinePlace};
use super::run::{RunRow, Standing};
use super::tag::RunTag;
use crate::run::{RunId, RunSequence};

impl RunRow {
    fn line(&self) -> Option<&Line> {
        self.cold.as_deref()?.line.as_deref()
    }

    /// Its sequence, if it has one.
    pub fn sequence(&self) -> Option<&RunSequence> {
        self.line().map(|line| &line.sequence)
    }

    /// Where it is in its sequence.
    pub fn line_place(&self) -> LinePlace {
        self.line().map_or(LinePlace::Out, |line| line.place)
    }

    /// It is there in its sequence from now on. Nothing without a sequence.
    pub fn set_line_place(&mut self, place: LinePlace) {
        if let Some(line) = self.cold.as_mut().and_then(|cold| cold.line.as_deref_mut()) {
            line.place = place;
        }
    }

    /// It waits for this run of its sequence.
    pub fn line_up_behind(&mut self, other: RunId) {
        self.stand(Standing::Held, DateTime::<Utc>::MIN_UTC);
        self.set_line_place(LinePlace::Behind(other));
    }

    /// The run of its sequence for which it waits.
    pub fn behind(&self) -> Option<RunId> {
        match self.line_place() {
            LinePlace::Behind(other) => Some(other),
            LinePlace::Out | LinePlace::First(_) => None,
        }
    }

    /// How it is found in its sequence.
    pub(super) fn tag_of_line(&self) -> Option<RunTag> {
        let line = self.line()?;
        match line.place {
            LinePlace::Out => None,
            LinePlace::First(_) => Some(RunTag::FirstOf(line.sequence.id)),
            LinePlace::Behind(other) => Some(RunTag::Behind(other)),
        }
    }
}
