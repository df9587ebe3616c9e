//! Many triggers at once, and none at all: how many calls that takes, and whether any of them is long.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::Scheduler;
use scheduler_core::job::{JobDefinition, JobDetail};
use scheduler_core::run::RunId;
use scheduler_core::store::{
    AcquireDue, Changes, Complete, Completion, Executions, Existing, JobStore, NewRun, Node, Put, Queries,
    QueueFilter, QueueLimits,
};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_redis::RedisJobStore;
use tests::redis::Server;
use tests::wait::between_looks;
use tokio::sync::Notify;

const LIMIT: Duration = Duration::from_secs(240);

fn detail(name: &str, exclusive: bool) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).disallow_concurrent(exclusive).durable(true).build()
}

/// How many there were, and who waits for them.
#[derive(Clone, Default)]
struct Count(Arc<(AtomicUsize, Notify)>);

impl Count {
    async fn run(self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        self.0.1.notify_waiters();
    }

    async fn wait_for(&self, count: usize) {
        let all = async {
            loop {
                let next = self.0.1.notified();
                if self.0.0.load(Ordering::SeqCst) >= count {
                    return;
                }
                next.await;
            }
        };
        let in_time = tokio::time::timeout(LIMIT, all).await.is_ok();
        assert!(in_time, "only {} of {count}", self.0.0.load(Ordering::SeqCst));
    }
}

/// Stores so many triggers of a job, due once, at the same moment.
async fn fill(store: &RedisJobStore, job: &JobDetail, count: usize, due: TimeDelta) {
    fill_with(store, job, count, due, Trigger::at).await;
}

/// As [`fill`], with triggers of another kind that are due at a moment.
async fn fill_with(
    store: &RedisJobStore,
    job: &JobDetail,
    count: usize,
    due: TimeDelta,
    trigger_at: impl Fn(DateTime<Utc>) -> TriggerBuilder,
) {
    let at = store.clock().unwrap().now() + due;
    let built = |number: usize| {
        let name = format!("{}-{number:06}", job.key().name());
        let trigger = trigger_at(at).name(&name).job(job.key().clone()).build(at).unwrap();
        let progress = trigger.first(None);
        (Arc::new(trigger), progress)
    };
    for first in (0..count).step_by(10_000) {
        let triggers = (first..count.min(first + 10_000)).map(built).collect();
        let (existing_jobs, existing_triggers) = (Existing::Keep, Existing::Refuse);
        let jobs = vec![Arc::new(job.clone())];
        store.put(Put { jobs, existing_jobs, triggers, existing_triggers }).await.unwrap();
    }
}

