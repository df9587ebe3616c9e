//! Ended runs in Redis: more of them than are kept, many that end in one moment, and bulk changes beside a node that works.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::Client;
use scheduler_core::job::JobDetail;
use scheduler_core::run::{Retention, RunEnd, RunId, RunState};
use scheduler_core::store::*;
use scheduler_redis::RedisJobStore;
use tests::redis::Server;

const SESSION: u64 = 7;
const MANY: usize = 1_300;

async fn store(server: &Server, retention: Retention) -> RedisJobStore {
    let builder = RedisJobStore::builder(&server.url()).name("ended").lease(Duration::from_secs(60));
    let store = builder.retention(retention).connect().await.unwrap();
    let (types, name) = (None, "node".into());
    let node = Node {
        session: SESSION,
        name,
        types,
        queues: QueueFilter::default(),
        wake: Arc::new(|| {}),
        stop: Arc::new(|_, _| {}),
    };
    store.attach(node).await.unwrap();
    store
}

fn now(store: &RedisJobStore) -> DateTime<Utc> {
    store.clock().unwrap().now()
}

fn work() -> JobDetail {
    JobDetail::builder("work".parse().unwrap(), "work").build()
}

fn id(number: usize) -> RunId {
    RunId::new(1, number as u64)
}

async fn enqueue(store: &RedisJobStore, numbers: std::ops::Range<usize>) {
    let due = now(store) - TimeDelta::seconds(1);
    let runs = numbers.map(|number| NewRun::of(id(number), &work(), due)).collect();
    store.enqueue(runs).await.unwrap();
}

async fn acquire(store: &RedisJobStore, max: usize, now: DateTime<Utc>) -> Acquired {
    let request = AcquireDue {
        session: SESSION,
        now,
        until: now,
        max,
        limits: QueueLimits::default(),
        shares: Vec::new(),
        late: None,
        heard: None,
    };
    store.acquire_due(request).await.unwrap()
}

/// Also on a server whose hash table shrinks meanwhile.
#[tokio::test]
async fn a_bulk_deletion_leaves_nothing() {
    let server = Server::start();
    let store = store(&server, Retention::default()).await;
    let client = Client::new(store.clone());
    for many in [600, 5_000] {
        enqueue(&store, 0..many).await;
        let deleted = client.change_runs(RunQuery::default(), RunChange::Delete).await.unwrap();
        let left = store.all_runs(RunQuery::default()).await.unwrap().len();
        assert_eq!((deleted.changed, left), (many, 0));
    }
}

/// Everything that waits fails for good. Says which dead runs were dropped meanwhile.
async fn kill_all(store: &RedisJobStore) -> Vec<RunId> {
    let mut all = Vec::new();
    loop {
        let Acquired { runs, dropped, .. } = acquire(store, 500, now(store)).await;
        all.extend(dropped.into_iter().map(|(run, _)| run));
        if runs.is_empty() {
            return all;
        }
        let dead =
            |run: &AcquiredRun| Completion { fate: Fate::Dead { error: None }, ..Completion::of(run.claim) };
        let executions = runs.iter().map(dead).collect();
        store.complete(Complete { now: now(store), executions }).await.unwrap();
    }
}

#[tokio::test]
async fn more_dead_runs_than_are_kept_are_removed_the_oldest_first() {
    let server = Server::start();
    let store = store(&server, Retention::default().at_most(1_000)).await;
    enqueue(&store, 0..300).await;
    assert_eq!(kill_all(&store).await, []);
    // The oldest of all, of which somebody has destroyed the record.
    let nobody = ["ZADD", "scheduler:{ended/0}:ended:dead", "1", "no run"];
    server.command(&nobody);
    enqueue(&store, 300..MANY).await;
    let mut dropped = kill_all(&store).await;
    // Some with each request.
    for _ in 0..20 {
        dropped.extend(acquire(&store, 1, now(&store)).await.dropped.into_iter().map(|(run, _)| run));
    }
    dropped.sort_unstable();
    assert!(dropped == (0..300).map(id).collect::<Vec<_>>(), "{} dropped: {dropped:?}", dropped.len());
    let left = store.all_runs(RunQuery::dead()).await.unwrap();
    assert_eq!(left.len(), 1_000);
    assert!(left.is_sorted_by(|a, b| a.ended >= b.ended));
    assert_eq!(store.audit(false).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn runs_that_ended_in_one_moment_are_listed_once_replayed_once_and_removed_in_time() {
    let server = Server::start();
    let store = store(&server, Retention::default()).await;
    enqueue(&store, 0..MANY).await;
    let client = Client::new(store.clone());
    let held = client.change_runs(RunQuery::default(), RunChange::Hold).await.unwrap();
    assert_eq!((held.changed, held.refused), (MANY, 0));
    assert!(acquire(&store, 500, now(&store)).await.runs.is_empty());
    let all: Vec<_> = (0..MANY).map(id).collect();
    let moment = now(&store);
    store.change_runs(ChangeRuns::new(all.clone(), RunChange::Cancel, moment)).await.unwrap();
    let cancelled = || RunQuery::default().that_are(RunEnd::Cancelled);
    let mut listed: Vec<_> =
        store.all_runs(cancelled()).await.unwrap().into_iter().map(|run| run.id).collect();
    listed.sort_unstable();
    assert!(listed == all, "{} listed", listed.len());
    let mut half = cancelled();
    half.limit = Some(MANY / 2);
    let replayed = client.change_runs(half, RunChange::replay()).await.unwrap();
    assert_eq!((replayed.changed, replayed.refused), (MANY / 2, 0));
    let waiting = store.all_runs(RunQuery::default().in_state(RunState::Waiting)).await.unwrap();
    assert_eq!(waiting.len(), MANY / 2);
    assert_eq!(store.audit(false).await.unwrap(), Vec::<String>::new());
    // A day later.
    let later = moment + TimeDelta::days(1);
    for _ in 0..20 {
        acquire(&store, 0, later).await;
    }
    assert!(store.all_runs(cancelled()).await.unwrap().is_empty());
    assert_eq!(store.audit(false).await.unwrap(), Vec::<String>::new());
}
