//! Every day at two, in a zone, across a change of clocks.
//!
//! ```text
//! cargo run --bin two_am
//! ```
//!
//! On 29 March 2026 there is no 2:00 in Berlin, and on 25 October 2:30 comes twice. The job makes a copy of a folder for each
//! run. Time runs 14,400 times as fast: four hours in a second. What you see: each run with its local time and offset, in spring
//! and in autumn; no day without a copy and none with two.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use examples::println;
use scheduler_core::host::{Host, HostError};
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::time::{Clock, TimeLapseClock};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

#[derive(Debug, Clone)]
struct Copies(PathBuf);

/// Copies a folder, at half past two every night.
#[job(cron = "0 30 2 * * ?", time_zone = "Europe/Berlin", disallow_concurrent, blocking)]
fn copy(State(copies): State<Copies>, context: JobContext) -> JobResult {
    let local = context.scheduled_fire_time().with_timezone(&chrono_tz::Europe::Berlin);
    let target = copies.0.join(local.format("%Y-%m-%d").to_string());
    if target.exists() {
        return Err(JobError::new(format!("{} is there already", target.display())));
    }
    std::fs::create_dir_all(&target)?;
    for entry in std::fs::read_dir(Path::new(FOLDER))? {
        let entry = entry?;
        std::fs::copy(entry.path(), target.join(entry.file_name()))?;
    }
    println!("  {}", local.format("%a %d %b %H:%M %Z (%:z)"));
    Ok(())
}

async fn nights(from: DateTime<Utc>, copies: &Copies) -> Result<(), HostError> {
    let clock = TimeLapseClock::from(from, 14_400);
    Host::builder()
        .clock(clock)
        .provide(copies.clone())
        .scheduler(Scheduler::builder().register(copy::definition()))
        .build()?
        .run_until(clock.sleep(Duration::from_secs(4 * 86_400)))
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let folder = tempfile::tempdir().expect("a folder");
    let copies = Copies(folder.path().to_owned());
    println!("clocks go forward on the 29th:");
    nights("2026-03-27T20:00:00Z".parse().expect("a time"), &copies).await?;
    println!("clocks go back on the 25th:");
    nights("2026-10-23T20:00:00Z".parse().expect("a time"), &copies).await?;
    let made = std::fs::read_dir(folder.path()).expect("the folder").count();
    println!("{made} copies for 8 nights");
    Ok(())
}
