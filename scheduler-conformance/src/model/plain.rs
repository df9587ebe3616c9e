//! The model: plain lists, searched from end to end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::Text;
use scheduler_core::job::{CancelReason, ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::{OverlapPolicy, Progress, Trigger};
use scheduler_core::{JobKey, TriggerKey};

#[derive(Debug)]
pub(super) struct Row {
    pub(super) trigger: Arc<Trigger>,
    pub(super) progress: Progress,
    pub(super) state: StoredState,
    /// Another one for each trigger that ever had this name.
    pub(super) birth: u64,
    /// The birth of the first in a row of triggers that took each other's place.
    pub(super) lineage: u64,
}

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) id: ExecutionId,
    pub(super) trigger: TriggerKey,
    pub(super) birth: u64,
    pub(super) lineage: u64,
    pub(super) job: JobKey,
    /// The job allowed one run at a time when the claim was made.
    pub(super) single: bool,
    /// The trigger had a queue then.
    pub(super) has_queue: bool,
    pub(super) fired: bool,
    pub(super) lapse: DateTime<Utc>,
    pub(super) cancel: Option<CancelReason>,
}

#[derive(Debug, Default)]
pub(super) struct Plain {
    pub(super) jobs: BTreeMap<JobKey, Arc<JobDetail>>,
    pub(super) rows: BTreeMap<TriggerKey, Row>,
    pub(super) claims: Vec<Claim>,
    paused_groups: BTreeSet<Arc<str>>,
    paused_job_groups: BTreeSet<Arc<str>>,
    all_paused: bool,
    excepted: BTreeSet<Arc<str>>,
    births: u64,
}

/// What of a call can be seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Conflict,
    NotFound,
}

impl Plain {
    pub(super) fn put_job(&mut self, job: &Arc<JobDetail>, existing: Existing) -> Result<(), Refusal> {
        let data = match (self.jobs.get(job.key()), existing) {
            (None, _) | (Some(_), Existing::Replace) => None,
            (Some(_), Existing::Refuse) => return Err(Refusal::Conflict),
            (Some(_), Existing::Keep) => return Ok(()),
            (Some(known), Existing::Update) => {
                (known.persist_data() && job.persist_data()).then(|| known.data().clone())
            }
        };
        let job = match data {
            Some(data) => Arc::new(job.to_builder().data(data).build()),
            None => job.clone(),
        };
        self.jobs.insert(job.key().clone(), job);
        Ok(())
    }

    pub(super) fn put_trigger(
        &mut self,
        trigger: &Arc<Trigger>,
        progress: &Progress,
        existing: Existing,
    ) -> Result<(), Refusal> {
        if let Some(row) = self.rows.get_mut(trigger.key()) {
            match existing {
                Existing::Refuse => return Err(Refusal::Conflict),
                Existing::Keep => return Ok(()),
                Existing::Update if row.trigger.job() == trigger.job() => {
                    row.trigger = trigger.clone();
                    return Ok(());
                }
                _ => {
                    let lineage = row.lineage;
                    self.take(&trigger.key().clone());
                    return self.insert(trigger, progress, Some(lineage));
                }
            }
        }
        self.insert(trigger, progress, None)
    }

    fn insert(
        &mut self,
        trigger: &Arc<Trigger>,
        progress: &Progress,
        lineage: Option<u64>,
    ) -> Result<(), Refusal> {
        self.births += 1;
        let lineage = lineage.unwrap_or(self.births);
        let state = if self.is_born_paused(trigger) { StoredState::Paused } else { StoredState::Waiting };
        let row =
            Row { trigger: trigger.clone(), progress: progress.clone(), state, birth: self.births, lineage };
        self.rows.insert(trigger.key().clone(), row);
        Ok(())
    }

    fn is_born_paused(&self, trigger: &Trigger) -> bool {
        self.is_group_paused(trigger.key().group()) || self.paused_job_groups.contains(trigger.job().group())
    }

