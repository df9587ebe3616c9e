//! What the script answers, read.

use std::sync::Arc;
use std::time::Duration;

use scheduler_core::calendar::Calendar;
use scheduler_core::job::JobDetail;
use scheduler_core::store::*;
use scheduler_core::trigger::{Progress, Trigger};
use scheduler_core::{Error, Result, TriggerKey};
use serde_json::{Value, json};

use crate::codec;
use crate::handover::Memo;

/// What the script refused, in words.
pub(crate) fn refusal(verb: &str, error: &str, names: &[Value], request: &Value) -> Error {
    let key = match (error, names) {
        ("taken" | "twice", [row]) if row[0] == "job" => {
            return about(words(verb, error, names, request), "", &row[1]);
        }
        ("taken" | "twice", [row]) => codec::text(&row[1]),
        ("job" | "calendar" | "other" | "used", [row, ..]) => codec::text(&row[0]),
        _ => "",
    };
    let job = if error == "job" { &names[0][1] } else { &Value::Null };
    about(words(verb, error, names, request), key, job)
}

/// The error with the trigger and the job that it is about, as far as they are known.
fn about(error: Error, trigger: &str, job: &Value) -> Error {
    let error = match codec::trigger_key(trigger) {
        Ok(trigger) => error.for_trigger(&trigger),
        Err(_) => error,
    };
    match codec::job_key(codec::text(job)) {
        Ok(job) => error.for_job(&job),
        Err(_) => error,
    }
}

fn words(verb: &str, error: &str, names: &[Value], request: &Value) -> Error {
    let shown = |key: &Value| codec::shown(codec::text(key));
    let first = names.first().unwrap_or(&Value::Null);
    match error {
        "taken" => {
            let taken = names.iter().map(|row| format!("{} `{}`", codec::text(&row[0]), shown(&row[1])));
            let taken = taken.collect::<Vec<_>>().join(", ");
            Error::conflict(format!("already stored: {taken}; replace them or use other names"))
        }
        "twice" => {
            let key = shown(&first[1]);
            Error::conflict(format!("trigger `{key}` is there twice in one call; give one another name"))
        }
        "job" => {
            let (key, job) = (shown(&first[0]), shown(&first[1]));
            Error::not_found(format!(
                "trigger `{key}` runs job `{job}`, which is not stored; store the job first"
            ))
        }
        "calendar" if names.is_empty() => {
            let name = codec::text(&request["name"]);
            Error::conflict(format!("the calendar `{name}` is stored already; replace it"))
        }
        "calendar" => {
            let (key, name) = (shown(&first[0]), codec::text(&first[1]));
            Error::not_found(format!(
                "trigger `{key}` names the calendar `{name}`, which is not stored; store it first"
            ))
        }
        "other" => {
            let (key, job) = (shown(&first[0]), shown(&first[1]));
            Error::conflict(format!(
                "trigger `{key}` runs job `{job}`, and the one to replace it another one; they must run the same job"
            ))
        }
        "used" => {
            let (key, name) = (shown(&first[0]), codec::text(&request["name"]));
            Error::conflict(format!("trigger `{key}` names the calendar `{name}`; give it another one first"))
        }
        "late" => Error::transient(format!(
            "the change `{verb}` did not take effect, since its caller has given it up; repeat it if it is still wanted"
        )),
        "types" => {
            let wrong = names.iter().map(|row| {
                let [key, found, kind] = [0, 1, 2].map(|part| codec::text(&row[part]));
                format!("`{key}` is a {found} and not a {kind}")
            });
            let wrong = wrong.collect::<Vec<_>>().join(", ");
            Error::config(format!(
                "the keys of the job store belong to something else: {wrong}; choose another name or namespace"
            ))
        }
        "forbidden" => {
            let commands = names.iter().map(|row| codec::text(&row[0])).collect::<Vec<_>>().join(", ");
            Error::config(format!(
                "the user must not do what the job store needs: {commands} (`{}`); the page \"Running a cluster\" has the rule to set",
                codec::text(&first[1])
            ))
        }
        "schema" => {
            let [format, own] = [0, 1].map(|part| codec::text(&first[part]));
            Error::config(format!(
                "the job store has the format {format}, and this program writes {own} only; upgrade `scheduler-redis`"
            ))
        }
        other => Error::transient(format!(
            "the job store in Redis refused the call `{verb}`: {other}; upgrade `scheduler-redis` if other nodes run a newer one"
        )),
    }
}

pub(crate) fn keys<T>(keys: &[T], write: impl Fn(&T) -> String) -> Value {
    json!({ "keys": keys.iter().map(write).collect::<Vec<_>>() })
}

pub(crate) fn flags(answer: &Value) -> Vec<bool> {
    codec::list(answer).iter().map(|value| value == &Value::Bool(true)).collect()
}

/// The keys of triggers. One that cannot be read is left out: the call has taken effect, and others are still to be told.
pub(crate) fn trigger_keys(answer: &Value) -> Vec<TriggerKey> {
    let read = |key: &Value| {
        let key = codec::trigger_key(codec::text(key));
        key.inspect_err(|error| tracing::error!(%error, "a trigger is left out of the list: {error}")).ok()
    };
    let mut keys: Vec<_> = codec::list(answer).iter().filter_map(read).collect();
    keys.sort_unstable();
    keys
}

