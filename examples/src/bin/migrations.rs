//! Migrations: start-up tasks that run before anything else, in their order, and hold everything until they are done.
//!
//! ```text
//! cargo run --bin migrations
//! ```
//!
//! The database is a real SQLite file. The first task waits for it to be there (it appears after a moment, so the task is tried
//! again), the second brings it to the latest version, once for all nodes that share a store. A second host then starts on the
//! same store and file: its migration counts as done. What you see: who waits for whom, and the version of the database.

use std::path::PathBuf;
use std::time::Duration;

use examples::println;
use rusqlite::Connection;
use scheduler_core::host::{Host, HostBuilder, HostError, ServiceContext, background, start_up};
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::store::MemoryJobStore;
use scheduler_core::time::{Clock, SystemClock};

/// Each step from one version to the next.
const STEPS: [&str; 3] = [
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "ALTER TABLE customers ADD COLUMN mail TEXT",
    "CREATE INDEX customers_by_mail ON customers (mail)",
];

#[derive(Debug, Clone)]
struct Database(PathBuf);

async fn wait_for_database(State(database): State<Database>) -> JobResult {
    if database.0.exists() {
        println!("  the database is there");
        return Ok(());
    }
    println!("  no database yet");
    Err(JobError::new(format!("{} is not there", database.0.display())))
}

async fn migrate(State(database): State<Database>) -> JobResult {
    let mut connection = Connection::open(&database.0)?;
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (number, step) in (1_u32..).zip(STEPS).skip_while(|(number, _)| *number <= version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
        println!("  migrated to version {number}: {step}");
    }
    Ok(())
}

async fn serve(context: ServiceContext, State(database): State<Database>) -> JobResult {
    let connection = Connection::open(&database.0)?;
    connection.execute("INSERT INTO customers (name, mail) VALUES ('Ada', 'ada@example.org')", [])?;
    let count: i64 = connection.query_row("SELECT count(*) FROM customers", [], |row| row.get(0))?;
    println!("  the service serves {count} customers");
    context.stop_host();
    context.stopping().await;
    Ok(())
}

fn host(store: &MemoryJobStore, database: &Database) -> HostBuilder {
    Host::builder()
        .provide(database.clone())
        .scheduler(Scheduler::builder().store(store.clone()))
        .service(start_up("database", wait_for_database).attempts(5))
        .service(start_up("migrations", migrate).after("database").once_per_cluster(3))
        .service(background("service", serve))
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, database) = (MemoryJobStore::new(), Database(folder.path().join("shop.sqlite")));
    let later = database.clone();
    tokio::spawn(async move {
        SystemClock.sleep(Duration::from_millis(1500)).await;
        std::fs::write(&later.0, "").expect("a file");
    });
    println!("the first host:");
    host(&store, &database).build()?.run().await?;
    println!("the second host, on the same store:");
    host(&store, &database).build()?.run().await?;
    Ok(())
}
