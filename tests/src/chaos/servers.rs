//! Where the nodes of a chaos have their data, and how another server comes to have it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono::TimeDelta;
use scheduler_core::time::{Clock, SystemClock};

use super::wait;
use crate::redis::Server;
use crate::wall_clock::WallClock;

/// Beyond this no other server takes over any more.
const LIMIT: Duration = Duration::from_secs(30);

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

/// The servers of a chaos.
pub(super) struct Servers {
    place: Place,
    /// The first one that had the data, and copies of it from the beginning on, each with its log; none once it is gone.
    copies: Vec<Option<(Server, PathBuf)>>,
    /// The one that has the data.
    master: usize,
    /// Those that decide who does.
    others: Vec<Server>,
    clock: Option<WallClock>,
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
        let with_log = |server: Server| {
            // A copy begins a log of its own when it has copied everything, and takes a moment for it.
            server.wait_for(|server| {
                let info = server.text(&["INFO", "persistence"]);
                ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"]
                    .iter()
                    .all(|word| info.contains(word))
            });
            let log = server.log();
            Some((server, log))
        };
        Self { place, copies: copies.into_iter().map(with_log).collect(), master: 0, others, clock }
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
        &self.copies[self.master].as_ref().expect("it is there").0
    }

    pub(super) fn master_mut(&mut self) -> &mut Server {
        &mut self.copies[self.master].as_mut().expect("it is there").0
    }

    /// Everything that was written, from the first to the last; none if the log of who has the data now does not go back so far.
    pub(super) fn whole_log(&self) -> Option<PathBuf> {
        let (server, log) = self.copies[self.master].as_ref()?;
        server.wait_for(|server| server.text(&["INFO", "persistence"]).contains("aof_buffer_length:0\r"));
        Some(server.log()).filter(|now| now == log)
    }

    /// Sets the clock of the server; false if it has none of its own.
    pub(super) fn set_clock(&self, ahead: TimeDelta) -> bool {
        self.clock.as_ref().map(|clock| clock.set(ahead)).is_some()
    }

    /// A copy takes over from the server that has the data. Says how.
    pub(super) fn move_on(&mut self, way: Way, held: Duration) -> &'static str {
        let before = self.master;
        let what = match way {
            Way::Kill => {
                self.copies[before] = None;
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
        self.master = self.successor(before);
        if let Some((server, _)) = &self.copies[before] {
            if way == Way::Hold {
                wait(held);
                server.signal("CONT");
            }
            server.wait_for(|server| !server.is_master());
            // It has to be made a copy anew, and its log would not tell everything.
            self.copies[before] = None;
        }
        what
    }

    /// Whether the data can move on once more.
    pub(super) fn can_move(&self) -> bool {
        let whole = self.copies.iter().flatten().filter(|(server, log)| server.log() == *log).count();
        whole > 1 && self.copies.iter().flatten().count() > SPARE
    }

    /// A copy that had to be made anew does not know everything from the beginning on; it is not to take over.
    pub(super) fn retire(&self) {
        let (name, value) = match self.place {
            Place::Cluster => ("cluster-replica-no-failover", "yes"),
            _ => ("replica-priority", "0"),
        };
        for (server, log) in self.copies.iter().flatten() {
            if server.log() != *log {
                server.command(&["CONFIG", "SET", name, value]);
            }
        }
    }

    /// Whether a copy has taken over that nobody asked to: on a busy machine a server may seem to be gone.
    pub(super) fn has_moved(&mut self) -> bool {
        let Some(next) = self.other_master(self.master) else { return false };
        self.copies[self.master] = None;
        self.master = next;
        true
    }

    fn order(&self) {
        let deadline = SystemClock.monotonic() + LIMIT;
        let asked = || match self.place {
            Place::Sentinel => self.others[0].ask(&["SENTINEL", "FAILOVER", "main"]),
            _ => {
                let copies = (0..).zip(&self.copies).filter(|(index, _)| *index != self.master);
                let mut whole =
                    copies.filter_map(|(_, copy)| copy.as_ref()).filter(|(server, log)| server.log() == *log);
                whole.next().expect("there is one more").0.ask(&["CLUSTER", "FAILOVER"])
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
            *index != before && self.copies[*index].as_ref().is_some_and(|(server, _)| server.is_master())
        };
        (0..self.copies.len()).find(is_master)
    }
}

/// A key of the store of a chaos.
pub(super) fn key(name: &str) -> String {
    format!("scheduler:{{chaos/0}}:{name}")
}
