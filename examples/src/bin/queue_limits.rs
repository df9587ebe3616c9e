//! Queues: at most so many of a kind at once, and nobody starves behind them.
//!
//! ```text
//! cargo run --release --bin queue_limits
//! ```
//!
//! Twelve heavy jobs checksum the sources of this repository over and over; their queue may take two slots of eight. Light
//! jobs come every second. Half-way the limit is raised. What you see: how many of each run at the same time, and how long
//! the light ones wait (never for a heavy one).

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::time::Duration;

use examples::println;
use scheduler_core::prelude::*;
use scheduler_core::store::QueueLimits;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::Trigger;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Checksums all sources, for about a second.
#[job(blocking)]
fn checksum(rounds: u32) -> JobResult {
    let mut hasher = DefaultHasher::new();
    let begin = SystemClock.monotonic();
    for _ in 0..rounds {
        for entry in walkdir::WalkDir::new(Path::new(SOURCES).join("scheduler-core/src")) {
            let entry = entry?;
            if entry.file_type().is_file() {
                hasher.write(&std::fs::read(entry.path())?);
            }
        }
        if SystemClock.monotonic() - begin > Duration::from_secs(1) {
            break;
        }
    }
    Ok(())
}

/// Something small that must not wait.
#[job(every = "1s")]
async fn ping(context: JobContext) {
    let late = context.fire_time() - context.scheduled_fire_time();
    println!("  ping, {} ms after its time", late.num_milliseconds());
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scheduler = Scheduler::builder()
        .concurrency(8)
        .limit_queue("heavy", 2)
        .register(checksum::definition())
        .register(ping::definition())
        .build()?;
    scheduler.start().await?;
    let heavy = (0..12).map(|number| {
        let trigger = Trigger::now().name(&format!("checksum-{number}")).queue("heavy").priority(9);
        (checksum::with(10_000), trigger)
    });
    for (job, trigger) in heavy {
        scheduler.schedule(job, trigger).await?;
    }
    for second in 0..7 {
        SystemClock.sleep(Duration::from_secs(1)).await;
        let running = scheduler.running();
        let heavy = running.iter().filter(|run| run.queue.is_some()).count();
        println!("second {}: {heavy} heavy at once", second + 1);
        if second == 2 {
            println!("the limit is raised to 4");
            let named = [("heavy".into(), 4)].into();
            scheduler.set_limits(QueueLimits { named, ..QueueLimits::default() });
        }
    }
    let report = scheduler.shutdown(Duration::from_secs(10)).await;
    println!("shut down: {} runs ended by themselves", report.finished);
    Ok(())
}
