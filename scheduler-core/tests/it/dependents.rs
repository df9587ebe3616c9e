//! Runs that wait for other runs, as a program uses them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::client::Enqueue;
use scheduler_core::job::{Invocation, JobDefinition, JobError, JobResult};
use scheduler_core::run::{Condition, FiringCause, OnConflict, RetryPolicy, RunEnd, RunId, RunState, Unique};
use scheduler_core::store::{FiringQuery, FiringReason, MemoryJobStore, RunChange, RunEdit, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::{Client, Scheduler};

use crate::retrying::{NOW, detail};

const MINUTE: Duration = Duration::from_secs(60);

/// What ran, in order.
type Ran = Arc<Mutex<Vec<u32>>>;

/// Runs numbers, and fails for those from 100 on.
async fn scheduler() -> (TestScheduler, Ran) {
    let ran = Ran::default();
    let noted = ran.clone();
    let number = JobDefinition::new(detail("number"), move |number: u32| {
        noted.lock().push(number);
        async move {
            let is_bad = number >= 100;
            let result: JobResult = if is_bad { Err(JobError::new("a bad number")) } else { Ok(()) };
            result
        }
    });
    let builder = Scheduler::builder()
        .store(MemoryJobStore::keeping_history(100))
        .retry_enqueued(RetryPolicy::never())
        .register(number);
    (TestScheduler::start(NOW, builder).await.unwrap(), ran)
}

fn number(number: u32) -> Invocation {
    Invocation::with_args(detail("number"), &number)
}

async fn end(client: &Client, run: RunId) -> Option<RunEnd> {
    client.all_runs(RunQuery::one(run)).await.unwrap().pop().and_then(|run| run.end)
}

#[tokio::test]
async fn a_chain_runs_in_its_order_and_is_stored_in_one_step() {
    let (test, ran) = scheduler().await;
    let scheduler = test.scheduler();
    let chain = scheduler.enqueue(number(1)).then(scheduler.enqueue(number(2)).delay(MINUTE));
    chain.then(scheduler.enqueue(number(3))).await.unwrap();
    test.run_due().await;
    assert_eq!(*ran.lock(), [1], "the delay counts from the end of the first");
    test.advance(MINUTE).await;
    assert_eq!(*ran.lock(), [1, 2, 3]);
    let causes = scheduler.firings(FiringQuery::default()).await.unwrap().items;
    let causes: Vec<_> = causes.iter().rev().map(|record| record.cause).collect();
    assert_eq!(causes, [FiringCause::Enqueued, FiringCause::Continuation, FiringCause::Continuation]);
}

#[tokio::test]
async fn people_see_for_whom_a_run_waits_and_why_it_was_cancelled() {
    let (test, ran) = scheduler().await;
    let scheduler = test.scheduler();
    let parent = scheduler.enqueue(number(100)).delay(MINUTE).await.unwrap();
    let child = scheduler.enqueue(number(2)).after(parent).await.unwrap();
    let last = scheduler.enqueue(number(3)).after_on(Condition::Any, child).await.unwrap();
    let held = scheduler.explain_run(child).await.unwrap().unwrap().to_string();
    assert!(held.contains(&format!("it waits for the success of run {parent}, which is waiting")), "{held}");
    test.advance(MINUTE).await;
    assert_eq!(*ran.lock(), [100, 3]);
    assert_eq!(end(scheduler, child).await, Some(RunEnd::Cancelled));
    let over = scheduler.explain_run(child).await.unwrap().unwrap().to_string();
    assert!(over.contains(&format!("since it waits for the success of run {parent}")), "{over}");
    let records = scheduler.firings(FiringQuery::default()).await.unwrap().items;
    let dependent: Vec<_> =
        records.iter().filter(|record| record.reason == Some(FiringReason::Dependency)).collect();
    assert_eq!(dependent.iter().map(|record| record.run).collect::<Vec<_>>(), [Some(child)]);
    assert!(scheduler.explain_run(last).await.unwrap().is_none());
}

#[tokio::test]
async fn a_replay_of_the_parent_brings_the_child_back() {
    let (test, ran) = scheduler().await;
    let scheduler = test.scheduler();
    let parent = scheduler.enqueue(number(100)).await.unwrap();
    let child = scheduler.enqueue(number(2)).after(parent).await.unwrap();
    test.run_due().await;
    assert_eq!(end(scheduler, parent).await, Some(RunEnd::Dead));
    let edit = RunEdit::new().data(number(1).data().unwrap().clone());
    scheduler.change_run(parent, RunChange::edit(edit)).await.unwrap();
    scheduler.replay(parent).await.unwrap();
    let status = scheduler.all_runs(RunQuery::one(child)).await.unwrap().pop().unwrap();
    assert_eq!(status.state, RunState::Held);
    test.run_due().await;
    assert_eq!(*ran.lock(), [100, 1, 2]);
}

#[tokio::test]
async fn a_parent_that_is_gone_is_an_error_that_says_what_to_do() {
    let (test, ran) = scheduler().await;
    let scheduler = test.scheduler();
    let parent = scheduler.enqueue(number(1)).await.unwrap();
    test.run_due().await;
    let error = scheduler.enqueue(number(2)).after(parent).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("job `number` cannot wait for run") && text.contains("in one call with `then`"),
        "{text}"
    );
    assert_eq!(*ran.lock(), [1]);
}

#[tokio::test]
async fn a_run_that_waits_does_not_replace_another() {
    let (test, _) = scheduler().await;
    let scheduler = test.scheduler();
    let parent = scheduler.enqueue(number(1)).delay(MINUTE).await.unwrap();
    let replacing = Unique::key("a").on_conflict(OnConflict::Replace);
    let error = scheduler.enqueue(number(2)).unique(replacing).after(parent).await.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("use `skip` or `refuse`"), "{error}");
}

#[tokio::test]
async fn a_run_that_waits_for_too_many_is_refused_and_the_error_names_batches() {
    let (test, _) = scheduler().await;
    let many = (0..101).map(|number| RunId::new(1, number));
    let call = many.fold(test.scheduler().enqueue(number(1)), Enqueue::after);
    let error = call.await.unwrap_err().to_string();
    assert!(error.contains("101 runs") && error.contains("batch"), "{error}");
}
