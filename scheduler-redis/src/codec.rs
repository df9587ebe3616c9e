//! How keys, triggers and answers are written.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::{OverlapPolicy, Progress, Trigger};
use scheduler_core::{DEFAULT_GROUP, Error, JobData, JobKey, Key, Result, Text, TriggerKey};
use serde_json::{Value, json};

/// `group NUL name`, with an empty group for the default one: then the order of bytes is the order of keys.
pub(crate) fn key(key: &impl Key) -> String {
    let group = if key.group() == DEFAULT_GROUP { "" } else { key.group() };
    format!("{group}\0{}", key.name())
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

pub(crate) fn group_name(stored: &str) -> &str {
    if stored.is_empty() { DEFAULT_GROUP } else { stored }
}

/// The execution group of a claim, which is stored with a `1` before it.
pub(crate) fn execution_group(stored: &Value) -> Option<Arc<str>> {
    stored.as_str().and_then(|group| group.strip_prefix('1')).map(Arc::from)
}

pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.timestamp_millis().to_string()
}

pub(crate) fn read_time(value: &Value) -> Option<DateTime<Utc>> {
    time_of(value.as_str()?)
}

pub(crate) fn time_of(word: &str) -> Option<DateTime<Utc>> {
    word.parse().ok().and_then(DateTime::from_timestamp_millis)
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
        ("job" | "data of job", Ok(job), _) => error.for_job(&job),
        ("trigger" | "progress of trigger" | "state of trigger" | "revision of trigger", _, Ok(trigger)) => {
            error.for_trigger(&trigger)
        }
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

/// What the script must know of a trigger, and its description.
#[derive(serde::Serialize)]
pub(crate) struct Row {
    k: String,
    j: String,
    d: String,
    p: String,
    o: String,
    /// As in the lane.
    e: String,
    a: String,
    f: String,
}

impl Row {
    pub(crate) fn words(self) -> [String; 8] {
        [self.k, self.j, self.d, self.p, self.o, self.e, self.a, self.f]
    }
}

/// The progress after the firing of a trigger that has not fired and does so once, if nothing but its time decides when.
fn once(trigger: &Trigger, progress: &Progress) -> Option<Progress> {
    let waits = matches!(trigger.overlap(), OverlapPolicy::BufferOne | OverlapPolicy::CancelPrevious);
    if waits || trigger.calendar().is_some() || *progress != before_first(progress.next?) {
        return None;
    }
    Some(trigger.fired(progress, None)).filter(|after| after.next.is_none())
}

/// The progress of a trigger that was never due before this.
pub(crate) fn before_first(due: DateTime<Utc>) -> Progress {
    Progress { next: Some(due), ..Progress::default() }
}

/// With its progress if that is stored, too.
pub(crate) fn trigger(trigger: &Trigger, progress: Option<&Progress>) -> Result<Row> {
    let overlap = serde_json::to_value(trigger.overlap()).unwrap_or_default();
    Ok(Row {
        k: key(trigger.key()),
        j: key(trigger.job()),
        d: encode(trigger)?,
        p: trigger.priority().to_string(),
        o: text(&overlap).to_owned(),
        e: trigger.execution_group().map_or_else(|| "0".to_owned(), |group| format!("1{group}")),
        a: trigger.calendar().unwrap_or_default().to_owned(),
        f: progress
            .and_then(|progress| once(trigger, progress))
            .map_or(Ok(String::new()), |after| encode(&after))?,
    })
}

pub(crate) fn next(progress: &Progress) -> Value {
    json!(progress.next.map(time))
}

/// As a word of a row, where none is empty.
pub(crate) fn next_word(progress: &Progress) -> String {
    progress.next.map(time).unwrap_or_default()
}

/// The description without its data, and the data, which runs may change.
///
/// Before both stand the rules that the script must know, one bit of a character for each, and the type.
pub(crate) fn job(job: &JobDetail) -> Result<[String; 2]> {
    let bare = job.to_builder().data(JobData::new()).build();
    let rules = [job.disallow_concurrent(), job.durable(), job.persist_data(), job.requests_recovery()];
    let rules = rules.iter().enumerate().fold(b'@', |all, (bit, holds)| all | u8::from(*holds) << bit);
    let (rules, job_type) = (char::from(rules), job.job_type());
    let record = format!("{rules}{job_type}\0{}\0{}", encode(&bare)?, encode(job.data())?);
    Ok([key(job.key()), record])
}

pub(crate) fn read_job(key: &str, text: &str) -> Result<JobDetail> {
    let parts = text.split_once('\0').and_then(|(_, parts)| parts.split_once('\0'));
    let (bare, data) = parts.ok_or_else(|| broken("job", key, text))?;
    let bare: JobDetail = decode("job", key, bare)?;
    let data: JobData = decode("data of job", key, data)?;
    Ok(bare.to_builder().data(data).build())
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

pub(crate) fn existing(existing: Existing) -> &'static str {
    match existing {
        Existing::Refuse => "refuse",
        Existing::Replace => "replace",
        Existing::Keep => "keep",
        Existing::Update => "update",
    }
}

/// The group, as keys begin with it, if only one is meant.
pub(crate) fn only_group(group: &Text) -> Option<&str> {
    match group {
        Text::Is(group) if &**group == DEFAULT_GROUP => Some(""),
        Text::Is(group) => Some(group),
        _ => None,
    }
}

pub(crate) fn pattern(text: &Text) -> Value {
    match text {
        Text::Any => json!({ "k": "any" }),
        Text::Is(value) => json!({ "k": "is", "v": value }),
        Text::StartsWith(value) => json!({ "k": "starts_with", "v": value }),
        Text::EndsWith(value) => json!({ "k": "ends_with", "v": value }),
        Text::Contains(value) => json!({ "k": "contains", "v": value }),
    }
}

pub(crate) fn selection(what: &Selection) -> Result<Value> {
    Ok(match what {
        Selection::Trigger(trigger) => json!({ "k": "trigger", "v": key(trigger) }),
        Selection::Job(job) => json!({ "k": "job", "v": key(job) }),
        Selection::TriggerGroup(groups) => json!({ "k": "trigger_group", "g": pattern(groups) }),
        Selection::JobGroup(groups) => json!({ "k": "job_group", "g": pattern(groups) }),
        Selection::All => json!({ "k": "all" }),
        _ => return Err(Error::config("this store does not know such a selection; upgrade it")),
    })
}

pub(crate) fn executions(what: &Executions) -> Result<Value> {
    Ok(match what {
        Executions::One(id) => json!({ "k": "one", "v": claim(*id) }),
        Executions::OfJob(job) => json!({ "k": "job", "v": key(job) }),
        Executions::OfTrigger(trigger) => json!({ "k": "trigger", "v": key(trigger) }),
        Executions::OfGroup(group) => json!({ "k": "group", "v": format!("1{group}") }),
        Executions::All => json!({ "k": "all" }),
        _ => return Err(Error::config("this store does not know such a choice of executions; upgrade it")),
    })
}

/// A pause note, with its end where the script can read it.
pub(crate) fn note(note: &PauseNote) -> Result<String> {
    encode(&json!({ "n": note, "u": note.until.map(time) }))
}

fn read_note(whose: &str, key: &str, text: &str) -> Result<PauseNote> {
    let value: Value = decode(whose, key, text)?;
    serde_json::from_value(value["n"].clone()).map_err(|error| broken(whose, key, text).caused_by(error))
}

/// The note of something that is paused whatever the note says.
pub(crate) fn note_of(whose: &str, key: &str, text: &str) -> PauseNote {
    read_note(whose, key, text).unwrap_or_else(|error| {
        tracing::error!(%error, "{error}; the pause goes on without its reason, author and end until it is resumed");
        PauseNote {
            since: DateTime::UNIX_EPOCH,
            ..PauseNote::because("the note of this pause cannot be read")
        }
    })
}

pub(crate) fn instruction(instruction: Instruction) -> Result<&'static str> {
    Ok(match instruction {
        Instruction::Continue => "continue",
        Instruction::RemoveTrigger => "remove_trigger",
        Instruction::FinishTrigger => "finish_trigger",
        Instruction::FinishJob => "finish_job",
        Instruction::FailTrigger => "fail_trigger",
        Instruction::FailJob => "fail_job",
        _ => return Err(Error::config("this store does not know such an instruction; upgrade it")),
    })
}

/// A list; an empty one is written as an empty table.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A trigger with the data of one that cannot be read for another reason, such as a schedule that this program does not know.
/// None where the record is destroyed, or its format is another one.
pub(crate) fn salvaged(text: &str, due: DateTime<Utc>) -> Option<Trigger> {
    let record: Value = serde_json::from_str(text).ok()?;
    let plain = Trigger::at(due).name("salvaged").for_job("salvaged").build(due).ok()?;
    let mut plain = serde_json::to_value(&plain).ok()?;
    if record["v"] != plain["v"] || record["schedule"].is_null() {
        return None;
    }
    for part in ["key", "job", "data", "priority", "execution_group", "recovery", "declared_by"] {
        if let Some(value) = record.get(part) {
            plain[part] = value.clone();
        }
    }
    serde_json::from_value(plain).ok()
}

pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// Whether these parts of a claim are what some program has written, if not this one. A trigger may have no calendar.
pub(crate) fn is_well_formed(description: &str, progress: &str, calendar: &str) -> bool {
    is_json(description) && is_json(progress) && (calendar.is_empty() || is_json(calendar))
}
