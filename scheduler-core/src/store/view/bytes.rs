//! The parts of a record, written and read one after the other.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::run::RunId;

/// Written at the beginning of each record, after its kind.
const FORMAT: u8 = 1;

/// In place of a time that is none.
const NEVER: i64 = i64::MIN;

/// Set in a byte of a count if another byte follows.
const MORE: u8 = 0x80;

/// What kind of row a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A job.
    Job = b'j' as isize,
    /// A trigger; as a claim, one that is not fired.
    Trigger = b't' as isize,
    /// A run; as a claim, one that was claimed and that nobody has asked to stop.
    Run = b'r' as isize,
    /// A claim that is fired.
    Claim = b'c' as isize,
    /// What became of an attempt, or of an occurrence that did not run.
    Firing = b'f' as isize,
}

/// The kind of a record; none if it is of none, or empty.
pub fn kind_of(record: &[u8]) -> Option<Kind> {
    [Kind::Job, Kind::Trigger, Kind::Run, Kind::Claim, Kind::Firing]
        .into_iter()
        .find(|kind| record.first() == Some(&(*kind as u8)))
}

pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn new(kind: Kind) -> Self {
        Self::after(Vec::with_capacity(512), kind)
    }

    /// A record after other bytes.
    pub(super) fn after(mut bytes: Vec<u8>, kind: Kind) -> Self {
        bytes.extend([kind as u8, FORMAT]);
        Self(bytes)
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Seven bits in a byte, the lowest first; the eighth bit says that there are more.
    pub(super) fn small(&mut self, mut value: u32) {
        while value >= MORE.into() {
            self.byte(value as u8 | MORE);
            value >>= 7;
        }
        self.byte(value as u8);
    }

    pub(super) fn number(&mut self, value: u64) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn time(&mut self, value: Option<DateTime<Utc>>) {
        self.0.extend(value.map_or(NEVER, |time| time.timestamp_micros()).to_be_bytes());
    }

    pub(super) fn run(&mut self, id: RunId) {
        self.number(id.sender());
        self.number(id.count());
    }

    pub(super) fn text(&mut self, value: &str) {
        self.small(value.len() as u32);
        self.0.extend(value.as_bytes());
    }

    /// The last part.
    pub(super) fn json(mut self, value: &impl Serialize) -> Result<Vec<u8>> {
        serde_json::to_writer(&mut self.0, value).map_err(|error| {
            let text = format!(
                "a value cannot be written as JSON and is not stored: {error}; change its `Serialize`"
            );
            Error::config(text).caused_by(error)
        })?;
        Ok(self.0)
    }
}

pub(super) struct Reader<'a> {
    pub(super) left: &'a [u8],
}

pub(super) type Read<T> = std::result::Result<T, String>;

impl<'a> Reader<'a> {
    pub(super) fn new(record: &'a [u8], kind: Kind) -> Read<Self> {
        match record {
            [found, FORMAT, left @ ..] if *found == kind as u8 => Ok(Self { left }),
            [found, format, ..] if *found == kind as u8 => {
                Err(format!("it has the format {format}, and this program reads {FORMAT} only"))
            }
            _ => Err("it is no record of this kind".to_owned()),
        }
    }

    pub(super) fn bytes(&mut self, many: usize) -> Read<&'a [u8]> {
        let (first, left) = self.left.split_at_checked(many).ok_or("it is cut short")?;
        self.left = left;
        Ok(first)
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        Ok(self.bytes(1)?[0])
    }

    pub(super) fn small(&mut self) -> Read<u32> {
        let mut value = 0_u64;
        for place in 0..5 {
            let byte = self.byte()?;
            value |= u64::from(byte & !MORE) << (7 * place);
            if byte < MORE {
                return u32::try_from(value).map_err(|_| format!("{value} is too large a count"));
            }
        }
        Err("a count has more than five bytes".to_owned())
    }

    pub(super) fn number(&mut self) -> Read<u64> {
        Ok(self.bytes(8)?.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte)))
    }

    pub(super) fn time(&mut self) -> Read<Option<DateTime<Utc>>> {
        match self.number()?.cast_signed() {
            NEVER => Ok(None),
            micros => DateTime::from_timestamp_micros(micros)
                .map(Some)
                .ok_or_else(|| format!("{micros} is no time")),
        }
    }

    pub(super) fn run(&mut self) -> Read<RunId> {
        Ok(RunId::new(self.number()?, self.number()?))
    }

    pub(super) fn text(&mut self) -> Read<&'a str> {
        let many = self.small()? as usize;
        std::str::from_utf8(self.bytes(many)?).map_err(|error| error.to_string())
    }

    pub(super) fn json<T: DeserializeOwned>(self) -> Read<T> {
        serde_json::from_slice(self.left).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_as_few_bytes_as_it_needs() {
        for (count, bytes) in [(0, 1), (5, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u32::MAX, 5)] {
            let mut to = Writer(Vec::new());
            to.small(count);
            to.byte(7);
            let mut from = Reader { left: &to.0 };
            assert_eq!((to.0.len() - 1, from.small(), from.byte()), (bytes, Ok(count), Ok(7)), "{count}");
        }
    }

    #[test]
    fn what_is_no_count_is_told() {
        for (bytes, problem) in [
            (&[][..], "it is cut short"),
            (&[0x80, 0xFF], "it is cut short"),
            (&[0xFF, 0xFF, 0xFF, 0xFF, 0x1F], "8589934591 is too large a count"),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0], "a count has more than five bytes"),
        ] {
            assert_eq!(Reader { left: bytes }.small(), Err(problem.to_owned()), "{bytes:?}");
        }
    }
}
