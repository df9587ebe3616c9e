//! What describes a scheduler can be written as JSON: names in snake case, keys as group and name, ids as texts, times as RFC 3339, durations in
//! milliseconds (N15).

use std::time::Duration;

use scheduler_core::host::ServiceState;
use scheduler_core::job::{CancelReason, ExecutionId, JobDefinition, JobDetail, JobError, Outcome};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{GroupKind, Removed, Selection};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, Scheduler, TriggerKey};
use serde::Serialize;
use serde_json::{Value, json};

fn json(status: impl Serialize) -> Value {
    serde_json::to_value(status).expect("a status can be written")
}

#[test]
fn n15_values_without_a_scheduler() {
    let cases = [
        (json(Outcome::Succeeded), json!({ "outcome": "succeeded" })),
        (
            json(Outcome::Failed(JobError::new("no route"))),
            json!({ "outcome": "failed", "failure": "no route" }),
        ),
        (
            json(Outcome::TimedOut),
            json!({ "outcome": "timed out", "failure": "ran longer than its timeout allows" }),
        ),
        (json(CancelReason::ClaimLost), json!("claim_lost")),
        (json(GroupKind::Triggers), json!("triggers")),
        (json(ExecutionId::new(161, 47)), json!("00000000000000a1-2f")),
        (json(Removed { found: true, job_removed: false }), json!({ "found": true, "job_removed": false })),
        (
            json(ServiceState::Restarting { failure: "no route".into(), after: Duration::from_millis(1500) }),
            json!({ "state": "restarting", "failure": "no route", "after_ms": 1500.0 }),
        ),
    ];
    for (written, expected) in cases {
        assert_eq!(written, expected);
    }
}

#[tokio::test]
async fn n15_statuses_of_a_scheduler() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let key = JobKey::in_group("shop", "bill").unwrap();
    let scheduler = Scheduler::builder()
        .name("shop")
        .clock(clock.clone())
        .register(JobDefinition::new(JobDetail::builder(key, "bill").build(), async || {}))
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    let mut events = scheduler.events();
    let detail = JobDetail::builder(JobKey::in_group("shop", "bill").unwrap(), "bill").build();
    let hourly =
        Trigger::every(Duration::from_secs(3600)).start_after(Duration::from_secs(60)).name("shop/hourly");
    let scheduled = scheduler.schedule(detail, hourly).await.unwrap();
    assert_eq!(
        json(&scheduled),
        json!({ "trigger": ["shop", "hourly"], "first_fire_time": "2026-03-01T00:01:00Z" })
    );

    let triggers = json(scheduler.all_triggers(Default::default()).await.unwrap());
    assert_eq!(triggers[0]["trigger"]["key"], json!(["shop", "hourly"]));
    assert_eq!(triggers[0]["trigger"]["job"], json!(["shop", "bill"]));
    assert_eq!(triggers[0]["state"], "normal");
    assert_eq!(triggers[0]["progress"]["next"], "2026-03-01T00:01:00Z");

    scheduler.pause(Selection::All).await.unwrap();
    let key: TriggerKey = "shop/hourly".parse().unwrap();
    let explanation = json(scheduler.explain(&key).await.unwrap());
    assert_eq!(explanation["trigger"], json!(["shop", "hourly"]));
    assert_eq!(explanation["reasons"][0]["reason"], "paused");
    scheduler.resume(Selection::All).await.unwrap();

    clock.advance(Duration::from_secs(60)).await;
    let mut ended = None;
    while ended.is_none() {
        let event = events.next().await.expect("the scheduler runs");
        ended = matches!(event, Event::Ended { .. }).then(|| json(event));
    }
    let ended = ended.unwrap();
    assert_eq!(ended["event"], "ended");
    assert_eq!(ended["job"], json!(["shop", "bill"]));
    assert_eq!(ended["outcome"], "succeeded");
    assert_eq!(ended["took_ms"], 0.0);
    assert!(ended["execution"].is_string(), "{ended}");

    assert_eq!(json(scheduler.running()), json!([]));
    assert_eq!(json(scheduler.executions(scheduler_core::store::Executions::All).await.unwrap()), json!([]));
    assert_eq!(json(scheduler.nodes().await.unwrap())[0]["silent_ms"], 0.0);
    let report = json(scheduler.shutdown(Duration::from_secs(1)).await);
    assert_eq!(report["aborted"], json!([]));
}

#[tokio::test]
async fn n12_the_mark_of_a_start_up_task_is_in_no_list() {
    use scheduler_core::host::{Host, start_up};
    use scheduler_core::store::{JobQuery, TriggerQuery};
    use scheduler_core::testing::TestHost;

    for interval in [1, 3] {
        let task = start_up("migrate", async || {}).once_per_cluster(interval);
        let again = start_up("seed", async || {}).once_per_cluster(interval);
        let builder = Host::builder().scheduler(Scheduler::builder()).service(task).service(again);
        let test = TestHost::start("2026-03-01T00:00:00Z", builder).await.unwrap();
        let scheduler = test.scheduler();
        assert!(test.handle().health().ready);
        assert!(scheduler.all_triggers(TriggerQuery::default()).await.unwrap().is_empty());
        assert!(scheduler.all_jobs(JobQuery::default()).await.unwrap().is_empty());
        assert!(!format!("{:?}", scheduler.metadata()).contains("9999-12-31"));
        test.stop().await.unwrap();
    }
}
