//! The open transaction: what was loaded, what a rule has done, and what is to be committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::counting::Counting;
use super::parts::{Members, Missing, Rest, Set, Wants};
use super::shelf::{Shelf, Version};
use crate::key::{JobKey, TriggerKey};
use crate::run::{Gate, GateId, RunId};
use crate::store::admin::{GroupKind, Mark, Selection};
use crate::store::firings::FiringRecord;
use crate::store::limits::LimitOverride;
use crate::store::rows::*;

/// A transaction of rows that stand elsewhere.
#[derive(Debug)]
pub struct View<N> {
    names: N,
    loaded: Loaded,
    drafts: Drafts,
    pub(super) jobs: Shelf<JobRow>,
    pub(super) triggers: Shelf<TriggerRow>,
    pub(super) runs: Shelf<RunRow>,
    pub(super) claims: Shelf<ClaimRow>,
    pub(super) wants: Wants,
    pub(super) counting: Counting,
    /// The rules see only these triggers of a selection.
    parts: Vec<(Selection, Vec<Id<TriggerRow>>)>,
}

/// What was loaded beside rows.
#[derive(Debug, Default)]
struct Loaded {
    sets: Vec<(Set, Members)>,
    members: HashMap<Id<JobRow>, usize>,
    groups: Vec<(GroupKind, BTreeMap<Arc<str>, usize>)>,
    users: HashMap<Arc<str>, Option<TriggerKey>>,
    lengths: HashMap<Arc<str>, usize>,
    rest: Option<(Rest, Version)>,
    marks: HashMap<Arc<str>, (Option<Mark>, Version)>,
}

/// What a rule has gone by and done, beside rows.
#[derive(Debug, Default)]
struct Drafts {
    counted: BTreeSet<Id<JobRow>>,
    several: BTreeMap<Id<JobRow>, usize>,
    joined: HashMap<Id<JobRow>, isize>,
    unused: BTreeSet<Arc<str>>,
    rooms: BTreeMap<Arc<str>, usize>,
    rest: Option<Rest>,
    rest_looked: bool,
    marks: BTreeMap<Arc<str>, Mark>,
    marks_looked: BTreeSet<Arc<str>>,
    records: Vec<FiringRecord>,
    shown: Vec<Id<TriggerRow>>,
    shown_runs: Vec<Id<RunRow>>,
    claims_of_runs: BTreeMap<Id<RunRow>, Option<Id<ClaimRow>>>,
    holders: BTreeMap<JobKey, Option<Id<ClaimRow>>>,
    tagged: BTreeMap<RunTag, usize>,
    freed: Vec<JobKey>,
    unfired_looked: BTreeMap<Id<TriggerRow>, Option<Id<ClaimRow>>>,
    unbegun: Vec<(Gate, DateTime<Utc>)>,
    shut: Vec<(GateId, DateTime<Utc>)>,
    caps: Vec<(GateId, Option<LimitOverride>)>,
    woken: bool,
    ended: Vec<RunId>,
}

/// Loading.
impl<N> View<N> {
    /// A view that knows nothing yet.
    pub fn new(names: N) -> Self {
        let (loaded, drafts, wants, parts, counting) = Default::default();
        let (jobs, triggers, runs, claims) = Default::default();
        Self { names, loaded, drafts, jobs, triggers, runs, claims, wants, parts, counting }
    }

    /// How its rows are numbered.
    pub fn names(&mut self) -> &mut N {
        &mut self.names
    }

    pub(super) const fn naming(&self) -> &N {
        &self.names
    }

    /// Takes out what the rule has missed.
    pub fn wants(&mut self) -> Wants {
        std::mem::take(&mut self.wants)
    }

    /// Forgets what the rule has done, before it runs again. What was loaded stays.
    pub fn reset(&mut self) {
        self.jobs.reset();
        self.triggers.reset();
        self.runs.reset();
        self.claims.reset();
        self.drafts = Drafts::default();
        self.counting.reset();
    }

