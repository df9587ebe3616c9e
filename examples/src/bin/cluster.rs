//! A cluster on one machine: three nodes share a Redis, one of them is killed, and the others take over its work.
//!
//! ```text
//! cargo run --bin cluster                                                   # with a redis-server of its own
//! cargo run --bin cluster -- --redis redis://localhost:6379 --seconds 60
//! ```
//!
//! Each node is a process. Three jobs: `tick` on whichever node; `ledger`, which numbers the lines of a file and allows one
//! run at a time in the whole cluster; `report`, which takes two seconds and is repeated if its node dies. What you see: who
//! runs what, a node killed in the middle of a report, how long it took until the others had taken over, and at the end an
//! account against the schedules. `k` and Enter kills a node, so does its number; Ctrl-C ends everything.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Parser, Subcommand};
use examples::println;
use scheduler_core::host::Host;
use scheduler_core::job::Outcome;
use scheduler_core::prelude::*;
use scheduler_core::scheduler::{Middleware, Next};
use scheduler_core::store::{Executions, Selection, TriggerQuery};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{DEFAULT_GROUP, Text};
use scheduler_redis::{RedisJobStore, RedisStoreBuilder};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const NODES: usize = 3;
const JOBS: [&str; 3] = ["tick", "ledger", "report"];

/// So many lines below the table, and one to type into.
const LOG: usize = 6;
const HINT: &str = "k + Enter kills a node, 1 to 3 that one, Ctrl-C ends ";

/// Shorter than the default of 9 s, since somebody is watching.
const LEASE: Duration = Duration::from_secs(3);

/// A killed node comes back after this long.
const AWAY: Duration = Duration::from_secs(6);

/// Runs a server until a line comes, or its own input ends with this process; then the nodes have a moment to end first.
const GUARD: &str = r#"redis-server "$@" >/dev/null & read _ || sleep 4; kill $! 2>&-; wait"#;

/// A cluster on one machine, one node of which is killed
#[derive(Parser)]
#[command(disable_help_subcommand = true, override_usage = "cluster [OPTIONS]")]
struct Args {
    /// The server to use; without it one is started
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// For how long the jobs fire
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..))]
    seconds: u32,
    /// Kill nodes by hand only
    #[arg(long)]
    no_kill: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Node { url: String, name: String, book: PathBuf },
}

fn store(url: &str) -> RedisStoreBuilder {
    RedisJobStore::builder(url).name("cluster-example").lease(LEASE).start_within(Duration::from_secs(5))
}

#[job(every = "500ms")]
async fn tick() {}

/// Two runs at once would give a number twice.
#[job(every = "1s", disallow_concurrent)]
async fn ledger(State(book): State<PathBuf>, context: JobContext) -> JobResult {
    let lines = std::fs::read_to_string(&book)?.lines().count();
    context.clock().sleep(Duration::from_millis(300)).await;
    let mut book = std::fs::OpenOptions::new().append(true).open(&book)?;
    Ok(book.write_all(format!("{}\n", lines + 1).as_bytes())?)
}

#[job(every = "1500ms", requests_recovery)]
async fn report(context: JobContext) {
    context.clock().sleep(Duration::from_secs(2)).await;
}

/// What a node says of its runs, a line each; other lines are its log.
#[derive(Serialize, Deserialize)]
struct Said {
    firing: Firing,
    begins: bool,
    again: bool,
}

impl Said {
    fn say(&self) {
        // If nobody listens any more, this node is about to end.
        writeln!(stdout(), "{}", serde_json::to_string(self).unwrap_or_default()).ok();
    }
}

/// A job, and when it was due.
type Firing = (String, DateTime<Utc>);

struct Reporter;

impl Middleware for Reporter {
    async fn handle(&self, context: JobContext, next: Next) -> Outcome {
        let (job, lost) = (context.job_key().name().to_owned(), context.recovering());
        let due = lost.map_or(context.scheduled_fire_time(), |lost| lost.scheduled);
        let said = Said { firing: (job, due), begins: true, again: lost.is_some() };
        said.say();
        let outcome = next.run(context).await;
        Said { begins: false, ..said }.say();
        outcome
    }
}

async fn node(url: &str, name: &str, book: PathBuf) -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt().with_env_filter("warn").without_time();
    log.with_target(false).with_ansi(false).log_internal_errors(false).init();
    let store = store(url).connect().await?;
    let scheduler = Scheduler::builder().store(store).node_name(name).discover_jobs().middleware(Reporter);
    let host = Host::builder().provide(book).scheduler(scheduler).stop_budget(Duration::from_secs(5));
    let host = host.build()?;
    let handle = host.handle();
    std::thread::spawn(move || {
        // The input ends with the parent, or when the parent waits for this node to end.
        stdin().read_to_end(&mut Vec::new()).ok();
        handle.stop();
    });
    host.run().await?;
    Ok(())
}

