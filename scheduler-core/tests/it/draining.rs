//! Shutdown with a store that forgets: due work is run, or named if it cannot be.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::host::{Host, JobQueue};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::scheduler::SchedulerBuilder;
use scheduler_core::store::{MemoryJobStore, RunQuery};
use scheduler_core::testing::{TestHost, TestScheduler};
use scheduler_core::trigger::Trigger;
use scheduler_core::{Scheduler, ShutdownReport};
use tokio_util::sync::CancellationToken;

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

/// Takes a second, unless it is asked to stop.
fn mail() -> JobDefinition {
    JobDefinition::new(detail("mail"), async |_number: u32, context: JobContext, stop: CancellationToken| {
        let sleep = context.clock().sleep(Duration::from_secs(1));
        stop.run_until_cancelled(sleep).await.ok_or(JobError::new("asked to stop"))
    })
}

async fn with_mails(count: u32, builder: SchedulerBuilder) -> TestScheduler {
    let test = TestScheduler::start(NOW, builder.register(mail()).concurrency(2)).await.unwrap();
    test.scheduler().standby().unwrap();
    for number in 0..count {
        test.scheduler().enqueue(Invocation::with_args(detail("mail"), &number)).await.unwrap();
    }
    test.scheduler().start().await.unwrap();
    test.run_due().await;
    assert_eq!(test.scheduler().running().len(), 2);
    test
}

/// Shuts down while the test lets time pass.
async fn shut_down(test: &TestScheduler, seconds: u64) -> ShutdownReport {
    let scheduler = test.scheduler().clone();
    let ending = tokio::spawn(async move { scheduler.shutdown(Duration::from_secs(seconds)).await });
    while !ending.is_finished() {
        tokio::task::yield_now().await;
        test.advance(Duration::from_millis(500)).await;
    }
    ending.await.unwrap()
}

#[tokio::test]
async fn n02_due_work_in_memory_runs_within_the_budget() {
    let test = with_mails(10, Scheduler::builder()).await;
    let report = shut_down(&test, 10).await;
    assert_eq!(test.fired_of("mail").len(), 10);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.running, report.finished, report.drained), (2, 2, 8), "{report}");
    assert_eq!(report.to_string(), "2 of 2 runs finished, and 8 more that were due");
}

#[tokio::test]
async fn n02_what_finds_no_time_is_named_and_the_shutdown_is_not_clean() {
    let test = with_mails(10, Scheduler::builder()).await;
    let report = shut_down(&test, 3).await;
    assert!(!report.is_clean());
    let (run, lost) = (test.fired_of("mail").len(), report.lost.len());
    assert_eq!(run + lost, 10, "{report}");
    assert!(lost > 0 && report.lost.iter().all(|job| job.name() == "mail"));
    let expected = format!(
        "{lost} due runs were not started and are lost with the store in memory: `mail` ({lost} times)"
    );
    assert!(report.to_string().contains(&expected), "{report}");
}

#[tokio::test]
async fn n02_draining_is_a_choice_and_what_is_due_later_is_not_waited_for() {
    let test = with_mails(6, Scheduler::builder().drain_at_shutdown(false)).await;
    let report = shut_down(&test, 30).await;
    assert_eq!((test.fired_of("mail").len(), report.lost.len()), (2, 4), "{report}");

    let test = with_mails(4, Scheduler::builder()).await;
    let later = Trigger::after(Duration::from_secs(2)).name("later");
    test.scheduler().schedule(Invocation::with_args(detail("mail"), &9), later).await.unwrap();
    let report = shut_down(&test, 30).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(test.fired_of("mail").len(), 4);
}

#[tokio::test]
async fn n02_in_standby_nothing_begins_and_what_is_due_is_named() {
    let test = with_mails(4, Scheduler::builder()).await;
    test.scheduler().standby().unwrap();
    let report = shut_down(&test, 30).await;
    assert_eq!((test.fired_of("mail").len(), report.lost.len()), (2, 2), "{report}");
}

#[tokio::test]
async fn n02_work_that_another_scheduler_of_the_process_has_is_not_lost() {
    let store = MemoryJobStore::new();
    let test = with_mails(4, Scheduler::builder().store(store.clone()).drain_at_shutdown(false)).await;
    let other = Scheduler::builder().store(store).clock(test.clock().clone()).build().unwrap();
    other.start().await.unwrap();
    let report = shut_down(&test, 30).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(other.all_runs(RunQuery::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn n02_a_host_drains_its_scheduler_and_fails_for_what_is_left() {
    for (budget, is_clean) in [(60, true), (3, false)] {
        let scheduler = Scheduler::builder().register(mail()).concurrency(1);
        let builder = Host::builder().scheduler(scheduler).stop_budget(Duration::from_secs(budget));
        let test = TestHost::start(NOW, builder).await.unwrap();
        for number in 0..8 {
            test.scheduler().enqueue(Invocation::with_args(detail("mail"), &number)).await.unwrap();
        }
        test.run_due().await;
        let ended = test.stop().await;
        assert_eq!(ended.is_ok(), is_clean, "{ended:?}");
        if let Err(error) = ended {
            assert!(error.to_string().contains("due runs were not started and are lost"), "{error}");
        }
    }
}

#[tokio::test]
async fn n02_a_queue_in_memory_names_what_it_could_not_run() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let slow = JobDefinition::new(detail("slow"), move |number: u32, context: JobContext| {
        noted.lock().push(number);
        async move { context.clock().sleep(Duration::from_secs(1)).await }
    });
    for (budget, is_clean) in [(60, true), (3, false)] {
        let mails = JobQueue::bounded(100).build();
        let builder = Host::builder().register(slow.clone()).queue("mails", mails.clone());
        let test = TestHost::start(NOW, builder.stop_budget(Duration::from_secs(budget))).await.unwrap();
        for number in 0..8 {
            mails.enqueue(Invocation::with_args(detail("slow"), &number)).await.unwrap();
        }
        let ended = test.stop().await;
        let run = seen.lock().drain(..).count();
        assert_eq!((ended.is_ok(), run == 8), (is_clean, is_clean), "{ended:?}");
        if let Err(error) = ended {
            let expected = format!("{0} waiting jobs were not run and are lost: `slow` ({0} times)", 8 - run);
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}
