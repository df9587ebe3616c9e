//! The way of a firing through the table: acquire, fire, complete, release.

use chrono::{DateTime, Utc};

use super::lanes::{Due, Moment};
use super::pauses::Ending;
use super::table::{Claim, Table};
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::store::admin::Executions;
use crate::store::contract::Attached;
use crate::store::firing::*;
use crate::store::state::{Step, StoredState};
use crate::trigger::OverlapPolicy;

impl Table {
    /// Also says whether other nodes have something to hear of.
    pub(super) fn acquire(&mut self, request: &AcquireDue, timing: Attached) -> (Acquired, bool) {
        self.release_lapsed(request.now);
        self.end_pauses(request.now);
        let told = self.cancel_previous(request.now);
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
        let own = self.cancelled.iter().filter(|(id, _)| id.session() == request.session);
        let cancel: Vec<_> = own.map(|(id, reason)| (*id, *reason)).collect();
        let others = told && cancel.len() < self.cancelled.len();
        (Acquired { triggers, cancel, next_due }, others)
    }

    /// When to ask again, apart from what is in the lanes.
    fn next_wake(&self) -> Option<DateTime<Utc>> {
        let lapse = (self.unfired > 0).then_some(self.earliest_lapse);
        let overlap = self.overlapping.first().map(|due| due.at.time());
        lapse.into_iter().chain(overlap).chain(self.pauses.next_ending()).min()
    }

    fn claim(&mut self, due: &Due, request: &AcquireDue, timing: Attached) -> AcquiredTrigger {
        // From the time on, since the number is the fence of the run and must grow over restarts.
        self.counter = ExecutionId::count_after(self.counter, request.now);
        let claim = ExecutionId::new(request.session, self.counter);
        let slot = &mut self.triggers[due.slot as usize];
        slot.state = slot.state.after(Step::Acquire).unwrap_or(slot.state);
        let (generation, lineage, job) = (slot.generation, slot.lineage(), slot.trigger.job().clone());
        let acquired = AcquiredTrigger {
            claim,
            trigger: slot.trigger.clone(),
            progress: slot.progress(),
            calendar: slot.trigger.calendar().and_then(|name| self.calendars.get(name)).cloned(),
            freed: slot.freed(),
            fired: None,
        };
        let (home, lane) = (slot.job(), slot.lane());
        if self.jobs[home].detail.disallow_concurrent() {
            self.jobs[home].leave_queue(lane, due);
            self.withhold(home);
            self.busy.insert(job.clone(), claim);
        }
        let lapse = timing.lapse(due.at.time(), request.now);
        self.earliest_lapse = if self.unfired == 0 { lapse } else { self.earliest_lapse.min(lapse) };
        self.unfired += 1;
        let (key, since, group) = (due.key.clone(), request.now, acquired.trigger.execution_group().cloned());
        if let Some(group) = &group {
            *self.claimed.entry(group.clone()).or_default() += 1;
        }
        let (session, trigger) = (request.session, due.slot as usize);
        let made =
            Claim { session, trigger, generation, lineage, key, job, group, fired: false, lapse, since };
        self.claims.insert(self.counter, made);
        acquired
    }

    /// Marks the runs of triggers that are due again and whose policy is to cancel them.
    fn cancel_previous(&mut self, now: DateTime<Utc>) -> bool {
        let before = self.cancelled.len();
        while self.overlapping.first().is_some_and(|due| due.at <= Moment::of(now)) {
            // It stays queued, without a place, until its run has ended.
            let Some(due) = self.overlapping.pop_first() else { break };
            let lineage = self.triggers[due.slot as usize].lineage();
            let of_trigger = |claim: &Claim| claim.fired && claim.lineage == lineage;
            for (count, claim) in self.claims.iter().filter(|(_, claim)| of_trigger(claim)) {
                let id = ExecutionId::new(claim.session, *count);
                self.cancelled.entry(id).or_insert(CancelReason::Superseded);
            }
        }
        self.cancelled.len() > before
    }

