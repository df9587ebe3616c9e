//! The id of a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::{JobKey, TriggerKey};

/// The unique id of a run. All attempts of the run have the same id, so the id is a good idempotency key.
///
/// The id is made by the sender of the run, from a number of its own and a count. A repeated call of the sender therefore
/// names the same run. The texts of ids are in the order of the ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(u128);

impl RunId {
    /// The id of the `count`-th run of a `sender`.
    pub const fn new(sender: u64, count: u64) -> Self {
        Self(((sender as u128) << 64) | count as u128)
    }

    /// The id that belongs to a key, such as the number of an order. Every program and version makes the same id of it.
    ///
    /// A run that is enqueued with this [`id`](crate::client::Enqueue::id) is not stored a second time as long as it is stored. The id
    /// is the first 128 bits of the SHA-1 of the key. The key itself is not stored. Two jobs with the same key share one id, so name
    /// the job in the key.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::run::RunId;
    /// # #[job] async fn invoice(order: u64) {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// scheduler.enqueue(invoice::with(17)).id(RunId::from_key("invoice of order 17")).await?;
    /// # Ok(())
    /// # }
    /// // The same in every program and version.
    /// assert_eq!(RunId::from_key("invoice of order 17").to_string(), "73a17bd96b008572-bfb669bf90aed609");
    /// ```
    pub fn from_key(key: &str) -> Self {
        let digest = sha1_smol::Sha1::from(key).digest().bytes();
        Self(digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }

    /// The number of the sender that made the id.
    pub const fn sender(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The number of the run among those of its sender.
    pub const fn count(self) -> u64 {
        self.0 as u64
    }

    /// The name under which an attempt of the run is shown as a trigger, in the group of its job.
    pub(crate) fn name_beside(self, job: &JobKey) -> TriggerKey {
        let name = self.to_string();
        TriggerKey::in_group(job.group(), &name).expect("digits and a hyphen are a name")
    }

    /// A number that looks random and is always the same for this run and `attempt`.
    pub(crate) const fn scatter(self, attempt: u32) -> u64 {
        // The finaliser of SplitMix64: every bit of the input changes half of the bits of the output.
        let mut word = self.sender()
            ^ self.count().rotate_left(32)
            ^ (attempt as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.sender(), self.count())
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    /// Reads what `Display` writes: the sender and the count in hexadecimal digits, with a hyphen between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = |digits: &str| u64::from_str_radix(digits, 16).ok().filter(|_| is_number(digits));
        let numbers = text.split_once('-').and_then(|(sender, count)| number(sender).zip(number(count)));
        numbers.map(|(sender, count)| Self::new(sender, count)).ok_or_else(|| InvalidRunId(text.to_owned()))
    }
}

/// A text that is not a [`RunId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the id of a run; write the sender and the count in hexadecimal digits, such as `00000000000000a1-2f`"
)]
pub struct InvalidRunId(String);

impl Serialize for RunId {
    /// As its text: most readers of JSON cannot hold a number of 128 bits.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::stored::text::deserialize(deserializer)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_and_read_as_its_text() {
        for id in [RunId::new(0, 0), RunId::new(u64::MAX, 47), RunId::new(161, u64::MAX)] {
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<RunId>(&json).unwrap(), id, "{json}");
        }
    }

    #[test]
    fn the_id_of_a_key_is_always_the_same() {
        for (key, id) in [
            ("", "da39a3ee5e6b4b0d-3255bfef95601890"),
            ("abc", "a9993e364706816a-ba3e25717850c26c"),
            ("Ünïcode", "e5ac741e1ec5e454-d6e7acd25296a7ce"),
        ] {
            assert_eq!(RunId::from_key(key).to_string(), id, "{key}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_id_is_named() {
        for text in ["", "-", "1", "1-", "-1", "g-1", "+1-2", "1-+2", "1-2-3", "10000000000000000-1", " 1-2"]
        {
            let error = text.parse::<RunId>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is not the id of a run")), "{error}");
        }
    }
}
