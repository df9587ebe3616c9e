//! Boosts and expiries, as a program uses them.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use parking_lot::Mutex;
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::run::{RunEnd, RunId, RunState};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{FiringQuery, FiringReason, MemoryJobStore, RunChange, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::time::ManualClock;
use scheduler_core::{Client, Scheduler};

use crate::retrying::{NOW, detail, told};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// What ran, in order.
type Ran = Arc<Mutex<Vec<u32>>>;

fn urgent() -> JobDetail {
    detail("urgent").to_builder().boost(MINUTE).expires(10 * MINUTE).build()
}

fn definition(detail: JobDetail, ran: &Ran) -> JobDefinition {
    let ran = ran.clone();
    JobDefinition::new(detail, move |number: u32| {
        ran.lock().push(number);
        async {}
    })
}

/// One slot, so that runs begin one after the other.
async fn one_slot() -> (TestScheduler, Ran) {
    let ran = Ran::default();
    let builder = Scheduler::builder()
        .store(MemoryJobStore::keeping_history(100))
        .concurrency(1)
        .register(definition(detail("plain"), &ran))
        .register(definition(urgent(), &ran));
    (TestScheduler::start(NOW, builder).await.unwrap(), ran)
}

fn plain(number: u32) -> Invocation {
    Invocation::with_args(detail("plain"), &number)
}

fn boosted(number: u32) -> Invocation {
    Invocation::with_args(urgent(), &number)
}

#[tokio::test]
async fn a_boosted_run_overtakes_a_backlog_of_its_length() {
    let (test, ran) = one_slot().await;
    let scheduler = test.scheduler();
    scheduler.standby().unwrap();
    scheduler.enqueue(plain(1)).await.unwrap();
    test.advance(20 * SECOND).await;
    scheduler.enqueue(plain(2)).await.unwrap();
    test.advance(20 * SECOND).await;
    scheduler.enqueue(boosted(3)).boost(30 * SECOND).await.unwrap();
    scheduler.enqueue(boosted(4)).boost(Duration::ZERO).await.unwrap();
    scheduler.enqueue(plain(5)).boost(25 * SECOND).await.unwrap();
    scheduler.start().await.unwrap();
    test.run_due().await;
    assert_eq!(*ran.lock(), [1, 3, 5, 2, 4], "the first one is older than the boost");
}

#[tokio::test]
async fn a_boosted_run_with_a_delay_waits_for_it() {
    let (test, ran) = one_slot().await;
    let run = test.scheduler().enqueue(boosted(1)).delay(30 * SECOND).await.unwrap();
    let status = test.scheduler().explain_run(run).await.unwrap().unwrap();
    assert!(status.to_string().contains("it is due at"), "{status}");
    test.advance(29 * SECOND).await;
    assert!(ran.lock().is_empty());
    test.advance(SECOND).await;
    assert_eq!(*ran.lock(), [1]);
}

/// A run that was held until it expired.
async fn expired() -> (TestScheduler, Ran, RunId) {
    let (test, ran) = one_slot().await;
    let scheduler = test.scheduler();
    let run = scheduler.enqueue(boosted(1)).delay(MINUTE).await.unwrap();
    scheduler.change_run(run, RunChange::Hold).await.unwrap();
    test.advance(11 * MINUTE).await;
    (test, ran, run)
}

#[tokio::test]
async fn a_run_that_has_expired_is_told_recorded_explained_and_kept() {
    let (test, ran) = one_slot().await;
    let scheduler = test.scheduler();
    let mut events = scheduler.events();
    let run = scheduler.enqueue(boosted(1)).delay(MINUTE).await.unwrap();
    scheduler.change_run(run, RunChange::Hold).await.unwrap();
    let waits = scheduler.explain_run(run).await.unwrap().unwrap().to_string();
    assert!(waits.contains("it expires at 2026-03-01 00:11:00 UTC unless"), "{waits}");
    test.advance(11 * MINUTE).await;
    let mut expired = Vec::new();
    while let Some(event) = told(&mut events).await {
        if let Event::Expired { run, job } = event {
            expired.push((run, job.name().to_owned()));
        }
    }
    assert_eq!(expired, [(run, "urgent".to_owned())]);
    let records = scheduler.firings(FiringQuery::default()).await.unwrap().items;
    assert_eq!(records[0].reason, Some(FiringReason::Expired));
    let explained = scheduler.explain_run(run).await.unwrap().unwrap().to_string();
    assert!(explained.contains("has expired: no attempt had begun in time"), "{explained}");
    let found = scheduler.all_runs(RunQuery::default().that_are(RunEnd::Expired)).await.unwrap();
    assert_eq!(found.iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
    test.advance(DAY).await;
    assert!(scheduler.all_runs(RunQuery::default()).await.unwrap().is_empty());
    assert!(ran.lock().is_empty());
}

#[tokio::test]
async fn an_expired_run_can_be_replayed() {
    let (test, ran, run) = expired().await;
    assert!(test.scheduler().replay(run).await.unwrap());
    test.run_due().await;
    assert_eq!(*ran.lock(), [1]);
}

/// Without any node that could look.
#[tokio::test]
async fn a_client_sees_what_has_expired_at_once() {
    let clock = ManualClock::at(NOW);
    let client = Client::with_clock(MemoryJobStore::new(), clock.clone());
    let run = client.enqueue(boosted(1)).expires(SECOND).await.unwrap();
    let state = async || client.all_runs(RunQuery::one(run)).await.unwrap()[0].state;
    assert_eq!(state().await, RunState::Waiting);
    clock.advance(SECOND).await;
    assert_eq!(state().await, RunState::Ended);
    let waiting = RunQuery::default().in_state(RunState::Waiting);
    assert!(client.all_runs(waiting).await.unwrap().is_empty());
    assert!(!client.cancel_run(run).await.unwrap(), "there is nothing to cancel");
    assert!(client.replay(run).await.unwrap());
    assert_eq!(state().await, RunState::Waiting);
}

#[tokio::test]
async fn a_duration_of_never_is_never() {
    let clock = ManualClock::at(NOW);
    let client = Client::with_clock(MemoryJobStore::new(), clock.clone());
    let run = client.enqueue(boosted(1)).expires(Duration::MAX).await.unwrap();
    clock.advance(365 * DAY).await;
    let status = client.all_runs(RunQuery::one(run)).await.unwrap().remove(0);
    assert_eq!((status.state, status.expires), (RunState::Waiting, None));
}

#[tokio::test]
async fn lengths_that_make_no_sense_are_refused() {
    let client = Client::new(MemoryJobStore::new());
    let cases = [
        (client.enqueue(plain(1)).boost(DAY + SECOND), "the boost is 1d1s; use at most `1d`"),
        (client.enqueue(plain(1)).boost(Duration::from_nanos(1)), "use at least `1ms`"),
        (client.enqueue(plain(1)).expires(Duration::ZERO), "a run would expire after 0s; use at least `1ms`"),
    ];
    for (call, expected) in cases {
        let error = call.await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains(expected), "{error}");
    }
    let job = detail("plain").to_builder().boost(2 * DAY).build();
    let error = client.enqueue(Invocation::with_args(job, &1)).await.unwrap_err();
    assert!(error.to_string().contains("job `plain`: the boost is 2d"), "{error}");
    assert!(client.all_runs(RunQuery::default()).await.unwrap().is_empty());
}

/// An occurrence has its misfire policy, and its retries are those of a schedule.
#[tokio::test]
async fn occurrences_of_triggers_are_neither_boosted_nor_expire() {
    use scheduler_core::job::JobError;
    use scheduler_core::run::{Backoff, RetryPolicy};
    use scheduler_core::trigger::Trigger;
    let job = urgent().to_builder().retry(RetryPolicy::new(3, Backoff::Fixed(30 * MINUTE))).build();
    let fails = JobDefinition::new(job.clone(), async || Err::<(), _>(JobError::new("no")));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(fails)).await.unwrap();
    let start = test.now() + TimeDelta::minutes(1);
    test.scheduler().schedule(Invocation::new(job), Trigger::at(start)).await.unwrap();
    test.advance(20 * MINUTE).await;
    let runs = test.scheduler().all_runs(RunQuery::default()).await.unwrap();
    assert_eq!((runs.len(), runs[0].boost, runs[0].expires), (1, None, None));
}
