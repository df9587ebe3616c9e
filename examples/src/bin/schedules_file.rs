//! Schedules from a file that is watched: jobs by the name of a registered function, triggers, calendars.
//!
//! ```text
//! cargo run --bin schedules_file
//! cargo run --bin schedules_file -- my-schedules.toml     # your own file, with the job `count`
//! ```
//!
//! Without a file, a copy of `examples/data/schedules.toml` is used and changed while it runs: a trigger gets slower, then a
//! mistake is made and mended. What you see: the runs, what is scheduled after each change, and how a mistake is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use examples::println;
use scheduler_core::plugin::ScheduleFile;
use scheduler_core::prelude::*;
use scheduler_core::store::TriggerQuery;
use scheduler_core::time::{Clock, SystemClock};

const SHIPPED: &str = include_str!("../../data/schedules.toml");
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Runs schedules from a file.
#[derive(Debug, Parser)]
struct Args {
    /// A file that ends in .toml, .yaml or .json
    file: Option<PathBuf>,
}

/// Counts the files of this repository with an ending.
#[job(blocking)]
fn count(ending: String, context: JobContext) -> JobResult {
    let files =
        walkdir::WalkDir::new(REPOSITORY).into_iter().filter_entry(|entry| entry.file_name() != "target");
    let is_meant = |path: &Path| path.extension().is_some_and(|found| *found == *ending);
    let count = files.flatten().filter(|entry| is_meant(entry.path())).count();
    println!("  {} (by {}): {count} files end in .{ending}", context.job_key(), context.trigger_key());
    Ok(())
}

async fn show(scheduler: &Scheduler) -> scheduler_core::Result<()> {
    println!("scheduled now:");
    for status in scheduler.all_triggers(TriggerQuery::default()).await? {
        let next = status.progress.next.map(|time| time.to_rfc3339()).unwrap_or_default();
        println!("  {:<14} {}, next at {next}", status.trigger.key(), status.trigger.schedule());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("warn").without_time().init();
    let (args, folder) = (Args::parse(), tempfile::tempdir()?);
    let own = folder.path().join("schedules.toml");
    std::fs::write(&own, SHIPPED)?;
    let shipped = args.file.is_none();
    let path = args.file.unwrap_or(own);
    let scheduler = Scheduler::builder()
        .register(count::definition())
        .plugin(ScheduleFile::new(&path).watch(Duration::from_millis(500)))
        .build()?;
    scheduler.start().await?;
    show(&scheduler).await?;
    if shipped {
        SystemClock.sleep(Duration::from_secs(3)).await;
        println!("\nthe trigger `rust` gets slower, `docs` becomes `notes`");
        let slower = SHIPPED
            .replace("every = \"1s\"", "every = \"3s\"")
            .replace("[triggers.docs]", "[triggers.notes]");
        std::fs::write(&path, &slower)?;
        SystemClock.sleep(Duration::from_secs(2)).await;
        show(&scheduler).await?;
        println!("\na mistake is made");
        std::fs::write(
            &path,
            slower.replace("\"3s\"", "\"3 parsecs\"").replace("misfire = \"skip\"", "misfire = \"skipp\""),
        )?;
        SystemClock.sleep(Duration::from_secs(2)).await;
        println!("\nand mended");
        std::fs::write(&path, SHIPPED)?;
        SystemClock.sleep(Duration::from_secs(2)).await;
        show(&scheduler).await?;
    } else {
        println!("Ctrl-C ends it");
        tokio::signal::ctrl_c().await?;
    }
    scheduler.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
