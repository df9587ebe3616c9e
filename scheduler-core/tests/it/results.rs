//! Handles of runs: what they return, and each way in which a run can end.

use std::time::Duration;

use scheduler_core::client::{EnqueueOutcome, RunHandle};
use scheduler_core::job::{JobContext, JobDefinition, JobError, JobResult};
use scheduler_core::run::{MAX_OUTPUT, RunError, RunId, Unique};
use scheduler_core::store::decorator::Decorator;
use scheduler_core::store::{EndSignal, JobStore, MemoryJobStore, RunChange, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::{Client, Scheduler};

use crate::retrying::{MINUTE, NOW, detail, retried};

/// A job that returns the number of its attempt, if it does not fail.
fn counting(name: &str, max: u32, end: fn(&JobContext) -> JobResult) -> JobDefinition {
    JobDefinition::new(retried(name, max), move |context: JobContext| async move {
        end(&context)?;
        context.set_output(&(context.attempt(), context.run_id().to_string()))
    })
}

async fn start(job: JobDefinition) -> (TestScheduler, RunHandle<(u32, String)>) {
    let detail = job.detail().clone();
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let handle = test.scheduler().enqueue(detail).handle().await.unwrap();
    let typed = test.scheduler().handle_of(handle.id());
    (test, typed)
}

#[tokio::test]
async fn a_result_is_there_before_and_after_the_end() {
    let (test, handle) = start(counting("work", 1, |_| Ok(()))).await;
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.result().await }
    });
    test.run_due().await;
    let result = (1, handle.id().to_string());
    assert_eq!(waiting.await.unwrap().unwrap(), result);
    assert_eq!(handle.result().await.unwrap(), result, "also for whoever comes later");
    test.advance(61 * MINUTE).await;
    let error = handle.result().await.unwrap_err();
    assert!(matches!(error, RunError::NotKept(run) if run == handle.id()), "{error}");
    assert!(error.to_string().contains("`keep`"), "{error}");
}

#[tokio::test]
async fn a_result_is_that_of_the_attempt_that_succeeds() {
    let fails_once = |context: &JobContext| match context.attempt() {
        1 => Err(JobError::new("not yet")),
        _ => Ok(()),
    };
    let (test, handle) = start(counting("work", 1, fails_once)).await;
    test.drain().await;
    assert_eq!(handle.result().await.unwrap().0, 2);
}

#[tokio::test]
async fn an_end_without_a_result_says_which_it_is() {
    let (test, handle) = start(counting("work", 0, |_| Err(JobError::new("no paper")))).await;
    test.drain().await;
    let error = handle.result().await.unwrap_err();
    assert_eq!(error.to_string(), format!("run {} is dead: no paper", handle.id()));

    let (test, handle) = start(counting("work", 0, |_| Err(JobError::discard("not wanted")))).await;
    test.drain().await;
    assert!(matches!(handle.result().await, Err(RunError::Discarded(_))));

    let (test, handle) = start(counting("work", 0, |_| Ok(()))).await;
    let other = test.scheduler().enqueue(detail("work")).delay(MINUTE).handle().await.unwrap();
    assert!(test.scheduler().cancel_run(other.id()).await.unwrap());
    assert!(matches!(other.result().await, Err(RunError::Cancelled(_))));
    let late = test.scheduler().enqueue(detail("work")).delay(MINUTE).expires(MINUTE).handle().await.unwrap();
    test.scheduler().standby().unwrap();
    test.advance(3 * MINUTE).await;
    assert!(matches!(late.result().await, Err(RunError::Expired(_))));
    drop(handle);
}

#[tokio::test]
async fn a_run_that_is_removed_ends_the_wait() {
    let (test, _) = start(counting("work", 0, |_| Ok(()))).await;
    let later = test.scheduler().enqueue(detail("work")).delay(MINUTE).handle().await.unwrap();
    let waiting = tokio::spawn({
        let later = later.clone();
        async move { later.result().await }
    });
    test.run_due().await;
    let deleted = test.scheduler().change_runs(RunQuery::one(later.id()), RunChange::Delete).await.unwrap();
    assert_eq!(deleted.changed, 1);
    assert!(matches!(waiting.await.unwrap(), Err(RunError::NotKept(_))));
}

