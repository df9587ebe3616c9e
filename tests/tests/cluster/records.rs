//! Firing records in the server: what they take, what becomes of old and of damaged ones.

use scheduler_core::run::RunId;
use scheduler_core::store::*;
use scheduler_redis::RedisJobStore;
use tests::logged;
use tests::process::job;
use tests::redis::Server;

const PREFIX: &str = "scheduler:{shared/0}:";

/// A store with a node.
async fn open(server: &Server, keeps: usize) -> RedisJobStore {
    open_as(server, 1, keeps).await
}

async fn open_as(server: &Server, session: u64, keeps: usize) -> RedisJobStore {
    let store =
        RedisJobStore::builder(&server.url()).name("shared").keep_history(keeps).connect().await.unwrap();
    let (wake, stop) = (std::sync::Arc::new(|| {}), std::sync::Arc::new(|_, _| {}));
    store.attach(Node { session, name: "node".into(), types: None, wake, stop }).await.unwrap();
    store
}

/// Runs so many runs, whose attempts succeed, in batches of a hundred.
async fn run(store: &RedisJobStore, numbers: std::ops::Range<u64>) {
    run_as(store, 1, numbers).await;
}

async fn run_as(store: &RedisJobStore, session: u64, numbers: std::ops::Range<u64>) {
    let now = JobStore::clock(store).unwrap().now();
    let work = job("send-letter");
    let runs = numbers.map(|number| NewRun::of(RunId::new(7, number), &work, now)).collect();
    store.enqueue(runs).await.unwrap();
    let limits = QueueLimits::default();
    let request = AcquireDue { session, now, until: now, max: 100, limits, late: None, heard: None };
    loop {
        let acquired = store.acquire_due(request.clone()).await.unwrap();
        let ended = acquired.runs.iter().map(|one| {
            let outcome = FiringOutcome::Succeeded;
            let mut record =
                FiringRecord::new(work.key().clone(), session, one.cause, (one.due, now), outcome);
            (record.execution, record.run, record.attempt) = (Some(one.claim), Some(one.run), 1);
            (record.job_type, record.node) = (Some(one.job_type.clone()), Some("host-7.internal".into()));
            record.began = Some(now);
            Completion { record: Some(Box::new(record)), ..Completion::of(one.claim) }
        });
        let executions: Vec<_> = ended.collect();
        if executions.is_empty() {
            return;
        }
        store.complete(Complete { now, executions }).await.unwrap();
    }
}

/// The keys of lists of records.
fn lists(server: &Server) -> Vec<Vec<u8>> {
    redis::from_redis_value(server.command(&["KEYS", &format!("{PREFIX}fi:*")])).unwrap()
}

fn ask<T: redis::FromRedisValue>(server: &Server, command: &str, key: &[u8], more: &[&str]) -> T {
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.arg(key).arg(more).query(&mut connection).unwrap()
}

async fn count(store: &RedisJobStore, query: FiringQuery) -> usize {
    store.all_firings(query).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_takes_450_bytes_with_all_its_lists() {
    const MANY: u64 = 20_000;
    let server = Server::start();
    let store = open(&server, MANY as usize).await;
    run(&store, 0..MANY + 1_000).await;
    let mut bytes = 0;
    for key in lists(&server).into_iter().chain([format!("{PREFIX}firings").into_bytes()]) {
        bytes += ask::<u64>(&server, "MEMORY USAGE", &key, &["SAMPLES", "0"]);
    }
    println!("{} bytes a record", bytes / MANY);
    assert!(bytes / MANY <= 450, "{} bytes", bytes / MANY);
    assert_eq!(count(&store, FiringQuery::default()).await, MANY as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_evicted_leaves_nothing_in_any_list() {
    let server = Server::start();
    let store = open(&server, 50).await;
    run(&store, 0..230).await;
    let entries = |kind: u8| -> usize {
        let of_kind = |key: &&Vec<u8>| key[PREFIX.len() + 3] == kind;
        let keys = lists(&server);
        keys.iter().filter(of_kind).map(|key| ask::<usize>(&server, "LLEN", key, &[])).sum()
    };
    assert_eq!([entries(b'o'), entries(b'j'), entries(b'r'), entries(b't')], [50, 50, 50, 0]);
    let records: usize = ask(&server, "HLEN", format!("{PREFIX}firings").as_bytes(), &[]);
    assert_eq!(records, 50);
    // Another node wishes fewer.
    let store = open_as(&server, 2, 10).await;
    run_as(&store, 2, 1_000..1_001).await;
    assert_eq!(count(&store, FiringQuery::default()).await, 10);
    assert_eq!([entries(b'o'), entries(b'j'), entries(b'r')], [10; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_is_left_out_and_named() {
    logged::listen();
    let server = Server::start();
    let store = open(&server, 100).await;
    run(&store, 0..20).await;
    let hash = format!("{PREFIX}firings");
    server.command(&["HSET", &hash, "7", "{rubbish"]);
    server.command(&["HDEL", &hash, "9"]);
    let all = store.all_firings(FiringQuery::default()).await.unwrap();
    let numbers: Vec<_> = all.iter().map(|record| record.number).collect();
    assert_eq!(numbers, (1..=20).rev().filter(|number| ![7, 9].contains(number)).collect::<Vec<_>>());
    assert_eq!(count(&store, FiringQuery::default().of_job("send-letter".parse().unwrap())).await, 18);
    logged::assert_logged("ERROR", "the firing record 7 cannot be read and is left out of the list");
    run(&store, 100..220).await;
    assert_eq!(count(&store, FiringQuery::default()).await, 100, "they are evicted like others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_were_destroyed_hold_nothing_up_and_numbers_go_on() {
    let server = Server::start();
    let store = open(&server, 30).await;
    run(&store, 0..20).await;
    let one_of = |kind: u8| lists(&server).into_iter().find(|key| key[PREFIX.len() + 3] == kind).unwrap();
    let of_job = one_of(b'j');
    let _: usize = ask(&server, "DEL", &of_job, &[]);
    let _: String = ask(&server, "SET", &of_job, &["rubbish"]);
    let _: usize = ask(&server, "LPUSH", &one_of(b'o'), &["rubbish"]);
    server.command(&["HDEL", &format!("{PREFIX}meta"), "fl", "ff"]);
    run(&store, 100..125).await;
    let all = store.all_firings(FiringQuery::default()).await.unwrap();
    let numbers: Vec<_> = all.iter().map(|record| record.number).collect();
    assert_eq!(numbers, (16..=45).rev().collect::<Vec<_>>());
    let of_job = FiringQuery::default().of_job("send-letter".parse().unwrap());
    assert_eq!(count(&store, of_job).await, 25, "those that were written since");
    let succeeded = FiringQuery::default().with_outcomes([FiringOutcome::Succeeded]);
    assert_eq!(count(&store, succeeded).await, 30);
    let found = store.audit(false).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("it was of the wrong kind and was moved to"), "{found:?}");
}