/// One row, and the job of one that is fired already.
pub(crate) fn acquired(row: [&str; 8], job: Option<Arc<JobDetail>>) -> Result<(AcquiredTrigger, Memo)> {
    let [claim, key, description, progress, freed, calendar, ..] = row;
    let trigger: Trigger = codec::decode("trigger", key, description)?;
    let calendar = match calendar {
        "" => None,
        text => {
            let name = trigger.calendar().unwrap_or_default();
            Some(Arc::from(codec::decode::<Box<dyn Calendar>>("calendar", name, text)?))
        }
    };
    let mut memo = Memo { trigger: key.to_owned(), from: progress.to_owned(), after: String::new() };
    let mut progress: Progress = codec::decode("progress of trigger", key, progress)?;
    let claim = codec::read_claim(claim)?;
    let mut fired = None;
    if let Some(job) = job {
        let due = progress.previous.ok_or_else(|| codec::broken("progress of trigger", key, &memo.from))?;
        let after = std::mem::replace(&mut progress, codec::before_first(due));
        memo.after = std::mem::replace(&mut memo.from, codec::encode(&progress)?);
        fired = Some(FiredAtOnce { progress: after, fence: claim.count(), job });
    }
    let (trigger, freed) = (Arc::new(trigger), codec::time_of(freed));
    Ok((AcquiredTrigger { claim, trigger, progress, calendar, freed, fired }, memo))
}

pub(crate) fn status(row: [&str; 8]) -> Result<TriggerStatus> {
    let [key, description, progress, stored, runs, busy, pause, revision] = row;
    let progress: Progress = codec::decode("progress of trigger", key, progress)?;
    let stored = match stored {
        "W" => StoredState::Waiting,
        "A" => StoredState::Acquired,
        "P" => StoredState::Paused,
        "C" => StoredState::Complete,
        "E" => StoredState::Error,
        other => return Err(codec::broken("state of trigger", key, other)),
    };
    Ok(TriggerStatus {
        trigger: Arc::new(codec::decode("trigger", key, description)?),
        state: TriggerState::of(stored, !progress.may_fire_again(), runs != "0", busy == "1"),
        progress,
        pause: (!pause.is_empty()).then(|| codec::note_of("pause of trigger", key, pause)),
        revision: revision
            .parse()
            .map_err(|error| codec::broken("revision of trigger", key, revision).caused_by(error))?,
    })
}

fn execution(row: &Value) -> Result<ExecutionStatus> {
    let fired = codec::read_time(&row[3]);
    let id = codec::text(&row[0]);
    Ok(ExecutionStatus {
        id: codec::read_claim(id)?,
        job: codec::job_key(codec::text(&row[1]))?,
        trigger: codec::trigger_key(codec::text(&row[2]))?,
        execution_group: codec::execution_group(&row[4]),
        fired: fired.ok_or_else(|| codec::broken("start of run", id, &row[3].to_string()))?,
    })
}

/// The runs of a list. One that cannot be read is left out, so that the others can be seen and stopped.
pub(crate) fn execution_list(answer: &Value) -> Vec<ExecutionStatus> {
    let read = |row| {
        let read = execution(row);
        read.inspect_err(|error| tracing::error!(%error, "a run is left out of the list: {error}")).ok()
    };
    codec::list(answer).iter().filter_map(read).collect()
}

/// A calendar by its name; none if this program cannot read it.
pub(crate) fn calendar(row: &Value) -> Option<NamedCalendar> {
    let name = codec::text(&row[0]);
    let read = codec::decode::<Box<dyn Calendar>>("calendar", name, codec::text(&row[1]));
    let read = read.inspect_err(|error| {
        tracing::error!(calendar = name, %error, "calendar `{name}` is left out of the list: {error}");
    });
    Some((name.into(), Arc::from(read.ok()?)))
}

pub(crate) fn node(row: &Value) -> Result<NodeStatus> {
    let session = codec::text(&row["s"]);
    let record: Value = codec::decode("node", session, codec::text(&row["n"]))?;
    let types = codec::decode::<Value>("job types of node", session, record["t"].as_str().unwrap_or("null"))?
        .as_array()
        .map(|types| types.iter().map(|name| Arc::from(codec::text(name))).collect());
    let silent = Duration::from_millis(codec::text(&row["q"]).parse().unwrap_or_default());
    let node = Node {
        session: session
            .parse()
            .map_err(|error| codec::broken("number of a node", "", session).caused_by(error))?,
        name: codec::text(&record["n"]).into(),
        types,
        wake: Arc::new(|| {}),
        stop: Arc::new(|_, _| {}),
    };
    let runs = usize::try_from(row["r"].as_u64().unwrap_or_default()).unwrap_or(usize::MAX);
    Ok(NodeStatus::new(&node, codec::text(&record["v"]), runs, silent))
}
