//! Three nodes, a server, and everything that can go wrong, at random; then an account of what has happened.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::JobDetail;
use scheduler_core::store::{Executions, Existing, JobStore, Put, TriggerQuery};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_redis::RedisJobStore;

use crate::history::{self, Change, History};
use crate::proxy::{Proxy, Trick};
use crate::redis::{self, Server};
use crate::workload::{self, JOBS};

/// The verbs whose calls are played tricks.
const VERBS: [&str; 8] = ["acquire", "unheard", "fire", "complete", "beat", "attach", "lost", "bury"];

/// How long everything may take to be done once nothing disturbs it any more.
const CALM: Duration = Duration::from_secs(60);

const NODES: usize = 3;

/// How a run of chaos is made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The binary of a node.
    pub node: PathBuf,
    /// For how long things go wrong.
    pub lasts: Duration,
    /// Decides what.
    pub seed: u64,
    /// The lease of the nodes.
    pub lease: Duration,
}

/// What has happened.
#[derive(Debug)]
pub struct Account {
    /// How many firings the schedules ask for.
    pub expected: usize,
    /// How many happened.
    pub fired: usize,
    /// How many runs repeated a lost one.
    pub repeated: usize,
    /// What was done, and how often.
    pub done: Vec<(&'static str, usize)>,
    /// How long it took, after each kill, until nothing was left of the node.
    pub takeovers: Vec<Duration>,
    /// What is wrong.
    pub faults: history::Faults,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.done {
            writeln!(f, "{count:>6}  {what}")?;
        }
        let count = |start: &str| self.faults.iter().filter(|fault| fault.starts_with(start)).count();
        writeln!(
            f,
            "expected {}, fired {}, lost {}, doubled {}, repeated after a loss {}",
            self.expected,
            self.fired,
            count("lost"),
            count("doubled"),
            self.repeated
        )?;
        let mut takeovers: Vec<_> = self.takeovers.iter().map(Duration::as_secs_f64).collect();
        takeovers.sort_by(f64::total_cmp);
        if let (Some(first), Some(last)) = (takeovers.first(), takeovers.last()) {
            let middle = takeovers[takeovers.len() / 2];
            writeln!(
                f,
                "takeover of {} killed nodes: {first:.2} s to {last:.2} s, median {middle:.2} s",
                takeovers.len()
            )?;
        }
        writeln!(f, "{} faults", self.faults.len())?;
        self.faults.iter().take(20).try_for_each(|fault| writeln!(f, "  {fault}"))
    }
}

struct Node {
    child: Child,
    number: usize,
}

impl Node {
    /// As it stands in the store.
    fn name(&self) -> String {
        format!("\"node{}\"", self.number)
    }

    /// Stops in order.
    fn leave(mut self) {
        // Waiting closes it, and a node does not live longer than that.
        let _input = self.child.stdin.take();
        redis::signal("TERM", &self.child.id().to_string());
        self.child.wait().ok();
    }
}

struct Chaos {
    plan: Plan,
    chance: u64,
    server: Server,
    proxies: Vec<Proxy>,
    nodes: Vec<Option<Node>>,
    folder: tempfile::TempDir,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    started: usize,
    done: HashMap<&'static str, usize>,
    takeovers: Vec<Duration>,
    lost: Vec<String>,
    changes: Vec<Change>,
}

/// Lets things go wrong, waits until all is done, and says what has happened.
///
/// # Panics
///
/// The processes cannot be started.
#[must_use]
pub fn run(plan: &Plan) -> Account {
    let server = Server::durable();
    let begin =
        DateTime::from_timestamp_millis(SystemClock.now().timestamp_millis() + 2000).expect("the present");
    let end = begin + TimeDelta::from_std(plan.lasts).expect("a duration");
    let mut chaos = Chaos {
        chance: plan.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        proxies: (0..NODES).map(|_| Proxy::to(server.port())).collect(),
        nodes: (0..NODES).map(|_| None).collect(),
        folder: tempfile::tempdir().expect("a folder"),
        plan: plan.clone(),
        server,
        begin,
        end,
        started: 0,
        done: HashMap::new(),
        takeovers: Vec::new(),
        lost: Vec::new(),
        changes: Vec::new(),
    };
    chaos.store_once();
    (0..NODES).for_each(|index| chaos.start(index));
    let over = SystemClock.monotonic() + Duration::from_secs(2) + plan.lasts;
    let administrator = Administrator::start(chaos.server.port());
    while SystemClock.monotonic() < over {
        if chaos.below(3) == 0 {
            administrator.disturb(chaos.below(3));
        }
        chaos.disturb();
        let pause = 200 + chaos.below(1000);
        wait(Duration::from_millis(pause));
    }
    chaos.changes = administrator.end();
    chaos.calm();
    chaos.account()
}

