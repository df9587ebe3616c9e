//! What the nodes of a cluster under test do, and what must therefore happen.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::JobDetail;

/// A job of the nodes.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// So many triggers, named after it.
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
pub const JOBS: [Job; 6] = [
    Job { name: "plain", triggers: 20, every: 500, takes: 1, ..AGAIN },
    Job { name: "one", triggers: 4, every: 700, exclusive: true, ..AGAIN },
    Job { name: "count", every: 300, exclusive: true, ..AGAIN },
    Job { name: "safe", triggers: 3, every: 900, takes: 200, exclusive: true, recovers: true, ..AGAIN },
    Job { name: "once", every: 40, once: true, ..AGAIN },
    Job { name: "single", every: 300, takes: 50, exclusive: true, recovers: true, once: true, ..AGAIN },
];

/// When a trigger is due, without a scheduler.
pub type Expected = BTreeMap<String, Vec<DateTime<Utc>>>;

/// Every firing between the begin and the end.
#[must_use]
pub fn expected(begin: DateTime<Utc>, end: DateTime<Utc>) -> Expected {
    let mut all = Expected::new();
    for job in JOBS {
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

/// The job of a trigger.
#[must_use]
pub fn job_of(trigger: &str) -> Option<Job> {
    let (name, _) = trigger.rsplit_once('-')?;
    JOBS.into_iter().find(|job| job.name == name)
}
