//! The store in memory, verb by verb where the scheduler does not show it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::JobDetail;
use scheduler_core::store::*;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, TriggerKey};

fn now() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn job(name: &str, exclusive: bool) -> Arc<JobDetail> {
    Arc::new(JobDetail::builder(JobKey::new(name).unwrap(), "work").disallow_concurrent(exclusive).build())
}

async fn put(store: &MemoryJobStore, job: &Arc<JobDetail>, name: &str, delay: i64, priority: i32) {
    let trigger =
        Trigger::every(Duration::from_secs(60)).name(name).job(job.key().clone()).priority(priority);
    let trigger = trigger.start_at(now() + TimeDelta::seconds(delay)).build(now()).unwrap();
    let progress = trigger.first(None);
    let (jobs, triggers) = (vec![job.clone()], vec![(Arc::new(trigger), progress)]);
    store
        .put(Put { jobs, existing_jobs: Existing::Keep, triggers, existing_triggers: Existing::Refuse })
        .await
        .unwrap();
}

async fn acquire(store: &MemoryJobStore, at: DateTime<Utc>, max: usize) -> Vec<AcquiredTrigger> {
    store
        .acquire_due(AcquireDue { session: 1, now: at, until: at, max, limits: ExecutionLimits::default() })
        .await
        .unwrap()
        .triggers
}

fn names(acquired: &[AcquiredTrigger]) -> Vec<String> {
    acquired.iter().map(|acquired| acquired.trigger.key().to_string()).collect()
}

async fn fire(store: &MemoryJobStore, acquired: &AcquiredTrigger) -> FireResult {
    let progress = acquired.trigger.fired(&acquired.progress, None);
    let firing = Firing { claim: acquired.claim, progress, run: true };
    store.fire(Fire { now: now(), firings: vec![firing] }).await.unwrap().remove(0)
}

async fn complete(store: &MemoryJobStore, acquired: &AcquiredTrigger) -> CompleteResult {
    let completion = Completion::of(acquired.claim);
    store.complete(Complete { now: now(), executions: vec![completion] }).await.unwrap()[0]
}

async fn pause(store: &MemoryJobStore, what: Selection) -> Vec<TriggerKey> {
    store.pause(Pause { what, note: PauseNote::at(now()) }).await.unwrap()
}

async fn state(store: &MemoryJobStore, name: &str) -> TriggerState {
    let query = TriggerQuery { keys: vec![name.parse().unwrap()], ..TriggerQuery::default() };
    store.triggers(query).await.unwrap()[0].state
}

#[tokio::test]
async fn hand_out_is_by_time_then_priority_then_key() {
    let store = MemoryJobStore::new();
    let job = job("work", false);
    for (name, delay, priority) in [("late", 2, 9), ("b", 1, 5), ("a", 1, 5), ("high", 1, 7), ("z/a", 1, 5)] {
        put(&store, &job, name, delay, priority).await;
    }
    let acquired = acquire(&store, now() + TimeDelta::seconds(5), 10).await;
    assert_eq!(names(&acquired), ["high", "a", "b", "z/a", "late"]);
}

#[tokio::test]
async fn a_job_that_disallows_concurrent_runs_has_one_claim_whatever_happens_to_its_triggers() {
    let store = MemoryJobStore::new();
    let job = job("work", true);
    for name in ["a", "b", "c"] {
        put(&store, &job, name, 0, 5).await;
    }
    let first = acquire(&store, now(), 10).await;
    assert_eq!(names(&first), ["a"]);
    assert!(acquire(&store, now(), 10).await.is_empty());
    assert_eq!(state(&store, "b").await, TriggerState::Normal, "nothing runs yet");
    assert!(matches!(fire(&store, &first[0]).await, FireResult::Run { .. }));
    assert_eq!(state(&store, "b").await, TriggerState::Blocked);
    assert_eq!(state(&store, "a").await, TriggerState::Executing);
    pause(&store, Selection::Trigger("b".parse().unwrap())).await;
    assert!(acquire(&store, now(), 10).await.is_empty());
    assert!(matches!(complete(&store, &first[0]).await, CompleteResult::Done { trigger_removed: false, .. }));
    assert!(matches!(complete(&store, &first[0]).await, CompleteResult::Gone));
    let second = acquire(&store, now(), 10).await;
    assert_eq!(names(&second), ["c"], "b is paused");
    store.resume(Selection::All).await.unwrap();
    assert!(acquire(&store, now(), 10).await.is_empty(), "c holds the job");
    store.remove_triggers(vec!["c".parse().unwrap()]).await.unwrap();
    assert!(matches!(fire(&store, &second[0]).await, FireResult::Stale));
    assert_eq!(names(&acquire(&store, now(), 10).await), ["b"], "removing c has freed the job");
}

