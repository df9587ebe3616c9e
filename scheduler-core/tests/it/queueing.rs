//! The queue in memory.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::host::{AtStop, Host, HostBuilder, HostHandle, JobQueue, Overflow, start_up};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError, Outcome, Scoped};
use scheduler_core::store::{MemoryJobStore, Queries, RunQuery};
use scheduler_core::testing::{Fault, FaultyStore, Verb};
use scheduler_core::time::{Clock, ManualClock};
use tokio_util::sync::CancellationToken;

const NOW: &str = "2026-03-01T00:00:00Z";

type Log = Arc<Mutex<Vec<String>>>;

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

fn job(name: &str, number: u32) -> Invocation {
    Invocation::with_args(detail(name), &number)
}

/// Jobs that write down their number: at once, after ten seconds, never.
fn builder(log: &Log) -> HostBuilder {
    let (now, slow, deaf) = (log.clone(), log.clone(), log.clone());
    let now = move |number: u32| {
        now.lock().push(format!("now {number}"));
        async move { if number == 13 { Err(JobError::new("bad luck")) } else { Ok(()) } }
    };
    let slow = move |number: u32, context: JobContext, stop: CancellationToken| {
        slow.lock().push(format!("slow {number}"));
        async move {
            let waiting = context.clock().sleep(Duration::from_secs(10));
            stop.run_until_cancelled(waiting).await.ok_or(JobError::new("asked to stop"))
        }
    };
    let deaf = move |number: u32, context: JobContext| {
        deaf.lock().push(format!("deaf {number}"));
        async move { context.clock().sleep(Duration::from_secs(9999)).await }
    };
    Host::builder()
        .register(JobDefinition::new(detail("now"), now))
        .register(JobDefinition::new(detail("slow"), slow))
        .register(JobDefinition::new(detail("deaf"), deaf))
}

async fn quiet(clock: &ManualClock) {
    for _ in 0..50 {
        tokio::task::yield_now().await;
        clock.settle().await;
    }
}

async fn start(clock: &ManualClock, builder: HostBuilder) -> (HostHandle, tokio::task::JoinHandle<bool>) {
    let host = builder.clock(clock.clone()).build().unwrap();
    let handle = host.handle();
    let running = tokio::spawn(async move { host.run_until(std::future::pending()).await.is_ok() });
    quiet(clock).await;
    (handle, running)
}

async fn stop(clock: &ManualClock, handle: &HostHandle, running: tokio::task::JoinHandle<bool>) -> bool {
    handle.stop();
    for _ in 0..60 {
        quiet(clock).await;
        if running.is_finished() {
            break;
        }
        clock.advance(Duration::from_secs(1)).await;
    }
    running.await.unwrap()
}

#[tokio::test]
async fn jobs_run_in_order_and_tell_their_outcome() {
    let (log, clock, queue) = (Log::default(), ManualClock::at(NOW), JobQueue::bounded(10).build());
    // Before the start it waits.
    let first = queue.enqueue(job("now", 1)).await.unwrap();
    let (handle, running) = start(&clock, builder(&log).queue("q", queue.clone())).await;
    let second = queue.enqueue(job("now", 13)).await.unwrap();
    assert!(first.outcome().await.is_success());
    assert_eq!(second.outcome().await.failure().unwrap(), "bad luck");
    assert_eq!(*log.lock(), ["now 1", "now 13"]);
    let unknown = queue.enqueue(job("nwo", 1)).await.unwrap_err();
    assert!(unknown.to_string().contains("did you mean `now`?"), "{unknown}");
    assert!(stop(&clock, &handle, running).await);
    assert!(queue.enqueue(job("now", 1)).await.unwrap_err().is_closed());
}

#[tokio::test]
async fn so_many_run_at_once_as_are_allowed() {
    let (log, clock, queue) =
        (Log::default(), ManualClock::at(NOW), JobQueue::bounded(10).concurrency(2).build());
    let (handle, running) = start(&clock, builder(&log).queue("q", queue.clone())).await;
    for number in 0..5 {
        queue.enqueue(job("slow", number)).await.unwrap();
    }
    quiet(&clock).await;
    assert_eq!(log.lock().len(), 2);
    clock.advance(Duration::from_secs(10)).await;
    assert_eq!(log.lock().len(), 4);
    clock.advance(Duration::from_secs(20)).await;
    assert_eq!(log.lock().len(), 5);
    assert!(stop(&clock, &handle, running).await);
}

