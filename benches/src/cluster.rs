//! The workloads of several processes that share a Redis: W5 throughput, W6 idle cost, W7 failover.
//!
//! One process is the judge: it starts a server of its own, has the store filled, and starts the workers, which speak to it by
//! files in a folder: a worker writes `ready.INDEX`, begins when there is a `go`, writes how many jobs it has run into
//! `count.INDEX`, and when there is a `stop`, their numbers into `runs.INDEX`. A worker of ours is this program again.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::Existing;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{Result, Scheduler};
use scheduler_redis::RedisJobStore;
use serde_json::{Value, json};
use tests::redis::Server;

use crate::measure::{Task, processor_time_of};

/// How many jobs one call stores, where one stores many.
const BULK: usize = 1000;

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(300);

const STORE: &str = "bench";

fn key(name: &str) -> String {
    format!("scheduler:{{{STORE}/0}}:{name}")
}

fn server(task: &Task) -> Server {
    match task.get("aof", "no".to_owned()).as_str() {
        "no" => Server::start(),
        policy => Server::with(&["--save", "", "--appendonly", "yes", "--appendfsync", policy]),
    }
}

fn job(number: usize, recovers: bool) -> Invocation {
    let key = format!("j{number}").parse().expect("a key");
    Invocation::new(JobDetail::builder(key, "work").requests_recovery(recovers).build())
}

fn at(number: usize, time: DateTime<Utc>) -> TriggerBuilder {
    Trigger::at(time).name(&format!("t{number}"))
}

async fn add_all(
    scheduler: &Scheduler,
    numbers: std::ops::Range<usize>,
    due: DateTime<Utc>,
    recover: bool,
) -> Result<()> {
    let all: Vec<_> = numbers.collect();
    for part in all.chunks(BULK) {
        let pairs = part.iter().map(|number| (job(*number, recover), at(*number, due)));
        scheduler.schedule_all(pairs, Existing::Refuse).await?;
    }
    Ok(())
}

fn work_detail() -> JobDetail {
    JobDetail::builder("work".parse().expect("a key"), "work").build()
}

/// A scheduler that only stores.
fn filler(store: &RedisJobStore) -> Scheduler {
    let nothing = JobDefinition::new(work_detail(), || async {});
    Scheduler::builder().store(store.clone()).register(nothing).build().expect("a scheduler")
}

