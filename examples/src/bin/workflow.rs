//! A monthly report as a workflow: runs that wait for each other, and take what others return.
//!
//! ```text
//! cargo run --bin workflow
//! cargo run --bin workflow -- --store redis://localhost:6379
//! ```
//!
//! One run reads 320 letters. One counts them by city and one finds the longest address, and another one adds a run for each city while the
//! workflow is under way. The report takes what both return, and the archive is closed when all cities are done. What you see: the first attempt
//! at the workflow stops since the printer is off, what was cancelled with it, the dead run replayed, the report, and the account.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use examples::{StoreOption, println};
use scheduler_core::client::Batch;
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::run::{Condition, RetryPolicy, RunEnd};
use scheduler_core::scheduler::ThisBatch;
use scheduler_core::store::{RunQuery, RunStatus};
use scheduler_core::time::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

const LETTERS: &str = include_str!("../../quickstart/data/outbox.jsonl");

/// Runs that wait for each other and take what others return
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    store: StoreOption,
}

#[derive(Debug, Clone, Deserialize)]
struct Letter {
    to: String,
}

/// The addresses of all letters.
#[derive(Serialize, Deserialize)]
struct Addresses(Vec<String>);

/// So many letters for each city.
type ByCity = BTreeMap<String, usize>;

/// What the office has at hand: a printer that may be off, the pages that it has printed, and the archive.
#[derive(Clone, Default)]
struct Office {
    printer_is_on: Arc<AtomicBool>,
    pages: Arc<Mutex<Vec<String>>>,
    archive: Arc<Mutex<Vec<String>>>,
}

#[job(output)]
async fn read_letters() -> JobResult<Addresses> {
    let letters: Vec<Letter> =
        LETTERS.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(JobError::fatal)?;
    Ok(Addresses(letters.into_iter().map(|letter| letter.to).collect()))
}

#[job(output)]
async fn by_city(Addresses(all): Addresses) -> ByCity {
    let mut counts = ByCity::new();
    for address in all {
        let city = address.split_once('@').map_or("", |(_, host)| host.trim_end_matches(".example"));
        *counts.entry(city.to_owned()).or_default() += 1;
    }
    counts
}

#[job(output)]
async fn longest(Addresses(all): Addresses) -> String {
    all.into_iter().max_by_key(String::len).unwrap_or_default()
}

#[job]
async fn print(
    (title, cities, longest): (String, ByCity, String),
    State(office): State<Office>,
) -> JobResult {
    if !office.printer_is_on.load(Ordering::SeqCst) {
        return Err(JobError::new("the printer is off"));
    }
    let letters: usize = cities.values().sum();
    let page =
        format!("{title}: {letters} letters to {} cities, the longest address is {longest}", cities.len());
    office.pages.lock().expect("nobody panics with the lock").push(page);
    Ok(())
}

/// Adds a run for each city: nobody knew how many before.
#[job]
async fn archive(cities: ByCity, ThisBatch(part): ThisBatch) -> JobResult {
    part.add_all(cities.into_keys().map(archive_city::with)).await?;
    Ok(())
}

#[job]
async fn archive_city(city: String, State(office): State<Office>) {
    office.archive.lock().expect("nobody panics with the lock").push(city);
}

#[job]
async fn close_archive(State(office): State<Office>) {
    office.archive.lock().expect("nobody panics with the lock").push("closed".to_owned());
}

#[job]
async fn send_out() {}

async fn ended(batch: &Batch, wanted: RunEnd) -> anyhow::Result<RunStatus> {
    for _ in 0..3_000 {
        let status = batch.status().await?.context("a workflow is kept for seven days")?;
        if status.end == Some(wanted) {
            return Ok(status);
        }
        SystemClock.sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("the workflow has not ended in 30 s")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("off").init();
    let store = Args::parse().store.open("workflow").await?;
    let office = Office::default();
    let scheduler = Scheduler::builder()
        .store(store)
        .provide(office.clone())
        .retry_enqueued(RetryPolicy::never())
        .discover_jobs()
        .build()?;
    scheduler.start().await?;
    // What an earlier run of this example has left.
    scheduler.clear().await?;

    let flow = scheduler.workflow("report");
    let letters = flow.add(read_letters::with());
    let cities = flow.add(by_city::with_output(letters));
    let longest = flow.add(longest::with_output(letters));
    let report = flow.add(print::with_output(("March".to_owned(), cities, longest)));
    flow.add(send_out::with()).after([report.id()]);
    let archived = flow.batch("archive");
    archived.add(archive::with_output(cities));
    flow.add(close_archive::with()).after_on(Condition::Any, [archived.id()]);
    let batch = flow.start().await?;

    let counts = ended(&batch, RunEnd::Incomplete).await?.batch.context("it is a batch")?.counts;
    println!(
        "workflow: {} steps, {} succeeded, {} dead, {} cancelled",
        counts.total, counts.succeeded, counts.dead, counts.cancelled
    );
    let dead = scheduler.all_runs(RunQuery::dead()).await?.pop().context("the printer is off")?;
    println!("dead: {}: {}", dead.job, dead.last_error.as_deref().unwrap_or_default());

    office.printer_is_on.store(true, Ordering::SeqCst);
    scheduler.replay(dead.id).await?;
    let counts = ended(&batch, RunEnd::Succeeded).await?.batch.context("it is a batch")?.counts;
    let pages = office.pages.lock().expect("nobody panics with the lock").clone();
    println!("printed after a replay: {}", pages.join("; "));
    let archive = office.archive.lock().expect("nobody panics with the lock").clone();
    let archived = archive.len() - 1;
    println!(
        "account: {} steps = {} succeeded + {} others; {archived} cities archived before the archive was closed",
        counts.total,
        counts.succeeded,
        counts.total - counts.succeeded
    );
    ensure!(
        pages.len() == 1 && counts.succeeded == counts.total,
        "nothing is lost, and nothing is done twice"
    );
    ensure!(archive.last().is_some_and(|last| last == "closed"), "the archive is closed at the end");
    let by_city = cities.handle().result().await?;
    ensure!(by_city.len() == archived, "each city is archived");
    scheduler.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
