//! The open transaction: what was loaded, what a rule has done, and what is to be committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::parts::{Members, Missing, Names, Rest, Set, Wants};
use super::shelf::{Changes, Shelf, Version};
use crate::key::JobKey;
use crate::store::admin::{Mark, RunRecord};
use crate::store::rows::*;

/// A transaction of rows that stand elsewhere.
#[derive(Debug)]
pub struct View<N> {
    pub(super) names: N,
    pub(super) jobs: Shelf<JobRow>,
    pub(super) triggers: Shelf<TriggerRow>,
    pub(super) claims: Shelf<ClaimRow>,
    pub(super) sets: Vec<(Set, Members)>,
    pub(super) rest: Option<(Rest, Version)>,
    pub(super) rest_now: Option<Rest>,
    pub(super) rest_looked: bool,
    pub(super) marks: HashMap<Arc<str>, (Option<Mark>, Version)>,
    pub(super) marks_now: BTreeMap<Arc<str>, Mark>,
    pub(super) marks_looked: BTreeSet<Arc<str>>,
    pub(super) kept: Vec<RunRecord>,
    pub(super) shown: Vec<Id<TriggerRow>>,
    pub(super) freed: Vec<JobKey>,
    pub(super) woken: bool,
    pub(super) wants: Wants,
}

impl<N: Names> View<N> {
    /// A view that knows nothing yet.
    pub fn new(names: N) -> Self {
        Self {
            names,
            jobs: Shelf(HashMap::new()),
            triggers: Shelf(HashMap::new()),
            claims: Shelf(HashMap::new()),
            sets: Vec::new(),
            rest: None,
            rest_now: None,
            rest_looked: false,
            marks: HashMap::new(),
            marks_now: BTreeMap::new(),
            marks_looked: BTreeSet::new(),
            kept: Vec::new(),
            shown: Vec::new(),
            freed: Vec::new(),
            woken: false,
            wants: Wants::default(),
        }
    }

    /// Takes out what the rule has missed.
    pub fn wants(&mut self) -> Wants {
        std::mem::take(&mut self.wants)
    }

    /// Forgets what the rule has done, before it runs again. What was loaded stays.
    pub fn reset(&mut self) {
        self.jobs.reset();
        self.triggers.reset();
        self.claims.reset();
        (self.rest_now, self.rest_looked) = (None, false);
        self.marks_now.clear();
        self.marks_looked.clear();
        self.kept.clear();
        self.shown.clear();
        self.freed.clear();
        self.woken = false;
    }

    /// Forgets everything that was loaded, since some of it has changed.
    pub fn forget(&mut self) {
        self.jobs.0.clear();
        self.triggers.0.clear();
        self.claims.0.clear();
        self.sets.clear();
        self.rest = None;
        self.marks.clear();
    }

    /// A job was loaded; none if there is none of this number.
    pub fn load_job(&mut self, id: Id<JobRow>, row: Option<JobRow>, version: Version) {
        self.jobs.load(id, row, version);
    }

    /// A trigger was loaded; none if there is none of this number.
    pub fn load_trigger(&mut self, id: Id<TriggerRow>, row: Option<TriggerRow>, version: Version) {
        self.triggers.load(id, row, version);
    }

    /// A claim was loaded; none if there is none of this number.
    pub fn load_claim(&mut self, id: Id<ClaimRow>, row: Option<ClaimRow>, version: Version) {
        self.claims.load(id, row, version);
    }

    /// The members of a set were loaded; their rows, too.
    pub fn load_set(&mut self, set: Set, members: Members) {
        self.sets.push((set, members));
    }

    /// Pauses and calendars were loaded.
    pub fn load_rest(&mut self, rest: Rest, version: Version) {
        self.rest = Some((rest, version));
    }

    /// A note was loaded; none if there is none of this name.
    pub fn load_mark(&mut self, name: Arc<str>, mark: Option<Mark>, version: Version) {
        self.marks.insert(name, (mark, version));
    }

    /// Jobs that were read and written.
    pub fn changed_jobs(&self) -> Changes<JobRow> {
        self.jobs.changes()
    }

    /// Triggers that were read and written.
    pub fn changed_triggers(&self) -> Changes<TriggerRow> {
        self.triggers.changes()
    }

    /// Claims that were read and written.
    pub fn changed_claims(&self) -> Changes<ClaimRow> {
        self.claims.changes()
    }

    /// The version of pauses and calendars, if they were read, and what they are to be, if they are written.
    pub fn changed_rest(&self) -> (Option<Version>, Option<&Rest>) {
        let version = self.rest.as_ref().map(|(_, version)| *version);
        (version.filter(|_| self.rest_looked || self.rest_now.is_some()), self.rest_now.as_ref())
    }

    /// The versions of notes that were read.
    pub fn read_marks(&self) -> impl Iterator<Item = (&Arc<str>, Version)> {
        self.marks_looked.iter().filter_map(|name| Some((name, self.marks.get(name)?.1)))
    }

    /// Notes to be written.
    pub fn changed_marks(&self) -> &BTreeMap<Arc<str>, Mark> {
        &self.marks_now
    }

    /// Runs to be added to the history, in this order.
    pub fn kept(&self) -> &[RunRecord] {
        &self.kept
    }

    /// Triggers that stand in their place again, whether their row was written or not.
    pub fn shown(&self) -> &[Id<TriggerRow>] {
        &self.shown
    }

    /// Jobs that allow one run at a time and are free again.
    pub fn freed(&self) -> &[JobKey] {
        &self.freed
    }

    /// Other nodes may find something to take.
    pub fn is_woken(&self) -> bool {
        self.woken || !self.freed.is_empty()
    }

    pub(super) fn set(&mut self, set: &Set) -> Result<Members, Missing> {
        if let Some((_, members)) = self.sets.iter().find(|(known, _)| known == set) {
            return Ok(members.clone());
        }
        self.wants.sets.push(set.clone());
        Err(Missing)
    }

    pub(super) fn rest(&mut self) -> Result<&Rest, Missing> {
        if self.rest.is_none() {
            self.wants.rest = true;
            return Err(Missing);
        }
        self.rest_looked = true;
        self.rest_now.as_ref().or(self.rest.as_ref().map(|(rest, _)| rest)).ok_or(Missing)
    }

    pub(super) fn edit_rest<A>(&mut self, edit: impl FnOnce(&mut Rest) -> A) -> Result<A, Missing> {
        let mut rest = self.rest()?.clone();
        let answer = edit(&mut rest);
        self.rest_now = Some(rest);
        Ok(answer)
    }
}
