//! Managing schedules: all or nothing, pausing, calendars, what code declares.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::scheduler::SchedulerBuilder;
use scheduler_core::store::*;
use scheduler_core::testing::{TestScheduler, assert_fired};
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{JobData, JobKey, Scheduler, SchedulerState, Text, TriggerKey};

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), "work").build()
}

fn work() -> JobDefinition {
    let work = JobDetail::builder("work".parse().unwrap(), "work").durable(true).build();
    JobDefinition::new(work, async || {})
}

fn key(name: &str) -> TriggerKey {
    name.parse().unwrap()
}

fn hourly(name: &str) -> TriggerBuilder {
    Trigger::every(Duration::from_secs(3600)).name(name)
}

async fn started(builder: SchedulerBuilder) -> TestScheduler {
    TestScheduler::start(NOW, builder).await.unwrap()
}

async fn next(test: &TestScheduler, name: &str) -> Option<DateTime<Utc>> {
    test.scheduler().trigger(&key(name)).await.unwrap().unwrap().progress.next
}

async fn names(test: &TestScheduler) -> Vec<String> {
    let all = test.scheduler().all_triggers(TriggerQuery::default()).await.unwrap();
    all.iter().map(|status| status.trigger.key().to_string()).collect()
}

fn minutes(count: i64) -> Option<DateTime<Utc>> {
    Some(NOW.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(count))
}

