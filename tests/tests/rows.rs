//! The store in Redis as a driver of rows passes what every store has to pass, on a real server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use scheduler_core::job::JobDetail;
use scheduler_core::store::*;
use scheduler_core::trigger::Trigger;
use scheduler_redis::RedisJobStore;
use scheduler_redis::rows::RowsJobStore;
use tests::redis::Server;

thread_local! {
    /// The server of one test. The server and its folder are removed when the thread of the test ends.
    static SERVER: Server = Server::start();
}

static STORES: AtomicUsize = AtomicUsize::new(0);

/// A store of its own.
async fn open() -> RowsJobStore {
    let url = SERVER.with(Server::url);
    let name = format!("test-{}", STORES.fetch_add(1, Ordering::Relaxed));
    RowsJobStore::connect(RedisJobStore::builder(&url).name(name).keep_history(1000)).await.unwrap()
}

scheduler_conformance::store_conformance!(rows, open);

/// A node whose run is lost with it, and a node that takes the run over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_run_is_repeated_where_its_job_asks_and_its_trigger_is_gone() {
    let store = open().await;
    for session in [1, 2] {
        let (wake, stop) = (Arc::new(|| {}), Arc::new(|_, _| {}));
        let node = Node { session, name: format!("node {session}").into(), types: None, wake, stop };
        store.attach(node).await.unwrap();
    }
    let now = store.clock().unwrap().now();
    let put = async |name: &str, recovers: bool| {
        let job = JobDetail::builder(name.parse().unwrap(), "work").requests_recovery(recovers).build();
        let trigger = Trigger::at(now - TimeDelta::seconds(1)).name(name).job(job.key().clone());
        let trigger = Arc::new(trigger.build(now).unwrap());
        let (jobs, triggers) = (vec![Arc::new(job)], vec![(trigger.clone(), trigger.first(None))]);
        let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
        store.put(Put { jobs, existing_jobs, triggers, existing_triggers }).await.unwrap();
    };
    put("safe", true).await;
    put("plain", false).await;
    let acquire = async |session: u64| {
        let limits = ExecutionLimits::default();
        let request = AcquireDue { session, now, until: now, max: 9, limits, late: None, fires_since: None };
        store.acquire_due(request).await.unwrap().triggers
    };
    let firing = |one: &AcquiredTrigger| Firing {
        claim: one.claim,
        progress: one.trigger.fired(&one.progress, None),
        run: true,
    };
    let firings: Vec<_> = acquire(1).await.iter().map(firing).collect();
    assert_eq!(store.fire(Fire { now, firings: firings.clone() }).await.unwrap().len(), 2);
    store.detach(1).await.unwrap();

    assert_eq!(store.executions(Executions::All).await.unwrap(), []);
    let again = acquire(2).await;
    assert_eq!(again.iter().map(|one| one.trigger.job().name()).collect::<Vec<_>>(), ["safe"]);
    assert_eq!(again[0].trigger.recovery().unwrap().trigger, "safe".parse().unwrap());
    let lost = store.history(HistoryQuery::default()).await.unwrap();
    assert_eq!(
        lost.iter().map(|run| (&*run.node, &*run.outcome)).collect::<Vec<_>>(),
        [("node 1", "lost"); 2]
    );
    let late = firings.iter().map(|firing| Completion::of(firing.claim)).collect();
    let results = store.complete(Complete { now, executions: late }).await.unwrap();
    assert_eq!(results, [CompleteResult::Gone; 2], "whoever was lost ends nothing");
}