#[tokio::test]
async fn a_claim_that_is_never_fired_lapses() {
    let store = MemoryJobStore::new();
    put(&store, &job("work", false), "a", 0, 5).await;
    let first = acquire(&store, now(), 1).await;
    assert!(acquire(&store, now() + TimeDelta::seconds(29), 1).await.is_empty());
    let second = acquire(&store, now() + TimeDelta::seconds(31), 1).await;
    assert_eq!(names(&second), ["a"]);
    assert!(matches!(fire(&store, &first[0]).await, FireResult::Stale));
    assert!(matches!(fire(&store, &second[0]).await, FireResult::Run { .. }));
}

#[tokio::test]
async fn pausing_takes_an_unfired_claim_away() {
    let store = MemoryJobStore::new();
    put(&store, &job("work", false), "a", 0, 5).await;
    let acquired = acquire(&store, now(), 1).await;
    assert_eq!(pause(&store, Selection::Job("work".parse().unwrap())).await.len(), 1);
    assert_eq!(pause(&store, Selection::All).await, [], "a second pause changes nothing");
    assert!(matches!(fire(&store, &acquired[0]).await, FireResult::Stale));
    assert_eq!(state(&store, "a").await, TriggerState::Paused);
    store.resume(Selection::All).await.unwrap();
    store.release(vec![acquired[0].claim]).await.unwrap();
    assert_eq!(names(&acquire(&store, now(), 1).await), ["a"]);
}

#[tokio::test]
async fn a_job_that_cannot_be_run_puts_its_triggers_into_error_until_they_are_reset() {
    let store = MemoryJobStore::new();
    let job = job("work", false);
    put(&store, &job, "a", 0, 5).await;
    put(&store, &job, "b", 0, 5).await;
    let acquired = acquire(&store, now(), 1).await;
    fire(&store, &acquired[0]).await;
    let failed = Completion { instruction: Instruction::FailJob, ..Completion::of(acquired[0].claim) };
    store.complete(Complete { now: now(), executions: vec![failed] }).await.unwrap();
    assert_eq!(
        (state(&store, "a").await, state(&store, "b").await),
        (TriggerState::Error, TriggerState::Error)
    );
    assert!(acquire(&store, now(), 10).await.is_empty());
    assert_eq!(store.resume(Selection::All).await.unwrap(), [], "resuming does not hide an error");
    assert_eq!(store.reset(vec!["a".parse().unwrap(), "x".parse().unwrap()]).await.unwrap(), [true, false]);
    assert_eq!(pause(&store, Selection::Trigger("b".parse().unwrap())).await, []);
}

#[tokio::test]
async fn lists_are_paged_in_the_order_of_keys() {
    let store = MemoryJobStore::new();
    for name in ["c", "a", "g/b", "b"] {
        put(&store, &job(name.trim_start_matches("g/"), false), name, 0, 5).await;
    }
    let page = |after: Option<&str>| TriggerQuery {
        after: after.map(|key| key.parse().unwrap()),
        limit: Some(3),
        ..TriggerQuery::default()
    };
    let keys = |found: Vec<TriggerStatus>| {
        found.iter().map(|status| status.trigger.key().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(keys(store.triggers(page(None)).await.unwrap()), ["a", "b", "c"]);
    assert_eq!(keys(store.triggers(page(Some("c"))).await.unwrap()), ["g/b"]);
    let jobs = store.jobs(JobQuery::default()).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.key().name()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let orphan = Trigger::now().name("x").for_job("nowhere").build(now()).unwrap();
    let triggers = vec![(Arc::new(orphan), Default::default())];
    let put =
        Put { jobs: Vec::new(), existing_jobs: Existing::Keep, triggers, existing_triggers: Existing::Keep };
    assert!(store.put(put).await.unwrap_err().is_not_found());
}
