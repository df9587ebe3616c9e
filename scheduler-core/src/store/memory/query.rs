//! Looking things up; nothing in here changes anything.

use std::sync::Arc;

use super::table::{JobSlot, Table, TriggerSlot};
use crate::job::JobDetail;
use crate::key::JobKey;
use crate::store::contract::*;
use crate::store::state::TriggerState;

impl Table {
    pub(super) fn job_count(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn trigger_count(&self) -> usize {
        self.triggers.len()
    }

    pub(super) fn list_jobs(&self, query: &JobQuery) -> Vec<Arc<JobDetail>> {
        let wanted = |key: &JobKey| query.after.as_ref().is_none_or(|after| key > after);
        let mut found: Vec<&JobSlot> = if query.keys.is_empty() {
            self.job_slots.iter().filter(|(key, _)| wanted(key)).map(|(_, slot)| &self.jobs[*slot]).collect()
        } else {
            let slots = query.keys.iter().filter(|key| wanted(key)).filter_map(|key| self.job_slots.get(key));
            slots.map(|slot| &self.jobs[*slot]).collect()
        };
        found.sort_unstable_by(|a, b| a.detail.key().cmp(b.detail.key()));
        found.into_iter().take(query.limit.unwrap_or(usize::MAX)).map(|slot| slot.detail.clone()).collect()
    }

    pub(super) fn list_triggers(&self, query: &TriggerQuery) -> Vec<TriggerStatus> {
        let wanted = |slot: &&TriggerSlot| {
            let trigger = &slot.trigger;
            query.after.as_ref().is_none_or(|after| trigger.key() > after)
                && query.job.as_ref().is_none_or(|job| trigger.job() == job)
        };
        let mut found: Vec<&TriggerSlot> = if query.keys.is_empty() {
            self.triggers.iter().map(|(_, slot)| slot).filter(wanted).collect()
        } else {
            let slots = query.keys.iter().filter_map(|key| self.trigger_slots.get(key));
            slots.map(|slot| &self.triggers[*slot]).filter(wanted).collect()
        };
        found.sort_unstable_by(|a, b| a.trigger.key().cmp(b.trigger.key()));
        found.into_iter().take(query.limit.unwrap_or(usize::MAX)).map(|slot| self.status(slot)).collect()
    }

    fn status(&self, slot: &TriggerSlot) -> TriggerStatus {
        let job_busy = self.is_busy(slot.trigger.job());
        TriggerStatus {
            trigger: slot.trigger.clone(),
            progress: slot.progress.clone(),
            state: TriggerState::of(slot.state, slot.running > 0, job_busy),
        }
    }
}
