//! What the handles of a store share: its connections, its nodes, and what is known of the server.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use foldhash::HashMap;
use parking_lot::Mutex;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::view::{Rest, Version};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, Result};
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};

use crate::cache::Known;
use crate::clock::ServerClock;
use crate::codec;
use crate::connection::{Connection, Failure};
use crate::heartbeat;
use crate::io::Io;
use crate::names::Numbers;
use crate::script::{self, word};
use crate::session::Sessions;
use crate::settings::{Kind, Settings, cap, margin};

/// The oldest server that knows everything the script needs.
const OLDEST: (u32, u32) = (7, 0);

/// How a message begins that names runs which have ended.
const ENDED: &[u8] = b"ended ";

/// As long as it is there no server is told what it has forgotten.
pub(crate) type NothingIsTold = OwnedRwLockReadGuard<()>;

pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) io: Io,
    /// For what users and the firing loop ask.
    pub(crate) hot: Connection,
    /// For the heart, and for messages of others.
    pub(crate) slow: Connection,
    /// This process, among those who send messages.
    id: String,
    pub(crate) clock: ServerClock,
    pub(crate) sessions: Mutex<Sessions>,
    pub(crate) state: Mutex<State>,
    changes: Mutex<Changes>,
    /// The data that was there at the start is gone.
    gone: AtomicBool,
    /// The work of dead nodes is being taken over.
    pub(crate) recovers: AtomicBool,
    /// A server is being told what it has forgotten.
    pub(crate) reconciles: AtomicBool,
    /// What was read before.
    pub(crate) known: Known,
    /// Pauses and calendars as they were last seen.
    pub(crate) rest: Mutex<(Rest, Version)>,
    pub(crate) numbers: Arc<Numbers>,
    versions: AtomicU64,
    /// Commits that took effect, and those that were refused since somebody else had changed what they go by.
    pub(crate) commits: [AtomicU64; 2],
    /// Runs have ended: there may be more of them than are kept.
    pub(crate) may_exceed: AtomicBool,
    /// Runs that have expired, and dead ones that were removed since they were too many, for the next request for work.
    pub(crate) rung: Mutex<rules::Rung>,
    /// Runs that are over in the store, of calls that have failed before they could say so.
    pub(crate) settled: Mutex<HashMap<ExecutionId, CompleteResult>>,
    /// The clients of this process that wait for the ends of runs.
    pub(crate) ends: EndSignals,
    /// Read while triggers are acquired or fired, written while the store is told what it has forgotten.
    pub(crate) tells: Arc<RwLock<()>>,
    /// The heart is to beat now.
    pub(crate) nudge: Arc<Notify>,
    /// A lease was renewed.
    pub(crate) renewed: Arc<Notify>,
    /// A node has lost touch.
    pub(crate) fenced: Notify,
}

/// Lets go of a flag, however what it stands for ends.
pub(crate) struct Flag<'a>(pub(crate) &'a AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The number of a call by which a change is made. It is given up if it is dropped without an answer.
pub(crate) struct Order<'a> {
    shared: &'a Shared,
    number: u64,
    is_answered: bool,
}

impl Order<'_> {
    pub(crate) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl std::fmt::Display for Order<'_> {
    /// With that of the first that is still waited for, and with those after it that were given up.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let changes = self.shared.changes.lock();
        write!(f, "{} {}", self.number, changes.waited_for.first().copied().unwrap_or(self.number))?;
        changes.given_up.iter().try_for_each(|number| write!(f, " {number}"))
    }
}

impl Drop for Order<'_> {
    fn drop(&mut self) {
        let mut changes = self.shared.changes.lock();
        changes.waited_for.remove(&self.number);
        if !self.is_answered {
            changes.given_up.insert(self.number);
        }
        // The server carries out none before the first that is waited for.
        let first = changes.waited_for.first().copied().unwrap_or(u64::MAX);
        changes.given_up.retain(|number| *number > first);
    }
}

/// The changes that somebody waits for, by number, and those after the first of them that nobody waits for any more.
#[derive(Debug, Default)]
struct Changes {
    last: u64,
    waited_for: BTreeSet<u64>,
    given_up: BTreeSet<u64>,
}

