//! How values are written into records that outlive a program.
//!
//! Every record carries its version as `v`. Unknown fields are passed over, missing ones have defaults, zones are
//! written by their IANA names, rules as the text that people write.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of records that this program writes, and the last that it reads.
const CURRENT: u16 = 1;

/// The version of a record; takes no memory, since what is in memory is always of the present one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(CURRENT)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            ..=CURRENT => Ok(Self),
            newer => Err(serde::de::Error::custom(format!(
                "the record has version {newer} and this program reads up to {CURRENT}; upgrade it"
            ))),
        }
    }
}

/// Makes a record of a type with `#[serde(remote = "Self")]` an error if the value has a `problem()`. So nothing that a builder
/// refuses comes in by a record.
macro_rules! checked {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$type>::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <$type>::deserialize(deserializer)?;
                value.problem().map_or(Ok(value), |problem| Err(serde::de::Error::custom(problem)))
            }
        }
    )+};
}
pub(crate) use checked;

/// Durations as whole seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

/// Values as the text that people write.
pub(crate) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("`{text}`: {error}")))
    }
}

/// A value inside a record, or why it cannot be read. So the error of the record can name its owner.
pub(crate) mod part {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        part: &Result<T, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        part.as_ref().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Result<T, String>, D::Error> {
        Value::deserialize(deserializer).map(read)
    }

    pub(crate) fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
        T::deserialize(value).map_err(|error| error.to_string())
    }
}

/// A duration in a status: milliseconds, with their fractions. The name of such a field ends with `_ms`.
pub(crate) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1000.0)
}

/// As [`millis`], for a duration that may be none.
pub(crate) fn millis_or_none<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// Zones by their IANA names, never by offsets, which change.
pub(crate) mod zone {
    use chrono_tz::Tz;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
        scheduler_syntax::parse_zone(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Policies for changes of clocks.
pub(crate) mod dst {
    use scheduler_syntax::{DstPolicy, Gap, Overlap};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "DstPolicy")]
    struct Policy {
        #[serde(with = "GapName")]
        gap: Gap,
        #[serde(with = "OverlapName")]
        overlap: Overlap,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Gap", rename_all = "snake_case")]
    enum GapName {
        RunAfter,
        Shift,
        Skip,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Overlap", rename_all = "snake_case")]
    enum OverlapName {
        First,
        Second,
        Both,
    }

    pub(crate) fn serialize<S: Serializer>(policy: &DstPolicy, serializer: S) -> Result<S::Ok, S::Error> {
        Policy::serialize(policy, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DstPolicy, D::Error> {
        Policy::deserialize(deserializer)
    }
}
