//! What operators read of typical troubles: sentences, and not too many of them.

use std::time::Duration;

use scheduler_core::host::{Host, Restart, Service, ServiceContext, Supervision, background, hosted};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError, JobResult};
use scheduler_core::scheduler::SchedulerBuilder;
use scheduler_core::store::{Changes, MemoryJobStore, PutMark, Queries};
use scheduler_core::testing::{Fault, FaultyStore, TestHost, TestScheduler};
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobData, Scheduler};

use crate::logged::{self, assert_logged, assert_no_debug_forms};

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

async fn started(builder: SchedulerBuilder) -> TestScheduler {
    logged::listen();
    TestScheduler::start(NOW, builder).await.unwrap()
}

#[tokio::test]
async fn n17_the_end_of_a_run_is_a_sentence() {
    let deaf = async |context: JobContext| context.clock().sleep(Duration::from_secs(3600)).await;
    let timed = |name: &str| detail(name).to_builder().timeout(Duration::from_secs(10)).build();
    let test = started(
        Scheduler::builder()
            .register(JobDefinition::new(detail("n17_fails"), async || {
                Err::<(), _>(JobError::new("no route"))
            }))
            .register(JobDefinition::new(detail("n17_panics"), async || -> () { panic!("no table") }))
            .register(JobDefinition::new(timed("n17_hangs"), deaf))
            .register(JobDefinition::new(detail("n17_works"), async || {})),
    )
    .await;
    for job in ["n17_fails", "n17_panics", "n17_works"] {
        test.run_one(Invocation::new(detail(job))).await;
    }
    test.run_one(Invocation::new(timed("n17_hangs"))).await;
    assert_logged("WARN", "job `n17_fails` failed after 0s: no route");
    assert_logged("WARN", "job `n17_panics` panicked after 0s: no table");
    assert_logged("WARN", "job `n17_hangs` timed out: its timeout is 10s, and it was stopped after 10s");
    assert_logged("DEBUG", "job `n17_works` succeeded after 0s");
    assert_no_debug_forms();
}

#[tokio::test]
async fn n17_a_late_firing_says_what_becomes_of_it() {
    let work = JobDefinition::new(detail("n17_late"), async || {})
        .with_trigger(Trigger::cron("0 0 * * * ?").name("n17_hourly"));
    let test = started(Scheduler::builder().register(work)).await;
    test.jump_wall("2026-03-01T01:30:00Z").await;
    assert_logged(
        "WARN",
        "trigger `n17_hourly` was due at 2026-03-01T01:00:00Z and is 30m late; by its misfire policy it fires once now, and is \
         due next at: 2026-03-01T02:00:00Z",
    );
    assert_no_debug_forms();
}

#[tokio::test]
async fn n17_a_store_that_is_away_is_reported_once_and_then_at_growing_distances() {
    let store = FaultyStore::new(MemoryJobStore::new());
    let work = JobDefinition::new(detail("n17_stored"), async || {})
        .with_trigger(Trigger::every(Duration::from_secs(1)).name("n17_often"));
    let test = started(Scheduler::builder().store(store.clone()).register(work)).await;
    let before = logged::lines_with(&["the job store does not answer"]).len();
    store.inject_everywhere(Fault::Fails);
    test.advance(Duration::from_secs(10)).await;
    assert_eq!(
        logged::lines_with(&["the job store does not answer"]).len() - before,
        1,
        "{}",
        logged::text()
    );
    test.advance(Duration::from_secs(590)).await;
    let lines = logged::lines_with(&["the job store does not answer"]).len() - before;
    assert!((3..=7).contains(&lines), "{lines} lines in ten minutes");
    store.heal();
    test.advance(Duration::from_secs(60)).await;
    assert_logged("WARN", "the job store answers again, after ");
    assert_no_debug_forms();
}

