//! What the nodes of a cluster under test do, and what must therefore happen.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::JobDetail;
use scheduler_core::run::{Backoff, Gate, GateId, Gates, RetryPolicy, RunId};
use scheduler_core::store::NewRun;
use scheduler_core::store::batches::NewBatch;

/// A job of the nodes.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// So many triggers, named after it. A job without any is not stored; its runs are.
    pub triggers: usize,
    /// Milliseconds between their firings.
    pub every: u32,
    /// How long a run takes, in milliseconds.
    pub takes: u64,
    /// It allows one run at a time.
    pub exclusive: bool,
    /// A run that is lost with its node is repeated.
    pub recovers: bool,
    /// Its triggers fire once, one after the other, and are stored at the begin; `triggers` is not asked.
    pub once: bool,
}

/// Fires again and again.
const AGAIN: Job =
    Job { name: "", triggers: 1, every: 0, takes: 5, exclusive: false, recovers: false, once: false };

/// Every kind of job that differs for the store.
pub const JOBS: [Job; 9] = [
    Job { name: "plain", triggers: 20, every: 500, takes: 1, ..AGAIN },
    Job { name: "one", triggers: 4, every: 700, exclusive: true, ..AGAIN },
    Job { name: "count", every: 300, exclusive: true, ..AGAIN },
    Job { name: "safe", triggers: 3, every: 900, takes: 200, exclusive: true, recovers: true, ..AGAIN },
    Job { name: "once", every: 40, once: true, ..AGAIN },
    Job { name: "single", every: 300, takes: 50, exclusive: true, recovers: true, once: true, ..AGAIN },
    Job { name: "sent", triggers: 0, takes: 20, ..AGAIN },
    Job { name: "lone", triggers: 0, takes: 20, exclusive: true, ..AGAIN },
    Job { name: "gated", triggers: 0, takes: 60, ..AGAIN },
];

/// Runs that are enqueued in the same way.
#[derive(Debug, Clone, Copy)]
pub struct RunKind {
    /// The job that they run.
    pub job: &'static str,
    /// They are due no later than so many milliseconds after the call.
    pub delay: u64,
    /// So many attempts fail, the first ones.
    pub fails: u32,
    /// So often they are tried again.
    pub retries: u32,
    /// So many of them are under way at the same time; 0 for any number.
    pub limit: u32,
    /// The run of the same call before it, for whose success it waits, is of this kind.
    pub follows: Option<usize>,
    /// It is one of the runs of a batch, or tells of its end.
    pub batch: Option<InBatch>,
}

/// What a run has to do with the batch of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InBatch {
    /// It is one of the runs.
    Member,
    /// It begins when all of them have ended.
    Callback,
}

impl RunKind {
    /// Whether no retry is left when the last attempt has failed.
    #[must_use]
    pub fn dies(&self) -> bool {
        self.fails > self.retries
    }
}

/// At once, and without retries.
const SENT: RunKind =
    RunKind { job: "sent", delay: 0, fails: 0, retries: 0, limit: 0, follows: None, batch: None };

/// Every kind of run that differs for the store.
pub const RUNS: [RunKind; 12] = [
    SENT,
    RunKind { delay: 3000, ..SENT },
    RunKind { fails: 2, retries: 3, ..SENT },
    RunKind { fails: 2, retries: 1, ..SENT },
    RunKind { job: "lone", delay: 1000, ..SENT },
    // Beside triggers of the same job.
    RunKind { job: "one", ..SENT },
    RunKind { job: "gated", limit: 2, ..SENT },
    RunKind { follows: Some(FAILS_FIRST), ..SENT },
    RunKind { follows: Some(DIES), ..SENT },
    RunKind { batch: Some(InBatch::Member), delay: 300, ..SENT },
    RunKind { batch: Some(InBatch::Member), fails: 2, retries: 1, ..SENT },
    RunKind { batch: Some(InBatch::Callback), ..SENT },
];

