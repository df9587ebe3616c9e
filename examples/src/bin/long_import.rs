//! A long import that goes on where it was cut off, and a caller that waits for its result.
//!
//! ```text
//! cargo run --bin long_import
//! cargo run --bin long_import -- --store redis://localhost:6379
//! ```
//!
//! 320 letters are imported one after the other. In the middle of that the import is cut off: with a Redis, the process that runs it is
//! killed; in memory and in a file, its scheduler is shut down. What you see: how far the import was, from which letter the next attempt goes on, how many
//! letters were imported twice, the result that the caller has waited for, what both attempts have logged, and the account. After a kill the others wait for the lease of the dead node, about ten
//! seconds.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use examples::{StoreOption, println};
use scheduler_core::Client;
use scheduler_core::client::RunHandle;
use scheduler_core::job::{Resume, RunLogLayer};
use scheduler_core::prelude::*;
use scheduler_core::run::RunId;
use scheduler_core::store::JobStore;
use scheduler_core::time::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

const LETTERS: &str = include_str!("../../quickstart/data/outbox.jsonl");

/// So many letters may be imported twice.
const BETWEEN: usize = 20;

/// An import that goes on where it was cut off
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    store: StoreOption,
    /// Runs the import, as the process that is killed
    #[arg(long, hide = true)]
    worker: Option<PathBuf>,
}

/// What the import returns.
#[derive(Debug, Serialize, Deserialize)]
struct Imported {
    letters: usize,
    attempts_begun: usize,
}

/// A file to which each imported letter is a line.
#[derive(Clone)]
struct Ledger(PathBuf);

impl Ledger {
    fn note(&self, line: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        file.write_all(format!("{line}\n").as_bytes())
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// How often each letter was imported, in the order of the file.
    fn letters(&self) -> BTreeMap<usize, usize> {
        let mut letters = BTreeMap::new();
        for number in self.lines().iter().filter_map(|line| line.parse().ok()) {
            *letters.entry(number).or_default() += 1;
        }
        letters
    }

    /// Where each attempt began.
    fn begins(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.starts_with("from")).collect()
    }
}

/// Imports all letters.
#[job(output, log)]
async fn import(
    name: String,
    State(ledger): State<Ledger>,
    Resume(from): Resume<usize>,
    context: JobContext,
) -> JobResult<Imported> {
    let letters: Vec<_> = LETTERS.lines().collect();
    let first = from.map_or(0, |last| last + 1);
    ledger.note(&format!("from {first}"))?;
    tracing::info!(first, "the import begins");
    context.progress_message("importing letters");
    let behind =
        |from: Option<usize>| (from.map_or(0, |last| last + 1)..letters.len()).map(|number| (number, number));
    let each = |number: usize| {
        let (ledger, context, letter) = (ledger.clone(), context.clone(), letters[number]);
        async move {
            context.clock().sleep(Duration::from_millis(10)).await;
            if !letter.is_empty() {
                ledger.note(&number.to_string())?;
            }
            context.progress(number as u64, LETTERS.lines().count() as u64);
            if number.is_multiple_of(BETWEEN) {
                // The others are stored every five seconds.
                context.checkpoint_now(&number).await?;
            }
            Ok(())
        }
    };
    context.for_each_from(from, behind, each).await?;
    println!("  the import `{name}` is through");
    Ok(Imported { letters: letters.len(), attempts_begun: ledger.begins().len() })
}

/// A scheduler that runs the import.
async fn worker(store: Arc<dyn JobStore>, ledger: &Ledger) -> anyhow::Result<Scheduler> {
    let scheduler = Scheduler::builder().store(store).provide(ledger.clone()).discover_jobs().build()?;
    scheduler.start().await?;
    Ok(scheduler)
}

/// Another process that runs the import.
fn spawn(args: &[String], ledger: &Path) -> anyhow::Result<Child> {
    let program = std::env::current_exe()?;
    Command::new(program)
        .args(args)
        .arg("--worker")
        .arg(ledger)
        .spawn()
        .context("the worker cannot be started")
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::registry().with(RunLogLayer::new().with_filter(LevelFilter::INFO)).init();
    let args = Args::parse();
    let store = args.store.open("long-import").await?;
    if let Some(ledger) = args.worker {
        let _scheduler = worker(store.clone(), &Ledger(ledger)).await?;
        std::future::pending::<()>().await;
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let ledger = Ledger(folder.path().join("letters"));
    let client = Client::new(store.clone());
    let id = RunId::from_key(&folder.path().display().to_string());
    let imported = client.enqueue(import::with("letters".to_owned())).id(id).handle().await?;
    println!("the import is run {}", imported.id());
    let is_in_the_middle = || ledger.letters().len() > 100;
    if !args.store.is_shared() {
        let first = worker(store.clone(), &ledger).await?;
        until(is_in_the_middle).await;
        first.shutdown(Duration::ZERO).await;
        println!("its scheduler was shut down after {} letters", ledger.letters().len());
        print_progress(&imported).await?;
        let second = worker(store, &ledger).await?;
        report(&imported.result().await?, &ledger)?;
        second.shutdown(Duration::from_secs(5)).await;
    } else {
        let own: Vec<_> = std::env::args().skip(1).collect();
        let mut first = spawn(&own, &ledger.0)?;
        until(is_in_the_middle).await;
        first.kill()?;
        first.wait()?;
        println!(
            "its process was killed after {} letters; another one waits for the lease of its node",
            ledger.letters().len()
        );
        print_progress(&imported).await?;
        let mut second = spawn(&own, &ledger.0)?;
        let result = imported.result().await;
        second.kill()?;
        second.wait()?;
        report(&result?, &ledger)?;
    }
    let log = client.run_log(id).await?.context("the run is kept with its log")?;
    println!("what it has logged:");
    log.lines.iter().for_each(|line| println!("  attempt {}: {}", line.attempt, line.text));
    Ok(())
}

/// How far the import is, as of a second ago.
async fn print_progress(imported: &RunHandle<Imported>) -> scheduler_core::Result<()> {
    if let Some(progress) = imported.progress().await? {
        let message = progress.message.unwrap_or_default();
        println!("its progress: {message}, {} of {}", progress.done, progress.total);
    }
    Ok(())
}

fn report(imported: &Imported, ledger: &Ledger) -> anyhow::Result<()> {
    let (letters, begins) = (ledger.letters(), ledger.begins());
    println!("attempts began {}", begins.join(", "));
    let twice = letters.values().filter(|times| **times > 1).count();
    println!("the result: {} letters, after {} attempts", imported.letters, imported.attempts_begun);
    println!("letters: {} = {} once + {twice} twice", letters.len(), letters.len() - twice);
    ensure!(letters.len() == imported.letters, "a letter is missing");
    ensure!(
        begins.len() == 2 && begins[1] != "from 0",
        "the second attempt has not gone on from a checkpoint"
    );
    ensure!(twice <= BETWEEN, "more letters came twice than between two checkpoints");
    Ok(())
}
