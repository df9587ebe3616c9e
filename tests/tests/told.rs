//! What operators read of the store in Redis: errors and log lines name the thing, its place and its value, and say what to do.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::error::Error as _;
use std::time::Duration;

use scheduler_core::store::*;
use scheduler_core::{Error, ErrorKind, JobData};
use scheduler_redis::RedisJobStore;
use tests::logged;
use tests::process::{Process, exclusive, hourly, job, until};
use tests::redis::Server;

const PREFIX: &str = "scheduler:{shared/0}:";

/// Puts a value into a hash of the store, byte by byte.
fn put(server: &Server, hash: &str, field: &str, value: &[u8]) {
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd("HSET").arg(format!("{PREFIX}{hash}")).arg(field).arg(value).exec(&mut connection).unwrap();
}

/// A run has all that is needed to repeat it: what becomes of the record of its trigger meanwhile does not matter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_run_is_repeated_with_its_data_also_where_its_trigger_cannot_be_read() {
    logged::listen();
    let damaged: [&[u8]; 4] = [b"{rubbish", b"", &[b'"', 0xff, 0xfe], b"12345678rubbish"];
    for value in damaged {
        let server = Server::start();
        let dead = Process::start(&server.url(), 1).await;
        let builder =
            RedisJobStore::builder(&server.url()).name("shared").lease(tests::process::LEASE).keep_history(9);
        let store = builder.connect().await.unwrap();
        let living = Process { store, session: 2, wakes: dead.wakes.clone(), stopped: dead.stopped.clone() };
        let (wake, stop) = (std::sync::Arc::new(|| {}), std::sync::Arc::new(|_, _| {}));
        let node = Node {
            session: 2,
            name: "node 2".into(),
            types: None,
            queues: QueueFilter::default(),
            wake,
            stop,
        };
        living.store.attach(node).await.unwrap();
        let mut data = JobData::new();
        data.insert("order", 7.into());
        let safe = exclusive("safe").to_builder().requests_recovery(true).build();
        dead.put(&safe, [hourly("bills/spoilt").data(data).priority(9)]).await;
        dead.run().await;
        put(&server, "triggers", "bills\0spoilt", value);
        drop(dead);
        until("the run is over", async || {
            living.sessions().await == [2]
                && living.store.executions(Executions::All).await.unwrap().is_empty()
        })
        .await;
        let again = living.ask(9).await.unwrap().runs;
        assert_eq!(again.len(), 1, "{value:?}");
        assert_eq!(again[0].trigger.data().get::<u32>("order").unwrap(), Some(7));
        let history = living.store.all_firings(FiringQuery::default()).await.unwrap();
        assert_eq!(
            (again[0].trigger.priority(), history.len(), history[0].outcome),
            (9, 1, FiringOutcome::Lost)
        );
        let lines = logged::lines_with(&["WARN", "was lost with its node", "is repeated", "job `safe`"]);
        assert!(!lines.is_empty(), "{}", logged::text());
        let stored = server.text(&["HEXISTS", &format!("{PREFIX}triggers"), "bills\0spoilt"]);
        assert_eq!(stored, "1", "another program may be able to read it");
    }
}

/// Reads everything; nothing fails, and each damaged record is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_list_names_what_it_leaves_out() {
    logged::listen();
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&job("fine"), [hourly("fine")]).await;
    process.put(&job("spoilt"), [hourly("a/spoilt")]).await;
    let damaged: [&[u8]; 3] = [b"{rubbish", b"", &[b'{', 0xff, b'}']];
    for value in damaged {
        put(&server, "triggers", "a\0spoilt", &[b"12345678", value].concat());
        put(&server, "jobs", "\0spoilt", &[b"12345678", value].concat());
        let before = |what: &str| logged::lines_with(&["ERROR", what]).len();
        let whats = ["the trigger `a/spoilt` cannot be read", "the job `spoilt` cannot be read"];
        let seen = whats.map(before);
        let triggers = process.store.all_triggers(TriggerQuery::default()).await.unwrap();
        assert_eq!(triggers.len(), 1, "{value:?}");
        assert_eq!(process.store.all_jobs(JobQuery::default()).await.unwrap().len(), 1, "{value:?}");
        for (what, seen) in whats.into_iter().zip(seen) {
            let lines = logged::lines_with(&["ERROR", what]);
            assert!(lines.len() > seen, "{value:?}: no `{what}` in\n{}", logged::text());
            assert!(lines.last().unwrap().contains("store what is lost again"), "{lines:?}");
        }
    }
}

