//! Runs whose attempts are cut off, how often that was so, and runs as lines of JSON.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::job::{JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::run::{Delivery, RunEnd, RunId};
use scheduler_core::store::{MemoryJobStore, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::time::ManualClock;

use crate::logged;
use crate::retrying::{MINUTE, NOW, detail, retried};

/// How often each attempt had been interrupted before, and its number.
type Seen = Arc<Mutex<Vec<(u32, u32)>>>;

/// A job that takes an hour and does not listen.
fn endless(detail: JobDetail) -> (JobDefinition, Seen) {
    let seen = Seen::default();
    let job = JobDefinition::new(detail, {
        let seen = seen.clone();
        move |context: JobContext| {
            seen.lock().push((context.interruptions(), context.attempt()));
            async move { context.clock().sleep(60 * MINUTE).await }
        }
    });
    (job, seen)
}

/// Runs a scheduler for a minute.
async fn interrupt(store: &MemoryJobStore, job: &JobDefinition, clock: &ManualClock) {
    let builder = Scheduler::builder().store(store.clone()).register(job.clone()).clock(clock.clone());
    let scheduler = builder.drain_at_shutdown(false).build().unwrap();
    scheduler.start().await.unwrap();
    clock.advance(MINUTE).await;
    let ending = tokio::spawn(async move { scheduler.shutdown(Duration::ZERO).await });
    while !ending.is_finished() {
        clock.advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    ending.await.unwrap();
}

async fn enqueued(detail: JobDetail) -> (MemoryJobStore, JobDefinition, Seen, ManualClock, RunId) {
    let (store, (job, seen), clock) = (MemoryJobStore::new(), endless(detail.clone()), ManualClock::at(NOW));
    let client = scheduler_core::Client::with_clock(store.clone(), clock.clone());
    let run = client.enqueue(detail).await.unwrap();
    (store, job, seen, clock, run)
}

async fn status(store: &MemoryJobStore, run: RunId) -> scheduler_core::store::RunStatus {
    let client = scheduler_core::Client::new(store.clone());
    client.all_runs(RunQuery::one(run)).await.unwrap().remove(0)
}

#[tokio::test]
async fn interruptions_are_counted_and_warned_of() {
    logged::listen();
    let (store, job, seen, clock, run) = enqueued(detail("longer-than-its-node")).await;
    for _ in 0..5 {
        interrupt(&store, &job, &clock).await;
    }
    assert_eq!(*seen.lock(), [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
    let status = status(&store, run).await;
    assert_eq!((status.interruptions, status.attempts, status.end), (5, 0, None));
    let warnings = logged::lines_with(&["WARN", "longer-than-its-node", "interrupted for the"]);
    assert_eq!(warnings.len(), 1, "from the fifth on");
}

#[tokio::test]
async fn a_run_that_may_begin_once_does_not_begin_again() {
    let once = detail("work").to_builder().delivery(Delivery::AtMostOnce).build();
    let (store, job, seen, clock, run) = enqueued(once).await;
    interrupt(&store, &job, &clock).await;
    interrupt(&store, &job, &clock).await;
    let end = status(&store, run).await.end;
    assert_eq!((seen.lock().len(), end), (1, Some(RunEnd::Cancelled)));
}

#[tokio::test]
async fn the_call_says_how_often_a_run_may_begin() {
    let (store, (job, seen), clock) = (MemoryJobStore::new(), endless(detail("work")), ManualClock::at(NOW));
    let client = scheduler_core::Client::with_clock(store.clone(), clock.clone());
    client.enqueue(detail("work")).delivery(Delivery::AtMostOnce).await.unwrap();
    interrupt(&store, &job, &clock).await;
    interrupt(&store, &job, &clock).await;
    assert_eq!(seen.lock().len(), 1);
}

#[tokio::test]
async fn runs_are_exported_page_by_page() {
    let job =
        JobDefinition::new(retried("work", 0), |to: String| async move { Err::<(), _>(JobError::new(to)) });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    for to in ["ada", "bob", "eve"] {
        let job = scheduler_core::job::Invocation::with_args(retried("work", 0), &to);
        test.scheduler().enqueue(job).await.unwrap();
        test.advance(MINUTE).await;
    }
    let mut query = RunQuery::dead();
    query.limit = Some(2);
    let (mut export, mut errors) = (test.scheduler().export_runs(query), Vec::new());
    while let Some(line) = export.next().await.unwrap() {
        assert!(!line.contains('\n'));
        let run: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&run["job"][1], &run["end"]), (&"work".into(), &"dead".into()), "{line}");
        errors.push(run["last_error"].as_str().unwrap().to_owned());
    }
    assert_eq!(errors, ["eve", "bob", "ada"]);
    assert_eq!(export.next().await.unwrap(), None);
}
