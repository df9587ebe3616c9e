//! The store in Redis passes what every store has to pass, on a real server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::store::TriggerQuery;
use scheduler_core::testing::{TestScheduler, assert_fired};
use scheduler_core::trigger::Trigger;
use scheduler_redis::RedisJobStore;
use tests::redis::Server;

thread_local! {
    /// Of one test: it ends with its thread, and takes its folder with it.
    static SERVER: Server = Server::start();
}

static STORES: AtomicUsize = AtomicUsize::new(0);

/// A store of its own.
async fn open() -> RedisJobStore {
    let url = SERVER.with(Server::url);
    let name = format!("test-{}", STORES.fetch_add(1, Ordering::Relaxed));
    // The kit has a time of its own, and no node of it dies because the machine is busy.
    let builder = RedisJobStore::builder(&url).name(name).lease(Duration::from_secs(300));
    builder.keep_history(100).connect().await.unwrap()
}

scheduler_conformance::store_conformance!(redis, open);

#[tokio::test]
async fn what_one_scheduler_has_stored_the_next_one_fires() {
    let store = open().await;
    let work = || JobDetail::builder("work".parse().unwrap(), "work").build();
    let builder = || {
        let job = JobDefinition::new(work(), async |number: u32| assert_eq!(number, 7));
        Scheduler::builder().store(store.clone()).register(job)
    };
    let first = TestScheduler::start("2026-03-01T00:00:00Z", builder()).await.unwrap();
    let later = Trigger::after(Duration::from_secs(60)).name("later");
    first.scheduler().schedule(Invocation::with_args(work(), &7_u32), later).await.unwrap();
    first.advance(Duration::from_secs(59)).await;
    first.scheduler().shutdown(Duration::ZERO).await;
    assert_fired!(first, "work", 0);

    let second = TestScheduler::start("2026-03-01T00:00:59Z", builder()).await.unwrap();
    second.advance(Duration::from_secs(1)).await;
    assert_fired!(second, "work", at "2026-03-01T00:01:00Z");
    second.advance(Duration::from_secs(3600)).await;
    assert!(second.scheduler().all_triggers(TriggerQuery::default()).await.unwrap().is_empty(), "it is over");
}