    /// Forgets everything that was loaded, since some of it has changed.
    pub fn forget(&mut self) {
        self.jobs.forget_all();
        self.triggers.forget_all();
        self.runs.forget_all();
        self.claims.forget_all();
        self.counting.forget();
        self.loaded = Loaded::default();
    }

    /// Forgets these rows, since they have changed, and all that follows from several rows.
    pub fn forget_rows(
        &mut self,
        jobs: &[Id<JobRow>],
        triggers: &[Id<TriggerRow>],
        runs: &[Id<RunRow>],
        claims: &[Id<ClaimRow>],
    ) {
        jobs.iter().for_each(|id| self.jobs.forget(*id));
        triggers.iter().for_each(|id| self.triggers.forget(*id));
        runs.iter().for_each(|id| self.runs.forget(*id));
        claims.iter().for_each(|id| self.claims.forget(*id));
        self.counting.forget();
        self.loaded = Loaded::default();
    }

    /// A job was loaded; none if there is none of this number.
    pub fn load_job(&mut self, id: Id<JobRow>, row: Option<JobRow>, version: Version) {
        self.jobs.load(id, row, version);
    }

    /// A trigger was loaded; none if there is none of this number.
    ///
    /// Which claims there are has to be asked for after this: a trigger that has not changed since has none that began meanwhile.
    pub fn load_trigger(&mut self, id: Id<TriggerRow>, row: Option<TriggerRow>, version: Version) {
        self.loaded.sets.retain(|(set, _)| !matches!(set, Set::Claims | Set::ClaimsOf(_)));
        self.triggers.load(id, row, version);
    }

    /// A run was loaded; none if there is none of this number.
    pub fn load_run(&mut self, id: Id<RunRow>, row: Option<RunRow>, version: Version) {
        self.runs.load(id, row, version);
    }

    /// A claim was loaded; none if there is none of this number.
    pub fn load_claim(&mut self, id: Id<ClaimRow>, row: Option<ClaimRow>, version: Version) {
        self.claims.load(id, row, version);
    }

    /// The members of a set were loaded; their rows, too.
    pub fn load_set(&mut self, set: Set, members: Members) {
        self.loaded.sets.push((set, members));
    }

    /// The rules see only these triggers of a selection; the driver has them look at the others in further transactions.
    pub fn load_part(&mut self, of: Selection, triggers: Vec<Id<TriggerRow>>) {
        self.parts.push((of, triggers));
    }

    /// How many triggers a job has. A guess will do: the commit compares.
    pub fn load_members(&mut self, job: Id<JobRow>, count: usize) {
        self.loaded.members.insert(job, count);
    }

    /// The groups of a kind, with the number of their members.
    pub fn load_groups(&mut self, kind: GroupKind, groups: BTreeMap<Arc<str>, usize>) {
        self.loaded.groups.push((kind, groups));
    }

    /// A trigger that names this calendar; none if there is none.
    pub fn load_user(&mut self, calendar: Arc<str>, user: Option<TriggerKey>) {
        self.loaded.users.insert(calendar, user);
    }

    /// How many runs wait in this queue. A guess will do if it is not too high: the commit compares.
    pub fn load_length(&mut self, queue: Arc<str>, count: usize) {
        self.loaded.lengths.insert(queue, count);
    }

    /// Pauses and calendars were loaded.
    pub fn load_rest(&mut self, rest: Rest, version: Version) {
        self.loaded.rest = Some((rest, version));
    }

    /// A note was loaded; none if there is none of this name.
    pub fn load_mark(&mut self, name: Arc<str>, mark: Option<Mark>, version: Version) {
        self.loaded.marks.insert(name, (mark, version));
    }
}

/// The checks and changes of the commit.
impl<N> View<N> {
    /// Jobs that were read and written.
    pub fn jobs(&self) -> &Shelf<JobRow> {
        &self.jobs
    }