#[tokio::test]
async fn what_finds_no_room_waits_is_refused_or_pushes_the_oldest_out() {
    let (log, clock) = (Log::default(), ManualClock::at(NOW));
    for overflow in [Overflow::Wait, Overflow::Reject, Overflow::DropOldest] {
        let queue = JobQueue::bounded(2).overflow(overflow).build();
        let builder = builder(&log).queue("q", queue.clone()).stop_budget(Duration::from_secs(60));
        let (handle, running) = start(&clock, builder).await;
        queue.enqueue(job("slow", 0)).await.unwrap();
        quiet(&clock).await;
        let oldest = queue.enqueue(job("slow", 1)).await.unwrap();
        queue.enqueue(job("slow", 2)).await.unwrap();
        let (waiting, queued) = (queue.clone(), job("slow", 3));
        let last = tokio::spawn(async move { waiting.enqueue(queued).await });
        quiet(&clock).await;
        match overflow {
            Overflow::Wait => {
                assert!(!last.is_finished());
                clock.advance(Duration::from_secs(10)).await;
                quiet(&clock).await;
                assert!(last.await.unwrap().is_ok());
            }
            Overflow::Reject => assert!(last.await.unwrap().unwrap_err().is_transient()),
            _ => {
                assert!(last.await.unwrap().is_ok());
                assert_eq!(oldest.outcome().await.word(), "cancelled");
            }
        }
        assert!(stop(&clock, &handle, running).await);
    }
}

#[tokio::test]
async fn one_job_can_be_cancelled_waiting_or_running() {
    let (log, clock, queue) =
        (Log::default(), ManualClock::at(NOW), JobQueue::bounded(10).concurrency(2).build());
    let (handle, running) = start(&clock, builder(&log).queue("q", queue.clone())).await;
    let slow = queue.enqueue(job("slow", 1)).await.unwrap();
    let deaf = queue.enqueue(job("deaf", 2)).await.unwrap();
    let waiting = queue.enqueue(job("now", 3)).await.unwrap();
    quiet(&clock).await;
    waiting.cancel();
    slow.cancel();
    deaf.cancel();
    assert_eq!(waiting.outcome().await.word(), "cancelled");
    assert_eq!(slow.outcome().await.word(), "cancelled");
    assert_eq!(deaf.outcome().await.word(), "cancelled");
    assert_eq!(log.lock().len(), 2, "the waiting one never ran");
    assert!(stop(&clock, &handle, running).await);
}

#[tokio::test]
async fn at_the_stop_the_queue_is_drained_dropped_or_kept() {
    for (at_stop, ran) in [(AtStop::Drain, 3), (AtStop::Drop, 1), (AtStop::Persist, 1)] {
        let (log, clock, store) = (Log::default(), ManualClock::at(NOW), MemoryJobStore::new());
        let queue = JobQueue::bounded(10).at_stop(at_stop).build();
        let builder = builder(&log)
            .queue("q", queue.clone())
            .scheduler(Scheduler::builder().store(store.clone()).drain_at_shutdown(false))
            .stop_budget(Duration::from_secs(120));
        let (handle, running) = start(&clock, builder).await;
        for number in 0..3 {
            queue.enqueue(job("slow", number)).await.unwrap();
        }
        quiet(&clock).await;
        assert!(stop(&clock, &handle, running).await, "{at_stop:?}");
        assert_eq!(log.lock().len(), ran, "{at_stop:?}");
        let kept = Queries::all_runs(&store, RunQuery::default()).await.unwrap();
        assert_eq!(kept.len(), if at_stop == AtStop::Persist { 2 } else { 0 }, "{at_stop:?}");
    }
}

#[tokio::test]
async fn what_runs_too_long_at_the_stop_is_asked_and_then_taken_away() {
    let (log, clock, queue) =
        (Log::default(), ManualClock::at(NOW), JobQueue::bounded(10).concurrency(2).build());
    let builder = builder(&log).queue("q", queue.clone()).stop_budget(Duration::from_secs(6));
    let (handle, running) = start(&clock, builder).await;
    let slow = queue.enqueue(job("slow", 1)).await.unwrap();
    let deaf = queue.enqueue(job("deaf", 2)).await.unwrap();
    quiet(&clock).await;
    assert!(stop(&clock, &handle, running).await, "all are gone within the budget");
    assert_eq!((slow.outcome().await.word(), deaf.outcome().await.word()), ("cancelled", "cancelled"));
}

async fn panics() {
    panic!("no")
}