    pub(super) fn fire(&mut self, firing: Firing, now: DateTime<Utc>) -> FireResult {
        let fence = firing.claim.count();
        let known = self.claim_of(firing.claim);
        if let Some(claim) = known.filter(|claim| claim.fired) {
            // The same call again, after its reply was lost.
            return match self.job_slot(&claim.job) {
                Some(job) => FireResult::Run { fence, job: self.jobs[job].detail.clone() },
                None => FireResult::Stale,
            };
        }
        let Some(claim) = known.is_some().then(|| self.claims.get_mut(&fence)).flatten() else {
            return FireResult::Stale;
        };
        let index = claim.trigger;
        let slot = &mut self.triggers[index];
        slot.state = slot.state.after(Step::Fire).unwrap_or(slot.state);
        slot.set_progress(firing.progress);
        slot.set_freed(None);
        self.unfired -= 1;
        let overlaps = slot.running > 0 && slot.trigger.overlap() == OverlapPolicy::Skip;
        if firing.run && !overlaps {
            (claim.fired, claim.since) = (true, now);
            slot.running += 1;
            let job = self.jobs[slot.job()].detail.clone();
            self.enqueue(index);
            return FireResult::Run { fence, job };
        }
        if slot.next().is_none() {
            slot.state = StoredState::Complete;
        }
        self.end_claim(firing.claim);
        self.enqueue(index);
        if firing.run { FireResult::Overlapped } else { FireResult::Advanced }
    }

    pub(super) fn complete(&mut self, completion: Completion, now: DateTime<Utc>) -> CompleteResult {
        if self.claim_of(completion.execution).is_none_or(|claim| !claim.fired) {
            return CompleteResult::Gone;
        }
        let Some(claim) = self.end_claim(completion.execution) else { return CompleteResult::Gone };
        self.keep_data(&claim, &completion);
        if let Some(record) = completion.record.filter(|_| self.keeps > 0) {
            if self.history.len() == self.keeps {
                self.history.pop_front();
            }
            self.history.push_back(record);
        }
        let index = claim.trigger;
        let current = self.triggers.get(index).is_some_and(|slot| slot.generation == claim.generation);
        self.end_run(&claim, now);
        match completion.instruction {
            Instruction::FinishJob => drop(self.step_job(&claim.job, Step::Finish)),
            Instruction::FailJob => drop(self.step_job(&claim.job, Step::Fail)),
            Instruction::FinishTrigger if current => drop(self.apply(index, Step::Finish)),
            Instruction::FailTrigger if current => drop(self.apply(index, Step::Fail)),
            Instruction::RemoveTrigger if current => return self.remove_if_finished(index),
            _ => {}
        }
        CompleteResult::Done { trigger_removed: false, job_removed: false }
    }

    /// The trigger has one run less, also if it took the place of the one that was fired.
    fn end_run(&mut self, claim: &Claim, now: DateTime<Utc>) {
        let same = |index: &usize| {
            let slot = self.triggers.get(*index);
            slot.is_some_and(|slot| slot.generation == claim.generation && *slot.trigger.key() == claim.key)
        };
        let index = Some(claim.trigger).filter(same).or_else(|| self.trigger_slot(&claim.key));
        let Some(index) = index.filter(|index| self.triggers[*index].lineage() == claim.lineage) else {
            return;
        };
        if !self.triggers[index].trigger.overlap().waits() {
            let slot = &mut self.triggers[index];
            slot.running = slot.running.saturating_sub(1);
            return;
        }
        // Its place depends on its runs.
        self.dequeue(index);
        let slot = &mut self.triggers[index];
        slot.running = slot.running.saturating_sub(1);
        if slot.next().is_some_and(|due| due <= now) {
            slot.set_freed(Some(now));
        }
        self.freed = true;
        self.enqueue(index);
    }

    /// The data that a run has changed, for a job that wants to keep it and is still there.
    fn keep_data(&mut self, claim: &Claim, completion: &Completion) {
        let Some(data) = &completion.data else { return };
        let Some(job) = self.job_slot(&claim.job) else { return };
        let detail = &mut self.jobs[job].detail;
        if detail.persist_data() {
            *detail = JobDetail::to_builder(detail).data(data.clone()).build().into();
        }
    }

    /// A trigger that was given no further fire time meanwhile goes.
    fn remove_if_finished(&mut self, index: usize) -> CompleteResult {
        let slot = &self.triggers[index];
        if slot.next().is_some() {
            return CompleteResult::Done { trigger_removed: false, job_removed: false };
        }
        CompleteResult::Done { trigger_removed: true, job_removed: self.remove_trigger_at(index).job_removed }
    }

    pub(super) fn cancel(&mut self, what: &Executions) -> Vec<ExecutionId> {
        let mut runs: Vec<_> = self.fired(what).map(|(id, _)| id).collect();
        runs.sort_unstable();
        for id in &runs {
            self.cancelled.entry(*id).or_insert(CancelReason::Requested);
        }
        runs
    }

