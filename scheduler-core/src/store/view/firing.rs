//! Firing records as bytes, short since there are many. Their numbers are not among the bytes.

use std::sync::Arc;
use std::time::Duration;

use super::bytes::{Read, Reader, Writer};
use super::record::{Kind, flag};
use crate::job::ExecutionId;
use crate::key::{DEFAULT_GROUP, InvalidKey, JobKey, TriggerKey};
use crate::run::FiringCause;
use crate::store::firings::{FiringOutcome, FiringReason, FiringRecord};

/// What a record has; the others are none.
const EXECUTION: u8 = 1;
const RUN: u8 = 2;
const TRIGGER: u8 = 4;
const OVERRAN: u8 = 8;
const BEGAN: u8 = 16;

/// Optional texts, each with its flag.
const TYPE: u8 = 1;
const QUEUE: u8 = 2;
const NODE: u8 = 4;
const FAILURE: u8 = 8;

/// As its length a text that is longer than the others has this.
const LONG: u8 = u8::MAX;

const CAUSES: [(FiringCause, u8); 7] = [
    (FiringCause::Schedule, b's'),
    (FiringCause::Manual, b'm'),
    (FiringCause::Enqueued, b'e'),
    (FiringCause::Continuation, b'c'),
    (FiringCause::Backfill, b'b'),
    (FiringCause::Retry, b'r'),
    (FiringCause::Recovery, b'l'),
];

const OUTCOMES: [(FiringOutcome, u8); 10] = [
    (FiringOutcome::Succeeded, b's'),
    (FiringOutcome::Failed, b'f'),
    (FiringOutcome::Panicked, b'p'),
    (FiringOutcome::TimedOut, b't'),
    (FiringOutcome::Cancelled, b'c'),
    (FiringOutcome::Lost, b'l'),
    (FiringOutcome::NotRun, b'n'),
    (FiringOutcome::Discarded, b'd'),
    (FiringOutcome::Snoozed, b'z'),
    (FiringOutcome::Throttled, b'h'),
];

const REASONS: [(Option<FiringReason>, u8); 13] = [
    (None, b'-'),
    (Some(FiringReason::Misfired), b'm'),
    (Some(FiringReason::Excluded), b'x'),
    (Some(FiringReason::Overlapped), b'o'),
    (Some(FiringReason::Vetoed), b'v'),
    (Some(FiringReason::Requested), b'q'),
    (Some(FiringReason::Superseded), b'u'),
    (Some(FiringReason::Shutdown), b's'),
    (Some(FiringReason::ClaimLost), b'l'),
    (Some(FiringReason::Retried), b'r'),
    (Some(FiringReason::Dead), b'd'),
    (Some(FiringReason::Expired), b'e'),
    (Some(FiringReason::Dependency), b'y'),
];

fn letter<T: PartialEq>(all: &[(T, u8)], value: &T) -> u8 {
    all.iter().find(|(known, _)| known == value).map_or(b'?', |(_, letter)| *letter)
}

fn read_letter<T: Copy>(all: &[(T, u8)], from: &mut Reader<'_>, what: &str) -> Read<T> {
    let found = from.byte()?;
    let known = all.iter().find(|(_, letter)| *letter == found);
    known.map(|(value, _)| *value).ok_or_else(|| format!("{found} is no {what}"))
}

fn short(to: &mut Writer, text: &str) {
    match u8::try_from(text.len()) {
        Ok(many) if many < LONG => {
            to.byte(many);
            to.0.extend(text.as_bytes());
        }
        _ => {
            to.byte(LONG);
            to.text(text);
        }
    }
}

fn read_short<'a>(from: &mut Reader<'a>) -> Read<&'a str> {
    let many = from.byte()?;
    if many == LONG {
        return from.text();
    }
    std::str::from_utf8(from.bytes(many.into())?).map_err(|error| error.to_string())
}

fn key(to: &mut Writer, group: &str, name: &str) {
    short(to, if group == DEFAULT_GROUP { "" } else { group });
    short(to, name);
}

