//! Ids of runs are unique, and fences grow: over queues, hosts, stores, start-up jobs and restarts (`H2`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::host::{Host, JobQueue};
use scheduler_core::job::{ExecutionId, Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::testing::TestScheduler;
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;

const NOW: &str = "2026-03-01T00:00:00Z";
const LATER: &str = "2026-03-01T00:10:00Z";

/// The id and the fence of each run.
type Runs = Arc<Mutex<Vec<(ExecutionId, u64)>>>;

fn detail() -> JobDetail {
    JobDetail::builder("note".parse().unwrap(), "note").build()
}

fn job(runs: &Runs) -> JobDefinition {
    let runs = runs.clone();
    let note = move |context: JobContext| {
        runs.lock().push((context.execution_id(), context.fence()));
        async {}
    };
    JobDefinition::new(detail(), note)
}

#[track_caller]
fn assert_unique(runs: &Runs, count: usize) {
    let runs = runs.lock();
    let ids: HashSet<_> = runs.iter().map(|(id, _)| *id).collect();
    assert_eq!((runs.len(), ids.len()), (count, count), "{runs:?}");
}

/// One after the other, in the order of the runs.
#[track_caller]
fn assert_fences_grow(runs: &Runs) {
    let fences: Vec<u64> = runs.lock().iter().map(|(_, fence)| *fence).collect();
    assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
}

/// A life of a host with two queues, each of which runs two jobs.
async fn two_queues(clock: &ManualClock, runs: &Runs) {
    let queues = [JobQueue::bounded(4).build(), JobQueue::bounded(4).build()];
    let host = Host::builder()
        .clock(clock.clone())
        .register(job(runs))
        .queue("one", queues[0].clone())
        .queue("two", queues[1].clone())
        .build()
        .unwrap();
    let handle = host.handle();
    let running = tokio::spawn(host.run_until(std::future::pending()));
    for queue in queues.iter().chain(&queues) {
        let queued = queue.enqueue(Invocation::new(detail())).await.unwrap();
        assert!(queued.outcome().await.is_success());
    }
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn h02_queues_give_no_id_twice_also_after_a_restart() {
    let (clock, runs) = (ManualClock::at(NOW), Runs::default());
    two_queues(&clock, &runs).await;
    clock.advance(Duration::from_secs(1)).await;
    two_queues(&clock, &runs).await;
    assert_unique(&runs, 8);
    assert_fences_grow(&runs);
}

#[tokio::test]
async fn h02_a_restarted_store_in_memory_goes_on_with_its_fences() {
    let runs = Runs::default();
    for now in [NOW, LATER] {
        let test = TestScheduler::start(now, Scheduler::builder().register(job(&runs))).await.unwrap();
        for _ in 0..3 {
            test.scheduler().schedule(detail(), Trigger::now()).await.unwrap();
            test.run_due().await;
        }
    }
    assert_unique(&runs, 6);
    assert_fences_grow(&runs);
}

/// Also of those that a repeated start runs again.
#[tokio::test]
async fn h02_start_up_jobs_have_ids_and_fences_of_their_own() {
    let runs = Runs::default();
    let fails = JobDetail::builder("fails".parse().unwrap(), "fails").build();
    let noted = runs.clone();
    let failing = move |context: JobContext| {
        noted.lock().push((context.execution_id(), context.fence()));
        async { Err::<(), _>(JobError::new("no")) }
    };
    let scheduler = Scheduler::builder()
        .clock(ManualClock::at(NOW))
        .register(job(&runs))
        .register(JobDefinition::new(fails.clone(), failing))
        .before_start(detail())
        .before_start(fails)
        .build()
        .unwrap();
    for _ in 0..3 {
        assert!(scheduler.start().await.is_err());
    }
    assert_unique(&runs, 4);
    assert_fences_grow(&runs);
}