    /// The claims that were fired and are meant.
    pub(super) fn fired<'a>(
        &'a self,
        what: &'a Executions,
    ) -> impl Iterator<Item = (ExecutionId, &'a Claim)> {
        let all = self.claims.iter().map(|(count, claim)| (ExecutionId::new(claim.session, *count), claim));
        all.filter(move |(id, claim)| {
            claim.fired
                && match what {
                    Executions::One(wanted) => id == wanted,
                    Executions::OfJob(job) => claim.job == *job,
                    Executions::OfTrigger(trigger) => claim.key == *trigger,
                    Executions::OfGroup(group) => claim.group.as_ref() == Some(group),
                    Executions::All => true,
                }
        })
    }

    pub(super) fn release(&mut self, id: ExecutionId) {
        let Some(claim) = self.claim_of(id).filter(|claim| !claim.fired) else { return };
        let index = claim.trigger;
        self.unfired -= 1;
        self.end_claim(id);
        let slot = &mut self.triggers[index];
        slot.state = slot.state.after(Step::Release).unwrap_or(slot.state);
        self.enqueue(index);
    }

    /// The claims of a node that has ended are those of nobody.
    pub(super) fn detach(&mut self, session: u64) {
        self.types.remove(&session);
        let own = self.claims.iter().filter(|(_, claim)| claim.session == session);
        let own: Vec<_> = own.map(|(count, claim)| (*count, claim.fired, claim.since)).collect();
        for (count, fired, since) in own {
            let id = ExecutionId::new(session, count);
            match fired {
                false => self.release(id),
                true => drop(self.complete(Completion::of(id), since)),
            }
        }
    }

    fn release_lapsed(&mut self, now: DateTime<Utc>) {
        if self.unfired == 0 || now < self.earliest_lapse {
            return;
        }
        let open = self.claims.iter().filter(|(_, claim)| !claim.fired);
        let (lapsed, alive): (Vec<_>, Vec<_>) = open
            .map(|(count, claim)| (ExecutionId::new(claim.session, *count), claim.lapse))
            .partition(|(_, lapse)| *lapse <= now);
        self.earliest_lapse = alive.iter().map(|(_, lapse)| *lapse).min().unwrap_or(now);
        lapsed.into_iter().for_each(|(id, _)| self.release(id));
    }

    fn end_pauses(&mut self, now: DateTime<Utc>) {
        for ending in self.pauses.take_ended(now) {
            let Ending::Trigger(index, generation) = ending else { continue };
            let slot = self.triggers.get(index).filter(|slot| slot.generation == generation);
            let until = slot.and_then(|slot| slot.pause()?.until);
            // A pause that was renewed meanwhile ends later.
            if until.is_none_or(|until| until > now) {
                continue;
            }
            let trigger = &self.triggers[index].trigger;
            let of_group = self.pauses.at_birth(trigger.key().group(), trigger.job().group()).cloned();
            match of_group {
                // Its group is paused for longer.
                Some(note) => self.pause_trigger(index, &note),
                None => self.apply(index, Step::Resume),
            };
        }
    }

    /// Forgets the claim and, if it held its job, lets the job's next trigger come up.
    pub(super) fn end_claim(&mut self, id: ExecutionId) -> Option<Claim> {
        self.claim_of(id)?;
        let claim = self.claims.remove(&id.count())?;
        self.cancelled.remove(&id);
        if let Some(group) = &claim.group {
            // Another node may have waited for it.
            self.freed = true;
            if let Some(left) = self.claimed.get_mut(group).map(|count| {
                *count -= 1;
                *count
            }) && left == 0
            {
                self.claimed.remove(group);
            }
        }
        if self.busy.get(&claim.job) == Some(&id) {
            self.busy.remove(&claim.job);
            if let Some(job) = self.job_slot(&claim.job) {
                self.offer(job);
            }
        }
        Some(claim)
    }

    /// Takes an unfired claim away from its trigger. It is looked for: an acquired trigger is fired at once, so hardly ever does
    /// anybody meet one, and a number in each trigger would be memory for nothing.
    pub(super) fn withdraw_claim(&mut self, index: usize) {
        if self.triggers[index].state != StoredState::Acquired {
            return;
        }
        let found = self.claims.iter().find(|(_, claim)| !claim.fired && claim.trigger == index);
        if let Some(id) = found.map(|(count, claim)| ExecutionId::new(claim.session, *count)) {
            self.unfired -= 1;
            self.end_claim(id);
        }
    }
}
