//! Occurrences of triggers whose jobs have limits or sequences, and limits that are more than a place to wait.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::client::Obstacle;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobError, JobResult};
use scheduler_core::run::{FiringCause, Hold, Limit, RunEnd, RunState, Sequence, WhenFull};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{
    Cause, FiringQuery, JobQuery, MemoryJobStore, RunQuery, RunStatus, TriggerQuery,
};
use scheduler_core::testing::{TestScheduler, assert_fired};
use scheduler_core::trigger::{OverlapPolicy, Trigger};
use scheduler_core::{JobData, Scheduler};

use crate::limits_by_key::{call, counting, running, start};
use crate::retrying::{MINUTE, NOW, detail, retried, told};

fn every(minutes: u32, name: &str) -> scheduler_core::trigger::TriggerBuilder {
    Trigger::every(MINUTE * minutes).name(name)
}

async fn waiting(test: &TestScheduler) -> usize {
    let query = RunQuery::default().in_state(RunState::Waiting);
    test.scheduler().runs(query).await.unwrap().items.len()
}

#[tokio::test]
async fn occurrences_of_triggers_wait_for_the_limits_of_their_job() {
    let (test, counts) = start().await;
    let scheduler = test.scheduler();
    let mut events = scheduler.events();
    for name in ["one", "two", "three"] {
        scheduler.schedule(call("a"), every(60, name)).await.unwrap();
    }
    scheduler.enqueue(call("a")).await.unwrap();
    test.run_due().await;
    assert_eq!((running(&test).await, waiting(&test).await), (2, 2));
    let stored = scheduler.runs(RunQuery::default().in_state(RunState::Waiting)).await.unwrap().items;
    let why = scheduler.explain_run(stored[0].id).await.unwrap().unwrap();
    assert!(matches!(&why.reasons[..], [Obstacle::Limited { .. }]), "{why}");
    test.advance(MINUTE * 2).await;
    assert_eq!((running(&test).await, waiting(&test).await), (0, 0));
    assert_eq!(counts.lock().values().copied().collect::<Vec<_>>(), [(0, 2)]);
    let records = scheduler.firings(FiringQuery::default()).await.unwrap().items;
    let of_triggers = records.iter().filter(|record| record.trigger.is_some());
    assert_eq!(of_triggers.filter(|record| record.cause == FiringCause::Schedule).count(), 3);
    let mut limited = 0;
    while let Some(event) = told(&mut events).await {
        limited += usize::from(matches!(event, Event::Limited { .. }));
    }
    assert_eq!(limited, 2);
    test.advance(MINUTE * 60).await;
    assert_fired!(test, "work", 7);
}

