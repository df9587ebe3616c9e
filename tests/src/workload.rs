//! What the nodes of a cluster under test do, and what must therefore happen.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::JobDetail;
use scheduler_core::run::{Backoff, RetryPolicy, RunId};
use scheduler_core::store::NewRun;

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
pub const JOBS: [Job; 8] = [
    Job { name: "plain", triggers: 20, every: 500, takes: 1, ..AGAIN },
    Job { name: "one", triggers: 4, every: 700, exclusive: true, ..AGAIN },
    Job { name: "count", every: 300, exclusive: true, ..AGAIN },
    Job { name: "safe", triggers: 3, every: 900, takes: 200, exclusive: true, recovers: true, ..AGAIN },
    Job { name: "once", every: 40, once: true, ..AGAIN },
    Job { name: "single", every: 300, takes: 50, exclusive: true, recovers: true, once: true, ..AGAIN },
    Job { name: "sent", triggers: 0, takes: 20, ..AGAIN },
    Job { name: "lone", triggers: 0, takes: 20, exclusive: true, ..AGAIN },
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
}

impl RunKind {
    /// Whether no retry is left when the last attempt has failed.
    #[must_use]
    pub fn dies(&self) -> bool {
        self.fails > self.retries
    }
}

/// At once, and without retries.
const SENT: RunKind = RunKind { job: "sent", delay: 0, fails: 0, retries: 0 };

/// Every kind of run that differs for the store.
pub const RUNS: [RunKind; 6] = [
    SENT,
    RunKind { delay: 3000, ..SENT },
    RunKind { fails: 2, retries: 3, ..SENT },
    RunKind { fails: 2, retries: 1, ..SENT },
    RunKind { job: "lone", delay: 1000, ..SENT },
    // Beside triggers of the same job.
    RunKind { job: "one", ..SENT },
];

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
    let RunKind { job, retries, .. } = RUNS[kind];
    let job = JOBS.into_iter().find(|known| known.name == job).expect("a job");
    let mut run = NewRun::of(RunId::new(SENDERS + kind as u64, count), &detail(job), due);
    run.priority = priority;
    run.retry = (retries > 0).then(|| RetryPolicy::new(retries, Backoff::Fixed(RETRY_AFTER)));
    run
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
