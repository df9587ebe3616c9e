//! The way of a firing through the store in memory, by how many go together: acquired, fired, ended, and all three.
//!
//! ```text
//! cargo bench -p benches --bench store
//! ```
//!
//! The time is that of a whole batch; ten thousand further triggers wait.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::sync::Arc;

use benches::steps::*;
use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scheduler_core::job::JobDetail;
use scheduler_core::store::*;
use scheduler_core::trigger::Trigger;

/// A store, and a time at which everything in it is due, later each time it is asked for.
struct Place {
    store: MemoryJobStore,
    time: Cell<DateTime<Utc>>,
}

impl Place {
    fn new(count: usize) -> Self {
        Self { store: filled(count), time: Cell::new(begin() + TimeDelta::hours(100)) }
    }

    fn time(&self) -> DateTime<Utc> {
        self.time.set(self.time.get() + TimeDelta::seconds(1));
        self.time.get()
    }
}

fn firing(criterion: &mut Criterion) {
    for batch in [1, 10, 100, 1000] {
        let mut group = criterion.benchmark_group(format!("batch of {batch}"));
        group.throughput(Throughput::Elements(batch as u64));
        let place = Place::new(10_000 + batch);
        let id = |what| BenchmarkId::from_parameter(what);
        // What each step leaves open is ended before the next one.
        let open = RefCell::new(Vec::new());
        let end = || complete(&place.store, place.time(), &open.take());
        group.bench_function(id("acquire"), |bencher| {
            let release = || {
                let claims = open.take().iter().map(|one: &AcquiredTrigger| one.claim).collect();
                now(place.store.release(claims));
            };
            let acquire = |()| open.replace(acquire(&place.store, place.time(), batch));
            bencher.iter_batched(release, acquire, BatchSize::PerIteration);
            release();
        });
        group.bench_function(id("fire"), |bencher| {
            let claim = || {
                end();
                open.replace(acquire(&place.store, place.time(), batch));
            };
            let fire = |()| black_box(fire(&place.store, place.time(), &open.borrow()));
            bencher.iter_batched(claim, fire, BatchSize::PerIteration);
            end();
        });
        group.bench_function(id("complete"), |bencher| {
            let begin = || {
                let claimed = acquire(&place.store, place.time(), batch);
                black_box(fire(&place.store, place.time(), &claimed));
                claimed
            };
            let end = |claimed: Vec<_>| complete(&place.store, place.time(), &claimed);
            bencher.iter_batched(begin, end, BatchSize::PerIteration);
        });
        group.bench_function(id("all three"), |bencher| {
            bencher.iter(|| turn(&place.store, place.time(), batch));
        });
        group.finish();
    }
}

fn adding(criterion: &mut Criterion) {
    criterion.bench_function("add and remove a job with its trigger beside 10,000", |bencher| {
        let (store, number) = (filled(10_000), 10_000);
        let key = JobDetail::builder("j10000".parse().expect("a key"), "work").build().key().clone();
        bencher.iter(|| {
            put(&store, number, Trigger::at(begin()));
            black_box(now(store.remove_jobs(vec![key.clone()])));
        });
    });
    criterion.bench_function("read one of 10,000 triggers", |bencher| {
        let store = filled(10_000);
        let query = TriggerQuery { keys: vec!["t5000".parse().expect("a key")], ..TriggerQuery::default() };
        bencher.iter(|| black_box(now(store.all_triggers(query.clone()))));
    });
    criterion.bench_function("put a job that is there already", |bencher| {
        let store = filled(10_000);
        let job = Arc::new(JobDetail::builder("j5000".parse().expect("a key"), "work").build());
        let put = Put {
            jobs: vec![job],
            existing_jobs: Existing::Keep,
            triggers: Vec::new(),
            existing_triggers: Existing::Keep,
        };
        bencher.iter(|| now(store.put(put.clone())));
    });
}

criterion_group!(benches, firing, adding);
criterion_main!(benches);
