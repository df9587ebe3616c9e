//! Where the store finds its server, and which ones it refuses.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{SubsecRound, TimeDelta};
use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::JobStore;
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_redis::RedisJobStore;
use tests::redis::{Server, free_port};
use tokio::sync::Semaphore;

const LIMIT: Duration = Duration::from_secs(30);

/// Why a store cannot be opened.
async fn refused(url: &str) -> String {
    let builder = RedisJobStore::builder(url).name("jobs").start_within(Duration::from_millis(300));
    let error = builder.connect().await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let port = free_port();
    let error = refused(&format!("redis://:secret@127.0.0.1:{port}")).await;
    assert!(error.contains(&format!("Redis at 127.0.0.1:{port} cannot be reached: ")), "{error}");
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let builder =
        RedisJobStore::builder(&url).connect_within(Duration::from_millis(200)).start_within(Duration::ZERO);
    let error = builder.connect().await.unwrap_err().to_string();
    assert!(error.contains("cannot be reached: no answer within 200ms"), "{error}");
}

#[tokio::test]
async fn a_server_that_comes_later_is_waited_for() {
    let mut server = Server::start();
    let url = server.url();
    server.kill();
    let opening = tokio::spawn(async move { RedisJobStore::connect(&url, "jobs").await });
    server.restart();
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_would_lose_or_refuse_something_is_refused_with_the_remedy() {
    let evicts = Server::with(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let error = refused(&evicts.url()).await;
    assert!(
        error.contains("may evict keys") && error.contains("set `maxmemory-policy noeviction`"),
        "{error}"
    );

    let server = Server::start();
    let replica = Server::replica_of(server.port());
    let error = refused(&replica.url()).await;
    assert!(error.contains(&format!("is a replica of 127.0.0.1:{}", server.port())), "{error}");

    server.command(&["SET", "scheduler:{jobs/0}:triggers", "mine"]);
    let error = refused(&server.url()).await;
    assert!(error.contains("`scheduler:{jobs/0}:triggers` is a string and not a hash"), "{error}");
    server.command(&["FLUSHALL"]);

    server.command(&["HSET", "scheduler:{jobs/0}:meta", "schema", "9:8"]);
    let error = refused(&server.url()).await;
    assert!(error.contains("has the format 9") && error.contains("upgrade"), "{error}");
    server.command(&["FLUSHALL"]);

    server.command(&["HSET", "scheduler:{jobs/0}:meta", "schema", "2:2"]);
    let error = refused(&server.url()).await;
    assert!(error.contains("has the format 2") && error.contains("empty the store"), "{error}");
    server.command(&["FLUSHALL"]);

    for (user, rules) in [("writes", "+@all -zadd -rename"), ("talks", "+@all -publish")] {
        let rules: Vec<_> = rules.split(' ').collect();
        server.command(&[&["ACL", "SETUSER", user, "on", ">secret", "~*", "&*"], &rules[..]].concat());
    }
    let as_user = |user: &str| server.url().replace("redis://", &format!("redis://{user}:secret@"));
    let error = refused(&as_user("writes")).await;
    assert!(error.contains("must not do what the job store needs: ZADD, RENAME"), "{error}");
    let error = refused(&as_user("talks")).await;
    assert!(error.contains("PUBLISH"), "{error}");
    let error = refused(&as_user("nobody")).await;
    assert!(error.contains("cannot be reached") && error.contains("WRONGPASS"), "{error}");
}

/// A scheduler, one job of which is due in a second, and the times at which it ran.
struct Node {
    scheduler: Scheduler,
    runs: Arc<Mutex<Vec<i64>>>,
    ran: Arc<Semaphore>,
}

const TIMES: u32 = 4;

impl Node {
    async fn start(url: &str) -> Self {
        let builder = RedisJobStore::builder(url).name("jobs").lease(Duration::from_secs(2));
        let store = builder.answer_within(Duration::from_millis(500)).connect().await.unwrap();
        let begin = store.clock().unwrap().now().trunc_subsecs(3);
        let (runs, ran) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let (of_job, permits) = (runs.clone(), ran.clone());
        let body = move |context: JobContext| {
            of_job.lock().push((context.scheduled_fire_time() - begin).num_milliseconds());
            permits.add_permits(1);
            async {}
        };
        let detail = JobDetail::builder("work".parse().unwrap(), "work").disallow_concurrent(true).build();
        let scheduler = Scheduler::builder().store(store).register(JobDefinition::new(detail.clone(), body));
        let scheduler = scheduler.build().unwrap();
        scheduler.start().await.unwrap();
        let trigger = Trigger::every(Duration::from_millis(100)).repeat(TIMES - 1).misfire(Misfire::Ignore);
        let trigger = trigger.start_at(begin + TimeDelta::seconds(1));
        scheduler.schedule(Invocation::new(detail), trigger).await.unwrap();
        Self { scheduler, runs, ran }
    }

    async fn each_ran_once(self) {
        let permits = tokio::time::timeout(LIMIT, self.ran.acquire_many(TIMES)).await.unwrap();
        permits.unwrap().forget();
        self.scheduler.shutdown(Duration::from_secs(5)).await;
        assert_eq!(*self.runs.lock(), [1000, 1100, 1200, 1300]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_sentinels_replace_is_followed() {
    let mut master = Server::start();
    let replica = Server::replica_of(master.port());
    let sentinel = Server::sentinel_of(master.port(), Duration::from_millis(300));
    sentinel.wait_for(|sentinel| sentinel.text(&["INFO", "sentinel"]).contains("slaves=1"));
    // The first takes connections and says nothing, as a machine does that was switched off.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port();
    let node =
        Node::start(&format!("redis+sentinel://127.0.0.1:{silent},127.0.0.1:{}/main", sentinel.port())).await;
    master.wait_until_copied();
    master.kill();
    replica.wait_for(Server::is_master);
    node.each_ran_once().await;
    let error = refused(&format!("redis+sentinel://127.0.0.1:{}/other", sentinel.port())).await;
    assert!(
        error.contains("master `other` of the sentinels") && error.contains("no master of this name"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_does_not_know_that_it_was_replaced_is_left() {
    let master = Server::start();
    let replica = Server::replica_of(master.port());
    let sentinel = Server::sentinel_of(master.port(), Duration::from_secs(60));
    let node = Node::start(&format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port())).await;
    tokio::time::timeout(LIMIT, node.ran.acquire_many(TIMES)).await.unwrap().unwrap().forget();
    master.wait_until_copied();
    // The old one stays what it was, and takes what it is told.
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    sentinel.command(&["SENTINEL", "REMOVE", "main"]);
    sentinel.command(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &replica.port().to_string(), "1"]);
    replica.wait_for(|server| {
        let heard = server.command(&["PUBSUB", "NUMSUB", "scheduler:{jobs/0}:wake"]);
        let (_, listeners): (String, usize) = redis::from_redis_value(heard).unwrap();
        listeners == 1
    });
    let detail = JobDetail::builder("work".parse().unwrap(), "work").build();
    node.scheduler.schedule(Invocation::new(detail), Trigger::now().name("later")).await.unwrap();
    tokio::time::timeout(LIMIT, node.ran.acquire()).await.unwrap().unwrap().forget();
    node.scheduler.shutdown(Duration::from_secs(5)).await;
    assert!(master.is_master());
    let said = |server: &Server| server.text(&["HGET", "scheduler:{jobs/0}:meta", "ver"]);
    assert_ne!(said(&master), said(&replica), "only one of them has heard of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_of_a_cluster_that_has_the_keys_is_found_and_followed() {
    let (mut servers, owner) = Server::cluster("scheduler:{jobs/0}:", 1, |arguments| {
        Server::with(&[arguments, &["--save", ""]].concat())
    });
    let url = format!(
        "redis+cluster://127.0.0.1:{},127.0.0.1:{}",
        servers[(owner + 1) % 3].port(),
        servers[owner].port()
    );
    let node = Node::start(&url).await;
    // By hand: nothing is lost, and the old owner answers MOVED.
    servers[3].command(&["CLUSTER", "FAILOVER"]);
    servers[3].wait_for(Server::is_master);
    node.each_ran_once().await;

    let node = Node::start(&url).await;
    servers[3].wait_until_copied();
    servers[3].kill();
    servers[owner].wait_for(Server::is_master);
    node.each_ran_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_the_rights_that_the_page_lists_can_be_a_node() {
    let page = include_str!("../../docs/running-a-cluster.md");
    let rule = page.split_once("ACL SETUSER prices on").unwrap().1.split_once("```").unwrap().0;
    let rule = format!("ACL SETUSER jobs on {}", rule.replace("{prices/0}", "{jobs/0}"));
    let server = Server::start();
    server.command(&rule.split_whitespace().collect::<Vec<_>>());
    let node = Node::start(&server.url().replace("redis://", "redis://jobs:secret@")).await;
    node.each_ran_once().await;
    let log: Vec<redis::Value> = redis::from_redis_value(server.command(&["ACL", "LOG"])).unwrap();
    // What libraries ask for at the start of a connection does no harm when it is refused.
    let denied =
        log.iter().map(|entry| format!("{entry:?}")).filter(|entry| !entry.contains("client|setinfo"));
    assert_eq!(denied.collect::<Vec<_>>(), [""; 0]);
}

/// A server that talks TLS alone, and the file with the certificate of its authority.
#[cfg(feature = "tls")]
fn server_with_tls(folder: &std::path::Path) -> (Server, std::path::PathBuf) {
    let path = |name: &str| folder.join(name);
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let files = [("ca.pem", root.pem()), ("server.pem", leaf.pem()), ("server.key", key.serialize_pem())];
    for (name, text) in &files {
        std::fs::write(path(name), text).unwrap();
    }
    let words = files.each_ref().map(|(name, _)| path(name).to_string_lossy().into_owned());
    let port = free_port().to_string();
    let mut arguments = vec!["--save", "", "--tls-port", &port, "--tls-auth-clients", "no"];
    arguments.extend([
        "--tls-ca-cert-file",
        &words[0],
        "--tls-cert-file",
        &words[1],
        "--tls-key-file",
        &words[2],
    ]);
    let server = Server::with(&arguments);
    std::fs::write(path("port"), port).unwrap();
    (server, path("ca.pem"))
}

/// In a process of its own, whose variable names the authority.
#[cfg(feature = "tls")]
#[test]
fn a_node_talks_tls_to_a_server_it_can_trust_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (server, authority) = server_with_tls(folder.path());
    let port = std::fs::read_to_string(folder.path().join("port")).unwrap();
    let far = "4000000000000";
    let node = |trusts: &std::path::Path| {
        let mut node = std::process::Command::new(env!("CARGO_BIN_EXE_cluster_node"));
        node.args([&format!("rediss://localhost:{port}"), "chaos", far, far, "1000", "tls"])
            .arg(folder.path().join("log"));
        node.env("SSL_CERT_FILE", trusts)
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        node.spawn().unwrap()
    };
    let mut trusting = node(&authority);
    server.wait_for(|server| server.text(&["EXISTS", "scheduler:{chaos/0}:ss"]) == "1");
    drop(trusting.stdin.take());
    trusting.wait().unwrap();
    let strange = folder.path().join("strange.pem");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&strange, other.cert.pem()).unwrap();
    let mut doubting = node(&strange);
    let mut said = std::io::BufReader::new(doubting.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("invalid peer certificate") {
        line.clear();
        assert_ne!(
            std::io::BufRead::read_line(&mut said, &mut line).unwrap(),
            0,
            "it says why it does not connect"
        );
    }
    drop(doubting.stdin.take());
    doubting.wait().unwrap();
}
