//! Races and bugs that users of other schedulers have met, each with the test that keeps it out of here.
//!
//! | what happened elsewhere | kept out by |
//! |---|---|
//! | results of a batch fell out of step with its triggers | `a_batch_is_answered_in_its_order` of the store kit |
//! | a trigger stayed acquired for ever after a halt or a lost reply | `a_claim_that_is_not_fired_lapses`, `lost_replies_lose_no_firing_and_double_none`, `tests/engine.rs` |
//! | an acquired trigger was blocked by a peer and never freed; a job that disallows it ran twice | `a_job_that_disallows_concurrent_runs_has_one_claim`, `tests/interleavings.rs` |
//! | a repeated call advanced a trigger twice | `firing_twice_is_firing_once` |
//! | a change during acquisition was noticed half a minute late | [`a_change_during_acquisition_is_seen`] |
//! | the wall clock went back and nothing fired for hours | `clock.rs`, `a_wall_clock_that_is_set_back_stops_nothing` below |
//! | the end of a run deleted the trigger that the run had scheduled anew | `a_trigger_that_was_given_new_times_meanwhile_stays` |
//! | a trigger in error was handed out, or a pause hid the error | `a_failed_trigger_waits_for_a_reset` |
//! | pausing groups by a pattern paused the first one only | `a_pattern_stands_for_the_groups_that_exist` |
//! | clearing kept paused groups | `clearing_forgets_every_pause` |
//! | a job changed its rule of concurrency while it ran and stayed blocked | `a_job_can_change_its_rule_while_triggers_wait` |
//! | a listener that failed at the begin left the job executing | [`a_listener_that_fails_leaves_its_job_free`] |
//! | one unknown job stopped all acquisition | `a_node_takes_only_what_it_can_run` |
//! | a misfire policy computed from the old time fired at once | the 2,006 misfire cases of `cargo test conformance` |
//! | a changed calendar brought a burst of past firings | [`a_changed_calendar_brings_no_burst`] |
//! | a calendar was replaced between claim and fire, and the next time came from the old one | [`a_time_that_its_calendar_excludes_by_now_is_passed_over`] |
//! | shutdown was called inside a job; completion came after the store was closed | [`a_job_can_shut_its_scheduler_down`], `tests/engine.rs` |
//! | cancelling one run killed its siblings | [`cancelling_one_run_leaves_its_siblings`] |
//! | a job was removed between claim and fire | `a_removed_job_takes_its_triggers` |
//! | a second pause forgot that the job was busy | [`pausing_twice_does_not_unblock`] |
//! | a trigger vanished when it was resumed after its time | [`a_trigger_that_is_over_when_it_is_resumed_stays_to_be_seen`] |

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::scheduler::{Event, JobListener, TriggerListener};
use scheduler_core::store::{Changes, Executions, Existing, MemoryJobStore, Put, Selection, TriggerState};
use scheduler_core::testing::{TestScheduler, assert_fired};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_core::{Matcher, Scheduler, SchedulerState, TriggerKey};

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).durable(true).build()
}

fn exclusive(name: &str) -> JobDetail {
    detail(name).to_builder().disallow_concurrent(true).build()
}

async fn state(test: &TestScheduler, trigger: &str) -> TriggerState {
    let key: TriggerKey = trigger.parse().unwrap();
    test.scheduler().trigger(&key).await.unwrap().unwrap().state
}

