//! The workloads of several processes that share a Redis: W5 throughput, W6 idle cost, W7 failover.
//!
//! One process is the judge: it starts a server of its own, fills the store, starts the workers, and reads from the server
//! when all is over, so that only what is acknowledged counts. A worker is this program again, with the workload `worker`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
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

async fn store(task: &Task, url: &str) -> Result<RedisJobStore> {
    let lease = Duration::from_millis(task.get("lease", 9000));
    RedisJobStore::builder(url).name(STORE).lease(lease).connect().await
}

fn job(number: usize, recovers: bool) -> Invocation {
    let key = format!("job-{number}").parse().expect("a key");
    Invocation::new(JobDetail::builder(key, "work").requests_recovery(recovers).build())
}

fn at(number: usize, time: DateTime<Utc>) -> TriggerBuilder {
    Trigger::at(time).name(&format!("trigger-{number}"))
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

fn work() -> JobDetail {
    JobDetail::builder("work".parse().expect("a key"), "work").build()
}

/// A scheduler that only stores.
fn filler(store: &RedisJobStore) -> Scheduler {
    let nothing = JobDefinition::new(work(), || async {});
    Scheduler::builder().store(store.clone()).register(nothing).build().expect("a scheduler")
}

/// A process that runs jobs. It is told what to do by lines.
struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn start(task: &Task, url: &str, long: bool) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg("worker").arg(format!("url={url}")).arg(format!("long={}", u8::from(long)));
        command.arg(format!("lease={}", task.get("lease", 9000)));
        command.arg(format!("concurrency={}", task.get("concurrency", 1000)));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a worker can be started");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut worker = Self { child, input, output };
        assert_eq!(worker.line(), "ready", "a worker must get ready");
        worker
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a worker says something");
        line.trim().to_owned()
    }

    fn say(&mut self, what: &str) {
        writeln!(self.input, "{what}").expect("a worker listens");
    }

    fn processor_time(&self) -> Duration {
        processor_time_of(&self.child.id().to_string())
    }

    /// What it has run, as pairs of a number and the microsecond.
    fn stop(mut self) -> Vec<(usize, i64)> {
        self.say("stop");
        let mut runs = Vec::new();
        loop {
            let line = self.line();
            if line == "end" || line.is_empty() {
                break;
            }
            if let Some((number, at)) = line.split_once(' ') {
                runs.push((number.parse().unwrap_or_default(), at.parse().unwrap_or_default()));
            }
        }
        self.child.wait().ok();
        runs
    }
}

