//! The transactional outbox: an order and its message are written in one transaction, and a job delivers the messages.
//!
//! ```text
//! cargo run --bin outbox
//! ```
//!
//! A service takes an order every other second; a job delivers the outbox every ten seconds. Time runs ten times as fast. The
//! line breaks now and then: before a message arrives, or after it has, before it could be marked. So a message may be sent
//! twice, and the receiver drops what it has seen, by the id of the message. What you see: the deliveries, and at the end that
//! every order has arrived exactly once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use examples::println;
use rusqlite::{Connection, params};
use scheduler_core::host::{Host, HostError, ServiceContext, background};
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::time::{Clock, TimeLapseClock};

#[derive(Debug, Clone)]
struct Database(PathBuf);

impl Database {
    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.0)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(connection)
    }
}

/// Somebody else's system: it remembers the ids that it has seen.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    calls: usize,
    doubled: usize,
    seen: BTreeSet<i64>,
}

impl Receiver {
    /// Takes a message over a line that breaks at every seventh call, and loses the answer of every ninth.
    fn receive(&self, id: i64) -> Result<(), JobError> {
        let mut received = self.0.lock().expect("nobody panics with the lock");
        received.calls += 1;
        if received.calls.is_multiple_of(7) {
            return Err(JobError::new(format!("the line broke before message {id} arrived")));
        }
        if !received.seen.insert(id) {
            received.doubled += 1;
        }
        if received.calls.is_multiple_of(9) {
            return Err(JobError::new(format!("message {id} arrived, and the answer was lost")));
        }
        Ok(())
    }
}

/// Takes orders: each with its message in the same transaction.
async fn take_orders(context: ServiceContext, State(database): State<Database>) -> JobResult {
    let mut connection = database.open()?;
    let mut timer = context.every(Duration::from_secs(2));
    while timer.tick().await.is_some() {
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT INTO orders (placed) VALUES (?1)",
            params![context.clock().now().to_rfc3339()],
        )?;
        let order = transaction.last_insert_rowid();
        transaction.execute("INSERT INTO outbox (message) VALUES (?1)", params![format!("order {order}")])?;
        transaction.commit()?;
    }
    Ok(())
}

/// Delivers what is in the outbox, in its order. What fails stays for the next run, and so does all that comes after it.
#[job(every = "10s", disallow_concurrent, timeout = "8s")]
async fn deliver(State(database): State<Database>, State(receiver): State<Receiver>) -> JobResult {
    let connection = database.open()?;
    let mut unsent = connection.prepare("SELECT id FROM outbox WHERE sent IS NULL ORDER BY id LIMIT 100")?;
    let unsent: Vec<i64> = unsent.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for (number, id) in unsent.iter().enumerate() {
        if let Err(error) = receiver.receive(*id) {
            println!("  {number} of {} delivered: {error}", unsent.len());
            return Err(error);
        }
        connection.execute("UPDATE outbox SET sent = 1 WHERE id = ?1", params![id])?;
    }
    println!("  all {} delivered", unsent.len());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let folder = tempfile::tempdir().expect("a folder");
    let (database, receiver) = (Database(folder.path().join("shop.sqlite")), Receiver::default());
    let connection = database.open().expect("a database");
    let tables = "CREATE TABLE orders (id INTEGER PRIMARY KEY, placed TEXT);
                  CREATE TABLE outbox (id INTEGER PRIMARY KEY, message TEXT, sent INTEGER);";
    connection.execute_batch(tables).expect("tables");
    let clock = TimeLapseClock::from("2026-03-01T08:00:00Z".parse().expect("a time"), 10);
    let host = Host::builder()
        .clock(clock)
        .provide(database)
        .provide(receiver.clone())
        .scheduler(Scheduler::builder().register(deliver::definition()))
        .service(background("orders", take_orders))
        .build()?;
    println!("two minutes of orders:");
    let scheduler = host.handle().scheduler().cloned().expect("the host has one");
    let open = || {
        connection.query_row("SELECT count(*) FROM outbox WHERE sent IS NULL", [], |row| row.get::<_, i64>(0))
    };
    host.run_until(async {
        clock.sleep(Duration::from_secs(120)).await;
        // No more orders are counted from here; the outbox is emptied by hand.
        while open().unwrap_or_default() > 0 && scheduler.enqueue(deliver::with()).await.is_ok() {
            clock.sleep(Duration::from_secs(1)).await;
        }
    })
    .await?;
    let orders: i64 =
        connection.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).expect("a count");
    let left = open().expect("a count");
    let received = receiver.0.lock().expect("nobody panics with the lock");
    println!(
        "{orders} orders; {} messages arrived, {} of them twice and dropped by their id; {left} are left",
        received.seen.len(),
        received.doubled
    );
    Ok(())
}
