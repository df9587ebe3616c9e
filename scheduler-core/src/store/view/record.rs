//! Rows as bytes, for drivers that keep nothing else.
//!
//! A record begins with its kind and its format. What rules look at follows as numbers in big-endian order, times as microseconds
//! since 1970, and small counts in as few bytes as they need (LEB128); what rules only pass on follows as JSON. A record that
//! cannot be read is told by its reason, never taken for another one.

use std::cell::RefCell;
use std::sync::Arc;

pub use super::bytes::{Kind, kind_of};
use super::bytes::{Read, Reader, Writer};
use super::parts::Names;
use crate::data::JobData;
use crate::error::{Error, Result};
use crate::job::{CancelReason, JobDetail};
use crate::key::DEFAULT_GROUP;
use crate::run::{Gate, GateId, Gates, Pace, RunEnd};
use crate::store::rows::*;
use crate::store::state::StoredState;
use crate::trigger::{Progress, Trigger};
use chrono::DateTime;

/// In place of a count that is none.
const NONE: u64 = u64::MAX;

/// A job as bytes.
///
/// # Errors
///
/// Its data cannot be written as JSON.
pub fn job(row: &JobRow) -> Result<Vec<u8>> {
    Writer::new(Kind::Job).json(&*row.detail)
}

/// A job from its bytes.
///
/// # Errors
///
/// Why they cannot be read.
pub fn read_job(record: &[u8]) -> Result<JobRow, String> {
    let detail: JobDetail = Reader::new(record, Kind::Job)?.json()?;
    Ok(JobRow { detail: detail.into() })
}

const EXCLUSIVE: u8 = 1;
const SUPERSEDED: u8 = 2;
const FIRED: u8 = 4;
const COUNTED: u8 = 8;
const OF_RUN: u8 = 16;
const RUN_REMOVED: u8 = 32;
const LINKED: u8 = 64;
const RETRIED: u8 = 128;
/// Of a claim.
const NOTED: u8 = 2;

pub(super) fn flag(holds: bool, flag: u8) -> u8 {
    if holds { flag } else { 0 }
}

fn state(state: StoredState) -> u8 {
    match state {
        StoredState::Waiting | StoredState::Acquired => b'W',
        StoredState::Paused => b'P',
        StoredState::Complete => b'C',
        StoredState::Error => b'E',
    }
}

fn read_state(state: u8) -> Read<StoredState> {
    match state {
        b'W' => Ok(StoredState::Waiting),
        b'P' => Ok(StoredState::Paused),
        b'C' => Ok(StoredState::Complete),
        b'E' => Ok(StoredState::Error),
        other => Err(format!("{other} is no state")),
    }
}

/// A trigger as bytes. Its lane is known to `names`. The third byte is odd if its job allows one run at a time.
///
/// # Errors
///
/// Its data cannot be written as JSON.
pub fn trigger(row: &TriggerRow, names: &impl Names) -> Result<Vec<u8>> {
    let (mut to, progress) = (Writer::new(Kind::Trigger), row.progress());
    let flags = flag(row.exclusive, EXCLUSIVE) | flag(row.superseded, SUPERSEDED);
    to.byte(flags | flag(row.retried, RETRIED));
    to.byte(state(row.state));
    to.small(row.running);
    to.small(row.epoch);
    [row.birth, row.lineage(), row.revision(), progress.fired]
        .into_iter()
        .for_each(|number| to.number(number));
    to.number(progress.repeat.map_or(NONE, u64::from));
    let times = [progress.next, progress.previous, progress.scheduled, progress.start, row.freed()];
    times.into_iter().for_each(|time| to.time(time));
    to.text(&names.lane_of(row.lane).1);
    to.text(&match row.pause() {
        Some(note) => serde_json::to_string(note).unwrap_or_default(),
        None => String::new(),
    });
    to.json(&*row.trigger)
}

/// A trigger from its bytes. `known` is asked for its description by the trigger's revision, and told of one that it does not know.
///
/// # Errors
///
/// Why they cannot be read.
pub fn read_trigger(
    record: &[u8],
    names: &mut impl Names,
    known: &mut impl Descriptions,
) -> Result<TriggerRow, String> {
    read_with(record, names, |text| match known.find(text) {
        Some(trigger) => Ok(trigger),
        None => {
            let trigger: Arc<Trigger> =
                serde_json::from_slice::<Trigger>(text).map_err(|error| error.to_string())?.into();
            known.keep(text, &trigger);
            Ok(trigger)
        }
    })
}

