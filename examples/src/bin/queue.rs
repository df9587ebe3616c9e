//! A queue in memory: many small jobs, a few at once, each with an outcome.
//!
//! ```text
//! cargo run --release --bin queue
//! ```
//!
//! Every Rust file of this repository is put into a queue with room for 20 jobs; three at a time are compressed into a
//! folder. One file is missing, one job is cancelled. The same job function is also enqueued in the scheduler, whose store would
//! keep it. What you see: the longest results, the outcomes, and that the queue is drained before the host stops.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use examples::println;
use scheduler_core::host::{Host, HostError, JobQueue, ServiceContext, background};
use scheduler_core::prelude::*;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What became of each file: bytes before and after.
#[derive(Clone, Default)]
struct Account(Arc<Mutex<BTreeMap<PathBuf, (usize, usize)>>>);

/// Squeezes runs of equal bytes: little, but honest work.
#[job(blocking)]
fn squeeze(file: PathBuf, State(account): State<Account>) -> JobResult {
    let bytes = std::fs::read(&file)?;
    let squeezed = bytes.chunk_by(|a, b| a == b).map(|run| if run.len() > 3 { 3 } else { run.len() }).sum();
    account.0.lock().expect("nobody panics with the lock").insert(file, (bytes.len(), squeezed));
    Ok(())
}

async fn fill(context: ServiceContext, State(queue): State<JobQueue>, scheduler: Scheduler) -> JobResult {
    let files =
        walkdir::WalkDir::new(REPOSITORY).into_iter().filter_entry(|entry| entry.file_name() != "target");
    let is_rust = |path: &Path| path.extension().is_some_and(|ending| ending == "rs");
    let mut queued = Vec::new();
    for entry in files.flatten().filter(|entry| is_rust(entry.path())) {
        // Waits while there is no room.
        queued.push(queue.enqueue(squeeze::with(entry.into_path())).await?);
    }
    println!("{} files are queued; {} of them still wait", queued.len(), queue.len());
    let missing = queue.enqueue(squeeze::with(PathBuf::from("nowhere.rs"))).await?;
    let unwanted = queue.enqueue(squeeze::with(PathBuf::from("unwanted.rs"))).await?;
    unwanted.cancel();
    println!("unwanted.rs: {}", unwanted.outcome().await.word());
    println!("nowhere.rs: {}", missing.outcome().await.failure().unwrap_or_default());
    let main = PathBuf::from(REPOSITORY).join("scheduler-core/src/lib.rs");
    println!(
        "kept by the store of the scheduler until it runs: {}",
        scheduler.enqueue(squeeze::with(main)).await?
    );
    context.stop_host();
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let (account, queue) = (Account::default(), JobQueue::bounded(20).concurrency(3).build());
    Host::builder()
        .provide(account.clone())
        .provide(queue.clone())
        .register(squeeze::definition())
        .queue("files", queue)
        .scheduler(Scheduler::builder())
        .service(background("fill", fill).after("files").after("scheduler").may_end())
        .build()?
        .run()
        .await?;
    let account = account.0.lock().expect("nobody panics with the lock");
    let (before, after) =
        account.values().fold((0, 0), |sum, (before, after)| (sum.0 + before, sum.1 + after));
    println!("{} files, {before} bytes, {after} when squeezed", account.len());
    Ok(())
}