/// How often scripts were called since the statistics were reset.
fn calls(server: &Server) -> usize {
    let stats = server.text(&["INFO", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or_default();
    let calls = line.split_once("calls=").and_then(|(_, rest)| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse().unwrap())
}

async fn settled(store: &RedisJobStore) {
    let deadline = SystemClock.monotonic() + LIMIT;
    while !store.executions(Executions::All).await.unwrap().is_empty() {
        assert!(SystemClock.monotonic() < deadline, "something still runs");
        between_looks().await;
    }
}

fn scheduler(store: &RedisJobStore, job: &JobDetail, count: &Count) -> Scheduler {
    let count = count.clone();
    let definition = JobDefinition::new(job.clone(), move || count.clone().run());
    Scheduler::builder().store(store.clone()).concurrency(1000).register(definition).build().unwrap()
}

/// Runs what is due, each once; says how many calls that took.
async fn run_all(server: &Server, store: &RedisJobStore, job: &JobDetail, all: usize) -> usize {
    let count = Count::default();
    server.command(&["CONFIG", "RESETSTAT"]);
    let scheduler = scheduler(store, job, &count);
    let begin = SystemClock.monotonic();
    scheduler.start().await.unwrap();
    count.wait_for(all).await;
    settled(store).await;
    let (took, calls) = (SystemClock.monotonic() - begin, calls(server));
    println!("{all} in {took:?}, {calls} calls");
    scheduler.shutdown(Duration::from_secs(5)).await;
    assert_eq!(count.0.0.load(Ordering::SeqCst), all, "none twice");
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_triggers_of_one_second_are_fired_once_each_in_three_calls_for_a_hundred() {
    const ALL: usize = 100_000;
    let server = Server::start();
    let store = RedisJobStore::connect(&server.url(), "burst").await.unwrap();
    let job = detail("burst", false);
    fill(&store, &job, ALL, TimeDelta::zero()).await;
    server.command(&["CONFIG", "SET", "slowlog-log-slower-than", "10000"]);
    server.command(&["SLOWLOG", "RESET"]);
    let calls = run_all(&server, &store, &job, ALL).await;
    println!("{} of them longer than 10 ms", server.text(&["SLOWLOG", "LEN"]));
    assert!(calls <= 3 * ALL / 100 * 5 / 4, "{calls} calls");
    let left = server.text(&["HLEN", "scheduler:{burst/0}:triggers"]);
    assert_eq!(left, "0", "all are over and gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triggers_that_go_on_are_fired_a_hundred_at_a_time() {
    const ALL: usize = 5_000;
    let server = Server::start();
    let store = RedisJobStore::connect(&server.url(), "again").await.unwrap();
    let job = detail("again", false);
    let hourly = |at| Trigger::every(Duration::from_secs(3600)).start_at(at);
    fill_with(&store, &job, ALL, TimeDelta::zero(), hourly).await;
    let calls = run_all(&server, &store, &job, ALL).await;
    // Runs that end while others are fired make smaller batches.
    assert!(calls <= 2 * 3 * ALL / 100, "{calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_triggers_of_a_job_that_allows_one_run_take_turns() {
    const ALL: usize = 10_000;
    let server = Server::start();
    let store = RedisJobStore::connect(&server.url(), "turns").await.unwrap();
    let job = detail("turns", true);
    fill(&store, &job, ALL, TimeDelta::zero()).await;
    let calls = run_all(&server, &store, &job, ALL).await;
    assert!(calls <= 3 * ALL * 5 / 4, "{calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_cannot_run_does_not_stand_in_the_way_of_what_it_can() {
    let (server, count) = (Server::start(), Count::default());
    let store = RedisJobStore::connect(&server.url(), "foreign").await.unwrap();
    fill(&store, &detail("foreign", false), 100_000, TimeDelta::hours(-1)).await;
    let job = detail("own", false);
    fill(&store, &job, 1, TimeDelta::zero()).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    let scheduler = scheduler(&store, &job, &count);
    scheduler.start().await.unwrap();
    count.wait_for(1).await;
    let calls = calls(&server);
    scheduler.shutdown(Duration::from_secs(5)).await;
    assert!(calls < 20, "{calls} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_nothing_to_do_says_every_two_seconds_that_it_lives_and_nothing_else() {
    let (server, count) = (Server::start(), Count::default());
    let store = RedisJobStore::connect(&server.url(), "idle").await.unwrap();
    let job = detail("idle", false);
    fill(&store, &job, 10_000, TimeDelta::days(1)).await;
    let scheduler = scheduler(&store, &job, &count);
    scheduler.start().await.unwrap();
    // The start is over once the node has said of itself that it lives.
    let heard = || server.command(&["HVALS", "scheduler:{idle/0}:sn"]);
    for _ in 0..2 {
        let before = heard();
        while heard() == before {
            between_looks().await;
        }
    }
    let begin = SystemClock.monotonic();
    server.command(&["CONFIG", "RESETSTAT"]);
    while calls(&server) < 4 {
        between_looks().await;
    }
    let (calls, took) = (calls(&server), SystemClock.monotonic() - begin);
    scheduler.shutdown(Duration::from_secs(5)).await;
    assert!(
        took + Duration::from_secs(2) >= Duration::from_secs(2) * u32::try_from(calls).unwrap(),
        "{calls} in {took:?}"
    );
}

/// How many commands the server has carried out, also inside of scripts, and how many words the scripts were given.
fn spent(server: &Server) -> (usize, usize) {
    let stats = server.text(&["INFO", "commandstats"]);
    let own = ["cmdstat_info", "cmdstat_config", "cmdstat_slowlog"];
    let of_others = stats.lines().filter(|line| own.iter().all(|own| !line.starts_with(own)));
    let count = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<usize>().ok();
    let commands = of_others.filter_map(count).sum();
    let redis::Value::Array(calls) = server.command(&["SLOWLOG", "GET", "-1"]) else { panic!("no calls") };
    let words = calls.iter().map(|call| {
        let redis::Value::Array(fields) = call else { panic!("{call:?}") };
        let redis::Value::Array(words) = &fields[3] else { panic!("{call:?}") };
        let texts = words.iter().map(|word| match word {
            redis::Value::BulkString(bytes) => String::from_utf8_lossy(bytes),
            word => panic!("{word:?}"),
        });
        let texts: Vec<_> = texts.collect();
        if texts[0] != "EVALSHA" {
            return 0;
        }
        // `... (70 more arguments)` stands in place of a long end.
        let more = texts.last().and_then(|text| text.strip_prefix("... (")?.split_once(" more"));
        more.map_or(texts.len(), |(more, _)| texts.len() - 1 + more.parse::<usize>().unwrap())
    });
    (commands, words.sum())
}

#[tokio::test]
async fn a_run_costs_few_commands_and_few_words() {
    const ALL: usize = 1_000;
    let server = Server::start();
    let store = RedisJobStore::connect(&server.url(), "cost").await.unwrap();
    let (session, name) = (7, "cost".into());
    let node = Node {
        session,
        name,
        types: None,
        queues: QueueFilter::default(),
        wake: Arc::new(|| {}),
        stop: Arc::new(|_, _| {}),
    };
    store.attach(node).await.unwrap();
    let (now, job) = (store.clock().unwrap().now(), detail("cost", false));
    let run = |number| NewRun::of(RunId::new(1, number), &job, now);
    let runs: Vec<_> = (1..=ALL as u64).map(run).collect();
    // A beat may come in between.
    let beside = 200;
    let measure = || {
        server.command(&["CONFIG", "RESETSTAT"]);
        server.command(&["CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "10000"]);
        server.command(&["SLOWLOG", "RESET"]);
    };
    measure();
    store.enqueue(runs).await.unwrap();
    let (commands, words) = spent(&server);
    println!("enqueue: {commands} commands, {words} words");
    assert!(commands <= ALL / 10 + beside, "{commands} commands to store {ALL} runs");
    assert!(words <= 8 * ALL + beside, "{words} words to store {ALL} runs");
    measure();
    let mut ended = 0;
    while ended < ALL {
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
        let acquired = store.acquire_due(request).await.unwrap();
        assert_eq!(acquired.runs.len(), 100);
        let executions = acquired.runs.iter().map(|run| Completion::of(run.claim)).collect();
        store.complete(Complete { now, executions }).await.unwrap();
        ended += acquired.runs.len();
    }
    let (commands, words) = spent(&server);
    println!("run: {commands} commands, {words} words");
    assert!(commands <= ALL / 2 + beside, "{commands} commands to run {ALL} runs");
    assert!(words <= ALL / 2 + beside, "{words} words to run {ALL} runs");
    assert_eq!(server.text(&["HLEN", "scheduler:{cost/0}:runs"]), "0", "all are over and gone");
}

/// Nodes are told of what comes first in a lane. They find what stands behind it when they come for that.
#[tokio::test]
async fn what_stands_behind_another_run_wakes_nobody() {
    let server = Server::start();
    let store = RedisJobStore::connect(&server.url(), "wake").await.unwrap();
    let now = store.clock().unwrap().now();
    let enqueue = async |count: u64, queue: &'static str, seconds: i64| {
        let job = detail("wake", false).to_builder().queue(queue).build();
        let run = NewRun::of(RunId::new(1, count), &job, now + TimeDelta::seconds(seconds));
        store.enqueue(vec![run]).await.unwrap();
    };
    let told = || {
        let stats = server.text(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_publish:calls="));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<u32>().unwrap())
    };
    let before = told();
    for (count, queue, seconds, times) in [
        (1, "mail", 5, 1),
        (2, "mail", 6, 1),
        (3, "mail", 5, 1),
        (4, "other", 9, 2),
        (5, "mail", 4, 3),
        (6, "mail", 4, 3),
    ] {
        enqueue(count, queue, seconds).await;
        assert_eq!(told() - before, times, "after run {count}");
    }
}
