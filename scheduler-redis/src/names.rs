//! How this driver numbers what has a name: anew in each transaction, in the order in which names come up.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use foldhash::{HashMap, HashMapExt, HashSet};
use scheduler_core::job::ExecutionId;
use scheduler_core::run::{Retention, RunId};
use scheduler_core::store::rows::{ClaimRow, Id, JobRow, Lane, RunRow, TriggerRow};
use scheduler_core::store::view;

use scheduler_core::{InvalidKey, JobKey, TriggerKey};

use crate::codec;

/// Numbers for births and revisions: microseconds of the server's clock, each once in this process. What has the same name is
/// never changed by two processes at once, so no two changes of one name have one number.
///
/// Also how long runs are kept after their end, which the rules ask for.
#[derive(Debug, Default)]
pub(crate) struct Numbers(AtomicU64, Retention);

impl Numbers {
    pub(crate) fn of(retention: Retention) -> Self {
        Self(AtomicU64::default(), retention)
    }

    fn next(&self, now: DateTime<Utc>) -> u64 {
        let now = u64::try_from(now.timestamp_micros()).unwrap_or_default();
        let step = |last: u64| Some(last.saturating_add(1).max(now));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        last.map_or(now, |last| last.saturating_add(1).max(now))
    }
}

#[derive(Debug)]
struct Numbered<T> {
    all: Vec<T>,
    by_value: HashMap<T, usize>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { all: Vec::new(), by_value: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn number(&mut self, value: &T) -> usize {
        if let Some(number) = self.by_value.get(value) {
            return *number;
        }
        self.all.push(value.clone());
        self.by_value.insert(value.clone(), self.all.len() - 1);
        self.all.len() - 1
    }
}

/// A queue, or none, and the type of a job.
pub(crate) type LaneOf = (Option<Arc<str>>, Arc<str>);

/// The names of one transaction.
#[derive(Debug)]
pub(crate) struct Names {
    jobs: Numbered<JobKey>,
    triggers: Numbered<TriggerKey>,
    runs: Numbered<RunId>,
    lanes: Numbered<LaneOf>,
    /// What was noted as the claims of triggers.
    at: HashMap<Id<TriggerRow>, String>,
    /// Where runs stood when their claims were looked for.
    places: HashMap<Id<RunRow>, (String, Vec<u8>)>,
    /// What was noted as the claims that hold jobs.
    holders: HashMap<JobKey, String>,
    /// The last job that was read, and every text so far: the rows of one answer share most of them.
    last_job: Option<JobKey>,
    texts: HashSet<Arc<str>>,
    /// Where claims are, and their whole ids.
    claims: HashMap<u64, (Arc<str>, ExecutionId)>,
    numbers: Arc<Numbers>,
    now: DateTime<Utc>,
}

impl Names {
    pub(crate) fn new(numbers: Arc<Numbers>, now: DateTime<Utc>) -> Self {
        let (jobs, triggers, runs, lanes, at, places, holders, claims) = Default::default();
        let (last_job, texts) = Default::default();
        Self { jobs, triggers, runs, lanes, at, places, holders, last_job, texts, claims, numbers, now }
    }

    pub(crate) fn key_of_job(&self, id: Id<JobRow>) -> &JobKey {
        &self.jobs.all[id.0 as usize]
    }

    pub(crate) fn trigger_key(&self, id: Id<TriggerRow>) -> &TriggerKey {
        &self.triggers.all[id.0 as usize]
    }

    /// The number that a run has got; none if it has not come up.
    pub(crate) fn number_of_run(&self, run: RunId) -> Option<Id<RunRow>> {
        self.runs.by_value.get(&run).map(|number| Id::new(*number as u64))
    }

    pub(crate) fn run_id(&self, id: Id<RunRow>) -> RunId {
        self.runs.all[id.0 as usize]
    }

    /// The run stands there by its record, unless it is claimed: the name of a sorted set, and a member of it.
    pub(crate) fn note_place(&mut self, run: Id<RunRow>, place: (String, Vec<u8>)) {
        self.places.insert(run, place);
    }

    pub(crate) fn noted_place(&self, run: Id<RunRow>) -> Option<&(String, Vec<u8>)> {
        self.places.get(&run)
    }

    /// The claim that is noted to hold this job; an empty text if none does.
    pub(crate) fn note_holder(&mut self, job: &JobKey, claim: String) {
        self.holders.insert(job.clone(), claim);
    }

    pub(crate) fn noted_holder(&self, job: &JobKey) -> &str {
        self.holders.get(job).map_or("", String::as_str)
    }

    /// The claim stands in this hash.
    pub(crate) fn claim(&mut self, execution: ExecutionId, home: &Arc<str>) -> Id<ClaimRow> {
        self.claims.insert(execution.count(), (home.clone(), execution));
        Id::of(execution)
    }

    /// What is noted as the claim of this trigger; nothing for none.
    pub(crate) fn note_at(&mut self, trigger: Id<TriggerRow>, claim: String) {
        self.at.insert(trigger, claim);
    }

    pub(crate) fn noted_at(&self, trigger: Id<TriggerRow>) -> &str {
        self.at.get(&trigger).map_or("", String::as_str)
    }

    pub(crate) fn home_of(&self, id: Id<ClaimRow>) -> Option<&(Arc<str>, ExecutionId)> {
        self.claims.get(&id.0)
    }
}

impl view::Names for Names {
    fn job(&mut self, key: &JobKey) -> Id<JobRow> {
        Id::new(self.jobs.number(key) as u64)
    }

    fn trigger(&mut self, key: &TriggerKey) -> Id<TriggerRow> {
        Id::new(self.triggers.number(key) as u64)
    }

    fn run(&mut self, id: RunId) -> Id<RunRow> {
        Id::new(self.runs.number(&id) as u64)
    }

    fn lane(&mut self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane {
        Lane(self.lanes.number(&(queue.cloned(), job_type.clone())) as u32)
    }

    fn lane_of(&self, lane: Lane) -> LaneOf {
        self.lanes.all[lane.0 as usize].clone()
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let text = Arc::<str>::from(text);
        self.texts.insert(text.clone());
        text
    }

    fn job_key(&mut self, group: &str, name: &str) -> Result<JobKey, InvalidKey> {
        let group = codec::group_name(group);
        if let Some(last) = self.last_job.as_ref().filter(|last| last.name() == name && last.group() == group)
        {
            return Ok(last.clone());
        }
        Ok(self.last_job.insert(JobKey::in_group(group, name)?).clone())
    }

    fn number(&mut self) -> u64 {
        self.numbers.next(self.now)
    }

    fn retention(&self) -> Retention {
        self.numbers.1
    }
}

impl Names {
    /// In the place of others for a moment.
    pub(crate) fn nothing() -> Self {
        Self::new(Arc::default(), DateTime::UNIX_EPOCH)
    }
}
