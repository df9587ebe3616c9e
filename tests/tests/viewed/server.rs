//! Rows with versions, and what a driver needs of them: load, commit, take.

use std::cmp::Reverse;
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

/// What stands in a lane, in the order in which it is taken.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at: DateTime<Utc>,
    rank: Reverse<i32>,
    order: Order,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Trigger(TriggerKey, Id<TriggerRow>),
    Run(RunId, Id<RunRow>),
}

/// What nodes take.
impl Server {
    fn is_claimed(&self, id: Id<TriggerRow>, row: &TriggerRow) -> bool {
        let is = |claim: &ClaimRow| {
            !claim.fired
                && claim.item == Item::Trigger(id)
                && claim.birth == row.birth
                && claim.epoch == row.epoch
        };
        self.claims.values().any(|(claim, _)| is(claim))
    }

    fn unfired_of(&self, trigger: Id<TriggerRow>) -> Option<Id<ClaimRow>> {
        let of_trigger = |(_, (claim, _)): &(&_, &(ClaimRow, Version))| {
            !claim.fired && claim.item == Item::Trigger(trigger)
        };
        self.claims.iter().find(of_trigger).map(|(id, _)| *id)
    }

    fn claim_of(&self, run: Id<RunRow>) -> Option<Id<ClaimRow>> {
        let run = self.runs.get(&run)?.0.id;
        self.claims.iter().find(|(_, (claim, _))| claim.item == Item::Run(run)).map(|(id, _)| *id)
    }

    fn is_busy(&self, job: &JobKey) -> bool {
        self.claims.values().any(|(claim, _)| claim.exclusive && claim.trigger.job() == job)
    }

    /// What may be taken and is due some day, in order, with what is left for its group.
    fn waiting(&self, request: &AcquireDue, types: Option<&HashSet<Arc<str>>>) -> Vec<Waiting> {
        let is_open = |job: &JobKey, exclusive: bool, job_type: &str, group: Option<&Arc<str>>| {
            !(exclusive && self.is_busy(job))
                && types.is_none_or(|types| types.contains(job_type))
                && self.left(request, group) != Some(0)
        };
        let triggers = self.triggers.iter().filter_map(|(id, (row, _))| {
            let (job, group) = (&self.jobs[&row.job].0.detail, row.trigger.execution_group());
            let is_open = is_open(row.trigger.job(), row.exclusive, job.job_type(), group);
            let place = row.place().filter(|_| is_open && !self.is_claimed(*id, row))?;
            Some(Waiting {
                at: place.at,
                rank: place.rank,
                order: Order::Trigger(row.trigger.key().clone(), *id),
            })
        });
        let runs = self.runs.iter().filter_map(|(id, (row, _))| {
            let is_open = is_open(&row.job, row.exclusive, &row.job_type, row.execution_group.as_ref());
            let place = row.place().filter(|_| is_open && self.claim_of(*id).is_none())?;
            Some(Waiting { at: place.at, rank: place.rank, order: Order::Run(row.id, *id) })
        });
        let mut waiting: Vec<_> = triggers.chain(runs).collect();
        waiting.sort_unstable();
        waiting
    }

    fn left(&self, request: &AcquireDue, group: Option<&Arc<str>>) -> Option<usize> {
        let of_group = |claim: &&(ClaimRow, Version)| claim.0.trigger.execution_group() == group;
        request.limits.left(group, self.claims.values().filter(of_group).count())
    }

    /// Runs stand where their jobs want them to.
    fn settle(&mut self) {
        let Self { jobs, runs, version, .. } = self;
        for (row, of_row) in runs.values_mut() {
            let job = jobs.values().find(|(job, _)| *job.detail.key() == row.job);
            if let Some((job, _)) = job.filter(|(job, _)| job.detail.disallow_concurrent() != row.exclusive) {
                *version += 1;
                (row.exclusive, *of_row) = (job.detail.disallow_concurrent(), *version);
            }
        }
    }

    pub(crate) fn take(
        &mut self,
        mut request: AcquireDue,
        types: Option<&HashSet<Arc<str>>>,
        timing: Attached,
    ) -> Acquired {
        self.settle();
        let mut acquired = Acquired::default();
        for _ in 0..request.max {
            let waiting = self.waiting(&request, types);
            let due = || waiting.iter().filter(|waiting| waiting.at <= request.until);
            let is_late = |waiting: &Waiting| {
                request.late.is_some_and(|share| share.most == 0 && waiting.at < share.before)
            };
            // Further late ones come after all that are punctual.
            let next = due().find(|waiting| !is_late(waiting)).or_else(|| due().next());
            let Some(next) = next else { break };
            let group = match &next.order {
                Order::Trigger(_, id) => {
                    let one = self.claim(&request, *id, timing.lapse(next.at, request.now));
                    let group = one.trigger.execution_group().cloned();
                    acquired.triggers.push(one);
                    group
                }
                Order::Run(_, id) => {
                    let one = self.claim_run(&request, *id);
                    let group = one.trigger.execution_group().cloned();
                    acquired.runs.push(one);
                    group
                }
            };
            request.took(group.as_ref(), Some(next.at));
        }
        let alarms = self.triggers.values().filter_map(|(row, _)| row.alarm());
        let lapses = self.claims.values().filter(|(claim, _)| !claim.fired).map(|(claim, _)| claim.lapse);
        let first = self.waiting(&request, types).first().map(|waiting| waiting.at);
        let others = alarms.chain(lapses).chain(self.rest.0.pauses.next_ending());
        acquired.next_due = others.chain(first).min();
        acquired
    }

    fn claim_run(&mut self, request: &AcquireDue, id: Id<RunRow>) -> AcquiredRun {
        let number = self.numbers.claim(request.now);
        let row = &self.runs[&id].0;
        let (claim, mut acquired) =
            rules::claimed_run(row, ExecutionId::new(request.session, number), request.now);
        if let Some((job, _)) = self.jobs.values().find(|(job, _)| *job.detail.key() == row.job) {
            acquired.job = Some(job.detail.clone());
        }
        self.version += 1;
        self.claims.insert(Id::new(number), (claim, self.version));
        acquired
    }

    fn claim(&mut self, request: &AcquireDue, id: Id<TriggerRow>, lapse: DateTime<Utc>) -> AcquiredTrigger {
        let number = self.numbers.claim(request.now);
        let row = &self.triggers[&id].0;
        let claim = rules::claimed(id, row, request.session, request.now, lapse);
        let acquired = AcquiredTrigger {
            claim: ExecutionId::new(request.session, number),
            trigger: row.trigger.clone(),
            progress: row.progress(),
            calendar: row.trigger.calendar().and_then(|name| self.rest.0.calendars.get(name)).cloned(),
            freed: row.freed(),
        };
        self.version += 1;
        self.claims.insert(Id::new(number), (claim, self.version));
        acquired
    }
}