/// Each run schedules another one, while the loop is about to acquire.
#[tokio::test]
async fn a_change_during_acquisition_is_seen() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = ran.clone();
    let chain = move |context: JobContext, scheduler: Scheduler| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            if number < 500 {
                let job = Invocation::new(context.job().clone());
                scheduler.enqueue(job).await.map(drop)
            } else {
                Ok(())
            }
        }
    };
    let test =
        TestScheduler::start(NOW, Scheduler::builder().register(JobDefinition::new(detail("chain"), chain)))
            .await
            .unwrap();
    test.scheduler().enqueue(Invocation::new(detail("chain"))).await.unwrap();
    test.run_due().await;
    assert_eq!(ran.load(Ordering::SeqCst), 501, "without any time passing");
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_stops_nothing() {
    let hourly = Trigger::every(Duration::from_secs(3600)).name("hourly");
    let job = JobDefinition::new(detail("work"), async || {}).with_trigger(hourly);
    let test =
        TestScheduler::start("2026-03-01T12:00:00Z", Scheduler::builder().register(job)).await.unwrap();
    test.jump_wall("2026-03-01T02:00:00Z").await;
    test.scheduler().enqueue(Invocation::new(detail("work"))).await.unwrap();
    test.run_due().await;
    assert_fired!(test, "work", 2);
    test.advance_to("2026-03-01T13:00:00Z").await;
    assert_fired!(test, "work", 3);
}

struct Bad;

impl JobListener for Bad {
    async fn to_be_executed(&self, _: &JobContext) {
        panic!("a listener with a bug");
    }
}

impl TriggerListener for Bad {
    async fn fired(&self, _: &JobContext) {
        panic!("a listener with a bug");
    }
}

#[tokio::test]
async fn a_listener_that_fails_leaves_its_job_free() {
    let minutely = Trigger::every(Duration::from_secs(60)).name("t");
    let builder = Scheduler::builder()
        .register(JobDefinition::new(exclusive("work"), async || {}).with_trigger(minutely))
        .job_listener(Matcher::Everything, Bad)
        .trigger_listener(Matcher::Everything, Bad);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.advance(Duration::from_secs(120)).await;
    assert_fired!(test, "work", 3);
    assert_eq!(state(&test, "t").await, TriggerState::Normal);
}

#[tokio::test]
async fn a_changed_calendar_brings_no_burst() {
    let calendar = |exclusion| StandardCalendar::new(exclusion, chrono_tz::UTC);
    let everything = calendar(Exclusion::weekly(&[
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
    ]));
    let minutely = Trigger::cron("0 * * * * ?").name("t").calendar("open");
    let builder = Scheduler::builder()
        .calendar("open", everything)
        .register(JobDefinition::new(detail("work"), async || {}).with_trigger(minutely));
    // A Monday: nothing until Sunday.
    let test = TestScheduler::start("2026-03-02T00:00:30Z", builder).await.unwrap();
    test.advance(Duration::from_secs(3 * 3600)).await;
    assert_fired!(test, "work", 0);
    let holiday = NaiveDate::from_ymd_opt(2026, 12, 25).unwrap();
    test.scheduler().put_calendar("open", calendar(Exclusion::holidays([holiday])), true).await.unwrap();
    test.run_due().await;
    assert_fired!(test, "work", 0);
    test.advance(Duration::from_secs(60)).await;
    assert_fired!(test, "work", 1);
}

/// Claimed under one calendar and fired when another one is in its place, a trigger has its next time from the first.
#[tokio::test]
async fn a_time_that_its_calendar_excludes_by_now_is_passed_over() {
    let store = MemoryJobStore::new();
    let closed = Exclusion::daily(NaiveTime::MIN, NaiveTime::from_hms_opt(0, 10, 0).unwrap());
    let calendar = Arc::new(StandardCalendar::new(closed, chrono_tz::UTC));
    store.put_calendar("open".into(), calendar, false).await.unwrap();
    let begin: DateTime<Utc> = NOW.parse().unwrap();
    let minutely = Trigger::cron("0 * * * * ?").name("t").calendar("open").job("work".parse().unwrap());
    let minutely = minutely.build(begin).unwrap();
    let stale = minutely.first(None);
    assert!(stale.next.unwrap() < begin + TimeDelta::minutes(2));
    let put = Put {
        jobs: vec![Arc::new(detail("work"))],
        existing_jobs: Existing::Keep,
        triggers: vec![(Arc::new(minutely), stale)],
        existing_triggers: Existing::Refuse,
    };
    store.put(put).await.unwrap();
    let builder = Scheduler::builder().store(store).register(JobDefinition::new(detail("work"), async || {}));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.advance(Duration::from_secs(10 * 60)).await;
    assert_fired!(test, "work", 0);
    test.advance(Duration::from_secs(2 * 60)).await;
    assert_fired!(test, "work", 2);
}

