//! Results of runs over processes: a client that runs nothing, a node that runs, and one Redis between them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::time::Duration;

use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::run::RunError;
use scheduler_core::store::{JobStore, MemoryJobStore, RunQuery};
use scheduler_core::{Client, Scheduler};
use scheduler_redis::RedisJobStore;
use serde::{Deserialize, Serialize};
use tests::redis::Server;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sum {
    of: Vec<u64>,
    is: u64,
}

/// Adds numbers.
#[job(output)]
async fn add(of: Vec<u64>) -> JobResult<Sum> {
    match of.iter().sum() {
        0 => Err(JobError::fatal("nothing to add")),
        is => Ok(Sum { of, is }),
    }
}

/// Cannot fail.
#[job(output, keep = "2h", blocking)]
fn double(number: u64) -> u64 {
    number * 2
}

fn is_transient(_: &std::io::Error) -> bool {
    false
}

/// Says which errors are retried.
#[job(output, retry(max = 3, when = is_transient))]
async fn read(path: String) -> std::io::Result<usize> {
    if path.is_empty() { Err(std::io::Error::other("no path")) } else { Ok(path.len()) }
}

/// Returns nothing.
#[job]
async fn ping() {}

async fn gives_results(own: impl JobStore, others: impl JobStore) {
    let scheduler = Scheduler::builder().store(others).discover_jobs().build().unwrap();
    let client = Client::new(own);
    let sum = client.enqueue(add::with(vec![2, 3])).handle().await.unwrap();
    let waiting = {
        let sum = sum.clone();
        tokio::spawn(async move { sum.result().await })
    };
    scheduler.start().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), Sum { of: vec![2, 3], is: 5 });
    assert_eq!(sum.result().await.unwrap().is, 5, "whoever comes late finds it, too");
    let handles: Vec<_> = {
        let mut handles = Vec::new();
        for number in 1..20 {
            handles.push(client.enqueue(double::with(number)).handle().await.unwrap());
        }
        handles
    };
    for (number, handle) in (1..20).zip(&handles) {
        assert_eq!(handle.result().await.unwrap(), number * 2);
    }
    let kept = handles[0].status().await.unwrap().unwrap();
    assert_eq!((kept.kept_until.unwrap() - kept.ended.unwrap()).num_minutes(), 120);

    let dead = client.enqueue(add::with(Vec::new())).handle().await.unwrap().result().await.unwrap_err();
    assert!(matches!(&dead, RunError::Dead { error, .. } if &**error == "nothing to add"), "{dead}");
    let read =
        async |path: &str| client.enqueue(read::with(path.to_owned())).handle().await.unwrap().result().await;
    assert_eq!(read("abc").await.unwrap(), 3);
    assert!(matches!(read("").await, Err(RunError::Dead { .. })));
    client.enqueue(ping::with()).handle().await.unwrap().result().await.unwrap();
    assert_eq!(ping::detail().keep(), None);
    assert_eq!(read::detail().keep(), Some(Duration::from_secs(3600)));
    let left = client.all_runs(RunQuery::default().in_state(scheduler_core::run::RunState::Waiting)).await;
    assert!(left.unwrap().is_empty());
    scheduler.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_come_from_other_nodes_in_each_store() {
    let memory = MemoryJobStore::new();
    gives_results(memory.clone(), memory).await;
    let server = Server::start();
    let store = async || RedisJobStore::connect(&server.url(), "results").await.unwrap();
    gives_results(store().await, store().await).await;
}