/// What is known of the store.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The lease that all nodes go by.
    pub(crate) lease: Duration,
    /// Which data it is; another one after all was lost.
    pub(crate) birth: String,
    pub(crate) epoch: String,
    pub(crate) version: String,
    /// The highest fence that was seen.
    pub(crate) highest: u64,
    /// So many beats in a row have failed, and why.
    pub(crate) failures: u32,
    pub(crate) trouble: Option<Arc<str>>,
    /// When such failures are reported again, and how long the silence before that is.
    pub(crate) silent_until: Duration,
    pub(crate) silence: Duration,
}

impl Shared {
    /// Begins its life, without asking the server yet.
    pub(crate) fn open(settings: Settings) -> Result<Arc<Self>> {
        // Whoever has chosen one before keeps it.
        #[cfg(feature = "tls")]
        rustls::crypto::ring::default_provider().install_default().ok();
        let (settings, io) = (Arc::new(settings), Io::start()?);
        let id = format!("{:032x}", u128::from_le_bytes(random()));
        let shared = Arc::new_cyclic(|own: &Weak<Self>| {
            let (own, sender) = (own.clone(), id.clone().into_bytes());
            let heard = Arc::new(move |message: Option<Vec<u8>>| {
                let Some(store) = own.upgrade() else { return };
                match message {
                    Some(message) if message == sender => {}
                    Some(message) if message.starts_with(ENDED) => store.hear_of_ends(&message),
                    // Others may have taken nothing, and messages of ends may be lost.
                    None => {
                        store.wake();
                        store.ends.tell_all();
                    }
                    Some(_) => store.wake(),
                }
            });
            let slow = Connection::new(settings.clone(), 1).listen(format!("{}wake", settings.prefix), heard);
            Self {
                hot: Connection::new(settings.clone(), 2),
                slow,
                id,
                clock: ServerClock::default(),
                sessions: Mutex::default(),
                state: Mutex::new(State { lease: settings.lease, ..State::default() }),
                changes: Mutex::default(),
                gone: AtomicBool::new(false),
                recovers: AtomicBool::new(false),
                reconciles: AtomicBool::new(false),
                may_exceed: AtomicBool::new(true),
                rung: Mutex::default(),
                settled: Mutex::default(),
                ends: EndSignals::default(),
                tells: Arc::default(),
                nudge: Arc::default(),
                renewed: Arc::default(),
                fenced: Notify::new(),
                known: Known::default(),
                rest: Mutex::default(),
                numbers: Arc::new(Numbers::of(settings.retention)),
                commits: Default::default(),
                versions: AtomicU64::new(u64::from_le_bytes(random()[..8].try_into().unwrap_or_default())),
                settings,
                io,
            }
        });
        shared.io.spawn(heartbeat::beat(Arc::downgrade(&shared)));
        shared.io.spawn(heartbeat::watch(Arc::downgrade(&shared)));
        if shared.settings.kind == Kind::Sentinel {
            shared.io.spawn(heartbeat::follow(Arc::downgrade(&shared)));
        }
        Ok(shared)
    }

