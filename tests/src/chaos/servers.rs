//! Where the nodes of a chaos have their data, and how another server comes to have it.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::time::{Clock, SystemClock};

use super::{now, wait};
use crate::history::{Window, Write, read_writes};
use crate::redis::Server;
use crate::wall_clock::WallClock;

/// Beyond this no other server takes over any more.
const LIMIT: Duration = Duration::from_secs(120);

/// A server that is silent for so long is replaced; a busy machine may keep it for less.
const SILENT: Duration = Duration::from_millis(1500);

/// A server that takes over needs one more that copies it.
const SPARE: usize = 2;

/// Where the nodes find their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On one server, which is killed and comes back; each node reaches it over a network that plays tricks.
    One,
    /// On a server that a sentinel replaces by a copy of it.
    Sentinel,
    /// On a server of a Redis Cluster, which replaces it by a copy of it.
    Cluster,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "one",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        })
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "one" => Ok(Self::One),
            "sentinel" => Ok(Self::Sentinel),
            "cluster" => Ok(Self::Cluster),
            _ => Err(format!("`{text}` is no place for the data; there are `one`, `sentinel` and `cluster`")),
        }
    }
}

/// Why a copy takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The one before was killed.
    Kill,
    /// It was held still, and comes back later.
    Hold,
    /// Somebody has said so.
    Order,
}

/// A server with its log, which goes on under a second name when the server begins another one.
struct Copy {
    server: Server,
    log: PathBuf,
    kept: PathBuf,
}

impl Copy {
    /// Begins once the server writes down everything: a copy of another takes a moment for that.
    fn of(server: Server) -> Self {
        server.wait_for(|server| {
            let info = server.text(&["INFO", "persistence"]);
            ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"].iter().all(|word| info.contains(word))
        });
        let log = server.log();
        let kept = log.with_file_name("kept");
        std::fs::hard_link(&log, &kept).expect("a second name for the log");
        Self { server, log, kept }
    }

    /// Whether its log goes back to the beginning.
    fn is_whole(&self) -> bool {
        self.server.log() == self.log
    }
}

/// How far a server has come with the data, by its own word.
struct Look {
    /// What was answered before this time, in milliseconds, is not further.
    at: i64,
    /// The life of the data: a copy that takes over begins another one, and says where.
    life: String,
    offset: u64,
}

/// The end of the life before, and its name.
fn branch_of(server: &Server) -> Option<(String, u64)> {
    let info = server.text(&["INFO", "replication"]);
    let offset = field(&info, "second_repl_offset")?.parse().ok()?;
    Some((field(&info, "master_replid2")?.to_owned(), offset))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    info.lines().find_map(value).map(str::trim)
}

/// What a server wrote down that was replaced: what the next one knows of it is another matter.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The claims that it has fired.
    pub(super) fired: HashSet<String>,
    /// The sessions that it has held for dead.
    pub(super) lost: HashSet<String>,
}

impl Before {
    fn read(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Fired { claim, .. } | Write::Claimed { claim, .. } => drop(self.fired.insert(claim)),
                Write::Lost(session) => drop(self.lost.insert(session)),
                _ => {}
            }
        }
    }
}

/// The servers of a chaos.
pub(super) struct Servers {
    place: Place,
    /// The first one that had the data, and copies of it from the beginning on; none once it is gone.
    copies: Vec<Option<Copy>>,
    /// The one that has the data.
    master: usize,
    /// Those that decide who does.
    others: Vec<Server>,
    clock: Option<WallClock>,
    looks: Vec<Look>,
    before: Before,
    /// A server had the data for a while, and nobody has seen it.
    unseen: bool,
}

