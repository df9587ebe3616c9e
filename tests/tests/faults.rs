//! What a bad network and a bad server do to a node: everything still runs once.
//!
//! Everything that can fail, and where it does in the tests:
//!
//! | what fails | test |
//! |---|---|
//! | a node, before and after each call is carried out, in a run, before its end is written | `cluster.rs`: `the_work_of_a_dead_node_is_taken_over`; the chaos |
//! | the answer of any call; any call carried out twice | `every_call_may_be_lost_answered_in_vain_or_carried_out_twice`; the chaos |
//! | a node that is frozen for longer than its lease | `cluster.rs`: `a_node_that_was_held_for_dead_can_do_no_harm_and_begins_anew`; the chaos |
//! | all nodes at once | `redis.rs`: `what_one_scheduler_has_stored_the_next_one_fires` |
//! | the server, with its log, and away for long | `a_server_that_is_away_comes_back_and_nothing_is_missing`; the chaos |
//! | the server, replaced by a copy: it dies, stands still and comes back, or somebody says so | `connections.rs`: `a_master_that_sentinels_replace_is_followed`, `a_master_that_does_not_know_that_it_was_replaced_is_left`, `the_node_of_a_cluster_that_has_the_keys_is_found_and_followed`; the chaos with a sentinel and in a cluster |
//! | the server, with older data, once or twice | `what_a_failover_has_lost_is_told_again`; `cluster.rs`: `told` |
//! | the server, with nothing | `a_server_that_has_lost_everything_is_not_taken_for_an_empty_one` |
//! | a master that must not write alone | `a_master_without_its_replicas_is_waited_for` |
//! | the way to the server | `a_node_without_its_server_stops_what_must_not_overlap_and_lets_the_rest_go_on` |
//! | a connection that swallows answers | `a_connection_that_swallows_answers_is_replaced` |
//! | the clock of a node, and that of the server | `scheduler-redis/src/clock.rs`; `cluster.rs`: `a_server_whose_clock_is_set_lets_nobody_die`; the chaos |
//! | a server that answers nobody for a while | held still in the chaos |
//! | eviction, wrong types, a newer schema, permissions | `connections.rs`: `a_server_that_would_lose_or_refuse_something_is_refused_with_the_remedy` |
//! | full memory | `cluster.rs`: `work_drains_while_the_memory_of_the_server_is_full`; `a_node_that_starts_while_the_memory_of_the_server_is_full_waits_for_room`; the chaos |
//! | keys changed by hand, records that cannot be read | `damage/`: every key of the layout; `cluster.rs`: `records`, `a_job_that_cannot_be_read_holds_nobody_else_up`, `what_an_audit_mends_works_again` |
//! | job types that nobody here has | `cluster.rs`: `stores_of_other_names_and_triggers_of_other_types_are_left_alone`; `load.rs` |
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{CancelReason, JobContext, JobDefinition, JobDetail};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{Changes, Executions, JobStore, Queries, TriggerQuery};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_core::{Scheduler, SchedulerBuilder};
use scheduler_redis::RedisJobStore;
use tests::process::{Process, until};
use tests::proxy::{Proxy, Trick};
use tests::redis::Server;
use tests::wait::between_looks;
use tokio::sync::Notify;

/// The shortest there is.
const LEASE: Duration = Duration::from_secs(1);

/// Beyond this nothing more will come.
const LIMIT: Duration = Duration::from_secs(30);

/// Which firings have run, how often.
#[derive(Clone, Default)]
struct Runs(Arc<(Mutex<BTreeMap<String, usize>>, Notify)>);

impl Runs {
    fn note(&self, context: &JobContext) {
        let name = format!("{} {}", context.trigger_key(), context.scheduled_fire_time());
        *self.0.0.lock().entry(name).or_default() += 1;
        self.0.1.notify_waiters();
    }

    async fn wait_for(&self, count: usize) {
        let all = async {
            loop {
                let next = self.0.1.notified();
                if self.0.0.lock().len() >= count {
                    return;
                }
                next.await;
            }
        };
        let in_time = tokio::time::timeout(LIMIT, all).await.is_ok();
        assert!(in_time, "only {:?}", self.0.0.lock());
    }

    fn each_once(&self) {
        let runs = self.0.0.lock();
        assert!(runs.values().all(|count| *count == 1), "{runs:?}");
    }
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).disallow_concurrent(name == "one").durable(true).build()
}

async fn store(url: &str, name: &str) -> RedisJobStore {
    let builder =
        RedisJobStore::builder(url).name(name).lease(LEASE).answer_within(Duration::from_millis(500));
    builder.connect().await.unwrap()
}

const TIMES: u32 = 6;