/// A node, as the parent sees it.
#[derive(Default)]
struct Node {
    name: String,
    child: Option<Child>,
    /// Its life in the store.
    session: Option<u64>,
    /// A life that was ended by force and that nobody has taken over yet, and when that was.
    lost: Option<(u64, Duration)>,
    back_at: Duration,
    runs: BTreeMap<String, usize>,
    running: Vec<Firing>,
}

impl Node {
    fn line(&self) -> String {
        let state = match (&self.child, self.session, self.lost) {
            (Some(_), Some(_), _) => "up",
            (Some(_), None, _) => "starting",
            (None, _, Some(_)) => "killed",
            (None, ..) => "taken over",
        };
        let pid = self.child.as_ref().and_then(Child::id).map(|pid| pid.to_string()).unwrap_or_default();
        let [tick, ledger, report] = JOBS.map(|job| self.runs.get(job).unwrap_or(&0));
        let (name, running) = (&self.name, self.jobs());
        format!("{name:<8}{pid:<9}{state:<11}{tick:>6}{ledger:>8}{report:>8}   {running}")
    }

    fn jobs(&self) -> String {
        self.running.iter().map(|(job, _)| job.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn reports(&self) -> bool {
        self.session.is_some() && self.running.iter().any(|(job, _)| job == "report")
    }
}

/// What became of a firing.
#[derive(Default)]
struct Runs {
    begun: usize,
    repeated: usize,
    ended: usize,
}

struct Cluster {
    url: String,
    book: NamedTempFile,
    /// Looks at the store from outside: it is never started.
    observer: Scheduler,
    nodes: Vec<Node>,
    begin: Duration,
    end: Duration,
    kill_at: Duration,
    paused: bool,
    firings: BTreeMap<Firing, Runs>,
    log: VecDeque<String>,
    said: UnboundedSender<(usize, String)>,
}

impl Cluster {
    async fn new(args: &Args, url: String, said: UnboundedSender<(usize, String)>) -> anyhow::Result<Self> {
        let observer = Scheduler::builder().store(store(&url).connect().await?).build()?;
        let alone = observer.nodes().await?.iter().all(|node| node.silent > LEASE);
        ensure!(alone, "this example runs on that server already; let it end first");
        observer.clear().await?;
        let (book, firings, log) = (NamedTempFile::new()?, BTreeMap::new(), vec![String::new(); LOG].into());
        let node = |number| Node { name: format!("node-{number}"), ..Node::default() };
        let nodes = (1..=NODES).map(node).collect();
        let (begin, lasts) = (SystemClock.monotonic(), Duration::from_secs(args.seconds.into()));
        let (end, paused) = (begin + lasts, false);
        let kill_at = if args.no_kill { Duration::MAX } else { begin + lasts * 3 / 10 };
        Ok(Self { url, book, observer, nodes, begin, end, kill_at, paused, firings, log, said })
    }

    fn start(&mut self, index: usize) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["node", &self.url, &self.nodes[index].name]).arg(self.book.path());
        let mut child = spawn(command.stdout(Stdio::piped()).kill_on_drop(true))?;
        let (out, said) = (child.stdout.take().context("it is piped")?, self.said.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(out).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                said.send((index, line)).ok();
            }
        });
        self.nodes[index].child = Some(child);
        Ok(())
    }

    fn hear(&mut self, index: usize, line: &str) {
        let node = &mut self.nodes[index];
        let Ok(Said { firing, begins, again }) = serde_json::from_str(line) else {
            let text = format!("{}: {}", node.name, line.trim());
            return self.note(&text);
        };
        let runs = self.firings.entry(firing.clone()).or_default();
        if !begins {
            runs.ended += 1;
            return node.running.retain(|running| *running != firing);
        }
        *(if again { &mut runs.repeated } else { &mut runs.begun }) += 1;
        *node.runs.entry(firing.0.clone()).or_default() += 1;
        let text = format!("{} runs {}{}", node.name, firing.0, if again { " that was lost" } else { "" });
        if node.child.is_some() {
            node.running.push(firing);
        }
        if again || !stdout().is_terminal() {
            self.note(&text);
        }
    }

    /// Kills a node as `kill -9` does.
    async fn kill(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let (Some(child), Some(session)) = (&mut node.child, node.session) else {
            let text = format!("{} is not up", node.name);
            return self.note(&text);
        };
        child.kill().await.ok();
        let text = format!("{} is killed while it runs: {}", node.name, node.jobs());
        let now = SystemClock.monotonic();
        (node.child, node.session, node.lost, node.back_at) = (None, None, Some((session, now)), now + AWAY);
        node.running.clear();
        self.note(&text);
    }

    async fn typed(&mut self, line: &str) {
        if stdin().is_terminal() && stdout().is_terminal() {
            // Over what was typed.
            print!("\x1b[A\r\x1b[K{HINT}");
        }
        match line.trim().parse() {
            Ok(number @ 1..=NODES) => self.kill(number - 1).await,
            _ if line.trim() == "k" => self.kill_at = SystemClock.monotonic(),
            _ => {}
        }
    }

    /// What is to be done from time to time. Says whether everything is over.
    async fn turn(&mut self) -> anyhow::Result<bool> {
        let now = SystemClock.monotonic();
        // The nodes say by themselves when the server is away.
        let done = self.look().await.unwrap_or(false);
        self.draw();
        if now >= self.end {
            if !std::mem::replace(&mut self.paused, true) {
                // What repeats a lost run is in a group of its own, and goes on.
                self.observer.pause(Selection::TriggerGroup(Text::is(DEFAULT_GROUP))).await?;
                return Ok(false);
            }
            return Ok(done || now > self.end + LEASE * 4);
        }
        for index in 0..NODES {
            let node = &mut self.nodes[index];
            match node.child.as_mut().map(Child::try_wait) {
                // By somebody else.
                Some(Ok(Some(_))) if node.session.is_some() => self.kill(index).await,
                Some(Ok(Some(status))) => bail!("{} did not come up: {status}", node.name),
                None if now >= node.back_at => self.start(index)?,
                _ if now >= self.kill_at && node.reports() => {
                    self.kill_at = Duration::MAX;
                    self.kill(index).await;
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Asks the store who is up and whether the dead are taken over. Says whether nothing is left to do.
    async fn look(&mut self) -> scheduler_core::Result<bool> {
        let (known, runs) = (self.observer.nodes().await?, self.observer.executions(Executions::All).await?);
        // Whatever is to be repeated has a trigger of its own.
        let triggers = self.observer.all_triggers(TriggerQuery::default()).await?.len();
        let mut over = Vec::new();
        for node in &mut self.nodes {
            let has = |id| runs.iter().any(|run| run.id.session() == id);
            let left = |id| known.iter().any(|known| known.session == id) || has(id);
            if let Some((_, at)) = node.lost.take_if(|(session, _)| !left(*session)) {
                let took = (SystemClock.monotonic() - at).as_secs_f64();
                over.push(format!("{} is taken over, {took:.1} s after its end", node.name));
            }
            let lost = node.lost.map(|(session, _)| session);
            let own = known.iter().filter(|known| *known.name == *node.name && Some(known.session) != lost);
            node.session = own.map(|known| known.session).next().filter(|_| node.child.is_some());
        }
        over.iter().for_each(|text| self.note(text));
        let all = self.nodes.iter().all(|node| node.lost.is_none());
        Ok(all && runs.is_empty() && triggers == JOBS.len())
    }

    /// Something that has happened: below the table, or a line of its own where the output is no terminal.
    fn note(&mut self, text: &str) {
        let text = format!("{:>5.1} s  {text}", (SystemClock.monotonic() - self.begin).as_secs_f64());
        if !stdout().is_terminal() && writeln!(stdout(), "{text}").is_err() {
            // Nobody reads any more.
            self.end = self.begin;
        }
        self.log.push_back(text);
        self.log.pop_front();
    }

    fn draw(&self) {
        if !stdout().is_terminal() {
            return;
        }
        let head = "NODE    PID      STATE        TICK  LEDGER  REPORT   RUNNING NOW".to_owned();
        let lines = self.nodes.iter().map(Node::line).chain(self.log.iter().cloned());
        let body: String = [head].into_iter().chain(lines).map(|line| format!("{line}\x1b[K\n")).collect();
        // Long lines are cut, and the cursor comes back to where somebody may be typing.
        let up = 1 + NODES + LOG;
        write!(stdout(), "\x1b7\x1b[?7l\x1b[{up}A\r{body}\x1b[?7h\x1b8").and_then(|()| stdout().flush()).ok();
    }

    /// What the schedules ask for, and what came of it.
    async fn account(&self) -> anyhow::Result<String> {
        let mut text = "\n        expected   fired  doubled  lost  waiting  repeated  cut off\n".to_owned();
        let last = self.firings.keys().map(|(_, due)| *due).max().unwrap_or_default();
        let declared = TriggerQuery { group: Text::is(DEFAULT_GROUP), ..TriggerQuery::default() };
        for status in self.observer.all_triggers(declared).await? {
            let (trigger, name) = (&status.trigger, status.trigger.job().name());
            let next = status.progress.next.unwrap_or(last);
            let first = trigger.fire_time_after(trigger.start() - TimeDelta::milliseconds(1));
            let due = std::iter::successors(first, |due| trigger.fire_time_after(*due));
            let due = due.take_while(|due| *due < next.max(last)).map(|due| (name.to_owned(), due));
            let (fired, open): (Vec<_>, Vec<_>) = due.partition(|firing| self.firings.contains_key(firing));
            let (expected, fired) = (fired.len() + open.len(), fired.len());
            let lost = open.iter().filter(|firing| firing.1 < next).count();
            let waiting = open.len() - lost;
            let runs = || self.firings.iter().filter(|(firing, _)| firing.0 == name).map(|(_, runs)| runs);
            let doubled: usize = runs().map(|runs| runs.begun.saturating_sub(1)).sum();
            let repeated: usize = runs().map(|runs| runs.repeated).sum();
            let cut = runs().filter(|runs| runs.ended == 0).count();
            let waits = format!("{waiting:>9}{repeated:>10}{cut:>9}");
            writeln!(text, "{name:<8}{expected:>8}{fired:>8}{doubled:>9}{lost:>6}{waits}")?;
        }
        let book = std::fs::read_to_string(self.book.path())?;
        let in_order = book.lines().enumerate().all(|(before, line)| line == (before + 1).to_string());
        let how = if in_order { "are numbered without a gap" } else { "ARE OUT OF ORDER" };
        writeln!(text, "the {} lines of the ledger {how}", book.lines().count())?;
        Ok(text)
    }
}

/// Starts a process that Ctrl-C is not meant for, and whose input ends with this one.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    #[cfg(unix)]
    command.process_group(0);
    command.stdin(Stdio::piped()).spawn()
}

fn own_redis() -> anyhow::Result<(Child, String)> {
    std::process::Command::new("redis-server").arg("--version").output().context(
        "`redis-server` cannot be started; install it (apt install redis-server, brew install redis), or name a server \
         with `--redis redis://host:port`",
    )?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "sh", "--bind", "127.0.0.1", "--save", "", "--port", &port]);
    Ok((spawn(&mut command)?, format!("redis://127.0.0.1:{port}")))
}

