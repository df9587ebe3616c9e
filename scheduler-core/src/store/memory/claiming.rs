//! What nodes take out of the lanes.

use chrono::{DateTime, Utc};

use super::lanes::{Due, Moment};
use super::slots::slot_of;
use super::table::Table;
use crate::job::ExecutionId;
use crate::store::contract::Attached;
use crate::store::firing::{AcquireDue, Acquired, AcquiredTrigger};
use crate::store::rows::Rows;
use crate::store::rules;

impl Table {
    pub(super) fn acquire(&mut self, request: &AcquireDue, timing: Attached) -> Acquired {
        let Ok(()) = rules::ring(self, request.now, request.session);
        let types = self.types.get(&request.session).and_then(Option::as_ref);
        let mut open = self.lanes.open(types, &request.limits, &self.claimed);
        let mut triggers = Vec::new();
        let mut late = request.late;
        while triggers.len() < request.max {
            let Some((due, lane)) = open.next(&mut self.lanes, request.until) else {
                // Nothing punctual is left.
                if open.all(&self.lanes) { continue } else { break }
            };
            if let Some(share) = late.as_mut().filter(|share| due.at < Moment::of(share.before)) {
                if share.most == 0 {
                    let before = Moment::of(share.before);
                    late = None;
                    self.lanes.insert(lane, due);
                    open.only_from(&self.lanes, before);
                    continue;
                }
                share.most -= 1;
            }
            triggers.push(self.claim(&due, request, timing));
            open.taken(&self.lanes, lane);
        }
        open.all(&self.lanes);
        let next_due = self.next_wake().into_iter().chain(open.next_due(&self.lanes)).min();
        let Ok(cancel) = self.cancelled(request.session);
        Acquired { triggers, cancel, next_due }
    }

    /// When to ask again, apart from what is in the lanes.
    fn next_wake(&self) -> Option<DateTime<Utc>> {
        let lapse = (self.unfired > 0).then_some(self.earliest_lapse);
        let alarm = self.alarms.first().map(|(at, _)| *at);
        lapse.into_iter().chain(alarm).chain(self.pauses_end).min()
    }

    /// Claims a trigger that was taken out of its lane.
    fn claim(&mut self, due: &Due, request: &AcquireDue, timing: Attached) -> AcquiredTrigger {
        // From the time on, since the number is the fence of the run and must grow over restarts.
        self.counter = ExecutionId::count_after(self.counter, request.now);
        let (index, lapse) = (due.slot as usize, timing.lapse(due.at.time(), request.now));
        let id = self.id_of(index);
        let slot = &mut self.triggers[index];
        (slot.stands, slot.claimed) = (false, true);
        let claim = rules::claimed(id, &slot.row, request.session, request.now, lapse);
        let acquired = AcquiredTrigger {
            claim: ExecutionId::new(request.session, self.counter),
            trigger: slot.row.trigger.clone(),
            progress: slot.row.progress(),
            calendar: slot.row.trigger.calendar().and_then(|name| self.calendars.get(name)).cloned(),
            freed: slot.row.freed(),
        };
        if claim.exclusive {
            let (job, lane) = (slot_of(slot.row.job), slot.row.lane.0 as usize);
            self.jobs[job].leave_queue(lane, due);
            self.withhold(job);
        }
        self.insert_claim(self.counter, claim);
        acquired
    }
}
