//! Prices synchronised every two hours, each run in a transaction of its own: committed when it succeeds, rolled back when it
//! does not.
//!
//! ```text
//! cargo run --bin scoped_services
//! ```
//!
//! Time runs 7,200 times as fast, so a day takes twelve seconds. The prices are in a real SQLite file; a run writes several
//! rows, and every third one fails half-way. What you see: each run with what became of its transaction, and at the end that
//! the table holds whole runs only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use examples::println;
use rusqlite::{Connection, params};
use scheduler_core::host::{Host, HostError};
use scheduler_core::job::{JobError, Outcome};
use scheduler_core::prelude::*;
use scheduler_core::time::{Clock, TimeLapseClock};

const ARTICLES: [&str; 4] = ["apples", "bread", "cheese", "dates"];

/// Where the database is.
#[derive(Debug, Clone)]
struct Database(PathBuf);

impl Database {
    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.0)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(connection)
    }
}

/// A transaction of one execution.
#[derive(Clone)]
struct Transaction(Arc<Mutex<Connection>>);

impl Transaction {
    /// Called when a job first asks for it.
    async fn begin(State(database): State<Database>) -> Result<Self, rusqlite::Error> {
        let connection = database.open()?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Called when the execution has ended, however it has.
    async fn end(self, outcome: Outcome) -> Result<(), JobError> {
        let how = if outcome.is_success() { "COMMIT" } else { "ROLLBACK" };
        println!("    {how:<8} ({})", outcome.word());
        self.run(|connection| connection.execute_batch(how))
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JobError> {
        let connection =
            self.0.lock().map_err(|_| JobError::new("a job panicked with the connection in its hands"))?;
        Ok(work(&connection)?)
    }
}

/// Takes over the prices of the moment.
#[job(cron = "0 0 0/2 * * ?", time_zone = "Europe/Berlin", disallow_concurrent)]
async fn synchronise(Scoped(transaction): Scoped<Transaction>, context: JobContext) -> JobResult {
    let time = context.scheduled_fire_time();
    println!("{}", time.with_timezone(&chrono_tz::Europe::Berlin).format("%a %H:%M"));
    for (number, article) in ARTICLES.iter().enumerate() {
        let cents = 100 + (time.timestamp() / 7200 + number as i64 * 37) % 50;
        transaction.run(|connection| {
            connection
                .execute("INSERT INTO prices VALUES (?1, ?2, ?3)", params![time.to_rfc3339(), article, cents])
        })?;
        let fails = (time.timestamp() / 7200) % 3 == 0;
        if fails && number == 2 {
            return Err(JobError::new("the shop has hung up"));
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database(folder.path().join("prices.sqlite"));
    let connection = database.open().expect("a database");
    connection
        .execute_batch("CREATE TABLE prices (time TEXT, article TEXT, cents INTEGER)")
        .expect("a table");
    let clock = TimeLapseClock::from("2026-03-28T18:30:00Z".parse().expect("a time"), 7_200);
    let host = Host::builder()
        .clock(clock)
        .provide(database.clone())
        .provide_scoped_with(Transaction::begin, Transaction::end)
        .scheduler(Scheduler::builder().register(synchronise::definition()))
        .build()?;
    // A day of this clock.
    host.run_until(clock.sleep(std::time::Duration::from_secs(86_400))).await?;
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count");
    let (rows, runs) =
        (count("SELECT count(*) FROM prices"), count("SELECT count(DISTINCT time) FROM prices"));
    println!(
        "\n{rows} rows of {runs} runs: {}",
        if rows == runs * 4 { "each run is there as a whole" } else { "a run is torn" }
    );
    Ok(())
}