fn read_key<K>(from: &mut Reader<'_>, make: fn(&str, &str) -> Result<K, InvalidKey>) -> Read<K> {
    let group = read_short(from)?;
    let name = read_short(from)?;
    make(if group.is_empty() { DEFAULT_GROUP } else { group }, name).map_err(|error| error.to_string())
}

/// Appends a firing record as bytes.
pub fn firing(record: &FiringRecord, bytes: &mut Vec<u8>) {
    let mut to = Writer::after(std::mem::take(bytes), Kind::Firing);
    to.byte(
        flag(record.execution.is_some(), EXECUTION)
            | flag(record.run.is_some(), RUN)
            | flag(record.trigger.is_some(), TRIGGER)
            | flag(record.overran.is_some(), OVERRAN)
            | flag(record.began.is_some(), BEGAN),
    );
    let texts =
        [(&record.job_type, TYPE), (&record.queue, QUEUE), (&record.node, NODE), (&record.failure, FAILURE)];
    to.byte(texts.iter().fold(0, |flags, (text, of)| flags | flag(text.is_some(), *of)));
    to.byte(letter(&CAUSES, &record.cause));
    to.byte(letter(&OUTCOMES, &record.outcome));
    to.byte(letter(&REASONS, &record.reason));
    to.small(record.attempt);
    to.number(record.session);
    if let Some(execution) = record.execution {
        to.number(execution.session());
        to.number(execution.count());
    }
    record.run.into_iter().for_each(|run| to.run(run));
    to.time(Some(record.scheduled));
    record.began.into_iter().for_each(|began| to.time(Some(began)));
    to.time(Some(record.ended));
    if let Some(overran) = record.overran {
        to.number(u64::try_from(overran.as_nanos()).unwrap_or(u64::MAX));
    }
    key(&mut to, record.job.group(), record.job.name());
    record.trigger.iter().for_each(|trigger| key(&mut to, trigger.group(), trigger.name()));
    texts.iter().filter_map(|(text, _)| text.as_deref()).for_each(|text| short(&mut to, text));
    *bytes = to.0;
}

/// A firing record from its bytes.
///
/// # Errors
///
/// Why they cannot be read.
pub fn read_firing(number: u64, record: &[u8]) -> Result<FiringRecord, String> {
    let mut from = Reader::new(record, Kind::Firing)?;
    let (has, texts) = (from.byte()?, from.byte()?);
    let cause = read_letter(&CAUSES, &mut from, "cause")?;
    let outcome = read_letter(&OUTCOMES, &mut from, "outcome")?;
    let reason = read_letter(&REASONS, &mut from, "reason")?;
    let (attempt, session) = (from.small()?, from.number()?);
    let execution = match has & EXECUTION {
        0 => None,
        _ => Some(ExecutionId::new(from.number()?, from.number()?)),
    };
    let run = if has & RUN == 0 { None } else { Some(from.run()?) };
    let scheduled = from.time()?.ok_or("it was never due")?;
    let began = if has & BEGAN == 0 { None } else { from.time()? };
    let ended = from.time()?.ok_or("it has no end")?;
    let overran = if has & OVERRAN == 0 { None } else { Some(Duration::from_nanos(from.number()?)) };
    let job = read_key(&mut from, JobKey::in_group)?;
    let trigger = if has & TRIGGER == 0 { None } else { Some(read_key(&mut from, TriggerKey::in_group)?) };
    let mut text = |of: u8| -> Read<Option<Arc<str>>> {
        if texts & of == 0 { Ok(None) } else { read_short(&mut from).map(|text| Some(text.into())) }
    };
    let (job_type, queue, node, failure) = (text(TYPE)?, text(QUEUE)?, text(NODE)?, text(FAILURE)?);
    let new = FiringRecord::new(job, session, cause, (scheduled, ended), outcome);
    Ok(FiringRecord {
        number,
        execution,
        run,
        trigger,
        job_type,
        queue,
        node,
        began,
        attempt,
        reason,
        failure,
        overran,
        ..new
    })
}
