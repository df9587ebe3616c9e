//! The store in a SQLite file passes what every store has to pass, and loses nothing when its process is killed.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::Connection;
use scheduler_core::Client;
use scheduler_core::job::JobDetail;
use scheduler_core::store::{MemoryJobStore, RunQuery};
use scheduler_sqlite::{Durability, SqliteJobStore};
use tempfile::TempDir;
use tests::wait::block_between_looks;

thread_local! {
    /// Of one test: it ends with its thread.
    static FOLDER: TempDir = tempfile::tempdir().unwrap();
}

static FILES: AtomicUsize = AtomicUsize::new(0);

fn new_file() -> PathBuf {
    FOLDER.with(|folder| folder.path().join(format!("{}.db", FILES.fetch_add(1, Ordering::Relaxed))))
}

async fn in_file() -> SqliteJobStore {
    SqliteJobStore::builder(new_file()).durability(Durability::Normal).keep_history(1_000).open().unwrap()
}

scheduler_conformance::store_conformance!(sqlite, in_file);

/// What a file does not keep: turns, and which runs were looked at while their limits were full. They are looked at anew when it is opened.
const LOOKED_AT_ANEW: &[&str] = &[
    "a_backlog_of_one_key_keeps_nobody_else_waiting",
    "a_run_that_finds_its_limit_full_is_told_once",
    "the_attempt_that_has_a_limit_for_the_longest_time_makes_room",
    "who_waits_in_another_lane_is_woken",
];

/// Before each call everything is read back, so whatever is not written is missed.
#[test]
fn each_call_finds_in_the_file_what_the_one_before_has_written() {
    let open = || async {
        SqliteJobStore::in_memory().keep_history(1_000).read_anew_before_each_call().open().unwrap()
    };
    check_written(&open);
}

