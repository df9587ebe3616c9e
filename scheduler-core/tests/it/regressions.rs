//! Faults that a review has found, each as what must hold instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::calendar::Calendar;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::{Existing, MemoryJobStore, RunQuery, TriggerQuery, TriggerState};
use scheduler_core::testing::{Fault, FaultyStore, TestScheduler, Verb, assert_fired};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::{Misfire, Trigger, TriggerBuilder};
use scheduler_core::{Scheduler, SchedulerBuilder};
use serde::{Deserialize, Serialize};

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

fn exclusive(name: &str) -> JobDetail {
    detail(name).to_builder().disallow_concurrent(true).durable(true).build()
}

fn every(seconds: u64, name: &str) -> TriggerBuilder {
    Trigger::every(Duration::from_secs(seconds)).name(name)
}

async fn started(builder: SchedulerBuilder) -> TestScheduler {
    TestScheduler::start(NOW, builder).await.unwrap()
}

/// Panics from some moment on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Trap(DateTime<Utc>);

#[typetag::serde(name = "trap")]
impl Calendar for Trap {
    fn includes(&self, time: DateTime<Utc>) -> bool {
        assert!(time < self.0, "a calendar with a bug");
        true
    }

    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(time)
    }
}

#[tokio::test]
async fn a_calendar_that_panics_concerns_its_own_trigger() {
    let trap = Trap("2026-03-01T00:00:05Z".parse().unwrap());
    let job = JobDefinition::new(detail("work"), async || {})
        .with_trigger(every(1, "trapped").calendar("trap"))
        .with_trigger(every(1, "free"));
    let test = started(Scheduler::builder().calendar("trap", trap).register(job)).await;
    test.advance(Duration::from_secs(20)).await;
    let of_free = test.fired().iter().filter(|run| run.trigger.name() == "free").count();
    assert_eq!(of_free, 21);
    let trapped = test.scheduler().trigger(&"trapped".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(trapped.state, TriggerState::Error);
}

#[tokio::test]
async fn declared_triggers_without_a_name_get_one_each_and_two_of_one_name_are_a_problem() {
    let two = || {
        JobDefinition::new(detail("work"), async || {})
            .with_trigger(Trigger::every(Duration::from_secs(60)))
            .with_trigger(Trigger::every(Duration::from_secs(90)))
    };
    let store = MemoryJobStore::new();
    for _ in 0..2 {
        let test = started(Scheduler::builder().store(store.clone()).register(two())).await;
        let names = test.scheduler().all_triggers(TriggerQuery::default()).await.unwrap();
        let names: Vec<_> = names.iter().map(|status| status.trigger.key().to_string()).collect();
        assert_eq!(names, ["work", "work-2"]);
        test.scheduler().shutdown(Duration::ZERO).await;
    }
    let other = JobDefinition::new(detail("other"), async || {}).with_trigger(every(5, "work"));
    let error = Scheduler::builder().register(two()).register(other).build().unwrap_err();
    assert!(error.to_string().contains("two triggers are named `work`"), "{error}");
}

#[tokio::test]
async fn a_firing_that_waited_for_a_run_is_taken_by_another_node() {
    let (store, clock, ran) = (MemoryJobStore::new(), ManualClock::at(NOW), Arc::new(AtomicUsize::new(0)));
    let node = || {
        let ran = ran.clone();
        let body = move |context: JobContext| {
            ran.fetch_add(1, Ordering::SeqCst);
            async move { context.clock().sleep(Duration::from_secs(10)).await }
        };
        let job = JobDefinition::new(exclusive("work"), body);
        Scheduler::builder().clock(clock.clone()).store(store.clone()).register(job).build().unwrap()
    };
    let (one, two) = (node(), node());
    one.start().await.unwrap();
    one.schedule(Invocation::new(exclusive("work")), Trigger::now().name("a")).await.unwrap();
    clock.settle().await;
    two.start().await.unwrap();
    one.schedule(Invocation::new(exclusive("work")), Trigger::now().name("b")).await.unwrap();
    one.standby().unwrap();
    clock.advance(Duration::from_secs(11)).await;
    assert_eq!(ran.load(Ordering::SeqCst), 2, "the other node has heard of it");
}

#[tokio::test]
async fn a_claim_that_ends_without_a_run_frees_its_job_at_once() {
    let job = JobDefinition::new(exclusive("work"), async || {})
        .with_trigger(every(3600, "a").misfire(Misfire::Skip).start_after(Duration::from_secs(60)))
        .with_trigger(Trigger::after(Duration::from_secs(61)).name("b"));
    let test = started(Scheduler::builder().register(job)).await;
    test.scheduler().standby().unwrap();
    test.advance(Duration::from_secs(600)).await;
    test.scheduler().start().await.unwrap();
    test.run_due().await;
    assert_eq!(test.fired().len(), 1);
    assert_eq!(test.fired()[0].trigger.name(), "b", "without any time passing");
}

#[tokio::test]
async fn a_run_that_outlives_its_scheduler_gives_its_job_back() {
    let (store, clock) = (MemoryJobStore::new(), ManualClock::at(NOW));
    let body = |context: JobContext| async move { context.clock().sleep(Duration::from_secs(30)).await };
    let build = || {
        let job = JobDefinition::new(exclusive("work"), body);
        Scheduler::builder().clock(clock.clone()).store(store.clone()).register(job).build().unwrap()
    };
    let first = build();
    first.start().await.unwrap();
    first.enqueue(Invocation::new(exclusive("work"))).await.unwrap();
    clock.settle().await;
    drop(first);
    clock.advance(Duration::from_secs(31)).await;
    let second = build();
    second.start().await.unwrap();
    second.enqueue(Invocation::new(exclusive("work"))).await.unwrap();
    clock.settle().await;
    assert_eq!(second.running().len(), 1, "{:?}", second.all_runs(RunQuery::default()).await.unwrap());
}

#[tokio::test]
async fn what_was_declared_and_is_over_is_not_declared_again() {
    let store = MemoryJobStore::new();
    let mut fired = 0;
    for _ in 0..3 {
        let job = JobDefinition::new(detail("work"), async || {})
            .with_trigger(Trigger::at("2026-03-01T00:00:10Z".parse().unwrap()).name("once"))
            .with_trigger(every(1, "thrice").repeat(2));
        let test = started(Scheduler::builder().store(store.clone()).register(job)).await;
        test.advance(Duration::from_secs(60)).await;
        fired += test.fired().len();
        test.scheduler().shutdown(Duration::ZERO).await;
    }
    assert_eq!(fired, 4);
}

#[tokio::test]
async fn a_declared_trigger_may_run_another_job_in_the_next_version() {
    let store = MemoryJobStore::new();
    let version = |job: &'static str| {
        let of_job = |name: &'static str| {
            JobDefinition::new(detail(name).to_builder().durable(true).build(), async || {})
        };
        Scheduler::builder()
            .store(store.clone())
            .register(of_job("old"))
            .register(of_job("new"))
            .schedule(Invocation::new(detail(job).to_builder().durable(true).build()), every(60, "t"))
    };
    let first = started(version("old")).await;
    first.scheduler().shutdown(Duration::ZERO).await;
    let second = started(version("new")).await;
    second.advance(Duration::from_secs(60)).await;
    assert_fired!(second, "old", 0);
    assert!(!second.fired_of("new").is_empty());
}

