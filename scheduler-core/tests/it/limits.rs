//! Who waits for whom: overlap policies, queues, job types, priorities.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use parking_lot::Mutex;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::scheduler::{Event, SchedulerBuilder};
use scheduler_core::store::{ExecutionStatus, Executions, MemoryJobStore, QueueLimits};
use scheduler_core::testing::{TestScheduler, assert_fired};
use scheduler_core::time::{Clock, ManualClock};
use scheduler_core::trigger::{OverlapPolicy, Trigger, TriggerBuilder};
use scheduler_core::{Scheduler, TriggerKey};
use tokio_util::sync::CancellationToken;

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

/// Takes `seconds`, unless it is asked to stop.
fn takes(name: &str, seconds: u64) -> JobDefinition {
    JobDefinition::new(detail(name), move |context: JobContext, stop: CancellationToken| async move {
        let sleep = context.clock().sleep(Duration::from_secs(seconds));
        stop.run_until_cancelled(sleep).await.ok_or(JobError::new("asked to stop"))
    })
}

fn every(seconds: u64, name: &str) -> TriggerBuilder {
    Trigger::every(Duration::from_secs(seconds)).name(name)
}

async fn started(builder: SchedulerBuilder) -> TestScheduler {
    TestScheduler::start(NOW, builder).await.unwrap()
}

/// When the runs of a job began, in seconds.
fn begins(test: &TestScheduler, job: &str) -> Vec<i64> {
    let mut begins: Vec<_> = test
        .fired_of(job)
        .iter()
        .map(|fired| (fired.fired - NOW.parse::<chrono::DateTime<chrono::Utc>>().unwrap()).num_seconds())
        .collect();
    begins.sort_unstable();
    begins
}

#[tokio::test]
async fn overlap_policies() {
    let rows = [
        // A run takes 150 s and the trigger is due every 60 s.
        (OverlapPolicy::AllowAll, vec![0, 60, 120, 180, 240, 300]),
        (OverlapPolicy::Skip, vec![0, 180, 360]),
        (OverlapPolicy::BufferOne, vec![0, 150, 300]),
        (OverlapPolicy::CancelPrevious, vec![0, 60, 120, 180, 240, 300, 360, 420]),
    ];
    for (policy, expected) in rows {
        let builder =
            Scheduler::builder().register(takes("work", 150).with_trigger(every(60, "t").overlap(policy)));
        let test = started(builder).await;
        test.advance(Duration::from_secs(480)).await;
        let begins = begins(&test, "work");
        assert_eq!(begins[..expected.len().min(begins.len())], expected[..], "{policy:?}: {begins:?}");
    }
}

#[tokio::test]
async fn a_superseded_run_says_so_and_a_skipped_one_is_told() {
    let builder = Scheduler::builder()
        .register(takes("cancels", 90).with_trigger(every(60, "c").overlap(OverlapPolicy::CancelPrevious)))
        .register(takes("skips", 90).with_trigger(every(60, "s").overlap(OverlapPolicy::Skip)));
    let test = started(builder).await;
    let mut events = test.scheduler().events();
    test.advance(Duration::from_secs(61)).await;
    let superseded = test.fired_of("cancels");
    assert_eq!(superseded[0].outcome.as_ref().unwrap().word(), "cancelled");
    let mut overlapped = Vec::new();
    test.scheduler().shutdown(Duration::ZERO).await;
    drop(test);
    while let Some(event) = events.next().await {
        if let Event::Overlapped { trigger, .. } = event {
            overlapped.push(trigger.to_string());
        }
    }
    assert_eq!(overlapped, ["s"]);
}