    /// Triggers that were read and written.
    pub fn triggers(&self) -> &Shelf<TriggerRow> {
        &self.triggers
    }

    /// Runs that were read and written.
    pub fn runs(&self) -> &Shelf<RunRow> {
        &self.runs
    }

    /// Claims that were read and written.
    pub fn claims(&self) -> &Shelf<ClaimRow> {
        &self.claims
    }

    /// Jobs that must still have so many triggers.
    pub fn counted(&self) -> impl Iterator<Item = (Id<JobRow>, usize)> {
        self.drafts.counted.iter().filter_map(|job| Some((*job, *self.loaded.members.get(job)?)))
    }

    /// Jobs that must still have at least so many triggers.
    pub fn several(&self) -> impl Iterator<Item = (Id<JobRow>, usize)> {
        self.drafts.several.iter().map(|(job, least)| (*job, *least))
    }

    /// Triggers, with the claim that is not fired as it was found; no other may have come since.
    pub fn unfired(&self) -> impl Iterator<Item = (Id<TriggerRow>, Option<Id<ClaimRow>>)> {
        self.drafts.unfired_looked.iter().map(|(trigger, claim)| (*trigger, *claim))
    }

    /// Runs, with their claim as it was found; no other may have come since.
    pub fn claims_of_runs(&self) -> impl Iterator<Item = (Id<RunRow>, Option<Id<ClaimRow>>)> {
        self.drafts.claims_of_runs.iter().map(|(run, claim)| (*run, *claim))
    }

    /// Jobs that allow one run at a time, with the claim that held them when it was loaded; no other may have come since.
    pub fn holders(&self) -> impl Iterator<Item = (&JobKey, Option<Id<ClaimRow>>)> {
        self.drafts.holders.iter().map(|(job, claim)| (job, *claim))
    }

    /// Tags, with the number of runs that must still have them.
    pub fn tags(&self) -> impl Iterator<Item = (&RunTag, usize)> {
        self.drafts.tagged.iter().map(|(tag, count)| (tag, *count))
    }

    /// Calendars that no trigger may name.
    pub fn unused(&self) -> impl Iterator<Item = &Arc<str>> {
        self.drafts.unused.iter()
    }

    /// Queues in which no more than so many runs may wait before the commit.
    pub fn rooms(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.drafts.rooms.iter().map(|(queue, most)| (queue, *most))
    }

    /// The version of pauses and calendars, if they were read, and what they are to be, if they are written.
    pub fn changed_rest(&self) -> (Option<Version>, Option<&Rest>) {
        let version = self.loaded.rest.as_ref().map(|(_, version)| *version);
        let is_read = self.drafts.rest_looked || self.drafts.rest.is_some();
        (version.filter(|_| is_read), self.drafts.rest.as_ref())
    }

    /// The versions of notes that were read.
    pub fn read_marks(&self) -> impl Iterator<Item = (&Arc<str>, Version)> {
        let looked = self.drafts.marks_looked.iter();
        looked.filter_map(|name| Some((name, self.loaded.marks.get(name)?.1)))
    }

    /// Notes to be written.
    pub fn changed_marks(&self) -> &BTreeMap<Arc<str>, Mark> {
        &self.drafts.marks
    }

    /// Firing records to be appended, in this order.
    pub fn records(&self) -> &[FiringRecord] {
        &self.drafts.records
    }

    /// Triggers that stand in their place again, whether their row was written or not.
    pub fn shown(&self) -> &[Id<TriggerRow>] {
        &self.drafts.shown
    }

    /// Runs that stand in their place again, whether their row was written or not.
    pub fn shown_runs(&self) -> &[Id<RunRow>] {
        &self.drafts.shown_runs
    }

    /// Jobs that allow one run at a time and are free again.
    pub fn freed(&self) -> &[JobKey] {
        &self.drafts.freed
    }

