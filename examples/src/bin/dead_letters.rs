//! Runs that have given up: found by their errors, mended, replayed at a rate, deleted.
//!
//! ```text
//! cargo run --bin dead_letters
//! cargo run --bin dead_letters -- --store redis://localhost:6379
//! ```
//!
//! 320 letters go over TCP to the mail servers of twenty cities. The server in Lyon is down, the one in Pécs has moved, and the one in Bari
//! is gone for good. What you see: dead runs grouped by their errors; letters to Pécs that get another address; letters to Lyon that are
//! replayed twenty a second once the server is back; letters to Bari that are deleted; the account of all letters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use examples::{StoreOption, println};
use scheduler_core::job::JobError;
use scheduler_core::prelude::*;
use scheduler_core::run::RunState;
use scheduler_core::store::{RunChange, RunEdit, RunQuery};
use scheduler_core::time::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LETTERS: &str = include_str!("../../quickstart/data/outbox.jsonl");

/// Dead letters, and what becomes of them
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    store: StoreOption,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Letter {
    id: String,
    to: String,
    subject: String,
    body: String,
}

impl Letter {
    fn city(&self) -> &str {
        self.to.split_once('@').map_or("", |(_, host)| host.trim_end_matches(".example"))
    }
}

/// Where the mail servers are, and which letters they have taken.
#[derive(Clone, Default)]
struct Post {
    servers: Arc<Mutex<BTreeMap<String, SocketAddr>>>,
    delivered: Arc<Mutex<BTreeSet<String>>>,
}

impl Post {
    fn put(&self, city: &str, address: SocketAddr) {
        self.servers.lock().expect("nobody panics with the lock").insert(city.to_owned(), address);
    }

    fn address(&self, city: &str) -> Option<SocketAddr> {
        self.servers.lock().expect("nobody panics with the lock").get(city).copied()
    }

    fn delivered(&self) -> usize {
        self.delivered.lock().expect("nobody panics with the lock").len()
    }
}

/// Hands one letter to the mail server of its city.
#[job(timeout = "5s", retry(max = 1, backoff = "fixed(50ms)"))]
async fn deliver(letter: Letter, State(post): State<Post>) -> JobResult {
    let server = post.address(letter.city()).ok_or_else(|| JobError::fatal("no such city"))?;
    let connected = TcpStream::connect(server).await;
    let mut server = connected.map_err(|error| JobError::new(format!("{}: {error}", letter.city())))?;
    server.write_all(format!("{}\n{}", letter.id, letter.body).as_bytes()).await?;
    server.shutdown().await?;
    let mut answer = String::new();
    server.read_to_string(&mut answer).await?;
    // No retry helps against the other answers.
    if answer == "250 taken" { Ok(()) } else { Err(JobError::fatal(answer)) }
}

/// A mail server that takes all letters, or answers each with this.
async fn serve(
    listener: TcpListener,
    delivered: Arc<Mutex<BTreeSet<String>>>,
    refusal: Option<&'static str>,
) {
    loop {
        let Ok((mut letter, _)) = listener.accept().await else { return };
        let delivered = delivered.clone();
        tokio::spawn(async move {
            let mut text = String::new();
            letter.read_to_string(&mut text).await?;
            let id = text.lines().next().unwrap_or_default().to_owned();
            if refusal.is_none() {
                delivered.lock().expect("nobody panics with the lock").insert(id);
            }
            letter.write_all(refusal.unwrap_or("250 taken").as_bytes()).await
        });
    }
}

async fn open(post: &Post, city: &str, refusal: Option<&'static str>) -> std::io::Result<()> {
    let at = post.address(city).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = TcpListener::bind(at).await?;
    post.put(city, listener.local_addr()?);
    tokio::spawn(serve(listener, post.delivered.clone(), refusal));
    Ok(())
}

/// Waits until no run waits for an attempt or has one under way.
async fn until_quiet(scheduler: &Scheduler) -> scheduler_core::Result<()> {
    while scheduler.all_runs(RunQuery::default()).await?.iter().any(|run| run.state != RunState::Ended) {
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter("off").init();
    let store = Args::parse().store.open("dead-letters").await?;
    let letters: Vec<Letter> = LETTERS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let post = Post::default();
    for city in letters.iter().map(Letter::city).collect::<BTreeSet<_>>() {
        match city {
            // A port that nobody listens at.
            "lyon" | "bari" => post.put(city, TcpListener::bind("127.0.0.1:0").await?.local_addr()?),
            "pecs" => open(&post, city, Some("551 we have moved to new.pecs")).await?,
            _ => open(&post, city, None).await?,
        }
    }
    let scheduler =
        Scheduler::builder().store(store).provide(post.clone()).register(deliver::definition()).build()?;
    scheduler.start().await?;
    scheduler.enqueue_all(letters.iter().cloned().map(deliver::with)).await?;
    until_quiet(&scheduler).await?;

    println!("{} of {} letters are delivered; dead are", post.delivered(), letters.len());
    for group in scheduler.dead_groups(RunQuery::dead()).await? {
        println!("  {:>3}  {}", group.count, group.error);
    }

    open(&post, "new.pecs", None).await?;
    for run in scheduler.all_runs(RunQuery::dead().with_error("551 we have moved")).await? {
        let letter: Letter = run.data.to_args()?;
        let to = letter.to.replace("@pecs.", "@new.pecs.");
        let mended = deliver::with(Letter { to, ..letter });
        scheduler.change_run(run.id, RunChange::edit(RunEdit::new().data(mended.data()?.clone()))).await?;
        scheduler.replay(run.id).await?;
    }
    until_quiet(&scheduler).await?;
    println!("letters to Pécs have another address: {} are delivered", post.delivered());

    open(&post, "lyon", None).await?;
    let slowly = RunChange::replay_every(Duration::from_millis(50));
    let replayed = scheduler.change_runs(RunQuery::dead().with_error("lyon: "), slowly).await?;
    println!("Lyon is back: {} letters are replayed, twenty a second", replayed.changed);
    until_quiet(&scheduler).await?;
    println!("{} are delivered", post.delivered());

    let deleted = scheduler.change_runs(RunQuery::dead(), RunChange::Delete).await?.changed;
    let left = scheduler.all_runs(RunQuery::default()).await?.len();
    println!("nobody is left in Bari: {deleted} letters are deleted");
    let (enqueued, delivered) = (letters.len(), post.delivered());
    println!("account: {enqueued} enqueued = {delivered} delivered + {deleted} deleted + {left} left");
    scheduler.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
