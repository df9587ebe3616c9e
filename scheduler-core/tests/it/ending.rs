//! How runs end: outcomes, timeouts, panics, cancelling, shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::run::RetryPolicy;
use scheduler_core::scheduler::{Event, Events};
use scheduler_core::store::{Executions, MemoryJobStore};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, Scheduler, SchedulerState};
use tokio_util::sync::CancellationToken;

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(JobKey::new(name).unwrap(), name).build()
}

fn timed(name: &str, timeout: u64) -> JobDetail {
    detail(name).to_builder().timeout(Duration::from_secs(timeout)).build()
}

async fn fails() -> Result<(), JobError> {
    Err(JobError::new("no route to the bank"))
}

async fn panics() {
    panic!("the table is empty");
}

async fn deaf(context: JobContext) {
    context.clock().sleep(Duration::from_secs(3600)).await;
}

async fn polite(context: JobContext, stop: CancellationToken) -> Result<(), JobError> {
    let clock = context.clock();
    stop.run_until_cancelled(clock.sleep(Duration::from_secs(3600))).await;
    clock.sleep(Duration::from_secs(2)).await;
    Err(JobError::new("cleaned up"))
}

async fn listens_and_stays(context: JobContext, _stop: CancellationToken) {
    context.clock().sleep(Duration::from_secs(3600)).await;
}

async fn started(clock: &ManualClock) -> (Scheduler, Events) {
    let scheduler = Scheduler::builder()
        .clock(clock.clone())
        .register(JobDefinition::new(detail("fails"), fails))
        .register(JobDefinition::new(detail("panics"), panics))
        .register(JobDefinition::new(detail("deaf"), deaf))
        .register(JobDefinition::new(detail("polite"), polite))
        .register(JobDefinition::new(detail("stays"), listens_and_stays))
        .build()
        .unwrap();
    let events = scheduler.events();
    scheduler.start().await.unwrap();
    (scheduler, events)
}

/// The next ending: job, outcome, seconds, and what went wrong.
async fn ended(events: &mut Events) -> (String, &'static str, u64, String) {
    loop {
        if let Event::Ended { job, outcome, took, failure, .. } = events.next().await.unwrap() {
            return (job.to_string(), outcome, took.as_secs(), failure.unwrap_or_default());
        }
    }
}

#[tokio::test]
async fn errors_and_panics_are_outcomes_and_the_schedule_goes_on() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, mut events) = started(&clock).await;
    for job in ["fails", "panics"] {
        scheduler.schedule(detail(job), Trigger::every(Duration::from_secs(60)).repeat(1)).await.unwrap();
        clock.settle().await;
        let (name, outcome, _, failure) = ended(&mut events).await;
        let expected = if job == "fails" {
            ("failed", "no route to the bank")
        } else {
            ("panicked", "panicked: the table is empty")
        };
        assert_eq!((name.as_str(), outcome, failure.as_str()), (job, expected.0, expected.1));
        clock.advance(Duration::from_secs(60)).await;
        assert_eq!(ended(&mut events).await.0, job, "the second firing comes");
    }
    assert_eq!(scheduler.state(), SchedulerState::Running);
}

#[tokio::test]
async fn a_timeout_ends_what_listens_gently_and_the_rest_at_once() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, mut events) = started(&clock).await;
    for (job, seconds) in [("deaf", 10), ("polite", 12), ("stays", 15)] {
        scheduler.enqueue(timed(job, 10)).retry(RetryPolicy::never()).await.unwrap();
        clock.advance(Duration::from_secs(60)).await;
        let (name, outcome, took, failure) = ended(&mut events).await;
        assert_eq!((name.as_str(), outcome, took), (job, "timed out", seconds), "{failure}");
    }
}

#[tokio::test]
async fn a_cancelled_run_is_told_so() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, mut events) = started(&clock).await;
    scheduler.enqueue(detail("polite")).await.unwrap();
    clock.settle().await;
    assert_eq!(scheduler.running().len(), 1);
    let polite = || Executions::OfJob(JobKey::new("polite").unwrap());
    assert_eq!(scheduler.cancel(polite()).await.unwrap(), [scheduler.running()[0].id]);
    clock.advance(Duration::from_secs(5)).await;
    assert_eq!(ended(&mut events).await.1, "cancelled");
    assert_eq!(scheduler.cancel(polite()).await.unwrap(), []);
}