#[tokio::test]
async fn timeouts_and_panics_are_outcomes() {
    let (log, clock, queue) = (Log::default(), ManualClock::at(NOW), JobQueue::bounded(10).build());
    let timed = detail("timed").to_builder().timeout(Duration::from_secs(3)).build();
    let sleeps = |context: JobContext| async move { context.clock().sleep(Duration::from_secs(60)).await };
    let builder = builder(&log)
        .queue("q", queue.clone())
        .register(JobDefinition::new(timed.clone(), sleeps))
        .register(JobDefinition::new(detail("panics"), panics));
    let (handle, running) = start(&clock, builder).await;
    let timed = queue.enqueue(Invocation::new(timed)).await.unwrap();
    let panics = queue.enqueue(Invocation::new(detail("panics"))).await.unwrap();
    quiet(&clock).await;
    clock.advance(Duration::from_secs(4)).await;
    assert_eq!(timed.outcome().await.word(), "timed out");
    assert_eq!(panics.outcome().await.word(), "panicked");
    assert!(stop(&clock, &handle, running).await);
}

/// Nobody can take a thread away, so nobody says that it was.
#[tokio::test]
async fn a_blocking_job_keeps_its_place_and_its_values_until_it_ends() {
    let (clock, queue) = (ManualClock::at(NOW), JobQueue::bounded(10).build());
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (gate, log) = (Arc::new(Mutex::new(gate)), Log::default());
    let (of_job, of_scope) = (log.clone(), log.clone());
    let blocks = move |_: Scoped<u8>| {
        of_job.lock().push("begins".to_owned());
        gate.lock().recv().unwrap();
        of_job.lock().push("ends".to_owned());
    };
    let close = move |_: u8, _: Outcome| {
        of_scope.lock().push("closed".to_owned());
        async { Ok::<(), JobError>(()) }
    };
    let builder = Host::builder()
        .provide_scoped_with(async || Ok::<_, JobError>(7_u8), close)
        .register(JobDefinition::blocking(detail("blocks"), blocks))
        .queue("work", queue.clone())
        .stop_budget(Duration::from_secs(3));
    let host = builder.clock(clock.clone()).build().unwrap();
    let handle = host.handle();
    let running = tokio::spawn(host.run_until(std::future::pending()));
    let first = queue.enqueue(Invocation::new(detail("blocks"))).await.unwrap();
    let second = queue.enqueue(Invocation::new(detail("blocks"))).await.unwrap();
    while log.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    first.cancel();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*log.lock(), ["begins"]);
    release.send(()).unwrap();
    assert!(first.outcome().await.is_success(), "it came to its end after all");
    while log.lock().len() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*log.lock(), ["begins", "ends", "closed", "begins"]);
    release.send(()).unwrap();
    assert!(second.outcome().await.is_success());
    handle.stop();
    while !running.is_finished() {
        tokio::task::yield_now().await;
    }
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_cannot_be_kept_at_the_stop_is_cancelled_and_keeps_back_nothing() {
    let (log, clock, queue) =
        (Log::default(), ManualClock::at(NOW), JobQueue::bounded(10).at_stop(AtStop::Persist).build());
    let store = FaultyStore::new(MemoryJobStore::new());
    let builder = builder(&log)
        .queue("work", queue.clone())
        .scheduler(Scheduler::builder().store(store.clone()).drain_at_shutdown(false));
    let (handle, running) = start(&clock, builder).await;
    let mut jobs = Vec::new();
    for number in 0..4 {
        jobs.push(queue.enqueue(job("slow", number)).await.unwrap());
    }
    quiet(&clock).await;
    store.inject(Verb::Enqueue, Fault::Fails, 1);
    assert!(!stop(&clock, &handle, running).await, "one is lost, and that is an error");
    let kept = store.all_runs(RunQuery::default()).await.unwrap();
    assert_eq!(kept.len(), 2, "those behind it are kept");
    for job in &jobs[1..] {
        assert!(matches!(job.outcome().await, Outcome::Cancelled));
    }
}

#[tokio::test]
async fn a_queue_whose_host_did_not_start_is_closed() {
    let (log, queue) = (Log::default(), JobQueue::bounded(1).build());
    let fails = async || Err::<(), _>(JobError::new("no disk"));
    let host =
        builder(&log).queue("work", queue.clone()).service(start_up("migrate", fails)).build().unwrap();
    let waiting = queue.enqueue(job("now", 1)).await.unwrap();
    host.run_until(std::future::pending()).await.unwrap_err();
    assert!(matches!(waiting.outcome().await, Outcome::Cancelled));
    queue.enqueue(job("now", 2)).await.unwrap_err();
    assert!(log.lock().is_empty());

    let queue = JobQueue::bounded(1).build();
    let host = builder(&log).queue("work", queue.clone()).build().unwrap();
    let waiting = queue.enqueue(job("now", 1)).await.unwrap();
    drop(host);
    assert!(matches!(waiting.outcome().await, Outcome::Cancelled), "it was never run");
}

