//! Remembered pauses: of groups of triggers and jobs, of all triggers, and of queues.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::admin::{GroupKind, PauseNote};
use super::firing::QueueLimits;
use crate::matcher::Text;

/// Which groups, of triggers and of jobs, are remembered as paused, whether all are, and which queues are paused.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pauses {
    trigger_groups: BTreeMap<Arc<str>, PauseNote>,
    job_groups: BTreeMap<Arc<str>, PauseNote>,
    all: Option<PauseNote>,
    /// Groups of triggers that were resumed since all were paused.
    excepted: BTreeSet<Arc<str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    queues: BTreeMap<Arc<str>, PauseNote>,
}

impl Pauses {
    /// The note with which a trigger of these groups is born paused.
    pub fn at_birth(&self, trigger_group: &str, job_group: &str) -> Option<&PauseNote> {
        self.of_group(GroupKind::Triggers, trigger_group)
            .or_else(|| self.of_group(GroupKind::Jobs, job_group))
    }

    /// The note of a group that is paused.
    pub fn of_group(&self, kind: GroupKind, group: &str) -> Option<&PauseNote> {
        let of_all =
            || self.all.as_ref().filter(|_| kind == GroupKind::Triggers && !self.excepted.contains(group));
        self.of(kind).get(group).or_else(of_all)
    }

    /// Whether a group of jobs is paused.
    pub fn is_job_group_paused(&self, group: &str) -> bool {
        self.job_groups.contains_key(group)
    }

    /// The groups of this kind that are remembered by name.
    pub fn of(&self, kind: GroupKind) -> &BTreeMap<Arc<str>, PauseNote> {
        match kind {
            GroupKind::Jobs => &self.job_groups,
            GroupKind::Triggers => &self.trigger_groups,
        }
    }

    /// Remembers groups.
    pub fn remember(&mut self, kind: GroupKind, groups: &[Arc<str>], note: &PauseNote) {
        let marks = self.of_mut(kind);
        marks.extend(groups.iter().map(|group| (group.clone(), note.clone())));
    }

    fn of_mut(&mut self, kind: GroupKind) -> &mut BTreeMap<Arc<str>, PauseNote> {
        match kind {
            GroupKind::Jobs => &mut self.job_groups,
            GroupKind::Triggers => &mut self.trigger_groups,
        }
    }

    /// Remembers that everything is paused.
    pub fn remember_all(&mut self, groups: &[Arc<str>], note: &PauseNote) {
        self.remember(GroupKind::Triggers, groups, note);
        self.all = Some(note.clone());
        self.excepted.clear();
    }

    /// Forgets groups that fit.
    pub fn forget(&mut self, kind: GroupKind, groups: &Text, existing: &[Arc<str>]) {
        self.of_mut(kind).retain(|group, _| !groups.matches(group));
        if kind == GroupKind::Triggers {
            match groups {
                Text::Any => self.all = None,
                Text::Is(group) => drop(self.excepted.insert(group.clone())),
                _ => self.excepted.extend(existing.iter().filter(|group| groups.matches(group)).cloned()),
            }
        }
    }

    /// Forgets all groups. Queues stay paused.
    pub fn forget_all(&mut self) {
        *self = Self { queues: std::mem::take(&mut self.queues), ..Self::default() };
    }

    /// The queues that are paused.
    pub fn queues(&self) -> &BTreeMap<Arc<str>, PauseNote> {
        &self.queues
    }

    /// Pauses a queue, or gives its pause another note. Says whether it was not paused before.
    pub fn pause_queue(&mut self, queue: Arc<str>, note: PauseNote) -> bool {
        self.queues.insert(queue, note).is_none()
    }

    /// Resumes a queue; says whether it was paused.
    pub fn resume_queue(&mut self, queue: &str) -> bool {
        self.queues.remove(queue).is_some()
    }

    /// The limits of a node while these queues are paused: it takes nothing from them.
    pub fn close(&self, limits: &mut QueueLimits) {
        limits.named.extend(self.queues.keys().map(|queue| (queue.clone(), 0)));
    }

    /// Forgets what has ended by `now`.
    pub fn end(&mut self, now: DateTime<Utc>) {
        let goes_on = |note: &PauseNote| note.until.is_none_or(|until| until > now);
        self.trigger_groups.retain(|_, note| goes_on(note));
        self.job_groups.retain(|_, note| goes_on(note));
        self.queues.retain(|_, note| goes_on(note));
        self.all = self.all.take().filter(goes_on);
    }

    /// When the first of them ends by itself.
    pub fn next_ending(&self) -> Option<DateTime<Utc>> {
        let groups = self.trigger_groups.values().chain(self.job_groups.values());
        groups.chain(self.queues.values()).chain(&self.all).filter_map(|note| note.until).min()
    }
}
