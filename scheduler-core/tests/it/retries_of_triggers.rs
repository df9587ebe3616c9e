//! Occurrences that are retried, and the schedule that goes on meanwhile.

use std::time::Duration;

use scheduler_core::Scheduler;
use scheduler_core::client::Obstacle;
use scheduler_core::job::{JobContext, JobDefinition, JobError};
use scheduler_core::run::{Backoff, RetryPolicy, RunEnd, RunState};
use scheduler_core::store::Selection;
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::{OverlapPolicy, Trigger};

use crate::retrying::{MINUTE, NOW, Seen, attempts, detail, runs};

const HOUR: Duration = Duration::from_secs(3600);

/// A job that always fails, and is retried once after so long.
async fn failing(overlap: OverlapPolicy, delay: Duration) -> (TestScheduler, Seen) {
    let seen = Seen::default();
    let policy = RetryPolicy::new(1, Backoff::fixed(delay).unwrap());
    let work = detail("work").to_builder().retry(policy).build();
    let job = JobDefinition::new(work.clone(), {
        let seen = seen.clone();
        move |context: JobContext| {
            seen.lock().push((context.run_id(), context.attempt(), None));
            async { Err::<(), _>(JobError::new("no")) }
        }
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let trigger = Trigger::every(24 * HOUR).name("nightly").start_at(test.now()).overlap(overlap);
    test.scheduler().schedule(work, trigger).await.unwrap();
    test.run_due().await;
    (test, seen)
}

/// It fails for three days, and no night is skipped (elsa-workflows/elsa-extensions#180: a retry that took the place of its trigger lost
/// the recurrence).
#[tokio::test]
async fn a_retry_that_waits_does_not_keep_the_next_night_from_running() {
    let (test, seen) = failing(OverlapPolicy::Skip, 40 * HOUR).await;
    for _ in 0..3 {
        test.advance(24 * HOUR).await;
    }
    assert_eq!(attempts(&seen), [1, 1, 1, 1]);
    let ends: Vec<_> = runs(test.scheduler()).await.iter().map(|run| run.end).collect();
    assert_eq!(
        ends.iter().filter(|end| **end == Some(RunEnd::Superseded)).count(),
        ends.len() - 1,
        "{ends:?}"
    );
    assert_eq!(ends.iter().filter(|end| end.is_none()).count(), 1, "the retry of the last night waits");
}

#[tokio::test]
async fn a_retry_is_held_while_its_trigger_is_paused_and_explained() {
    let (test, seen) = failing(OverlapPolicy::AllowAll, 5 * MINUTE).await;
    let nightly = Selection::Trigger("nightly".parse().unwrap());
    test.scheduler().pause(nightly.clone()).await.unwrap();
    test.advance(HOUR).await;
    let held = runs(test.scheduler()).await;
    assert_eq!((held.len(), held[0].state), (1, RunState::Held));
    let why = test.scheduler().explain_run(held[0].id).await.unwrap().unwrap();
    assert!(matches!(&why.reasons[..], [Obstacle::Paused { .. }]), "{why:?}");
    test.scheduler().resume(nightly).await.unwrap();
    test.run_due().await;
    assert_eq!(attempts(&seen), [1, 2]);
}

#[tokio::test]
async fn a_retry_goes_with_its_trigger() {
    let (test, seen) = failing(OverlapPolicy::AllowAll, 5 * MINUTE).await;
    assert!(test.scheduler().unschedule(&"nightly".parse().unwrap()).await.unwrap());
    test.advance(HOUR).await;
    assert_eq!(attempts(&seen), [1]);
    assert!(runs(test.scheduler()).await.is_empty());
}
