//! What is remembered of pauses: groups, and when pauses end by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::matcher::Text;
use crate::store::admin::{GroupKind, PauseNote};

/// Something whose pause ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// A trigger, by slot and generation.
    Trigger(usize, u64),
    /// The memory of a group of triggers or jobs.
    TriggerGroup(Arc<str>),
    JobGroup(Arc<str>),
    /// The memory that all is paused.
    All,
}

#[derive(Debug, Default)]
pub(super) struct Pauses {
    trigger_groups: BTreeMap<Arc<str>, PauseNote>,
    job_groups: BTreeMap<Arc<str>, PauseNote>,
    all: Option<PauseNote>,
    /// Groups of triggers that were resumed since all were paused.
    excepted: BTreeSet<Arc<str>>,
    endings: BTreeSet<(DateTime<Utc>, Ending)>,
}

impl Pauses {
    /// The note with which a trigger of these groups is born paused.
    pub(super) fn at_birth(&self, trigger_group: &str, job_group: &str) -> Option<&PauseNote> {
        self.of_group(GroupKind::Triggers, trigger_group)
            .or_else(|| self.of_group(GroupKind::Jobs, job_group))
    }

    /// The note of a group that is paused.
    pub(super) fn of_group(&self, kind: GroupKind, group: &str) -> Option<&PauseNote> {
        let of_all =
            || self.all.as_ref().filter(|_| kind == GroupKind::Triggers && !self.excepted.contains(group));
        self.of(kind).get(group).or_else(of_all)
    }

    pub(super) fn is_job_group_paused(&self, group: &str) -> bool {
        self.job_groups.contains_key(group)
    }

    pub(super) fn of(&self, kind: GroupKind) -> &BTreeMap<Arc<str>, PauseNote> {
        match kind {
            GroupKind::Jobs => &self.job_groups,
            GroupKind::Triggers => &self.trigger_groups,
        }
    }

    /// Remembers groups.
    pub(super) fn remember(&mut self, kind: GroupKind, groups: &[Arc<str>], note: &PauseNote) {
        for group in groups {
            let (marks, ending) = match kind {
                GroupKind::Jobs => (&mut self.job_groups, Ending::JobGroup(group.clone())),
                GroupKind::Triggers => (&mut self.trigger_groups, Ending::TriggerGroup(group.clone())),
            };
            marks.insert(group.clone(), note.clone());
            self.ends(ending, note.until);
        }
    }

    /// Remembers that everything is paused.
    pub(super) fn remember_all(&mut self, groups: &[Arc<str>], note: &PauseNote) {
        self.remember(GroupKind::Triggers, groups, note);
        self.all = Some(note.clone());
        self.excepted.clear();
        self.ends(Ending::All, note.until);
    }

    /// Forgets groups that fit, and says which were remembered.
    pub(super) fn forget(&mut self, kind: GroupKind, groups: &Text, existing: &[Arc<str>]) -> Vec<Arc<str>> {
        let marks = match kind {
            GroupKind::Jobs => &mut self.job_groups,
            GroupKind::Triggers => &mut self.trigger_groups,
        };
        let forgotten: Vec<_> = marks.keys().filter(|group| groups.matches(group)).cloned().collect();
        marks.retain(|group, _| !groups.matches(group));
        if kind == GroupKind::Triggers {
            match groups {
                Text::Any => self.all = None,
                Text::Is(group) => drop(self.excepted.insert(group.clone())),
                _ => self.excepted.extend(existing.iter().filter(|group| groups.matches(group)).cloned()),
            }
        }
        forgotten
    }

    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// The pause of something ends by itself at `until`.
    pub(super) fn ends(&mut self, what: Ending, until: Option<DateTime<Utc>>) {
        self.endings.extend(until.map(|until| (until, what)));
    }

    /// Takes out what has ended by `now`.
    pub(super) fn take_ended(&mut self, now: DateTime<Utc>) -> Vec<Ending> {
        let mut ended = Vec::new();
        while self.endings.first().is_some_and(|(until, _)| *until <= now) {
            let Some((until, ending)) = self.endings.pop_first() else { break };
            let of_mark = |mark: Option<&PauseNote>| mark.is_some_and(|note| note.until == Some(until));
            // A pause that was renewed or forgotten meanwhile does not end here.
            let current = match &ending {
                Ending::Trigger(..) => true,
                Ending::TriggerGroup(group) => of_mark(self.trigger_groups.get(group)),
                Ending::JobGroup(group) => of_mark(self.job_groups.get(group)),
                Ending::All => of_mark(self.all.as_ref()),
            };
            match ending {
                _ if !current => {}
                Ending::Trigger(..) => ended.push(ending),
                Ending::TriggerGroup(group) => drop(self.trigger_groups.remove(&group)),
                Ending::JobGroup(group) => drop(self.job_groups.remove(&group)),
                Ending::All => self.all = None,
            }
        }
        ended
    }

    pub(super) fn next_ending(&self) -> Option<DateTime<Utc>> {
        self.endings.first().map(|(until, _)| *until)
    }
}