impl Servers {
    /// Of this many servers the data can move on.
    pub(super) fn start(place: Place, moves: usize) -> Self {
        let count = moves + SPARE;
        let (clock, copies, others) = match place {
            Place::One => {
                let clock = WallClock::new();
                let server = Server::durable_by(clock.as_ref());
                (clock, vec![server], Vec::new())
            }
            Place::Sentinel => {
                let master = Server::copied(&[]);
                let port = master.port().to_string();
                let copy = |_| Server::copied(&["--replicaof", "127.0.0.1", &port]);
                let copies: Vec<_> = (1..count).map(copy).collect();
                copies.iter().for_each(|copy| copy.wait_for(Server::has_copied));
                let sentinel = Server::sentinel_of(master.port(), SILENT);
                let knows_all = format!("slaves={}", copies.len());
                sentinel.wait_for(|sentinel| sentinel.text(&["INFO", "sentinel"]).contains(&knows_all));
                (None, std::iter::once(master).chain(copies).collect(), vec![sentinel])
            }
            Place::Cluster => {
                let (mut servers, owner) = Server::cluster(&key(""), count - 1, Server::copied);
                let copies = servers.split_off(3);
                let master = servers.remove(owner);
                (None, std::iter::once(master).chain(copies).collect(), servers)
            }
        };
        let copies = copies.into_iter().map(|server| Some(Copy::of(server))).collect();
        let (looks, before) = (Vec::new(), Before::default());
        let mut servers = Self { place, copies, master: 0, others, clock, looks, before, unseen: false };
        servers.look();
        servers
    }

    /// For nodes; of a single server for those that nobody plays tricks.
    pub(super) fn address(&self) -> String {
        let port = |server: &Server| format!("127.0.0.1:{}", server.port());
        match self.place {
            Place::One => self.master().url(),
            Place::Sentinel => format!("redis+sentinel://{}/main", port(&self.others[0])),
            Place::Cluster => {
                format!("redis+cluster://{},{}", port(&self.others[0]), port(&self.others[1]))
            }
        }
    }

    /// The one that has the data.
    pub(super) fn master(&self) -> &Server {
        &self.copies[self.master].as_ref().expect("it is there").server
    }

    pub(super) fn master_mut(&mut self) -> &mut Server {
        &mut self.copies[self.master].as_mut().expect("it is there").server
    }

    /// Everything that was written, from the first to the last; none if the log of who has the data now does not go back so
    /// far, or if a server had the data whose log nobody has kept.
    pub(super) fn whole_log(&self) -> Option<PathBuf> {
        let copy = self.copies[self.master].as_ref()?;
        copy.server
            .wait_for(|server| server.text(&["INFO", "persistence"]).contains("aof_buffer_length:0\r"));
        (copy.is_whole() && !self.unseen).then(|| copy.log.clone())
    }

    /// What those wrote down that were replaced.
    pub(super) fn before(&mut self) -> Before {
        std::mem::take(&mut self.before)
    }

    /// Notes how far the server has come that has the data.
    pub(super) fn look(&mut self) {
        let at = now();
        let Some(copy) = &self.copies[self.master] else { return };
        let Ok(answer) = copy.server.ask(&["INFO", "replication"]) else { return };
        let info: String = ::redis::from_redis_value(answer).unwrap_or_default();
        let life = field(&info, "master_replid").filter(|_| info.contains("role:master"));
        let offset = field(&info, "master_repl_offset").and_then(|offset| offset.parse().ok());
        if let (Some(life), Some(offset)) = (life, offset) {
            self.looks.push(Look { at, life: life.to_owned(), offset });
        }
    }

    /// Sets the clock of the server; false if it has none of its own.
    pub(super) fn set_clock(&self, ahead: TimeDelta) -> bool {
        self.clock.as_ref().map(|clock| clock.set(ahead)).is_some()
    }