#[tokio::test]
async fn many_schedules_are_stored_all_or_none() {
    let test = started(Scheduler::builder().register(work())).await;
    let scheduler = test.scheduler();
    let job = || Invocation::new(detail("work"));
    let some = vec![(job(), hourly("a")), (job(), hourly("b"))];
    assert_eq!(scheduler.schedule_all(some, Existing::Refuse).await.unwrap().len(), 2);
    let conflict = vec![(job(), hourly("c")), (job(), hourly("b")), (job(), hourly("a"))];
    let error = scheduler.schedule_all(conflict, Existing::Refuse).await.unwrap_err();
    assert!(error.is_conflict() && error.to_string().contains("`b`"), "{error}");
    let unknown = vec![(job(), hourly("c")), (job(), hourly("d").calendar("nowhere"))];
    assert!(scheduler.schedule_all(unknown, Existing::Replace).await.is_err());
    assert_eq!(names(&test).await, ["a", "b"]);
    let again = vec![(job(), hourly("c")), (job(), hourly("b").priority(9))];
    scheduler.schedule_all(again, Existing::Replace).await.unwrap();
    assert_eq!(names(&test).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_trigger_is_replaced_or_changed_without_losing_its_place() {
    let test = started(Scheduler::builder().register(work())).await;
    let scheduler = test.scheduler();
    scheduler.schedule(Invocation::new(detail("work")), hourly("a")).await.unwrap();
    test.advance(Duration::from_secs(5400)).await;
    assert_eq!(next(&test, "a").await, minutes(120));
    let changed = scheduler
        .update_trigger(&key("a"), |trigger| trigger.priority(9).description("urgent"))
        .await
        .unwrap();
    assert!(changed);
    let status = scheduler.trigger(&key("a")).await.unwrap().unwrap();
    assert_eq!((status.progress.next, status.trigger.priority()), (minutes(120), 9));
    assert_eq!(status.trigger.description(), Some("urgent"));
    let daily = Trigger::every(Duration::from_secs(600)).name("b");
    assert!(scheduler.reschedule(&key("a"), daily).await.unwrap().is_some());
    assert_eq!(names(&test).await, ["b"]);
    test.run_due().await;
    assert_eq!(next(&test, "b").await, minutes(100), "it began at once");
    assert!(scheduler.reschedule(&key("a"), hourly("c")).await.unwrap().is_none());
    assert!(!scheduler.update_trigger(&key("a"), |trigger| trigger).await.unwrap());
}

#[tokio::test]
async fn a_job_is_run_at_once_with_data_of_its_own() {
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let inner = told.clone();
    let tells = move |context: scheduler_core::job::JobContext| {
        inner.lock().push(context.data().get::<String>("who").unwrap());
        async {}
    };
    let work = JobDetail::builder("work".parse().unwrap(), "work").durable(true).build();
    let test = started(Scheduler::builder().register(JobDefinition::new(work, tells))).await;
    test.scheduler()
        .enqueue(Invocation::new(detail("work").to_builder().durable(true).build()))
        .await
        .unwrap();
    test.run_due().await;
    let job: JobKey = "work".parse().unwrap();
    test.scheduler().trigger_job(&job, JobData::new().with("who", "ada")).await.unwrap();
    test.run_due().await;
    assert_eq!(*told.lock(), [None, Some("ada".to_owned())]);
    let missing = test.scheduler().trigger_job(&"x".parse().unwrap(), JobData::new()).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    assert_eq!(names(&test).await, [""; 0], "what has run is gone");
}

/// Running a job by hand neither moves its schedule nor makes up for what it has missed.
#[tokio::test]
async fn a_run_by_hand_leaves_the_schedule_alone() {
    let test = started(Scheduler::builder().register(work())).await;
    let scheduler = test.scheduler();
    let daily = Trigger::cron("0 0 12 * * ?").name("daily");
    scheduler
        .schedule(Invocation::new(detail("work").to_builder().durable(true).build()), daily)
        .await
        .unwrap();
    scheduler.standby().unwrap();
    test.advance(Duration::from_secs(13 * 3600)).await;
    scheduler.trigger_job(&"work".parse().unwrap(), JobData::new()).await.unwrap();
    scheduler.start().await.unwrap();
    test.run_due().await;
    assert_fired!(test, "work", 2);
    assert_eq!(next(&test, "daily").await, minutes((24 + 12) * 60));
}

/// A schedule that is put in place in the very moment at which it fires, fires; a millisecond later it waits for the next.
#[tokio::test]
async fn what_is_scheduled_inside_a_matching_second_fires_only_at_its_beginning() {
    for (now, at_once) in [("2026-03-01T12:00:00Z", 1), ("2026-03-01T12:00:00.001Z", 0)] {
        let test = TestScheduler::start(now, Scheduler::builder().register(work())).await.unwrap();
        let noon = Trigger::cron("0 0 12 * * ?").name("noon");
        test.scheduler().schedule(Invocation::new(detail("work")), noon).await.unwrap();
        test.run_due().await;
        assert_fired!(test, "work", at_once);
    }
}

#[tokio::test]
async fn triggers_and_jobs_are_removed() {
    let test = started(Scheduler::builder().register(work())).await;
    let scheduler = test.scheduler();
    for name in ["a", "b", "c"] {
        scheduler.schedule(Invocation::new(detail("work")), hourly(name)).await.unwrap();
    }
    assert!(scheduler.unschedule(&key("a")).await.unwrap());
    assert!(!scheduler.unschedule(&key("a")).await.unwrap());
    assert_eq!(scheduler.unschedule_all([key("a"), key("b")]).await.unwrap(), 1);
    assert!(scheduler.delete_job(&"work".parse().unwrap()).await.unwrap());
    assert!(!scheduler.delete_job(&"work".parse().unwrap()).await.unwrap());
    assert_eq!(names(&test).await, [""; 0]);
    test.run_due().await;
    test.forget();
    test.advance(Duration::from_secs(7200)).await;
    assert_fired!(test, "work", 0);
}

#[tokio::test]
async fn a_pause_has_a_reason_an_author_and_an_end() {
    let test = started(Scheduler::builder().register(work())).await;
    let scheduler = test.scheduler();
    scheduler.schedule(Invocation::new(detail("work")), hourly("nightly/a")).await.unwrap();
    test.run_due().await;
    test.forget();
    let until = NOW.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(150);
    let note = PauseNote::because("the tables are moved").by("ada").until(until);
    let paused = scheduler.pause_with(Selection::TriggerGroup(Text::is("nightly")), note).await.unwrap();
    assert_eq!(paused, [key("nightly/a")]);
    let status = scheduler.trigger(&key("nightly/a")).await.unwrap().unwrap();
    let shown = status.pause.unwrap().to_string();
    assert_eq!(
        shown,
        "paused since 2026-03-01 00:00:00 UTC by ada: the tables are moved, until 2026-03-01 02:30:00 UTC"
    );
    test.advance(Duration::from_secs(149 * 60)).await;
    assert_fired!(test, "work", 0);
    test.advance(Duration::from_secs(60)).await;
    // At 2:30 the firing of 1:00 is 90 minutes late: by its policy it is moved to the next hour.
    test.advance(Duration::from_secs(31 * 60)).await;
    assert!(!test.fired().is_empty(), "it goes on by itself");
    assert_eq!(scheduler.groups(GroupKind::Triggers).await.unwrap()[0].pause, None);
}

#[tokio::test]
async fn standby_fires_nothing_and_start_goes_on() {
    let test = started(Scheduler::builder().register(work())).await;
    let scheduler = test.scheduler();
    scheduler.schedule(Invocation::new(detail("work")), hourly("a")).await.unwrap();
    test.run_due().await;
    scheduler.standby().unwrap();
    assert_eq!(scheduler.state(), SchedulerState::Standby);
    assert_eq!(scheduler.metadata().state, SchedulerState::Standby);
    test.advance(Duration::from_secs(3600)).await;
    assert_fired!(test, "work", 1);
    scheduler.start().await.unwrap();
    test.run_due().await;
    assert_fired!(test, "work", 2);
}

#[tokio::test]
async fn a_changed_calendar_moves_the_triggers_that_name_it() {
    let holiday = |day: u32| {
        let date = NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
        StandardCalendar::new(Exclusion::holidays([date]), chrono_tz::UTC)
    };
    let test = started(Scheduler::builder().register(work()).calendar("holidays", holiday(2))).await;
    let scheduler = test.scheduler();
    let daily = Trigger::cron("0 0 12 * * ?").name("noon").calendar("holidays");
    scheduler.schedule(Invocation::new(detail("work")), daily).await.unwrap();
    assert_eq!(next(&test, "noon").await, minutes(12 * 60));
    test.advance_to("2026-03-01T13:00:00Z").await;
    assert_eq!(next(&test, "noon").await, minutes((48 + 12) * 60), "not on the second");
    scheduler.put_calendar("holidays", holiday(3), true).await.unwrap();
    assert_eq!(next(&test, "noon").await, minutes((24 + 12) * 60), "the second is free now");
    let refused = scheduler.put_calendar("holidays", holiday(9), false).await.unwrap_err();
    assert!(refused.is_conflict(), "{refused}");
    assert!(scheduler.remove_calendar("holidays").await.unwrap_err().is_conflict());
    scheduler.unschedule(&key("noon")).await.unwrap();
    assert!(scheduler.remove_calendar("holidays").await.unwrap());
    assert!(scheduler.calendars().await.unwrap().is_empty());
}

/// The same program starts again, then a newer one.
#[tokio::test]
async fn declared_schedules_are_reconciled_with_what_is_stored() {
    let store = MemoryJobStore::new();
    let program = |triggers: Vec<TriggerBuilder>| {
        let builder =
            Scheduler::builder().name("app").store(store.clone()).prune_undeclared(true).register(work());
        triggers.into_iter().fold(builder, |builder, trigger| {
            builder.schedule(Invocation::new(detail("work").to_builder().durable(true).build()), trigger)
        })
    };
    let first = started(program(vec![hourly("same"), hourly("changed"), hourly("gone")])).await;
    first
        .scheduler()
        .schedule(Invocation::new(detail("work").to_builder().durable(true).build()), hourly("by-hand"))
        .await
        .unwrap();
    first.scheduler().pause(Selection::Trigger(key("same"))).await.unwrap();
    first.advance(Duration::from_secs(1800)).await;
    first.scheduler().shutdown(Duration::ZERO).await;

    let every_two = Trigger::every(Duration::from_secs(7200)).name("changed");
    let triggers = vec![hourly("same").description("now with a word"), every_two, hourly("new")];
    let second = TestScheduler::start("2026-03-01T00:30:00Z", program(triggers)).await.unwrap();
    assert_eq!(names(&second).await, ["by-hand", "changed", "new", "same"]);
    let same = second.scheduler().trigger(&key("same")).await.unwrap().unwrap();
    assert_eq!((same.state, same.progress.next), (TriggerState::Paused, minutes(60)), "it keeps its place");
    assert_eq!(same.trigger.description(), Some("now with a word"));
    assert_eq!(next(&second, "changed").await, minutes(30 + 120), "it began anew, at its start");
}

#[tokio::test]
async fn clearing_leaves_a_scheduler_that_works() {
    let test = started(Scheduler::builder().register(work())).await;
    let scheduler = test.scheduler();
    scheduler.schedule(Invocation::new(detail("work")), hourly("a")).await.unwrap();
    scheduler.clear().await.unwrap();
    assert_eq!(names(&test).await, [""; 0]);
    test.run_due().await;
    test.forget();
    scheduler.schedule(Invocation::new(detail("work")), hourly("a")).await.unwrap();
    test.run_due().await;
    assert_fired!(test, "work", 1);
}

/// Case R4: a job that is stored again as it was does not move its triggers, however many it has, so nobody has anything to hear of.
#[tokio::test]
async fn r4_a_job_that_keeps_its_rules_moves_none_of_its_triggers() {
    let (store, wakes) = (MemoryJobStore::new(), Arc::new(AtomicUsize::new(0)));
    let counter = wakes.clone();
    let wake = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let node = Node {
        session: 1,
        name: "node".into(),
        types: None,
        queues: QueueFilter::default(),
        wake,
        stop: Arc::new(|_, _| {}),
    };
    store.attach(node).await.unwrap();
    let put = async |job: JobDetail, names: &[&str]| {
        let built = |name: &&str| {
            let trigger = hourly(name).job(job.key().clone()).build(NOW.parse().unwrap()).unwrap();
            let progress = trigger.first(None);
            (Arc::new(trigger), progress)
        };
        let triggers = names.iter().map(built).collect();
        let (existing_jobs, existing_triggers) = (Existing::Replace, Existing::Refuse);
        let before = wakes.load(Ordering::SeqCst);
        store
            .put(Put { jobs: vec![Arc::new(job)], existing_jobs, triggers, existing_triggers })
            .await
            .unwrap();
        wakes.load(Ordering::SeqCst) - before
    };
    assert_eq!(put(detail("work"), &["a", "b"]).await, 1);
    assert_eq!(put(detail("work").to_builder().description("changed").build(), &[]).await, 0);
    assert_eq!(
        put(detail("work").to_builder().disallow_concurrent(true).build(), &[]).await,
        1,
        "their places change"
    );
}