#[tokio::test]
async fn n17_the_life_of_a_scheduler_is_told_in_sentences() {
    let builder = || Scheduler::builder().name("n17_life").prune_undeclared(true);
    let work = || JobDefinition::new(detail("n17_job"), async || {});
    let store = MemoryJobStore::new();
    let declared = work().with_trigger(Trigger::every(Duration::from_secs(3600)).name("n17_gone"));
    let first = started(builder().store(store.clone()).register(declared)).await;
    first.scheduler().shutdown(Duration::from_secs(1)).await;
    started(builder().store(store).register(work())).await;
    assert_logged("INFO", "scheduler `n17_life` has started and can run 1 jobs: `n17_job`");
    assert_logged("INFO", "scheduler `n17_life` has shut down: 0 of 0 runs finished");
    assert_logged("INFO", "1 triggers are removed, since `n17_life` no longer declares them: `n17_gone`");
    assert_no_debug_forms();
}

struct Slow;

impl Service for Slow {
    async fn start(&self, context: &ServiceContext) -> JobResult {
        context.clock().sleep(Duration::from_secs(1)).await;
        Ok(())
    }
}

#[tokio::test]
async fn n17_a_host_whose_service_has_failed_is_never_called_up() {
    logged::listen();
    let fails = async || Err::<(), _>(JobError::new("the port is taken"));
    // The failure comes while another service still starts.
    let builder = Host::builder().service(background("n17_web", fails)).service(hosted("n17_slow", Slow));
    let before = logged::lines_with(&["the host is up"]).len();
    let error = TestHost::start(NOW, builder).await.unwrap_err();
    assert!(error.to_string().contains("service `n17_web` has failed: the port is taken"), "{error}");
    assert_logged("ERROR", "service `n17_web` has failed, so the host stops: the port is taken");
    assert_eq!(logged::lines_with(&["the host is up"]).len(), before);

    let ignored = background("n17_ignored", fails).supervise(Supervision::Ignore);
    let test = TestHost::start(NOW, Host::builder().service(ignored)).await.unwrap();
    test.stop().await.unwrap();
    assert_logged(
        "ERROR",
        "service `n17_ignored` has failed and is not restarted; the host goes on without it: the port is taken",
    );

    let again = background("n17_again", fails).supervise(Supervision::Restart(Restart::default()));
    let test = TestHost::start(NOW, Host::builder().service(again)).await.unwrap();
    assert_logged("WARN", "service `n17_again` has failed and is restarted in 1s: the port is taken");
    test.stop().await.unwrap();
    assert_logged("INFO", "the host stops: the program has asked for it");
    assert_no_debug_forms();
}

#[tokio::test]
async fn the_list_of_what_was_declared_is_not_dropped_silently() {
    for (number, text) in ["", "{rubbish", "[1, 2]", "{}", "null"].into_iter().enumerate() {
        let (store, name) = (MemoryJobStore::new(), format!("declarer_{number}"));
        let mark = PutMark { name: format!("declared/{name}").into(), text: text.into(), revision: None };
        store.put_mark(mark).await.unwrap();
        let work = JobDefinition::new(detail("marked"), async || {})
            .with_trigger(Trigger::every(Duration::from_secs(60)).name("marked"));
        drop(started(Scheduler::builder().name(&*name).store(store.clone()).register(work)).await);
        let sentence =
            format!("the mark `declared/{name}` cannot be read, its text in the store is `{text}`");
        assert_logged("WARN", &sentence);
        let mark = store.mark(format!("declared/{name}").into()).await.unwrap().unwrap();
        assert!(mark.text.contains("marked"), "it is written again: {}", mark.text);
    }
}

#[test]
fn a_value_that_cannot_be_written_is_told() {
    logged::listen();
    let pairs = std::collections::BTreeMap::from([((1, 2), 3)]);
    let data = JobData::new().with("by_pairs", pairs);
    assert_eq!(data.entries()["by_pairs"], serde_json::Value::Null);
    assert_logged(
        "ERROR",
        "the entry `by_pairs` of job data cannot be written as JSON and is stored as null",
    );
}
