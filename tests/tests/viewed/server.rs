//! Rows with versions, and what a driver needs of them: load and commit.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use scheduler_core::run::{GateId, RateState, RunId};
use scheduler_core::store::rows::*;
use scheduler_core::store::view::*;
use scheduler_core::store::*;
use scheduler_core::{JobKey, TriggerKey};

use crate::batches::Batches;
use crate::bugs::{self, Bug, Debris};
use crate::turns::TurnsByQueue;

/// Numbers are hashes of names, as where no index of names is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Numbers(Arc<AtomicU64>);

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Names for Numbers {
    fn job(&mut self, key: &JobKey) -> Id<JobRow> {
        Id::new(hash(key))
    }

    fn trigger(&mut self, key: &TriggerKey) -> Id<TriggerRow> {
        Id::new(hash(key))
    }

    fn run(&mut self, id: RunId) -> Id<RunRow> {
        Id::new(hash(id))
    }

    fn lane(&mut self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane {
        Lane(hash((queue, job_type)) as u32)
    }

    /// Nobody here writes a lane.
    fn lane_of(&self, _: Lane) -> (Option<Arc<str>>, Arc<str>) {
        (None, "".into())
    }

    fn number(&mut self) -> u64 {
        self.next()
    }
}

impl Numbers {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of a claim grows with the time, too.
    pub(crate) fn claim(&self, now: DateTime<Utc>) -> u64 {
        let now = u64::try_from(now.timestamp_micros()).unwrap();
        let before = self.0.fetch_max(now, Ordering::Relaxed);
        if before < now { now } else { self.next() }
    }
}

/// So many firing records are kept.
const MOST_RECORDS: usize = 1_000;

pub(crate) type Rows<R> = BTreeMap<Id<R>, (R, Version)>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    /// Runs that have found a gate full since their latest attempt.
    pub(crate) met: HashSet<(RunId, GateId)>,
    pub(crate) numbers: Numbers,
    pub(crate) jobs: Rows<JobRow>,
    pub(crate) triggers: Rows<TriggerRow>,
    pub(crate) runs: Rows<RunRow>,
    pub(crate) claims: Rows<ClaimRow>,
    /// The attempts that have begun at each rate.
    pub(crate) rates: HashMap<GateId, RateState>,
    /// Caps that somebody has set.
    pub(crate) caps: BTreeMap<GateId, LimitOverride>,
    /// Gates that nobody enters before these times.
    pub(crate) shut: HashMap<GateId, DateTime<Utc>>,
    /// The turns of runs with fair keys.
    pub(crate) turns: TurnsByQueue,
    /// By whoever has taken something last.
    pub(crate) present: DateTime<Utc>,
    pub(crate) rest: (Rest, Version),
    marks: BTreeMap<Arc<str>, (Mark, Version)>,
    pub(crate) batches: Batches,
    /// The latest come last.
    pub(crate) firings: Vec<FiringRecord>,
    pub(crate) version: Version,
    /// The numbers of the commits that were carried out.
    done: HashSet<u64>,
    bug: Option<Bug>,
    /// Another node works beside every rule. The kit of drivers edits rows without the rules, and brings nodes of its own.
    pub(crate) has_other: bool,
    pub(crate) debris: Debris,
}

fn row<R: Clone>(rows: &Rows<R>, id: Id<R>) -> (Option<R>, Version) {
    rows.get(&id).map_or((None, 0), |(row, version)| (Some(row.clone()), *version))
}

fn is_same<R: Clone>(rows: &Rows<R>, shelf: &Shelf<R>) -> bool {
    shelf.reads().all(|(id, version)| rows.get(&id).map_or(0, |(_, version)| *version) == version)
}

fn write<R: Clone>(rows: &mut Rows<R>, shelf: &Shelf<R>, version: Version) {
    for change in shelf.changes() {
        match change.after {
            Some(row) => drop(rows.insert(change.id, (row.clone(), version))),
            None => drop(rows.remove(&change.id)),
        }
    }
}

