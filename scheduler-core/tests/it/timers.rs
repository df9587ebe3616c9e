//! The periodic timer, on a manual clock.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use scheduler_core::host::{FirstTick, MissedTicks, PeriodicTimer};
use scheduler_core::time::{Clock, ManualClock};

const NOW: &str = "2026-03-01T00:00:00Z";
const FIVE: Duration = Duration::from_secs(5);

fn second(time: DateTime<Utc>) -> i64 {
    (time - NOW.parse::<DateTime<Utc>>().unwrap()).num_seconds()
}

/// What a loop saw: when each tick was due, how late it was, how many were merged.
type Seen = Arc<Mutex<Vec<(i64, u64, u64)>>>;

/// A loop that takes `work` seconds after each tick.
fn run(clock: &ManualClock, mut timer: PeriodicTimer, work: u64) -> Seen {
    let (seen, clock) = (Seen::default(), clock.clone());
    let notes = seen.clone();
    // As in a service of a host.
    let activity = clock.begin(&"a loop");
    tokio::spawn(activity.observe(async move {
        while let Some(tick) = timer.tick().await {
            notes.lock().push((second(tick.scheduled), tick.late.as_secs(), tick.merged));
            if work > 0 {
                clock.sleep(Duration::from_secs(work)).await;
            }
        }
        notes.lock().push((-1, 0, 0));
    }));
    seen
}

#[tokio::test]
async fn the_first_tick_comes_after_a_period_or_at_once() {
    let clock = ManualClock::at(NOW);
    let late = run(&clock, PeriodicTimer::new(FIVE, clock.clone()), 0);
    let early = run(&clock, PeriodicTimer::new(FIVE, clock.clone()).first(FirstTick::AtOnce), 0);
    clock.advance(Duration::from_secs(12)).await;
    assert_eq!(*late.lock(), [(5, 0, 0), (10, 0, 0)]);
    assert_eq!(*early.lock(), [(0, 0, 0), (5, 0, 0), (10, 0, 0)]);
}

#[tokio::test]
async fn no_tick_is_lost_however_far_time_is_moved() {
    let clock = ManualClock::at(NOW);
    let seen = run(&clock, PeriodicTimer::new(FIVE, clock.clone()), 0);
    clock.advance(Duration::from_secs(5000)).await;
    assert_eq!(seen.lock().len(), 1000);
    assert!(seen.lock().iter().all(|(_, late, merged)| *late == 0 && *merged == 0));
}

#[tokio::test]
async fn ticks_that_a_loop_missed_are_merged_burst_or_delayed() {
    let rows = [
        // The work after each tick takes 12 s.
        (MissedTicks::Merge, vec![(5, 0, 0), (10, 7, 1), (20, 9, 1), (30, 11, 2)]),
        (MissedTicks::Burst, vec![(5, 0, 0), (10, 7, 0), (15, 14, 0), (20, 21, 0)]),
        (MissedTicks::Delay, vec![(5, 0, 0), (10, 7, 1), (22, 7, 1), (34, 7, 1)]),
    ];
    for (missed, expected) in rows {
        let clock = ManualClock::at(NOW);
        let seen = run(&clock, PeriodicTimer::new(FIVE, clock.clone()).missed(missed), 12);
        clock.advance(Duration::from_secs(44)).await;
        assert_eq!(*seen.lock(), expected, "{missed:?}");
    }
}

#[tokio::test]
async fn stopping_ends_a_wait_and_voids_a_tick_that_is_due() {
    let clock = ManualClock::at(NOW);
    let timer = PeriodicTimer::new(FIVE, clock.clone());
    let handle = timer.handle();
    let seen = run(&clock, timer, 0);
    clock.advance(Duration::from_secs(7)).await;
    handle.stop();
    clock.advance(Duration::from_secs(60)).await;
    assert_eq!(*seen.lock(), [(5, 0, 0), (-1, 0, 0)]);
    let mut due = PeriodicTimer::new(FIVE, clock.clone()).first(FirstTick::AtOnce);
    due.handle().stop();
    assert_eq!(due.tick().await, None);
    assert_eq!(due.tick().await, None);
}

#[tokio::test]
async fn another_period_restarts_the_countdown_and_keeps_a_tick_that_is_due() {
    let clock = ManualClock::at(NOW);
    let timer = PeriodicTimer::new(FIVE, clock.clone());
    let handle = timer.handle();
    let seen = run(&clock, timer, 0);
    clock.advance(Duration::from_secs(7)).await;
    handle.set_period(Duration::from_secs(20));
    assert_eq!(handle.period(), Duration::from_secs(20));
    clock.settle().await;
    clock.advance(Duration::from_secs(41)).await;
    assert_eq!(*seen.lock(), [(5, 0, 0), (27, 0, 0), (47, 0, 0)]);

    let mut due = PeriodicTimer::new(FIVE, clock.clone()).first(FirstTick::AtOnce);
    due.handle().set_period(Duration::from_secs(30));
    let tick = due.tick().await.unwrap();
    assert_eq!((second(tick.scheduled), tick.merged), (48, 0), "it was due before");
}

#[tokio::test]
async fn a_wait_that_was_given_up_loses_no_tick() {
    let clock = ManualClock::at(NOW);
    let mut timer = PeriodicTimer::new(FIVE, clock.clone()).first(FirstTick::AtOnce);
    for _ in 0..3 {
        // Polled never: dropped before it could be ready.
        drop(timer.tick());
    }
    assert!(timer.tick().await.is_some());
    let waited = tokio::select! {
        biased;
        tick = timer.tick() => Some(tick),
        () = std::future::ready(()) => None,
    };
    assert_eq!(waited, None);
    let task = tokio::spawn(async move { timer.tick().await });
    clock.advance(FIVE).await;
    assert_eq!(second(task.await.unwrap().unwrap().scheduled), 5);
}

#[tokio::test]
async fn a_burst_goes_on_under_another_period() {
    let clock = ManualClock::at(NOW);
    let timer = PeriodicTimer::new(FIVE, clock.clone()).missed(MissedTicks::Burst);
    let handle = timer.handle();
    let seen = run(&clock, timer, 12);
    clock.advance(Duration::from_secs(16)).await;
    handle.set_period(Duration::from_secs(100));
    clock.advance(Duration::from_secs(60)).await;
    assert_eq!(*seen.lock(), [(5, 0, 0), (10, 7, 0), (15, 14, 0)]);
}