    pub(crate) async fn begin(&self) -> Result<()> {
        let end = SystemClock.monotonic().saturating_add(self.settings.start_within);
        let (mut wait, mut attempts) = (Duration::from_millis(50), 0u32);
        loop {
            attempts += 1;
            match self.look_at_server().await {
                Ok(()) => return Ok(()),
                Err(Failure::Away(error)) if SystemClock.monotonic() + wait < end => {
                    if attempts.is_power_of_two() {
                        tracing::warn!(%error, attempts, "the job store waits for Redis and tries again: {error}");
                    }
                }
                Err(failure) => return Err(failure.into_error()),
            }
            SystemClock.sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    /// Whether this is a server that can be used, with a store that can be read.
    async fn look_at_server(&self) -> Result<(), Failure> {
        let place = self.settings.place();
        match self.hot.info().await {
            // It was a master when somebody named it.
            Ok(info) if self.settings.kind != Kind::Single && info.contains("\nrole:slave") => {
                self.hot.leave();
                let text =
                    format!("Redis at {place} is being replaced: who was named its master is none any more");
                return Err(Failure::Away(Error::transient(text)));
            }
            Ok(info) => check_server(&place, &info).map_err(Failure::Refused)?,
            Err(Failure::Refused(error)) if error.is_config() => {
                tracing::warn!(%error, "whether Redis at {place} may evict keys cannot be checked; make sure that `maxmemory-policy` is `noeviction`: {error}");
            }
            Err(failure) => return Err(failure),
        }
        // The second connection, which also listens.
        self.slow.ping().await?;
        let sent = SystemClock.monotonic();
        let answer = self.boot(&place).await?;
        self.set_clock(&answer, sent);
        self.state.lock().birth = codec::text(&answer["birth"]).to_owned();
        Ok(())
    }

    /// This process, among those who send messages.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Somebody says which runs have ended.
    fn hear_of_ends(&self, message: &[u8]) {
        let names = std::str::from_utf8(&message[ENDED.len()..]).unwrap_or_default();
        names.split(' ').filter_map(|name| name.parse().ok()).for_each(|run| self.ends.tell(run));
    }

    /// A change that somebody waits for, until this is dropped.
    pub(crate) fn begin_change(&self) -> Order<'_> {
        let mut changes = self.changes.lock();
        changes.last += 1;
        let number = changes.last;
        changes.waited_for.insert(number);
        Order { shared: self, number, is_answered: false }
    }

    /// Never 0, which stands for no row.
    pub(crate) fn version(&self) -> Version {
        self.versions.fetch_add(1, Ordering::Relaxed).max(1)
    }

    /// A call about nodes.
    pub(crate) async fn node_call(&self, call: &str, request: &Value) -> Result<Value> {
        if self.is_gone() {
            return Err(self.all_gone());
        }
        self.node_call_on(&self.slow, call, request).await.map_err(Failure::into_error)
    }

    pub(crate) async fn node_call_on(
        &self,
        connection: &Connection,
        call: &str,
        request: &Value,
    ) -> Result<Value, Failure> {
        let words = [call.as_bytes().to_vec(), request.to_string().into_bytes()];
        let answer = connection.evaluate(call, &script::NODES, &words).await?;
        let read = async {
            let answer = self.read_answer(call, answer).await?;
            let damage = word(answer.get(2));
            if !damage.is_empty() {
                tracing::error!(
                    "the job store in Redis has lost something: {damage}; `RedisJobStore::audit` finds the rest"
                );
            }
            codec::answer(call, &word(answer.get(1)))
        };
        read.await.map_err(Failure::Refused)
    }

    /// Whether the nodes of this process look for further triggers themselves, so that others need not.
    pub(crate) fn takes(&self) -> bool {
        self.sessions.lock().values().all(|session| session.takes)
    }

    /// What people call a node of this process.
    pub(crate) fn name_of(&self, session: u64) -> Arc<str> {
        self.sessions.lock().get(&session).map_or_else(|| "".into(), |known| known.node.name.clone())
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        tracing::error!("{}", self.all_gone());
        self.wake();
    }

    pub(crate) fn all_gone(&self) -> Error {
        let place = self.settings.place();
        Error::config(format!(
            "the data of the job store in Redis at {place} is gone: the server was emptied, or restarted without what it had; \
             restore it and restart the nodes, or only restart them to declare their schedules anew"
        ))
    }

    pub(crate) fn wake(&self) {
        let nodes: Vec<_> = self.sessions.lock().values().map(|session| session.node.wake.clone()).collect();
        nodes.iter().for_each(|wake| wake());
    }

    pub(crate) fn set_lease(&self, lease: Duration) {
        self.state.lock().lease = lease;
        // A beat that takes longer than the next one is due is given up.
        self.slow.limit(self.settings.beat(lease));
    }

    /// What an answer that has just come says of the time; it was asked at `sent`.
    pub(crate) fn set_clock(&self, answer: &Value, sent: Duration) {
        let micros = codec::text(&answer["micros"]).parse().ok();
        if let Some(time) = micros.and_then(DateTime::<Utc>::from_timestamp_micros) {
            self.clock.set(time, sent);
        }
    }

    /// Makes a node known to the cluster.
    ///
    /// With `tells` the server has forgotten it, and is to be told what it has in hand. Returns the epoch of the server that
    /// has answered.
    pub(crate) async fn register(&self, node: &Node, tells: bool) -> Result<String> {
        let (sent, lease) = (SystemClock.monotonic(), self.settings.lease);
        let birth = self.state.lock().birth.clone();
        let request = json!({
            "session": node.session.to_string(),
            "name": node.name,
            "version": env!("CARGO_PKG_VERSION"),
            "types": node.types.as_ref().map(codec::encode).transpose()?,
            "queues": (!node.queues.takes_all()).then(|| codec::encode(&node.queues)).transpose()?,
            "lease": lease.as_millis().to_string(),
            "cap": cap(lease).as_millis().to_string(),
            "birth": birth,
            "tells": tells,
            "turn": self.sessions.lock().get(&node.session).map_or(0, |known| known.turn),
        });
        let answer = self.node_call("attach", &request).await?;
        if answer["gone"] == true {
            self.set_gone();
            return Err(self.all_gone());
        }
        let in_force = codec::text(&answer["lease"]).parse().map_or(lease, Duration::from_millis);
        if in_force != lease {
            let (in_force, asked) = (in_force.as_millis(), lease.as_millis());
            tracing::warn!(
                "the lease of this cluster is {in_force} ms, set by its first node, and the {asked} ms of this node are not used; restart all nodes to change it"
            );
        }
        self.set_lease(in_force);
        let epoch = codec::text(&answer["epoch"]).to_owned();
        {
            let mut state = self.state.lock();
            if state.epoch.is_empty() {
                state.epoch.clone_from(&epoch);
            }
        }
        let until = sent.saturating_add(in_force.saturating_sub(margin(in_force)));
        if let Some(session) = self.sessions.lock().get_mut(&node.session) {
            session.since = Some(sent);
            session.renewed(until);
        }
        self.renewed.notify_one();
        self.nudge.notify_one();
        Ok(epoch)
    }
}

/// Whether a server can be used at all, from what it says of itself.
fn check_server(place: &str, info: &str) -> Result<()> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .unwrap_or_default()
    };
    let version = field("redis_version");
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let found = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if found < OLDEST {
        let (major, minor) = OLDEST;
        return Err(Error::config(format!(
            "Redis at {place} is version {version}; the job store needs {major}.{minor} or newer"
        )));
    }
    if field("role") == "slave" {
        return Err(Error::config(format!(
            "Redis at {place} is a replica of {}:{}; give the address of the master, or of the sentinels",
            field("master_host"),
            field("master_port"),
        )));
    }
    let policy = field("maxmemory_policy");
    if !policy.is_empty() && policy != "noeviction" {
        let text = format!(
            "Redis at {place} may evict keys when its memory is full (`maxmemory-policy {policy}`), and with them what the job \
             store relies on; set `maxmemory-policy noeviction`"
        );
        if field("maxmemory") != "0" {
            return Err(Error::config(text));
        }
        tracing::warn!("{text} before you set `maxmemory`");
    }
    Ok(())
}