/// Everything but the schedule, of which this program may not know the type: enough to find its place. The row must not be written.
///
/// # Errors
///
/// Why it cannot be read either.
pub fn read_place(record: &[u8], names: &mut impl Names) -> Result<TriggerRow, String> {
    read_with(record, names, |text| {
        let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text);
        let known = Trigger::at(DateTime::UNIX_EPOCH).name("any").for_job("any").build(DateTime::UNIX_EPOCH);
        let known = serde_json::to_vec(&known.map_err(|error| error.to_string())?);
        let trigger = known.and_then(|known| {
            let (mut trigger, known) = (read(text)?, read(&known)?);
            trigger["schedule"] = known["schedule"].clone();
            serde_json::from_slice::<Trigger>(&serde_json::to_vec(&trigger)?)
        });
        trigger.map(Arc::new).map_err(|error| error.to_string())
    })
}

fn read_with(
    record: &[u8],
    names: &mut impl Names,
    read: impl FnOnce(&[u8]) -> Result<Arc<Trigger>, String>,
) -> Result<TriggerRow, String> {
    let mut from = Reader::new(record, Kind::Trigger)?;
    let (flags, state) = (from.byte()?, read_state(from.byte()?)?);
    let (running, epoch) = (from.small()?, from.small()?);
    let [birth, lineage, revision, fired, repeat] =
        [from.number()?, from.number()?, from.number()?, from.number()?, from.number()?];
    let repeat = u32::try_from(repeat).ok();
    let [next, previous, scheduled, start, freed] =
        [from.time()?, from.time()?, from.time()?, from.time()?, from.time()?];
    let job_type = Arc::from(from.text()?);
    let pause = from.text()?;
    let trigger = read(from.left)?;
    let progress = Progress { next, previous, fired, scheduled, start, repeat };
    let lane = names.lane(trigger.queue(), &job_type);
    let job = names.job(trigger.job());
    let mut row = TriggerRow::new(trigger, progress, (job, flags & EXCLUSIVE != 0, lane), birth);
    (row.state, row.running, row.epoch) = (state, running, epoch);
    (row.superseded, row.retried) = (flags & SUPERSEDED != 0, flags & RETRIED != 0);
    if lineage != birth {
        row.set_lineage(lineage);
    }
    if revision != birth {
        row.set_revision(revision);
    }
    row.set_freed(freed);
    if !pause.is_empty() {
        row.set_pause(Some(serde_json::from_str(pause).map_err(|error| error.to_string())?));
    }
    Ok(row)
}

const HAS_COLD: u8 = 2;
const OF_RUN_GATED: u8 = 4;
const OF_CLAIM_GATED: u8 = 128;

/// The key by which the run takes turns comes first, after an `f`, its length and a colon. Then the weight, the cap and the length of each
/// gate, before its text. Letters after the cap say what is not as with most gates. A rate has its
/// window and burst before the length.
fn gates(gates: &Gates) -> String {
    let fair = gates.fair().map(|key| format!("f{}:{key}", key.len()));
    let gate = |gate: &Gate| {
        let (text, letters) = (gate.id.text(), gate.letters());
        let pace = gate.pace.map(|pace| format!("{} {} ", pace.window, pace.burst)).unwrap_or_default();
        format!("{} {}{letters} {pace}{}:{text}", gate.weight, gate.cap, text.len())
    };
    fair.into_iter().chain(gates.iter().map(gate)).collect()
}

fn read_gates(text: &str) -> Read<Gates> {
    thread_local! {
        /// Runs that are read one after the other mostly have the same gates.
        static LAST: RefCell<(String, Gates)> = const { RefCell::new((String::new(), Gates::NONE)) };
    }
    LAST.with_borrow_mut(|(known, gates)| {
        if known != text {
            *gates = parse_gates(text)?;
            text.clone_into(known);
        }
        Ok(gates.clone())
    })
}