#[tokio::test]
async fn a_scheduler_is_started_once_and_a_failed_start_leaves_nothing() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = ran.clone();
    let prepare = move |context: JobContext| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move { context.clock().sleep(Duration::from_secs(5)).await }
    };
    let clock = ManualClock::at(NOW);
    let scheduler = Scheduler::builder()
        .clock(clock.clone())
        .register(JobDefinition::new(detail("prepare"), prepare))
        .before_start(Invocation::new(detail("prepare")))
        .build()
        .unwrap();
    let (first, second, _) =
        tokio::join!(scheduler.start(), scheduler.start(), clock.advance(Duration::from_secs(6)));
    assert!(first.is_ok() && second.unwrap_err().is_conflict());
    assert_eq!(ran.load(Ordering::SeqCst), 1);

    let hangs = |context: JobContext| async move { context.clock().sleep(Duration::from_secs(9999)).await };
    let timed = detail("hangs").to_builder().timeout(Duration::from_secs(2)).build();
    let clock = ManualClock::at(NOW);
    let scheduler = Scheduler::builder()
        .clock(clock.clone())
        .register(JobDefinition::new(timed.clone(), hangs))
        .before_start(Invocation::new(timed))
        .build()
        .unwrap();
    let (started, ()) = tokio::join!(scheduler.start(), clock.advance(Duration::from_secs(3)));
    assert!(started.unwrap_err().to_string().contains("timeout"));
    let report = scheduler.shutdown(Duration::from_secs(30)).await;
    assert_eq!(report.running, 0);
}

#[tokio::test]
async fn a_store_that_panics_takes_no_ending_along() {
    let store = FaultyStore::new(MemoryJobStore::new());
    let job = JobDefinition::new(exclusive("work"), async || {}).with_trigger(every(10, "t"));
    let test = started(Scheduler::builder().store(store.clone()).register(job)).await;
    store.inject(Verb::Complete, Fault::Panics, 1);
    test.advance(Duration::from_secs(60)).await;
    assert_fired!(test, "work", 7);
}

