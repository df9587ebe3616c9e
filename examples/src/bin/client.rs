//! A client: a producer without workers gives letters to a worker, looks after them, and asks why one job does not run.
//!
//! ```text
//! cargo run --bin client                                                   # both in one process, over a store in memory
//! cargo run --bin client -- --store redis://localhost:6379 worker          # one process …
//! cargo run --bin client -- --store redis://localhost:6379 producer        # … and another one
//! ```
//!
//! The producer registers no function and starts no scheduler; it needs the store alone. What you see: letters that the worker sends, a
//! reminder that the producer schedules and pauses again, and a job that no node can run, with the reason why it waits. A producer
//! that starts before the worker leaves its letters in the store.

use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, ValueEnum};
use examples::println;
use scheduler_core::Client;
use scheduler_core::prelude::*;
use scheduler_core::store::{Existing, JobStore, MemoryJobStore, PauseNote, Selection};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_redis::RedisJobStore;
use serde::{Deserialize, Serialize};

/// A producer without workers beside a worker
#[derive(Parser)]
struct Args {
    /// `memory`, or the address of a Redis such as redis://localhost:6379
    #[arg(long, default_value = "memory")]
    store: String,
    /// Which of the two; without it both
    part: Option<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Producer,
    Worker,
}

#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    to: String,
}

/// Sends one letter.
#[job]
async fn send(letter: Letter, context: JobContext) {
    context.clock().sleep(Duration::from_millis(300)).await;
    println!("  worker: sent a letter to {}", letter.to);
}

/// Reminds somebody.
#[job]
async fn remind(to: String) {
    println!("  worker: reminded {to}");
}

/// No worker registers this job.
#[job]
async fn print() {}

/// Everything that the producer does, it does by the client.
async fn produce(client: Client) -> scheduler_core::Result<()> {
    let letters = ["ada", "bob", "eve"].map(|to| send::with(Letter { to: to.to_owned() }));
    let runs = client.enqueue_all(letters).await?;
    println!("producer: {} letters are stored", runs.len());
    let every = Trigger::every(Duration::from_secs(1)).name("reminder");
    let scheduled = client.schedule_all([(remind::with("ada".to_owned()), every)], Existing::Replace).await?;
    let printed = client.enqueue(print::with()).await?;

    SystemClock.sleep(Duration::from_secs(3)).await;
    let reminder = &scheduled[0].trigger;
    let note = PauseNote::because("she has answered").by("the producer");
    client.pause_with(Selection::Trigger(reminder.clone()), note).await?;
    println!("producer: {}", client.explain(reminder).await?);
    if let Some(explanation) = client.explain_run(printed).await? {
        println!("producer: {explanation}");
    }
    client.cancel_run(printed).await?;
    client.unschedule(reminder).await?;
    for (number, run) in runs.into_iter().enumerate() {
        let waits = client.explain_run(run).await?;
        let fate = waits
            .map_or_else(|| "is sent".to_owned(), |explanation| format!("is still there: {explanation}"));
        println!("producer: letter {number} {fate}");
    }
    Ok(())
}

/// A scheduler that knows two of the three functions.
async fn start_worker(store: impl JobStore) -> anyhow::Result<Scheduler> {
    let builder = Scheduler::builder().store(store).node_name("worker");
    let scheduler = builder.register(send::definition()).register(remind::definition()).build()?;
    scheduler.start().await?;
    Ok(scheduler)
}

async fn run<S: JobStore>(part: Option<Part>, of_worker: S, of_producer: S) -> anyhow::Result<()> {
    let worker = if part == Some(Part::Producer) { None } else { Some(start_worker(of_worker).await?) };
    if part == Some(Part::Worker) {
        println!("worker: waits for work; Ctrl-C ends it");
        tokio::signal::ctrl_c().await?;
    } else {
        produce(Client::new(of_producer)).await?;
    }
    if let Some(worker) = worker {
        println!("worker: {}", worker.shutdown(Duration::from_secs(5)).await);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let Args { store, part } = Args::parse();
    if store == "memory" {
        ensure!(part.is_none(), "a store in memory belongs to one process; name a Redis by `--store`");
        let store = MemoryJobStore::new();
        return run(None, store.clone(), store).await;
    }
    // Each part has connections of its own, as two processes have.
    let open = || RedisJobStore::connect(&store, "client-example");
    run(part, open().await?, open().await?).await
}
