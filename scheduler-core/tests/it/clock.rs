//! The manual clock by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::Scheduler;
use scheduler_core::job::{JobContext, JobDefinition, JobDetail};
use scheduler_core::scheduler::Event;
use scheduler_core::time::{Clock, ManualClock, TimeLapseClock};
use scheduler_core::trigger::{Misfire, Trigger};

#[tokio::test]
async fn a_time_lapse_runs_as_often_as_the_time_that_it_shows() {
    let begin: chrono::DateTime<chrono::Utc> = "2026-03-28T22:00:00Z".parse().unwrap();
    let clock = TimeLapseClock::from(begin, 36_000);
    let job = JobDefinition::new(
        JobDetail::builder("hourly".parse().unwrap(), "hourly").build(),
        async |context: JobContext| assert!(context.fire_time() >= context.scheduled_fire_time()),
    );
    let scheduler = Scheduler::builder()
        .clock(clock)
        .register(job.with_trigger(Trigger::every(Duration::from_secs(3600)).misfire(Misfire::Ignore)))
        .build()
        .unwrap();
    let mut events = scheduler.events();
    scheduler.start().await.unwrap();
    let mut ended = 0;
    while ended < 5 {
        if let Event::Ended { failure, .. } = events.next().await.unwrap() {
            assert_eq!(failure, None);
            ended += 1;
        }
    }
    assert!(clock.now() >= begin + TimeDelta::hours(4), "four hours have passed on it");
}

#[tokio::test]
async fn a_loop_that_arms_its_next_sleep_late_loses_no_tick() {
    let clock = ManualClock::at("2026-01-01T00:00:00Z");
    let ticks = Arc::new(AtomicUsize::new(0));
    let activity = clock.begin(&"a ticking task");
    let (own, counter) = (clock.clone(), ticks.clone());
    let ticking = activity.observe(async move {
        loop {
            own.sleep(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    drop(activity);
    let task = tokio::spawn(ticking);
    clock.advance(Duration::from_secs(100)).await;
    assert_eq!(ticks.load(Ordering::SeqCst), 100);
    task.abort();
}

#[tokio::test]
async fn time_stands_still_while_somebody_is_busy_and_not_while_he_waits_for_the_test() {
    let clock = ManualClock::at("2026-01-01T00:00:00Z");
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let activity = clock.begin(&"a job that waits for the test");
    let own = clock.clone();
    let task = tokio::spawn(activity.observe(async move { own.aside(gone).await }));
    drop(activity);
    clock.advance(Duration::from_secs(5)).await;
    assert_eq!(
        clock.now() - TimeDelta::seconds(5),
        "2026-01-01T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    );
    go.send(()).unwrap();
    task.await.unwrap().unwrap();
    clock.settle().await;
}

#[tokio::test]
async fn setting_the_wall_clock_lets_no_time_pass() {
    let clock = ManualClock::at("2026-01-01T00:00:00Z");
    let before = clock.monotonic();
    clock.jump_wall("2030-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(clock.monotonic(), before);
    assert_eq!(clock.now().to_rfc3339(), "2030-01-01T00:00:00+00:00");
}
