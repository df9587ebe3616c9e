//! Three nodes, a server or several, and everything that can go wrong, at random; then an account of what has happened.

mod administrator;
mod faults;
mod servers;

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::store::{Executions, Existing, JobStore, Put, TriggerQuery};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_redis::RedisJobStore;

use crate::history::{self, Faults, History, Lateness, Window};
use crate::proxy::{Proxy, Trick};
use crate::redis;
use crate::workload::{self, JOBS};
use administrator::{Administrator, RECORD};
pub use servers::Place;
use servers::{Servers, key};

/// How long everything may take to be done once nothing disturbs it any more.
const CALM: Duration = Duration::from_secs(60);

const NODES: usize = 3;

/// About so often another server comes to have the data, and so many times at most.
const MOVE_EVERY: Duration = Duration::from_secs(10);
const MOST_MOVES: u128 = 6;

/// How a run of chaos is made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The binary of a node.
    pub node: PathBuf,
    /// Where the data is.
    pub place: Place,
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
    /// How many runs no server knows of any more, all from when one was replaced; and how many of those ran again.
    pub forgotten: (usize, usize),
    /// How late runs began.
    pub lateness: Lateness,
    /// What was done, and how often.
    pub done: Vec<(&'static str, usize)>,
    /// How long it took, after each kill, until nothing was left of the node.
    pub takeovers: Vec<Duration>,
    /// What is wrong.
    pub faults: Faults,
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
        if let (forgotten @ 1.., again) = self.forgotten {
            writeln!(
                f,
                "{forgotten} runs were forgotten when a server was replaced, {again} of them ran again"
            )?;
        }
        writeln!(f, "{}", self.lateness)?;
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
    servers: Servers,
    /// One before each node, where the data is on one server.
    proxies: Vec<Proxy>,
    /// One before the administrator, there.
    before_administrator: Option<Proxy>,
    administrator: Administrator,
    nodes: Vec<Option<Node>>,
    folder: tempfile::TempDir,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    started: usize,
    /// How many nodes were killed in a call.
    steps: usize,
    /// When another server is to have the data, the next one last.
    moves: Vec<Duration>,
    windows: Vec<Window>,
    /// When somebody has last looked who has the data.
    looked: DateTime<Utc>,
    /// What is still to go wrong before anything does again.
    deck: Vec<faults::Fault>,
    clock_set: Option<Duration>,
    /// When the server's clock was not the machine's, and by how many milliseconds it was ahead.
    clocks: Vec<(Window, i64)>,
    done: HashMap<&'static str, usize>,
    /// The same in its order, each with its time, for whoever looks for the reason of a fault.
    story: String,
    takeovers: Vec<Duration>,
    lost: Vec<String>,
}

/// Lets things go wrong, waits until all is done, and says what has happened.
///
/// # Panics
///
/// The processes cannot be started.
#[must_use]
pub fn run(plan: &Plan) -> Account {
    let moves = (plan.lasts.as_millis() / MOVE_EVERY.as_millis()).clamp(1, MOST_MOVES) as u32;
    let servers = Servers::start(plan.place, moves as usize);
    let (proxies, before_administrator) = match plan.place {
        Place::One => {
            let proxy = || Proxy::to(servers.master().port());
            ((0..NODES).map(|_| proxy()).collect(), Some(proxy()))
        }
        Place::Sentinel | Place::Cluster => (Vec::new(), None),
    };
    let administrator =
        Administrator::start(before_administrator.as_ref().map_or_else(|| servers.address(), Proxy::url));
    let lead = Duration::from_secs(2);
    let now = SystemClock.monotonic();
    let begin = SystemClock.now() + TimeDelta::from_std(lead).expect("a moment");
    let begin = DateTime::from_timestamp_millis(begin.timestamp_millis()).expect("the present");
    let mut chaos = Chaos {
        chance: plan.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        servers,
        proxies,
        before_administrator,
        administrator,
        nodes: (0..NODES).map(|_| None).collect(),
        folder: tempfile::tempdir().expect("a folder"),
        plan: plan.clone(),
        begin,
        end: begin + TimeDelta::from_std(plan.lasts).expect("a duration"),
        started: 0,
        steps: 0,
        moves: (1..=moves).rev().map(|number| now + lead + plan.lasts * number / (moves + 1)).collect(),
        windows: Vec::new(),
        looked: begin,
        deck: Vec::new(),
        clock_set: None,
        clocks: Vec::new(),
        done: HashMap::new(),
        story: String::new(),
        takeovers: Vec::new(),
        lost: Vec::new(),
    };
    chaos.store_once();
    (0..NODES).for_each(|index| chaos.start(index));
    let over = now + lead + plan.lasts;
    while SystemClock.monotonic() < over {
        chaos.disturb();
        let pause = 200 + chaos.below(1000);
        wait(Duration::from_millis(pause));
    }
    chaos.calm();
    chaos.account()
}