#[tokio::test]
async fn a_lost_reply_before_standby_loses_no_firing() {
    let store = FaultyStore::new(MemoryJobStore::new());
    let job = JobDefinition::new(exclusive("work"), async || {}).with_trigger(every(10, "t"));
    let test = started(Scheduler::builder().store(store.clone()).register(job)).await;
    store.inject(Verb::Fire, Fault::LosesReply, 1);
    test.advance(Duration::from_secs(10)).await;
    test.scheduler().standby().unwrap();
    test.advance(Duration::from_secs(1)).await;
    test.scheduler().start().await.unwrap();
    test.advance(Duration::from_secs(29)).await;
    assert_fired!(test, "work", 5);
}

#[tokio::test]
async fn an_unchanged_calendar_brings_no_merged_firing_back() {
    let holidays = || {
        let date = chrono::NaiveDate::from_ymd_opt(2026, 12, 25).unwrap();
        let exclusion = scheduler_core::calendar::Exclusion::holidays([date]);
        scheduler_core::calendar::StandardCalendar::new(exclusion, chrono_tz::UTC)
    };
    let cron = Trigger::cron("0/10 * * * * ?").name("t").calendar("holidays").misfire(Misfire::FireNow);
    let job = JobDefinition::new(detail("work"), async || {}).with_trigger(cron);
    let test = started(Scheduler::builder().calendar("holidays", holidays()).register(job)).await;
    test.scheduler().standby().unwrap();
    test.advance(Duration::from_secs(75)).await;
    test.scheduler().start().await.unwrap();
    test.run_due().await;
    let before = test.fired().len();
    test.scheduler().put_calendar("holidays", holidays(), true).await.unwrap();
    test.run_due().await;
    assert_eq!(test.fired().len(), before);
}

#[tokio::test]
async fn what_is_scheduled_beside_something_tells_when_that_fires() {
    let job = JobDefinition::new(detail("work").to_builder().durable(true).build(), async || {});
    let test = started(Scheduler::builder().register(job)).await;
    let invocation = || Invocation::new(detail("work").to_builder().durable(true).build());
    let first =
        test.scheduler().schedule(invocation(), Trigger::cron("0 0 12 * * ?").name("t")).await.unwrap();
    let earlier = vec![(invocation(), Trigger::cron("0 0 1 * * ?").name("t"))];
    let kept = test.scheduler().schedule_all(earlier, Existing::Keep).await.unwrap();
    assert_eq!(kept[0].first_fire_time, first.first_fire_time);
}

#[tokio::test]
async fn a_timeout_works_while_the_store_fails() {
    let store = FaultyStore::new(MemoryJobStore::new());
    let endless = async |context: JobContext| context.clock().sleep(Duration::from_secs(9999)).await;
    let brief = async |context: JobContext| context.clock().sleep(Duration::from_secs(2)).await;
    let of_endless = detail("endless").to_builder().timeout(Duration::from_secs(10)).build();
    let builder = Scheduler::builder()
        .store(store.clone())
        .register(JobDefinition::new(of_endless, endless).with_trigger(Trigger::now()))
        .register(JobDefinition::new(detail("brief"), brief).with_trigger(Trigger::now()));
    let test = started(builder).await;
    test.advance(Duration::from_secs(1)).await;
    assert_eq!(test.scheduler().running().len(), 2);
    store.inject_everywhere(Fault::Fails);
    test.advance(Duration::from_secs(10)).await;
    assert_eq!(test.scheduler().running().len(), 0, "it was taken away in time");
    store.heal();
    test.advance(Duration::from_secs(60)).await;
    assert_fired!(test, "endless", 1);
}

#[tokio::test]
async fn a_backlog_does_not_keep_what_is_on_time_waiting() {
    for places in [1, 2, 8] {
        let short = async |context: JobContext| context.clock().sleep(Duration::from_millis(100)).await;
        let mut backlog = JobDefinition::new(detail("backlog"), short);
        for number in 0..400 {
            let an_hour_ago = NOW.parse::<DateTime<Utc>>().unwrap() - chrono::TimeDelta::hours(1);
            backlog = backlog.with_trigger(Trigger::at(an_hour_ago).name(&format!("late{number:03}")));
        }
        let punctual = JobDefinition::new(detail("punctual"), async || {}).with_trigger(every(1, "punctual"));
        let builder = Scheduler::builder().concurrency(places).register(backlog).register(punctual);
        let test = started(builder).await;
        test.advance(Duration::from_millis(4900)).await;
        let fired = test.fired();
        let punctual: Vec<_> = fired.iter().filter(|run| run.trigger.name() == "punctual").collect();
        assert_eq!(punctual.len(), 5, "with {places} places");
        for run in &punctual {
            let lateness = run.fired - run.scheduled;
            assert!(lateness <= chrono::TimeDelta::milliseconds(100), "{lateness} with {places} places");
        }
        let late = fired.len() - punctual.len();
        assert!(late >= places * 44, "{late} late ones with {places} places");
        test.advance(Duration::from_secs(60)).await;
        assert_eq!(test.fired().iter().filter(|run| run.trigger.name() != "punctual").count(), 400);
        test.scheduler().shutdown(Duration::ZERO).await;
    }
}
