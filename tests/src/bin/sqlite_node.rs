//! A process with a store in a SQLite file: enqueues so many runs if there are none yet, and carries them out. `tests/sqlite.rs` kills it.
//!
//! Arguments: the file of the store, the file to which each run appends its number, how many runs.
#![allow(clippy::unwrap_used, reason = "a test program says what went wrong by failing")]

use std::io::Write;
use std::time::Duration;

use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::store::RunQuery;
use scheduler_sqlite::SqliteJobStore;
use tests::wait::between_looks;

fn detail() -> JobDetail {
    JobDetail::builder("deliver".parse().unwrap(), "deliver").build()
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap();
    let (store, ledger, many) = (next(), next(), next().parse::<u32>().unwrap());
    let deliver = JobDefinition::new(detail(), move |number: u32| {
        let ledger = ledger.clone();
        async move {
            between_looks().await;
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(ledger).unwrap();
            file.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
    });
    let store = SqliteJobStore::open(store).unwrap();
    let scheduler = Scheduler::builder().store(store).register(deliver).concurrency(4).build().unwrap();
    if scheduler.all_runs(RunQuery::default()).await.unwrap().is_empty() {
        let runs = (0..many).map(|number| Invocation::with_args(detail(), &number));
        scheduler.enqueue_all(runs).await.unwrap();
    }
    scheduler.start().await.unwrap();
    while !scheduler.all_runs(RunQuery::default()).await.unwrap().is_empty() {
        between_looks().await;
    }
    scheduler.shutdown(Duration::from_secs(60)).await;
}
