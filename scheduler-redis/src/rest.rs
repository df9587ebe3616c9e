//! Pauses and calendars as a record.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::Result;
use scheduler_core::calendar::{Calendar, typetag};
use scheduler_core::store::rows::Pauses;
use scheduler_core::store::view::Rest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec;

/// Written and read.
#[derive(Serialize, Deserialize)]
struct Record {
    pauses: Pauses,
    calendars: BTreeMap<Arc<str>, Value>,
}

/// A calendar that this program cannot read, as it was written. Others may know its type.
#[derive(Debug, Serialize, Deserialize)]
struct Foreign {
    record: Value,
}

/// The name of [`Foreign`] among the types of calendars.
const FOREIGN: &str = "scheduler-redis/foreign";

/// Whether this program cannot read the calendar. Calls no code of its author.
pub(crate) fn is_foreign(calendar: &dyn Calendar) -> bool {
    calendar.typetag_name() == FOREIGN
}

#[typetag::serde(name = "scheduler-redis/foreign")]
impl Calendar for Foreign {
    fn includes(&self, _: DateTime<Utc>) -> bool {
        true
    }

    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(time)
    }
}

fn record(calendar: &dyn Calendar) -> Result<Value> {
    let mut value: Value = codec::decode("calendar", "", &codec::encode(calendar)?)?;
    Ok(if is_foreign(calendar) { value["record"].take() } else { value })
}

pub(crate) fn write(rest: &Rest) -> Result<Vec<u8>> {
    let calendars = rest.calendars.iter().map(|(name, calendar)| Ok((name.clone(), record(&**calendar)?)));
    let record = Record { pauses: rest.pauses.clone(), calendars: calendars.collect::<Result<_>>()? };
    Ok(codec::encode(&record)?.into_bytes())
}

pub(crate) fn read(record: &[u8]) -> Result<Rest> {
    let Record { pauses, calendars } =
        codec::decode("record of pauses and calendars", "", &String::from_utf8_lossy(record))?;
    let mut rest = Rest::default();
    rest.pauses = pauses;
    for (name, record) in calendars {
        let calendar: Arc<dyn Calendar> = match serde_json::from_value::<Box<dyn Calendar>>(record.clone()) {
            Ok(calendar) => Arc::from(calendar),
            Err(error) => {
                tracing::warn!(calendar = &*name, %error, "this program cannot read the calendar `{name}` and leaves its triggers to other nodes: {error}");
                Arc::new(Foreign { record })
            }
        };
        rest.calendars.insert(name, calendar);
    }
    Ok(rest)
}
