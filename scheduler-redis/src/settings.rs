//! Where the server is and how to use it.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use scheduler_core::run::Retention;
use scheduler_core::{Error, Result};

/// The shortest lease: below it a short stall of the network would count as a death.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// The longest: until it is over, nobody takes over from a dead node.
const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// What kind of installation the addresses lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Sentinel,
    Cluster,
}

/// What was asked for, checked.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    /// One server; or sentinels, or nodes of a cluster, any of which may be asked.
    pub(crate) seeds: Vec<ConnectionInfo>,
    /// The name of the master among the sentinels.
    pub(crate) master: String,
    /// The sentinels ask for it, if they do.
    pub(crate) sentinel_password: Option<String>,
    pub(crate) prefix: String,
    pub(crate) lease: Duration,
    pub(crate) connect_within: Duration,
    pub(crate) answer_within: Duration,
    pub(crate) start_within: Duration,
    /// So many runs that are over are kept.
    pub(crate) keeps: usize,
    pub(crate) retention: Retention,
    /// So many bytes are the most that one call may carry.
    pub(crate) largest_call: usize,
}

impl Settings {
    /// The servers in words, without passwords.
    pub(crate) fn place(&self) -> String {
        let seeds: Vec<_> = self.seeds.iter().map(|seed| seed.addr().to_string()).collect();
        let seeds = seeds.join(", ");
        match self.kind {
            Kind::Single => seeds,
            Kind::Sentinel => format!("master `{}` of the sentinels {seeds}", self.master),
            Kind::Cluster => format!("the cluster of {seeds}"),
        }
    }

    /// How often the node says that it lives: four times and a half in a lease.
    pub(crate) fn beat(&self, lease: Duration) -> Duration {
        lease * 2 / 9
    }
}

/// The longest step of the lease clock: a little more than a beat, so that a single node keeps it going at full speed.
pub(crate) fn cap(lease: Duration) -> Duration {
    lease * 5 / 18
}

/// A node gives up so long before the end of its lease: more than a step of the lease clock, so that nobody takes over from
/// a node that still runs.
pub(crate) fn margin(lease: Duration) -> Duration {
    lease / 3
}

/// How a [`RedisJobStore`](crate::RedisJobStore) is opened. Start with [`RedisJobStore::builder`](crate::RedisJobStore::builder).
#[must_use]
#[derive(Clone)]
pub struct RedisStoreBuilder {
    urls: Vec<String>,
    name: String,
    namespace: String,
    username: Option<String>,
    password: Option<String>,
    sentinel_password: Option<String>,
    lease: Duration,
    connect_within: Duration,
    answer_within: Duration,
    start_within: Duration,
    keeps: usize,
    retention: Retention,
    largest_call: usize,
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RedisStoreBuilder");
        out.field("name", &self.name).field("namespace", &self.namespace).field("lease", &self.lease);
        out.finish_non_exhaustive()
    }
}

