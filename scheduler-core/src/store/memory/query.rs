//! Looking things up; nothing in here changes anything.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::table::{JobSlot, Table, TriggerSlot};
use crate::job::JobDetail;
use crate::store::admin::*;
use crate::store::state::TriggerState;

/// Keeps the first so many, in order. What is not wanted is not sorted either.
fn first<T>(all: &mut Vec<T>, limit: Option<usize>, order: impl Fn(&T, &T) -> Ordering) {
    if let Some(limit) = limit.filter(|limit| *limit < all.len()) {
        all.select_nth_unstable_by(limit, &order);
        all.truncate(limit);
    }
    all.sort_unstable_by(order);
}

impl Table {
    pub(super) fn list_jobs(&self, query: &JobQuery) -> Vec<Arc<JobDetail>> {
        let wanted = |slot: &&JobSlot| query.matches(&slot.detail);
        let mut found: Vec<&JobSlot> = if query.keys.is_empty() {
            self.jobs.iter().map(|(_, slot)| slot).filter(wanted).collect()
        } else {
            let slots = query.keys.iter().filter_map(|key| self.job_slot(key));
            slots.map(|slot| &self.jobs[slot]).filter(wanted).collect()
        };
        first(&mut found, query.limit, |a, b| a.detail.key().cmp(b.detail.key()));
        found.into_iter().map(|slot| slot.detail.clone()).collect()
    }

    pub(super) fn list_triggers(&self, query: &TriggerQuery) -> Vec<TriggerStatus> {
        let wanted = |slot: &&TriggerSlot| query.matches(&slot.trigger, self.state_of(slot));
        let mut found: Vec<&TriggerSlot> = if query.keys.is_empty() {
            self.triggers.iter().map(|(_, slot)| slot).filter(wanted).collect()
        } else {
            let slots = query.keys.iter().filter_map(|key| self.trigger_slot(key));
            slots.map(|slot| &self.triggers[slot]).filter(wanted).collect()
        };
        first(&mut found, query.limit, |a, b| a.trigger.key().cmp(b.trigger.key()));
        found.into_iter().map(|slot| self.status(slot)).collect()
    }

    fn state_of(&self, slot: &TriggerSlot) -> TriggerState {
        let (exhausted, executing) = (slot.next().is_none(), slot.running > 0);
        TriggerState::of(slot.state, exhausted, executing, self.is_busy(slot.trigger.job()))
    }

    fn status(&self, slot: &TriggerSlot) -> TriggerStatus {
        TriggerStatus {
            trigger: slot.trigger.clone(),
            progress: slot.progress(),
            state: self.state_of(slot),
            pause: slot.pause().cloned(),
            revision: slot.revision(),
        }
    }

    pub(super) fn list_executions(&self, what: &Executions) -> Vec<ExecutionStatus> {
        let mut found: Vec<_> = self
            .fired(what)
            .map(|(id, claim)| ExecutionStatus {
                id,
                job: claim.job.clone(),
                trigger: claim.key.clone(),
                execution_group: claim.group.clone(),
                fired: claim.since,
            })
            .collect();
        found.sort_unstable_by_key(|execution| execution.id);
        found
    }

    /// How many runs each node has under way.
    pub(super) fn runs_by_session(&self) -> BTreeMap<u64, usize> {
        let mut runs = BTreeMap::new();
        for (id, _) in self.fired(&Executions::All) {
            *runs.entry(id.session()).or_default() += 1;
        }
        runs
    }

    pub(super) fn list_groups(&self, kind: GroupKind) -> Vec<GroupStatus> {
        let mut groups: BTreeMap<Arc<str>, usize> =
            self.pauses.of(kind).keys().map(|group| (group.clone(), 0)).collect();
        let mut count = |group: &str| match groups.get_mut(group) {
            Some(members) => *members += 1,
            None => drop(groups.insert(group.into(), 1)),
        };
        match kind {
            GroupKind::Jobs => self.jobs.iter().for_each(|(_, slot)| count(slot.detail.key().group())),
            GroupKind::Triggers => {
                self.triggers.iter().for_each(|(_, slot)| count(slot.trigger.key().group()));
            }
        }
        let pause = |name: &Arc<str>| self.pauses.of_group(kind, name).cloned();
        groups.into_iter().map(|(name, members)| GroupStatus { pause: pause(&name), name, members }).collect()
    }
}
