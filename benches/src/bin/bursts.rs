//! Bursts of runs that wait for others: how long the longest call is.
//!
//! ```text
//! cargo run --release -p benches --bin bursts
//! cargo run --release -p benches --bin bursts -- --children 100000 --members 1000000 --store redis://localhost:6379
//! ```
//!
//! A parent with many children succeeds, and another one dies; a batch with many runs is filled, run and told of; many runs wait at a limit of
//! ten, and the same runs without the limit. Printed are the time of the whole and of its longest call to the store, and for a Redis what its
//! slow log holds of calls over 5 ms.

use std::time::Duration;

use benches::steps::begin;
use chrono::TimeDelta;
use clap::Parser;
use scheduler_core::job::JobDetail;
use scheduler_core::run::{Condition, Edge, Gate, GateId, Gates, RunId};
use scheduler_core::store::batches::{InBatch, NewBatch};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_redis::RedisJobStore;

const SESSION: u64 = 1;
/// So many runs are stored by a call, and so many are ended.
const STORED: usize = 500;
const ENDED: usize = 100;

#[derive(Parser)]
struct Args {
    /// How many children a parent has
    #[arg(long, default_value_t = 100_000)]
    children: u64,
    /// How many runs wait at the limit
    #[arg(long, default_value_t = 100_000)]
    waiters: u64,
    /// How many runs are in the batch
    #[arg(long, default_value_t = 1_000_000)]
    members: u64,
    /// `memory`, or the address of a Redis
    #[arg(long, default_value = "memory")]
    store: String,
}

/// The calls of one burst.
#[derive(Default)]
struct Burst {
    longest: Duration,
    calls: usize,
}

impl Burst {
    async fn call<T>(&mut self, call: StoreFuture<'_, T>) -> scheduler_core::Result<T> {
        let began = SystemClock.monotonic();
        let answer = call.await;
        self.longest = self.longest.max(SystemClock.monotonic().saturating_sub(began));
        self.calls += 1;
        answer
    }

    fn print(&self, what: &str, many: u64, began: Duration) {
        let (took, Self { longest, calls }) = (SystemClock.monotonic().saturating_sub(began), self);
        println!("{what:<28} {many:>9} runs in {took:>8.2?}, {calls} calls, the longest {longest:.2?}");
    }
}

fn id(number: u64) -> RunId {
    RunId::new(7, number)
}

fn run(number: u64) -> NewRun {
    let job = JobDetail::builder("work".parse().expect("a name"), "work").build();
    NewRun::of(id(number), &job, begin())
}

async fn enqueue(
    store: &dyn JobStore,
    burst: &mut Burst,
    runs: impl Iterator<Item = NewRun>,
) -> scheduler_core::Result<()> {
    let mut runs = runs.peekable();
    while runs.peek().is_some() {
        burst.call(store.enqueue(runs.by_ref().take(STORED).collect())).await?;
    }
    Ok(())
}

/// Takes what is due, and what rings, until there is nothing, and ends all of it like this. Says how many ran.
async fn drain(store: &dyn JobStore, burst: &mut Burst, fate: &Fate) -> scheduler_core::Result<u64> {
    let (now, mut ran) = (begin() + TimeDelta::hours(1), 0);
    loop {
        let (limits, shares) = (QueueLimits::default(), Vec::new());
        let (until, max, late, heard) = (now, ENDED, None, None);
        let request = AcquireDue { session: SESSION, now, until, max, limits, shares, late, heard };
        let acquired = burst.call(store.acquire_due(request)).await?;
        if acquired.runs.is_empty() && acquired.next_due.is_none_or(|due| due > now) {
            return Ok(ran);
        }
        ran += acquired.runs.len() as u64;
        let end = |run: &AcquiredRun| Completion { fate: fate.clone(), ..Completion::of(run.claim) };
        let executions: Vec<_> = acquired.runs.iter().map(end).collect();
        if !executions.is_empty() {
            burst.call(store.complete(Complete { now, executions })).await?;
        }
    }
}

async fn children(store: &dyn JobStore, many: u64, fate: Fate, what: &str) -> scheduler_core::Result<()> {
    store.clear().await?;
    let mut filling = Burst::default();
    let child = |number| {
        let mut child = run(number);
        child.after = vec![Edge::new(id(1), Condition::Success)];
        child
    };
    let began = SystemClock.monotonic();
    enqueue(store, &mut filling, std::iter::once(run(1)).chain((2..2 + many).map(child))).await?;
    filling.print(&format!("{what}: stored"), many, began);
    let (mut ending, began) = (Burst::default(), SystemClock.monotonic());
    let ran = drain(store, &mut ending, &fate).await?;
    ending.print(&format!("{what}: settled"), many, began);
    let expected = if fate == Fate::Over { many + 1 } else { 1 };
    assert_eq!(ran, expected, "each child is settled once");
    Ok(())
}