#[tokio::test]
async fn a_job_can_shut_its_scheduler_down() {
    let ends = |scheduler: Scheduler| async move { scheduler.shutdown(Duration::ZERO).await };
    let job = JobDefinition::new(exclusive("ends"), move |scheduler: Scheduler| async move {
        // Not awaited to its end: it would wait for this run.
        tokio::spawn(ends(scheduler));
    });
    let clock = ManualClock::at(NOW);
    let scheduler = Scheduler::builder().clock(clock.clone()).register(job).build().unwrap();
    scheduler.start().await.unwrap();
    let mut events = scheduler.events();
    scheduler.enqueue(Invocation::new(exclusive("ends"))).await.unwrap();
    let over = |event: &Event| matches!(event, Event::State { state: SchedulerState::Shutdown });
    while !events.next().await.is_none_or(|event| over(&event)) {}
    assert_eq!(scheduler.state(), SchedulerState::Shutdown);
}

#[tokio::test]
async fn cancelling_one_run_leaves_its_siblings() {
    let waits = |context: JobContext| async move { context.clock().sleep(Duration::from_secs(60)).await };
    let builder = Scheduler::builder()
        .cancel_grace(Duration::ZERO)
        .register(JobDefinition::new(detail("waits"), waits));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    for _ in 0..3 {
        test.scheduler().enqueue(Invocation::new(detail("waits"))).await.unwrap();
    }
    test.run_due().await;
    let second = test.scheduler().running()[1].id;
    assert_eq!(test.scheduler().cancel(Executions::One(second)).await.unwrap(), [second]);
    test.advance(Duration::from_secs(60)).await;
    let fired = test.fired_of("waits");
    let words: Vec<_> =
        fired.iter().map(|run| (run.execution == second, run.outcome.as_ref().unwrap().word())).collect();
    assert_eq!(words.iter().filter(|row| **row == (false, "succeeded")).count(), 2, "{words:?}");
    assert_eq!(words.iter().filter(|row| **row == (true, "cancelled")).count(), 1, "{words:?}");
}

#[tokio::test]
async fn pausing_twice_does_not_unblock() {
    let waits = |context: JobContext| async move { context.clock().sleep(Duration::from_secs(600)).await };
    let minutely = |name: &str| Trigger::every(Duration::from_secs(60)).name(name);
    let job =
        JobDefinition::new(exclusive("waits"), waits).with_trigger(minutely("a")).with_trigger(minutely("b"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    assert_eq!(state(&test, "b").await, TriggerState::Blocked);
    let b = Selection::Trigger("b".parse().unwrap());
    test.scheduler().pause(b.clone()).await.unwrap();
    test.scheduler().pause(b.clone()).await.unwrap();
    test.scheduler().resume(b).await.unwrap();
    test.run_due().await;
    assert_eq!(state(&test, "b").await, TriggerState::Blocked);
    assert_eq!(test.scheduler().running().len(), 1);
}

#[tokio::test]
async fn a_trigger_that_is_over_when_it_is_resumed_stays_to_be_seen() {
    let window = Trigger::every(Duration::from_secs(60))
        .name("window")
        .misfire(Misfire::Skip)
        .start_after(Duration::from_secs(60))
        .end_at("2026-03-01T00:10:00Z".parse().unwrap());
    let job = JobDefinition::new(detail("work"), async || {}).with_trigger(window);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let all = Selection::Trigger("window".parse().unwrap());
    test.scheduler().pause(all.clone()).await.unwrap();
    test.advance(Duration::from_secs(3600)).await;
    test.scheduler().resume(all).await.unwrap();
    test.run_due().await;
    assert_fired!(test, "work", 0);
    assert_eq!(state(&test, "window").await, TriggerState::Complete);
}