#[tokio::test]
async fn what_is_returned_is_kept_as_long_as_the_call_says() {
    let job = counting("work", 0, |_| Ok(()));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let scheduler = test.scheduler();
    let plain = scheduler.enqueue(detail("work")).await.unwrap();
    let none = scheduler.enqueue(detail("work")).keep(Duration::ZERO).handle().await.unwrap();
    let long = scheduler.enqueue(detail("work")).keep(300 * MINUTE).handle().await.unwrap();
    assert!(matches!(long.outcome(), EnqueueOutcome::Created(run) if run == long.id()));
    test.run_due().await;
    assert!(scheduler.all_runs(RunQuery::one(plain)).await.unwrap().is_empty(), "nobody has asked for it");
    assert!(matches!(none.result().await, Err(RunError::NotKept(_))));
    test.advance(299 * MINUTE).await;
    let status = long.status().await.unwrap().unwrap();
    assert!(status.output.is_some_and(|output| output.starts_with("[1,")));
    let wrong = scheduler.handle_of::<u8>(long.id()).result().await.unwrap_err();
    assert!(wrong.to_string().contains("cannot be read as `u8`"), "{wrong}");
}

#[tokio::test]
async fn the_handle_of_a_call_that_stored_nothing_is_that_of_the_run_that_is_there() {
    let (test, first) = start(counting("work", 0, |_| Ok(()))).await;
    let run = first.id();
    let again = test.scheduler().enqueue(detail("work")).id(run).handle().await.unwrap();
    assert_eq!(again.outcome(), EnqueueOutcome::Existing(run));
    let unique = || test.scheduler().enqueue(detail("work")).delay(MINUTE).unique(Unique::key(1));
    let owner = unique().handle().await.unwrap();
    assert_eq!(unique().handle().await.unwrap().id(), owner.id());
    test.drain().await;
    assert_eq!(first.result().await.unwrap().1, run.to_string());
    again.result().await.unwrap_err();
    test.scheduler().handle_of::<(u32, String)>(owner.id()).result().await.unwrap();
}

#[tokio::test]
async fn an_output_that_is_too_long_kills_the_run_and_says_what_to_do() {
    let detail = retried("work", 3);
    let job = JobDefinition::new(detail.clone(), |context: JobContext| async move {
        context.set_output(&"x".repeat(MAX_OUTPUT - 1))
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let handle = test.scheduler().enqueue(detail).handle().await.unwrap();
    test.drain().await;
    let error = handle.result().await.unwrap_err().to_string();
    let expected =
        "has 65537 bytes as JSON, and 65536 are the most; store it elsewhere and return its address";
    assert!(error.contains(expected), "{error}");
    assert_eq!(test.fired().len(), 1, "no retry helps");
}

/// A store of another process, whose messages are lost.
#[derive(Debug)]
struct Mute(MemoryJobStore);

impl Decorator for Mute {
    fn inner(&self) -> &dyn JobStore {
        &self.0
    }

    fn listen(&self, _: RunId) -> EndSignal {
        EndSignal::never()
    }
}

#[tokio::test]
async fn whoever_waits_finds_the_end_without_a_message() {
    let store = MemoryJobStore::new();
    let job = counting("work", 0, |_| Ok(()));
    let builder = Scheduler::builder().store(store.clone()).register(job);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let client = Client::with_clock(Mute(store), test.clock().clone());
    let handle = client.enqueue(detail("work")).delay(MINUTE).handle().await.unwrap();
    let mut waiting = Box::pin(handle.result());
    assert!(futures_now(&mut waiting).await.is_none());
    test.advance(MINUTE).await;
    while futures_now(&mut waiting).await.is_none() {
        test.advance(Duration::from_secs(5)).await;
    }
}

/// The output of a future that is ready.
async fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}