/// A worker's whole life.
pub async fn worker(task: &Task) -> Result<()> {
    let url: String = task.get("url", String::new());
    let store = store(task, &url).await?;
    let runs = Arc::new(Mutex::new(Vec::<(usize, i64)>::with_capacity(1 << 20)));
    let (long, of_job) = (task.get("long", 0) == 1, runs.clone());
    let run = move |context: JobContext| {
        let number = context.job_key().name().strip_prefix("job-").and_then(|text| text.parse().ok());
        let number: usize = number.unwrap_or(usize::MAX);
        let now = SystemClock.now().timestamp_micros();
        of_job.lock().push((number, now));
        async move {
            if long {
                // At once, since this process will be killed.
                println!("{number} {now}");
                SystemClock.sleep(Duration::from_secs(600)).await;
            }
        }
    };
    let scheduler = Scheduler::builder()
        .store(store)
        .concurrency(task.get("concurrency", 1000))
        .register(JobDefinition::new(work(), run))
        .build()
        .expect("a scheduler");
    println!("ready");
    let next_line = || std::io::stdin().read_line(&mut String::new()).ok();
    next_line();
    scheduler.start().await?;
    tokio::task::spawn_blocking(next_line).await.ok();
    for (number, at) in &*runs.lock() {
        println!("{number} {at}");
    }
    println!("end");
    std::process::exit(0)
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

/// Runs what is due, with so many processes.
pub async fn w5(task: &Task) -> Result<Value> {
    let (count, processes) = (task.get("n", 20_000), task.get("p", 1));
    let single = task.get("single", 2000).min(count);
    let server = server(task);
    let store = store(task, &server.url()).await?;
    let scheduler = filler(&store);
    let due = SystemClock.now() - TimeDelta::seconds(1);
    let begin = SystemClock.monotonic();
    for number in 0..single {
        scheduler.schedule(job(number, false), at(number, due)).await?;
    }
    let one = single as f64 / (SystemClock.monotonic() - begin).as_secs_f64();
    let begin = SystemClock.monotonic();
    add_all(&scheduler, single..count, due, false).await?;
    let bulk = (count - single) as f64 / (SystemClock.monotonic() - begin).as_secs_f64();
    let memory = server.text(&["INFO", "memory"]);
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
    let used: f64 = used.and_then(|text| text.trim().parse().ok()).unwrap_or_default();

    let mut workers: Vec<_> = (0..processes).map(|_| Worker::start(task, &server.url(), false)).collect();
    let pid = server.pid().to_owned();
    let processor = |workers: &[Worker]| {
        let of_workers: Duration = workers.iter().map(Worker::processor_time).sum();
        (of_workers.as_secs_f64(), processor_time_of(&pid).as_secs_f64())
    };
    let before = processor(&workers);
    server.command(&["CONFIG", "RESETSTAT"]);
    let begin = SystemClock.monotonic();
    workers.iter_mut().for_each(|worker| worker.say("go"));
    // Over when all is gone from the store: what is run and not acknowledged is still there.
    while server.text(&["HLEN", &key("ts")]) != "0" {
        assert!(SystemClock.monotonic() - begin < LIMIT, "not all has run");
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
    let took = (SystemClock.monotonic() - begin).as_secs_f64();
    let after = processor(&workers);
    let (calls, inner) = commands(&server);
    if task.get("stats", 0) == 1 {
        eprintln!("{}", server.text(&["INFO", "commandstats"]));
    }
    SystemClock.sleep(Duration::from_millis(task.get("after", 1000))).await;
    let mut runs = vec![0_u32; count];
    let mut shares = Vec::new();
    for worker in workers {
        let done = worker.stop();
        shares.push(done.len());
        for (number, _) in done {
            runs[number] += 1;
        }
    }
    let each = count as f64;
    Ok(json!({
        "per_s": each / took, "seconds": took, "lost": runs.iter().filter(|runs| **runs == 0).count(),
        "twice": runs.iter().filter(|runs| **runs > 1).count(), "shares": shares,
        "one_per_s": one, "bulk_per_s": bulk, "stored_bytes": used / each,
        "calls_per_job": calls / each, "commands_per_job": inner / each,
        "worker_us": (after.0 - before.0) * 1e6 / each, "server_us": (after.1 - before.1) * 1e6 / each,
    }))
}

/// A node with nothing to do.
pub async fn w6(task: &Task) -> Result<Value> {
    let (far, seconds) = (task.get("far", 0), task.get("seconds", 30));
    let server = server(task);
    let store = store(task, &server.url()).await?;
    add_all(&filler(&store), 0..far, SystemClock.now() + TimeDelta::hours(1), false).await?;
    let mut worker = Worker::start(task, &server.url(), false);
    worker.say("go");
    SystemClock.sleep(Duration::from_secs(6)).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    let before = (worker.processor_time(), processor_time_of(server.pid()));
    SystemClock.sleep(Duration::from_secs(seconds)).await;
    let (calls, inner) = commands(&server);
    let spent = |now: Duration, before: Duration| (now - before).as_secs_f64() * 1000.0 / seconds as f64;
    let found = json!({
        "calls_per_s": calls / seconds as f64, "commands_per_s": inner / seconds as f64,
        "worker_ms_per_s": spent(worker.processor_time(), before.0),
        "server_ms_per_s": spent(processor_time_of(server.pid()), before.1),
    });
    worker.stop();
    Ok(found)
}

/// A node that is killed while it runs twenty jobs.
pub async fn w7(task: &Task) -> Result<Value> {
    const JOBS: usize = 20;
    let server = server(task);
    let store = store(task, &server.url()).await?;
    add_all(&filler(&store), 0..JOBS, SystemClock.now(), true).await?;
    let mut workers: Vec<_> = (0..2).map(|_| Worker::start(task, &server.url(), true)).collect();
    workers.iter_mut().for_each(|worker| worker.say("go"));
    let started = Arc::new(Mutex::new(Vec::<(usize, usize, i64)>::new()));
    let mut children = Vec::new();
    for (index, worker) in workers.into_iter().enumerate() {
        let Worker { child, input, mut output } = worker;
        children.push((child, input));
        let started = started.clone();
        std::thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|read| read > 0) {
                if let Some((number, at)) = line.trim().split_once(' ') {
                    let run = (index, number.parse().unwrap_or_default(), at.parse().unwrap_or_default());
                    started.lock().push(run);
                }
                line.clear();
            }
        });
    }
    let wait_for = async |count: usize| {
        let begin = SystemClock.monotonic();
        while started.lock().len() < count && SystemClock.monotonic() - begin < LIMIT {
            SystemClock.sleep(Duration::from_millis(2)).await;
        }
    };
    wait_for(JOBS).await;
    let before: HashMap<usize, usize> =
        started.lock().iter().map(|(node, number, _)| (*number, *node)).collect();
    let of = |node: usize| before.values().filter(|owner| **owner == node).count();
    let victim = usize::from(of(1) > of(0));
    let killed = SystemClock.now().timestamp_micros();
    children[victim].0.kill().ok();
    wait_for(JOBS + of(victim)).await;
    SystemClock.sleep(Duration::from_millis(task.get("after", 1000))).await;
    let mut again: Vec<_> = started.lock().iter().skip(JOBS).copied().collect();
    again.sort_by_key(|(_, _, at)| *at);
    let spurious = again.iter().filter(|(_, number, _)| before.get(number) != Some(&victim)).count();
    let after = |place: usize| again.get(place).map(|(_, _, at)| (*at - killed) as f64 / 1e6);
    let found = json!({
        "killed_with": of(victim), "again": again.len(), "spurious": spurious,
        "first_s": after(0), "median_s": after(again.len() / 2), "last_s": after(again.len().saturating_sub(1)),
    });
    for (mut child, _) in children {
        child.kill().ok();
        child.wait().ok();
    }
    Ok(found)
}
