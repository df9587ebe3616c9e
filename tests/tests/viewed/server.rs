//! Rows with versions, and what a driver needs of them: load and commit.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use scheduler_core::job::ExecutionId;
use scheduler_core::run::RunId;
use scheduler_core::store::rows::*;
use scheduler_core::store::view::*;
use scheduler_core::store::*;
use scheduler_core::{JobKey, TriggerKey};

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

    fn lane(&mut self, group: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane {
        Lane(hash((group, job_type)) as u32)
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
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of a claim grows with the time, too.
    fn claim(&self, now: DateTime<Utc>) -> u64 {
        let now = u64::try_from(now.timestamp_micros()).unwrap();
        let before = self.0.fetch_max(now, Ordering::Relaxed);
        if before < now { now } else { self.next() }
    }
}

type Rows<R> = BTreeMap<Id<R>, (R, Version)>;

#[derive(Debug, Default)]
pub(crate) struct Server {
    numbers: Numbers,
    jobs: Rows<JobRow>,
    triggers: Rows<TriggerRow>,
    runs: Rows<RunRow>,
    claims: Rows<ClaimRow>,
    rest: (Rest, Version),
    marks: BTreeMap<Arc<str>, (Mark, Version)>,
    pub(crate) history: Vec<RunRecord>,
    version: Version,
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

impl Server {
    pub(crate) fn new(numbers: Numbers) -> Self {
        Self { numbers, ..Self::default() }
    }

    pub(crate) fn load(&self, view: &mut View<Numbers>, wants: Wants) {
        let Wants { mut jobs, mut triggers, mut runs, mut claims, sets, rest, marks, .. } = wants;
        let Wants { members, groups, users, .. } = wants;
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
        self.triggers.values().filter(|(row, _)| row.job == job).count()
    }

    fn user_of(&self, calendar: &str) -> Option<TriggerKey> {
        let mut users = self.triggers.values().filter(|(row, _)| row.trigger.calendar() == Some(calendar));
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
            Set::Jobs => Members { jobs: jobs.copied().collect(), ..Members::default() },
            Set::Claims | Set::ClaimsOf(_) | Set::Unfired(_) | Set::OfRun(_) => {
                Members { claims: claims.copied().collect(), ..Members::default() }
            }
            Set::Runs(_) => Members { runs: self.runs.keys().copied().collect(), ..Members::default() },
            Set::Alarms(now) => {
                let rings = |id: &&Id<TriggerRow>| self.triggers[*id].0.alarm().is_some_and(|at| at <= *now);
                let lapses = |id: &&Id<ClaimRow>| {
                    let claim = &self.claims[*id].0;
                    !claim.fired && claim.lapse <= *now
                };
                Members {
                    triggers: triggers.filter(rings).copied().collect(),
                    claims: claims.filter(lapses).copied().collect(),
                    ..Members::default()
                }
            }
            Set::Triggers(Selection::Job(job)) => {
                let is_of = |id: &&Id<TriggerRow>| self.triggers[*id].0.trigger.job() == job;
                Members { triggers: triggers.filter(is_of).copied().collect(), ..Members::default() }
            }
            _ => Members { triggers: triggers.copied().collect(), ..Members::default() },
        }
    }

    /// Writes everything, or nothing if something has changed since it was read.
    pub(crate) fn commit(&mut self, view: &View<Numbers>) -> bool {
        let (rest, new_rest) = view.changed_rest();
        let mark_is_same = |(name, version): (&Arc<str>, Version)| {
            self.marks.get(name).map_or(0, |(_, version)| *version) == version
        };
        let same = is_same(&self.jobs, view.jobs())
            && is_same(&self.triggers, view.triggers())
            && is_same(&self.runs, view.runs())
            && is_same(&self.claims, view.claims())
            && view.counted().all(|(job, count)| self.members_of(job) == count)
            && view.unused().all(|calendar| self.user_of(calendar).is_none())
            && view.unfired().all(|(trigger, claim)| self.unfired_of(trigger) == claim)
            && view.claims_of_runs().all(|(run, claim)| self.claim_of(run) == claim)
            && rest.is_none_or(|version| version == self.rest.1)
            && view.read_marks().all(mark_is_same);
        if !same {
            return false;
        }
        self.version += 1;
        write(&mut self.jobs, view.jobs(), self.version);
        write(&mut self.triggers, view.triggers(), self.version);
        write(&mut self.runs, view.runs(), self.version);
        write(&mut self.claims, view.claims(), self.version);
        if let Some(rest) = new_rest {
            self.rest = (rest.clone(), self.version);
        }
        let new =
            view.changed_marks().iter().map(|(name, mark)| (name.clone(), (mark.clone(), self.version)));
        self.marks.extend(new);
        self.history.extend(view.kept().iter().cloned());
        true
    }

    /// Somebody writes, as it is, a row that this transaction has read.
    pub(crate) fn disturb(&mut self, view: &View<Numbers>, pick: u64) {
        self.version += 1;
        let mut versions: Vec<&mut Version> = vec![&mut self.rest.1];
        let (jobs, triggers, claims): (HashSet<_>, HashSet<_>, HashSet<_>) = (
            view.jobs().reads().map(|(id, _)| id).collect(),
            view.triggers().reads().map(|(id, _)| id).collect(),
            view.claims().reads().map(|(id, _)| id).collect(),
        );
        versions.extend(self.jobs.iter_mut().filter(|(id, _)| jobs.contains(id)).map(|(_, row)| &mut row.1));
        versions.extend(
            self.triggers.iter_mut().filter(|(id, _)| triggers.contains(id)).map(|(_, row)| &mut row.1),
        );
        versions
            .extend(self.claims.iter_mut().filter(|(id, _)| claims.contains(id)).map(|(_, row)| &mut row.1));
        let picked = pick as usize % versions.len();
        *versions[picked] = self.version;
    }
}
