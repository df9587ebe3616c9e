//! Which queue comes next: by due time, by weights, by tiers, and nodes that take from some queues only.
//!
//! ```text
//! cargo run --bin queues
//! cargo run --bin queues -- --store redis://localhost:6379
//! ```
//!
//! 320 letters wait in three queues when a node starts; those that matter least have waited longest. The node prints each letter into
//! the folder of its queue, four at a time. What you see: how many of each queue are among the first hundred without a setting, by
//! weights and by tiers; a queue that no node takes, and the answer of `explain`; the account of all letters.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use examples::{StoreOption, println};
use scheduler_core::SchedulerBuilder;
use scheduler_core::prelude::*;
use scheduler_core::store::{JobStore, RunQuery};
use scheduler_core::time::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

const LETTERS: &str = include_str!("../../quickstart/data/outbox.jsonl");

/// Which queue comes next
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    store: StoreOption,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    id: String,
    to: String,
    subject: String,
    body: String,
}

/// Where letters are printed, and the queues of those that are, in order.
#[derive(Clone)]
struct Printer {
    folder: PathBuf,
    printed: Arc<Mutex<Vec<&'static str>>>,
}

impl Printer {
    async fn print(&self, queue: &'static str, letter: &Letter) -> JobResult {
        self.printed.lock().expect("nobody panics with the lock").push(queue);
        let folder = self.folder.join(queue);
        tokio::fs::create_dir_all(&folder).await?;
        let text = format!("To: {}\nSubject: {}\n\n{}\n", letter.to, letter.subject, letter.body);
        tokio::fs::write(folder.join(&letter.id), text).await?;
        Ok(())
    }

    fn counts(&self, first: usize) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for queue in self.printed.lock().expect("nobody panics with the lock").iter().take(first) {
            *counts.entry(*queue).or_default() += 1;
        }
        counts
    }

    /// How many letters there are in the folders.
    fn files(&self) -> usize {
        walkdir::WalkDir::new(&self.folder)
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .count()
    }
}

/// A bill, which somebody waits for.
#[job(queue = "bills")]
async fn bill(letter: Letter, State(printer): State<Printer>) -> JobResult {
    printer.print("bills", &letter).await
}

/// A letter about a delivery. The job has no queue, so its runs are in the default queue.
#[job]
async fn notice(letter: Letter, State(printer): State<Printer>) -> JobResult {
    printer.print("default", &letter).await
}

/// A confirmation, which can wait.
#[job(queue = "bulk")]
async fn confirmation(letter: Letter, State(printer): State<Printer>) -> JobResult {
    printer.print("bulk", &letter).await
}

/// A node that prints letters.
fn node(store: Arc<dyn JobStore>, printer: Printer) -> SchedulerBuilder {
    let jobs = [bill::definition(), notice::definition(), confirmation::definition()];
    let builder = Scheduler::builder().store(store).provide(printer).concurrency(4);
    jobs.into_iter().fold(builder, SchedulerBuilder::register)
}

/// Those that matter least first.
async fn enqueue(scheduler: &Scheduler, letters: &[Letter]) -> scheduler_core::Result<()> {
    let of = |subjects: &'static [&str]| {
        let letters = letters.iter().filter(|letter| subjects.contains(&&*letter.subject));
        letters.cloned()
    };
    scheduler.enqueue_all(of(&["order-confirmed"]).map(confirmation::with)).await?;
    scheduler.enqueue_all(of(&["order-shipped", "delivery-moved"]).map(notice::with)).await?;
    scheduler.enqueue_all(of(&["invoice"]).map(bill::with)).await?;
    Ok(())
}

/// Waits until no more than so many runs are left.
async fn until_left(scheduler: &Scheduler, most: usize) -> scheduler_core::Result<usize> {
    loop {
        let left = scheduler.all_runs(RunQuery::default()).await?.len();
        if left <= most {
            return Ok(left);
        }
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
}

/// Prints all letters by such a node, and says which of them came first.
async fn run(
    args: &Args,
    name: &str,
    set: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder,
) -> anyhow::Result<()> {
    let letters: Vec<Letter> = LETTERS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let folder = tempfile::tempdir()?;
    let printer = Printer { folder: folder.path().to_owned(), printed: Arc::default() };
    let store = args.store.open(&format!("queues-{}", name.replace(' ', "-"))).await?;
    let scheduler = set(node(store, printer.clone())).build()?;
    enqueue(&scheduler, &letters).await?;
    scheduler.start().await?;
    let left = until_left(&scheduler, 0).await?;
    println!("{name}: of the first hundred letters {:?}", printer.counts(100));
    println!("  account: {} enqueued = {} printed + {left} left", letters.len(), printer.files());
    scheduler.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// A node that leaves bills to another node, which does not exist yet.
async fn leave_bills(args: &Args) -> anyhow::Result<()> {
    let letters: Vec<Letter> = LETTERS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let folder = tempfile::tempdir()?;
    let printer = Printer { folder: folder.path().to_owned(), printed: Arc::default() };
    let store = args.store.open("queues-except").await?;
    let first = node(store.clone(), printer.clone()).except_queues(["bills"]).build()?;
    enqueue(&first, &letters).await?;
    let enqueued = letters.len();
    first.start().await?;
    let bills = letters.iter().filter(|letter| letter.subject == "invoice").count();
    let left = until_left(&first, bills).await?;
    println!("without bills: {enqueued} enqueued = {} printed + {left} left", printer.files());
    let waiting = first.all_runs(RunQuery::default()).await?.swap_remove(0);
    if let Some(explanation) = first.explain_run(waiting.id).await? {
        println!("  {}", explanation.to_string().replace('\n', "\n  "));
    }
    let second = node(store, printer.clone()).node_name("bills").only_queues(["bill*"]).build()?;
    second.start().await?;
    let left = until_left(&first, 0).await?;
    println!("  a node for bills starts: {enqueued} enqueued = {} printed + {left} left", printer.files());
    second.shutdown(Duration::from_secs(5)).await;
    first.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("off").init();
    let args = Args::parse();
    run(&args, "by due time", |node| node).await?;
    run(&args, "by weights", |node| node.queue_weights([("bills", 6), ("default", 3), ("bulk", 1)])).await?;
    run(&args, "by tiers", |node| node.queue_tiers([["bills"], ["default"], ["bulk"]])).await?;
    leave_bills(&args).await
}