fn parse_gates(mut text: &str) -> Read<Gates> {
    let (mut gates, mut fair) = (Vec::new(), None);
    let broken = || "its limits are destroyed".to_owned();
    if let Some((many, left)) = text.strip_prefix('f').and_then(|text| text.split_once(':')) {
        let (key, left) =
            many.parse().ok().and_then(|many| left.split_at_checked(many)).ok_or_else(broken)?;
        (fair, text) = (Some(key.into()), left);
    }
    while !text.is_empty() {
        let (head, left) = text.split_once(':').ok_or_else(broken)?;
        let letters: String = head.chars().filter(char::is_ascii_alphabetic).collect();
        let numbers =
            head.split(' ').map(|word| word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()));
        let numbers: Vec<u32> = numbers.map_while(|number| number.parse().ok()).collect();
        let (weight, cap, pace, many) = match numbers[..] {
            [weight, cap, many] => (weight, cap, None, many),
            [weight, cap, window, burst, many] => (weight, cap, Some(Pace::new(window, burst)), many),
            _ => return Err(broken()),
        };
        let (id, left) = left.split_at_checked(many as usize).ok_or_else(broken)?;
        gates.push(Gate { pace, ..Gate::new(GateId::read(id), cap, weight) }.with_letters(&letters));
        text = left;
    }
    Ok(Gates::new(gates).with_fair(fair))
}

fn standing(standing: Standing) -> u8 {
    match standing {
        Standing::Waiting => b'W',
        Standing::Held => b'H',
        Standing::Ended(RunEnd::Succeeded) => b's',
        Standing::Ended(RunEnd::Discarded) => b'd',
        Standing::Ended(RunEnd::Dead) => b'x',
        Standing::Ended(RunEnd::Cancelled) => b'c',
        Standing::Ended(RunEnd::Expired) => b'e',
        Standing::Ended(RunEnd::Superseded) => b'u',
        Standing::Ended(RunEnd::Incomplete) => b'i',
    }
}

fn read_standing(standing: u8) -> Read<Standing> {
    Ok(match standing {
        b'W' => Standing::Waiting,
        b'H' => Standing::Held,
        b's' => Standing::Ended(RunEnd::Succeeded),
        b'd' => Standing::Ended(RunEnd::Discarded),
        b'x' => Standing::Ended(RunEnd::Dead),
        b'c' => Standing::Ended(RunEnd::Cancelled),
        b'e' => Standing::Ended(RunEnd::Expired),
        b'u' => Standing::Ended(RunEnd::Superseded),
        b'i' => Standing::Ended(RunEnd::Incomplete),
        other => return Err(format!("{other} is no standing of a run")),
    })
}

/// A run as bytes. The third byte is odd if its job allows one run at a time. If it has the bit 4, its gates and the key by which it
/// takes turns follow after the fourth byte.
///
/// # Errors
///
/// Its data cannot be written as JSON.
pub fn run(row: &RunRow) -> Result<Vec<u8>> {
    let mut to = Writer::new(Kind::Run);
    // Gates stand in front, so of a box that has nothing else nothing more is to be said.
    let cold = row.cold.as_ref().filter(|cold| !cold.has_only_gates());
    let flags = flag(row.exclusive, EXCLUSIVE) | flag(cold.is_some(), HAS_COLD);
    to.byte(flags | flag(row.is_gated(), OF_RUN_GATED));
    to.byte(standing(row.standing));
    if row.is_gated() {
        to.text(&gates(&row.gates()));
    }
    to.small(row.epoch);
    to.small(row.attempts);
    to.small(row.priority.cast_unsigned());
    to.run(row.id);
    to.time(Some(row.due));
    let (group, name) = (row.job.group(), row.job.name());
    to.text(if group == DEFAULT_GROUP { "" } else { group });
    to.text(name);
    to.text(if &*row.job_type == name { "" } else { &row.job_type });
    to.text(row.queue.as_deref().unwrap_or_default());
    match cold {
        Some(cold) => to.json(&(&row.data, cold)),
        None if row.data.is_empty() => Ok(to.0),
        None => to.json(&row.data),
    }
}

/// A run from its bytes.
///
/// # Errors
///
/// Why they cannot be read.
pub fn read_run(record: &[u8], names: &mut impl Names) -> Result<RunRow, String> {
    let mut from = Reader::new(record, Kind::Run)?;
    let (flags, standing) = (from.byte()?, read_standing(from.byte()?)?);
    let gates = if flags & OF_RUN_GATED == 0 { Gates::default() } else { read_gates(from.text()?)? };
    let (epoch, attempts, priority) = (from.small()?, from.small()?, from.small()?.cast_signed());
    let (id, due) = (from.run()?, from.time()?.ok_or("it has no due time")?);
    let (group, name) = (from.text()?, from.text()?);
    let job_type = names.text(match from.text()? {
        "" => name,
        job_type => job_type,
    });
    let job = names.job_key(group, name).map_err(|error| error.to_string())?;
    let queue = Some(from.text()?).filter(|name| !name.is_empty()).map(|name| names.text(name));
    let (data, cold) = match flags & HAS_COLD {
        0 if from.left.is_empty() => (JobData::new(), None),
        0 => (from.json()?, None),
        _ => from.json()?,
    };
    let (exclusive, lane) = (flags & EXCLUSIVE != 0, names.lane(queue.as_ref(), &job_type));
    let mut row = RunRow {
        id,
        job,
        job_type,
        queue,
        data,
        due,
        priority,
        standing,
        attempts,
        exclusive,
        epoch,
        lane,
        cold,
    };
    if !gates.is_empty() {
        row.cold.get_or_insert_default().gates = gates;
    }
    Ok(row)
}

