//! What nodes take out of the lanes.

use chrono::{DateTime, Utc};

use super::lanes::{Due, Moment, Open, Stood};
use super::table::Table;
use crate::job::ExecutionId;
use crate::key::JobKey;
use crate::run::{GateId, RunId, WhenFull};
use crate::store::contract::Attached;
use crate::store::firing::{AcquireDue, Acquired, AcquiredTrigger};
use crate::store::limits::FullLimit;
use crate::store::rows::{Rows, StoredState};
use crate::store::rules::{self, Rung};
use crate::store::runs::AcquiredRun;

/// What a request has taken so far.
struct Taking<'a> {
    request: &'a AcquireDue,
    timing: Attached,
    /// How many late ones may still be taken.
    late: usize,
    triggers: Vec<AcquiredTrigger>,
    runs: Vec<AcquiredRun>,
    /// Runs that have expired.
    expired: Vec<(RunId, JobKey)>,
    /// Runs that have found a limit full, and those of them that have ended.
    limited: Vec<FullLimit>,
    superseded: Vec<(RunId, JobKey)>,
    /// How many runs wait at gates since.
    parked: usize,
}

/// So many runs are parked at gates in one call, so that none takes long. The node asks again at once.
const MOST_PARKED: usize = 500;

impl Taking<'_> {
    fn len(&self) -> usize {
        self.triggers.len() + self.runs.len()
    }
}

impl Table {
    pub(super) fn acquire(&mut self, request: &AcquireDue, timing: Attached) -> Acquired {
        let Ok(Rung { dropped, expired, dead }) = rules::ring(self, request.now, request.session);
        self.listings.forget_if_unused(request.now);
        self.open_rates(request.now);
        if let Some(heard) = request.heard {
            let Ok(()) = rules::give_back_unheard(self, request.session, heard);
        }
        let takes = self.takes.get(&request.session);
        let types = takes.and_then(|takes| takes.types.as_ref());
        let mut limits = std::borrow::Cow::Borrowed(&request.limits);
        if !self.pauses.queues().is_empty() {
            self.pauses.close(limits.to_mut());
        }
        let mut open = self.lanes.open(types, takes.map(|takes| &takes.queues), &limits, &self.claimed);
        let late = request.late.map_or(0, |share| share.most);
        let (triggers, runs, limited, superseded) = Default::default();
        let mut taking =
            Taking { request, timing, late, triggers, runs, expired, limited, superseded, parked: 0 };
        for share in &request.shares {
            open.only_of(&self.lanes, Some(share.queues.clone()));
            self.take(&mut open, &mut taking, share.most);
        }
        if !request.shares.is_empty() {
            open.only_of(&self.lanes, None);
        }
        self.take(&mut open, &mut taking, request.max);
        let Taking { triggers, runs, expired, limited, superseded, parked, .. } = taking;
        let is_unfinished = parked >= MOST_PARKED || self.gates.caps.is_unfinished();
        let at_once = is_unfinished.then_some(request.now);
        let next_due = self.next_wake().into_iter().chain(open.next_due(&self.lanes)).chain(at_once).min();
        let Ok(cancel) = self.cancelled(request.session);
        Acquired { triggers, runs, cancel, next_due, dropped, expired, limited, superseded, dead }
    }

    /// Takes so many more of what is open: late ones up to what is left of their share, then those that are punctual, then the
    /// other late ones.
    fn take(&mut self, open: &mut Open, taking: &mut Taking<'_>, most: usize) {
        let Taking { request, timing, .. } = *taking;
        let goal = taking.len().saturating_add(most).min(request.max);
        let mut before = request.late.map(|share| Moment::of(share.before));
        while taking.len() < goal && taking.parked < MOST_PARKED {
            self.look_at_opened(open);
            let Some((due, lane)) = open.next(&mut self.lanes, request.until) else {
                // Nothing punctual is left.
                if open.all(&self.lanes) { continue } else { break }
            };
            if let Stood::Run(slot) = due.what()
                && (self.is_misplaced(slot) || self.is_paused(slot))
            {
                self.lanes.insert(lane, due);
                if self.is_misplaced(slot) {
                    self.edit_run(slot, |row| row.exclusive = !row.exclusive);
                } else {
                    let Ok(_) = rules::hold_if_paused(self, self.run_id(slot));
                }
                open.passed(&self.lanes, lane);
                continue;
            }
            if let Stood::Run(slot) = due.what()
                && self.runs[slot].row.may_not_begin(request.now, request.until)
            {
                self.lanes.insert(lane, due);
                taking.expired.extend(self.put_off(slot, request));
                open.passed(&self.lanes, lane);
                continue;
            }
            if let Stood::Run(slot) = due.what()
                && let Some(gate) = self.full_gate(slot)
            {
                self.lanes.insert(lane, due);
                self.meet_full_gate(slot, gate, taking);
                taking.parked += 1;
                open.passed(&self.lanes, lane);
                continue;
            }
            if let Some(punctual) = before.filter(|before| due.at < *before) {
                if taking.late == 0 {
                    before = None;
                    self.lanes.insert(lane, due);
                    open.only_from(&self.lanes, punctual);
                    continue;
                }
                taking.late -= 1;
            }
            // From the time on, since the number is the fence of the run and must grow over restarts.
            self.counter = ExecutionId::count_after(self.counter, request.now);
            match due.what() {
                Stood::Trigger(slot) => taking.triggers.push(self.claim(slot, &due, request, timing)),
                Stood::Run(slot) => taking.runs.push(self.claim_run(slot, &due, request)),
            }
            open.taken(&self.lanes, lane);
        }
        open.all(&self.lanes);
    }