    fn is_group_paused(&self, group: &str) -> bool {
        self.paused_groups.contains(group) || (self.all_paused && !self.excepted.contains(group))
    }

    pub(super) fn reschedule(&mut self, request: &Reschedule) -> Result<bool, Refusal> {
        let Some(row) = self.rows.get_mut(&request.old) else { return Ok(false) };
        let new = &request.trigger;
        if row.trigger.job() != new.job() {
            return Err(Refusal::Conflict);
        }
        let same_name = *new.key() == request.old;
        if same_name && request.progress.is_none() {
            row.trigger = new.clone();
            return Ok(true);
        }
        let progress = request.progress.clone().unwrap_or_else(|| row.progress.clone());
        if !same_name && self.rows.contains_key(new.key()) {
            return Err(Refusal::Conflict);
        }
        let lineage = self.rows[&request.old].lineage;
        self.take(&request.old);
        self.insert(new, &progress, same_name.then_some(lineage))?;
        Ok(true)
    }

    pub(super) fn adjust(&mut self, key: &TriggerKey, to: Progress) -> bool {
        if !self.rows.contains_key(key) {
            return false;
        }
        self.withdraw(key);
        let Some(row) = self.rows.get_mut(key) else { return false };
        row.progress = to;
        if row.state == StoredState::Waiting && row.progress.next.is_none() {
            row.state = StoredState::Complete;
        }
        true
    }

    /// Removes a trigger with its unfired claim.
    fn take(&mut self, key: &TriggerKey) -> Option<Row> {
        self.withdraw(key);
        self.rows.remove(key)
    }

    pub(super) fn remove_trigger(&mut self, key: &TriggerKey) -> Removed {
        let Some(row) = self.take(key) else { return Removed::default() };
        let job = row.trigger.job();
        let job_removed = !self.jobs[job].durable() && self.of_job(job).is_empty();
        if job_removed {
            self.jobs.remove(job);
        }
        Removed { found: true, job_removed }
    }

    pub(super) fn remove_job(&mut self, job: &JobKey) -> bool {
        for key in self.of_job(job) {
            self.take(&key);
        }
        self.jobs.remove(job).is_some()
    }

