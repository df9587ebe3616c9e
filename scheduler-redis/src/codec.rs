//! How keys and answers are written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use scheduler_core::job::ExecutionId;
use scheduler_core::run::RunId;
use scheduler_core::store::rows::RunTag;
use scheduler_core::store::{Node, NodeStatus};
use scheduler_core::{DEFAULT_GROUP, Error, JobKey, Key, Result, Text, TriggerKey};
use serde_json::Value;

/// `group NUL name`, with an empty group for the default one: then the order of bytes is the order of keys.
pub(crate) fn key(key: &impl Key) -> String {
    let group = if key.group() == DEFAULT_GROUP { "" } else { key.group() };
    format!("{group}\0{}", key.name())
}

/// What begins the name of a run: it comes after the keys of all triggers, and unlike them it has no NUL.
const RUN: &str = "\u{10FFFF}";

fn text_of(number: u128) -> String {
    digits(number, DIGITS_OF_RUN).map(char::from).collect()
}

/// How the entries of a tag begin; the name of a run follows.
pub(crate) fn tag(tag: &RunTag) -> String {
    match tag {
        RunTag::RetryOf(trigger) => format!("r{}\0\0", key(trigger)),
        RunTag::Key(key) => format!("k{}\0\0", text_of(key.number())),
        RunTag::FollowUp(key) => format!("f{}\0\0", text_of(key.number())),
        RunTag::FirstOf(key) => format!("s{}\0\0", text_of(key.number())),
        RunTag::Behind(run) => format!("b{}\0\0", self::run(*run)),
        RunTag::Holder(gate) => format!("h{}\0\0", text_of(gate.number())),
        RunTag::ChildOf(parent) => format!("c{}\0\0", text_of(whole(*parent))),
        RunTag::Member(batch) => format!("m{}\0\0", text_of(whole(*batch))),
        RunTag::FormerMember(batch) => format!("n{}\0\0", text_of(whole(*batch))),
        RunTag::UnmetBy(parent) => format!("u{}\0\0", text_of(whole(*parent))),
        _ => format!("?{tag:?}\0\0"),
    }
}

/// What stands among the alarms for a batch that rings. The name of a run begins otherwise.
pub(crate) fn ring(batch: RunId) -> String {
    format!("b{}", run(batch))
}

/// The batch of such an entry; none for another one.
pub(crate) fn read_ring(entry: &str) -> Option<RunId> {
    read_run(entry.strip_prefix('b')?)
}

/// Digits whose order is that of their values.
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// So many digits are an id.
const DIGITS_OF_RUN: u32 = 22;

/// The name of a run, in the order of ids.
pub(crate) fn run(id: RunId) -> String {
    let whole = whole(id);
    let mut name = String::with_capacity(RUN.len() + DIGITS_OF_RUN as usize);
    name.push_str(RUN);
    name.extend(digits(whole, DIGITS_OF_RUN).map(char::from));
    name
}

/// The last so many digits of a number.
pub(crate) fn digits(number: u128, many: u32) -> impl Iterator<Item = u8> {
    (0..many).rev().map(move |place| DIGITS[(number >> (6 * place)) as usize % 64])
}

fn whole(id: RunId) -> u128 {
    (u128::from(id.sender()) << 64) | u128::from(id.count())
}

/// The run of this name; none if it is the name of none.
pub(crate) fn read_run(name: &str) -> Option<RunId> {
    let digits = name.strip_prefix(RUN).filter(|digits| digits.len() == DIGITS_OF_RUN as usize)?;
    let whole = digits.bytes().try_fold(0u128, |whole, digit| {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        Some((whole << 6) | value as u128)
    })?;
    Some(RunId::new((whole >> 64) as u64, whole as u64))
}

/// The run of a claim that says only its name, with what counts as the version of the claim.
pub(crate) fn only_named(claim: &[u8]) -> Option<(u64, RunId)> {
    let run = read_run(std::str::from_utf8(claim).ok()?)?;
    Some((u64::from_be_bytes(*claim.first_chunk::<8>()?), run))
}

/// What counts as the version of a claim that says only the name of this run.
pub(crate) fn version_of_named(run: RunId) -> u64 {
    let first = (1..=4).fold(0, |digits, place| {
        let digit = DIGITS[(whole(run) >> (6 * (DIGITS_OF_RUN - place))) as usize % 64];
        (digits << 8) | u64::from(digit)
    });
    (0xF48F_BFBF << 32) | first
}

/// Whether this is the version of a claim that says only the name of its run.
pub(crate) const fn is_only_named(version: u64) -> bool {
    version >> 32 == 0xF48F_BFBF
}

fn parts(text: &str) -> Result<(&str, &str)> {
    let (group, name) = text.split_once('\0').ok_or_else(|| broken("key", "", text))?;
    Ok((if group.is_empty() { DEFAULT_GROUP } else { group }, name))
}

pub(crate) fn trigger_key(text: &str) -> Result<TriggerKey> {
    let (group, name) = parts(text)?;
    TriggerKey::in_group(group, name).map_err(|error| broken("key of a trigger", "", text).caused_by(error))
}

