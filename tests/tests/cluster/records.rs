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
    store
        .attach(Node {
            session,
            name: "node".into(),
            types: None,
            queues: QueueFilter::default(),
            wake,
            stop,
        })
        .await
        .unwrap();
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
    let request = AcquireDue {
        session,
        now,
        until: now,
        max: 100,
        limits,
        shares: Vec::new(),
        late: None,
        heard: None,
    };
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

/// The keys of chunks of records.
fn chunks(server: &Server) -> Vec<Vec<u8>> {
    redis::from_redis_value(server.command(&["KEYS", &format!("{PREFIX}fr:*")])).unwrap()
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
async fn a_record_takes_250_bytes_with_what_finds_it() {
    const MANY: u64 = 20_000;
    let server = Server::start();
    let store = open(&server, MANY as usize).await;
    run(&store, 0..MANY + 1_000).await;
    let keys = chunks(&server).into_iter().chain([format!("{PREFIX}firings").into_bytes()]);
    let sizes = keys.map(|key| ask::<u64>(&server, "MEMORY USAGE", &key, &["SAMPLES", "0"]));
    let bytes = sizes.sum::<u64>() / MANY;
    println!("{bytes} bytes a record");
    assert!(bytes <= 250, "{bytes} bytes");
    assert_eq!(count(&store, FiringQuery::default()).await, MANY as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_evicted_goes_by_whole_chunks_and_is_not_shown_before() {
    let server = Server::start();
    let store = open(&server, 50).await;
    run(&store, 0..1_100).await;
    assert_eq!(count(&store, FiringQuery::default()).await, 50);
    assert_eq!(count(&store, FiringQuery::default().of_job("send-letter".parse().unwrap())).await, 50);
    for (number, many) in [(1_049, 0), (1_050, 1)] {
        assert_eq!(count(&store, FiringQuery::default().of_run(RunId::new(7, number))).await, many);
    }
    let noted: usize = ask(&server, "SCARD", format!("{PREFIX}firings").as_bytes(), &[]);
    assert_eq!([chunks(&server).len(), noted], [1, 1]);
    // Another node wishes fewer.
    let store = open_as(&server, 2, 10).await;
    run_as(&store, 2, 2_000..2_001).await;
    assert_eq!(count(&store, FiringQuery::default()).await, 10);
}

/// Of many records the few that are wanted are found in few calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_among_many_are_found_by_their_entries() {
    const MANY: u64 = 20_000;
    let server = Server::start();
    let store = open(&server, MANY as usize).await;
    run(&store, 0..MANY).await;
    for number in [0, 7_777, MANY - 1] {
        let page = store.firings(FiringQuery::default().of_run(RunId::new(7, number))).await.unwrap();
        assert_eq!((page.items.len(), page.complete), (1, true));
        assert!(page.looked_at <= 3, "{} were read", page.looked_at);
    }
    let failed = FiringQuery::default().with_outcomes([FiringOutcome::Failed, FiringOutcome::Lost]);
    for query in [failed.clone(), failed.of_job("send-letter".parse().unwrap())] {
        let page = store.firings(query).await.unwrap();
        assert_eq!((page.items.len(), page.looked_at, page.complete), (0, 0, true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_is_left_out_and_named() {
    logged::listen();
    let server = Server::start();
    let store = open(&server, 100).await;
    run(&store, 0..20).await;
    let all = store.all_firings(FiringQuery::default()).await.unwrap();
    let chunk = format!("{PREFIX}fr:0");
    // Six records have the same length as the first, and so does their place.
    let whole: Vec<u8> = ask(&server, "GETRANGE", chunk.as_bytes(), &["4096", "-1"]);
    let length = whole.len() / 20;
    let place = 4096 + 6 * length;
    server.command(&["SETRANGE", &chunk, &place.to_string(), "{rubbish"]);
    // The entry of the ninth is gone.
    let _: usize = ask(&server, "SETRANGE", chunk.as_bytes(), &[&(16 * 8 + 13).to_string(), "\0\0\0"]);
    let left = store.all_firings(FiringQuery::default()).await.unwrap();
    assert_eq!(all.len(), 20);
    assert!(left.len() < 20 && left.iter().all(|record| all.contains(record)), "nothing else is shown");
    logged::assert_logged("ERROR", "the firing record 7 cannot be read and is left out of the list");
    run(&store, 100..500).await;
    assert_eq!(count(&store, FiringQuery::default()).await, 100, "they are evicted like others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_were_destroyed_hold_nothing_up_and_numbers_go_on() {
    let server = Server::start();
    let store = open(&server, 30).await;
    run(&store, 0..20).await;
    server.command(&["DEL", &format!("{PREFIX}fr:0")]);
    let numbers = async || -> Vec<_> {
        let all = store.all_firings(FiringQuery::default()).await.unwrap();
        all.iter().map(|record| record.number).collect()
    };
    let down = |from: u64, to: u64| (to..=from).rev().collect::<Vec<_>>();
    assert_eq!(numbers().await, [0; 0]);
    run(&store, 20..30).await;
    assert_eq!(numbers().await, down(266, 257), "another chunk is begun");
    // It is not known any more which records there are.
    server.command(&["HDEL", &format!("{PREFIX}meta"), "fl"]);
    assert_eq!(numbers().await, down(266, 257));
    run(&store, 30..35).await;
    assert_eq!(numbers().await, down(517, 513));
    let key = format!("{PREFIX}fr:2");
    server.command(&["DEL", &key]);
    server.command(&["LPUSH", &key, "rubbish"]);
    assert_eq!(numbers().await, [0; 0], "it is moved out of the way");
    run(&store, 35..40).await;
    assert_eq!(numbers().await, down(773, 769));
    let found = store.audit(false).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("it was of the wrong kind and was moved to"), "{found:?}");
}
