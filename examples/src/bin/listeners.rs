//! Everything that can watch a scheduler or step in: listeners, a veto, middleware, the event stream, the history log.
//!
//! ```text
//! cargo run --bin listeners
//! ```
//!
//! For eight seconds two jobs look at the sources of this repository: one counts lines, one looks for a file that does not
//! exist. What you see: a job listener that keeps an account, a trigger listener that refuses runs during maintenance (from
//! the third to the fifth second), a middleware that measures, a listener of the scheduler, and, with
//! `RUST_LOG=scheduler::history=info`, the history log. At the end the account is printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use examples::println;
use scheduler_core::job::{JobContext, Outcome};
use scheduler_core::plugin::HistoryLog;
use scheduler_core::prelude::*;
use scheduler_core::scheduler::{Event, JobListener, Middleware, Next, SchedulerListener, TriggerListener};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Matcher, Text};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Counts the lines of the examples.
#[job(group = "sources", every = "1s", blocking)]
fn count_lines() -> JobResult {
    let mut lines = 0;
    for entry in walkdir::WalkDir::new(SOURCES) {
        let entry = entry?;
        if entry.path().extension().is_some_and(|ending| ending == "rs") {
            lines += std::fs::read_to_string(entry.path())?.lines().count();
        }
    }
    println!("          {lines} lines");
    Ok(())
}

/// Looks for a file that is not there.
#[job(every = "2s", blocking)]
fn read_missing() -> JobResult {
    std::fs::read_to_string(Path::new(SOURCES).join("nowhere.txt"))?;
    Ok(())
}

/// How often each job ended in which way.
#[derive(Clone, Default)]
struct Account(Arc<Mutex<BTreeMap<String, usize>>>);

impl JobListener for Account {
    async fn was_executed(&self, context: &JobContext, outcome: &Outcome) {
        let line = format!("{} {}", context.job_key(), outcome.word());
        *self.0.lock().expect("nobody panics with the lock").entry(line).or_default() += 1;
    }

    async fn vetoed(&self, context: &JobContext) {
        let line = format!("{} vetoed", context.job_key());
        *self.0.lock().expect("nobody panics with the lock").entry(line).or_default() += 1;
    }
}

/// Refuses runs while it is on.
#[derive(Clone, Default)]
struct Maintenance(Arc<AtomicBool>);

impl TriggerListener for Maintenance {
    async fn veto(&self, _: &JobContext) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Measures every run.
struct Stopwatch;

impl Middleware for Stopwatch {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        let begin = context.clock().monotonic();
        let outcome = next.run(context.clone()).await;
        println!("stopwatch {} took {:?}", context.job_key(), context.clock().monotonic() - begin);
        outcome
    }
}

/// Says what goes wrong.
struct Alarm;

impl SchedulerListener for Alarm {
    async fn on_event(&self, event: &Event) {
        if let Event::Ended { job, failure: Some(failure), .. } = event {
            println!("alarm     {job}: {failure}");
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let (account, maintenance) = (Account::default(), Maintenance::default());
    let scheduler = Scheduler::builder()
        .register(count_lines::definition())
        .register(read_missing::definition())
        .job_listener(Matcher::Everything, account.clone())
        .trigger_listener(Matcher::group(Text::is("sources")), maintenance.clone())
        .listener(Alarm)
        .middleware(Stopwatch)
        .plugin(HistoryLog::new())
        .build()?;
    let mut events = scheduler.events();
    scheduler.start().await?;
    SystemClock.sleep(Duration::from_millis(2500)).await;
    println!("--------- maintenance begins");
    maintenance.0.store(true, Ordering::Relaxed);
    SystemClock.sleep(Duration::from_millis(2000)).await;
    println!("--------- maintenance ends");
    maintenance.0.store(false, Ordering::Relaxed);
    SystemClock.sleep(Duration::from_millis(3500)).await;
    scheduler.shutdown(Duration::from_secs(5)).await;
    drop(scheduler);
    let mut count = 0;
    while events.next().await.is_some() {
        count += 1;
    }
    println!("\n{count} events; the account:");
    for (line, times) in &*account.0.lock().expect("nobody panics with the lock") {
        println!("  {times:>3} x {line}");
    }
    Ok(())
}
