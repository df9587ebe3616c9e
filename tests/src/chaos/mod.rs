//! Three nodes, a server or several, and everything that can go wrong, at random; then an account of what has happened.

mod account;
mod administrator;
mod faults;
mod sender;
mod servers;
mod stall;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::run::RunState;
use scheduler_core::store::{Changes, Executions, Existing, Put, Queries, RunQuery, TriggerQuery};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_redis::RedisJobStore;

use crate::history::{self, Faults, History, Promise, Window, Write};
use crate::proxy::{Proxy, Trick};
use crate::redis;
use crate::workload::{self, JOBS};
pub use account::Account;
use administrator::{Administrator, RECORD};
use sender::Sender;
pub use servers::Place;
use servers::{Servers, key};
pub use stall::Stalls;
use stall::Watch;

/// Once nothing disturbs it any more, work that is left becomes less within this time.
const CALM: Duration = Duration::from_secs(60);

const NODES: usize = 3;

/// About so often another server comes to have the data, and so many times at most.
const MOVE_EVERY: Duration = Duration::from_secs(10);
const MOST_MOVES: u128 = 6;

/// The calls of clients that are played tricks.
const CHANGES: [&str; 3] = ["put", "enqueue", "change_runs"];

/// So often servers are left to themselves: a busy machine may replace one that nobody has touched, twice before anybody looks.
const ATTEMPTS: usize = 3;

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