#[tokio::test]
async fn a_queue_takes_no_more_than_its_limit_and_starves_nobody() {
    let mut builder = Scheduler::builder().limit_queue("heavy", 2).concurrency(10);
    let mut heavy = takes("heavy", 100);
    for number in 0..20 {
        heavy =
            heavy.with_trigger(Trigger::now().name(&format!("heavy-{number:02}")).queue("heavy").priority(9));
    }
    builder = builder.register(heavy).register(takes("light", 1).with_trigger(Trigger::now().name("light")));
    let test = started(builder).await;
    assert_eq!(test.scheduler().running().len(), 3);
    test.advance(Duration::from_secs(1)).await;
    assert_fired!(test, "light", 1);
    assert_eq!(test.scheduler().running().len(), 2);
    test.advance(Duration::from_secs(1000)).await;
    assert_fired!(test, "heavy", 20);
    let begins = begins(&test, "heavy");
    assert!(
        begins.chunks(2).enumerate().all(|(round, pair)| pair[0] >= 100 * i64::try_from(round).unwrap()),
        "{begins:?}"
    );
}

#[tokio::test]
async fn limits_can_be_changed_while_it_runs() {
    let mut job = takes("work", 100);
    for number in 0..6 {
        job = job.with_trigger(Trigger::now().name(&format!("t{number}")).queue("g"));
    }
    let test = started(Scheduler::builder().limit_queue("g", 0).register(job)).await;
    assert_eq!(test.scheduler().running().len(), 0);
    let limit = |limit: usize| QueueLimits { named: [("g".into(), limit)].into(), ..QueueLimits::default() };
    test.scheduler().set_limits(limit(2));
    test.run_due().await;
    assert_eq!(test.scheduler().running().len(), 2);
    test.scheduler().set_limits(limit(5));
    test.run_due().await;
    assert_eq!(test.scheduler().running().len(), 5);
}

#[tokio::test]
async fn a_pool_that_is_full_takes_the_most_urgent_first() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let inner = order.clone();
    let job = move |context: JobContext| {
        inner.lock().push(context.trigger_key().to_string());
        async move { context.clock().sleep(Duration::from_secs(10)).await }
    };
    let mut definition = JobDefinition::new(detail("work"), job);
    for (name, priority) in [("low", 1), ("high", 9), ("middle", 5)] {
        definition = definition.with_trigger(Trigger::now().name(name).priority(priority));
    }
    let test = started(Scheduler::builder().concurrency(1).register(definition)).await;
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(*order.lock(), ["high", "middle", "low"]);
}

/// Two nodes with different jobs share a store.
#[tokio::test]
async fn a_node_takes_only_jobs_that_it_has() {
    let (store, clock) = (MemoryJobStore::new(), ManualClock::at(NOW));
    let ran = Arc::new(Mutex::new(Vec::new()));
    let node = |name: &'static str, jobs: &[&'static str]| {
        let mut builder = Scheduler::builder().name(name).clock(clock.clone()).store(store.clone());
        for job in jobs {
            let ran = ran.clone();
            let body = move |context: JobContext| {
                ran.lock().push(format!("{} on {name}", context.job_key()));
                async {}
            };
            builder = builder.register(JobDefinition::new(detail(job), body));
        }
        builder.build().unwrap()
    };
    let (one, two) = (node("one", &["mail"]), node("two", &["bill"]));
    one.start().await.unwrap();
    two.start().await.unwrap();
    one.schedule(Invocation::new(detail("mail")), every(60, "mail").repeat(1)).await.unwrap();
    two.schedule(Invocation::new(detail("bill")), every(60, "bill").repeat(1)).await.unwrap();
    clock.settle().await;
    clock.advance(Duration::from_secs(60)).await;
    let mut ran = ran.lock().clone();
    ran.sort();
    assert_eq!(ran, ["bill on two", "bill on two", "mail on one", "mail on one"]);
}

