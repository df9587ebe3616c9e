//! Real Redis servers for tests: on free loopback ports, several at once, killed and started again.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scheduler_core::time::{Clock, SystemClock};

use crate::wait::block_between_looks;
use crate::wall_clock::WallClock;

/// Starts the server and ends it when its own input ends: with this process, however that ends. `TEST_SERVER` may name another
/// one, as `valkey-server`.
const GUARD: &str =
    r#""${TEST_SERVER:-redis-server}" "$@" & echo "pid $!"; exec >&-; read _; kill -9 $!; wait"#;

/// Beyond this nothing more will come.
const LIMIT: Duration = Duration::from_secs(120);

/// A server; gone when it is dropped or the process ends.
#[derive(Debug)]
pub struct Server {
    guard: Child,
    pid: String,
    port: u16,
    arguments: Vec<String>,
    variables: Vec<(String, OsString)>,
    folder: tempfile::TempDir,
}

/// Every command is written into a file, from the first to the last.
const LOGGED: [&str; 8] = [
    "--appendonly",
    "yes",
    "--auto-aof-rewrite-percentage",
    "0",
    "--aof-use-rdb-preamble",
    "no",
    "--save",
    "",
];

impl Server {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// Starts a server that writes every command into a file before it answers.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn durable() -> Self {
        Self::durable_by(None)
    }

    /// As [`durable`](Self::durable), by a clock of its own.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn durable_by(clock: Option<&WallClock>) -> Self {
        let variables = clock.map(WallClock::variables).unwrap_or_default();
        Self::start_with(&[&LOGGED[..], &["--appendfsync", "always"]].concat(), variables)
    }

    /// Starts a server that has a log, and says yes to a change only while a copy of it is there. What it has answered stands
    /// in the file before the answer is sent, and survives the process.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn copied(arguments: &[&str]) -> Self {
        // A server that waits for the disk in the background puts off writing, and answers all the same.
        let copied =
            ["--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0", "--appendfsync", "no"];
        Self::with(&[&LOGGED[..], &copied, arguments].concat())
    }

    /// Starts a server with these arguments beside its port and folder.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn with(arguments: &[&str]) -> Self {
        Self::start_with(arguments, Vec::new())
    }

    fn start_with(arguments: &[&str], variables: Vec<(String, OsString)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        loop {
            let port = free_port();
            if let Some((guard, pid)) = run(port, folder.path(), &arguments, &variables) {
                return Self { guard, pid, port, arguments, variables, folder };
            }
        }
    }

    /// Starts a copy of another server, and waits until it has everything.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn replica_of(master: u16) -> Self {
        let port = master.to_string();
        let replica =
            Self::with(&["--save", "", "--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"]);
        replica.wait_for(Self::has_copied);
        replica
    }

    /// Whether it is one to write to.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.text(&["INFO", "replication"]).contains("role:master")
    }

    /// Whether it is a copy that has everything.
    #[must_use]
    pub fn has_copied(&self) -> bool {
        self.text(&["INFO", "replication"]).contains("master_link_status:up")
    }

    /// Starts a sentinel that watches this master under the name `main`, and holds it for dead when it has said nothing for so
    /// long.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn sentinel_of(master: u16, silent: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let file = folder.path().join("sentinel.conf");
        let rules = format!(
            "sentinel monitor main 127.0.0.1 {master} 1\nsentinel down-after-milliseconds main {}\nsentinel failover-timeout main 2000\n",
            silent.as_millis()
        );
        std::fs::write(&file, rules).expect("a file");
        let arguments = vec![file.to_string_lossy().into_owned(), "--sentinel".to_owned()];
        loop {
            let port = free_port();
            if let Some((guard, pid)) = run(port, folder.path(), &arguments, &[]) {
                return Self { guard, pid, port, arguments, variables: Vec::new(), folder };
            }
        }
    }

    /// Starts a cluster of three masters that have these arguments, and of so many copies of the one that keeps `key`. Says
    /// which one that is; the copies come last.
    ///
    /// # Panics
    ///
    /// No server can be started.
    #[must_use]
    pub fn cluster(key: &str, copies: usize, start: impl Fn(&[&str]) -> Self) -> (Vec<Self>, usize) {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let arguments = [&arguments[..], &["--cluster-allow-replica-migration", "no"]].concat();
        let servers: Vec<_> = (0..3 + copies).map(|_| start(&arguments)).collect();
        for server in &servers[1..] {
            servers[0].command(&["CLUSTER", "MEET", "127.0.0.1", &server.port().to_string()]);
        }
        let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for (server, (first, last)) in servers.iter().zip(slots) {
            server.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
        }
        let all = format!("cluster_known_nodes:{}", servers.len());
        for server in &servers {
            server.wait_for(|server| {
                let info = server.text(&["CLUSTER", "INFO"]);
                info.contains(&all) && info.contains("cluster_state:ok")
            });
        }
        let slot: usize = servers[0].text(&["CLUSTER", "KEYSLOT", key]).parse().expect("a number");
        let owner = (slot / 5461).min(2);
        let id = servers[owner].text(&["CLUSTER", "MYID"]);
        for copy in &servers[3..] {
            copy.command(&["CLUSTER", "REPLICATE", &id]);
            copy.wait_for(Self::has_copied);
        }
        (servers, owner)
    }

    /// Waits until the server is as it should be.
    ///
    /// # Panics
    ///
    /// It does not come to that.
    pub fn wait_for(&self, is_so: impl Fn(&Self) -> bool) {
        let deadline = SystemClock.monotonic() + LIMIT;
        while !is_so(self) {
            assert!(SystemClock.monotonic() < deadline, "the server at {} does not come to that", self.port);
            block_between_looks();
        }
    }

    /// The address to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of the server's process.
    #[must_use]
    pub fn pid(&self) -> &str {
        &self.pid
    }

    /// The file with every write, in the order in which they took effect, since the server has begun or was made a copy.
    ///
    /// # Panics
    ///
    /// It keeps none.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        let folder = self.folder.path().join("appendonlydir");
        let list =
            std::fs::read_to_string(folder.join("appendonly.aof.manifest")).expect("the server has a log");
        let last =
            list.lines().rfind(|line| line.ends_with("type i")).and_then(|line| line.split(' ').nth(1));
        folder.join(last.expect("it names a file"))
    }

    /// Sends a signal to the server.
    ///
    /// # Panics
    ///
    /// It is not there.
    pub fn signal(&self, name: &str) {
        signal(name, &self.pid);
    }

    /// Ends the server at once, as `kill -9` does.
    pub fn kill(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().ok();
    }

    /// Starts it again after [`kill`](Self::kill), at the same place with what it has kept.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn restart(&mut self) {
        self.kill();
        let started = run(self.port, self.folder.path(), &self.arguments, &self.variables);
        (self.guard, self.pid) = started.expect("the port is still free");
    }

    /// Carries out one command, and says why if the server refuses it.
    ///
    /// # Errors
    ///
    /// It does, or cannot be reached.
    pub fn ask(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
    }

    /// Waits until a copy of this server has everything that was written so far.
    ///
    /// `WAIT` answers for what its own connection has written, so a message goes before it.
    ///
    /// # Panics
    ///
    /// No copy takes it in time.
    pub fn wait_until_copied(&self) {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client.get_connection().expect("a server");
        let mut wait = redis::pipe();
        wait.cmd("PUBLISH").arg("copied").arg("").ignore().cmd("WAIT").arg(1).arg(LIMIT.as_millis());
        let (copies,): (u32,) = wait.query(&mut connection).expect("an answer");
        assert!(copies > 0, "no copy of the server at {} has everything", self.port);
    }

    /// Carries out one command.
    ///
    /// # Panics
    ///
    /// The server refuses it.
    pub fn command(&self, words: &[&str]) -> redis::Value {
        let deadline = SystemClock.monotonic() + LIMIT;
        loop {
            match self.ask(words) {
                Ok(answer) => return answer,
                // A server that takes on another role cuts its connections.
                Err(error) if error.is_io_error() && SystemClock.monotonic() < deadline => {}
                Err(error) => panic!("{words:?}: {error}"),
            }
        }
    }

    /// The answer of one command, as a text.
    ///
    /// # Panics
    ///
    /// The server refuses it, or the answer is no text.
    #[must_use]
    pub fn text(&self, words: &[&str]) -> String {
        match self.command(words) {
            redis::Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            other => redis::from_redis_value(other).expect("a text"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process.
///
/// # Panics
///
/// There is no such process.
pub fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args(["-s", name, pid]).status().expect("there is a `kill`").success());
}

/// The guard and the server's process number; none if the port is taken.
fn run(
    port: u16,
    folder: &Path,
    arguments: &[String],
    variables: &[(String, OsString)],
) -> Option<(Child, String)> {
    // A file comes first.
    let (file, arguments) = match arguments.split_first() {
        Some((first, rest)) if !first.starts_with("--") => (Some(first), rest),
        _ => (None, arguments),
    };
    let mut guard = Command::new("sh")
        .args(["-c", GUARD, "sh"])
        .args(file)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(folder)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell starts");
    let out = BufReader::new(guard.stdout.take().expect("it is piped"));
    let (mut said, mut pid) = (Vec::new(), String::new());
    for line in out.lines().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("pid ") {
            number.clone_into(&mut pid);
        } else if line.contains("Ready to accept connections") || line.contains("Sentinel ID is") {
            return Some((guard, pid));
        }
        said.push(line);
    }
    drop(guard.stdin.take());
    guard.wait().ok();
    let taken = said.iter().any(|line| line.contains("Address already in use"));
    assert!(taken, "redis-server did not start (is it installed?): {said:#?}");
    None
}

/// A port of this machine that nobody listens on.
///
/// # Panics
///
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
