//! Counters of attempts: every end is counted, by function, queue and outcome, without anybody asking for it.

use std::collections::BTreeMap;
use std::time::Duration;

use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::run::{Backoff, RetryPolicy};
use scheduler_core::store::{CountQuery, CountStep, FiringOutcome, MemoryJobStore};
use scheduler_core::testing::{Fault, FaultyStore, TestScheduler, Verb};
use scheduler_core::trigger::Trigger;

use crate::retrying::{NOW, detail};

fn letters() -> JobDetail {
    let policy = RetryPolicy::new(1, Backoff::fixed(Duration::from_secs(10)).unwrap()).jitter(0.0).unwrap();
    detail("send").to_builder().queue("mail").retry(policy).build()
}

/// Takes three seconds; letters to nobody are refused.
fn send() -> JobDefinition {
    JobDefinition::new(letters(), async |to: String, context: JobContext| {
        context.clock().sleep(Duration::from_secs(3)).await;
        if to == "nobody" { Err(JobError::new("no such address")) } else { Ok(()) }
    })
}

async fn counted(
    test: &TestScheduler,
    step: CountStep,
) -> BTreeMap<(String, Option<String>, FiringOutcome), u64> {
    let mut sums = BTreeMap::new();
    for bucket in test.scheduler().counts(CountQuery::kept(step, test.now())).await.unwrap() {
        let key = &bucket.ends.key;
        let key = (key.job_type.to_string(), key.queue.as_deref().map(str::to_owned), key.outcome);
        *sums.entry(key).or_default() += bucket.ends.count;
    }
    sums
}

#[tokio::test]
async fn each_attempt_is_counted_once() {
    let sweep = JobDefinition::new(detail("sweep"), async || {});
    let test =
        TestScheduler::start(NOW, Scheduler::builder().register(send()).register(sweep)).await.unwrap();
    let scheduler = test.scheduler();
    for to in ["ada", "bob", "nobody"] {
        scheduler.enqueue(Invocation::with_args(letters(), &to)).await.unwrap();
    }
    let minutely = Trigger::every(Duration::from_secs(60)).name("minutely").repeat(4);
    scheduler.schedule(detail("sweep"), minutely).await.unwrap();
    test.advance(Duration::from_secs(600)).await;
    let sent = |outcome| ("send".to_owned(), Some("mail".to_owned()), outcome);
    let wanted = BTreeMap::from([
        (sent(FiringOutcome::Succeeded), 2),
        (sent(FiringOutcome::Failed), 2),
        (("sweep".to_owned(), None, FiringOutcome::Succeeded), 5),
    ]);
    for step in CountStep::ALL {
        assert_eq!(counted(&test, step).await, wanted, "{step:?}");
    }
    let query = CountQuery::kept(CountStep::Day, test.now()).of_outcome(FiringOutcome::Failed);
    let failed = scheduler.counts(query).await.unwrap().pop().unwrap().ends;
    assert_eq!(failed.durations.quantile(1.0), Some(Duration::from_millis(4096)), "3 s is less than this");
    assert_eq!(failed.latest.to_rfc3339(), "2026-03-01T00:00:16+00:00", "when the retry ended");
}

/// What cannot be counted is no reason to stop.
#[tokio::test]
async fn a_store_that_cannot_count_still_runs_everything() {
    let store = FaultyStore::new(MemoryJobStore::new());
    store.inject(Verb::Count, Fault::Fails, usize::MAX);
    let builder = Scheduler::builder().store(store).register(send());
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    for _ in 0..3 {
        test.scheduler().enqueue(Invocation::with_args(letters(), &"ada")).await.unwrap();
        test.advance(Duration::from_secs(5)).await;
    }
    assert_eq!(test.fired_of("send").len(), 3);
    assert!(counted(&test, CountStep::Day).await.is_empty());
}