#[tokio::test]
async fn shutdown_waits_then_asks_then_takes_away_and_names_them() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, _events) = started(&clock).await;
    for job in ["deaf", "polite"] {
        scheduler.enqueue(detail(job)).await.unwrap();
    }
    clock.settle().await;
    let stopping = tokio::spawn({
        let scheduler = scheduler.clone();
        async move { scheduler.shutdown(Duration::from_secs(30)).await }
    });
    while scheduler.state() != SchedulerState::ShuttingDown {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(40)).await;
    let report = stopping.await.unwrap();
    let names = |keys: &[JobKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((report.running, report.finished), (2, 0));
    assert_eq!(names(&report.cancelled), ["polite"]);
    assert_eq!(names(&report.aborted), ["deaf"]);
    assert!(report.abandoned.is_empty() && !report.is_clean());
    assert_eq!(scheduler.state(), SchedulerState::Shutdown);
    assert_eq!(scheduler.shutdown(Duration::from_secs(30)).await.running, 0, "a second call does nothing");
}

#[tokio::test]
async fn standby_takes_no_work_and_lets_runs_end() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, mut events) = started(&clock).await;
    scheduler.standby().unwrap();
    scheduler.enqueue(detail("fails")).await.unwrap();
    clock.advance(Duration::from_secs(10)).await;
    assert!(scheduler.running().is_empty());
    scheduler.start().await.unwrap();
    clock.settle().await;
    assert_eq!(ended(&mut events).await.0, "fails");
}

#[tokio::test]
async fn start_up_jobs_run_before_any_trigger_and_a_failing_one_fails_the_start() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = |word: &'static str| {
        let order = order.clone();
        move || {
            order.lock().unwrap().push(word);
            async {}
        }
    };
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let scheduler = Scheduler::builder()
        .clock(clock.clone())
        .register(JobDefinition::new(detail("migrate"), note("migrate")))
        .register(JobDefinition::new(detail("work"), note("work")).with_trigger(Trigger::now()))
        .before_start(detail("migrate"))
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    clock.settle().await;
    assert_eq!(*order.lock().unwrap(), ["migrate", "work"]);

    let failing = Scheduler::builder()
        .register(JobDefinition::new(detail("fails"), fails))
        .before_start(detail("fails"))
        .build()
        .unwrap();
    let error = failing.start().await.unwrap_err();
    assert_eq!(error.to_string(), "start-up job `fails`: no route to the bank");
}

/// On the machine's clock: the point is that no thread of the runtime is free.
#[test]
fn a_job_that_blocks_the_whole_runtime_does_not_keep_others_from_firing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let (enough, wait) = std::sync::mpsc::channel::<()>();
    let (wait, counter) = (std::sync::Mutex::new(wait), ran.clone());
    let blocker = Arc::new(move || wait.lock().unwrap().recv().unwrap());
    let block = move || {
        let blocker = blocker.clone();
        async move { blocker() }
    };
    let count = move || {
        if counter.fetch_add(1, Ordering::SeqCst) + 1 == 20 {
            enough.send(()).unwrap();
        }
    };
    runtime.block_on(async {
        let scheduler = Scheduler::builder()
            .register(JobDefinition::new(detail("block"), block))
            .register(JobDefinition::blocking(detail("count"), count))
            .build()
            .unwrap();
        scheduler.start().await.unwrap();
        scheduler.schedule(detail("count"), Trigger::every(Duration::from_millis(5))).await.unwrap();
        // From here on the only thread of the runtime waits inside a job, until twenty others have run.
        scheduler.enqueue(detail("block")).await.unwrap();
        let mut events = scheduler.events();
        while ended(&mut events).await.0 != "block" {}
        scheduler.shutdown(Duration::from_secs(5)).await;
    });
    assert!(ran.load(Ordering::SeqCst) >= 20);
}

#[tokio::test]
async fn v7_a_node_whose_start_fails_is_none_of_the_nodes_and_may_start_again() {
    let (clock, store) = (ManualClock::at("2026-03-01T00:00:00Z"), MemoryJobStore::new());
    let tries = Arc::new(AtomicUsize::new(0));
    let migrate = move || {
        let first = tries.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { Err(JobError::new("the table is locked")) } else { Ok(()) } }
    };
    let definition = JobDefinition::new(detail("migrate"), migrate);
    let builder = Scheduler::builder().clock(clock.clone()).store(store.clone()).register(definition);
    let scheduler = builder.before_start(Invocation::new(detail("migrate"))).build().unwrap();
    let error = scheduler.start().await.unwrap_err();
    assert!(error.to_string().contains("the table is locked"), "{error}");
    assert!(scheduler.nodes().await.unwrap().is_empty());
    scheduler.start().await.unwrap();
    assert_eq!(scheduler.nodes().await.unwrap().len(), 1);
    scheduler.shutdown(Duration::ZERO).await;
}