/// The places of the kinds that others follow.
const FAILS_FIRST: usize = 2;
const DIES: usize = 3;

/// The place of the runs that tell of the end of a batch, and those of its members.
pub const CALLBACK: usize = 11;
/// Those of its members.
pub const MEMBERS: [usize; 2] = [9, 10];

/// How long a run waits before it is tried again.
pub const RETRY_AFTER: Duration = Duration::from_millis(300);

/// The senders of runs, one for each kind, have numbers from here on.
const SENDERS: u64 = 0xC0DE_0000;

/// A run of this kind, ready to be enqueued.
///
/// # Panics
///
/// The kind has no job.
#[must_use]
pub fn new_run(kind: usize, count: u64, due: DateTime<Utc>, priority: i32) -> NewRun {
    let RunKind { job, retries, limit, .. } = RUNS[kind];
    let job = JOBS.into_iter().find(|known| known.name == job).expect("a job");
    let mut run = NewRun::of(RunId::new(SENDERS + kind as u64, count), &detail(job), due);
    run.priority = priority;
    run.retry = (retries > 0).then(|| RetryPolicy::new(retries, Backoff::Fixed(RETRY_AFTER)));
    if limit > 0 {
        run.gates = Gates::new(vec![Gate::new(GateId::of("chaos", None), limit, 1)]);
    }
    run
}

/// A batch that is stored together with its runs.
///
/// # Panics
///
/// `batch` is no name.
#[must_use]
pub fn new_batch(count: u64, due: DateTime<Utc>) -> NewRun {
    let job = JobDetail::builder("batch".parse().expect("a name"), "batch").build();
    let mut batch = NewRun::of(RunId::new(SENDERS + RUNS.len() as u64, count), &job, due);
    let mut opens = NewBatch::new(None);
    opens.is_sealed = true;
    (batch.opens, batch.now) = (Some(opens), Some(due));
    batch
}

/// The kind of a run that was enqueued; none for one of a trigger.
#[must_use]
pub fn kind_of(run: RunId) -> Option<RunKind> {
    RUNS.get(usize::try_from(run.sender().checked_sub(SENDERS)?).ok()?).copied()
}

/// When a trigger is due, without a scheduler.
pub type Expected = BTreeMap<String, Vec<DateTime<Utc>>>;

/// Every firing between the begin and the end.
#[must_use]
pub fn expected(begin: DateTime<Utc>, end: DateTime<Utc>) -> Expected {
    let mut all = Expected::new();
    for job in JOBS.into_iter().filter(|job| job.triggers > 0) {
        let times = (0..).map(|count| begin + TimeDelta::milliseconds(i64::from(job.every) * count));
        let times = times.take_while(|time| *time < end).collect::<Vec<_>>();
        if job.once {
            all.extend((0..).zip(times).map(|(number, time)| (trigger(job.name, number), vec![time])));
        } else {
            all.extend((0..job.triggers).map(|number| (trigger(job.name, number), times.clone())));
        }
    }
    all
}

/// The job as it is stored.
///
/// # Panics
///
/// Its name is none.
#[must_use]
pub fn detail(job: Job) -> JobDetail {
    JobDetail::builder(job.name.parse().expect("a name"), job.name)
        .disallow_concurrent(job.exclusive)
        .persist_data(job.name == "count")
        .requests_recovery(job.recovers)
        .durable(true)
        .build()
}

/// The name of a trigger.
#[must_use]
pub fn trigger(job: &str, number: usize) -> String {
    format!("{job}-{number}")
}

/// The job of a trigger, or of an enqueued run.
#[must_use]
pub fn job_of(trigger: &str) -> Option<Job> {
    let name = match trigger.parse().ok().and_then(kind_of) {
        Some(kind) => kind.job,
        None => trigger.rsplit_once('-')?.0,
    };
    JOBS.into_iter().find(|job| job.name == name)
}
