//! The id of an execution.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The unique id of one execution, also over restarts and nodes: good as an idempotency key.
///
/// It is the id of the claim by which the store allowed the run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionId(u128);

impl ExecutionId {
    /// The id of the `count`-th claim of a node's `session`.
    pub const fn new(session: u64, count: u64) -> Self {
        Self(((session as u128) << 64) | count as u128)
    }

    /// A number for the next claim: larger than `last` and at least `now` in microseconds, so numbers also grow over restarts
    /// and over everything that gives them out.
    pub(crate) fn count_after(last: u64, now: DateTime<Utc>) -> u64 {
        last.saturating_add(1).max(now.timestamp_micros().try_into().unwrap_or(0))
    }

    /// The session that made the claim.
    pub const fn session(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The number of the claim within its session.
    pub const fn count(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}", self.session(), self.count())
    }
}

impl FromStr for ExecutionId {
    type Err = InvalidExecutionId;

    /// Reads what `Display` writes: the session and the count in hexadecimal digits, with a hyphen between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
        let (session, count) = text.split_once('-').ok_or_else(|| InvalidExecutionId(text.to_owned()))?;
        number(session)
            .zip(number(count))
            .map(|(session, count)| Self::new(session, count))
            .ok_or_else(|| InvalidExecutionId(text.to_owned()))
    }
}

/// A text that is not an [`ExecutionId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the id of an execution; write the session and the count in hexadecimal digits, such as `00000000000000a1-2f`"
)]
pub struct InvalidExecutionId(String);

impl Serialize for ExecutionId {
    /// As its text: a number of 128 bits is more than most readers of JSON can hold.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExecutionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::stored::text::deserialize(deserializer)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecutionId({self})")
    }
}

/// A number that no other life of a node has; the standard library seeds its hashers from the system.
pub(crate) fn new_session() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_and_read_as_its_text() {
        let id = ExecutionId::new(u64::MAX, 47);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"ffffffffffffffff-2f\"");
        assert_eq!(serde_json::from_str::<ExecutionId>(&json).unwrap(), id);
    }

    #[test]
    fn a_text_that_is_no_id_is_named() {
        for text in ["", "-", "1", "1-", "g-1", "+1-2", "1-2-3", "10000000000000000-1"] {
            let error = text.parse::<ExecutionId>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is not the id of an execution")), "{error}");
        }
    }
}
