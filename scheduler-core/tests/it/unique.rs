//! Runs of which there is one for each key.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::client::EnqueueOutcome;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::run::{OnConflict, RunState, Unique};
use scheduler_core::testing::TestScheduler;
use scheduler_core::{JobData, Scheduler};
use serde_json::json;

use crate::retrying::{NOW, detail, runs};

const SECOND: Duration = Duration::from_secs(1);

/// What has run, in order.
type Seen = Arc<Mutex<Vec<serde_json::Value>>>;

/// A job that takes a minute, and notes its data.
fn slow(detail: JobDetail) -> (JobDefinition, Seen) {
    let seen = Seen::default();
    let job = JobDefinition::new(detail, {
        let seen = seen.clone();
        move |context: JobContext| {
            seen.lock().push(context.data().get("n").unwrap().unwrap_or_default());
            async move { context.clock().sleep(60 * SECOND).await }
        }
    });
    (job, seen)
}

async fn start() -> (TestScheduler, Seen) {
    let (job, seen) = slow(detail("work"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    (test, seen)
}

fn call(number: u64) -> Invocation {
    let with_data = detail("work").to_builder().data(JobData::new().with("n", number)).build();
    Invocation::new(with_data)
}

async fn enqueue(test: &TestScheduler, number: u64, unique: Unique) -> EnqueueOutcome {
    test.scheduler().enqueue(call(number)).unique(unique).outcome().await.unwrap()
}

#[tokio::test]
async fn a_second_run_of_a_key_is_that_of_the_first() {
    let (test, seen) = start().await;
    let first = enqueue(&test, 1, Unique::key("a")).await;
    assert_eq!(enqueue(&test, 2, Unique::key("a")).await, EnqueueOutcome::Existing(first.run()));
    let id = test.scheduler().enqueue(call(3)).unique(Unique::key("a")).await.unwrap();
    assert_eq!(id, first.run(), "also for whoever only wants the id");
    test.drain().await;
    assert_eq!(*seen.lock(), [json!(1)]);
    assert!(matches!(enqueue(&test, 4, Unique::key("a")).await, EnqueueOutcome::Created(_)));
}

/// At most one runs and one waits, and the latest data wins.
#[tokio::test]
async fn calls_while_a_run_goes_on_become_one_more() {
    let (test, seen) = start().await;
    let unique = || Unique::key("a").on_conflict(OnConflict::Replace);
    enqueue(&test, 1, unique()).await;
    test.run_due().await;
    let next = enqueue(&test, 2, unique()).await;
    assert!(matches!(next, EnqueueOutcome::Created(_)));
    for number in 3..6 {
        assert_eq!(enqueue(&test, number, unique()).await, EnqueueOutcome::Replaced(next.run()));
    }
    let held = runs(test.scheduler()).await.into_iter().find(|run| run.id == next.run()).unwrap();
    assert_eq!(held.state, RunState::Held);
    test.drain().await;
    assert_eq!(*seen.lock(), [json!(1), json!(5)]);
}

#[tokio::test]
async fn a_burst_of_calls_becomes_one_run_when_it_is_quiet() {
    let (test, seen) = start().await;
    let unique = || Unique::debounce("a", 5 * SECOND).at_most(12 * SECOND);
    for number in 1..=3 {
        enqueue(&test, number, unique()).await;
        test.advance(3 * SECOND).await;
        assert!(seen.lock().is_empty());
    }
    test.advance(2 * SECOND).await;
    assert_eq!(*seen.lock(), [json!(3)], "after five quiet seconds");
    seen.lock().clear();
    for number in 10..30 {
        enqueue(&test, number, unique()).await;
        test.advance(SECOND).await;
    }
    assert_eq!(seen.lock().first(), Some(&json!(21)), "nobody can put it off for longer than twelve seconds");
}

#[tokio::test]
async fn of_several_calls_in_a_time_one_makes_a_run() {
    let (test, seen) = start().await;
    let unique = || Unique::key("a").for_at_least(600 * SECOND);
    let first = enqueue(&test, 1, unique()).await;
    test.advance(300 * SECOND).await;
    assert_eq!(*seen.lock(), [json!(1)]);
    assert_eq!(enqueue(&test, 2, unique()).await, EnqueueOutcome::Existing(first.run()), "it is over by now");
    test.advance(300 * SECOND).await;
    assert!(matches!(enqueue(&test, 3, unique()).await, EnqueueOutcome::Created(_)));
    test.drain().await;
    assert_eq!(*seen.lock(), [json!(1), json!(3)]);
}

/// Also that which is started by hand.
#[tokio::test]
async fn the_job_makes_the_keys_of_its_runs() {
    let (job, seen) = slow(detail("work"));
    let job = job.unique_by(|data| Unique::key(data.get::<u64>("n").ok().flatten().unwrap_or_default()));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let scheduler = test.scheduler();
    let first = scheduler.enqueue(call(1)).await.unwrap();
    assert_eq!(scheduler.enqueue(call(1)).await.unwrap(), first);
    assert_eq!(scheduler.enqueue_all([call(1), call(2), call(2)]).await.unwrap()[0], first);
    let ids = scheduler.enqueue_all([call(1), call(2)]).await.unwrap();
    assert_eq!(runs(scheduler).await.len(), 2);
    test.drain().await;
    assert_eq!(*seen.lock(), [json!(1), json!(2)]);
    assert_eq!(ids[0], first);
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_told() {
    let (test, _) = start().await;
    for (unique, words) in [
        (Unique::key(""), "empty key"),
        (Unique::key("a").for_at_least(Duration::ZERO), "`a`"),
        (Unique::debounce("a", SECOND).at_most(SECOND), "1s"),
    ] {
        let error = test.scheduler().enqueue(call(1)).unique(unique).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("work"), "{error}");
    }
    let refuse = || Unique::key("a").on_conflict(OnConflict::Refuse);
    let first = enqueue(&test, 1, refuse()).await.run();
    let error = test.scheduler().enqueue(call(1)).unique(refuse()).await.unwrap_err().to_string();
    assert!(error.contains(&first.to_string()) && error.contains("work"), "{error}");
    let error = test.scheduler().enqueue_all([call(1)]).await.map(|ids| ids.len());
    assert_eq!(error.unwrap(), 1, "without a key nobody minds");
}

/// Code of the user that panics fails its own call.
#[tokio::test]
async fn a_key_or_a_merge_that_panics_is_an_error_of_the_call() {
    let (job, _) = slow(detail("work"));
    let job = job.unique_by(|data| match data.get::<u64>("n") {
        Ok(Some(13)) => panic!("no thirteen"),
        _ => Unique::key("a").on_conflict(OnConflict::Merge(Arc::new(|_, _| panic!("no merge")))),
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let scheduler = test.scheduler();
    let error = scheduler.enqueue(call(13)).await.unwrap_err().to_string();
    assert!(error.contains("no thirteen") && error.contains("`work`"), "{error}");
    let first = scheduler.enqueue(call(1)).delay(60 * SECOND).await.unwrap();
    let error = scheduler.enqueue(call(2)).await.unwrap_err().to_string();
    assert!(error.contains("no merge") && error.contains("`work`"), "{error}");
    assert_eq!(runs(scheduler).await.iter().map(|run| run.id).collect::<Vec<_>>(), [first]);
}
