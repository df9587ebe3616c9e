//! Runs that finish their work after their timeout: they count, and everybody is told how late they were.

use std::time::Duration;

use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{FiringOutcome, FiringQuery, MemoryJobStore};
use scheduler_core::testing::TestScheduler;
use tokio_util::sync::CancellationToken;

use crate::logged;

const NOW: &str = "2026-03-01T00:00:00Z";

fn timed(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).timeout(Duration::from_secs(10)).build()
}

/// Watches its token, so that it is not aborted, and works on to its end.
async fn thorough(context: JobContext, _stop: CancellationToken) {
    context.clock().sleep(Duration::from_secs(12)).await;
}

async fn in_time(context: JobContext) {
    context.clock().sleep(Duration::from_secs(9)).await;
}

/// Blocks its thread until it is asked to stop, and has then finished its work.
fn blocks(stop: CancellationToken) {
    while !stop.is_cancelled() {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn n05_finished_work_counts_and_its_delay_is_told() {
    logged::listen();
    let builder = Scheduler::builder()
        .store(MemoryJobStore::keeping_history(10))
        .register(JobDefinition::new(timed("n05_async"), thorough))
        .register(JobDefinition::new(timed("n05_in_time"), in_time));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    for (job, overran) in [("n05_async", Some(2)), ("n05_in_time", None)] {
        let overran = overran.map(Duration::from_secs);
        let mut events = test.scheduler().events();
        let outcome = test.run_one(Invocation::new(timed(job))).await;
        assert!(outcome.is_success(), "{job}: {outcome:?}");
        let told = loop {
            if let Event::Ended { overran, .. } = events.next().await.unwrap() {
                break overran;
            }
        };
        assert_eq!(told, overran, "{job}");
        let query = FiringQuery::default().of_job(job.parse().unwrap());
        let record = test.scheduler().all_firings(query).await.unwrap().pop().unwrap();
        assert_eq!((record.outcome, record.overran), (FiringOutcome::Succeeded, overran), "{job}");
        let sentence = format!("job `{job}` succeeded after 12s, 2s later than its timeout of 10s allows");
        assert_eq!(logged::text().contains(&sentence), overran.is_some(), "{}", logged::text());
    }
}

/// On the machine's clock, since a job that blocks its thread does not see a manual one move.
#[tokio::test(flavor = "multi_thread")]
async fn n05_blocking_jobs_are_told_alike() {
    logged::listen();
    let name = "n05_blocking";
    let detail = JobDetail::builder(name.parse().unwrap(), name).timeout(Duration::from_millis(5)).build();
    let scheduler = Scheduler::builder()
        .store(MemoryJobStore::keeping_history(10))
        .register(JobDefinition::blocking(detail.clone(), blocks))
        .build()
        .unwrap();
    let mut events = scheduler.events();
    scheduler.start().await.unwrap();
    scheduler.enqueue(detail.clone()).await.unwrap();
    let overran = loop {
        match events.next().await.unwrap() {
            // On a busy machine its thread may begin too late for the grace that it has.
            Event::Ended { outcome: "timed out", .. } => {
                scheduler.enqueue(detail.clone()).await.unwrap();
            }
            Event::Ended { outcome, overran, .. } => {
                assert_eq!(outcome, "succeeded");
                break overran;
            }
            _ => {}
        }
    };
    assert!(overran.is_some());
    scheduler.shutdown(Duration::from_secs(60)).await;
    let records = scheduler.all_firings(FiringQuery::default()).await.unwrap();
    assert_eq!(records[0].overran, overran);
    assert!(logged::text().contains("job `n05_blocking` succeeded after "), "{}", logged::text());
}
