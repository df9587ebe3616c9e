//! The servers whose stores are measured, each a process of its own on a free port.

use std::time::Duration;

use tests::proxy::Proxy;
use tests::redis;

use crate::measure::{Task, processor_time_of_tree};
use crate::postgres::Postgres;

/// A server that is gone when this is dropped.
#[derive(Debug)]
pub enum Server {
    /// With what delays its traffic, if anything does.
    Redis(redis::Server, Option<Proxy>),
    /// For the peer that keeps its jobs there.
    Postgres(Postgres),
}

impl Server {
    /// As the task wants it: `peer=quartz-jdbc` is PostgreSQL, everything else Redis, with `aof=everysec` one that writes to the
    /// disk, with `delay=1` so many milliseconds away in each direction.
    #[must_use]
    pub fn start(task: &Task) -> Self {
        if task.get("peer", String::new()) == "quartz-jdbc" {
            return Self::Postgres(Postgres::start());
        }
        let server = match task.get("aof", "no".to_owned()).as_str() {
            "no" => redis::Server::start(),
            policy => redis::Server::with(&["--save", "", "--appendonly", "yes", "--appendfsync", policy]),
        };
        let proxy = match task.get("delay", 0) {
            0 => None,
            delay => {
                let proxy = Proxy::to(server.port());
                proxy.delay(Duration::from_millis(delay));
                Some(proxy)
            }
        };
        Self::Redis(server, proxy)
    }

    /// The address for its clients.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Redis(_, Some(proxy)) => proxy.url(),
            Self::Redis(server, None) => server.url(),
            Self::Postgres(server) => server.url(),
        }
    }

    /// The processor time that it has used.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        processor_time_of_tree(match self {
            Self::Redis(server, _) => server.pid(),
            Self::Postgres(server) => server.pid(),
        })
    }

    /// Does what an administrator does after much was stored, and forgets what was counted.
    pub fn settle(&self) {
        match self {
            Self::Redis(server, _) => {
                for words in [
                    &["CONFIG", "RESETSTAT"][..],
                    &["CONFIG", "SET", "slowlog-log-slower-than", "1000", "slowlog-max-len", "100000"],
                    &["SLOWLOG", "RESET"],
                ] {
                    server.command(words);
                }
            }
            Self::Postgres(server) => {
                server.query("vacuum analyze");
                server.query("select pg_stat_statements_reset()");
            }
        }
    }

    /// Requests of clients since then, and commands or statements in all.
    #[must_use]
    pub fn counts(&self) -> (f64, f64) {
        match self {
            Self::Redis(server, _) => {
                let stats = server.text(&["INFO", "commandstats"]);
                let count = |line: &str| {
                    let (_, rest) = line.split_once("calls=")?;
                    rest.split(',').next()?.parse::<f64>().ok()
                };
                let all = stats.lines().filter(|line| line.starts_with("cmdstat_"));
                // What the judge asks itself.
                let of_judge = ["config", "info", "hlen", "ping", "slowlog"];
                let all = all.filter(|line| !of_judge.iter().any(|name| line.contains(name)));
                let calls = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).and_then(count);
                (calls.unwrap_or_default(), all.filter_map(count).sum())
            }
            Self::Postgres(server) => {
                let count = server.query("select sum(calls) from pg_stat_statements").parse();
                let count = count.unwrap_or_default();
                (count, count)
            }
        }
    }

    /// How long Redis took for each call that took more than a millisecond, in milliseconds, the longest first.
    #[must_use]
    pub fn slow_calls(&self) -> Vec<f64> {
        let Self::Redis(server, _) = self else { return Vec::new() };
        let ::redis::Value::Array(calls) = server.command(&["SLOWLOG", "GET", "-1"]) else {
            return Vec::new();
        };
        let micros = |call: &::redis::Value| match call {
            ::redis::Value::Array(fields) => match fields.get(2) {
                Some(::redis::Value::Int(micros)) => Some(*micros as f64 / 1000.0),
                _ => None,
            },
            _ => None,
        };
        let mut millis: Vec<_> = calls.iter().filter_map(micros).collect();
        millis.sort_by(|a, b| b.total_cmp(a));
        millis
    }

    /// The memory that Redis has in use, in bytes.
    #[must_use]
    pub fn used_memory(&self) -> Option<f64> {
        let Self::Redis(server, _) = self else { return None };
        let memory = server.text(&["INFO", "memory"]);
        memory.lines().find_map(|line| line.strip_prefix("used_memory:"))?.trim().parse().ok()
    }

    /// How many triggers of ours are left.
    #[must_use]
    pub fn left_in(&self, key: &str) -> u64 {
        let Self::Redis(server, _) = self else { return 0 };
        server.text(&["HLEN", key]).parse().unwrap_or_default()
    }
}
