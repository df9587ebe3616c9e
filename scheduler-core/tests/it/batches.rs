//! Batches, as a program uses them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobDefinition, JobError, JobResult};
use scheduler_core::run::{OnConflict, RetryPolicy, RunEnd, RunId, Unique};
use scheduler_core::scheduler::ThisBatch;
use scheduler_core::store::RunQuery;
use scheduler_core::testing::TestScheduler;

use crate::retrying::{NOW, detail};

const MINUTE: Duration = Duration::from_secs(60);

type Ran = Arc<Mutex<Vec<u32>>>;

/// `number` runs numbers and fails for those from 100 on, as long as they are bad; `spread` adds the numbers below one to its batch.
async fn scheduler() -> (TestScheduler, Ran, Arc<Mutex<bool>>) {
    let (ran, is_bad) = (Ran::default(), Arc::new(Mutex::new(true)));
    let (noted, bad) = (ran.clone(), is_bad.clone());
    let number = JobDefinition::new(detail("number"), move |number: u32| {
        noted.lock().push(number);
        let fails = number >= 100 && *bad.lock();
        async move {
            let result: JobResult = if fails { Err(JobError::new("a bad number")) } else { Ok(()) };
            result
        }
    });
    let spread = JobDefinition::new(detail("spread"), |below: u32, ThisBatch(batch): ThisBatch| async move {
        batch.add_all((1..below).map(self::number)).await?;
        JobResult::Ok(())
    });
    let builder = Scheduler::builder().retry_enqueued(RetryPolicy::never()).register(number).register(spread);
    (TestScheduler::start(NOW, builder).await.unwrap(), ran, is_bad)
}

fn number(number: u32) -> Invocation {
    Invocation::with_args(detail("number"), &number)
}

#[tokio::test]
async fn a_batch_is_filled_sealed_counted_and_told_of() {
    let (test, ran, _) = scheduler().await;
    let scheduler = test.scheduler();
    let batch =
        scheduler.batch("numbers").on_success(number(50)).on_complete(number(60)).on_death(number(70));
    let batch = batch.open().await.unwrap();
    let late = batch.add(number(1)).delay(MINUTE).await.unwrap();
    batch.add(Invocation::with_args(detail("spread"), &4_u32)).await.unwrap();
    batch.seal().await.unwrap();
    test.run_due().await;
    assert_eq!(*ran.lock(), [1, 2, 3], "a run of a sealed batch adds others");
    let error = batch.add(number(9)).await.unwrap_err();
    assert!(error.is_conflict() && error.to_string().contains("is sealed"), "{error}");
    let status = batch.status().await.unwrap().unwrap();
    let counts = status.batch.unwrap().counts;
    assert_eq!((counts.total, counts.pending, counts.succeeded), (5, 1, 4));
    let explained = scheduler.explain_run(batch.id()).await.unwrap().unwrap().to_string();
    assert!(explained.contains("is a batch that has not ended"), "{explained}");
    let stored = scheduler.all_runs(RunQuery::default().of_batch(batch.id())).await.unwrap();
    assert_eq!(stored.iter().map(|run| run.id).collect::<Vec<_>>(), [late]);
    test.advance(MINUTE).await;
    let mut told = ran.lock().split_off(4);
    told.sort_unstable();
    assert_eq!(told, [50, 60]);
    assert_eq!(batch.status().await.unwrap().unwrap().end, Some(RunEnd::Succeeded));
}

#[tokio::test]
async fn dead_runs_are_told_of_and_replayed() {
    let (test, ran, is_bad) = scheduler().await;
    let scheduler = test.scheduler();
    let batch =
        scheduler.batch("numbers").on_success(number(50)).on_complete(number(60)).on_death(number(70));
    let batch = batch.run([number(1), number(100), number(101)]).await.unwrap();
    test.run_due().await;
    let mut told = ran.lock().split_off(3);
    told.sort_unstable();
    assert_eq!(told, [60, 70]);
    assert_eq!(batch.status().await.unwrap().unwrap().end, Some(RunEnd::Incomplete));
    *is_bad.lock() = false;
    for run in scheduler.all_runs(RunQuery::dead()).await.unwrap() {
        assert!(scheduler.replay(run.id).await.unwrap());
    }
    test.run_due().await;
    assert_eq!(ran.lock().split_off(3).last(), Some(&50));
    let status = batch.status().await.unwrap().unwrap();
    assert_eq!((status.end, status.batch.unwrap().counts.succeeded), (Some(RunEnd::Succeeded), 3));
}

#[tokio::test]
async fn a_repeated_call_opens_the_same_batch() {
    let (test, ran, _) = scheduler().await;
    let scheduler = test.scheduler();
    let id = RunId::from_key("numbers of march");
    for _ in 0..2 {
        let batch = scheduler.batch("numbers").id(id).on_complete(number(60)).open().await.unwrap();
        batch.add(number(1)).id(RunId::from_key("number 1")).delay(MINUTE).await.unwrap();
    }
    let batch = scheduler.batch_of(id);
    assert_eq!(batch.status().await.unwrap().unwrap().batch.unwrap().counts.total, 1);
    batch.cancel().await.unwrap();
    test.run_due().await;
    test.run_due().await;
    assert_eq!(*ran.lock(), [60]);
    assert_eq!(batch.status().await.unwrap().unwrap().end, Some(RunEnd::Cancelled));
    assert!(scheduler.batch_of(RunId::from_key("no batch")).seal().await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_run_without_a_batch_that_asks_for_it_fails_and_says_why() {
    let (test, ..) = scheduler().await;
    let scheduler = test.scheduler();
    let run = scheduler.enqueue(Invocation::with_args(detail("spread"), &4_u32)).await.unwrap();
    test.run_due().await;
    let dead = scheduler.all_runs(RunQuery::one(run)).await.unwrap().pop().unwrap();
    let error = dead.last_error.unwrap();
    assert!(error.contains("the run is in no batch"), "{error}");
}

/// Its run would begin before the batch has ended, or wait for ever.
#[tokio::test]
async fn a_callback_does_not_take_the_place_of_another_run() {
    let (test, ..) = scheduler().await;
    let latest = |_: &u32| Unique::key("latest").on_conflict(OnConflict::Replace);
    let error =
        test.scheduler().batch("numbers").on_success(number(1).unique(latest)).open().await.unwrap_err();
    assert!(
        error.is_config() && error.to_string().contains("a run of job `number` waits for another run"),
        "{error}"
    );
    assert!(test.scheduler().all_runs(RunQuery::default()).await.unwrap().is_empty());
}