    /// When to ask again, apart from what is in the lanes.
    fn next_wake(&self) -> Option<DateTime<Utc>> {
        let lapse = (self.unfired > 0).then_some(self.earliest_lapse);
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let rings = self.batches.is_ringing().then_some(DateTime::UNIX_EPOCH);
        lapse
            .into_iter()
            .chain(rings)
            .chain(alarm)
            .chain(self.ended.next_alarm())
            .chain(self.pauses_end)
            .chain(self.gates.next_opening())
            .min()
    }

    /// Claims a trigger that was taken out of its lane.
    fn claim(&mut self, index: usize, due: &Due, request: &AcquireDue, timing: Attached) -> AcquiredTrigger {
        let lapse = timing.lapse(due.at.time(), request.now);
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
            let lane = slot.row.lane.0 as usize;
            self.leave_waiting(claim.trigger.job(), lane, due);
            self.withhold(claim.trigger.job());
        }
        self.insert_claim(self.counter, claim);
        acquired
    }

    /// A run whose job, as it is stored now, wants it to stand elsewhere.
    fn is_misplaced(&self, index: usize) -> bool {
        let row = &self.runs[index].row;
        let job = self.job_slot(&row.job).map(|job| &self.jobs[job].row.detail);
        job.is_some_and(|job| job.disallow_concurrent() != row.exclusive)
    }

    /// A run that tries an occurrence of a paused trigger again.
    fn is_paused(&self, index: usize) -> bool {
        let trigger = self.runs[index].row.occurrence_of().and_then(|key| self.trigger_slot(key));
        trigger.is_some_and(|slot| self.triggers[slot].row.state == StoredState::Paused)
    }

    /// A run that must not begin ends as expired, or waits until it is due.
    fn put_off(&mut self, index: usize, request: &AcquireDue) -> Option<(RunId, JobKey)> {
        if self.runs[index].row.is_expired(request.now) {
            let Ok(expired) = rules::end_expired(self, self.run_id(index), request.session, request.now);
            return expired;
        }
        self.edit_run(index, |row| row.wait_for(row.due, request.now));
        None
    }

    /// A run that finds this gate full waits there. If that is not what it is to do, it does something else.
    fn meet_full_gate(&mut self, slot: usize, gate: GateId, taking: &mut Taking<'_>) {
        let is_first = !self.gates.at.contains_key(&slot);
        let row = &self.runs[slot].row;
        let waits = row.gates().iter().any(|known| known.id == gate && known.when_full == WhenFull::Wait);
        let mut full = FullLimit::new(row.id, row.job.clone(), gate.clone());
        if is_first && !waits {
            full.waiting = self.parked_at(&gate);
        }
        self.park(slot, gate);
        if !is_first {
            return;
        }
        if !waits {
            let AcquireDue { session, now, .. } = *taking.request;
            let Ok(ended) = rules::meet_full_limit(self, &full, session, now);
            taking.superseded.extend(ended);
        }
        taking.limited.push(full);
    }

    /// Claims a run that was taken out of its lane.
    fn claim_run(&mut self, index: usize, due: &Due, request: &AcquireDue) -> AcquiredRun {
        self.lengths.leave(&self.runs[index]);
        let slot = &mut self.runs[index];
        (slot.stands, slot.claim) = (false, self.counter);
        let execution = ExecutionId::new(request.session, self.counter);
        let (claim, mut acquired) = rules::claimed_run(&slot.row, execution, request.now);
        if claim.exclusive {
            let lane = slot.row.lane.0 as usize;
            self.leave_waiting(claim.trigger.job(), lane, due);
            self.withhold(claim.trigger.job());
        }
        if let Some(job) = self.job_slot(claim.trigger.job()) {
            acquired.job = Some(self.jobs[job].row.detail.clone());
        }
        let gates = claim.gates.clone();
        self.insert_claim(self.counter, claim);
        self.gates.begin(&gates);
        self.note_rates(&gates);
        self.pass_gates(index, &gates);
        self.take_turn(index);
        acquired
    }
}