#[tokio::test]
async fn queued_jobs_know_their_scheduler_and_count_for_the_health() {
    let (clock, queue) = (ManualClock::at(NOW), JobQueue::bounded(10).build());
    let asks = async |scheduler: Scheduler| assert!(!scheduler.metadata().name.is_empty());
    let builder = Host::builder()
        .register(JobDefinition::new(detail("asks"), asks))
        .queue("work", queue.clone())
        .scheduler(Scheduler::builder())
        .expect_success("asks".parse().unwrap(), Duration::from_secs(60));
    let (handle, running) = start(&clock, builder).await;
    for _ in 0..3 {
        clock.advance(Duration::from_secs(50)).await;
        let done = queue.enqueue(Invocation::new(detail("asks"))).await.unwrap();
        assert!(done.outcome().await.is_success());
    }
    assert!(handle.health().ready, "{:?}", handle.health());
    clock.advance(Duration::from_secs(61)).await;
    assert!(!handle.health().ready);
    assert!(stop(&clock, &handle, running).await);
}

#[tokio::test]
async fn r10_a_close_hook_that_hangs_does_not_keep_the_queue() {
    let (log, clock, queue) = (Log::default(), ManualClock::at(NOW), JobQueue::bounded(10).build());
    let hangs = clock.clone();
    let hook = move |_: u8, _: Outcome| {
        let clock = hangs.clone();
        async move {
            clock.sleep(Duration::from_secs(86_400)).await;
            Ok::<(), JobError>(())
        }
    };
    let holds = |_: Scoped<u8>, context: JobContext| async move {
        context.clock().sleep(Duration::from_secs(9999)).await;
    };
    let timed = detail("holds").to_builder().timeout(Duration::from_secs(10)).build();
    let builder = builder(&log)
        .provide_scoped_with(async || Ok::<_, JobError>(7_u8), hook)
        .register(JobDefinition::new(timed.clone(), holds));
    let (handle, running) = start(&clock, builder.queue("q", queue.clone())).await;
    let held = queue.enqueue(Invocation::new(timed)).await.unwrap();
    queue.enqueue(job("now", 2)).await.unwrap();
    quiet(&clock).await;
    clock.advance(Duration::from_secs(14)).await;
    assert!(log.lock().is_empty(), "the grace is not over");
    clock.advance(Duration::from_secs(1)).await;
    quiet(&clock).await;
    assert_eq!(*log.lock(), ["now 2"]);
    assert_eq!(held.outcome().await.word(), "timed out");
    assert!(stop(&clock, &handle, running).await);
}

/// The grace of a run that listens and does not end: that of the queue, or else of the scheduler, or else 5 s.
#[tokio::test]
async fn h11_the_grace_of_a_cancelled_run_is_the_setting() {
    let secs = Duration::from_secs;
    for (of_queue, of_scheduler, grace) in [
        (None, None, 5),
        (Some(2), None, 2),
        (None, Some(20), 20),
        (Some(30), Some(20), 30),
        (Some(0), Some(20), 0),
    ] {
        let mut queue = JobQueue::bounded(1);
        if let Some(grace) = of_queue {
            queue = queue.cancel_grace(secs(grace));
        }
        let (queue, clock, log) = (queue.build(), ManualClock::at(NOW), Log::default());
        let mut builder = builder(&log).queue("q", queue.clone()).stop_budget(secs(1));
        if let Some(grace) = of_scheduler {
            builder = builder.scheduler(Scheduler::builder().cancel_grace(secs(grace)));
        }
        let aside = clock.clone();
        let lingers = move |stop: CancellationToken, context: JobContext| {
            let clock = aside.clone();
            async move {
                clock.aside(stop.cancelled()).await;
                context.clock().sleep(secs(9999)).await;
            }
        };
        let builder = builder.register(JobDefinition::new(detail("lingers"), lingers));
        let (handle, running) = start(&clock, builder).await;
        let job = queue.enqueue(Invocation::new(detail("lingers"))).await.unwrap();
        quiet(&clock).await;
        job.cancel();
        let ended = tokio::spawn({
            let job = job.clone();
            async move { job.outcome().await }
        });
        quiet(&clock).await;
        if grace > 0 {
            clock.advance(secs(grace) - Duration::from_millis(1)).await;
            quiet(&clock).await;
            assert!(!ended.is_finished(), "{of_queue:?} {of_scheduler:?}: it was aborted too early");
            clock.advance(Duration::from_millis(1)).await;
        }
        quiet(&clock).await;
        assert!(ended.is_finished(), "{of_queue:?} {of_scheduler:?}: it was not aborted");
        assert_eq!(ended.await.unwrap().word(), "cancelled");
        stop(&clock, &handle, running).await;
    }
}