    /// Gates with a rate, where an attempt that was to begin then has not begun.
    pub fn unbegun(&self) -> &[(Gate, DateTime<Utc>)] {
        &self.drafts.unbegun
    }

    /// Gates that nobody enters before these times.
    pub fn shut_gates(&self) -> &[(GateId, DateTime<Utc>)] {
        &self.drafts.shut
    }

    /// Limits whose cap is set or removed.
    pub fn caps(&self) -> &[(GateId, Option<LimitOverride>)] {
        &self.drafts.caps
    }

    /// Runs whose end clients may wait for.
    pub fn ended(&self) -> &[RunId] {
        &self.drafts.ended
    }

    /// Other nodes may find something to take.
    pub fn is_woken(&self) -> bool {
        self.drafts.woken || !self.drafts.freed.is_empty()
    }
}

/// What the rules see of all that.
impl<N> View<N> {
    pub(super) fn set(&mut self, set: &Set) -> Result<Members, Missing> {
        if let Some((_, members)) = self.loaded.sets.iter().find(|(known, _)| known == set) {
            return Ok(members.clone());
        }
        if !self.wants.sets.contains(set) {
            self.wants.sets.push(set.clone());
        }
        Err(Missing)
    }

    pub(super) fn part(&self, of: &Selection) -> Option<Vec<Id<TriggerRow>>> {
        self.parts.iter().find(|(known, _)| known == of).map(|(_, triggers)| triggers.clone())
    }

    /// The first look counts: what the rule does to a claim later is its own doing.
    pub(super) fn looked_for_unfired(&mut self, trigger: Id<TriggerRow>, found: Option<Id<ClaimRow>>) {
        self.drafts.unfired_looked.entry(trigger).or_insert(found);
    }

    /// As [`looked_for_unfired`](Self::looked_for_unfired), for the claim of a run.
    pub(super) fn looked_for_claim(&mut self, run: Id<RunRow>, found: Option<Id<ClaimRow>>) {
        self.drafts.claims_of_runs.entry(run).or_insert(found);
    }

    /// As [`looked_for_unfired`](Self::looked_for_unfired), for the claim that holds a job.
    pub(super) fn looked_for_holder(&mut self, job: &JobKey, stored: Option<Id<ClaimRow>>) {
        self.drafts.holders.entry(job.clone()).or_insert(stored);
    }

    pub(super) fn has_ended(&mut self, run: RunId) {
        self.drafts.ended.push(run);
    }

    pub(super) fn looked_for_tag(&mut self, tag: &RunTag, count: usize) {
        self.drafts.tagged.insert(tag.clone(), count);
    }

    pub(super) fn room(
        &mut self,
        queue: &Arc<str>,
        many: usize,
        most: usize,
    ) -> Result<Result<(), usize>, Missing> {
        let Some(count) = self.loaded.lengths.get(queue).copied() else {
            self.wants.lengths.insert(queue.clone());
            return Err(Missing);
        };
        match most.checked_sub(many).filter(|before| count <= *before) {
            Some(before) => {
                self.drafts.rooms.insert(queue.clone(), before);
                Ok(Ok(()))
            }
            None => Ok(Err(count)),
        }
    }

    /// A trigger came to a job, or went.
    pub(super) fn join(&mut self, job: Id<JobRow>, change: isize) {
        *self.drafts.joined.entry(job).or_default() += change;
    }

    /// These are the triggers of a job, if it still has as many.
    pub(super) fn gone_by(&mut self, job: Id<JobRow>, count: usize) {
        self.loaded.members.insert(job, count);
        self.drafts.counted.insert(job);
    }

    pub(super) fn members_of(&mut self, job: Id<JobRow>) -> Result<usize, Missing> {
        let Some(count) = self.loaded.members.get(&job) else {
            self.wants.members.insert(job);
            return Err(Missing);
        };
        self.drafts.counted.insert(job);
        let joined = self.drafts.joined.get(&job).copied().unwrap_or_default();
        Ok(count.saturating_add_signed(joined))
    }