impl RedisStoreBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            urls: vec![url.to_owned()],
            name: "scheduler".to_owned(),
            namespace: "scheduler".to_owned(),
            username: None,
            password: None,
            sentinel_password: None,
            lease: Duration::from_secs(9),
            connect_within: Duration::from_secs(2),
            answer_within: Duration::from_secs(2),
            start_within: Duration::from_secs(30),
            keeps: 0,
            retention: Retention::default(),
            largest_call: 128 * 1024 * 1024,
        }
    }

    /// The name of the scheduler: stores of other names in the same server are not seen. Default: `scheduler`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The first part of every key, so that an ACL can name it. Default: `scheduler`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The user and the password, where they are not in the address.
    pub fn credentials(mut self, username: Option<&str>, password: &str) -> Self {
        self.username = username.map(ToOwned::to_owned);
        self.password = Some(password.to_owned());
        self
    }

    /// The password of the sentinels, where they have one.
    pub fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinel_password = Some(password.to_owned());
        self
    }

    /// How long a node may be silent before others take over its work; at least 1 s. Default: 9 s, with which a dead node's
    /// work is taken over within 12 s. All nodes go by the setting of the first.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long the server may take to accept a connection. Default: 2 s.
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.connect_within = time;
        self
    }

    /// How long the server may take to answer, and a second more for each 16 MiB that a call carries. After that the outcome of
    /// the call is unknown, and it is repeated where that is safe. Default: 2 s.
    pub fn answer_within(mut self, time: Duration) -> Self {
        self.answer_within = time;
        self
    }

    /// For how long [`connect`](Self::connect) keeps trying while the server cannot be reached. Default: 30 s.
    pub fn start_within(mut self, time: Duration) -> Self {
        self.start_within = time;
        self
    }

    /// How many of the latest [firing records](scheduler_core::store::FiringRecord) are kept. Without a failure each takes less than 450 bytes in the server.
    /// Nodes should agree: the one that writes goes by its own number. Default: none.
    pub fn keep_history(mut self, records: usize) -> Self {
        self.keeps = records;
        self
    }

    /// How long runs are kept after their end, and how many. Nodes should agree: the one on which a run ends goes by its own setting.
    /// Default: [`Retention::default`].
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// How many bytes one call may carry, such as a trigger with its arguments. A larger one is refused before it is sent. Redis
    /// works on nothing else while it takes a large value: keep large values elsewhere, and give jobs a reference. Default:
    /// 128 MiB; the server takes at most its `proto-max-bulk-len`, 512 MB by default.
    pub fn largest_call(mut self, bytes: usize) -> Self {
        self.largest_call = bytes;
        self
    }

    /// Everything that is wrong, in one error.
    pub(crate) fn settings(&self) -> Result<Settings> {
        let mut problems = Vec::new();
        for (what, text) in [("name", &self.name), ("namespace", &self.namespace)] {
            if text.is_empty() || text.contains(|c: char| c == '{' || c == '}' || c.is_control()) {
                problems.push(format!(
                    "the {what} {text:?} must not be empty or hold `{{`, `}}` or control characters"
                ));
            }
        }
        if self.lease > LONGEST_LEASE {
            problems.push(format!("the lease is {:?}; use at most {LONGEST_LEASE:?}", self.lease));
        }
        if self.lease < SHORTEST_LEASE {
            problems.push(format!("the lease is {:?}; use at least {SHORTEST_LEASE:?}", self.lease));
        }
        let (mut kind, mut master, mut seeds) = (Kind::Single, String::new(), Vec::new());
        for url in &self.urls {
            match read(url) {
                Ok(address) => {
                    (kind, master) = (address.kind, address.master);
                    seeds.extend(address.seeds);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(Error::config(format!(
                "the job store in Redis cannot be opened: {}",
                problems.join("; ")
            )));
        }
        let seeds = seeds.into_iter().map(|seed| self.with_credentials(seed)).collect();
        Ok(Settings {
            kind,
            seeds,
            master,
            sentinel_password: self.sentinel_password.clone(),
            prefix: format!("{}:{{{}/0}}:", self.namespace, self.name),
            lease: self.lease,
            connect_within: self.connect_within,
            answer_within: self.answer_within,
            start_within: self.start_within,
            keeps: self.keeps,
            retention: self.retention,
            largest_call: self.largest_call,
        })
    }

    fn with_credentials(&self, seed: ConnectionInfo) -> ConnectionInfo {
        // Messages on the connection of the heart need the third version of the protocol.
        let mut redis = seed.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        redis = redis.set_lib_name("scheduler-redis", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        seed.set_redis_settings(redis)
    }
}

struct Address {
    kind: Kind,
    master: String,
    seeds: Vec<ConnectionInfo>,
}

const FORMS: &str = "use `redis://host:port/database`, `redis+sentinel://host:port,host:port/master/database` or \
                     `redis+cluster://host:port,host:port`, with `rediss` for TLS";

/// Reads an address. The problem says what to write, and never repeats the address, which may hold a password.
fn read(url: &str) -> Result<Address, String> {
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| format!("the address has no scheme; {FORMS}"))?;
    let (scheme, kind) = match scheme.split_once('+') {
        None => (scheme, Kind::Single),
        Some((scheme, "sentinel")) => (scheme, Kind::Sentinel),
        Some((scheme, "cluster")) => (scheme, Kind::Cluster),
        Some((_, other)) => return Err(format!("`+{other}` is no kind of installation; {FORMS}")),
    };
    if scheme == "rediss" && !cfg!(feature = "tls") {
        return Err("the address asks for TLS; build `scheduler-redis` with the feature `tls`".to_owned());
    }
    let one = |url: String| {
        let info = url.into_connection_info();
        info.map_err(|error| {
            format!("the address cannot be read ({}); {FORMS}", error.detail().unwrap_or("wrong form"))
        })
    };
    if kind == Kind::Single {
        return Ok(Address { kind, master: String::new(), seeds: vec![one(url.to_owned())?] });
    }
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| (user, rest));
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (master, database) = match kind {
        Kind::Sentinel => path.split_once('/').unwrap_or((path, "")),
        _ => ("", path),
    };
    if kind == Kind::Sentinel && master.is_empty() {
        return Err(format!("the address names no master; {FORMS}"));
    }
    if kind == Kind::Cluster && !database.is_empty() {
        return Err("a cluster has one database only; leave it out of the address".to_owned());
    }
    let seeds = hosts.split(',').map(|host| one(format!("{scheme}://{user}{host}/{database}")));
    Ok(Address { kind, master: master.to_owned(), seeds: seeds.collect::<Result<_, _>>()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]
mod tests {
    use super::*;

    fn settings(url: &str) -> Result<Settings> {
        RedisStoreBuilder::new(url).settings()
    }

    #[test]
    fn addresses_of_every_kind_are_read() {
        let single = settings("redis://user:secret@localhost:7000/3").unwrap();
        assert_eq!((single.kind, single.place().as_str()), (Kind::Single, "localhost:7000"));
        assert_eq!(single.seeds[0].redis_settings().db(), 3);
        assert_eq!(single.seeds[0].redis_settings().password(), Some("secret"));
        let sentinel = settings("redis+sentinel://:secret@a:1,b:2/main/4").unwrap();
        assert_eq!(sentinel.place(), "master `main` of the sentinels a:1, b:2");
        assert_eq!(sentinel.seeds[1].redis_settings().db(), 4);
        let cluster = settings("redis+cluster://a:1,b:2").unwrap();
        assert_eq!((cluster.kind, cluster.place().as_str()), (Kind::Cluster, "the cluster of a:1, b:2"));
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_password() {
        let cases = [
            ("localhost", "has no scheme"),
            ("redis+ring://a", "`+ring` is no kind of installation"),
            ("redis://:secret@localhost:port", "cannot be read"),
            ("redis+sentinel://:secret@a:1", "names no master"),
            ("redis+cluster://:secret@a:1/3", "has one database only"),
            ("http://:secret@a", "cannot be read"),
        ];
        for (url, expected) in cases {
            let error = settings(url).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
        let builder = RedisStoreBuilder::new("redis://a").name("").namespace("a{b").lease(Duration::ZERO);
        let error = builder.settings().map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains("the name \"\"") && error.contains("\"a{b\"") && error.contains("lease"),
            "{error}"
        );
    }

    #[test]
    fn a_node_gives_up_before_others_take_over() {
        for lease in [SHORTEST_LEASE, Duration::from_secs(9), Duration::from_secs(60)] {
            let beat = RedisStoreBuilder::new("redis://a").settings().unwrap().beat(lease);
            assert!(beat < cap(lease) && cap(lease) < margin(lease));
            assert!(lease.checked_sub(margin(lease)).unwrap() > beat * 2, "one lost beat is no death");
        }
    }
}