/// Real time passes: other processes are at work.
fn wait(time: Duration) {
    SystemClock.alarm().wait_until(SystemClock.monotonic() + time);
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Chaos {
    fn below(&mut self, limit: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % limit
    }

    fn disturb(&mut self) {
        if self.plan.place != Place::One {
            return self.disturb_many();
        }
        if self.below(3) == 0 {
            let trick = [Trick::LoseRequest, Trick::LoseReply, Trick::Duplicate]
                [usize::try_from(self.below(3)).unwrap_or_default()];
            self.before_administrator.iter().for_each(|proxy| proxy.play("put", trick));
        }
        self.disturb_one();
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
        self.with_store(async |store| store.put(put).await).expect("it is stored");
    }

    fn with_store<T>(
        &self,
        work: impl AsyncFnOnce(RedisJobStore) -> scheduler_core::Result<T>,
    ) -> scheduler_core::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = self.servers.address();
        runtime.block_on(async { work(RedisJobStore::connect(&url, "chaos").await?).await })
    }

    fn log(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("node-{number}.log"))
    }

    fn start(&mut self, index: usize) {
        self.started += 1;
        let millis = |time: DateTime<Utc>| time.timestamp_millis().to_string();
        let errors =
            File::create(self.folder.path().join(format!("node-{}.err", self.started))).expect("a file");
        let address = self.proxies.get(index).map_or_else(|| self.servers.address(), Proxy::url);
        let child = Command::new(&self.plan.node)
            .args([&address, "chaos", &millis(self.begin), &millis(self.end)])
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
        writeln!(self.story, "{:?} {what}", SystemClock.now()).expect("a text takes everything");
        *self.done.entry(what).or_default() += 1;
    }

    /// The session of the node of this name, while the store knows it.
    fn session_of(&self, name: &str) -> Option<String> {
        // None where another server has the data by now.
        let all = self.servers.master().ask(&["HGETALL", &key("ss")]).ok()?;
        let all: Vec<String> = ::redis::from_redis_value(all).ok()?;
        all.chunks(2).find(|pair| pair[1].contains(name)).map(|pair| pair[0].clone())
    }

    /// Nothing goes wrong any more; waits until all is done.
    fn calm(&mut self) {
        self.servers.set_clock(TimeDelta::zero());
        self.proxies.iter().for_each(Proxy::open);
        for index in 0..NODES {
            if self.nodes[index].is_none() {
                self.start(index);
            }
        }
        let deadline = SystemClock.monotonic() + CALM;
        while SystemClock.monotonic() < deadline && !self.is_done() {
            wait(Duration::from_millis(200));
        }
        self.nodes.iter_mut().filter_map(Option::take).for_each(Node::leave);
        self.look_who_has_the_data();
    }

    /// No trigger is due any more, and nothing runs.
    fn is_done(&self) -> bool {
        let is_done = self.with_store(async |store| {
            let triggers = store.triggers(TriggerQuery::default()).await?;
            let due = triggers.iter().filter(|status| status.progress.next.is_some());
            let others = due.filter(|status| status.trigger.job().name() != RECORD).count();
            let running = store.executions(Executions::All).await?;
            Ok(!triggers.is_empty() && others == 0 && running.is_empty())
        });
        is_done.unwrap_or(false)
    }

    /// What is left in the store that must not be.
    fn audit(&self) -> Faults {
        let mut faults = self.with_store(async |store| store.audit(false).await).expect("the server is up");
        for name in ["busy", "lapse", "graves"] {
            if self.servers.master().text(&["TYPE", &key(name)]) != "none" {
                faults.push(format!("`{name}` is left behind"));
            }
        }
        faults
    }

    fn account(self) -> Account {
        let expected = workload::expected(self.begin, self.end);
        let mut faults = self.audit();
        let Self { administrator, folder, servers, .. } = self;
        let read = |name: String| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let numbers = || 1..=self.started;
        let log = servers.whole_log();
        if log.is_none() {
            faults.push("the log of the last server does not go back to the beginning".into());
        }
        let history = History {
            writes: log.as_deref().map(history::read_writes).unwrap_or_default(),
            lines: numbers()
                .flat_map(|number| history::read_lines(&read(format!("node-{number}.log"))))
                .collect(),
            ledger: history::read_ledger(&read("ledger".into())),
            refused: numbers()
                .flat_map(|number| history::read_refused(&read(format!("node-{number}.err"))))
                .collect(),
            changes: administrator.end(),
            lost_sessions: self.lost.into_iter().collect(),
            replaced: self.windows,
            clocks: self.clocks,
        };
        let mut done: Vec<_> = self.done.into_iter().collect();
        done.sort_unstable();
        faults.extend(history.faults(&expected));
        if !faults.is_empty() {
            // For whoever looks for the reason.
            let folder = folder.keep();
            log.iter().for_each(|log| drop(std::fs::copy(log, folder.join("writes.aof"))));
            std::fs::write(folder.join("story"), self.story).ok();
            eprintln!("the logs are in {}", folder.display());
        }
        Account {
            expected: expected.values().map(Vec::len).sum(),
            fired: history.fired(&expected),
            repeated: history.repeated(),
            forgotten: (history.forgotten().len(), history.run_again()),
            lateness: history.lateness(),
            done,
            takeovers: self.takeovers,
            faults,
        }
    }
}