/// Two jobs with a trigger each that fires six times within a third of a second.
fn workload(store: &RedisJobStore, runs: &Runs) -> SchedulerBuilder {
    let begin = store.clock().unwrap().now();
    ["one", "many"].into_iter().fold(Scheduler::builder().store(store.clone()), |builder, name| {
        let runs = runs.clone();
        let body = move |context: JobContext| {
            let runs = runs.clone();
            async move { runs.note(&context) }
        };
        let trigger = Trigger::every(Duration::from_millis(60)).repeat(TIMES - 1).start_at(begin).name(name);
        builder
            .register(JobDefinition::new(detail(name), body).with_trigger(trigger.misfire(Misfire::Ignore)))
    })
}

/// Until the store has heard of every end.
async fn settled(store: &RedisJobStore) {
    let deadline = SystemClock.monotonic() + LIMIT;
    while !store.executions(Executions::All).await.unwrap().is_empty() {
        assert!(SystemClock.monotonic() < deadline, "something still runs");
        between_looks().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_may_be_lost_answered_in_vain_or_carried_out_twice() {
    let server = Server::start();
    for verb in ["attach", "put", "take", "fire", "complete", "beat"] {
        for trick in [Trick::LoseRequest, Trick::LoseReply, Trick::Duplicate] {
            let (proxy, runs) = (Proxy::to(server.port()), Runs::default());
            let name = format!("{verb} {trick:?}");
            let store = store(&proxy.url(), &name).await;
            let scheduler = workload(&store, &runs).build().unwrap();
            proxy.play(verb, trick);
            scheduler.start().await.unwrap();
            runs.wait_for(2 * TIMES as usize).await;
            settled(&store).await;
            let deadline = SystemClock.monotonic() + LIMIT;
            while proxy.played() == 0 {
                assert!(SystemClock.monotonic() < deadline, "{name} was not played");
                between_looks().await;
            }
            runs.each_once();
            scheduler.shutdown(Duration::from_secs(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_comes_back_and_nothing_is_missing() {
    let (mut server, runs) = (Server::durable(), Runs::default());
    let store = store(&server.url(), "away").await;
    let scheduler = workload(&store, &runs).build().unwrap();
    scheduler.start().await.unwrap();
    runs.wait_for(1).await;
    server.restart();
    server.command(&["SCRIPT", "FLUSH"]);
    runs.wait_for(2 * TIMES as usize).await;
    settled(&store).await;
    runs.each_once();
    scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_server_stops_what_must_not_overlap_and_lets_the_rest_go_on() {
    let (server, ended) = (Server::start(), Arc::new(Mutex::new(BTreeMap::new())));
    let proxy = Proxy::to(server.port());
    let store = store(&proxy.url(), "parted").await;
    let (began, go_on) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(Notify::new()));
    let mut builder = Scheduler::builder().store(store.clone());
    for name in ["one", "many"] {
        let (ended, began, go_on) = (ended.clone(), began.clone(), go_on.clone());
        let body = move |context: JobContext| {
            let (ended, began, go_on) = (ended.clone(), began.clone(), go_on.clone());
            async move {
                let token = context.cancellation();
                began.add_permits(1);
                tokio::select! { () = token.cancelled() => {}, () = go_on.notified() => {} }
                ended.lock().insert(context.job_key().to_string(), context.cancel_reason());
                began.add_permits(1);
            }
        };
        builder = builder.register(JobDefinition::new(detail(name), body).with_trigger(Trigger::now()));
    }
    let scheduler = builder.build().unwrap();
    scheduler.start().await.unwrap();
    began.acquire_many(2).await.unwrap().forget();
    assert_eq!(scheduler.store_trouble(), None);
    proxy.close();
    tokio::time::timeout(LIMIT, began.acquire()).await.unwrap().unwrap().forget();
    assert_eq!(
        ended.lock().clone().into_iter().collect::<Vec<_>>(),
        [("one".to_owned(), Some(CancelReason::ClaimLost))]
    );
    assert!(scheduler.store_trouble().unwrap().contains("Redis at 127.0.0.1"));
    go_on.notify_waiters();
    began.acquire().await.unwrap().forget();
    assert_eq!(ended.lock()["many"], None);
    proxy.open();
    settled(&store).await;
    let deadline = SystemClock.monotonic() + LIMIT;
    while scheduler.store_trouble().is_some() {
        assert!(SystemClock.monotonic() < deadline, "{:?}", scheduler.store_trouble());
        between_looks().await;
    }
    scheduler.shutdown(Duration::from_secs(5)).await;
    let left = store.all_triggers(TriggerQuery::default()).await.unwrap();
    assert!(left.iter().all(|status| status.progress.next.is_none()), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_has_lost_is_told_again() {
    fail_over(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_has_lost_is_told_again_though_answers_are_lost() {
    for verb in ["tell", "told", "HSCAN"] {
        fail_over(Some(verb)).await;
    }
}

/// Where the answer of this call is lost.
async fn fail_over(lost: Option<&str>) {
    let mut master = Server::start();
    let (link, proxy) = (Proxy::to(master.port()), Proxy::to(master.port()));
    let replica = Server::replica_of(link.port());
    let store = store(&proxy.url(), "told").await;
    let (runs, began, go_on) =
        (Runs::default(), Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (of_job, begins, may_end) = (runs.clone(), began.clone(), go_on.clone());
    let body = move |context: JobContext| {
        let (runs, begins, may_end) = (of_job.clone(), begins.clone(), may_end.clone());
        async move {
            begins.add_permits(1);
            may_end.acquire().await.unwrap().forget();
            runs.note(&context);
        }
    };
    let begin = store.clock().unwrap().now();
    let trigger = Trigger::every(Duration::from_millis(10)).repeat(TIMES - 1).start_at(begin).name("one");
    let job = JobDefinition::new(detail("one"), body).with_trigger(trigger.misfire(Misfire::Ignore));
    let scheduler = Scheduler::builder().store(store.clone()).register(job).build().unwrap();
    scheduler.start().await.unwrap();
    began.acquire().await.unwrap().forget();
    // The replica has heard of the first run, and not of its end nor of the second.
    master.wait_until_copied();
    link.close();
    go_on.add_permits(1);
    began.acquire().await.unwrap().forget();
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    lost.into_iter().for_each(|verb| proxy.play(verb, Trick::LoseReply));
    proxy.lead_to(replica.port());
    master.kill();
    go_on.add_permits(TIMES as usize);
    runs.wait_for(TIMES as usize).await;
    settled(&store).await;
    runs.each_once();
    assert_eq!(proxy.played(), u64::from(lost.is_some()), "{lost:?}");
    scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_lost_everything_is_not_taken_for_an_empty_one() {
    let (server, runs) = (Server::start(), Runs::default());
    let store = store(&server.url(), "gone").await;
    let scheduler = workload(&store, &runs).build().unwrap();
    scheduler.start().await.unwrap();
    runs.wait_for(2 * TIMES as usize).await;
    settled(&store).await;
    server.command(&["FLUSHALL"]);
    let deadline = SystemClock.monotonic() + LIMIT;
    let error = loop {
        match store.all_triggers(TriggerQuery::default()).await {
            Err(error) => break error,
            Ok(_) => assert!(SystemClock.monotonic() < deadline, "nobody has noticed"),
        }
        between_looks().await;
    };
    assert!(error.is_config() && error.to_string().contains("is gone"), "{error}");
    let started = scheduler.standby().and(scheduler.start().await);
    started.unwrap();
    scheduler.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_without_its_replicas_is_waited_for() {
    let (server, runs) = (Server::start(), Runs::default());
    let store = store(&server.url(), "alone").await;
    let scheduler = workload(&store, &runs).build().unwrap();
    scheduler.start().await.unwrap();
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let deadline = SystemClock.monotonic() + LIMIT;
    let trouble = loop {
        match scheduler.store_trouble() {
            Some(trouble) => break trouble,
            None => assert!(SystemClock.monotonic() < deadline, "nobody has noticed"),
        }
        between_looks().await;
    };
    assert!(trouble.contains("NOREPLICAS"), "{trouble}");
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    runs.wait_for(2 * TIMES as usize).await;
    settled(&store).await;
    runs.each_once();
    scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_while_the_memory_of_the_server_is_full_waits_for_room() {
    let (server, runs) = (Server::start(), Runs::default());
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let store = store(&server.url(), "full").await;
    let scheduler = workload(&store, &runs).build().unwrap();
    let waiting = scheduler.clone();
    let start = tokio::spawn(async move { waiting.start().await });
    until("it says what it waits for", async || {
        scheduler.store_trouble().is_some_and(|why| why.contains("OOM"))
    })
    .await;
    assert!(!start.is_finished());
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    start.await.unwrap().unwrap();
    runs.wait_for(2 * TIMES as usize).await;
    settled(&store).await;
    runs.each_once();
    assert_eq!(scheduler.store_trouble(), None);
    scheduler.shutdown(Duration::from_secs(5)).await;

    // Whoever waits can be told to give up.
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let scheduler = workload(&store, &runs).build().unwrap();
    let waiting = scheduler.clone();
    let start = tokio::spawn(async move { waiting.start().await });
    until("it waits", async || scheduler.store_trouble().is_some()).await;
    scheduler.shutdown(Duration::from_secs(1)).await;
    assert!(start.await.unwrap().unwrap_err().is_closed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_memory_is_full_is_complained_of_once() {
    let (server, runs) = (Server::start(), Runs::default());
    let store = RedisJobStore::connect(&server.url(), "full").await.unwrap();
    let scheduler = workload(&store, &runs).build().unwrap();
    let mut events = scheduler.events();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let starting = scheduler.clone();
    let start = tokio::spawn(async move { starting.start().await });
    let refused = |server: &Server| -> usize {
        let errors = server.text(&["INFO", "errorstats"]);
        let count = errors.split("errorstat_OOM:count=").nth(1).and_then(|rest| rest.lines().next());
        count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
    };
    until("it asks again and again", async || refused(&server) > 3).await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    start.await.unwrap().unwrap();
    runs.wait_for(2 * TIMES as usize).await;
    settled(&store).await;
    // Not claimed yet.
    scheduler.schedule(detail("many"), Trigger::after(Duration::from_secs(3))).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let before = refused(&server);
    until("it asks again and again", async || refused(&server) > before + 3).await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    runs.wait_for(2 * TIMES as usize + 1).await;
    settled(&store).await;
    runs.each_once();
    scheduler.shutdown(Duration::from_secs(5)).await;
    drop(scheduler);
    let (mut failed, mut recovered) = (0, 0);
    while let Some(event) = events.next().await {
        match event {
            Event::StoreFailed { error } => {
                assert!(error.contains("OOM"), "{error}");
                failed += 1;
            }
            Event::StoreRecovered => recovered += 1,
            _ => {}
        }
    }
    assert_eq!((failed, recovered), (2, 2), "once at the start and once later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_can_be_stopped_and_nodes_leave_while_the_memory_of_the_server_is_full() {
    let server = Server::start();
    let store = RedisJobStore::connect(&server.url(), "full").await.unwrap();
    let began = Arc::new(tokio::sync::Semaphore::new(0));
    let begins = began.clone();
    let body = move |context: JobContext| {
        let begins = begins.clone();
        async move {
            begins.add_permits(1);
            context.cancellation().cancelled().await;
        }
    };
    let job = JobDefinition::new(detail("many"), body).with_trigger(Trigger::now());
    // Due later, so that the node has something to ask for.
    let job = job.with_trigger(Trigger::after(Duration::from_secs(3)).name("later"));
    let scheduler = Scheduler::builder().store(store.clone()).register(job).build().unwrap();
    scheduler.start().await.unwrap();
    began.acquire().await.unwrap().forget();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    until("it cannot ask", async || scheduler.store_trouble().is_some_and(|why| why.contains("OOM"))).await;
    let other = RedisJobStore::connect(&server.url(), "full").await.unwrap();
    assert_eq!(other.cancel(Executions::All).await.unwrap().len(), 1);
    until("the run has ended", async || {
        other.executions(Executions::All).await.is_ok_and(|runs| runs.is_empty())
    })
    .await;
    let report = tokio::time::timeout(LIMIT, scheduler.shutdown(2 * LIMIT)).await;
    assert!(report.expect("long before its budget is over").is_clean());
    assert!(other.nodes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_job_that_blocks_its_runtime_does_not_keep_its_node_from_saying_that_it_lives() {
    let server = Server::start();
    // Longer than a busy machine keeps a thread waiting.
    let lease = 2 * LEASE;
    let store = RedisJobStore::builder(&server.url()).name("shared").lease(lease).connect().await.unwrap();
    let url = server.url();
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = Arc::new(Mutex::new(receiver));
    // A node that takes over from whoever is silent; after two leases it lets the job go on.
    let outside = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let other = Process::start(&url, 2).await;
            until("it runs", async || other.running().await == 1).await;
            let begin = SystemClock.monotonic();
            while SystemClock.monotonic() < begin + 2 * lease {
                assert_eq!(other.sessions().await.len(), 2, "it is held for dead");
                between_looks().await;
            }
            assert_eq!(other.running().await, 1);
        });
        drop(sender);
    });
    let (runs, blocked) = (Runs::default(), receiver);
    let of_job = runs.clone();
    let body = move |context: JobContext| {
        let (runs, blocked) = (of_job.clone(), blocked.clone());
        async move {
            blocked.lock().recv_timeout(LIMIT).ok();
            runs.note(&context);
        }
    };
    let job = JobDefinition::new(detail("one"), body).with_trigger(Trigger::now());
    let scheduler = Scheduler::builder().store(store.clone()).register(job).build().unwrap();
    scheduler.start().await.unwrap();
    runs.wait_for(1).await;
    settled(&store).await;
    runs.each_once();
    outside.join().unwrap();
    scheduler.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_swallows_answers_is_replaced() {
    let (server, runs) = (Server::start(), Runs::default());
    let proxy = Proxy::to(server.port());
    let store = store(&proxy.url(), "swallowed").await;
    let scheduler = workload(&store, &runs).build().unwrap();
    scheduler.start().await.unwrap();
    runs.wait_for(1).await;
    proxy.swallow_present();
    runs.wait_for(2 * TIMES as usize).await;
    settled(&store).await;
    runs.each_once();
    scheduler.shutdown(Duration::from_secs(5)).await;
}