fn check_written<O: scheduler_conformance::Open>(open: &O) {
    let fair: Vec<_> =
        scheduler_conformance::verbs::fair::all::<O>().into_iter().map(|(name, _)| name).collect();
    let mut failed = Vec::new();
    for (name, check) in scheduler_conformance::checks::<O>() {
        let is_meant = !fair.contains(&name) && !LOOKED_AT_ANEW.contains(&name);
        if is_meant && catch_unwind(AssertUnwindSafe(|| check(open))).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

fn client(store: &SqliteJobStore) -> Client {
    Client::new(store.clone())
}

fn work() -> JobDetail {
    JobDetail::builder("work".parse().unwrap(), "work").build()
}

fn refused(path: &Path) -> String {
    SqliteJobStore::open(path).unwrap_err().to_string()
}

#[tokio::test]
async fn one_process_has_the_file_and_the_next_one_finds_everything() {
    let path = new_file();
    let store = SqliteJobStore::open(&path).unwrap();
    let run = client(&store).enqueue(work()).await.unwrap();
    let said = refused(&path);
    assert!(said.contains(&format!("process {} has the job store in", std::process::id())), "{said}");
    drop(store);
    let store = SqliteJobStore::open(&path).unwrap();
    let runs = client(&store).all_runs(RunQuery::default()).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
}

/// People read the tables while the scheduler works.
#[tokio::test]
async fn the_tables_say_what_waits() {
    let path = new_file();
    let store = SqliteJobStore::open(&path).unwrap();
    client(&store).enqueue(work()).await.unwrap();
    let sql = "SELECT job, state, attempts FROM run";
    let found = Connection::open(&path).unwrap().query_row(sql, [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    });
    assert_eq!(found.unwrap(), ("work".to_owned(), "waiting".to_owned(), 0));
}

#[tokio::test]
async fn a_copy_made_while_it_is_used_is_a_store_of_its_own() {
    let (path, copy) = (new_file(), new_file());
    let store = SqliteJobStore::open(path).unwrap();
    client(&store).enqueue(work()).await.unwrap();
    store.backup_to(&copy).await.unwrap();
    let said = store.backup_to(&copy).await.unwrap_err().to_string();
    assert!(said.contains("cannot be copied to") && said.contains("already exists"), "{said}");
    client(&store).enqueue(work()).await.unwrap();
    let copied = SqliteJobStore::open(copy).unwrap();
    assert_eq!(client(&copied).all_runs(RunQuery::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_left_as_it_is_and_told() {
    let rubbish = new_file();
    std::fs::write(&rubbish, "what is this? ".repeat(1_000)).unwrap();
    let said = refused(&rubbish);
    assert!(said.contains("is damaged, or no SQLite database") && said.contains(".recover"), "{said}");
    assert!(std::fs::read_to_string(&rubbish).unwrap().starts_with("what is this?"));

    let newer = new_file();
    drop(SqliteJobStore::open(&newer).unwrap());
    Connection::open(&newer)
        .unwrap()
        .execute("UPDATE meta SET value = 99 WHERE name = 'format'", [])
        .unwrap();
    let said = refused(&newer);
    assert!(said.contains("has format 99") && said.contains("use the version that has written it"), "{said}");

    let said = refused(Path::new("/nowhere/jobs.db"));
    assert!(said.contains("make sure that its folder is there"), "{said}");
}

/// A record that this program cannot read stays in the file, and harms nothing else.
#[tokio::test]
async fn a_row_that_cannot_be_read_is_left_alone() {
    let path = new_file();
    let store = SqliteJobStore::open(&path).unwrap();
    client(&store).enqueue(work()).await.unwrap();
    drop(store);
    let connection = Connection::open(&path).unwrap();
    let sql = "INSERT INTO run VALUES ('7-x', 'work', NULL, 'waiting', '', 0, x'ff00')";
    connection.execute(sql, []).unwrap();
    let store = SqliteJobStore::open(&path).unwrap();
    assert_eq!(client(&store).all_runs(RunQuery::default()).await.unwrap().len(), 1);
    let many: i64 = connection.query_row("SELECT count(*) FROM run", [], |row| row.get(0)).unwrap();
    assert_eq!(many, 2);
}

/// Somebody keeps a transaction open for longer than a commit waits: the call says so, nothing of it is kept, and the next one works.
#[tokio::test]
async fn a_commit_that_fails_changes_nothing() {
    let path = new_file();
    let store = SqliteJobStore::open(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = client(&store).enqueue(work()).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("is locked"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    let run = client(&store).enqueue(work()).await.unwrap();
    let runs = client(&store).all_runs(RunQuery::default()).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_moved_away_is_missed_until_it_is_back() {
    let (path, elsewhere) = (new_file(), new_file());
    let store = SqliteJobStore::open(&path).unwrap();
    std::fs::rename(&path, &elsewhere).unwrap();
    let error = client(&store).enqueue(work()).await.unwrap_err().to_string();
    assert!(error.contains("was removed or replaced while it was in use"), "{error}");
    std::fs::write(&path, "another file").unwrap();
    assert!(client(&store).enqueue(work()).await.is_err());
    std::fs::rename(&elsewhere, &path).unwrap();
    client(&store).enqueue(work()).await.unwrap();
    assert_eq!(client(&store).all_runs(RunQuery::default()).await.unwrap().len(), 1);
}

/// A store in memory forgets, and says so; one in a file does not.
#[test]
fn a_file_does_not_forget() {
    use scheduler_core::store::JobStore;
    let store = SqliteJobStore::open(new_file()).unwrap();
    assert!(!store.forgets() && MemoryJobStore::new().forgets());
}

const MANY: u32 = 400;

fn node(store: &Path, ledger: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sqlite_node"));
    command.args([store, ledger]).arg(MANY.to_string()).spawn().unwrap()
}

fn delivered(ledger: &Path) -> BTreeMap<u32, usize> {
    let mut delivered = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap_or_default().lines() {
        *delivered.entry(line.parse().unwrap()).or_default() += 1;
    }
    delivered
}

/// Killed three times in the middle of its work: each run is carried out. What runs at a kill, or has run and is not written yet, may be
/// carried out twice.
#[test]
fn a_process_that_is_killed_loses_nothing() {
    let (store, ledger) = (new_file(), new_file());
    for kill in 1..=3 {
        let mut child = node(&store, &ledger);
        while delivered(&ledger).len() < kill * 30 {
            assert!(child.try_wait().unwrap().is_none(), "it has ended by itself");
            block_between_looks();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(node(&store, &ledger).wait().unwrap().success());
    let delivered = delivered(&ledger);
    assert_eq!(delivered.keys().copied().collect::<Vec<_>>(), Vec::from_iter(0..MANY));
    let again: usize = delivered.values().map(|times| times - 1).sum();
    assert!(again <= 3 * 16, "four runs are under way at a time, and {again} were repeated");
}