    pub(super) fn has_several_of(&mut self, job: Id<JobRow>) -> Result<bool, Missing> {
        let joined = self.drafts.joined.get(&job).copied().unwrap_or_default();
        match self.loaded.members.get(&job) {
            Some(count) if count.saturating_add_signed(joined) > 1 => {
                // So many were needed for this answer, whatever their number is by now.
                let needed = 2_usize.saturating_add_signed(-joined);
                let least = self.drafts.several.entry(job).or_default();
                *least = needed.max(*least);
                Ok(true)
            }
            _ => Ok(self.members_of(job)? > 1),
        }
    }

    pub(super) fn groups_of(&mut self, kind: GroupKind) -> Result<BTreeMap<Arc<str>, usize>, Missing> {
        if let Some((_, groups)) = self.loaded.groups.iter().find(|(known, _)| *known == kind) {
            return Ok(groups.clone());
        }
        if !self.wants.groups.contains(&kind) {
            self.wants.groups.push(kind);
        }
        Err(Missing)
    }

    pub(super) fn user(&mut self, calendar: &str) -> Result<Option<TriggerKey>, Missing> {
        let Some((name, user)) = self.loaded.users.get_key_value(calendar) else {
            self.wants.users.insert(calendar.into());
            return Err(Missing);
        };
        if user.is_none() {
            self.drafts.unused.insert(name.clone());
        }
        Ok(user.clone())
    }

    pub(super) fn rest(&mut self) -> Result<&Rest, Missing> {
        let Some((rest, _)) = &self.loaded.rest else {
            self.wants.rest = true;
            return Err(Missing);
        };
        self.drafts.rest_looked = true;
        Ok(self.drafts.rest.as_ref().unwrap_or(rest))
    }

    pub(super) fn edit_rest<A>(&mut self, edit: impl FnOnce(&mut Rest) -> A) -> Result<A, Missing> {
        let mut rest = self.rest()?.clone();
        let answer = edit(&mut rest);
        self.drafts.rest = Some(rest);
        Ok(answer)
    }

    pub(super) fn note(&mut self, name: &Arc<str>) -> Result<Option<Mark>, Missing> {
        let Some((read, _)) = self.loaded.marks.get(name) else {
            self.wants.marks.insert(name.clone());
            return Err(Missing);
        };
        self.drafts.marks_looked.insert(name.clone());
        Ok(self.drafts.marks.get(name).or(read.as_ref()).cloned())
    }

    pub(super) fn set_note(&mut self, name: Arc<str>, mark: Mark) {
        self.drafts.marks.insert(name, mark);
    }

    pub(super) fn append_record(&mut self, record: FiringRecord) {
        self.drafts.records.push(record);
    }

    pub(super) fn stand(&mut self, trigger: Id<TriggerRow>) {
        self.drafts.shown.push(trigger);
    }

    pub(super) fn stand_run(&mut self, run: Id<RunRow>) {
        self.drafts.shown_runs.push(run);
    }

    pub(super) fn set_free(&mut self, job: JobKey) {
        self.drafts.freed.push(job);
    }

    pub(super) fn give_back(&mut self, claim: &ClaimRow) {
        let rates = claim.gates.iter().filter(|gate| gate.pace.is_some());
        self.drafts.unbegun.extend(rates.map(|gate| (gate.clone(), claim.since)));
    }

    pub(super) fn shut_gate(&mut self, gate: GateId, until: DateTime<Utc>) {
        self.drafts.shut.push((gate, until));
    }

    pub(super) fn note_cap(&mut self, limit: GateId, cap: Option<LimitOverride>) {
        self.drafts.caps.push((limit, cap));
    }

    pub(super) fn call_others(&mut self) {
        self.drafts.woken = true;
    }
}
