//! A newsletter as a batch, with what follows from it.
//!
//! ```text
//! cargo run --bin batch
//! cargo run --bin batch -- --store redis://localhost:6379
//! ```
//!
//! 320 letters go out for twenty cities. Each city is a batch of its own in the batch of the newsletter, and is filled by a run that finds
//! its readers. Three addresses are refused. What you see: the alarm at the first death, the end of the batch with its counters, the
//! addresses mended and their letters replayed, the report that waits for the success of all, and the account.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use examples::{StoreOption, println};
use scheduler_core::Client;
use scheduler_core::client::Batch;
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::run::RetryPolicy;
use scheduler_core::scheduler::ThisBatch;
use scheduler_core::store::{RunQuery, RunStatus};
use scheduler_core::time::{Clock, SystemClock};
use serde::Deserialize;

const LETTERS: &str = include_str!("../../quickstart/data/outbox.jsonl");

/// A batch with runs that add others
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    store: StoreOption,
}

#[derive(Debug, Clone, Deserialize)]
struct Letter {
    id: String,
    to: String,
}

impl Letter {
    fn city(&self) -> &str {
        self.to.split_once('@').map_or("", |(_, host)| host.trim_end_matches(".example"))
    }
}

/// What the post office knows: all letters, how often each was sent, which are refused, and what was told.
#[derive(Clone, Default)]
struct Office {
    letters: Arc<Vec<Letter>>,
    sent: Arc<Mutex<BTreeMap<String, usize>>>,
    refused: Arc<Mutex<Vec<String>>>,
    told: Arc<Mutex<Vec<&'static str>>>,
}

impl Office {
    fn tell(&self, what: &'static str) {
        self.told.lock().expect("nobody panics with the lock").push(what);
    }

    fn told(&self) -> Vec<&'static str> {
        self.told.lock().expect("nobody panics with the lock").clone()
    }
}

/// Finds the readers of a city, and fills a batch with their letters, which is one of the runs of the newsletter.
#[job]
async fn fill(
    city: String,
    State(office): State<Office>,
    ThisBatch(newsletter): ThisBatch,
    client: Client,
) -> JobResult {
    let letters =
        office.letters.iter().filter(|letter| letter.city() == city).map(|letter| letter.id.clone());
    client.batch(city.clone()).inside(&newsletter).run(letters.map(send::with)).await?;
    Ok(())
}

#[job]
async fn send(letter: String, State(office): State<Office>) -> JobResult {
    if office.refused.lock().expect("nobody panics with the lock").contains(&letter) {
        return Err(JobError::new("the address is refused"));
    }
    *office.sent.lock().expect("nobody panics with the lock").entry(letter).or_default() += 1;
    Ok(())
}

#[job]
async fn alarm(State(office): State<Office>) {
    office.tell("the first death");
}

#[job]
async fn complete(State(office): State<Office>) {
    office.tell("all have ended");
}

#[job]
async fn report(State(office): State<Office>) {
    office.tell("all have succeeded");
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    for _ in 0..3_000 {
        if is_so().await? {
            return Ok(());
        }
        SystemClock.sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("{what} has not come in 30 s")
}

async fn status(batch: &Batch) -> anyhow::Result<RunStatus> {
    batch.status().await?.context("the batch is kept for seven days")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("off").init();
    let store = Args::parse().store.open("batch").await?;
    let letters: Vec<Letter> = LETTERS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let refused = letters.iter().step_by(100).map(|letter| letter.id.clone()).take(3).collect::<Vec<_>>();
    let office =
        Office { letters: Arc::new(letters), refused: Arc::new(Mutex::new(refused)), ..Office::default() };
    let mut builder =
        Scheduler::builder().store(store).provide(office.clone()).retry_enqueued(RetryPolicy::never());
    for job in [
        fill::definition(),
        send::definition(),
        alarm::definition(),
        complete::definition(),
        report::definition(),
    ] {
        builder = builder.register(job);
    }
    let scheduler = builder.build()?;
    scheduler.start().await?;
    // What an earlier run of this example has left.
    scheduler.clear().await?;

    let mut cities: Vec<_> = office.letters.iter().map(|letter| letter.city().to_owned()).collect();
    cities.sort_unstable();
    cities.dedup();
    let many = cities.len();
    let newsletter = scheduler.batch("newsletter");
    let newsletter =
        newsletter.on_success(report::with()).on_complete(complete::with()).on_death(alarm::with());
    let newsletter = newsletter.run(cities.into_iter().map(fill::with)).await?;
    until("the end of the batch", async || Ok(office.told().contains(&"all have ended"))).await?;
    let counts = status(&newsletter).await?.batch.context("it is a batch")?.counts;
    println!(
        "newsletter: {} runs and batches, {} succeeded, {} batches with dead runs",
        counts.total, counts.succeeded, counts.dead
    );
    println!("told: {}", office.told().join(", "));
    ensure!(
        counts.total as usize == 2 * many && counts.pending == 0,
        "a batch for each city, and a run that fills it"
    );

    office.refused.lock().expect("nobody panics with the lock").clear();
    let dead = scheduler.all_runs(RunQuery::dead()).await?;
    for run in &dead {
        scheduler.replay(run.id).await?;
    }
    println!("{} dead letters are replayed", dead.len());
    until("the report", async || Ok(office.told().contains(&"all have succeeded"))).await?;
    println!("told: {}", office.told().join(", "));
    let counts = status(&newsletter).await?.batch.context("it is a batch")?.counts;
    let sent = office.sent.lock().expect("nobody panics with the lock").clone();
    ensure!(sent.values().all(|times| *times == 1), "no letter is sent twice");
    ensure!(
        office.told() == ["the first death", "all have ended", "all have succeeded"],
        "each is told once"
    );
    println!(
        "account: {} letters = {} sent once; newsletter: {} = {} succeeded + {} others",
        office.letters.len(),
        sent.len(),
        counts.total,
        counts.succeeded,
        counts.total - counts.succeeded
    );
    ensure!(sent.len() == office.letters.len() && counts.succeeded == counts.total, "nothing is lost");
    scheduler.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
