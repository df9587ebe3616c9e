//! Letters that survive a killed process, without a server.
//!
//! ```text
//! cargo run --bin durable
//! ```
//!
//! A process enqueues 400 letters into a SQLite file and delivers them. In the middle of that it is killed, twice. What you see: how many
//! letters were delivered by then, what the process finds when it is started again, and the account: every letter has arrived, and only those
//! that were under way at a kill have arrived twice.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use examples::println;
use scheduler_core::prelude::*;
use scheduler_core::store::RunQuery;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_sqlite::SqliteJobStore;

const LETTERS: u32 = 400;
/// So many are delivered at a time.
const AT_A_TIME: usize = 4;
const KILLS: usize = 2;

/// Letters that survive a killed process
#[derive(Parser)]
struct Args {
    /// Delivers letters out of the store in this folder, as the process that is killed
    #[arg(long, hide = true)]
    worker: Option<PathBuf>,
}

/// The file to which each delivered letter is a line.
#[derive(Clone)]
struct Mailbox(PathBuf);

impl Mailbox {
    fn of(folder: &Path) -> Self {
        Self(folder.join("mailbox"))
    }

    /// How often each letter has arrived.
    fn letters(&self) -> BTreeMap<u32, usize> {
        let mut letters = BTreeMap::new();
        for number in
            fs::read_to_string(&self.0).unwrap_or_default().lines().filter_map(|line| line.parse().ok())
        {
            *letters.entry(number).or_default() += 1;
        }
        letters
    }
}

#[job]
async fn deliver(letter: u32, State(mailbox): State<Mailbox>, context: JobContext) -> JobResult {
    context.clock().sleep(Duration::from_millis(20)).await;
    let mut file = OpenOptions::new().create(true).append(true).open(&mailbox.0)?;
    file.write_all(format!("{letter}\n").as_bytes())?;
    Ok(())
}

/// What a program with a durable queue looks like: open, start, enqueue.
async fn work(folder: &Path) -> anyhow::Result<()> {
    let store = SqliteJobStore::open(folder.join("jobs.db"))?;
    let mailbox = Mailbox::of(folder);
    let builder = Scheduler::builder().store(store).provide(mailbox.clone()).concurrency(AT_A_TIME);
    let scheduler = builder.register(deliver::definition()).build()?;
    scheduler.start().await?;
    let waiting = scheduler.all_runs(RunQuery::default()).await?.len();
    println!("  the process has opened the file: {waiting} letters wait in it");
    if waiting == 0 {
        scheduler.enqueue_all((0..LETTERS).map(deliver::with)).await?;
        println!("  {LETTERS} letters are enqueued");
    }
    while !scheduler.all_runs(RunQuery::default()).await?.is_empty() {
        SystemClock.sleep(Duration::from_millis(50)).await;
    }
    scheduler.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn spawn(folder: &Path) -> anyhow::Result<Child> {
    let program = std::env::current_exe()?;
    Command::new(program).arg("--worker").arg(folder).spawn().context("the process cannot be started")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Some(folder) = Args::parse().worker {
        return work(&folder).await;
    }
    let folder = tempfile::tempdir()?;
    let mailbox = Mailbox::of(folder.path());
    for kill in 1..=KILLS {
        let mut process = spawn(folder.path())?;
        while mailbox.letters().len() < kill * 60 {
            ensure!(process.try_wait()?.is_none(), "the process has ended by itself");
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
        process.kill()?;
        process.wait()?;
        println!("killed in the middle of its work, after {} letters", mailbox.letters().len());
    }
    ensure!(spawn(folder.path())?.wait()?.success(), "the last process has failed");
    let letters = mailbox.letters();
    let twice = letters.values().filter(|times| **times > 1).count();
    println!("letters: {} = {} once + {twice} twice, 0 lost", letters.len(), letters.len() - twice);
    ensure!(letters.len() == LETTERS as usize, "a letter is missing");
    // Those that were delivered and not yet noted, beside those that were on their way.
    ensure!(twice <= 4 * KILLS * AT_A_TIME, "more letters came twice than were under way");
    Ok(())
}
