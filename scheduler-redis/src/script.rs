//! The scripts, and what they answer.
//!
//! Each has `common.lua` before it, and those that claim and end runs have `gates.lua`, too. A call carries its name as the first argument, so that whoever reads the log of slow calls, or of
//! all commands, sees what is done.

use std::sync::LazyLock;

use redis::{Script, Value};
use scheduler_core::job::{CancelReason, ExecutionId};
use scheduler_core::{Error, Result};

use crate::codec;

macro_rules! script {
    ($flags:literal, $($file:literal),*) => {
        LazyLock::new(|| {
            let parts = [include_str!("script/common.lua"), $(include_str!($file)),*];
            Script::new(&format!("#!lua{}\n{}", $flags, parts.map(without_comments).concat()))
        })
    };
}

/// Memory is needed for what it takes.
pub(crate) static TAKE: LazyLock<Script> = script!("", "script/gates.lua", "script/take.lua");

/// Carried out also when the memory of the server is full, for it takes nothing.
pub(crate) static LOOK: LazyLock<Script> = script!(" flags=allow-oom", "script/gates.lua", "script/take.lua");

/// Stores something new.
pub(crate) static GROW: LazyLock<Script> = script!("", "script/gates.lua", "script/commit.lua");

/// Carried out also when the memory of the server is full, for what it ends frees some.
pub(crate) static COMMIT: LazyLock<Script> =
    script!(" flags=allow-oom", "script/gates.lua", "script/commit.lua");

/// As well.
pub(crate) static NODES: LazyLock<Script> = script!(" flags=allow-oom", "script/nodes.lua");

/// What a test needs of rates.
#[cfg(all(test, unix))]
pub(crate) const GATES: [&str; 2] = [include_str!("script/common.lua"), include_str!("script/gates.lua")];

/// Reads firing records.
pub(crate) static FIRINGS: LazyLock<Script> = script!(" flags=no-writes,allow-oom", "script/firings.lua");

/// Reads what is known of limits.
pub(crate) static LIMITS: LazyLock<Script> = script!(" flags=no-writes,allow-oom", "script/limits.lua");

/// Adds to counters.
pub(crate) static COUNTS: LazyLock<Script> = script!(" flags=allow-oom", "script/counts.lua");

pub(crate) fn without_comments(text: &str) -> String {
    let code = text.lines().filter(|line| !line.is_empty() && !line.trim_start().starts_with("--"));
    code.flat_map(|line| [line, "\n"]).collect()
}

pub(crate) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// A text, with marks in place of what is not UTF-8; empty if it is none.
pub(crate) fn word(value: Option<&Value>) -> String {
    value.and_then(bytes).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

pub(crate) fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Int(number) => u64::try_from(*number).ok(),
        text => word(Some(text)).parse().ok(),
    }
}

pub(crate) fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(values) | Value::Set(values)) => values,
        Some(Value::Map(pairs)) => pairs.into_iter().flat_map(|(key, value)| [key, value]).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn words(value: Option<Value>) -> Vec<String> {
    list(value).iter().map(|value| word(Some(value))).collect()
}

/// The names among these alarms. Those of gates are none: only the script looks at them.
pub(crate) fn alarms(value: Option<Value>) -> Vec<String> {
    let is_name = |value: &&Value| bytes(value).is_some_and(|name| name.first() != Some(&255));
    list(value).iter().filter(is_name).map(|value| word(Some(value))).collect()
}

/// The runs of a node that are to stop, in the order of their ids.
pub(crate) fn read_stops(stops: &[Value]) -> Vec<(ExecutionId, CancelReason)> {
    let read = |pair: &[Value]| {
        let reason = match word(Some(&pair[1])).as_str() {
            "superseded" => CancelReason::Superseded,
            _ => CancelReason::Requested,
        };
        codec::read_claim(&word(Some(&pair[0])))
            .inspect_err(|error| {
                tracing::error!(%error, "a run that is to stop cannot be read and goes on: {error}");
            })
            .ok()
            .map(|run| (run, reason))
    };
    let mut stops: Vec<_> = stops.chunks_exact(2).filter_map(read).collect();
    stops.sort_unstable_by_key(|(run, _)| *run);
    stops
}

/// What a script has said, or what else there was.
pub(crate) fn parts(call: &str, value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(parts) if !parts.is_empty() => Ok(parts),
        other => Err(Error::transient(format!(
            "the answer of Redis to the call `{call}` is none of this store: `{other:?}`; make sure that nothing between this program \
             and the server changes answers"
        ))),
    }
}