impl Plan {
    /// The command that has all this once more, as far as chance allows.
    fn again(&self) -> String {
        let Self { place, lasts, seed, lease, .. } = self;
        let (minutes, lease) = (lasts.as_secs_f64() / 60.0, lease.as_millis());
        format!("cargo xtask chaos --place {place} --minutes {minutes:.5} --seed {seed} --lease {lease}")
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
    /// One before the administrator and the sender, there.
    before_clients: Option<Proxy>,
    administrator: Option<Administrator>,
    sender: Option<Sender>,
    promises: Vec<Promise>,
    watch: Option<Watch>,
    stalls: Stalls,
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
/// The processes cannot be started, or the machine is so busy that servers are replaced faster than anybody can see.
#[must_use]
pub fn run(plan: &Plan) -> Account {
    for _ in 0..ATTEMPTS {
        if let Some(account) = play(plan) {
            return account;
        }
        eprintln!(
            "a server had the data whose log nobody has kept: this says nothing, and is done once more"
        );
    }
    panic!(
        "in {ATTEMPTS} attempts a server was replaced that nobody had touched, by one without a log; this says nothing \
         about the product: the machine is too busy for it"
    )
}

/// None if nothing can be said, since the logs do not tell everything.
fn play(plan: &Plan) -> Option<Account> {
    let moves = (plan.lasts.as_millis() / MOVE_EVERY.as_millis()).clamp(1, MOST_MOVES) as u32;
    let servers = Servers::start(plan.place, moves as usize);
    let (proxies, before_clients) = match plan.place {
        Place::One => {
            let proxy = || Proxy::to(servers.master().port());
            ((0..NODES).map(|_| proxy()).collect(), Some(proxy()))
        }
        Place::Sentinel | Place::Cluster => (Vec::new(), None),
    };
    let of_clients = || before_clients.as_ref().map_or_else(|| servers.address(), Proxy::url);
    let (administrator, sender) =
        (Administrator::start(of_clients()), Sender::start(of_clients(), plan.seed));
    let lead = Duration::from_secs(2);
    let now = SystemClock.monotonic();
    let begin = SystemClock.now() + TimeDelta::from_std(lead).expect("a moment");
    let begin = DateTime::from_timestamp_millis(begin.timestamp_millis()).expect("the present");
    let mut chaos = Chaos {
        chance: plan.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        servers,
        proxies,
        before_clients,
        administrator: Some(administrator),
        sender: Some(sender),
        promises: Vec::new(),
        watch: Some(Watch::start()),
        stalls: Stalls::default(),
        nodes: (0..NODES).map(|_| None).collect(),
        folder: tempfile::tempdir().expect("a folder"),
        plan: plan.clone(),
        begin,
        end: begin + TimeDelta::from_std(plan.lasts).expect("a duration"),
        started: 0,
        steps: 0,
        moves: (1..=moves).rev().map(|number| now + lead + plan.lasts * number / (moves + 1)).collect(),
        windows: Vec::new(),
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

/// The present, in milliseconds.
fn now() -> i64 {
    SystemClock.now().timestamp_millis()
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
        if self.below(2) == 0 {
            let trick = [Trick::LoseRequest, Trick::LoseReply, Trick::Duplicate]
                [usize::try_from(self.below(3)).unwrap_or_default()];
            self.note("call of a client lost, or carried out once more");
            let verb = CHANGES[usize::try_from(self.below(CHANGES.len() as u64)).unwrap_or_default()];
            self.before_clients.iter().for_each(|proxy| proxy.play(verb, trick));
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
            jobs: JOBS
                .into_iter()
                .filter(|job| job.triggers > 0)
                .map(|job| Arc::new(workload::detail(job)))
                .collect(),
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
        let builder = RedisJobStore::builder(&url).name("chaos").start_within(CALM);
        runtime.block_on(async { work(builder.connect().await?).await })
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
        self.promises = self.sender.take().map(Sender::end).unwrap_or_default();
        self.wait_until_all_is_done();
        self.nodes.iter_mut().filter_map(Option::take).for_each(Node::leave);
    }

    /// A slow machine takes its time: only work that does not become less is waited for in vain.
    fn wait_until_all_is_done(&mut self) {
        let (mut least, mut deadline) = (i64::MAX, SystemClock.monotonic() + CALM);
        while SystemClock.monotonic() < deadline {
            self.look_who_has_the_data();
            match self.left() {
                Some(0) => return,
                Some(left) if left < least => (least, deadline) = (left, SystemClock.monotonic() + CALM),
                _ => {}
            }
            wait(Duration::from_millis(200));
        }
    }

    /// How much is to be done: runs, and milliseconds of schedules. None if the store does not say.
    fn left(&self) -> Option<i64> {
        let left = self.with_store(async |store| {
            let triggers = store.all_triggers(TriggerQuery::default()).await?;
            let due = triggers.iter().filter(|status| status.trigger.job().name() != RECORD);
            let millis = |next: DateTime<Utc>| (self.end - next).num_milliseconds().max(1);
            let due: i64 = due.filter_map(|status| status.progress.next.map(millis)).sum();
            let running = store.executions(Executions::All).await?.len();
            let waiting = store.all_runs(RunQuery::default().in_state(RunState::Waiting)).await?.len();
            let held = store.all_runs(RunQuery::default().in_state(RunState::Held)).await?.len();
            let runs = waiting + held + running;
            Ok((!triggers.is_empty()).then(|| due + i64::try_from(runs).unwrap_or(i64::MAX)))
        });
        left.ok().flatten()
    }

    /// What is left in the store that must not be.
    fn audit(&self) -> Faults {
        let mut faults = self.with_store(async |store| store.audit(false).await).expect("the server is up");
        for name in ["busy", "lapse", "orphans"] {
            if self.servers.master().text(&["TYPE", &key(name)]) != "none" {
                faults.push(format!("`{name}` is left behind"));
            }
        }
        faults
    }

    /// None if the logs do not tell everything.
    fn account(mut self) -> Option<Account> {
        let mut faults = self.audit();
        let expected = workload::expected(self.begin, self.end);
        let history = self.history()?;
        faults.extend(history.faults(&expected));
        let logs = (!faults.is_empty()).then(|| self.keep_logs());
        let mut done: Vec<_> = std::mem::take(&mut self.done).into_iter().collect();
        done.sort_unstable();
        Some(Account {
            expected: expected.values().map(Vec::len).sum(),
            fired: history.fired(&expected),
            runs: history.run_counts(),
            repeated: history.repeated(),
            forgotten: (history.forgotten().len(), history.run_again()),
            lateness: history.lateness(),
            done,
            takeovers: self.takeovers,
            stalls: self.stalls,
            faults,
            again: self.plan.again(),
            logs,
        })
    }

    fn history(&mut self) -> Option<History> {
        let changes = self.administrator.take().map(Administrator::end).unwrap_or_default();
        self.stalls = self.watch.take().map(Watch::end).unwrap_or_default();
        // What was answered until now was answered by somebody known.
        if self.plan.place != Place::One {
            self.look_who_has_the_data();
        }
        let writes = history::read_writes(&self.servers.whole_log()?);
        let before = self.servers.before();
        let mut lost_sessions: HashSet<_> = self.lost.iter().cloned().chain(before.lost).collect();
        lost_sessions.extend(writes.iter().filter_map(|write| match write {
            Write::Lost(session) => Some(session.clone()),
            _ => None,
        }));
        for number in
            (1..=self.started).filter(|number| history::has_lost_touch(&self.of_node(*number, "err")))
        {
            let lines = history::read_lines(&self.of_node(number, "log"));
            lost_sessions
                .extend(lines.iter().filter_map(|line| Some(line.claim.split_once('-')?.0.to_owned())));
        }
        Some(History {
            writes,
            lines: self.read_nodes("log", history::read_lines),
            ledger: history::read_ledger(&self.read("ledger")),
            refused: self.read_nodes("err", history::read_refused),
            changes,
            promises: std::mem::take(&mut self.promises),
            lost_sessions,
            replaced: self.windows.clone(),
            fired_before: before.fired,
            stalled: i64::try_from(self.stalls.total.as_millis()).unwrap_or(i64::MAX),
            clocks: self.clocks.clone(),
        })
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn read_nodes<T>(&self, kind: &str, read: fn(&str) -> Vec<T>) -> Vec<T> {
        (1..=self.started).flat_map(|number| read(&self.of_node(number, kind))).collect()
    }

    fn of_node(&self, number: usize, kind: &str) -> String {
        self.read(&format!("node-{number}.{kind}"))
    }

    /// For whoever looks for the reason of a fault.
    fn keep_logs(&mut self) -> PathBuf {
        let folder = self.folder.path().to_path_buf();
        self.folder.disable_cleanup(true);
        self.servers.whole_log().iter().for_each(|log| drop(std::fs::copy(log, folder.join("writes.aof"))));
        let windows = format!("servers were replaced at {:?}\n", self.windows);
        std::fs::write(folder.join("story"), windows + &self.story).ok();
        folder
    }
}
