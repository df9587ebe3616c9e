//! What a retry policy leaves out: retries that would begin too late, kinds of failure, lost nodes, errors that cannot pass.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::job::{ExecutionId, JobContext, JobDefinition, JobDetail, JobError, JobResult};
use scheduler_core::run::{Backoff, FailureKind, RetryPolicy, RunEnd};
use scheduler_core::store::{MemoryJobStore, rules};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::Trigger;

use super::retrying::{MINUTE, NOW, detail, runs};

/// Nine retries, ten minutes after each other.
fn policy() -> RetryPolicy {
    RetryPolicy::new(9, Backoff::fixed(10 * MINUTE).unwrap()).jitter(0.0).unwrap()
}

fn with(name: &str, policy: RetryPolicy) -> JobDetail {
    detail(name).to_builder().retry(policy).build()
}

/// A scheduler with a job that does this in each attempt, and the minutes after the start at which its attempts began.
async fn started(
    policy: RetryPolicy,
    act: fn(u32) -> JobResult,
    trigger: Option<scheduler_core::trigger::TriggerBuilder>,
) -> (TestScheduler, Arc<Mutex<Vec<i64>>>) {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let noted = begun.clone();
    let start = NOW.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let mut job = JobDefinition::new(with("work", policy.clone()), move |context: JobContext| {
        let mut begun = noted.lock();
        begun.push((context.clock().now() - start).num_minutes());
        let number = u32::try_from(begun.len()).unwrap();
        async move { act(number) }
    });
    let is_enqueued = trigger.is_none();
    if let Some(trigger) = trigger {
        job = job.with_trigger(trigger);
    }
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    if is_enqueued {
        test.scheduler().enqueue(with("work", policy)).await.unwrap();
    }
    test.drain().await;
    (test, begun)
}

fn fails(_: u32) -> JobResult {
    Err(JobError::new("no"))
}

async fn ends(test: &TestScheduler) -> Vec<Option<RunEnd>> {
    runs(test.scheduler()).await.iter().map(|run| run.end).collect()
}

#[tokio::test]
async fn no_retry_begins_later_than_the_policy_says() {
    let within = policy().within(25 * MINUTE);
    let (test, begun) = started(within.clone(), fails, None).await;
    assert_eq!(*begun.lock(), [0, 10, 20], "the next retry would begin 30 minutes after the first attempt");
    assert_eq!(ends(&test).await, [Some(RunEnd::Dead)]);
    let dead = runs(test.scheduler()).await[0].id;
    test.advance(60 * MINUTE).await;
    assert!(test.scheduler().replay(dead).await.unwrap());
    test.drain().await;
    assert_eq!(begun.lock()[3..], [80, 90, 100], "a replay begins anew");
    let (test, begun) = started(within, fails, Some(Trigger::now().name("once"))).await;
    assert_eq!(*begun.lock(), [0, 10, 20], "an occurrence of a trigger has the same limit");
    assert_eq!(ends(&test).await, [Some(RunEnd::Dead)]);
}

#[tokio::test]
async fn the_limit_counts_from_the_first_attempt_that_counts() {
    let act = |number| if number <= 2 { Err(JobError::snooze(60 * MINUTE)) } else { fails(number) };
    let within = || policy().within(15 * MINUTE);
    for trigger in [None, Some(Trigger::now().name("once"))] {
        let (test, begun) = started(within(), act, trigger).await;
        assert_eq!(*begun.lock(), [0, 60, 120, 130]);
        assert_eq!(ends(&test).await, [Some(RunEnd::Dead)]);
    }
}

#[tokio::test]
async fn an_error_that_says_when_to_try_again_is_bound_by_the_limit() {
    let act = |number| match number {
        1 => Err(JobError::retry_in(3 * MINUTE, "busy")),
        _ => Err(JobError::retry_in(30 * MINUTE, "very busy")),
    };
    // The backoff alone would be beyond the limit at once.
    let (test, begun) = started(policy().within(5 * MINUTE), act, None).await;
    assert_eq!(*begun.lock(), [0, 3]);
    assert_eq!(ends(&test).await, [Some(RunEnd::Dead)]);
}

#[tokio::test]
async fn only_the_kinds_of_failure_that_the_policy_names_are_retried() {
    fn panics(number: u32) -> JobResult {
        assert!(number > 1, "the first attempt");
        fails(number)
    }
    let (test, begun) = started(policy().on([FailureKind::Panicked]), panics, None).await;
    assert_eq!(*begun.lock(), [0, 10], "the panic is retried, and the error of the second attempt is not");
    assert_eq!(ends(&test).await, [Some(RunEnd::Dead)]);
    let (test, begun) =
        started(policy().on([FailureKind::TimedOut, FailureKind::Failed]), panics, None).await;
    assert_eq!(*begun.lock(), [0]);
    assert_eq!(ends(&test).await, [Some(RunEnd::Dead)]);
    let slow = |context: JobContext| async move { context.clock().sleep(10 * MINUTE).await };
    for (kinds, attempts) in [([FailureKind::TimedOut], 2), ([FailureKind::Failed], 1)] {
        let policy = RetryPolicy::new(1, Backoff::fixed(MINUTE).unwrap()).on(kinds);
        let late = with("late", policy).to_builder().timeout(MINUTE).build();
        let builder = Scheduler::builder().register(JobDefinition::new(late.clone(), slow));
        let test = TestScheduler::start(NOW, builder).await.unwrap();
        test.scheduler().enqueue(late).await.unwrap();
        test.drain().await;
        assert_eq!((test.fired().len(), ends(&test).await), (attempts, vec![Some(RunEnd::Dead)]));
    }
}

/// What has become of runs, after the first attempt was lost with its node.
async fn lost(
    detail: JobDetail,
    trigger: Option<scheduler_core::trigger::TriggerBuilder>,
) -> Vec<Option<RunEnd>> {
    let claim = Arc::new(Mutex::new(None::<ExecutionId>));
    let noted = claim.clone();
    let mut job = JobDefinition::new(detail.clone(), move |context: JobContext| {
        *noted.lock() = Some(context.execution_id());
        async move { context.clock().sleep(Duration::from_secs(1)).await }
    });
    let is_enqueued = trigger.is_none();
    if let Some(trigger) = trigger {
        job = job.with_trigger(trigger);
    }
    let store = MemoryJobStore::new();
    let builder = Scheduler::builder().register(job).store(store.clone());
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    if is_enqueued {
        test.scheduler().enqueue(detail).await.unwrap();
    }
    test.run_due().await;
    test.scheduler().standby().unwrap();
    let claim = claim.lock().take().unwrap();
    store.transact(|rows| rules::lose(rows, claim, "another", test.now()));
    ends(&test).await
}

#[tokio::test]
async fn a_policy_without_lost_runs_is_the_end_of_a_run_whose_node_dies() {
    let only_errors = || with("work", policy().on([FailureKind::Failed]));
    let recovered = only_errors().to_builder().requests_recovery(true).build();
    let again = vec![None];
    let once = || Some(Trigger::now().name("once"));
    assert_eq!(lost(with("work", policy()), None).await, again);
    assert_eq!(lost(detail("work"), None).await, again);
    assert_eq!(lost(only_errors(), None).await, [Some(RunEnd::Dead)]);
    assert_eq!(lost(recovered.clone(), None).await, again, "the job asks for more than its policy");
    assert_eq!(lost(with("work", policy()), once()).await, again);
    assert_eq!(lost(only_errors(), once()).await, [], "an occurrence is over");
    assert_eq!(lost(recovered, once()).await, again);
}
