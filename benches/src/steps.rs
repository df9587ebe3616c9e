//! The store in memory, step by step on one thread: what the microbenchmarks time and what is counted in instructions.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::Result;
use scheduler_core::job::JobDetail;
use scheduler_core::store::*;
use scheduler_core::trigger::{Trigger, TriggerBuilder};

/// A new year.
#[must_use]
pub fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default()
}

/// The store in memory never waits.
pub fn now<T>(future: impl Future<Output = Result<T>>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.expect("the store answers"),
        Poll::Pending => panic!("the store in memory has waited"),
    }
}

/// Stores a job with its trigger.
pub fn put(store: &MemoryJobStore, number: usize, trigger: TriggerBuilder) {
    let job = Arc::new(JobDetail::builder(format!("j{number}").parse().expect("a key"), "work").build());
    let trigger = trigger.name(&format!("t{number}")).job(job.key().clone()).build(begin());
    let trigger = trigger.expect("a trigger");
    let progress = trigger.first(None);
    let triggers = vec![(Arc::new(trigger), progress)];
    let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
    now(store.put(Put { jobs: vec![job], existing_jobs, triggers, existing_triggers }));
}

/// With so many triggers, each of its own job, due a second apart and again in an hour.
#[must_use]
pub fn filled(count: usize) -> MemoryJobStore {
    let store = MemoryJobStore::new();
    for number in 0..count {
        let start = begin() + TimeDelta::seconds(number as i64);
        put(&store, number, Trigger::every(Duration::from_secs(3600)).start_at(start));
    }
    store
}

/// Claims what is due.
#[must_use]
pub fn acquire(store: &MemoryJobStore, time: DateTime<Utc>, max: usize) -> Vec<AcquiredTrigger> {
    let limits = QueueLimits::default();
    now(store.acquire_due(AcquireDue {
        session: 1,
        now: time,
        until: time,
        max,
        limits,
        shares: Vec::new(),
        late: None,
        heard: None,
    }))
    .triggers
}

/// Fires what was claimed.
#[must_use]
pub fn fire(store: &MemoryJobStore, time: DateTime<Utc>, acquired: &[AcquiredTrigger]) -> Vec<FireResult> {
    let firing = |one: &AcquiredTrigger| Firing {
        claim: one.claim,
        progress: one.trigger.fired(&one.progress, None),
        dropped: None,
    };
    now(store.fire(Fire { now: time, firings: acquired.iter().map(firing).collect() }))
}

/// Ends what was fired.
pub fn complete(store: &MemoryJobStore, time: DateTime<Utc>, acquired: &[AcquiredTrigger]) {
    let executions = acquired.iter().map(|one| Completion::of(one.claim)).collect();
    black_box(now(store.complete(Complete { now: time, executions })));
}

/// Claims, fires and ends so many at once.
pub fn turn(store: &MemoryJobStore, time: DateTime<Utc>, batch: usize) {
    let acquired = acquire(store, time, batch);
    assert_eq!(acquired.len(), batch);
    black_box(fire(store, time, &acquired));
    complete(store, time, &acquired);
}

/// Does something so often, for a program that counts instructions: `put`, `turn` with a hundred at once, or `next` of a cron.
pub fn repeat(what: &str, times: usize) {
    match what {
        "put" => drop(filled(times)),
        "turn" => {
            let (store, late) = (filled(10_000), begin() + TimeDelta::hours(100));
            for second in 0..times / 100 {
                turn(&store, late + TimeDelta::seconds(second as i64), 100);
            }
        }
        "next" => {
            let trigger = Trigger::cron("0 15 10 ? * 6L").time_zone("Europe/Berlin").name("t").for_job("j");
            let trigger = trigger.build(begin()).expect("a trigger");
            for hour in 0..times {
                black_box(trigger.fire_time_after(begin() + TimeDelta::hours(hour as i64)));
            }
        }
        other => panic!("there is no step {other}"),
    }
}
