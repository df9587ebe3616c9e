//! Before anything else: whether this is a store of ours, one that this program understands, and one that it may use.

use redis::{Cmd, cmd};
use scheduler_core::Error;
use serde_json::{Value, json};

use crate::codec;
use crate::connection::Failure;
use crate::damage::KINDS;
use crate::script::word;
use crate::shared::Shared;

/// Written and read; see `nodes.lua`, which writes it down again where it is lost.
pub(crate) const FORMAT: &str = "3:12";

/// What an ACL may forbid: each once, on a key of its own. `@` stands before a key.
const PROBES: &[&str] = &[
    "TYPE @h",
    "HSET @h a 1",
    "HGET @h a",
    "HMGET @h a",
    "HGETALL @h",
    "HKEYS @h",
    "HLEN @h",
    "HSCAN @h 0 COUNT 1",
    "HRANDFIELD @h 1",
    "HEXISTS @h a",
    "HSETNX @h b 1",
    "HDEL @h b",
    "HINCRBY @h n 1",
    "ZADD @z 1 a",
    "ZRANGE @z 0 0",
    "ZRANGEBYSCORE @z 0 1",
    "ZREVRANGEBYSCORE @z 1 0",
    "ZSCORE @z a",
    "ZCARD @z",
    "ZCOUNT @z 0 1",
    "ZREM @z b",
    "ZREMRANGEBYRANK @z 5 5",
    "ZRANGEBYLEX @z - +",
    "ZLEXCOUNT @z - +",
    "SADD @s a",
    "SMEMBERS @s",
    "SISMEMBER @s a",
    "SRANDMEMBER @s",
    "SCARD @s",
    "SREM @s b",
    "EXISTS @s",
    "RENAME @s @r",
    "SET @t 1 EX 1",
    "EXPIRE @t 1",
    "GET @t",
    "MGET @t",
    "SETRANGE @t 0 a",
    "GETRANGE @t 0 0",
    "STRLEN @t",
    "PUBLISH @c 1",
    "DEL @h @z @r @t",
];

impl Shared {
    /// Says which data it is, and what time.
    pub(crate) async fn boot(&self, place: &str) -> Result<Value, Failure> {
        let refused = |text: String| Failure::Refused(Error::config(format!("Redis at {place}: {text}")));
        let mut forbidden = Vec::<(&str, String)>::new();
        for probe in PROBES {
            match self.hot.carry_out(&self.probe(probe)).await {
                Ok(_) => {}
                Err(Failure::Refused(error)) if error.is_config() => {
                    forbidden.push((probe.split(' ').next().unwrap_or_default(), error.to_string()));
                }
                // It may, and has no room now, or not yet a replica.
                Err(Failure::Refused(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        if let Some((_, first)) = forbidden.first() {
            let commands = forbidden.iter().map(|(command, _)| *command).collect::<Vec<_>>().join(", ");
            return Err(refused(format!(
                "the user must not do what the job store needs: {commands} (`{first}`); the page \"Running a cluster\" has the rule to set"
            )));
        }
        let mut wrong = Vec::new();
        for (name, kind) in KINDS {
            let found = word(Some(&self.hot.carry_out(&self.command("TYPE", name)).await?));
            if found != *kind && found != "none" {
                wrong.push(format!("`{}` is a {found} and not a {kind}", self.key(name)));
            }
        }
        if !wrong.is_empty() {
            let wrong = wrong.join(", ");
            return Err(refused(format!(
                "the keys of the job store belong to something else: {wrong}; choose another name or namespace"
            )));
        }
        let known = self.node_call_on(&self.hot, "boot", &json!({})).await?;
        let schema = codec::text(&known["schema"]);
        if schema != FORMAT {
            let parts = |format: &str| format.split(':').map(str::parse).collect::<Result<Vec<u32>, _>>();
            let way_out = match (parts(schema), parts(FORMAT)) {
                (Ok(format), Ok(own)) if format < own => "empty the store, or give this one another name",
                _ => "upgrade `scheduler-redis`",
            };
            return Err(refused(format!(
                "the job store has the format {schema}, and this program reads and writes {FORMAT} only; {way_out}"
            )));
        }
        Ok(known)
    }

    fn probe(&self, probe: &str) -> Cmd {
        let mut words = probe.split(' ');
        let mut command = cmd(words.next().unwrap_or_default());
        for part in words {
            match part.strip_prefix('@') {
                Some(key) => command.arg(self.key(&format!("probe:{key}"))),
                None => command.arg(part),
            };
        }
        command
    }
}
