//! What the nodes of a cluster under test do, and what must therefore happen.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

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
}

/// Every kind of job that differs for the store.
pub const JOBS: [Job; 4] = [
    Job { name: "plain", triggers: 20, every: 500, takes: 1, exclusive: false, recovers: false },
    Job { name: "one", triggers: 4, every: 700, takes: 5, exclusive: true, recovers: false },
    Job { name: "count", triggers: 1, every: 300, takes: 5, exclusive: true, recovers: false },
    Job { name: "safe", triggers: 3, every: 900, takes: 200, exclusive: true, recovers: true },
];

/// When a trigger is due, without a scheduler.
pub type Expected = BTreeMap<String, Vec<DateTime<Utc>>>;

/// Every firing between the begin and the end.
#[must_use]
pub fn expected(begin: DateTime<Utc>, end: DateTime<Utc>) -> Expected {
    let mut all = Expected::new();
    for job in JOBS {
        for number in 0..job.triggers {
            let times = (0..).map(|count| begin + TimeDelta::milliseconds(i64::from(job.every) * count));
            all.insert(trigger(job.name, number), times.take_while(|time| *time < end).collect());
        }
    }
    all
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
