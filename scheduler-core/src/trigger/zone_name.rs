//! Zones are stored by their IANA names, never by offsets, which change.

use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    let name = String::deserialize(deserializer)?;
    scheduler_syntax::parse_zone(&name).map_err(serde::de::Error::custom)
}