#[tokio::test]
async fn a_trigger_that_fires_once_leaves_its_occurrence_in_the_queue() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    for _ in 0..3 {
        scheduler.schedule(call("a"), Trigger::now()).await.unwrap();
    }
    test.run_due().await;
    assert!(scheduler.all_triggers(TriggerQuery::default()).await.unwrap().is_empty());
    assert_eq!((running(&test).await, waiting(&test).await), (2, 1));
    test.drain().await;
    assert_fired!(test, "work", 3);
    assert!(scheduler.all_jobs(JobQuery::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_next_occurrence_takes_the_place_of_one_that_waits_unless_all_are_wanted() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    scheduler.schedule(call("a"), every(1, "all").overlap(OverlapPolicy::AllowAll)).await.unwrap();
    scheduler.schedule(call("b"), every(1, "latest").overlap(OverlapPolicy::Skip)).await.unwrap();
    let limit = scheduler_core::store::LimitOverride::of(0);
    scheduler.set_limit("work", None, limit).await.unwrap();
    test.advance(MINUTE * 3 + Duration::from_secs(30)).await;
    let stored = scheduler.all_runs(RunQuery::default().in_state(RunState::Waiting)).await.unwrap();
    let of = |name: &str| {
        let is_of =
            |run: &&RunStatus| matches!(&run.cause, Cause::Trigger { trigger, .. } if trigger.name() == name);
        stored.iter().filter(is_of).count()
    };
    assert_eq!((of("all"), of("latest")), (4, 1));
}

#[tokio::test]
async fn an_occurrence_that_fails_in_the_queue_is_not_retried_unless_its_job_says_so() {
    let tries = Arc::new(Mutex::new(0));
    let failing = |name: &str, max: Option<u32>| {
        let tries = tries.clone();
        let detail = max.map_or_else(|| detail(name), |max| retried(name, max));
        let job = JobDefinition::new(detail, move || {
            *tries.lock() += 1;
            async { JobResult::Err(JobError::new("no")) }
        });
        job.limit_by(|_| Limit::new("one", 1))
    };
    let builder = Scheduler::builder().register(failing("once", None)).register(failing("thrice", Some(2)));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().schedule(Invocation::new(detail("once")), Trigger::now()).await.unwrap();
    test.drain().await;
    assert_eq!(*tries.lock(), 1);
    assert!(
        test.scheduler().all_runs(RunQuery::default()).await.unwrap().is_empty(),
        "it has a successor or none"
    );
    test.scheduler().schedule(Invocation::new(retried("thrice", 2)), Trigger::now()).await.unwrap();
    test.drain().await;
    assert_eq!(*tries.lock(), 4);
    assert_eq!(test.scheduler().all_runs(RunQuery::dead()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn occurrences_belong_to_the_sequence_of_their_job() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let noting = order.clone();
    let job = JobDefinition::new(detail("book"), move |context: JobContext| {
        let order = noting.clone();
        async move {
            order.lock().push((context.trigger().key().name().to_owned(), true));
            context.clock().sleep(MINUTE).await;
            order.lock().push((context.trigger().key().name().to_owned(), false));
        }
    });
    let job = job.sequence_by(|_| Sequence::of("account"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    for name in ["first", "second"] {
        test.scheduler().schedule(Invocation::new(detail("book")), every(60, name)).await.unwrap();
        test.run_due().await;
    }
    test.advance(MINUTE * 3).await;
    let order: Vec<_> = order.lock().iter().map(|(name, begins)| format!("{name} {begins}")).collect();
    assert_eq!(order, ["first true", "first false", "second true", "second false"]);
}

#[tokio::test]
async fn a_limit_that_cannot_be_made_ends_the_occurrence_and_nothing_else() {
    let (job, _) = counting();
    let job = job.limit(|number: &u64| Limit::new("number", 1).key(number));
    let panics = JobDefinition::new(detail("panics"), || async {});
    let panics = panics.limit_by(|_: &JobData| panic!("no limit today"));
    let store = MemoryJobStore::keeping_history(100);
    let builder = Scheduler::builder().store(store).register(job).register(panics);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().schedule(call("a"), every(60, "wrong")).await.unwrap();
    test.scheduler().schedule(Invocation::new(detail("panics")), every(60, "panics")).await.unwrap();
    test.run_due().await;
    let records = test.scheduler().firings(FiringQuery::default()).await.unwrap().items;
    let failures: Vec<_> = records.iter().filter_map(|record| record.failure.as_deref()).collect();
    assert_eq!(failures.len(), 2);
    assert!(failures.iter().any(|text| text.contains("its limit cannot be made")), "{failures:?}");
    assert!(failures.iter().any(|text| text.contains("no limit today")), "{failures:?}");
    let stored = test.scheduler().all_triggers(TriggerQuery::default()).await.unwrap();
    assert_eq!(stored.iter().filter(|status| status.progress.next.is_some()).count(), 2, "both go on");
}

#[tokio::test]
async fn a_run_that_is_not_to_wait_is_told_and_leaves_no_death() {
    let (test, _) = start().await;
    let scheduler = test.scheduler();
    let mut events = scheduler.events();
    let limit = || Limit::new("work", 1).key("a").when_full(WhenFull::Skip);
    let first = scheduler.enqueue(call("a")).limit(limit()).await.unwrap();
    let second = scheduler.enqueue(call("a")).limit(limit()).await.unwrap();
    test.run_due().await;
    let ended = scheduler.all_runs(RunQuery::one(second)).await.unwrap().remove(0);
    assert_eq!(ended.end, Some(RunEnd::Superseded));
    test.drain().await;
    assert_fired!(test, "work", 1);
    let mut told_of = Vec::new();
    while let Some(event) = told(&mut events).await {
        match event {
            Event::Limited { run, limit, key, .. } => told_of.push((run, format!("{limit} {key:?}"))),
            Event::Superseded { run, .. } => told_of.push((run, "superseded".to_owned())),
            _ => {}
        }
    }
    assert_eq!(told_of, [(second, r#"work Some("a")"#.to_owned()), (second, "superseded".to_owned())]);
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_retry_keeps_the_slot_that_its_run_holds_to_its_end() {
    let began = Arc::new(Mutex::new(Vec::new()));
    let noting = began.clone();
    let job = JobDefinition::new(retried("migrate", 1), move |context: JobContext| {
        noting.lock().push((context.run_id(), context.attempt()));
        async move { if context.attempt() == 1 { Err(JobError::new("no")) } else { Ok(()) } }
    });
    let job = job.limit_by(|_| Limit::new("migrate", 1).hold(Hold::Run));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let first = test.scheduler().enqueue(Invocation::new(retried("migrate", 1))).await.unwrap();
    test.run_due().await;
    let second = test.scheduler().enqueue(Invocation::new(retried("migrate", 1))).await.unwrap();
    test.run_due().await;
    let why = test.scheduler().explain_run(second).await.unwrap().unwrap().to_string();
    assert!(why.contains(&format!("run {first} of job `migrate` has it since")), "{why}");
    test.drain().await;
    assert_eq!(*began.lock(), [(first, 1), (first, 2), (second, 1), (second, 2)]);
}

#[tokio::test]
async fn limits_of_one_name_that_differ_are_refused_when_the_scheduler_is_built() {
    let with = |name: &str, cap, window| {
        JobDefinition::new(detail(name), || async {})
            .limit_by(|_| Limit::new("github", 1))
            .limit_declared("github", cap, window)
    };
    let build = |cap, window| {
        Scheduler::builder().register(with("a", 20, 0)).register(with("b", cap, window)).build().map(drop)
    };
    build(20, 0).unwrap();
    let problem = build(10, 0).unwrap_err().to_string();
    assert!(problem.contains("the limit `github` allows 20 at a time at"), "{problem}");
    assert!(problem.contains("and 10 at a time at"), "{problem}");
    let problem = build(20, 60_000).unwrap_err().to_string();
    assert!(problem.contains("20 in 60s"), "{problem}");
}
