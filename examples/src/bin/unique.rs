//! Runs of which there is one for each key.
//!
//! ```text
//! cargo run --bin unique
//! cargo run --bin unique -- --store redis://localhost:6379
//! ```
//!
//! 320 letters come in for twenty cities, faster than their lists can be written. What you see: a list for each city that is written by few
//! runs, never by two at once, and has every letter in the end; an index that is rebuilt once, when no letter has come for a moment; a
//! greeting for each reader that goes out once; the account of all calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use examples::{StoreOption, println};
use scheduler_core::client::EnqueueOutcome;
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::run::RunState;
use scheduler_core::store::RunQuery;
use scheduler_core::time::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

const LETTERS: &str = include_str!("../../quickstart/data/outbox.jsonl");

/// One run for each key
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

/// The letters of a city, as far as they have come.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    city: String,
    letters: Vec<String>,
}

/// Where lists are written, which are being written, and how often each job has run.
#[derive(Clone, Default)]
struct Desk {
    folder: PathBuf,
    open: Arc<Mutex<BTreeSet<String>>>,
    runs: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Desk {
    fn count(&self, job: &'static str) {
        *self.runs.lock().expect("nobody panics with the lock").entry(job).or_default() += 1;
    }

    fn runs(&self, job: &str) -> usize {
        self.runs.lock().expect("nobody panics with the lock").get(job).copied().unwrap_or_default()
    }
}

/// Writes the list of a city. While one is being written, one more waits with the latest letters.
#[job(unique(key = "city", on_conflict = "replace"))]
async fn write_list(list: List, State(desk): State<Desk>, context: JobContext) -> JobResult {
    desk.count("lists");
    let is_alone = desk.open.lock().expect("nobody panics with the lock").insert(list.city.clone());
    if !is_alone {
        return Err(JobError::new("two runs write one list"));
    }
    context.clock().sleep(Duration::from_millis(20)).await;
    fs::write(desk.folder.join(&list.city), list.letters.join("\n"))?;
    desk.open.lock().expect("nobody panics with the lock").remove(&list.city);
    Ok(())
}

/// Rebuilds the index of all lists when no letter has come for a moment.
#[job(debounce(quiet = "200ms", at_most = "5s"))]
async fn rebuild_index(State(desk): State<Desk>) {
    desk.count("indexes");
}

/// Greets a reader, once in an hour whatever happens.
#[job(unique(key = "reader", for = "1h"))]
async fn greet(reader: String, State(desk): State<Desk>) {
    let _ = reader;
    desk.count("greetings");
}

/// What the calls have led to.
#[derive(Default)]
struct Calls {
    created: usize,
    replaced: usize,
    existing: usize,
}

impl Calls {
    fn add(&mut self, outcome: EnqueueOutcome) {
        match outcome {
            EnqueueOutcome::Created(_) => self.created += 1,
            EnqueueOutcome::Replaced(_) => self.replaced += 1,
            _ => self.existing += 1,
        }
    }

    fn print(&self, what: &str, runs: usize) {
        let Self { created, replaced, existing } = self;
        let calls = created + replaced + existing;
        println!(
            "{what:<10} {calls:>4} calls = {created:>3} runs + {replaced:>3} replaced + {existing:>3} skipped; {runs} have run"
        );
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("off").init();
    let store = Args::parse().store.open("unique").await?;
    let letters: Vec<Letter> = LETTERS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let folder = std::env::temp_dir().join(format!("unique-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let desk = Desk { folder: folder.clone(), ..Desk::default() };
    let jobs = [write_list::definition(), rebuild_index::definition(), greet::definition()];
    let mut builder = Scheduler::builder().store(store).provide(desk.clone());
    for job in jobs {
        builder = builder.register(job);
    }
    let scheduler = builder.build()?;
    scheduler.start().await?;
    // What an earlier run of this example has left.
    scheduler.clear().await?;

    let mut known = BTreeMap::<&str, Vec<String>>::new();
    let [mut lists, mut indexes, mut greetings] = <[Calls; 3]>::default();
    for letter in &letters {
        let of_city = known.entry(letter.city()).or_default();
        of_city.push(letter.id.clone());
        let list = List { city: letter.city().to_owned(), letters: of_city.clone() };
        lists.add(scheduler.enqueue(write_list::with(list)).outcome().await?);
        indexes.add(scheduler.enqueue(rebuild_index::with()).outcome().await?);
        greetings.add(scheduler.enqueue(greet::with(letter.to.clone())).outcome().await?);
    }
    while scheduler.all_runs(RunQuery::default()).await?.iter().any(|run| run.state != RunState::Ended) {
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    lists.print("lists", desk.runs("lists"));
    indexes.print("indexes", desk.runs("indexes"));
    greetings.print("greetings", desk.runs("greetings"));
    for (city, letters) in &known {
        let written = fs::read_to_string(folder.join(city))?;
        ensure!(written == letters.join("\n"), "the list of {city} is not the latest one");
    }
    println!("all {} lists have every letter of their city", known.len());
    let kept = scheduler.all_runs(RunQuery::default()).await?.len();
    println!(
        "account: {} runs are over, {kept} of them kept for the hour of their key",
        lists.created + indexes.created + greetings.created
    );
    scheduler.shutdown(Duration::from_secs(5)).await;
    fs::remove_dir_all(folder)?;
    Ok(())
}