    /// A copy takes over from the server that has the data. Says how, and when.
    pub(super) fn move_on(&mut self, way: Way, held: Duration) -> (&'static str, Window) {
        let before = self.master;
        self.look();
        let what = match way {
            Way::Kill => {
                self.take_away(before);
                "server killed for good; a copy took over"
            }
            Way::Hold => {
                self.master().signal("STOP");
                "server held still; a copy took over, and it came back"
            }
            Way::Order => {
                self.order();
                "a copy took over by order"
            }
        };
        let next = self.successor(before);
        if let Some(Copy { server, .. }) = &self.copies[before] {
            if way == Way::Hold {
                wait(held);
                server.signal("CONT");
            }
            server.wait_for(|server| !server.is_master());
        }
        (what, self.follow(next))
    }

    /// From now on this server has the data, and the one before answers nobody. Says when it was replaced.
    fn follow(&mut self, next: usize) -> Window {
        // It would have to be made a copy anew, and its log would not tell everything.
        self.take_away(self.master);
        self.master = next;
        let begin = branch_of(self.master()).and_then(|(life, end)| {
            // What the copy had when it took over is kept, and so is all that was answered before somebody saw less than that.
            let mut looks = self.looks.iter().rev();
            looks.find(|look| look.life == life && look.offset < end).map(|look| look.at)
        });
        self.unseen |= begin.is_none();
        Window { begin: begin.unwrap_or(i64::MIN), end: now() }
    }

    /// Ends a server, and keeps what it has written down.
    fn take_away(&mut self, index: usize) {
        let Some(mut copy) = self.copies[index].take() else { return };
        copy.server.kill();
        self.before.read(read_writes(&copy.kept));
    }

    /// Whether the data can move on once more.
    pub(super) fn can_move(&self) -> bool {
        let whole = self.copies.iter().flatten().filter(|copy| copy.is_whole()).count();
        whole > 1 && self.copies.iter().flatten().count() > SPARE
    }

    /// A copy that had to be made anew does not know everything from the beginning on; it is not to take over.
    pub(super) fn retire(&self) {
        let (name, value) = match self.place {
            Place::Cluster => ("cluster-replica-no-failover", "yes"),
            _ => ("replica-priority", "0"),
        };
        for copy in self.copies.iter().flatten().filter(|copy| !copy.is_whole()) {
            copy.server.command(&["CONFIG", "SET", name, value]);
        }
    }

    /// When a copy has taken over that nobody asked to: on a busy machine a server may seem to be gone.
    pub(super) fn has_moved(&mut self) -> Option<Window> {
        self.other_master(self.master).map(|next| self.follow(next))
    }

    fn order(&self) {
        let deadline = SystemClock.monotonic() + LIMIT;
        let asked = || match self.place {
            Place::Sentinel => self.others[0].ask(&["SENTINEL", "FAILOVER", "main"]),
            _ => {
                let copies = (0..).zip(&self.copies).filter(|(index, _)| *index != self.master);
                let mut whole = copies.filter_map(|(_, copy)| copy.as_ref()).filter(|copy| copy.is_whole());
                whole.next().expect("there is one more").server.ask(&["CLUSTER", "FAILOVER"])
            }
        };
        while let Err(error) = asked() {
            assert!(SystemClock.monotonic() < deadline, "no copy is ordered to take over: {error}");
            wait(Duration::from_millis(100));
        }
    }

    /// Waits until another one has the data.
    fn successor(&self, before: usize) -> usize {
        let deadline = SystemClock.monotonic() + LIMIT;
        loop {
            if let Some(next) = self.other_master(before) {
                return next;
            }
            assert!(SystemClock.monotonic() < deadline, "no copy takes over");
            wait(Duration::from_millis(20));
        }
    }

    fn other_master(&self, before: usize) -> Option<usize> {
        let is_master = |index: &usize| {
            *index != before && self.copies[*index].as_ref().is_some_and(|copy| copy.server.is_master())
        };
        (0..self.copies.len()).find(is_master)
    }
}

/// A key of the store of a chaos.
pub(super) fn key(name: &str) -> String {
    format!("scheduler:{{chaos/0}}:{name}")
}
