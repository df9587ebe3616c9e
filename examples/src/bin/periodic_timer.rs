//! A loop on a timer: every five seconds, without drift, merged when it comes too late.
//!
//! ```text
//! cargo run --bin periodic_timer                  # 26 seconds
//! cargo run --bin periodic_timer -- --forever     # until Ctrl-C
//! ```
//!
//! A background service measures the files of this repository every five seconds. The third round takes eleven seconds longer
//! on purpose, so a tick is missed: the next one says how late it is and for how many it stands. Then the period is halved
//! from outside. What you see: one line for each tick.

use std::time::Duration;

use examples::println;
use scheduler_core::host::{FirstTick, Host, HostError, PeriodicTimerHandle, ServiceContext, background};
use scheduler_core::prelude::*;
use scheduler_core::time::Clock;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How many files there are, and their size together.
fn measure() -> (usize, u64) {
    let files =
        walkdir::WalkDir::new(REPOSITORY).into_iter().filter_entry(|entry| entry.file_name() != "target");
    let sizes = files.flatten().filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file);
    sizes.fold((0, 0), |(count, size), data| (count + 1, size + data.len()))
}

async fn watch_files(context: ServiceContext) -> JobResult {
    let mut timer = context.every(Duration::from_secs(5)).first(FirstTick::AtOnce);
    tokio::spawn(hurry(context.clone(), timer.handle()));
    let mut round = 0;
    while let Some(tick) = timer.tick().await {
        round += 1;
        let (files, size) = tokio::task::spawn_blocking(measure).await?;
        println!(
            "{} {files} files, {} KiB; {} ms late, stands for {} more",
            tick.scheduled.format("%H:%M:%S"),
            size / 1024,
            tick.late.as_millis(),
            tick.merged
        );
        if round == 3 {
            println!("         this round takes eleven seconds longer");
            context.clock().sleep(Duration::from_secs(11)).await;
        }
    }
    println!("the timer has ended with its service");
    Ok(())
}

/// Halves the period after 20 seconds.
async fn hurry(context: ServiceContext, timer: PeriodicTimerHandle) {
    context.clock().sleep(Duration::from_secs(20)).await;
    timer.set_period(timer.period() / 2);
    println!("         every {:?} from now on", timer.period());
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let host = Host::builder().service(background("files", watch_files)).build()?;
    let handle = host.handle();
    if std::env::args().any(|argument| argument == "--forever") {
        host.run().await?;
        return Ok(());
    }
    tokio::spawn(async move {
        scheduler_core::time::SystemClock.sleep(Duration::from_secs(26)).await;
        handle.stop();
    });
    host.run().await?;
    Ok(())
}