async fn watch(args: &Args) -> anyhow::Result<()> {
    let (redis, url) = match &args.redis {
        Some(url) => (None, url.clone()),
        None => own_redis().map(|(server, url)| (Some(server), url))?,
    };
    println!("the nodes share {}", if redis.is_some() { &url } else { "the server that is named" });
    let ((said, mut heard), (typing, mut typed)) = (unbounded_channel(), unbounded_channel());
    let (interrupt, mut interrupts) = unbounded_channel();
    let mut cluster = Cluster::new(args, url, said).await?;
    std::thread::spawn(move || stdin().lines().map_while(Result::ok).try_for_each(|line| typing.send(line)));
    tokio::spawn(async move { while tokio::signal::ctrl_c().await.is_ok() && interrupt.send(()).is_ok() {} });
    if stdout().is_terminal() {
        print!("{}{HINT}", "\n".repeat(1 + NODES + LOG));
    }
    let mut often = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            Some((index, line)) = heard.recv() => cluster.hear(index, &line),
            Some(line) = typed.recv() => cluster.typed(&line).await,
            Some(()) = interrupts.recv() => {
                ensure!(SystemClock.monotonic() < cluster.end, "interrupted before the end");
                cluster.end = cluster.end.min(SystemClock.monotonic());
            }
            _ = often.tick() => if cluster.turn().await? { break },
        }
    }
    if stdout().is_terminal() {
        print!("\r\x1b[K");
    }
    for mut child in cluster.nodes.iter_mut().filter_map(|node| node.child.take()) {
        // Its input ends with this.
        child.wait().await?;
    }
    while let Ok((index, line)) = heard.try_recv() {
        cluster.hear(index, &line);
    }
    write!(stdout(), "{}", cluster.account().await?).ok();
    cluster.observer.clear().await?;
    if let Some(mut redis) = redis {
        redis.stdin.take().context("it is piped")?.write_all(b"\n").await?;
        redis.wait().await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.part {
        Some(Part::Node { url, name, book }) => node(url, name, book.clone()).await,
        None => watch(&args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
