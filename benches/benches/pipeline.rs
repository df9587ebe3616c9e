//! What happens around a job: from the moment at which it is due until its end is stored, in memory; and the registry of jobs.
//!
//! ```text
//! cargo bench -p benches --bench pipeline
//! ```
//!
//! A thousand jobs are enqueued in one call and run; the time is that of all, with the adding. Two threads.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, Outcome, Registry, State};
use scheduler_core::scheduler::{JobListener, Middleware, Next};
use scheduler_core::store::Existing;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Matcher, Scheduler, SchedulerBuilder};
use tokio::sync::Notify;

const JOBS: usize = 1000;

/// A scheduler whose jobs count down.
type Build = fn(Count) -> SchedulerBuilder;

/// Counts down, and tells who waits for the last.
#[derive(Clone, Default)]
struct Count(Arc<(AtomicUsize, Notify)>);

impl Count {
    fn down(&self) {
        if self.0.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.1.notify_one();
        }
    }
}

struct Nothing;

impl JobListener for Nothing {}

impl Middleware for Nothing {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        next.run(context).await
    }
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().expect("a key"), name).build()
}

fn bare(count: Count) -> SchedulerBuilder {
    let work = move || {
        count.down();
        async {}
    };
    Scheduler::builder().register(JobDefinition::new(detail("work"), work))
}

fn with_parameters(count: Count) -> SchedulerBuilder {
    let work = |State(count): State<Count>, context: JobContext| async move {
        black_box(context.fence());
        count.down();
    };
    Scheduler::builder().provide(count).register(JobDefinition::new(detail("work"), work))
}

fn with_listener(count: Count) -> SchedulerBuilder {
    bare(count).job_listener(Matcher::Everything, Nothing)
}

fn with_middleware(count: Count) -> SchedulerBuilder {
    bare(count).middleware(Nothing)
}

async fn run_all(scheduler: &Scheduler, count: &Count, names: &[(Invocation, String)]) {
    count.0.0.store(JOBS, Ordering::Release);
    let pairs = names.iter().map(|(job, trigger)| (job.clone(), Trigger::now().name(trigger)));
    // The job goes with its trigger, and may not be gone yet.
    scheduler.schedule_all(pairs, Existing::Replace).await.expect("they are stored");
    count.0.1.notified().await;
}

fn pipeline(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut group = criterion.benchmark_group("enqueue and run 1,000");
    group.throughput(Throughput::Elements(JOBS as u64));
    let kinds: [(&str, Build); 4] = [
        ("bare", bare),
        ("with parameters", with_parameters),
        ("with a listener", with_listener),
        ("with middleware", with_middleware),
    ];
    for (name, builder) in kinds {
        let count = Count::default();
        let scheduler = builder(count.clone()).concurrency(JOBS).build().expect("a scheduler");
        runtime.block_on(scheduler.start()).expect("it starts");
        let job = |number: usize| {
            let key = format!("j{number}").parse().expect("a key");
            (Invocation::new(JobDetail::builder(key, "work").build()), format!("t{number}"))
        };
        let names: Vec<_> = (0..JOBS).map(job).collect();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| runtime.block_on(run_all(&scheduler, &count, &names)));
        });
        runtime.block_on(scheduler.shutdown(std::time::Duration::from_secs(5)));
    }
    group.finish();
}

fn registry(criterion: &mut Criterion) {
    let mut registry = Registry::default();
    let names: Vec<_> = (0..1000).map(|number| format!("job-{number}")).collect();
    names.iter().for_each(|name| registry.register(JobDefinition::new(detail(name), || async {})));
    let mut turn = names.iter().cycle();
    criterion.bench_function("find one of 1,000 jobs in the registry", |bencher| {
        bencher.iter(|| turn.next().map(|name| black_box(registry.knows(name))));
    });
}

criterion_group!(benches, pipeline, registry);
criterion_main!(benches);
