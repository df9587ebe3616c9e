//! The test kit: a run by itself, what it has enqueued, arguments, and a host that is tested the same way.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};
use scheduler_core::host::{Host, JobQueue, ServiceContext, background};
use scheduler_core::job::{JobContext, JobError};
use scheduler_core::prelude::*;
use scheduler_core::scheduler::{SchedulerBuilder, TriggerListener};
use scheduler_core::store::{QueueLimits, Selection};
use scheduler_core::testing::{Stage, TestHost, TestScheduler, assert_enqueued, assert_fired};
use scheduler_core::{JobData, Matcher, Result};
use serde::{Deserialize, Serialize};

const NOW: &str = "2026-03-01T00:00:00Z";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Parcel {
    id: u32,
    to: Vec<String>,
}

fn parcel(id: u32) -> Parcel {
    Parcel { id, to: vec!["Ada".to_owned(), "Bob".to_owned()] }
}

/// Enqueues, schedules and triggers: everything waits.
#[job]
async fn order(id: u32, scheduler: Scheduler) -> JobResult {
    if id == 0 {
        return Err(JobError::new("an order has a number"));
    }
    scheduler.enqueue(ship::with(parcel(id))).await?;
    scheduler.schedule(remind::with(Some(id)), Trigger::after(Duration::from_secs(60))).await?;
    scheduler.trigger_job(&count::key(), JobData::new()).await?;
    Ok(())
}

#[job(queue = "parcels")]
async fn ship(parcel: Parcel, scheduler: Scheduler) -> JobResult {
    scheduler.enqueue(remind::with(Some(parcel.id))).await?;
    Ok(())
}

#[job(group = "mails")]
async fn remind(_id: Option<u32>) {}

#[job]
async fn count() {}

#[job]
async fn patient(context: JobContext) {
    context.clock().sleep(Duration::from_secs(3600)).await;
}

#[job(every = "10s")]
async fn tick() {}

#[job]
async fn limit(scheduler: Scheduler) {
    scheduler.set_limits(QueueLimits { default: Some(1), ..QueueLimits::default() });
}

fn jobs() -> SchedulerBuilder {
    Scheduler::builder()
        .register(order::definition())
        .register(ship::definition())
        .register(remind::definition())
        .register(count::definition())
        .register(patient::definition())
        .register(limit::definition())
}

async fn started() -> TestScheduler {
    TestScheduler::start(NOW, jobs()).await.unwrap()
}

/// What the panic of an assertion says.
pub(crate) async fn said<T>(assertion: impl Future<Output = T>) -> String {
    let mut assertion = Box::pin(AssertUnwindSafe(assertion));
    let caught = std::future::poll_fn(|context| {
        let poll = || Future::poll(assertion.as_mut().as_mut(), context);
        match std::panic::catch_unwind(AssertUnwindSafe(poll)) {
            Ok(poll) => poll.map(|_| None),
            Err(panic) => std::task::Poll::Ready(panic.downcast::<String>().ok()),
        }
    });
    *caught.await.expect("the assertion fails")
}

#[tokio::test]
async fn n07_what_a_run_by_itself_has_enqueued_waits_however_it_was_started() {
    let test = started().await;
    for id in [1, 2] {
        assert!(test.run_one(order::with(id)).await.is_success());
    }
    for id in [1, 2] {
        assert_enqueued!(test, ship::key(), parcel(id));
        assert_enqueued!(test, "ship", with & parcel(id));
        assert_enqueued!(test, "mails/remind", with Some(id));
    }
    assert_enqueued!(test, count::key());
    assert_fired!(test, order::key(), 2);
    assert_eq!(test.fired().len(), 2, "{:?}", test.fired());

    test.run_due().await;
    assert_fired!(test, count::key(), 2);
    assert_fired!(test, ship::key(), with parcel(2));
    assert_fired!(test, remind::key(), 2);
    test.advance(Duration::from_secs(60)).await;
    assert_fired!(test, remind::key(), 4);
}

