//! Checkpoints: what an attempt has noted, and where the next one goes on.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{JobContext, JobDefinition, JobDetail, JobError, JobResult, Resume};
use scheduler_core::run::{Backoff, MAX_CHECKPOINT, RetryPolicy, RunState};
use scheduler_core::store::{MemoryJobStore, RunQuery};
use scheduler_core::testing::{Fault, FaultyStore, TestScheduler, Verb};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Scheduler, SchedulerState};

use crate::retrying::{MINUTE, NOW, detail, retried};

const SECOND: Duration = Duration::from_secs(1);

/// The items of each attempt, with the cursor from which it began.
type Seen = Arc<Mutex<Vec<(Option<u32>, Vec<u32>)>>>;

/// A job that goes through ten items, one a second, and fails before the items of this list, each in its own attempt.
fn import(detail: JobDetail, fails_at: &'static [u32]) -> (JobDefinition, Seen) {
    let seen = Seen::default();
    let job = JobDefinition::new(detail, {
        let seen = seen.clone();
        move |Resume(from): Resume<u32>, context: JobContext| {
            let seen = seen.clone();
            async move {
                seen.lock().push((from, Vec::new()));
                let fails_at = fails_at.get(context.attempt() as usize - 1).copied();
                let behind =
                    |from: Option<u32>| (from.map_or(0, |last| last + 1)..10).map(|item| (item, item));
                let (clock, seen) = (context.clock(), &seen);
                let each = |item: u32| async move {
                    if fails_at == Some(item) {
                        return Err(JobError::new("no"));
                    }
                    clock.sleep(SECOND).await;
                    seen.lock().last_mut().unwrap().1.push(item);
                    Ok(())
                };
                context.for_each_from(from, behind, each).await
            }
        }
    });
    (job, seen)
}

fn items(range: std::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}

#[tokio::test]
async fn an_attempt_goes_on_where_the_one_before_has_failed() {
    let (job, seen) = import(retried("work", 3), &[4, 4, 7]);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.scheduler().enqueue(retried("work", 3)).await.unwrap();
    test.drain().await;
    let expected =
        [(None, items(0..4)), (Some(3), Vec::new()), (Some(3), items(4..7)), (Some(6), items(7..10))];
    assert_eq!(*seen.lock(), expected);
    assert!(test.scheduler().all_runs(RunQuery::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_occurrence_brings_its_checkpoint_along() {
    let (job, seen) = import(retried("work", 1), &[4]);
    let job = job.with_trigger(Trigger::now().name("once"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.drain().await;
    assert_eq!(*seen.lock(), [(None, items(0..4)), (Some(3), items(4..10))]);
}

/// The store is asked once in five seconds, and knows where the attempt was then.
#[tokio::test]
async fn a_node_that_dies_loses_five_seconds_of_checkpoints() {
    let store = MemoryJobStore::new();
    let (job, seen) = import(detail("work"), &[]);
    let builder = Scheduler::builder().store(store.clone()).register(job);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let run = test.scheduler().enqueue(detail("work")).await.unwrap();
    test.run_due().await;
    let stored = async || {
        let found = test.scheduler().all_runs(RunQuery::one(run)).await.unwrap();
        found[0].checkpoint.as_deref().map(str::to_owned)
    };
    test.advance(5 * SECOND).await;
    assert_eq!((stored().await, seen.lock()[0].1.len()), (None, 5), "the first one was noted a second ago");
    test.advance(SECOND).await;
    assert!(matches!(stored().await.as_deref(), Some("4" | "5")));
    test.drain().await;
}

#[tokio::test]
async fn a_shutdown_interrupts_between_two_items() {
    let store = MemoryJobStore::new();
    let (job, seen) = import(detail("work"), &[]);
    let clock = ManualClock::at(NOW);
    let builder = || Scheduler::builder().store(store.clone()).register(job.clone()).clock(clock.clone());
    let first = builder().build().unwrap();
    first.start().await.unwrap();
    let run = first.enqueue(detail("work")).await.unwrap();
    clock.advance(Duration::from_millis(3_500)).await;
    let ending = first.clone();
    let report = tokio::spawn(async move { ending.shutdown(2 * SECOND).await });
    while first.state() != SchedulerState::Shutdown {
        clock.advance(SECOND).await;
        tokio::task::yield_now().await;
    }
    report.await.unwrap();
    let done = seen.lock()[0].1.len() as u32;
    assert!((4..8).contains(&done), "the item under way was finished, and then it has stopped: {done}");
    let second = builder().build().unwrap();
    let stored = second.all_runs(RunQuery::one(run)).await.unwrap();
    assert_eq!((stored[0].state, stored[0].attempts), (RunState::Waiting, 0), "it does not count");
    second.start().await.unwrap();
    while !second.all_runs(RunQuery::one(run)).await.unwrap().is_empty() {
        clock.advance(SECOND).await;
    }
    assert_eq!(seen.lock()[1], (Some(done - 1), items(done..10)));
    second.shutdown(SECOND).await;
}

/// A job that stores a checkpoint at once and then fails.
fn at_once(end: fn(Result<(), JobError>) -> JobResult) -> JobDefinition {
    let policy = RetryPolicy::new(1, Backoff::fixed(MINUTE).unwrap());
    let detail = detail("work").to_builder().retry(policy).build();
    JobDefinition::new(detail, move |context: JobContext| async move {
        let before = context.resume::<String>().map_err(JobError::from)?;
        if before.is_some() {
            return Ok(());
        }
        end(context.checkpoint_now(&"here").await)
    })
}

#[tokio::test]
async fn a_checkpoint_is_stored_when_the_call_returns() {
    let store = FaultyStore::new(MemoryJobStore::new());
    let job = at_once(|noted| noted.and(Err(JobError::new("later"))));
    let test =
        TestScheduler::start(NOW, Scheduler::builder().store(store.clone()).register(job)).await.unwrap();
    store.inject(Verb::Note, Fault::LosesReply, 1);
    let run = test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    test.run_due().await;
    let stored = test.scheduler().all_runs(RunQuery::one(run)).await.unwrap();
    assert_eq!(stored[0].checkpoint.as_deref(), Some("\"here\""), "also if nobody has heard of it");
    assert!(stored[0].last_error.as_deref().unwrap().contains("the reply is lost"));
    test.drain().await;
}

#[tokio::test]
async fn a_checkpoint_that_is_too_long_kills_the_run() {
    let job = JobDefinition::new(retried("work", 3), |context: JobContext| async move {
        context.checkpoint(&"x".repeat(MAX_CHECKPOINT))
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let run = test.scheduler().enqueue(retried("work", 3)).await.unwrap();
    test.drain().await;
    let dead = test.scheduler().all_runs(RunQuery::one(run)).await.unwrap();
    assert!(dead[0].last_error.as_deref().unwrap().contains("has 4098 bytes as JSON, and 4096 are the most"));
}

#[tokio::test]
async fn a_checkpoint_of_another_type_is_an_error_that_shows_it() {
    let job = JobDefinition::new(retried("work", 1), |context: JobContext| async move {
        context.resume::<u32>().map_err(JobError::from)?;
        context.checkpoint(&"row 7")?;
        JobResult::Err(JobError::new("no"))
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let run = test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    test.drain().await;
    let dead = test.scheduler().all_runs(RunQuery::one(run)).await.unwrap();
    let error = dead[0].last_error.as_deref().unwrap();
    assert!(
        error.contains("the checkpoint `\"row 7\"` of an earlier attempt cannot be read as `u32`"),
        "{error}"
    );
}