async fn batch(store: &dyn JobStore, many: u64) -> scheduler_core::Result<()> {
    store.clear().await?;
    let (mut filling, began) = (Burst::default(), SystemClock.monotonic());
    let mut batch = run(1);
    batch.opens = Some(NewBatch::new(None));
    let member = |number| {
        let mut member = run(number);
        member.batch = Some(InBatch::member(id(1), None));
        member
    };
    enqueue(store, &mut filling, std::iter::once(batch).chain((2..2 + many).map(member))).await?;
    let seal = ChangeRuns::new(vec![id(1)], RunChange::Seal, begin());
    filling.call(store.change_runs(seal)).await?;
    filling.print("batch: filled", many, began);
    let (mut ending, began) = (Burst::default(), SystemClock.monotonic());
    drain(store, &mut ending, &Fate::Over).await?;
    ending.print("batch: run", many, began);
    let stored = store.all_runs(RunQuery::one(id(1))).await?.pop();
    let counts = stored.and_then(|run| run.batch).expect("it is kept for seven days").counts;
    assert_eq!(
        (counts.total, counts.succeeded),
        (many.cast_signed(), many.cast_signed()),
        "the counters are exact"
    );
    Ok(())
}

/// Runs of a limit of so many; of none without one.
async fn limited(
    store: &dyn JobStore,
    many: u64,
    cap: Option<u32>,
    what: &str,
) -> scheduler_core::Result<()> {
    store.clear().await?;
    let (mut filling, began) = (Burst::default(), SystemClock.monotonic());
    let waiter = |number| {
        let mut waiter = run(number);
        let gate = |cap| Gate::new(GateId::of("github", None), cap, 1);
        waiter.gates = Gates::new(cap.map(gate).into_iter().collect());
        waiter
    };
    enqueue(store, &mut filling, (1..=many).map(waiter)).await?;
    filling.print(&format!("{what}: stored"), many, began);
    let (mut ending, began) = (Burst::default(), SystemClock.monotonic());
    let ran = drain(store, &mut ending, &Fate::Over).await?;
    ending.print(&format!("{what}: run"), many, began);
    assert_eq!(ran, many, "each run has begun");
    Ok(())
}

/// The calls that have held the server up for longer than 5 ms since it was asked to note them.
async fn slow_calls(address: &str, reset: bool) -> scheduler_core::Result<Vec<u64>> {
    let slow = async {
        let client = redis::Client::open(address)?;
        let mut server = client.get_multiplexed_async_connection().await?;
        if reset {
            let () = redis::cmd("CONFIG")
                .arg(&["SET", "slowlog-log-slower-than", "5000"])
                .query_async(&mut server)
                .await?;
            let () = redis::cmd("CONFIG")
                .arg(&["SET", "slowlog-max-len", "10000"])
                .query_async(&mut server)
                .await?;
            let () = redis::cmd("SLOWLOG").arg("RESET").query_async(&mut server).await?;
        }
        let entries: Vec<Vec<redis::Value>> =
            redis::cmd("SLOWLOG").arg(&["GET", "-1"]).query_async(&mut server).await?;
        let micros = entries.iter().filter_map(|entry| redis::from_redis_value_ref(entry.get(2)?).ok());
        Ok::<Vec<u64>, redis::RedisError>(micros.collect())
    };
    slow.await
        .map_err(|error| scheduler_core::Error::transient(format!("the slow log cannot be read: {error}")))
}

#[tokio::main]
async fn main() -> scheduler_core::Result<()> {
    let Args { children: of_parent, members, waiters, store } = Args::parse();
    let address = Some(store.clone()).filter(|store| store != "memory");
    if let Some(address) = &address {
        slow_calls(address, true).await?;
    }
    let store: std::sync::Arc<dyn JobStore> = match &*store {
        "memory" => std::sync::Arc::new(MemoryJobStore::new()),
        address => std::sync::Arc::new(RedisJobStore::connect(address, "bursts").await?),
    };
    let (wake, stop): (std::sync::Arc<dyn Fn() + Send + Sync>, _) =
        (std::sync::Arc::new(|| {}), std::sync::Arc::new(|_, _| {}));
    let node = Node {
        session: SESSION,
        name: "bursts".into(),
        types: None,
        queues: QueueFilter::default(),
        wake,
        stop,
    };
    store.attach(node).await?;
    children(&*store, of_parent, Fate::Over, "parent that succeeds").await?;
    children(&*store, of_parent, Fate::Dead { error: None }, "parent that dies").await?;
    batch(&*store, members).await?;
    limited(&*store, waiters, Some(10), "limit of ten").await?;
    limited(&*store, waiters, Some(u32::MAX), "limit that never binds").await?;
    limited(&*store, waiters, None, "no limit").await?;
    if let Some(address) = &address {
        let slow = slow_calls(address, false).await?;
        let longest = slow.iter().max().map_or(0, |micros| micros / 1000);
        println!("slow log of the server: {} calls over 5 ms, the longest {longest} ms", slow.len());
    }
    Ok(())
}
