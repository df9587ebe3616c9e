//! The queue of a job, in memory and in Redis: whatever starts a run obeys the limit, and a repeated run keeps the queue.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{JobDefinition, JobDetail, JobDetailBuilder};
use scheduler_core::scheduler::SchedulerBuilder;
use scheduler_core::store::{Changes, MemoryJobStore, QueueLimits, RunQuery, TriggerQuery};
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobData, Scheduler};
use scheduler_redis::RedisJobStore;
use tests::process::{Process, exclusive, hourly, until};
use tests::redis::Server;

fn import() -> JobDetail {
    JobDetail::builder("import".parse().unwrap(), "import").queue("heavy").durable(true).build()
}

/// Starts the job in each way while the queue takes no run, and then one run at a time.
async fn obeys(builder: SchedulerBuilder) {
    let (running, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, counted) = (running.clone(), done.clone());
    let definition = JobDefinition::new(import(), move || {
        let (inside, counted) = (inside.clone(), counted.clone());
        async move {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two runs at once");
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    })
    .with_trigger(Trigger::now().name("declared"));
    let scheduler = builder.register(definition).limit_queue("heavy", 0).concurrency(10).build().unwrap();
    scheduler.start().await.unwrap();
    scheduler.enqueue(import()).await.unwrap();
    scheduler.trigger_job(import().key(), JobData::new()).await.unwrap();
    scheduler.schedule(import(), Trigger::now().name("scheduled")).await.unwrap();
    let later = Trigger::after(Duration::from_secs(3600)).name("later");
    let placed = scheduler.schedule(import(), later).await.unwrap();
    scheduler.reschedule(&placed.trigger, Trigger::now()).await.unwrap();
    let stored = scheduler.all_triggers(TriggerQuery::default()).await.unwrap();
    let waiting = scheduler.all_runs(RunQuery::default()).await.unwrap();
    assert_eq!((stored.len(), waiting.len()), (3, 2), "none has run: {stored:?}");
    for status in stored {
        let queue = status.trigger.queue().map(|queue| &**queue);
        assert_eq!(queue, Some("heavy"), "{}", status.trigger.key());
    }
    let one = QueueLimits { named: [("heavy".into(), 1)].into(), ..QueueLimits::default() };
    scheduler.set_limits(one);
    until("all have run", async || done.load(Ordering::SeqCst) == 5).await;
    scheduler.shutdown(Duration::from_secs(10)).await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n04_whatever_starts_a_job_obeys_the_limit_of_its_queue_in_each_store() {
    obeys(Scheduler::builder().store(MemoryJobStore::new())).await;
    let server = Server::start();
    obeys(Scheduler::builder().store(RedisJobStore::connect(&server.url(), "queues").await.unwrap())).await;
}

/// Runs of three queues wait when a node starts, of `bulk` since long ago. Says how many of each are among the first hundred.
async fn first_hundred(builder: SchedulerBuilder) -> [usize; 3] {
    let started = Arc::new(Mutex::new(Vec::new()));
    let of = |name: &'static str, queue: Option<&'static str>| {
        let detail = JobDetail::builder(name.parse().unwrap(), name);
        let detail = queue.into_iter().fold(detail, JobDetailBuilder::queue).build();
        let started = started.clone();
        JobDefinition::new(detail, move || {
            started.lock().push(name);
            std::future::ready(())
        })
    };
    let jobs = [of("mail", Some("mail")), of("free", None), of("bulk", Some("bulk"))];
    let details = jobs.clone().map(|job| job.detail().clone());
    let scheduler = jobs.into_iter().fold(builder, SchedulerBuilder::register).build().unwrap();
    for detail in details.into_iter().rev() {
        scheduler.enqueue_all(vec![detail; 150]).await.unwrap();
    }
    scheduler.start().await.unwrap();
    until("all have run", async || started.lock().len() == 450).await;
    scheduler.shutdown(Duration::from_secs(10)).await;
    let started = started.lock();
    ["mail", "free", "bulk"].map(|name| started.iter().take(100).filter(|one| **one == name).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_and_tiers_share_the_starts_of_a_node_in_each_store() {
    let server = Server::start();
    let weighed = |node: SchedulerBuilder| node.queue_weights([("mail", 6), ("default", 3), ("bulk", 1)]);
    let in_tiers = |node: SchedulerBuilder| node.queue_tiers([["mail"], ["default"], ["bulk"]]);
    // The first requests of a node do not know yet which queues have work.
    for (concurrency, most) in [(1, 2), (7, 8), (100, 10)] {
        let name = format!("weights-{concurrency}");
        let redis = RedisJobStore::connect(&server.url(), &name).await.unwrap();
        let nodes = [Scheduler::builder(), Scheduler::builder().store(redis)];
        for node in nodes {
            let counts = first_hundred(weighed(node.concurrency(concurrency))).await;
            let is_near = counts.iter().zip([60, 30, 10]).all(|(count, share)| count.abs_diff(share) <= most);
            assert!(is_near, "{counts:?} with {concurrency} at once");
        }
        let redis = RedisJobStore::connect(&server.url(), &format!("tiers-{concurrency}")).await.unwrap();
        let nodes = [Scheduler::builder(), Scheduler::builder().store(redis)];
        for node in nodes {
            let counts = first_hundred(in_tiers(node.concurrency(concurrency))).await;
            let is_near = counts.iter().zip([95, 0, 5]).all(|(count, share)| count.abs_diff(share) <= most);
            assert!(is_near, "{counts:?} with {concurrency} at once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n04_a_lost_run_keeps_its_queue_even_if_its_trigger_is_gone() {
    for is_removed in [false, true] {
        let server = Server::start();
        let dead = Process::start(&server.url(), 1).await;
        let living = Process::start(&server.url(), 2).await;
        let safe = exclusive("safe").to_builder().requests_recovery(true).durable(true).build();
        dead.put(&safe, [hourly("a").queue("heavy")]).await;
        dead.run().await;
        if is_removed {
            living.store.remove_triggers(vec!["a".parse().unwrap()]).await.unwrap();
        }
        drop(dead);
        until("the run is over", async || living.sessions().await == [2] && living.running().await == 0)
            .await;
        let again = living.ask(9).await.unwrap().runs;
        assert_eq!(again.len(), 1, "removed: {is_removed}");
        let queue = again[0].trigger.queue().map(|queue| &**queue);
        assert_eq!(queue, Some("heavy"), "removed: {is_removed}");
    }
}
