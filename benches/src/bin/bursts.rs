//! Bursts of runs that wait for others: how long the longest call is.
//!
//! ```text
//! cargo run --release -p benches --bin bursts
//! cargo run --release -p benches --bin bursts -- --children 100000 --members 1000000 --store redis://localhost:6379
//! ```
//!
//! A parent with many children succeeds, and another one dies; a batch with many runs is filled, run and told of; many runs wait at a limit of
//! ten, and the same runs without the limit. Printed are the time of the whole and of its longest call to the store, and for a Redis what its
//! slow log holds of calls over 5 ms. `--only parent`, `batch`, `limit` or `free` runs a part of them.

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
use scheduler_sqlite::SqliteJobStore;

const SESSION: u64 = 1;
/// So many runs are stored by a call, which a store may do in parts, and so many are ended.
const STORED: usize = 1000;
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
    /// Only bursts whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// `memory`, `sqlite:` and a file, or the address of a Redis
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
    async fn call<'a, T>(&mut self, call: impl FnOnce() -> StoreFuture<'a, T>) -> scheduler_core::Result<T> {
        let began = SystemClock.monotonic();
        // A store in memory does its work before it returns.
        let answer = call().await;
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
        burst.call(|| store.enqueue(runs.by_ref().take(STORED).collect())).await?;
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
        let acquired = burst.call(|| store.acquire_due(request)).await?;
        if acquired.runs.is_empty() && acquired.next_due.is_none_or(|due| due > now) {
            return Ok(ran);
        }
        ran += acquired.runs.len() as u64;
        let end = |run: &AcquiredRun| Completion { fate: fate.clone(), ..Completion::of(run.claim) };
        let executions: Vec<_> = acquired.runs.iter().map(end).collect();
        if !executions.is_empty() {
            burst.call(|| store.complete(Complete { now, executions })).await?;
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
    filling.call(|| store.change_runs(seal)).await?;
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
    address: Option<&str>,
) -> scheduler_core::Result<(Duration, [u64; 2])> {
    store.clear().await?;
    let at_first = served_micros(address).await?;
    let (mut filling, began) = (Burst::default(), SystemClock.monotonic());
    let waiter = |number| {
        let mut waiter = run(number);
        let gate = |cap| Gate::new(GateId::of("github", None), cap, 1);
        waiter.gates = Gates::new(cap.map(gate).into_iter().collect());
        waiter
    };
    enqueue(store, &mut filling, (1..=many).map(waiter)).await?;
    filling.print(&format!("{what}: stored"), many, began);
    let stored = served_micros(address).await?;
    let (mut ending, began) = (Burst::default(), SystemClock.monotonic());
    let ran = drain(store, &mut ending, &Fate::Over).await?;
    let took = SystemClock.monotonic().saturating_sub(began);
    ending.print(&format!("{what}: run"), many, began);
    assert_eq!(ran, many, "each run has begun");
    Ok((took, [stored - at_first, served_micros(address).await? - stored]))
}

/// The same runs with a limit that never binds and without one, one after the other and back.
async fn compare(store: &dyn JobStore, many: u64, address: Option<&str>) -> scheduler_core::Result<()> {
    let (mut took, mut served) = ([Duration::ZERO; 2], [[0; 2]; 2]);
    for is_limited in [true, false, false, true] {
        let (cap, what) =
            if is_limited { (Some(u32::MAX), "limit that never binds") } else { (None, "no limit") };
        let (of_run, micros) = limited(store, many, cap, what, address).await?;
        took[usize::from(is_limited)] += of_run;
        served[usize::from(is_limited)].iter_mut().zip(micros).for_each(|(sum, micros)| *sum += micros);
    }
    let cost = 100.0 * (took[1].as_secs_f64() / took[0].as_secs_f64() - 1.0);
    println!("a limit that never binds costs {cost:.0} %");
    if address.is_some() {
        let [without, with] = served.map(|parts| parts.map(|micros| micros as f64 / (2 * many) as f64));
        println!(
            "of the server, for each run: stored {:.1} µs with it, {:.1} µs without; run {:.1} and {:.1} µs",
            with[0], without[0], with[1], without[1]
        );
    }
    Ok(())
}

/// For how long the server has carried out scripts, in microseconds.
async fn served_micros(address: Option<&str>) -> scheduler_core::Result<u64> {
    let Some(address) = address else { return Ok(0) };
    let asked = async {
        let mut server = redis::Client::open(address)?.get_multiplexed_async_connection().await?;
        redis::cmd("INFO").arg("commandstats").query_async::<String>(&mut server).await
    };
    let info = asked
        .await
        .map_err(|error| scheduler_core::Error::transient(format!("the server says nothing: {error}")))?;
    let line = info.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or_default();
    let micros = line.split(',').find_map(|word| word.strip_prefix("usec="));
    Ok(micros.and_then(|micros| micros.parse().ok()).unwrap_or_default())
}

/// Runs wait at a limit of one until it becomes a thousand.
async fn raised(store: &dyn JobStore, many: u64) -> scheduler_core::Result<()> {
    store.clear().await?;
    let id = GateId::of("github", None);
    let waiter = |number| {
        let mut waiter = run(number);
        waiter.gates = Gates::new(vec![Gate::new(id.clone(), 1, 1)]);
        waiter
    };
    let mut waiting = Burst::default();
    let began = SystemClock.monotonic();
    enqueue(store, &mut waiting, (1..=many).map(waiter)).await?;
    let now = begin() + TimeDelta::hours(1);
    let first = loop {
        let (limits, shares, (late, heard)) = (QueueLimits::default(), Vec::new(), (None, None));
        let request =
            AcquireDue { session: SESSION, now, until: now, max: ENDED, limits, shares, late, heard };
        let acquired = waiting.call(|| store.acquire_due(request)).await?;
        if let Some(run) = acquired.runs.into_iter().next() {
            break run.claim;
        }
    };
    waiting.print("limit of one: parked", many, began);
    let (mut ending, began) = (Burst::default(), SystemClock.monotonic());
    ending.call(|| store.set_limit(id, Some(LimitOverride::of(1000)))).await?;
    ending.call(|| store.complete(Complete { now, executions: vec![Completion::of(first)] })).await?;
    let ran = drain(store, &mut ending, &Fate::Over).await?;
    ending.print("limit raised to 1000: run", many, began);
    assert_eq!(ran, many - 1, "each run has begun");
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
    let Args { children: of_parent, members, waiters, only, store } = Args::parse();
    let address = Some(store.clone()).filter(|store| store.starts_with("redis"));
    if let Some(address) = &address {
        slow_calls(address, true).await?;
    }
    let store: std::sync::Arc<dyn JobStore> = match &*store {
        "memory" => std::sync::Arc::new(MemoryJobStore::new()),
        file if file.starts_with("sqlite:") => {
            std::sync::Arc::new(SqliteJobStore::open(&file["sqlite:".len()..])?)
        }
        // A prefix of its own, so that nothing of an earlier process is waited for.
        address => std::sync::Arc::new(
            RedisJobStore::connect(address, &format!("bursts-{}", std::process::id())).await?,
        ),
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
    let is_meant = |burst: &str| burst.contains(&*only);
    if is_meant("parent") {
        children(&*store, of_parent, Fate::Over, "parent that succeeds").await?;
        children(&*store, of_parent, Fate::Dead { error: None }, "parent that dies").await?;
    }
    if is_meant("batch") {
        batch(&*store, members).await?;
    }
    if is_meant("limit") {
        limited(&*store, waiters, Some(10), "limit of ten", address.as_deref()).await?;
        raised(&*store, waiters).await?;
    }
    if is_meant("free") {
        compare(&*store, waiters, address.as_deref()).await?;
    }
    store.clear().await?;
    if let Some(address) = &address {
        let slow = slow_calls(address, false).await?;
        let longest = slow.iter().max().map_or(0, |micros| micros / 1000);
        println!("slow log of the server: {} calls over 5 ms, the longest {longest} ms", slow.len());
    }
    Ok(())
}