    fn of_job(&self, job: &JobKey) -> Vec<TriggerKey> {
        let of_job = self.rows.iter().filter(|(_, row)| row.trigger.job() == job);
        of_job.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn clear(&mut self) {
        self.claims.retain(|claim| claim.fired);
        *self = Self { births: self.births, claims: std::mem::take(&mut self.claims), ..Self::default() };
    }

    fn selected(&self, what: &Selection) -> Vec<TriggerKey> {
        let is_meant = |row: &Row| match what {
            Selection::Trigger(key) => row.trigger.key() == key,
            Selection::Job(job) => row.trigger.job() == job,
            Selection::TriggerGroup(groups) => groups.matches(row.trigger.key().group()),
            Selection::JobGroup(groups) => groups.matches(row.trigger.job().group()),
            Selection::All => true,
            other => panic!("the model does not know {other:?}"),
        };
        self.rows.iter().filter(|(_, row)| is_meant(row)).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn pause(&mut self, what: &Selection) -> Vec<TriggerKey> {
        let existing: Vec<Arc<str>> = self.rows.keys().map(|key| Arc::from(key.group())).collect();
        let jobs: Vec<Arc<str>> = self.jobs.keys().map(|key| Arc::from(key.group())).collect();
        let named = |groups: &Text, existing: Vec<Arc<str>>| match groups {
            Text::Is(group) => vec![group.clone()],
            _ => existing.into_iter().filter(|group| groups.matches(group)).collect(),
        };
        match what {
            Selection::TriggerGroup(groups) => self.paused_groups.extend(named(groups, existing)),
            Selection::JobGroup(groups) => self.paused_job_groups.extend(named(groups, jobs)),
            Selection::All => {
                self.paused_groups.extend(existing);
                (self.all_paused, self.excepted) = (true, BTreeSet::new());
            }
            _ => {}
        }
        let selected = self.selected(what);
        selected.into_iter().filter(|key| self.step(key, Step::Pause)).collect()
    }

    pub(super) fn resume(&mut self, what: &Selection) -> Vec<TriggerKey> {
        let mut selected = self.selected(what);
        match what {
            Selection::TriggerGroup(groups) => {
                self.paused_groups.retain(|group| !groups.matches(group));
                match groups {
                    Text::Any => self.all_paused = false,
                    Text::Is(group) => drop(self.excepted.insert(group.clone())),
                    _ => {
                        let existing = self.rows.keys().map(|key| Arc::from(key.group()));
                        self.excepted.extend(existing.filter(|group| groups.matches(group)));
                    }
                }
                selected.retain(|key| !self.paused_job_groups.contains(self.rows[key].trigger.job().group()));
            }
            Selection::JobGroup(groups) => self.paused_job_groups.retain(|group| !groups.matches(group)),
            Selection::All => {
                (self.all_paused, self.excepted) = (false, BTreeSet::new());
                self.paused_groups.clear();
                self.paused_job_groups.clear();
            }
            _ => {}
        }
        selected.into_iter().filter(|key| self.step(key, Step::Resume)).collect()
    }

    pub(super) fn reset(&mut self, key: &TriggerKey) -> bool {
        let was_in_error = self.step(key, Step::Reset);
        if was_in_error && self.is_born_paused(&self.rows[key].trigger) {
            self.step(key, Step::Pause);
        }
        was_in_error
    }

    fn step(&mut self, key: &TriggerKey, step: Step) -> bool {
        let Some(next) = self.rows.get(key).and_then(|row| row.state.after(step)) else { return false };
        self.withdraw(key);
        if let Some(row) = self.rows.get_mut(key) {
            row.state = next;
        }
        true
    }

    fn step_all(&mut self, keys: &[TriggerKey], step: Step) {
        for key in keys {
            self.step(key, step);
        }
    }

    /// Takes the unfired claim of a trigger away.
    fn withdraw(&mut self, key: &TriggerKey) {
        let before = self.claims.len();
        self.claims.retain(|claim| claim.fired || claim.trigger != *key);
        if let Some(row) = self.rows.get_mut(key).filter(|_| self.claims.len() < before) {
            row.state = StoredState::Waiting;
        }
    }

    fn runs(&self, row: &Row) -> usize {
        let of_row = |claim: &&Claim| claim.fired && claim.lineage == row.lineage;
        self.claims.iter().filter(of_row).count()
    }

    /// When a trigger can be claimed, by a node for which `allows` says whether it can run its job.
    pub(super) fn due(&self, row: &Row) -> Option<DateTime<Utc>> {
        let held = self.claims.iter().any(|claim| claim.single && claim.job == *row.trigger.job());
        let exclusive = self.jobs[row.trigger.job()].disallow_concurrent();
        let overlaps =
            matches!(row.trigger.overlap(), OverlapPolicy::BufferOne | OverlapPolicy::CancelPrevious)
                && self.runs(row) > 0;
        let free = row.state == StoredState::Waiting && !(exclusive && held) && !overlaps;
        row.progress.next.filter(|_| free)
    }

    /// What time does by itself: claims lapse, and runs are stopped since their trigger is due again.
    pub(super) fn settle(&mut self, now: DateTime<Utc>) {
        let lapsed = self.claims.iter().filter(|claim| !claim.fired && claim.lapse <= now);
        for key in lapsed.map(|claim| claim.trigger.clone()).collect::<Vec<_>>() {
            self.withdraw(&key);
        }
        let cancels = |row: &&Row| {
            row.state == StoredState::Waiting
                && row.trigger.overlap() == OverlapPolicy::CancelPrevious
                && row.progress.next.is_some_and(|next| next <= now)
        };
        let rows: BTreeSet<u64> = self.rows.values().filter(cancels).map(|row| row.lineage).collect();
        for claim in self.claims.iter_mut().filter(|claim| claim.fired && rows.contains(&claim.lineage)) {
            claim.cancel.get_or_insert(CancelReason::Superseded);
        }
    }

    /// The next trigger to be handed out.
    pub(super) fn next(
        &self,
        request: &AcquireDue,
        types: Option<&str>,
        taken: &[TriggerKey],
    ) -> Option<TriggerKey> {
        let can_take = |row: &&Row| {
            let queue = row.trigger.queue();
            let of_queue = |key: &&TriggerKey| self.rows[*key].trigger.queue() == queue;
            let used = taken.iter().filter(of_queue).count();
            let claimed = self.claims.iter().filter(|claim| claim.has_queue).count();
            let is_full =
                queue.and_then(|queue| request.limits.shared.get(queue)).is_some_and(|most| claimed >= *most);
            types.is_none_or(|job_type| self.jobs[row.trigger.job()].job_type() == job_type)
                && request.limits.of(queue).is_none_or(|limit| used < limit)
                && !is_full
                && self.due(row).is_some_and(|due| due <= request.until)
        };
        let is_late = |row: &Row| request.late.is_some_and(|share| row.progress.next < Some(share.before));
        let late = taken.iter().filter(|key| is_late(&self.rows[*key])).count();
        let waits = request.late.is_some_and(|share| late >= share.most);
        let mut left = request.clone();
        taken.iter().for_each(|key| left.took(self.rows[key].trigger.queue(), None));
        let share_of = |row: &Row| {
            let is_for = |share: &QueueShare| share.most > 0 && share.queues.contains(row.trigger.queue());
            left.shares.iter().position(is_for).unwrap_or(left.shares.len())
        };
        let order = |row: &&Row| {
            let rank = (row.progress.next, Reverse(row.trigger.priority()), row.trigger.key().clone());
            (share_of(row), waits && is_late(row), rank)
        };
        self.rows.values().filter(can_take).min_by_key(order).map(|row| row.trigger.key().clone())
    }

    pub(super) fn claim(&mut self, key: &TriggerKey, id: ExecutionId, lapse: DateTime<Utc>) {
        let Some(row) = self.rows.get_mut(key) else { return };
        row.state = StoredState::Acquired;
        let (job, birth, lineage) = (row.trigger.job().clone(), row.birth, row.lineage);
        let (single, has_queue) = (self.jobs[&job].disallow_concurrent(), row.trigger.queue().is_some());
        let (trigger, fired, cancel) = (key.clone(), false, None);
        self.claims.push(Claim { id, trigger, birth, lineage, job, single, has_queue, fired, lapse, cancel });
    }

    pub(super) fn fire(&mut self, firing: &Firing) -> &'static str {
        let Some(index) = self.claims.iter().position(|claim| claim.id == firing.claim) else {
            return "stale";
        };
        let job = &self.claims[index].job;
        if self.claims[index].fired {
            return if self.jobs.contains_key(job) { "run" } else { "stale" };
        }
        let key = self.claims[index].trigger.clone();
        let overlaps =
            self.rows[&key].trigger.overlap() == OverlapPolicy::Skip && self.runs(&self.rows[&key]) > 0;
        let Some(row) = self.rows.get_mut(&key) else { return "stale" };
        row.state = StoredState::Waiting;
        row.progress = firing.progress.clone();
        if firing.dropped.is_none() && !overlaps {
            self.claims[index].fired = true;
            return "run";
        }
        if row.progress.next.is_none() {
            row.state = StoredState::Complete;
        }
        self.claims.remove(index);
        if firing.dropped.is_none() { "overlapped" } else { "advanced" }
    }

    pub(super) fn complete(&mut self, id: ExecutionId, instruction: Instruction) -> CompleteResult {
        let Some(index) = self.claims.iter().position(|claim| claim.id == id && claim.fired) else {
            return CompleteResult::Gone;
        };
        let claim = self.claims.remove(index);
        let current = self.rows.get(&claim.trigger).is_some_and(|row| row.birth == claim.birth);
        let all = self.of_job(&claim.job);
        match instruction {
            Instruction::FinishJob => self.step_all(&all, Step::Finish),
            Instruction::FailJob => self.step_all(&all, Step::Fail),
            Instruction::FinishTrigger if current => self.step_all(&[claim.trigger], Step::Finish),
            Instruction::FailTrigger if current => self.step_all(&[claim.trigger], Step::Fail),
            Instruction::RemoveTrigger if current && self.rows[&claim.trigger].progress.next.is_none() => {
                let job_removed = self.remove_trigger(&claim.trigger).job_removed;
                return CompleteResult::Done { trigger_removed: true, job_removed };
            }
            _ => {}
        }
        CompleteResult::Done { trigger_removed: false, job_removed: false }
    }

    pub(super) fn release(&mut self, id: ExecutionId) {
        let claim = self.claims.iter().find(|claim| claim.id == id && !claim.fired);
        if let Some(key) = claim.map(|claim| claim.trigger.clone()) {
            self.withdraw(&key);
        }
    }

    pub(super) fn cancel(&mut self, what: &Executions) -> Vec<ExecutionId> {
        let is_meant = |claim: &&mut Claim| {
            claim.fired
                && match what {
                    Executions::One(id) => claim.id == *id,
                    Executions::OfJob(job) => claim.job == *job,
                    Executions::OfTrigger(trigger) => claim.trigger == *trigger,
                    // There is one queue.
                    Executions::OfQueue(_) => claim.has_queue,
                    Executions::All => true,
                    other => panic!("the model does not know {other:?}"),
                }
        };
        let meant = self.claims.iter_mut().filter(is_meant);
        let mut ids: Vec<_> = meant
            .map(|claim| {
                claim.cancel.get_or_insert(CancelReason::Requested);
                claim.id
            })
            .collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn state(&self, row: &Row) -> TriggerState {
        let busy = |claim: &Claim| claim.single && claim.fired && claim.job == *row.trigger.job();
        TriggerState::of(
            row.state,
            row.progress.next.is_none(),
            self.runs(row) > 0,
            self.claims.iter().any(busy),
        )
    }

    /// The groups with how many are in them and whether they are remembered as paused.
    pub(super) fn groups(&self, kind: GroupKind) -> Vec<(String, usize, bool)> {
        let used: Vec<&str> = match kind {
            GroupKind::Jobs => self.jobs.keys().map(JobKey::group).collect(),
            GroupKind::Triggers => self.rows.keys().map(TriggerKey::group).collect(),
        };
        let marked = if kind == GroupKind::Jobs { &self.paused_job_groups } else { &self.paused_groups };
        let names: BTreeSet<&str> = used.iter().copied().chain(marked.iter().map(|group| &**group)).collect();
        let is_paused = |group: &str| match kind {
            GroupKind::Jobs => marked.contains(group),
            GroupKind::Triggers => self.is_group_paused(group),
        };
        let count = |name: &str| used.iter().filter(|group| **group == name).count();
        names.into_iter().map(|name| (name.to_owned(), count(name), is_paused(name))).collect()
    }

    /// When something happens next; none if nothing does.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        let due = self.rows.values().filter_map(|row| self.due(row));
        let lapses = self.claims.iter().filter(|claim| !claim.fired).map(|claim| claim.lapse);
        let supersedes = |row: &&Row| {
            let fired = |claim: &Claim| claim.fired && claim.lineage == row.lineage && claim.cancel.is_none();
            row.state == StoredState::Waiting
                && row.trigger.overlap() == OverlapPolicy::CancelPrevious
                && self.claims.iter().any(fired)
        };
        let stops = self.rows.values().filter(supersedes).filter_map(|row| row.progress.next);
        due.chain(lapses).chain(stops).min()
    }
}