/// Every error of the chain, and what a program can ask of it.
#[track_caller]
fn assert_tells(error: &Error, kind: ErrorKind, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    for form in ["Some(", "secret", "Error {"] {
        assert!(!text.contains(form) && !format!("{error:?}").contains(form), "`{form}` in: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h17_errors_of_the_server_name_it_and_keep_their_cause() {
    let server = Server::start();
    let address = server.url().replace("redis://", "");
    let place = address.trim_end_matches('/');
    let open = async |url: &str| {
        RedisJobStore::builder(url).start_within(Duration::ZERO).connect().await.map(drop).unwrap_err()
    };
    let refused = open(&format!("redis://eva:secret@{address}")).await;
    assert_tells(&refused, ErrorKind::Config, &[place, "WRONGPASS", "`credentials`"]);
    assert!(refused.source().is_some(), "{refused}");
    let away = open("redis://eva:secret@127.0.0.1:1").await;
    assert_tells(
        &away,
        ErrorKind::Transient,
        &["127.0.0.1:1", "cannot be reached", "Make sure that the server runs"],
    );
    assert!(away.source().is_some(), "{away}");
    server.command(&["SET", "scheduler:{scheduler/0}:triggers", "x"]);
    let taken = open(&server.url()).await;
    assert_tells(
        &taken,
        ErrorKind::Config,
        &[place, "scheduler:{scheduler/0}:triggers", "choose another name"],
    );
    let process = Process::start(&server.url(), 1).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = process.store.put_calendar("x".into(), calendar(), true).await.unwrap_err();
    assert_tells(&full, ErrorKind::Transient, &[place, "`put_calendar`", "OOM"]);
    assert!(full.source().is_some(), "{full}");
}

fn calendar() -> std::sync::Arc<dyn scheduler_core::calendar::Calendar> {
    use scheduler_core::calendar::{Exclusion, StandardCalendar};
    std::sync::Arc::new(StandardCalendar::new(Exclusion::Nothing, chrono_tz::UTC))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h17_refusals_have_the_trigger_and_the_job_as_fields() {
    let server = Server::start();
    let process = Process::start(&server.url(), 1).await;
    process.put(&job("work"), [hourly("bills/a")]).await;
    let built = |name: &str, of: &str| {
        let trigger = hourly(name).for_job(of).build(process.now()).unwrap();
        let progress = trigger.first(None);
        (std::sync::Arc::new(trigger), progress)
    };
    let put = async |name: &str, of: &str| {
        let triggers = vec![built(name, of)];
        let (existing_jobs, existing_triggers) = (Existing::Refuse, Existing::Refuse);
        process
            .store
            .put(Put { jobs: Vec::new(), existing_jobs, triggers, existing_triggers })
            .await
            .unwrap_err()
    };
    let key = |name: &str| Some(name.parse().unwrap());
    let taken = put("bills/a", "work").await;
    assert_tells(&taken, ErrorKind::Conflict, &["trigger `bills/a`", "use other names"]);
    assert_eq!(taken.trigger().cloned(), key("bills/a"));
    let jobless = put("bills/b", "gone").await;
    assert_tells(&jobless, ErrorKind::NotFound, &["trigger `bills/b`", "job `gone`", "store the job first"]);
    assert_eq!(jobless.trigger().cloned(), key("bills/b"));
    assert_eq!(jobless.job().cloned(), Some("gone".parse().unwrap()));
}

/// Row N17: a lost connection is told once, and that it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n17_a_lost_and_regained_connection_is_told_once() {
    logged::listen();
    let mut server = Server::durable();
    let process = Process::start(&server.url(), 1).await;
    let told = |part: &str| logged::lines_with(&["WARN", part]);
    let (failed, again) = ("of this node failed. The node tries again", "answers again, after");
    server.kill();
    until("a heartbeat has failed", async || !told(failed).is_empty()).await;
    until("many have failed", async || logged::text().contains("has lost touch")).await;
    server.restart();
    until("the server answers again", async || !told(again).is_empty()).await;
    assert_eq!((told(failed).len(), told(again).len()), (1, 1), "{}", logged::text());
    let line = &told(failed)[0];
    let place = server.url().replace("redis://", "");
    for part in ["1 heartbeat ", place.trim_end_matches('/'), "other nodes take over its work"] {
        assert!(line.contains(part), "no `{part}` in {line}");
    }
    assert!(told(again)[0].contains("nothing is left to do"));
    logged::assert_no_debug_forms();
    drop(process);
}