/// Descriptions of triggers that were read before, so that they need not be read again and again.
pub trait Descriptions {
    /// The one of this text.
    fn find(&mut self, text: &[u8]) -> Option<Arc<Trigger>>;
    /// Keeps a description that [`find`](Self::find) did not know.
    fn keep(&mut self, text: &[u8], trigger: &Arc<Trigger>);
}

impl Descriptions for () {
    fn find(&mut self, _: &[u8]) -> Option<Arc<Trigger>> {
        None
    }

    fn keep(&mut self, _: &[u8], _: &Arc<Trigger>) {}
}

/// A claim that is fired, as bytes.
///
/// # Errors
///
/// The data of its trigger cannot be written as JSON.
pub fn claim(row: &ClaimRow) -> Result<Vec<u8>> {
    let mut to = Writer::new(Kind::Claim);
    let run = match row.item {
        Item::Run(run) => Some(run),
        Item::Trigger(_) => None,
    };
    let flags = flag(row.exclusive, EXCLUSIVE) | flag(row.fired, FIRED) | flag(row.counted, COUNTED);
    let of_run = flag(run.is_some(), OF_RUN) | flag(row.run_removed, RUN_REMOVED);
    let is_gated = !row.gates.is_empty();
    let noted = flag(is_gated, OF_CLAIM_GATED) | flag(row.noted.is_some(), NOTED);
    to.byte(flags | of_run | flag(row.linked, LINKED) | noted);
    to.byte(match row.cancel {
        None => b'-',
        Some(CancelReason::Superseded) => b's',
        Some(_) => b'r',
    });
    to.small(row.epoch);
    to.small(row.attempt);
    run.into_iter().for_each(|run| to.run(run));
    [row.session, row.birth, row.lineage].into_iter().for_each(|number| to.number(number));
    [row.lapse, row.since, row.due].into_iter().for_each(|time| to.time(Some(time)));
    if is_gated {
        to.text(&gates(&row.gates));
    }
    if let Some(noted) = &row.noted {
        to.text(&serde_json::to_string(noted).map_err(|error| {
            Error::config("notes of an attempt cannot be written as JSON").caused_by(error)
        })?);
    }
    to.json(&*row.trigger)
}

/// A fired claim from its bytes.
///
/// # Errors
///
/// Why they cannot be read.
pub fn read_claim(record: &[u8], names: &mut impl Names) -> Result<ClaimRow, String> {
    let mut from = Reader::new(record, Kind::Claim)?;
    let flags = from.byte()?;
    let cancel = match from.byte()? {
        b'-' => None,
        b's' => Some(CancelReason::Superseded),
        _ => Some(CancelReason::Requested),
    };
    let (epoch, attempt) = (from.small()?, from.small()?);
    let run = if flags & OF_RUN == 0 { None } else { Some(from.run()?) };
    let [session, birth, lineage] = [from.number()?, from.number()?, from.number()?];
    let [lapse, since, due] = [from.time()?, from.time()?, from.time()?].map(Option::unwrap_or_default);
    let gates = if flags & OF_CLAIM_GATED == 0 { Gates::default() } else { read_gates(from.text()?)? };
    let noted = match flags & NOTED {
        0 => None,
        _ => Some(serde_json::from_str(from.text()?).map_err(|error| error.to_string())?),
    };
    let trigger: Arc<Trigger> = from.json::<Trigger>()?.into();
    let item = run.map_or_else(|| Item::Trigger(names.trigger(trigger.key())), Item::Run);
    let [exclusive, fired, counted] = [EXCLUSIVE, FIRED, COUNTED].map(|flag| flags & flag != 0);
    Ok(ClaimRow {
        session,
        item,
        trigger,
        birth,
        lineage,
        epoch,
        attempt,
        exclusive,
        fired,
        counted,
        linked: flags & LINKED != 0,
        lapse,
        since,
        due,
        run_removed: flags & RUN_REMOVED != 0,
        noted,
        cancel,
        gates,
    })
}
