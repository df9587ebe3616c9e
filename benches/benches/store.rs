//! The way of a firing through the store in memory, by how many go together: acquired, fired, ended.
//!
//! ```text
//! cargo bench -p benches --bench store
//! ```
//!
//! The time is that of a whole batch; ten thousand further triggers wait.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scheduler_core::Result;
use scheduler_core::job::JobDetail;
use scheduler_core::store::*;
use scheduler_core::trigger::Trigger;

fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default()
}

/// The store in memory never waits.
fn now<T>(future: impl Future<Output = Result<T>>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.expect("the store answers"),
        Poll::Pending => panic!("the store in memory has waited"),
    }
}

/// With so many triggers, each of its own job, due a second apart and again in an hour.
fn filled(count: usize) -> MemoryJobStore {
    let store = MemoryJobStore::new();
    for number in 0..count {
        let job = Arc::new(JobDetail::builder(format!("j{number}").parse().expect("a key"), "work").build());
        let start = begin() + TimeDelta::seconds(number as i64);
        let trigger = Trigger::every(Duration::from_secs(3600)).start_at(start).name(&format!("t{number}"));
        let trigger = trigger.job(job.key().clone()).build(begin()).expect("a trigger");
        let progress = trigger.first(None);
        let triggers = vec![(Arc::new(trigger), progress)];
        let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
        now(store.put(Put { jobs: vec![job], existing_jobs, triggers, existing_triggers }));
    }
    store
}

fn acquire(store: &MemoryJobStore, time: DateTime<Utc>, max: usize) -> Vec<AcquiredTrigger> {
    let limits = ExecutionLimits::default();
    now(store.acquire_due(AcquireDue { session: 1, now: time, until: time, max, limits, late: None }))
        .triggers
}

fn fire(store: &MemoryJobStore, time: DateTime<Utc>, acquired: &[AcquiredTrigger]) -> Vec<FireResult> {
    let firing = |one: &AcquiredTrigger| Firing {
        claim: one.claim,
        progress: one.trigger.fired(&one.progress, None),
        run: true,
    };
    now(store.fire(Fire { now: time, firings: acquired.iter().map(firing).collect() }))
}

fn complete(store: &MemoryJobStore, time: DateTime<Utc>, acquired: &[AcquiredTrigger]) {
    let executions = acquired.iter().map(|one| Completion::of(one.claim)).collect();
    black_box(now(store.complete(Complete { now: time, executions })));
}

fn firing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("acquire, fire and complete");
    for batch in [1, 10, 100, 1000] {
        let (store, mut time) = (filled(10_000 + batch), begin() + TimeDelta::hours(100));
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter(|| {
                time += TimeDelta::seconds(1);
                let acquired = acquire(&store, time, batch);
                assert_eq!(acquired.len(), batch);
                black_box(fire(&store, time, &acquired));
                complete(&store, time, &acquired);
            });
        });
    }
    group.finish();
}

fn adding(criterion: &mut Criterion) {
    criterion.bench_function("add and remove a job with its trigger beside 10,000", |bencher| {
        let store = filled(10_000);
        bencher.iter(|| {
            let job = Arc::new(JobDetail::builder("new".parse().expect("a key"), "work").build());
            let trigger = Trigger::at(begin()).name("new").job(job.key().clone()).build(begin());
            let trigger = trigger.expect("a trigger");
            let progress = trigger.first(None);
            let (triggers, key) = (vec![(Arc::new(trigger), progress)], job.key().clone());
            let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
            now(store.put(Put { jobs: vec![job], existing_jobs, triggers, existing_triggers }));
            black_box(now(store.remove_jobs(vec![key])));
        });
    });
}

criterion_group!(benches, firing, adding);
criterion_main!(benches);