/// Bytes that nobody else has; the standard library seeds its hashers from the system.
pub(crate) fn random() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || RandomState::new().build_hasher().finish().to_le_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&half());
    bytes[8..].copy_from_slice(&half());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_judged_by_what_it_says_of_itself() {
        let info = |version: &str, policy: &str, most: &str| {
            format!(
                "# Server\r\nredis_version:{version}\r\nrole:master\r\nmaxmemory:{most}\r\nmaxmemory_policy:{policy}\r\n"
            )
        };
        let problem = |info: &str| check_server("a:1", info).err().map(|error| error.to_string());
        let fine =
            [("7.0.15", "noeviction", "0"), ("8.2.1", "volatile-lru", "0"), ("7.2.4", "allkeys-lru", "0")];
        for (version, policy, most) in fine {
            assert_eq!(problem(&info(version, policy, most)), None);
        }
        let old = problem(&info("6.2.14", "noeviction", "0")).unwrap_or_default();
        assert!(old.contains("version 6.2.14; the job store needs 7.0 or newer"), "{old}");
        for policy in ["allkeys-lfu", "volatile-ttl"] {
            let evicts = problem(&info("7.4.0", policy, "100")).unwrap_or_default();
            assert!(evicts.contains(&format!("`maxmemory-policy {policy}`")), "{evicts}");
        }
        assert!(problem("rubbish").is_some_and(|text| text.contains("version ;")));
    }
}