#[tokio::test]
async fn a_run_on_another_node_is_cancelled_through_the_store() {
    let (store, clock) = (MemoryJobStore::new(), ManualClock::at(NOW));
    let node = || Scheduler::builder().clock(clock.clone()).store(store.clone());
    let worker = node().register(takes("work", 3600)).build().unwrap();
    let admin = node().build().unwrap();
    worker.start().await.unwrap();
    admin.start().await.unwrap();
    worker.enqueue(Invocation::new(detail("work"))).await.unwrap();
    clock.settle().await;
    assert_eq!((worker.running().len(), admin.running().len()), (1, 0));
    let asked = admin.cancel(Executions::OfJob("work".parse().unwrap())).await.unwrap();
    assert_eq!(asked.len(), 1);
    clock.advance(Duration::from_secs(6)).await;
    assert!(worker.running().is_empty(), "it has stopped");
    let gone: Option<_> = admin.trigger(&"x".parse::<TriggerKey>().unwrap()).await.unwrap();
    assert!(gone.is_none());
}

#[tokio::test]
async fn a_limit_for_all_nodes_holds_over_the_schedulers_of_a_store_and_is_explained() {
    let (store, clock) = (MemoryJobStore::new(), ManualClock::at(NOW));
    let node = || {
        let mut job = takes("work", 60);
        for name in ["a", "b", "c"] {
            job = job.with_trigger(every(3600, name).queue("licences"));
        }
        let builder = Scheduler::builder().store(store.clone()).clock(clock.clone()).register(job);
        builder.limit_queue_on_all_nodes("licences", 2).build().unwrap()
    };
    let (first, second) = (node(), node());
    first.start().await.unwrap();
    second.start().await.unwrap();
    clock.advance(Duration::from_secs(1)).await;
    let running = async || first.executions(Executions::All).await.unwrap().len();
    assert_eq!(running().await, 2);
    let why = first.explain(&"c".parse().unwrap()).await.unwrap().to_string();
    assert!(why.contains("2 runs of queue `licences` are under way on all nodes"), "{why}");
    clock.advance(Duration::from_secs(59)).await;
    assert_eq!(running().await, 1, "the third runs as soon as one has ended");
    clock.advance(Duration::from_secs(60)).await;
    assert_eq!(running().await, 0);
}

/// What counts for a shared limit is known of the run itself, whatever has become of its trigger.
#[tokio::test]
async fn h16_a_run_counts_for_the_queue_it_began_in_and_explain_says_so() {
    let (store, clock) = (MemoryJobStore::new(), ManualClock::at(NOW));
    let in_seconds = |seconds| clock.now() + TimeDelta::seconds(seconds);
    let job = takes("work", 60)
        .with_trigger(every(3600, "moves").queue("licences"))
        .with_trigger(every(3600, "goes").queue("licences"))
        .with_trigger(every(3600, "waits").queue("licences").start_at(in_seconds(5)));
    let builder = Scheduler::builder().store(store).clock(clock.clone()).register(job);
    let scheduler = builder.limit_queue_on_all_nodes("licences", 2).build().unwrap();
    scheduler.start().await.unwrap();
    clock.advance(Duration::from_secs(1)).await;
    let running = scheduler.executions(Executions::OfQueue("licences".into())).await.unwrap();
    assert_eq!(running.len(), 2);
    let moved = every(3600, "moves").queue("other").start_at(in_seconds(3600));
    scheduler.reschedule(&"moves".parse().unwrap(), moved).await.unwrap();
    scheduler.unschedule(&"goes".parse().unwrap()).await.unwrap();
    clock.advance(Duration::from_secs(9)).await;
    let why = scheduler.explain(&"waits".parse().unwrap()).await.unwrap().to_string();
    assert!(why.contains("2 runs of queue `licences` are under way on all nodes"), "{why}");
    clock.advance(Duration::from_secs(51)).await;
    let running = scheduler.executions(Executions::All).await.unwrap();
    assert_eq!(names_of(&running), ["waits"]);
}

fn names_of(runs: &[ExecutionStatus]) -> Vec<&str> {
    runs.iter().map(|run| run.trigger.name()).collect()
}
