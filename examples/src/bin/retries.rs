//! Stored retries: attempts that fail are made again after a backoff, and what stays without success can be replayed.
//!
//! ```text
//! cargo run --bin retries
//! ```
//!
//! Each Markdown page of this repository is delivered over TCP to a mailbox that hangs up on every second connection. One more page goes
//! to a mailbox that is closed until all other work is done. What you see: each failed attempt with its reason, the run that is dead
//! after three retries, its replay once the mailbox is open, and the account of all runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use examples::println;
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::run::RunState;
use scheduler_core::store::RunQuery;
use scheduler_core::time::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How many bytes of each page have arrived.
#[derive(Clone, Default)]
struct Mailbox(Arc<Mutex<BTreeMap<String, usize>>>);

/// Delivers one page. Succeeds when the mailbox has confirmed all of its bytes.
#[job(timeout = "5s", retry(max = 3, backoff = "exponential(100ms, 1s)"))]
async fn deliver((page, to): (PathBuf, SocketAddr), context: JobContext) -> JobResult {
    let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(reason) = context.last_error() {
        println!("{name}: attempt {}, since the one before failed: {reason}", context.attempt());
    }
    let text = tokio::fs::read(&page).await?;
    let mut mailbox = TcpStream::connect(to).await?;
    mailbox.write_all(format!("{name}\n{}\n", text.len()).as_bytes()).await?;
    mailbox.write_all(&text).await?;
    mailbox.shutdown().await?;
    let mut answer = String::new();
    mailbox.read_to_string(&mut answer).await?;
    if answer == "thanks" { Ok(()) } else { Err(JobError::new("the mailbox has hung up")) }
}

/// Takes pages, but hangs up on every connection whose number `hangs_up` names.
async fn serve(listener: TcpListener, mailbox: Mailbox, hangs_up: fn(usize) -> bool) {
    for number in 1.. {
        let Ok((mut connection, _)) = listener.accept().await else { return };
        if hangs_up(number) {
            continue;
        }
        let mailbox = mailbox.clone();
        tokio::spawn(async move {
            let mut mail = Vec::new();
            connection.read_to_end(&mut mail).await?;
            let mail = String::from_utf8_lossy(&mail);
            let mut parts = mail.splitn(3, '\n');
            let (name, _, text) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
            let name = name.unwrap_or_default().to_owned();
            mailbox.0.lock().expect("nobody panics with the lock").insert(name, text.len());
            connection.write_all(b"thanks").await
        });
    }
}

/// Waits until no run waits for an attempt or has one under way.
async fn until_quiet(scheduler: &Scheduler) -> scheduler_core::Result<()> {
    loop {
        let runs = scheduler.all_runs(RunQuery::default()).await?;
        if runs.iter().all(|run| run.state == RunState::Ended) {
            return Ok(());
        }
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_env_filter("error").without_time().init();
    let (mailbox, listener) = (Mailbox::default(), TcpListener::bind("127.0.0.1:0").await?);
    let flaky = listener.local_addr()?;
    tokio::spawn(serve(listener, mailbox.clone(), |number| number % 2 == 1));
    // A port that nobody listens at, for now.
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;

    let scheduler = Scheduler::builder().register(deliver::definition()).build()?;
    scheduler.start().await?;
    let pages =
        std::fs::read_dir(PathBuf::from(REPOSITORY).join("docs"))?.flatten().map(|entry| entry.path());
    let pages: Vec<_> = pages.filter(|page| page.extension().is_some_and(|ending| ending == "md")).collect();
    let runs = scheduler.enqueue_all(pages.iter().map(|page| deliver::with((page.clone(), flaky)))).await?;
    let readme = PathBuf::from(REPOSITORY).join("README.md");
    let late = scheduler.enqueue(deliver::with((readme, closed))).await?;
    println!("{} pages are enqueued", runs.len() + 1);
    until_quiet(&scheduler).await?;

    let dead = scheduler.all_runs(RunQuery::default().in_state(RunState::Ended)).await?;
    for run in &dead {
        let reason = run.last_error.as_deref().unwrap_or_default();
        println!("run {} is dead after {} attempts: {reason}", run.id, run.attempts);
    }
    println!("the other mailbox opens, and run {late} is replayed");
    tokio::spawn(serve(TcpListener::bind(closed).await?, mailbox.clone(), |_| false));
    for run in dead {
        scheduler.replay(run.id).await?;
    }
    until_quiet(&scheduler).await?;
    let left = scheduler.all_runs(RunQuery::default()).await?;
    let arrived = mailbox.0.lock().expect("nobody panics with the lock").len();
    println!("{} runs: {arrived} pages have arrived, {} runs are left", runs.len() + 1, left.len());
    scheduler.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
