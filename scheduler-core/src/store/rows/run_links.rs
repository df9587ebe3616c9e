//! What a run has to do with others: its tags, its key, and what it waits for.

use chrono::{DateTime, Utc};

use super::lateness::Lateness;
use super::run::{RareFields, RunRow, Standing};
use super::tag::RunTag;
use crate::data::JobData;
use crate::run::{Gates, RunEnd, RunKey};
use crate::store::runs::NewRun;

impl RareFields {
    /// Whether there is nothing of it but gates.
    pub(in crate::store) fn has_only_gates(&self) -> bool {
        let others = Self { gates: self.gates.clone(), ..Self::default() };
        !self.gates.is_empty() && *self == others
    }
}

impl RunRow {
    /// By what it is found, beside its id.
    pub fn tags(&self) -> impl Iterator<Item = RunTag> {
        let trigger = self.cold.is_some().then(|| self.occurrence_of()).flatten();
        let retry = trigger.filter(|_| self.end().is_none()).cloned().map(RunTag::RetryOf);
        let parents = self.parents().iter().map(|edge| match edge.is_unmet {
            true => RunTag::UnmetBy(edge.parent),
            false => RunTag::ChildOf(edge.parent),
        });
        let held = self.cold.as_deref().into_iter().flat_map(|cold| cold.gates.iter());
        let held = held.filter(|gate| gate.is_held);
        [retry, self.tag_of_key(), self.tag_of_line()]
            .into_iter()
            .flatten()
            .chain(held.map(|gate| RunTag::Holder(gate.id.hash())))
            .chain(parents)
            .chain(self.tag_of_member())
    }

    fn tag_of_key(&self) -> Option<RunTag> {
        let cold = self.cold.as_deref()?;
        let key = cold.key.as_ref()?;
        let is_over = self.end().is_some() || (key.until_started && (cold.is_key_free || self.attempts > 0));
        match cold.follows {
            true => self.end().is_none().then_some(RunTag::FollowUp(key.id)),
            false => (key.until.is_some() || !is_over).then_some(RunTag::Key(key.id)),
        }
    }

    /// Its key, if it is unique.
    pub fn key(&self) -> Option<&RunKey> {
        self.cold.as_deref()?.key.as_ref()
    }

    /// Until when its key is taken, whatever becomes of it; none if that is over.
    pub fn key_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.key()?.until.filter(|until| *until > now)
    }

    /// Whether it has its key, if no node runs it. One that only has it until its first attempt begins has lost it once a node runs
    /// it.
    pub fn has_key(&self, is_claimed: bool, now: DateTime<Utc>) -> bool {
        let Some(key) = self.key() else { return false };
        let is_free = self.attempts > 0 || self.cold.as_deref().is_some_and(|cold| cold.is_key_free);
        let has_begun = key.until_started && (is_claimed || is_free);
        let has_tag = matches!(self.tag_of_key(), Some(RunTag::Key(_)));
        has_tag && (self.key_until(now).is_some() || (self.end().is_none() && !has_begun))
    }

    /// An attempt has begun: a key that was only taken until then is free.
    pub fn note_begun(&mut self) {
        if let Some(cold) = self.cold.as_deref_mut().filter(|cold| cold.key.is_some()) {
            cold.is_key_free = true;
        }
    }

    /// It waits for the end of the run that has its key.
    pub fn follow(&mut self, now: DateTime<Utc>) {
        self.stand(Standing::Held, now);
        self.cold().follows = true;
    }

    /// The run that has had its key is over. If it waits for nothing else, it waits for its due time.
    pub fn stop_following(&mut self) {
        match self.has_parents() {
            true => self.cold().follows = false,
            false => self.release(),
        }
    }

    /// Whether it waits for the end of the run that has its key.
    pub fn follows(&self) -> bool {
        self.end().is_none() && self.cold.as_deref().is_some_and(|cold| cold.follows)
    }

    /// Whether a run waits for its end.
    pub fn is_followed(&self) -> bool {
        self.cold.as_deref().is_some_and(|cold| cold.is_followed)
    }

    /// A run waits for its end, or none does any more.
    pub fn set_followed(&mut self, is_followed: bool) {
        self.cold().is_followed = is_followed;
    }

    /// Whether it has ended, and is kept only since its key is still taken.
    pub fn is_only_key(&self) -> bool {
        self.end().is_some() && self.cold.as_deref().is_some_and(|cold| cold.is_only_key)
    }

    /// It has ended, and is kept only until its key is free.
    pub fn keep_key(&mut self, end: RunEnd, now: DateTime<Utc>, until: DateTime<Utc>) {
        self.finish(end, self.ended().unwrap_or(now), until);
        self.data = JobData::new();
        let cold = self.cold();
        cold.is_only_key = true;
        (cold.detail, cold.retry, cold.errors, cold.notes) = (None, None, Vec::new(), None);
    }

    /// The time for which its key was taken is over.
    pub fn free_key(&mut self) {
        if let Some(key) = &mut self.cold().key {
            key.until = None;
        }
    }

    /// A new run of the same key takes its place: what it is to do comes from there.
    pub fn replace(&mut self, new: &NewRun, data: JobData, (due, now): (DateTime<Utc>, DateTime<Utc>)) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.data != data {
            self.forget_checkpoint();
        }
        (self.data, self.priority) = (data, new.priority);
        let lateness = Lateness::of(new.boost, new.expires, new.gates.fair().is_some()).map(Box::new);
        let cold = self.cold();
        (cold.detail, cold.retry, cold.lateness) = (new.detail.clone(), new.retry.clone(), lateness);
        cold.gates = new.gates.clone();
        self.wait_for(due, now);
    }

    /// The gates where it has to have room before a node may claim it, and the key by which it takes turns.
    pub fn gates(&self) -> Gates {
        self.cold.as_deref().map(|cold| cold.gates.clone()).unwrap_or_default()
    }

    /// It has begun, and holds the gates that are to be held to its end.
    pub fn hold_gates(&mut self) {
        self.cold.iter_mut().for_each(|cold| cold.gates.set_held(true));
    }

    /// Whether it has gates or takes turns.
    pub fn is_gated(&self) -> bool {
        self.cold.as_deref().is_some_and(|cold| !cold.gates.is_empty())
    }

    /// Whether a rule has to look at its row when it is over.
    pub fn is_linked(&self) -> bool {
        self.tags().next().is_some()
            || self.alarm().is_some()
            || self.is_parent()
            || self.member_of().is_some()
            || self.is_kept()
    }

    /// Whether it has this tag.
    pub fn has_tag(&self, tag: &RunTag) -> bool {
        self.tags().any(|known| known == *tag)
    }

    /// Whether it is held because its trigger was paused when it was due.
    pub fn is_paused(&self) -> bool {
        self.standing == Standing::Held && self.cold.as_deref().is_some_and(|cold| cold.is_paused)
    }

    /// It was due while its trigger is paused: it is held until the trigger is resumed.
    pub fn hold_for_trigger(&mut self) {
        self.stand(Standing::Held, DateTime::<Utc>::MIN_UTC);
        self.cold().is_paused = true;
    }
}
