//! The main job in one command: several kinds of background work on real files, for twenty seconds.
//!
//! ```text
//! cargo run --release -p quickstart                                  # this repository and a shipped outbox
//! cargo run --release -p quickstart -- --for 1m --folder ~/notes     # your own files
//! ```
//!
//! What you see: a start-up task prepares the working folder and everything else waits for it. Every other second
//! a batch of messages is taken from an outbox file, delivered to a real socket and marked as sent; each delivery
//! enqueues a receipt. A cron keeps an index of the files below a folder. On purpose, one job takes too long and is
//! stopped by its timeout, and one fails and says why. Ctrl-C stops at once and gracefully. The summary at the end can
//! be checked against the files that it names. In a terminal a table shows all this as it happens; in a pipe or a file
//! there are sums every two seconds.

mod args;
mod audit;
mod index;
mod out;
mod outbox;
mod rates;
mod receiver;
mod summary;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use scheduler_core::Scheduler;
use scheduler_core::host::{Host, Service, StopContext, hosted, start_up};
use scheduler_core::job::JobResult;
use scheduler_core::store::{Selection, TriggerQuery, TriggerState};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::Schedule;

use args::{Args, Workspace};
use receiver::Receiver;
use view::View;

/// How long running jobs may take to end after the stop.
const STOP_BUDGET: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    // Failed runs are warnings, and the view shows them; here is what is worse.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let workspace = match Args::parse().check() {
        Ok(workspace) => Arc::new(workspace),
        Err(problem) => {
            eprintln!("error: {problem:#}");
            return ExitCode::from(2);
        }
    };
    match run(workspace).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(workspace: Arc<Workspace>) -> anyhow::Result<()> {
    let receiver = Receiver::start(workspace.inbox()).await.context("the receiving socket")?;
    let host = Host::builder()
        .provide(workspace.clone())
        .provide(receiver.address())
        .service(start_up("prepare", outbox::prepare))
        .scheduler(Scheduler::builder().name("quickstart").discover_jobs())
        .service(hosted("ending", Ending).after("scheduler"))
        .stop_budget(STOP_BUDGET)
        .build()?;
    let handle = host.handle();
    let scheduler = handle.scheduler().context("the host has a scheduler")?;
    let shown = tokio::spawn(View::new(workspace.clone()).show(scheduler.events(), scheduler.downgrade()));
    let run_for = workspace.run_for;
    let timer = tokio::spawn(async move {
        SystemClock.sleep(run_for).await;
        handle.stop();
    });
    let report = host.run().await;
    timer.abort();
    let report = report?;
    let counts = shown.await?;
    receiver.stop().await?;
    summary::print(&workspace, &counts, &report)
}

/// Lets what was begun come to its end before the scheduler stops.
struct Ending;

impl Service for Ending {
    /// Stops what recurs and lets the work that it has enqueued run, so that every message sent has its receipt.
    async fn stopping(&self, context: &StopContext) -> JobResult {
        let Some(scheduler) = context.service().scheduler() else { return Ok(()) };
        while context.remaining() > STOP_BUDGET / 2 {
            let mut open = 0;
            for status in scheduler.all_triggers(TriggerQuery::default()).await? {
                match status.trigger.schedule() {
                    Schedule::Once => open += 1,
                    _ if status.state == TriggerState::Executing => open += 1,
                    _ => drop(scheduler.pause(Selection::Trigger(status.trigger.key().clone())).await?),
                }
            }
            if open == 0 && scheduler.running().is_empty() {
                break;
            }
            context.service().clock().sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