#[tokio::test]
async fn n07_one_run_by_itself_follows_another_and_takes_its_time() {
    let test = started().await;
    assert!(test.run_one(patient::with()).await.is_success());
    assert_eq!(test.now(), "2026-03-01T01:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert!(test.run_one(order::with(3)).await.is_success());
    // The job that was enqueued runs by itself beside the one that waits, and what it enqueues waits as well.
    assert!(test.run_one(ship::with(parcel(9))).await.is_success());
    assert_enqueued!(test, ship::key(), parcel(3));
    assert_enqueued!(test, remind::key(), Some(9));
    assert_fired!(test, ship::key(), 1);
    assert_eq!(test.run_one(order::with(0)).await.failure().unwrap(), "an order has a number");
    assert_fired!(test, ship::key(), 1);
}

#[tokio::test]
async fn n07_a_schedule_is_held_back_beside_a_run_by_itself_and_goes_on_afterwards() {
    let test = TestScheduler::start(NOW, jobs().register(tick::definition())).await.unwrap();
    test.run_one(patient::with()).await;
    assert_fired!(test, tick::key(), 1);
    test.advance(Duration::from_secs(20)).await;
    assert!(test.fired_of(tick::key()).len() >= 3, "{:?}", test.fired());
}

#[tokio::test]
async fn n07_arguments_are_read_from_what_has_run() {
    let test = started().await;
    test.scheduler().enqueue(ship::with(parcel(4))).await.unwrap();
    test.scheduler().enqueue(remind::with(None)).await.unwrap();
    test.drain().await;
    let shipped = &test.fired_of(ship::key())[0];
    assert_eq!(shipped.args::<Parcel>().unwrap(), parcel(4));
    assert!(shipped.args::<Vec<u64>>().is_err());
    assert_fired!(test, ship::key(), with parcel(4));
    assert_fired!(test, remind::key(), with Some(4));
    assert_fired!(test, remind::key(), with None::<u32>);
}

#[tokio::test]
async fn n07_jobs_and_times_are_expressions_of_any_kind() {
    let test = TestScheduler::start(NOW, jobs().register(tick::definition())).await.unwrap();
    test.advance(Duration::from_secs(10)).await;
    const TEN: &str = "2026-03-01T00:00:10Z";
    let (start, name): (DateTime<Utc>, _) = (NOW.parse().unwrap(), String::from("tick"));
    let elsewhere: DateTime<FixedOffset> = "2026-03-01T02:00:10+02:00".parse().unwrap();
    assert_fired!(test, &name, at NOW, TEN);
    assert_fired!(test, &tick::key(), at start, elsewhere);
    assert_fired!(test, tick::key(), at & start, format!("2026-03-01T00:00:{}Z", 10),);
    let times = 1 + 1;
    assert_fired!(test, &name, times);
    assert_fired!(test, format!("DEFAULT/{name}"), times);
}

#[tokio::test]
async fn n07_a_failed_assertion_says_what_there_is() {
    let test = started().await;
    test.run_one(order::with(5)).await;
    for (said, parts) in [
        (
            said(async { assert_enqueued!(test, ship::key(), parcel(6)) }).await,
            ["no run of `ship` is waiting", "5"],
        ),
        (
            said(async { assert_enqueued!(test, patient::key()) }).await,
            ["no run of `patient` is waiting", "nothing"],
        ),
        (
            said(async { assert_fired!(test, ship::key(), 1) }).await,
            ["`ship` has run 0 times, not 1", "order by"],
        ),
        (said(async { assert_fired!(test, order::key(), with 6) }).await, ["`order` has not run with", "5"]),
        (
            said(async { assert_fired!(test, order::key(), at "tomorrow") }).await,
            ["`tomorrow` is no time", "2026-03-01T00:00:00Z"],
        ),
    ] {
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
}

struct Refuses;

impl TriggerListener for Refuses {
    async fn veto(&self, context: &JobContext) -> bool {
        *context.job_key() == count::key()
    }
}

#[tokio::test]
async fn n07_a_run_that_can_never_begin_is_told_at_once() {
    let test =
        TestScheduler::start(NOW, jobs().trigger_listener(Matcher::Everything, Refuses)).await.unwrap();
    let vetoed = said(test.run_one(count::with())).await;
    assert!(vetoed.contains("vetoed"), "{vetoed}");
    test.scheduler().pause(Selection::All).await.unwrap();
    let paused = said(test.run_one(order::with(1))).await;
    assert!(paused.contains("paused"), "{paused}");
    assert_eq!(test.now(), NOW.parse::<DateTime<Utc>>().unwrap());

    // `drain` does not wait for paused triggers.
    test.drain().await;
    assert_fired!(test, order::key(), 0);
    test.scheduler().standby().unwrap();
    let standby = said(test.run_one(order::with(1))).await;
    assert!(standby.contains("start it first"), "{standby}");
}

#[tokio::test]
async fn n07_limits_that_a_run_by_itself_sets_stay() {
    let test = started().await;
    assert!(test.run_one(limit::with()).await.is_success());
    test.run_due().await;
    assert_eq!(test.scheduler().metadata().limits.default, Some(1));
    assert!(test.run_one(order::with(1)).await.is_success());
    assert_fired!(test, count::key(), 0);
    test.run_due().await;
    assert_eq!(test.scheduler().metadata().limits.default, Some(1));
    assert_fired!(test, count::key(), 1);
}

async fn clerk(context: ServiceContext, scheduler: Scheduler, State(mails): State<JobQueue>) -> JobResult {
    let mut timer = context.every(Duration::from_secs(60));
    while timer.tick().await.is_some() {
        scheduler.enqueue(ship::with(parcel(7))).await?;
        mails.enqueue(remind::with(Some(8))).await?;
    }
    Ok(())
}

/// The same for a scheduler and for a host.
async fn tested_alike(test: &Stage) {
    assert!(test.run_one(order::with(1)).await.is_success());
    assert_enqueued!(test, ship::key(), parcel(1));
    assert_fired!(test, ship::key(), 0);
    test.run_due().await;
    assert_fired!(test, ship::key(), with parcel(1));
    test.forget();
    assert_fired!(test, ship::key(), 0);
}

#[tokio::test]
async fn n07_a_host_is_tested_as_a_scheduler_is() -> Result<()> {
    tested_alike(&*started().await).await;
    let mails = JobQueue::bounded(10).build();
    let builder = Host::builder()
        .register(remind::definition())
        .provide(mails.clone())
        .queue("mails", mails)
        .service(background("clerk", clerk))
        .scheduler(jobs());
    let test = TestHost::start(NOW, builder).await.unwrap();
    tested_alike(&test).await;
    test.advance(Duration::from_secs(60)).await;
    assert_fired!(test, ship::key(), with parcel(7));
    assert_fired!(test, remind::key(), with Some(8));
    let report = test.stop().await.unwrap();
    assert!(report.failures.is_empty(), "{report:?}");
    Ok(())
}
