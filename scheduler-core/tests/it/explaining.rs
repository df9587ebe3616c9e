//! Why something does not run, told for each thing that can stand in its way.

use std::time::Duration;

use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::{MemoryJobStore, PauseNote, Selection};
use scheduler_core::testing::TestScheduler;
use scheduler_core::trigger::{OverlapPolicy, Trigger, TriggerBuilder};

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

fn takes_an_hour(name: &str, exclusive: bool) -> JobDefinition {
    let body = |context: JobContext| async move { context.clock().sleep(Duration::from_secs(3600)).await };
    JobDefinition::new(detail(name).to_builder().disallow_concurrent(exclusive).build(), body)
}

fn minutely(name: &str) -> TriggerBuilder {
    Trigger::every(Duration::from_secs(60)).name(name)
}

async fn explained(test: &TestScheduler, trigger: &str) -> String {
    test.scheduler().explain(&trigger.parse().unwrap()).await.unwrap().to_string()
}

#[tokio::test]
async fn each_obstacle_is_named() {
    let stops =
        JobDefinition::new(
            detail("stops"),
            |context: JobContext| async move { context.unschedule_trigger() },
        );
    let builder = Scheduler::builder()
        .concurrency(3)
        .limit_queue("small", 1)
        .register(takes_an_hour("one", true).with_trigger(minutely("one/a")).with_trigger(minutely("one/b")))
        .register(takes_an_hour("skips", false).with_trigger(minutely("skips").overlap(OverlapPolicy::Skip)))
        .register(takes_an_hour("small", false).with_trigger(minutely("small").queue("small")))
        .register(stops.with_trigger(Trigger::every(Duration::from_secs(60)).name("stops")));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.advance(Duration::from_secs(61)).await;
    let rows = [
        ("nowhere", "it is not stored: never scheduled, fired for the last time, or removed"),
        ("one/b", "job `one` allows one run at a time, and "),
        ("one/b", "by `one/a` has it since 2026-03-01 00:00:00 UTC"),
        ("skips", "its previous run "),
        ("skips", "a firing that is due meanwhile is dropped"),
        ("small", "1 runs of queue `small` are under way, which is its limit here"),
        ("small", "all 3 slots of this node are in use"),
        ("small", "it fired last at 2026-03-01 00:00:00 UTC"),
    ];
    for (trigger, expected) in rows {
        let shown = explained(&test, trigger).await;
        assert!(shown.contains(expected), "`{expected}` is not in:\n{shown}");
    }
}

#[tokio::test]
async fn what_is_over_paused_or_early_is_told() {
    let stops =
        JobDefinition::new(
            detail("stops"),
            |context: JobContext| async move { context.unschedule_trigger() },
        );
    let builder = Scheduler::builder().register(stops.with_trigger(minutely("stops"))).register(
        JobDefinition::new(detail("work"), async || {})
            .with_trigger(minutely("later").start_after(Duration::from_secs(600)))
            .with_trigger(minutely("paused").start_after(Duration::from_secs(600))),
    );
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let note = PauseNote::because("the tables are moved").by("ada");
    test.scheduler().pause_with(Selection::Trigger("paused".parse().unwrap()), note).await.unwrap();
    assert_eq!(
        explained(&test, "stops").await,
        "trigger `stops` does not fire:\n  it is complete and will not fire again; reschedule it\n  it fired last at 2026-03-01 00:00:00 UTC"
    );
    assert_eq!(
        explained(&test, "later").await,
        "trigger `later` does not fire:\n  it is due at 2026-03-01 00:10:00 UTC"
    );
    let paused = explained(&test, "paused").await;
    assert!(
        paused.contains("it is paused since 2026-03-01 00:00:00 UTC by ada: the tables are moved"),
        "{paused}"
    );
    test.advance(Duration::from_secs(590)).await;
    test.scheduler().standby().unwrap();
    test.advance(Duration::from_secs(10)).await;
    assert_eq!(
        explained(&test, "later").await,
        "trigger `later` does not fire:\n  this scheduler is standby"
    );
    let value =
        serde_json::to_value(test.scheduler().explain(&"later".parse().unwrap()).await.unwrap()).unwrap();
    assert_eq!(value["reasons"][0]["reason"], "not_running");
}

#[tokio::test]
async fn a_job_of_another_node_is_told() {
    let store = MemoryJobStore::new();
    let other = Scheduler::builder().store(store.clone()).register(takes_an_hour("foreign", false));
    let other = TestScheduler::start(NOW, other).await.unwrap();
    other.scheduler().standby().unwrap();
    other.scheduler().schedule(Invocation::new(detail("foreign")), minutely("t")).await.unwrap();
    let test = TestScheduler::start(NOW, Scheduler::builder().store(store)).await.unwrap();
    let shown = explained(&test, "t").await;
    assert!(shown.contains("this node cannot run `foreign`; register the job here"), "{shown}");
}

#[tokio::test]
async fn v3_the_last_run_of_a_trigger_that_goes_on_is_named() {
    for trigger in [Trigger::now(), Trigger::every(Duration::from_secs(60)).repeat(0)] {
        let builder =
            Scheduler::builder().register(takes_an_hour("once", false).with_trigger(trigger.name("once")));
        let test = TestScheduler::start(NOW, builder).await.unwrap();
        test.run_due().await;
        let said = explained(&test, "once").await;
        assert!(
            said.contains("its last run ") && said.contains("goes on since 2026-03-01 00:00:00 UTC"),
            "{said}"
        );
        assert!(!said.contains("reschedule"), "{said}");
        test.advance(Duration::from_secs(3601)).await;
        let said = explained(&test, "once").await;
        assert!(said.contains("it is complete"), "{said}");
    }
}
