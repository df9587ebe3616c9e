//! Runs of a queue that take turns by their keys.

use std::sync::Arc;

use parking_lot::Mutex;
use scheduler_core::client::Obstacle;
use scheduler_core::job::{Invocation, JobContext, JobDefinition};
use scheduler_core::run::{FairKey, RunId};
use scheduler_core::store::RunQuery;
use scheduler_core::testing::TestScheduler;
use scheduler_core::{JobData, Scheduler};

use crate::retrying::{NOW, detail};

type Begun = Arc<Mutex<String>>;

fn key_of(data: &JobData) -> String {
    data.get("key").unwrap().unwrap_or_default()
}

/// A job that notes its key, one run at a time; on standby until the test lets it go.
async fn start(fair: bool) -> (TestScheduler, Begun) {
    let begun = Begun::default();
    let noted = begun.clone();
    let job = JobDefinition::new(detail("work"), move |context: JobContext| {
        let (begun, key) = (noted.clone(), key_of(context.data()));
        async move { begun.lock().push_str(&key) }
    });
    let job = if fair { job.fair_by(key_of) } else { job };
    let builder = Scheduler::builder().register(job).concurrency(1);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().standby().unwrap();
    (test, begun)
}

fn call(key: &str) -> Invocation {
    Invocation::new(detail("work").to_builder().data(JobData::new().with("key", key)).build())
}

async fn enqueue(test: &TestScheduler, keys: &str) -> Vec<RunId> {
    let mut runs = Vec::new();
    for key in keys.chars() {
        runs.push(test.scheduler().enqueue(call(&key.to_string())).await.unwrap());
    }
    runs
}

async fn begin(test: &TestScheduler) {
    test.scheduler().start().await.unwrap();
    test.drain().await;
}

#[tokio::test]
async fn keys_begin_in_turn() {
    let (test, begun) = start(true).await;
    enqueue(&test, "aaaaabbc").await;
    begin(&test).await;
    assert_eq!(*begun.lock(), "abcabaaa");
}

#[tokio::test]
async fn runs_without_a_key_begin_in_the_order_of_due_times() {
    let (test, begun) = start(false).await;
    enqueue(&test, "aaaaabbc").await;
    begin(&test).await;
    assert_eq!(*begun.lock(), "aaaaabbc");
}

#[tokio::test]
async fn the_key_of_a_call_takes_the_place_of_that_of_the_job() {
    let (test, begun) = start(true).await;
    enqueue(&test, "aaa").await;
    let key = FairKey::of("another").and(1);
    test.scheduler().enqueue(call("a")).fair(&key).await.unwrap();
    test.scheduler().enqueue(call("b")).fair("a").await.unwrap();
    begin(&test).await;
    assert_eq!(*begun.lock(), "aaaab", "the last one is behind three of its key");
}

#[tokio::test]
async fn a_run_says_how_many_of_its_key_come_first() {
    let (test, _) = start(true).await;
    let runs = enqueue(&test, "aaab").await;
    let explain = async |run: RunId| test.scheduler().explain_run(run).await.unwrap().unwrap();
    let third = explain(runs[2]).await;
    assert!(third.reasons.contains(&Obstacle::BehindKey { key: "a".into(), before: 2 }), "{third}");
    let words =
        "2 runs of its fair key `a` come first; of each key of the queue one run begins in each round";
    assert!(third.to_string().contains(words), "{third}");
    for first in [runs[0], runs[3]] {
        let first = explain(first).await;
        assert!(!first.reasons.iter().any(|reason| matches!(reason, Obstacle::BehindKey { .. })), "{first}");
    }
    let known = test.scheduler().all_runs(RunQuery::one(runs[3])).await.unwrap();
    assert_eq!(known[0].fair.as_deref(), Some("b"));
}