/// Whose nodes take part in W5. All speak the same language of files, so that one judge serves them all.
struct Node {
    /// The program and what comes before `fill N` or `work FOLDER INDEX`.
    words: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl Node {
    fn of(task: &Task, url: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let folder = program.parent().expect("it is in a folder").to_owned();
        let beside = |name: &str| folder.join(name).display().to_string();
        let peers = |name: &str| beside(&format!("../peers/release/{name}"));
        let words = match task.get("peer", String::new()).as_str() {
            "" => vec![program.display().to_string()],
            "apalis" => vec![peers("peer-apalis")],
            "bullmq" => vec!["node".to_owned(), beside("../peers/bullmq/node.mjs")],
            other => panic!("there is no peer {other}"),
        };
        let mut variables = vec![("REDIS_URL", url.to_owned())];
        for (name, setting) in
            [("CONCURRENCY", "concurrency"), ("LEASE", "lease"), ("BATCH", "batch"), ("LEAN", "lean")]
        {
            let value: String = task.get(setting, String::new());
            if !value.is_empty() {
                variables.push((name, value));
            }
        }
        Self { words, variables }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(words);
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// Fills the store and says how fast.
    fn fill(&self, count: usize) -> Value {
        let output = self.command(&["fill", &count.to_string()]).output().expect("it can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().last().and_then(|line| serde_json::from_str(line).ok()).expect("it says how fast it was")
    }
}

/// A process that runs jobs.
struct Worker(Child);

impl Worker {
    fn start(node: &Node, folder: &Path, index: usize) -> Self {
        let folder = folder.display().to_string();
        let child = node.command(&["work", &folder, &index.to_string()]).stdout(Stdio::null()).spawn();
        Self(child.expect("a worker can be started"))
    }

    fn processor_time(&self) -> Duration {
        processor_time_of(&self.0.id().to_string())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn store_of_node() -> Result<RedisJobStore> {
    let url = setting("REDIS_URL", String::new());
    let lease = Duration::from_millis(setting("LEASE", 9000));
    RedisJobStore::builder(&url).name(STORE).lease(lease).connect().await
}

/// Stores so many jobs that are due, some one by one.
pub async fn fill(count: usize) -> Result<Value> {
    let scheduler = filler(&store_of_node().await?);
    let (single, due) = ((count / 2).min(2000), SystemClock.now() - TimeDelta::seconds(1));
    let begin = SystemClock.monotonic();
    for number in 0..single {
        scheduler.schedule(job(number, false), at(number, due)).await?;
    }
    let one = single as f64 / (SystemClock.monotonic() - begin).as_secs_f64();
    let begin = SystemClock.monotonic();
    add_all(&scheduler, single..count, due, false).await?;
    let bulk = (count - single) as f64 / (SystemClock.monotonic() - begin).as_secs_f64();
    Ok(json!({ "one_per_s": one, "bulk_per_s": bulk }))
}

/// A worker's whole life. With `long` each run is noted at once and goes on until the process is killed.
pub async fn work(folder: &Path, index: &str, long: bool) -> Result<()> {
    let runs = Arc::new(Mutex::new(String::new()));
    let of_job = runs.clone();
    let count = Arc::new(AtomicUsize::new(0));
    let of_run = count.clone();
    let begun =
        Arc::new(Mutex::new(std::fs::File::create(folder.join(format!("begun.{index}"))).expect("a file")));
    let run = move |context: JobContext| {
        let name = context.job_key().name();
        if long {
            let line = format!("{} {}\n", name.trim_start_matches('j'), SystemClock.now().timestamp_micros());
            begun.lock().write_all(line.as_bytes()).expect("it can be written");
        } else {
            let mut runs = of_job.lock();
            runs.push_str(name.trim_start_matches('j'));
            runs.push('\n');
        }
        of_run.fetch_add(1, Ordering::Relaxed);
        async move {
            if long {
                SystemClock.sleep(Duration::from_secs(600)).await;
            }
        }
    };
    let scheduler = Scheduler::builder()
        .store(store_of_node().await?)
        .concurrency(setting("CONCURRENCY", 1000))
        .register(JobDefinition::new(work_detail(), run))
        .build()
        .expect("a scheduler");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(format!("{name}.{index}")), text).expect("a file");
    };
    write("ready", "");
    while !folder.join("go").exists() {
        SystemClock.sleep(Duration::from_millis(1)).await;
    }
    scheduler.start().await?;
    let mut last = usize::MAX;
    while !folder.join("stop").exists() {
        let now = count.load(Ordering::Relaxed);
        if now != last {
            write("count", &now.to_string());
            last = now;
        }
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
    write("runs", &runs.lock());
    std::process::exit(0)
}

async fn wait_until(limit: Duration, is_so: impl Fn() -> bool) -> bool {
    let end = SystemClock.monotonic() + limit;
    while !is_so() {
        if SystemClock.monotonic() > end {
            return false;
        }
        SystemClock.sleep(Duration::from_millis(2)).await;
    }
    true
}

/// Calls and commands since the statistics were reset.
fn commands(server: &Server) -> (f64, f64) {
    let stats = server.text(&["INFO", "commandstats"]);
    let count = |line: &str| {
        let (_, rest) = line.split_once("calls=")?;
        rest.split(',').next()?.parse::<f64>().ok()
    };
    let all = stats.lines().filter(|line| line.starts_with("cmdstat_"));
    let all = all.filter(|line| !["config", "info", "hlen", "ping"].iter().any(|name| line.contains(name)));
    let calls = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).and_then(count);
    (calls.unwrap_or_default(), all.filter_map(count).sum())
}

/// Runs what is due, with so many processes. Ours are only done when the store has nothing left, so all is acknowledged.
pub async fn w5(task: &Task) -> Result<Value> {
    let (count, processes) = (task.get("n", 20_000), task.get("p", 1));
    let (server, folder) = (server(task), tempfile::tempdir().expect("a folder"));
    let (node, folder) = (Node::of(task, &server.url()), folder.path());
    let is_ours = task.get("peer", String::new()).is_empty();
    let filled = node.fill(count);
    let memory = server.text(&["INFO", "memory"]);
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
    let used: f64 = used.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    let workers: Vec<_> = (0..processes).map(|index| Worker::start(&node, folder, index)).collect();
    let all_have = |name: &str| (0..processes).all(|index| folder.join(format!("{name}.{index}")).exists());
    assert!(wait_until(LIMIT, || all_have("ready")).await, "the workers get ready");
    let pid = server.pid().to_owned();
    let processor = || {
        let of_workers: Duration = workers.iter().map(Worker::processor_time).sum();
        (of_workers.as_secs_f64(), processor_time_of(&pid).as_secs_f64())
    };
    let before = processor();
    server.command(&["CONFIG", "RESETSTAT"]);
    let begin = SystemClock.monotonic();
    std::fs::write(folder.join("go"), "").expect("a file");
    let read =
        |index: usize| std::fs::read_to_string(folder.join(format!("count.{index}"))).unwrap_or_default();
    let done = || (0..processes).map(|index| read(index).parse::<usize>().unwrap_or_default()).sum::<usize>();
    let limit = Duration::from_secs(task.get("limit", 120));
    let complete = wait_until(limit, || done() >= count).await;
    if is_ours {
        wait_until(limit, || server.text(&["HLEN", &key("ts")]) == "0").await;
    }
    let took = (SystemClock.monotonic() - begin).as_secs_f64();
    let after = processor();
    let (calls, inner) = commands(&server);
    SystemClock.sleep(Duration::from_millis(task.get("after", 1000))).await;
    std::fs::write(folder.join("stop"), "").expect("a file");
    wait_until(Duration::from_secs(20), || all_have("runs")).await;
    SystemClock.sleep(Duration::from_millis(50)).await;
    let (mut runs, mut shares) = (vec![0_u32; count], Vec::new());
    for index in 0..processes {
        let text = std::fs::read_to_string(folder.join(format!("runs.{index}"))).unwrap_or_default();
        let numbers: Vec<usize> = text.lines().filter_map(|line| line.parse().ok()).collect();
        shares.push(numbers.len());
        numbers.into_iter().filter(|number| *number < count).for_each(|number| runs[number] += 1);
    }
    drop(workers);
    let each = count as f64;
    Ok(json!({
        "per_s": if complete { each / took } else { 0.0 }, "seconds": took,
        "lost": runs.iter().filter(|runs| **runs == 0).count(),
        "twice": runs.iter().filter(|runs| **runs > 1).count(), "shares": shares,
        "one_per_s": filled["one_per_s"], "bulk_per_s": filled["bulk_per_s"], "stored_bytes": used / each,
        "calls_per_job": calls / each, "commands_per_job": inner / each,
        "worker_us": (after.0 - before.0) * 1e6 / each, "server_us": (after.1 - before.1) * 1e6 / each,
    }))
}

/// A node with nothing to do.
pub async fn w6(task: &Task) -> Result<Value> {
    let (far, seconds) = (task.get("far", 0), task.get("seconds", 30));
    let (server, folder) = (server(task), tempfile::tempdir().expect("a folder"));
    let (node, folder) = (Node::of(task, &server.url()), folder.path());
    let store = RedisJobStore::builder(&server.url()).name(STORE).connect().await?;
    add_all(&filler(&store), 0..far, SystemClock.now() + TimeDelta::hours(1), false).await?;
    let worker = Worker::start(&node, folder, 0);
    assert!(wait_until(LIMIT, || folder.join("ready.0").exists()).await, "the worker gets ready");
    std::fs::write(folder.join("go"), "").expect("a file");
    SystemClock.sleep(Duration::from_secs(6)).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    let before = (worker.processor_time(), processor_time_of(server.pid()));
    SystemClock.sleep(Duration::from_secs(seconds)).await;
    let (calls, inner) = commands(&server);
    let spent = |now: Duration, before: Duration| (now - before).as_secs_f64() * 1000.0 / seconds as f64;
    Ok(json!({
        "calls_per_s": calls / seconds as f64, "commands_per_s": inner / seconds as f64,
        "worker_ms_per_s": spent(worker.processor_time(), before.0),
        "server_ms_per_s": spent(processor_time_of(server.pid()), before.1),
    }))
}

/// A node that is killed while it runs twenty jobs.
pub async fn w7(task: &Task) -> Result<Value> {
    const JOBS: usize = 20;
    let (server, folder) = (server(task), tempfile::tempdir().expect("a folder"));
    let (node, folder) = (Node::of(task, &server.url()), folder.path());
    let store = RedisJobStore::builder(&server.url()).name(STORE).connect().await?;
    add_all(&filler(&store), 0..JOBS, SystemClock.now(), true).await?;
    let start = |index: usize| {
        let folder = folder.display().to_string();
        let command = node.command(&["work-long", &folder, &index.to_string()]).stdout(Stdio::null()).spawn();
        Worker(command.expect("a worker can be started"))
    };
    let mut workers = [start(0), start(1)];
    assert!(wait_until(LIMIT, || (0..2).all(|index| folder.join(format!("ready.{index}")).exists())).await);
    std::fs::write(folder.join("go"), "").expect("a file");
    let begun = |index: usize| -> Vec<(usize, i64)> {
        let text = std::fs::read_to_string(folder.join(format!("begun.{index}"))).unwrap_or_default();
        let pair = |line: &str| {
            let (number, at) = line.split_once(' ')?;
            Some((number.parse().ok()?, at.parse().ok()?))
        };
        text.lines().filter_map(pair).collect()
    };
    wait_until(LIMIT, || begun(0).len() + begun(1).len() >= JOBS).await;
    let before = [begun(0), begun(1)];
    let victim = usize::from(before[1].len() > before[0].len());
    let (other, killed) = (1 - victim, SystemClock.now().timestamp_micros());
    workers[victim].0.kill().ok();
    let expected = before[other].len() + before[victim].len();
    wait_until(LIMIT, || begun(other).len() >= expected).await;
    SystemClock.sleep(Duration::from_millis(task.get("after", 1000))).await;
    let again: Vec<_> = begun(other).into_iter().skip(before[other].len()).collect();
    let lost: Vec<_> = before[victim].iter().map(|(number, _)| *number).collect();
    let spurious = again.iter().filter(|(number, _)| !lost.contains(number)).count();
    let after = |place: usize| again.get(place).map(|(_, at)| (*at - killed) as f64 / 1e6);
    Ok(json!({
        "killed_with": lost.len(), "again": again.len(), "spurious": spurious,
        "first_s": after(0), "median_s": after(again.len() / 2), "last_s": after(again.len().saturating_sub(1)),
    }))
}
