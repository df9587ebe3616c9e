//! A run that is a batch, and a run that is in one.
//!
//! A batch is a run that no node ever claims: it is held until its runs have ended. So whatever waits for a run can wait for a batch, and a
//! batch can be in another one. The counters of a batch are no part of its row, since all nodes add to them.

use chrono::{DateTime, Utc};

use super::links::{Batch, Batching};
use super::run::{RunRow, Standing};
use super::tag::RunTag;
use crate::run::{BatchCounts, RunEnd, RunId};
use crate::store::batches::BatchState;

impl RunRow {
    fn batching(&self) -> Option<&Batching> {
        self.cold.as_deref()?.batching.as_deref()
    }

    fn batch(&self) -> Option<&Batch> {
        self.batching()?.batch.as_ref()
    }

    fn edit_batch(&mut self, edit: impl FnOnce(&mut Batch)) {
        let batching = self.cold.as_mut().and_then(|cold| cold.batching.as_deref_mut());
        if let Some(batch) = batching.and_then(|batching| batching.batch.as_mut()) {
            edit(batch);
        }
    }

    /// Whether it is a batch.
    pub fn is_batch(&self) -> bool {
        self.batch().is_some()
    }

    /// The batch that it is in.
    pub fn member_of(&self) -> Option<RunId> {
        self.batching()?.member_of
    }

    /// The batch that it is in, or of whose end it tells.
    pub fn batch_of(&self) -> Option<RunId> {
        let batching = self.batching()?;
        batching.member_of.or(batching.tells_of)
    }

    /// How it is found by its batch.
    pub(super) fn tag_of_member(&self) -> Option<RunTag> {
        let batching = self.batching()?;
        let hears = !batching.is_asked && self.end().is_none();
        batching.member_of.map(if hears { RunTag::Member } else { RunTag::FormerMember })
    }

    /// Whether it has heard that its batch was cancelled.
    pub fn set_asked(&mut self, is_asked: bool) {
        if let Some(batching) = self.cold.as_mut().and_then(|cold| cold.batching.as_deref_mut()) {
            batching.is_asked = is_asked;
        }
    }

    /// What people see of it as a batch, without its counters.
    pub(super) fn batch_state(&self) -> Option<BatchState> {
        let batch = self.batch()?;
        Some(BatchState::new(batch.is_sealed, batch.is_cancelled, batch.depth))
    }

    /// It is in so many other batches.
    pub fn set_depth(&mut self, depth: u32) {
        self.edit_batch(|batch| batch.depth = depth);
    }

    /// In how many other batches it is.
    pub fn depth(&self) -> u32 {
        self.batch().map_or(0, |batch| batch.depth)
    }

    /// Whether only its own runs add others to a batch.
    pub fn is_sealed(&self) -> bool {
        self.batch().is_some_and(|batch| batch.is_sealed)
    }

    /// Only its own runs add others.
    pub fn seal(&mut self) {
        self.edit_batch(|batch| batch.is_sealed = true);
    }

    /// Whether somebody has cancelled the batch.
    pub fn is_cancelled(&self) -> bool {
        self.batch().is_some_and(|batch| batch.is_cancelled)
    }

    /// Whether there are runs of a cancelled batch that do not know of that yet.
    pub fn is_cancelling(&self) -> bool {
        self.batch().is_some_and(|batch| batch.is_cancelling)
    }

    /// The batch is cancelled: a rule ends its runs, part by part.
    pub fn cancel_batch(&mut self) {
        self.edit_batch(|batch| {
            (batch.is_sealed, batch.is_cancelled, batch.is_cancelling) = (true, true, true);
        });
    }

    /// All its runs know that it is cancelled.
    pub fn end_cancelling(&mut self) {
        self.edit_batch(|batch| batch.is_cancelling = false);
    }

    /// The run that waits for the first death in the batch, if it still does.
    pub fn take_on_death(&mut self) -> Option<RunId> {
        let mut taken = None;
        self.edit_batch(|batch| taken = batch.on_death.take());
        taken
    }

    /// The run that waits for the first death in the batch, if it still does.
    pub fn on_death(&self) -> Option<RunId> {
        self.batch()?.on_death
    }

    /// A run of the batch runs again, so the batch has not ended.
    pub fn reopen_batch(&mut self) {
        self.stand(Standing::Held, DateTime::<Utc>::MIN_UTC);
        self.edit_batch(|batch| batch.is_cancelled = false);
        self.set_asked(false);
        // What was cancelled with its end comes back.
        self.set_more_children(self.has_unmet_children());
    }

    /// Whether the batch is cancelled once the first of its runs is dead.
    pub fn stops_on_death(&self) -> bool {
        self.batch().is_some_and(|batch| batch.stops_on_death)
    }

    /// When the batch is cancelled unless somebody seals it.
    pub fn open_until(&self) -> Option<DateTime<Utc>> {
        self.batch()?.open_until.filter(|_| !self.is_sealed() && self.end().is_none())
    }

    /// The empty batch that is sealed together with this one.
    pub fn start(&self) -> Option<RunId> {
        self.batch()?.start
    }

    /// What the runs of the batch wait for: its own start, and those of the batches that it is in.
    pub fn starts_of_runs(&self) -> Vec<RunId> {
        self.batch().map_or_else(Vec::new, |batch| {
            batch.start.iter().chain(&batch.starts_of_outer).copied().collect()
        })
    }

    /// Its runs wait for what those of the batch wait for that it is in.
    pub fn set_starts_of_outer(&mut self, starts: Vec<RunId>) {
        self.edit_batch(|batch| batch.starts_of_outer = starts);
    }

    /// How a batch has ended whose runs have.
    pub fn end_of_batch(&self, counts: &BatchCounts) -> RunEnd {
        let has_stopped = self.stops_on_death() && counts.dead > 0;
        match (self.is_cancelled() && !has_stopped, counts.all_succeeded()) {
            (true, _) => RunEnd::Cancelled,
            (false, true) => RunEnd::Succeeded,
            (false, false) => RunEnd::Incomplete,
        }
    }
}
