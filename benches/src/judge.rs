//! The workloads of several processes that share a server: W5 throughput, W6 idle cost, W7 failover.
//!
//! One process is the judge: it starts a server of its own, has the store filled, and starts the workers, which speak to it by
//! files in a folder: a worker writes `ready.INDEX`, begins when there is a `go`, writes how many jobs it has run into
//! `count.INDEX`, and when there is a `stop`, their numbers into `runs.INDEX`. A worker with long runs writes the number of each
//! and when it began, in microseconds, into `begun.INDEX` at once. Whoever takes part speaks this language, so one judge serves
//! all.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scheduler_core::time::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::measure::{Task, processor_time_of};
use crate::node::STORE;
use crate::run::JAVA;
use crate::server::Server;

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(400);

/// Whose nodes take part.
struct Node {
    /// The program and what comes before `fill due|far|long N` or `work|work-long FOLDER INDEX`.
    words: Vec<String>,
    variables: Vec<(String, String)>,
    is_ours: bool,
}

impl Node {
    fn of(task: &Task, url: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let folder = program.parent().expect("it is in a folder").to_owned();
        let peers = |name: &str| folder.join("../peers").join(name).display().to_string();
        let peer = task.get("peer", String::new());
        let words = match peer.as_str() {
            "" => vec![program.display().to_string()],
            "apalis" => vec![peers("release/peer-apalis")],
            "bullmq" => vec!["node".to_owned(), peers("bullmq/node.mjs")],
            "quartz-jdbc" => {
                let classes = format!("{}:{}", peers("quartz"), JAVA.join(":"));
                ["java", "-Xmx1g", "-XX:+UseSerialGC", "-cp", &classes, "Node"].map(str::to_owned).into()
            }
            other => panic!("there is no peer {other}"),
        };
        let mut variables = vec![("REDIS_URL".to_owned(), url.to_owned())];
        for name in
            ["concurrency", "lease", "batch", "lean", "alone", "tight", "poll", "runs", "named", "history"]
        {
            let value: String = task.get(name, String::new());
            if !value.is_empty() {
                variables.push((name.to_uppercase(), value));
            }
        }
        Self { words, variables, is_ours: peer.is_empty() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(words);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Fills the store and says how fast.
    fn fill(&self, what: &str, count: usize) -> Value {
        if count == 0 {
            return Value::Null;
        }
        let output = self.command(&["fill", what, &count.to_string()]).output().expect("it can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
        line.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn start(&self, what: &str, folder: &Path, index: usize) -> Worker {
        let folder = folder.display().to_string();
        let mut command = self.command(&[what, &folder, &index.to_string()]);
        Worker(command.stdout(Stdio::null()).spawn().expect("a worker can be started"))
    }

    /// Starts so many, up to the moment at which they wait for the word to go.
    fn start_all(&self, what: &str, folder: &Path, count: usize) -> Vec<Worker> {
        let workers = (0..count).map(|index| self.start(what, folder, index)).collect();
        assert!(wait_until(LIMIT, || all_have(folder, "ready", count)), "the workers get ready");
        workers
    }
}

/// A process that runs jobs.
struct Worker(Child);

impl Worker {
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

fn pause(time: Duration) {
    SystemClock.alarm().wait_until(SystemClock.monotonic() + time);
}

fn wait_until(limit: Duration, is_so: impl Fn() -> bool) -> bool {
    let end = SystemClock.monotonic() + limit;
    while !is_so() {
        if SystemClock.monotonic() > end {
            return false;
        }
        pause(Duration::from_millis(2));
    }
    true
}

fn all_have(folder: &Path, name: &str, count: usize) -> bool {
    (0..count).all(|index| folder.join(format!("{name}.{index}")).exists())
}

fn read(folder: &Path, name: &str, index: usize) -> String {
    std::fs::read_to_string(folder.join(format!("{name}.{index}"))).unwrap_or_default()
}

fn give_word(folder: &Path, word: &str) {
    std::fs::write(folder.join(word), "").expect("a file");
}

/// Runs what is due, with so many processes. Ours are only done when the store has nothing left, so all is acknowledged.
pub fn w5(task: &Task) -> Value {
    let (count, processes, far) = (task.get("n", 20_000), task.get("p", 1), task.get("far", 0));
    let (server, folder) = (Server::start(task), tempfile::tempdir().expect("a folder"));
    let (node, folder) = (Node::of(task, &server.url()), folder.path());
    let added = node.fill("far", far);
    let filled = node.fill("due", count);
    let used = server.used_memory();
    let workers = node.start_all("work", folder, processes);
    let processor = || {
        let of_workers: Duration = workers.iter().map(Worker::processor_time).sum();
        (of_workers.as_secs_f64(), server.processor_time().as_secs_f64())
    };
    server.settle();
    let (before, begin) = (processor(), SystemClock.monotonic());
    give_word(folder, "go");
    let of = |index: usize| read(folder, "count", index).parse::<usize>().unwrap_or_default();
    let done = || (0..processes).map(of).sum::<usize>();
    let limit = Duration::from_secs(task.get("limit", 120));
    let mut complete = wait_until(limit, || done() >= count);
    if node.is_ours {
        let (left, kind) = if task.get("runs", 0) == 1 { (0, "runs") } else { (far as u64, "triggers") };
        let rows = format!("scheduler:{{{STORE}/0}}:{kind}");
        complete &= wait_until(limit, || server.left_in(&rows) == left);
    }
    let took = (SystemClock.monotonic() - begin).as_secs_f64();
    let after = processor();
    let (calls, inner) = server.counts();
    let slow = server.slow_calls();
    pause(Duration::from_millis(task.get("after", 1000)));
    give_word(folder, "stop");
    wait_until(Duration::from_secs(20), || all_have(folder, "runs", processes));
    pause(Duration::from_millis(50));
    let (mut runs, mut shares, mut commits) = (vec![0_u32; count], Vec::new(), [0.0, 0.0]);
    for index in 0..processes {
        let text = read(folder, "commits", index);
        let of_node = text.split(' ').filter_map(|count| count.parse::<f64>().ok());
        commits.iter_mut().zip(of_node).for_each(|(all, count)| *all += count);
        let text = read(folder, "runs", index);
        let numbers: Vec<usize> = text.lines().filter_map(|line| line.parse().ok()).collect();
        shares.push(numbers.len());
        numbers.into_iter().filter(|number| *number < count).for_each(|number| runs[number] += 1);
    }
    drop(workers);
    let each = count as f64;
    json!({
        "per_s": if complete { each / took } else { 0.0 }, "seconds": took,
        "lost": runs.iter().filter(|runs| **runs == 0).count(),
        "twice": runs.iter().filter(|runs| **runs > 1).count(), "shares": shares,
        "one_per_s": filled["one_per_s"], "many_per_s": filled["many_per_s"], "bulk_per_s": filled["bulk_per_s"], "far_per_s": added["bulk_per_s"],
        "stored_bytes": used.map(|used| used / (count + far) as f64),
        "calls_per_job": calls / each, "commands_per_job": inner / each,
        "slowest_ms": slow.first(), "above_5_ms": slow.iter().filter(|millis| **millis > 5.0).count(),
        "commits": commits[0], "refused": commits[1],
        "worker_us": (after.0 - before.0) * 1e6 / each, "server_us": (after.1 - before.1) * 1e6 / each,
    })
}

/// So many triggers that fire each second, which may be more than the nodes can: how many firings there are in some seconds.
pub fn recurring(task: &Task) -> Value {
    let (count, processes, seconds) = (task.get("n", 100_000), task.get("p", 1), task.get("seconds", 10));
    let (server, folder) = (Server::start(task), tempfile::tempdir().expect("a folder"));
    let (node, folder) = (Node::of(task, &server.url()), folder.path());
    node.fill("every", count);
    let workers = node.start_all("work", folder, processes);
    give_word(folder, "go");
    pause(Duration::from_secs(2));
    server.settle();
    let look = || {
        let of = |index: usize| read(folder, "count", index).parse::<usize>().unwrap_or_default();
        let of_workers: Duration = workers.iter().map(Worker::processor_time).sum();
        let fired: usize = (0..processes).map(of).sum();
        (SystemClock.monotonic(), fired as f64, of_workers, server.processor_time())
    };
    let before = look();
    pause(Duration::from_secs(seconds));
    let after = look();
    let fired = after.1 - before.1;
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / fired;
    let (slow, took) = (server.slow_calls(), (after.0 - before.0).as_secs_f64());
    json!({
        "per_s": fired / took, "worker_us": each(after.2 - before.2), "server_us": each(after.3 - before.3),
        "slowest_ms": slow.first(), "above_5_ms": slow.iter().filter(|millis| **millis > 5.0).count(),
    })
}

/// A node with nothing to do.
pub fn w6(task: &Task) -> Value {
    let (far, seconds) = (task.get("far", 0), task.get("seconds", 30));
    let (server, folder) = (Server::start(task), tempfile::tempdir().expect("a folder"));
    let (node, folder) = (Node::of(task, &server.url()), folder.path());
    node.fill("far", far);
    let workers = node.start_all("work", folder, 1);
    give_word(folder, "go");
    pause(Duration::from_secs(6));
    server.settle();
    let before = (workers[0].processor_time(), server.processor_time());
    pause(Duration::from_secs(seconds));
    let (calls, inner) = server.counts();
    let spent = |now: Duration, before: Duration| (now - before).as_secs_f64() * 1000.0 / seconds as f64;
    json!({
        "calls_per_s": calls / seconds as f64, "commands_per_s": inner / seconds as f64,
        "worker_ms_per_s": spent(workers[0].processor_time(), before.0),
        "server_ms_per_s": spent(server.processor_time(), before.1),
    })
}

/// A node that is killed while it runs twenty jobs.
pub fn w7(task: &Task) -> Value {
    const JOBS: usize = 20;
    let (server, folder) = (Server::start(task), tempfile::tempdir().expect("a folder"));
    let (node, folder) = (Node::of(task, &server.url()), folder.path());
    node.fill("long", JOBS);
    let mut workers = node.start_all("work-long", folder, 2);
    give_word(folder, "go");
    let begun = |index: usize| -> Vec<(usize, i64)> {
        let text = read(folder, "begun", index);
        let pair = |line: &str| {
            let (number, at) = line.split_once(' ')?;
            Some((number.parse().ok()?, at.parse().ok()?))
        };
        text.lines().filter_map(pair).collect()
    };
    assert!(wait_until(LIMIT, || begun(0).len() + begun(1).len() >= JOBS), "all runs begin");
    let before = [begun(0), begun(1)];
    let victim = usize::from(before[1].len() > before[0].len());
    let (other, killed) = (1 - victim, SystemClock.now().timestamp_micros());
    workers[victim].0.kill().ok();
    let expected = before[other].len() + before[victim].len();
    wait_until(LIMIT, || begun(other).len() >= expected);
    pause(Duration::from_millis(task.get("after", 1000)));
    let again: Vec<_> = begun(other).into_iter().skip(before[other].len()).collect();
    let lost: Vec<_> = before[victim].iter().map(|(number, _)| *number).collect();
    let spurious = again.iter().filter(|(number, _)| !lost.contains(number)).count();
    let after = |place: usize| again.get(place).map(|(_, at)| (*at - killed) as f64 / 1e6);
    json!({
        "killed_with": lost.len(), "again": again.len(), "spurious": spurious,
        "first_s": after(0), "median_s": after(again.len() / 2), "last_s": after(again.len().saturating_sub(1)),
    })
}