/// Those of the rows that a transaction has read.
fn read_versions<'a, R: Clone>(
    rows: &'a mut Rows<R>,
    shelf: &Shelf<R>,
) -> impl Iterator<Item = &'a mut Version> {
    let read: HashSet<_> = shelf.reads().map(|(id, _)| id).collect();
    rows.iter_mut().filter(move |(id, _)| read.contains(id)).map(|(_, row)| &mut row.1)
}

impl Server {
    pub(crate) fn new(numbers: Numbers, bug: Option<Bug>) -> Self {
        Self { numbers, bug, ..Self::default() }
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// It ends, and starts again with what it has committed.
    pub(crate) fn crash(&mut self) {
        if let Some(before) = self.debris.before.take().filter(|_| self.has(Bug::ForgetsTheLastCommit)) {
            *self = *before;
        }
    }

    pub(crate) fn load(&self, view: &mut View<Numbers>, wants: Wants) {
        let Wants { mut jobs, mut triggers, mut runs, mut claims, sets, rest, marks, .. } = wants;
        let Wants { members, groups, users, lengths, counts, .. } = wants;
        for batch in counts {
            view.load_counts(batch, self.batches.of(batch));
        }
        for job in members {
            view.load_members(job, self.members_of(job));
        }
        for kind in groups {
            view.load_groups(kind, self.groups(kind));
        }
        for calendar in users {
            let user = self.user_of(&calendar);
            view.load_user(calendar, user);
        }
        for queue in lengths {
            let length = self.length_of(&queue);
            view.load_length(queue, length);
        }
        for set in sets {
            let members = self.members(&set);
            jobs.extend(&members.jobs);
            triggers.extend(&members.triggers);
            runs.extend(&members.runs);
            claims.extend(&members.claims);
            view.load_set(set, members);
        }
        for id in jobs {
            let (row, version) = row(&self.jobs, id);
            view.load_job(id, row, version);
        }
        for id in triggers {
            let (row, version) = row(&self.triggers, id);
            view.load_trigger(id, row, version);
        }
        for id in runs {
            let (row, version) = row(&self.runs, id);
            view.load_run(id, row, version);
        }
        for id in claims {
            let (row, version) = row(&self.claims, id);
            view.load_claim(id, row, version);
        }
        if rest {
            view.load_rest(self.rest.0.clone(), self.rest.1);
        }
        for name in marks {
            let (mark, version) = self.marks.get(&name).cloned().unzip();
            view.load_mark(name, mark, version.unwrap_or_default());
        }
    }

    fn members_of(&self, job: Id<JobRow>) -> usize {
        let gone = if self.has(Bug::CountsWhatIsGone) { self.debris.gone_of(job) } else { 0 };
        self.triggers.values().filter(|(row, _)| row.job == job).count() + gone
    }

    fn tagged(&self, tag: &RunTag) -> Vec<Id<RunRow>> {
        if self.has(Bug::FindsNoTags) {
            return Vec::new();
        }
        self.runs.iter().filter(|(_, (row, _))| row.has_tag(tag)).map(|(id, _)| *id).collect()
    }

    /// How many runs wait in a queue.
    fn length_of(&self, queue: &Arc<str>) -> usize {
        let waits = |id: &&Id<RunRow>| {
            let row = &self.runs[*id].0;
            row.queue.as_ref() == Some(queue)
                && row.standing == Standing::Waiting
                && (self.has(Bug::CountsWhatIsClaimed) || self.claim_of(**id).is_none())
        };
        self.runs.keys().filter(waits).count()
    }

    fn user_of(&self, calendar: &str) -> Option<TriggerKey> {
        let is_it = |name: &str| match self.has(Bug::ComparesBeginnings) {
            true => name.starts_with(calendar),
            false => name == calendar,
        };
        let mut users = self.triggers.values().filter(|(row, _)| row.trigger.calendar().is_some_and(is_it));
        users.next().map(|(row, _)| row.trigger.key().clone())
    }

    fn groups(&self, kind: GroupKind) -> BTreeMap<Arc<str>, usize> {
        let mut groups = BTreeMap::new();
        let mut count = |group: &str| *groups.entry(Arc::from(group)).or_default() += 1;
        match kind {
            GroupKind::Jobs => self.jobs.values().for_each(|(row, _)| count(row.detail.key().group())),
            GroupKind::Triggers => {
                self.triggers.values().for_each(|(row, _)| count(row.trigger.key().group()));
            }
        }
        groups
    }

    /// The view looks itself at what it is given, so more than is wanted does no harm; but it counts the triggers of a job.
    fn members(&self, set: &Set) -> Members {
        let (jobs, triggers, claims) = (self.jobs.keys(), self.triggers.keys(), self.claims.keys());
        match set {
            Set::Unfired(_) if self.has(Bug::LosesUnfiredClaims) => Members::default(),
            Set::ClaimsOf(_) if self.has(Bug::ForgetsOwners) => Members::default(),
            Set::Alarms(_) if self.has(Bug::ForgetsAlarms) => Members::default(),
            Set::Jobs => Members { jobs: jobs.copied().collect(), ..Members::default() },
            Set::Claims | Set::ClaimsOf(_) | Set::Unfired(_) | Set::OfRun(_) | Set::Holder(_) => {
                Members { claims: claims.copied().collect(), ..Members::default() }
            }
            Set::Runs(_) => Members { runs: self.runs.keys().copied().collect(), ..Members::default() },
            Set::Alarms(now) => {
                let rings = |id: &&Id<TriggerRow>| self.triggers[*id].0.alarm().is_some_and(|at| at <= *now);
                let lapses = |id: &&Id<ClaimRow>| {
                    let claim = &self.claims[*id].0;
                    !claim.fired && claim.lapse <= *now
                };
                let is_over = |id: &&Id<RunRow>| self.runs[*id].0.alarm().is_some_and(|at| at <= *now);
                Members {
                    triggers: triggers.filter(rings).copied().collect(),
                    claims: claims.filter(lapses).copied().collect(),
                    runs: self.runs.keys().filter(is_over).copied().collect(),
                    batches: self.batches.ringing(),
                    ..Members::default()
                }
            }
            Set::Excess => Members::default(),
            Set::Tagged(tag, most) if self.has(Bug::FindsTheFirstTagged) && *most < usize::MAX => {
                let _ = tag;
                Members { runs: self.runs.keys().take(*most).copied().collect(), ..Members::default() }
            }
            Set::Tagged(tag, most) => {
                Members { runs: self.tagged(tag).into_iter().take(*most).collect(), ..Members::default() }
            }
            Set::Triggers(Selection::Job(job)) => {
                let is_of = |id: &&Id<TriggerRow>| self.triggers[*id].0.trigger.job() == job;
                Members { triggers: triggers.filter(is_of).copied().collect(), ..Members::default() }
            }
            _ => Members { triggers: triggers.copied().collect(), ..Members::default() },
        }
    }

    /// Writes everything, or nothing if something has changed since it was read. A commit of a number that was carried out is done.
    pub(crate) fn commit(&mut self, number: u64, view: &View<Numbers>) -> bool {
        if self.done.contains(&number) && !self.has(Bug::KnowsNoNumbers) {
            if self.has(Bug::RecordsWhatIsDone) {
                self.append_records(view);
            }
            return true;
        }
        if self.has(Bug::RecordsBeforeItCompares) {
            self.append_records(view);
        }
        if self.has(Bug::WritesAHalf) {
            self.version += 1;
            write(&mut self.jobs, view.jobs(), self.version);
            write(&mut self.runs, view.runs(), self.version);
        }
        let (rest, new_rest) = view.changed_rest();
        let mark_is_same = |(name, version): (&Arc<str>, Version)| {
            self.marks.get(name).map_or(0, |(_, version)| *version) == version
        };
        let same = is_same(&self.jobs, view.jobs())
            && is_same(&self.triggers, view.triggers())
            && (self.has(Bug::IgnoresVersions) || is_same(&self.runs, view.runs()))
            && is_same(&self.claims, view.claims())
            && (self.has(Bug::IgnoresCounts)
                || view.counted().all(|(job, count)| self.members_of(job) == count))
            && (self.has(Bug::IgnoresSeveral)
                || view.several().all(|(job, least)| self.members_of(job) >= least))
            && (self.has(Bug::IgnoresNewTags)
                || view.tags().all(|(tag, count)| self.tagged(tag).len() == count))
            && (self.has(Bug::IgnoresRoom)
                || view.rooms().all(|(queue, most)| self.length_of(queue) <= most))
            && (self.has(Bug::IgnoresCounters)
                || view.read_counts().all(|(batch, read)| self.batches.is_same(batch, read)))
            && view.unused().all(|calendar| self.user_of(calendar).is_none())
            && (self.has(Bug::IgnoresNewClaims)
                || view.unfired().all(|(trigger, claim)| self.unfired_of(trigger) == claim)
                    && view.claims_of_runs().all(|(run, claim)| self.claim_of(run) == claim))
            && (self.has(Bug::IgnoresHolders)
                || view.holders().all(|(job, claim)| self.holder_of(job) == claim))
            && rest.is_none_or(|version| version == self.rest.1)
            && (self.has(Bug::OverwritesMarks) || view.read_marks().all(mark_is_same));
        if !same {
            return false;
        }
        self.note_debris(view);
        for (gate, since) in view.unbegun() {
            let gate = self.capped(gate);
            if let (Some(pace), Some(rate)) = (gate.pace, self.rates.remove(&gate.id)) {
                let rate = rate.give_back(gate.cap, pace, since.timestamp_millis(), gate.weight);
                self.rates.insert(gate.id.clone(), rate);
            }
        }
        let keeps_caps = !self.has(Bug::ForgetsCaps);
        for (limit, cap) in view.caps().iter().filter(|_| keeps_caps) {
            match cap {
                Some(cap) => drop(self.caps.insert(limit.clone(), cap.clone())),
                None => drop(self.caps.remove(limit)),
            }
        }
        let keeps_shut = !self.has(Bug::ForgetsShutGates);
        for (gate, until) in view.shut_gates().iter().filter(|_| keeps_shut) {
            let known = self.shut.entry(gate.clone()).or_insert(*until);
            *known = (*known).max(*until);
        }
        self.done.insert(number);
        self.version += 1;
        if !self.has(Bug::KeepsNames) || view.jobs().changes().all(|change| change.after.is_some()) {
            write(&mut self.jobs, view.jobs(), self.version);
        }
        write(&mut self.triggers, view.triggers(), self.version);
        write(&mut self.runs, view.runs(), self.version);
        write(&mut self.claims, view.claims(), self.version);
        self.batches.write(view, self.has(Bug::AddsToNoCounters));
        if let Some(rest) = new_rest {
            self.rest = (rest.clone(), self.version);
        }
        let new =
            view.changed_marks().iter().map(|(name, mark)| (name.clone(), (mark.clone(), self.version)));
        self.marks.extend(new);
        if !self.has(Bug::RecordsBeforeItCompares) {
            self.append_records(view);
        }
        if self.has(Bug::DropsEmptyTexts) {
            self.runs.values_mut().for_each(|(row, _)| bugs::drop_empty_texts(row));
        }
        true
    }

    fn append_records(&mut self, view: &View<Numbers>) {
        let mut records = view.records().to_vec();
        if self.has(Bug::RecordsBackwards) {
            records.reverse();
        }
        for mut record in records {
            record.number = self.firings.last().map_or(0, |last| last.number) + 1;
            self.firings.push(record);
        }
        let too_many = self.firings.len().saturating_sub(MOST_RECORDS);
        self.firings.drain(..too_many);
    }

    /// Somebody writes, as it is, a row that this transaction has read.
    pub(crate) fn touch(&mut self, view: &View<Numbers>, pick: u64) {
        self.version += 1;
        let mut versions: Vec<&mut Version> = vec![&mut self.rest.1];
        versions.extend(read_versions(&mut self.jobs, view.jobs()));
        versions.extend(read_versions(&mut self.triggers, view.triggers()));
        versions.extend(read_versions(&mut self.runs, view.runs()));
        versions.extend(read_versions(&mut self.claims, view.claims()));
        let picked = pick as usize % versions.len();
        *versions[picked] = self.version;
    }
}