/// Real time passes: other processes are at work.
fn wait(time: Duration) {
    SystemClock.alarm().wait_until(SystemClock.monotonic() + time);
}

impl Chaos {
    fn below(&mut self, limit: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % limit
    }

    /// Stores the triggers that fire once.
    fn store_once(&self) {
        let times = workload::expected(self.begin, self.end);
        let built = |(name, times): (&String, &Vec<DateTime<Utc>>)| {
            let job = workload::job_of(name).filter(|job| job.once)?;
            let trigger = Trigger::at(times[0]).name(name).job(job.name.parse().ok()?);
            let trigger = trigger.misfire(Misfire::Ignore).build(self.begin).ok()?;
            let progress = trigger.first(None);
            Some((Arc::new(trigger), progress))
        };
        let put = Put {
            jobs: JOBS.into_iter().map(|job| Arc::new(workload::detail(job))).collect(),
            existing_jobs: Existing::Refuse,
            triggers: times.iter().filter_map(built).collect(),
            existing_triggers: Existing::Refuse,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store = RedisJobStore::connect(&self.server.url(), "chaos").await.expect("the server is up");
            store.put(put).await.expect("it is stored");
        });
    }

    fn log(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("node-{number}.log"))
    }

    fn start(&mut self, index: usize) {
        self.started += 1;
        let millis = |time: DateTime<Utc>| time.timestamp_millis().to_string();
        let errors =
            File::create(self.folder.path().join(format!("node-{}.err", self.started))).expect("a file");
        let child = Command::new(&self.plan.node)
            .args([&self.proxies[index].url(), "chaos", &millis(self.begin), &millis(self.end)])
            .args([self.plan.lease.as_millis().to_string(), format!("node{}", self.started)])
            .arg(self.log(self.started))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("a node starts");
        self.nodes[index] = Some(Node { child, number: self.started });
    }

    fn note(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn disturb(&mut self) {
        let index = usize::try_from(self.below(NODES as u64)).unwrap_or_default();
        if self.nodes[index].is_none() {
            return self.start(index);
        }
        match self.below(16) {
            0 | 1 => self.kill(index),
            2 => self.freeze(index),
            3 => self.leave(index),
            4..=8 => self.trick(index),
            9 => {
                self.note("connections of a node cut");
                self.proxies[index].cut();
            }
            10 => {
                self.note("node parted from the server for a while");
                let time = self.below(2 * millis(self.plan.lease));
                if time > millis(self.plan.lease) / 2 {
                    // What it has fired may be taken over before it hears of that.
                    let name = self.nodes[index].as_ref().map(Node::name).unwrap_or_default();
                    self.lost.extend(self.session_of(&name));
                }
                self.proxies[index].close();
                wait(Duration::from_millis(time));
                self.proxies[index].open();
            }
            11 => {
                self.note("answers to a node held back for a while");
                self.proxies[index].swallow(true);
                let time = self.below(millis(self.plan.lease));
                wait(Duration::from_millis(time));
                self.proxies[index].swallow(false);
                self.proxies[index].cut();
            }
            12 => {
                self.note("network slow for a while");
                let delay = self.below(60);
                self.proxies[index].delay(Duration::from_millis(delay));
                wait(Duration::from_secs(1));
                self.proxies[index].delay(Duration::ZERO);
            }
            13 => {
                self.note("scripts of the server flushed");
                self.server.command(&["SCRIPT", "FLUSH"]);
            }
            14 => {
                self.note("server held still for a while");
                self.server.signal("STOP");
                let time = self.below(2 * millis(self.plan.lease));
                wait(Duration::from_millis(time));
                self.server.signal("CONT");
            }
            _ => {
                self.note("server killed and started again");
                self.server.kill();
                let time = self.below(3000);
                wait(Duration::from_millis(time));
                self.server.restart();
            }
        }
    }

    fn trick(&mut self, index: usize) {
        let verb = VERBS[usize::try_from(self.below(VERBS.len() as u64)).unwrap_or_default()];
        let (what, trick) = match self.below(3) {
            0 => ("request lost", Trick::LoseRequest),
            1 => ("answer lost", Trick::LoseReply),
            _ => ("request carried out once more, late", Trick::Duplicate),
        };
        self.note(what);
        self.proxies[index].play(verb, trick);
    }

    fn kill(&mut self, index: usize) {
        self.note("node killed");
        let Some(mut node) = self.nodes[index].take() else { return };
        let name = node.name();
        let session = self.session_of(&name);
        node.child.kill().ok();
        node.child.wait().ok();
        let Some(session) = session else { return };
        self.lost.push(session);
        // The others take over, if there are any.
        if self.nodes.iter().flatten().count() == 0 {
            return;
        }
        let begin = SystemClock.monotonic();
        let deadline = begin + self.plan.lease * 4;
        while SystemClock.monotonic() < deadline {
            if self.session_of(&name).is_none() && self.server.text(&["SCARD", &self.key("graves")]) == "0" {
                self.takeovers.push(SystemClock.monotonic() - begin);
                return;
            }
            wait(Duration::from_millis(10));
        }
    }

    fn key(&self, name: &str) -> String {
        format!("scheduler:{{chaos/0}}:{name}")
    }

    /// The session of the node of this name, while the store knows it.
    fn session_of(&self, name: &str) -> Option<String> {
        let all: Vec<String> =
            ::redis::from_redis_value(self.server.command(&["HGETALL", &self.key("ss")])).ok()?;
        all.chunks(2).find(|pair| pair[1].contains(name)).map(|pair| pair[0].clone())
    }

    fn freeze(&mut self, index: usize) {
        let Some(name) = self.nodes[index].as_ref().map(Node::name) else { return };
        let time = self.below(3 * millis(self.plan.lease));
        if time > millis(self.plan.lease) / 2 {
            self.note("node held still for about its lease or longer");
            self.lost.extend(self.session_of(&name));
        } else {
            self.note("node held still for a moment");
        }
        let Some(node) = &mut self.nodes[index] else { return };
        let pid = node.child.id().to_string();
        redis::signal("STOP", &pid);
        wait(Duration::from_millis(time));
        redis::signal("CONT", &pid);
    }

    fn leave(&mut self, index: usize) {
        self.note("node stopped in order");
        if let Some(node) = self.nodes[index].take() {
            node.leave();
        }
    }

    /// Nothing goes wrong any more; waits until all is done.
    fn calm(&mut self) {
        for index in 0..NODES {
            self.proxies[index].open();
            if self.nodes[index].is_none() {
                self.start(index);
            }
        }
        let deadline = SystemClock.monotonic() + CALM;
        while SystemClock.monotonic() < deadline && !self.is_done() {
            wait(Duration::from_millis(200));
        }
        self.nodes.iter_mut().filter_map(Option::take).for_each(Node::leave);
    }

    /// No trigger is due any more, and nothing runs.
    fn is_done(&self) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = self.server.url();
        runtime.block_on(async {
            let Ok(store) = RedisJobStore::connect(&url, "chaos").await else { return false };
            let triggers = store.triggers(TriggerQuery::default()).await.unwrap_or_default();
            let due = triggers.iter().filter(|status| status.progress.next.is_some());
            let others = due.filter(|status| status.trigger.job().name() != RECORD).count();
            let running = store.executions(Executions::All).await;
            !triggers.is_empty() && others == 0 && running.is_ok_and(|running| running.is_empty())
        })
    }

    /// What is left in the store that must not be.
    fn audit(&self) -> history::Faults {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = self.server.url();
        let mut faults = runtime.block_on(async {
            let store = RedisJobStore::connect(&url, "chaos").await.expect("the server is up");
            store.audit(false).await.expect("it is up")
        });
        for key in ["busy", "lapse", "graves"] {
            let kind = self.server.text(&["TYPE", &self.key(key)]);
            if kind != "none" {
                faults.push(format!("`{key}` is left behind"));
            }
        }
        faults
    }

    fn account(mut self) -> Account {
        let expected = workload::expected(self.begin, self.end);
        let read = |number: usize| std::fs::read_to_string(self.log(number)).unwrap_or_default();
        let lines =
            (1..=self.started).flat_map(|number| history::read_lines(&read(number))).collect::<Vec<_>>();
        let history = History {
            writes: history::read_writes(&self.server.log()),
            lines,
            ledger: history::read_ledger(
                &std::fs::read_to_string(self.folder.path().join("ledger")).unwrap_or_default(),
            ),
            refused: (1..=self.started)
                .flat_map(|number| {
                    let log = self.folder.path().join(format!("node-{number}.err"));
                    history::read_refused(&std::fs::read_to_string(log).unwrap_or_default())
                })
                .collect(),
            changes: std::mem::take(&mut self.changes),
            lost_sessions: self.lost.drain(..).collect(),
        };
        let mut done: Vec<_> = std::mem::take(&mut self.done).into_iter().collect();
        done.sort_unstable();
        let mut faults = history.faults(&expected);
        faults.extend(self.audit());
        if !faults.is_empty() {
            // For whoever looks for the reason.
            let folder = self.folder.keep();
            std::fs::copy(self.server.log(), folder.join("writes.aof")).ok();
            eprintln!("the logs are in {}", folder.display());
        }
        Account {
            expected: expected.values().map(Vec::len).sum(),
            fired: history.fired(&expected),
            repeated: history.repeated(),
            done,
            takeovers: self.takeovers,
            faults,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The job whose record the administrator changes.
const RECORD: &str = "administrated";

/// Somebody who changes a record again and again, over a network that plays tricks.
struct Administrator {
    proxy: Proxy,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Change>>,
}

impl Administrator {
    fn start(server: u16) -> Self {
        let (proxy, over) = (Proxy::to(server), Arc::new(AtomicBool::new(false)));
        let (url, is_over) = (proxy.url(), over.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let thread = std::thread::spawn(move || runtime.block_on(administrate(&url, &is_over)));
        Self { proxy, over, thread }
    }

    fn disturb(&self, how: u64) {
        let trick = [Trick::LoseRequest, Trick::LoseReply, Trick::Duplicate]
            [usize::try_from(how).unwrap_or_default()];
        self.proxy.play("put", trick);
    }

    fn end(self) -> Vec<Change> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("it ends")
    }
}

async fn administrate(url: &str, over: &AtomicBool) -> Vec<Change> {
    let builder = RedisJobStore::builder(url).name("chaos").answer_within(Duration::from_millis(500));
    let store = builder.start_within(CALM).connect().await.expect("the server comes back");
    let job = Arc::new(JobDetail::builder(RECORD.parse().expect("a name"), RECORD).build());
    let (mut changes, mut number) = (Vec::new(), 0);
    while !over.load(Ordering::SeqCst) {
        number += 1;
        let far = SystemClock.now() + TimeDelta::days(1);
        let trigger = Trigger::at(far).name(RECORD).job(job.key().clone()).description(number.to_string());
        let trigger = trigger.build(far).expect("it is complete");
        let progress = trigger.first(None);
        let put = Put {
            jobs: vec![job.clone()],
            existing_jobs: Existing::Keep,
            triggers: vec![(Arc::new(trigger), progress)],
            existing_triggers: Existing::Replace,
        };
        let written = store.put(put).await.is_ok();
        changes.push(if written { Change::Written(number) } else { Change::Unknown(number) });
        if let Ok(found) = store
            .triggers(TriggerQuery { keys: vec![RECORD.parse().expect("a name")], ..TriggerQuery::default() })
            .await
        {
            let read = found.first().and_then(|status| status.trigger.description()?.parse().ok());
            changes.push(Change::Read(read.unwrap_or_default()));
        }
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    changes
}