/// A key as users write it. A text that is no key is shown as it stands.
pub(crate) fn shown(key: &str) -> String {
    if let Some(run) = read_run(key) {
        return run.to_string();
    }
    let read = key.contains('\0').then(|| trigger_key(key));
    read.and_then(Result::ok).map_or_else(|| excerpt(key.trim_matches('\0')), |key| key.to_string())
}

/// So many characters of a stored value are shown.
const SHOWN: usize = 200;

/// A stored value for people: its beginning, on one line.
fn excerpt(value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN).map(plain).collect();
    if value.chars().nth(SHOWN).is_some() {
        shown.push_str(&format!("… ({} bytes)", value.len()));
    }
    shown
}

/// A character, with an escape in place of one that a terminal would act on.
fn plain(letter: char) -> String {
    if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() }
}

pub(crate) fn job_key(text: &str) -> Result<JobKey> {
    let (group, name) = parts(text)?;
    JobKey::in_group(group, name).map_err(|error| broken("key of a job", "", text).caused_by(error))
}

/// The name of a queue as lanes have it, where a NUL ends it.
pub(crate) fn queue(name: &str) -> Cow<'_, str> {
    if !name.contains(['\0', '\u{1}']) {
        return name.into();
    }
    name.replace('\u{1}', "\u{1}1").replace('\0', "\u{1}0").into()
}

/// As [`queue`], of each name.
pub(crate) fn by_queue<T: Copy>(named: &BTreeMap<Arc<str>, T>) -> BTreeMap<Cow<'_, str>, T> {
    named.iter().map(|(name, value)| (queue(name), *value)).collect()
}

pub(crate) fn group_name(stored: &str) -> &str {
    if stored.is_empty() { DEFAULT_GROUP } else { stored }
}

/// The error about a record that this program cannot read: the kind of record, its stored key, which may be empty, and its text.
pub(crate) fn broken(what: &str, key: &str, found: &str) -> Error {
    let (name, found) =
        (if key.is_empty() { String::new() } else { format!(" `{}`", shown(key)) }, excerpt(found));
    let error = Error::config(format!(
        "the {what}{name} cannot be read, its record in Redis is `{found}`; upgrade this program if a newer version wrote the \
         record, or else run `RedisJobStore::audit` and store what is lost again"
    ));
    if key.is_empty() || what.starts_with("key") {
        return error;
    }
    match (what, job_key(key), trigger_key(key)) {
        ("job", Ok(job), _) => error.for_job(&job),
        ("trigger", _, Ok(trigger)) => error.for_trigger(&trigger),
        _ => error,
    }
}

/// What the script has answered to this call.
pub(crate) fn answer(verb: &str, body: &str) -> Result<Value> {
    serde_json::from_str(body).map_err(|error| {
        let text = format!(
            "the answer of Redis to the call `{verb}` is no JSON: `{}`; make sure that nothing between this program and the \
             server changes answers",
            excerpt(body)
        );
        Error::transient(text).caused_by(error)
    })
}

pub(crate) fn encode<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| {
            let name = std::any::type_name::<T>();
            let text = format!("a value of type `{name}` cannot be written as JSON and is not stored: {error}; change its `Serialize`");
            Error::config(text).caused_by(error)
        })
}

/// Reads the record of this kind under this stored key, which may be empty.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(what: &str, key: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| broken(what, key, text).caused_by(error))
}

pub(crate) fn read_claim(text: &str) -> Result<ExecutionId> {
    let parsed =
        text.split_once('-').and_then(|(session, count)| Some((session.parse().ok()?, count.parse().ok()?)));
    let (session, count) = parsed.ok_or_else(|| broken("number of a run", "", text))?;
    Ok(ExecutionId::new(session, count))
}

pub(crate) fn claim(id: ExecutionId) -> String {
    format!("{}-{}", id.session(), id.count())
}

/// The group, as keys begin with it, if only one is meant.
pub(crate) fn only_group(group: &Text) -> Option<&str> {
    match group {
        Text::Is(group) if &**group == DEFAULT_GROUP => Some(""),
        Text::Is(group) => Some(group),
        _ => None,
    }
}

/// A list; an empty one is written as an empty table.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A node from its row.
pub(crate) fn node(row: &Value) -> Result<NodeStatus> {
    let session = text(&row["s"]);
    let record: Value = decode("node", session, text(&row["n"]))?;
    let types = decode::<Value>("job types of node", session, record["t"].as_str().unwrap_or("null"))?
        .as_array()
        .map(|types| types.iter().map(|name| Arc::from(text(name))).collect());
    let queues = record["q"]
        .as_str()
        .map(|queues| decode("queues of node", session, queues))
        .transpose()?
        .unwrap_or_default();
    let silent = Duration::from_millis(text(&row["q"]).parse().unwrap_or_default());
    let node = Node {
        session: session.parse().map_err(|error| broken("number of a node", "", session).caused_by(error))?,
        name: text(&record["n"]).into(),
        types,
        queues,
        wake: Arc::new(|| {}),
        stop: Arc::new(|_, _| {}),
    };
    Ok(NodeStatus::new(&node, text(&record["v"]), 0, silent))
}
