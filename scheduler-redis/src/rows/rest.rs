//! Pauses and calendars as a record.

use std::collections::BTreeMap;
use std::sync::Arc;

use scheduler_core::Result;
use scheduler_core::calendar::Calendar;
use scheduler_core::store::rows::Pauses;
use scheduler_core::store::view::Rest;
use serde::{Deserialize, Serialize};

use crate::codec;

#[derive(Serialize)]
struct Written<'a> {
    pauses: &'a Pauses,
    calendars: BTreeMap<&'a str, &'a dyn Calendar>,
}

#[derive(Deserialize)]
struct Read {
    pauses: Pauses,
    calendars: BTreeMap<Arc<str>, Box<dyn Calendar>>,
}

pub(crate) fn write(rest: &Rest) -> Result<Vec<u8>> {
    let calendars = rest.calendars.iter().map(|(name, calendar)| (&**name, &**calendar)).collect();
    Ok(codec::encode(&Written { pauses: &rest.pauses, calendars })?.into_bytes())
}

pub(crate) fn read(record: &[u8]) -> Result<Rest> {
    let read: Read = codec::decode("record of pauses and calendars", "", &String::from_utf8_lossy(record))?;
    let mut rest = Rest::default();
    rest.pauses = read.pauses;
    rest.calendars = read.calendars.into_iter().map(|(name, calendar)| (name, Arc::from(calendar))).collect();
    Ok(rest)
}
