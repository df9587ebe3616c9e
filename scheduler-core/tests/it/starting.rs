//! The start of a scheduler: what is awaited cannot be lost, and a start that was dropped goes on (`H6`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{JobContext, JobDefinition, JobDetail, JobError, JobResult};
use scheduler_core::store::{MemoryJobStore, Selection};
use scheduler_core::testing::{Fault, FaultyStore, Verb};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Scheduler, SchedulerBuilder, SchedulerState};
use tokio::sync::Notify;

const NOW: &str = "2026-03-01T00:00:00Z";

type Log = Arc<Mutex<Vec<&'static str>>>;

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

/// A job that writes down its name, sleeps, and ends as `result` says.
fn noting(
    name: &'static str,
    log: &Log,
    sleeps: Duration,
    result: impl Fn() -> JobResult + Clone + Send + Sync + 'static,
) -> JobDefinition {
    let log = log.clone();
    let body = move |context: JobContext| {
        log.lock().push(name);
        let result = result.clone();
        async move {
            context.clock().sleep(sleeps).await;
            result()
        }
    };
    JobDefinition::new(detail(name), body)
}

/// Polls a start until it has nothing more to do by itself, and drops it.
async fn drop_start(scheduler: &Scheduler, clock: &ManualClock) {
    let mut start = Box::pin(scheduler.start());
    for _ in 0..20 {
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(start.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "the start has something to wait for: {polled:?}");
        clock.settle().await;
    }
}

async fn start_while_time_goes_on(scheduler: &Scheduler, clock: &ManualClock) {
    let (started, ()) = tokio::join!(scheduler.start(), clock.advance(Duration::from_secs(600)));
    started.unwrap();
    assert_eq!(scheduler.state(), SchedulerState::Running);
    clock.settle().await;
}

fn built(clock: &ManualClock, builder: SchedulerBuilder) -> Scheduler {
    builder.clock(clock.clone()).build().unwrap()
}

/// The events come between the end of the job and the next poll of the start, more than a reader may lag behind.
#[tokio::test]
async fn h06_a_flood_of_events_does_not_hide_the_end_of_a_start_up_job() {
    let (begun, clock) = (Arc::new(Notify::new()), ManualClock::at(NOW));
    let tell = begun.clone();
    let migrate = move || {
        tell.notify_one();
        async {}
    };
    let builder = Scheduler::builder().register(JobDefinition::new(detail("migrate"), migrate));
    let scheduler = built(&clock, builder.before_start(detail("migrate")));
    let flooding = scheduler.clone();
    let flood = tokio::spawn(async move {
        let _heard = flooding.events();
        begun.notified().await;
        for _ in 0..5000 {
            flooding.pause(Selection::All).await.unwrap();
            flooding.resume(Selection::All).await.unwrap();
        }
    });
    let start = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.start().await }
    });
    start.await.unwrap().unwrap();
    flood.await.unwrap();
    assert_eq!(scheduler.state(), SchedulerState::Running);
}

#[tokio::test]
async fn h06_a_start_that_was_dropped_goes_on_where_it_was() {
    let (log, clock) = (Log::default(), ManualClock::at(NOW));
    let ok = || Ok(());
    let builder = Scheduler::builder()
        .register(noting("first", &log, Duration::ZERO, ok))
        .register(noting("second", &log, Duration::from_secs(5), ok))
        .register(noting("work", &log, Duration::ZERO, ok).with_trigger(Trigger::now()))
        .before_start(detail("first"))
        .before_start(detail("second"));
    let scheduler = built(&clock, builder);
    drop_start(&scheduler, &clock).await;
    drop_start(&scheduler, &clock).await;
    assert_eq!(*log.lock(), ["first", "second"]);
    assert_eq!(scheduler.state(), SchedulerState::Created);
    start_while_time_goes_on(&scheduler, &clock).await;
    assert_eq!(*log.lock(), ["first", "second", "work"], "each has run once");
    scheduler.shutdown(Duration::from_secs(5)).await;
}

/// The run goes on, and so does the watch over its time.
#[tokio::test]
async fn h06_a_start_up_job_keeps_its_timeout_when_its_start_is_dropped() {
    let (log, clock) = (Log::default(), ManualClock::at(NOW));
    let timed = detail("slow").to_builder().timeout(Duration::from_secs(2)).build();
    let slow = noting("slow", &log, Duration::from_secs(9999), || Ok(()));
    let scheduler = built(&clock, Scheduler::builder().register(slow).before_start(timed));
    drop_start(&scheduler, &clock).await;
    assert_eq!(scheduler.running().len(), 1);
    clock.advance(Duration::from_secs(3)).await;
    clock.settle().await;
    assert!(scheduler.running().is_empty(), "the run was aborted");
    let error = scheduler.start().await.unwrap_err();
    assert!(error.to_string().contains("timeout"), "{error}");
    assert_eq!(*log.lock(), ["slow"]);
}

#[tokio::test]
async fn h06_a_start_that_has_failed_goes_on_with_the_job_that_failed() {
    let (log, clock) = (Log::default(), ManualClock::at(NOW));
    let failures = Arc::new(Mutex::new(2));
    let fails = move || {
        let mut left = failures.lock();
        *left -= 1;
        if *left >= 0 { Err(JobError::new("no route")) } else { Ok(()) }
    };
    let builder = Scheduler::builder()
        .register(noting("first", &log, Duration::ZERO, || Ok(())))
        .register(noting("second", &log, Duration::ZERO, fails))
        .before_start(detail("first"))
        .before_start(detail("second"));
    let scheduler = built(&clock, builder);
    for _ in 0..2 {
        let error = scheduler.start().await.unwrap_err();
        assert_eq!(error.to_string(), "start-up job `second`: no route");
        assert_eq!((error.job(), error.operation()), (Some(&"second".parse().unwrap()), Some("start")));
    }
    scheduler.start().await.unwrap();
    assert_eq!(*log.lock(), ["first", "second", "second", "second"]);
    scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn h06_a_start_that_was_dropped_while_the_store_was_away_is_repeated() {
    for verb in [Verb::Attach, Verb::Put] {
        let (store, clock) = (FaultyStore::new(MemoryJobStore::new()), ManualClock::at(NOW));
        store.inject(verb, Fault::Fails, 1);
        let log = Log::default();
        let work = noting("work", &log, Duration::ZERO, || Ok(())).with_trigger(Trigger::now());
        let scheduler = built(&clock, Scheduler::builder().store(store).register(work));
        drop_start(&scheduler, &clock).await;
        start_while_time_goes_on(&scheduler, &clock).await;
        assert_eq!(*log.lock(), ["work"], "{verb:?}");
        scheduler.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn h06_a_scheduler_that_is_dropped_or_shut_down_half_way_ends() {
    let (log, clock) = (Log::default(), ManualClock::at(NOW));
    let slow = noting("slow", &log, Duration::from_secs(9999), || Ok(()));
    let scheduler = built(&clock, Scheduler::builder().register(slow).before_start(detail("slow")));
    drop_start(&scheduler, &clock).await;
    let (report, ()) =
        tokio::join!(scheduler.shutdown(Duration::from_secs(3)), clock.advance(Duration::from_secs(10)));
    assert_eq!((report.running, report.aborted.len() + report.cancelled.len()), (1, 1), "{report:?}");
    assert!(scheduler.start().await.unwrap_err().is_closed());
}
