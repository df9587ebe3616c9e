//! What somebody has destroyed in the server: found, named, moved out of the way and mended.

use scheduler_core::store::PauseNote;
use scheduler_core::time::Clock;
use scheduler_core::{Error, Result};
use serde_json::{Value, json};

use crate::codec;
use crate::inner::Answer;
use crate::store::RedisJobStore;

/// The parts of an audit: each goes by what the ones before have mended.
const PARTS: &[&str] =
    &["keys", "names", "runs", "triggers", "links", "jobs", "calendars", "marks", "busy", "groups"];

/// So many keys of the wrong kind are moved out of the way of one audit.
const MOST_KEYS: usize = 100;

impl RedisJobStore {
    /// What is not as it must be, in words: after somebody has changed or deleted keys by hand, or restored a part of them.
    /// With `repair` it is mended, and the answer says what was found.
    ///
    /// | what is lost | with `repair` |
    /// |---|---|
    /// | places, queues, indexes, counts | they are derived from the records again |
    /// | the state or the description of a trigger | the trigger is removed |
    /// | a job or a calendar | its triggers are put into the error state; store it again and reset them |
    /// | a run | its trigger and its job are free |
    /// | a key of the wrong kind | the key is removed |
    ///
    /// Takes a call for each 500 triggers or jobs. What changes meanwhile is judged as it is at its moment.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or refuses.
    pub async fn audit(&self, repair: bool) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let birth = self.0.state.lock().birth.clone();
        let note = codec::note(&PauseNote {
            since: self.0.clock.now(),
            ..PauseNote::because("the note was destroyed")
        })?;
        for of in PARTS {
            let request = json!({ "repair": repair, "of": of, "birth": birth, "note": note });
            self.audit_part(request, &mut found).await?;
        }
        if repair {
            let inner = self.0.clone();
            self.on_io(async move { inner.recover().await }).await?;
        }
        Ok(found)
    }

    /// A key of the wrong kind is moved out of the way by whoever meets it; then the part begins anew.
    async fn audit_part(&self, request: Value, found: &mut Vec<String>) -> Result<()> {
        let before = found.len();
        for _ in 0..MOST_KEYS {
            let mut take = |answer: &Answer| {
                found.extend(codec::list(&answer.body["found"]).iter().map(words));
                Ok(true)
            };
            match self.parts("audit", request.clone(), &mut take).await {
                Err(error) if is_moved(&error) => {
                    found.truncate(before);
                    found.push(error.to_string());
                }
                done => return done,
            }
        }
        Ok(())
    }
}

/// A row of a report: the kind of a thing, its key, and what is the matter with it.
fn words(row: &Value) -> String {
    let [kind, key, what] = [0, 1, 2].map(|part| codec::text(&row[part]));
    format!("{kind} `{}`: {what}", codec::shown(key))
}

/// Logs what a call has met.
pub(crate) fn log(damage: &str) {
    if damage.is_empty() {
        return;
    }
    let Ok(rows) = serde_json::from_str::<Value>(damage) else {
        tracing::error!(
            "the job store in Redis has lost something: {damage}; `RedisJobStore::audit` finds the rest"
        );
        return;
    };
    for row in codec::list(&rows) {
        tracing::error!(
            "the job store in Redis has lost something: {}; `RedisJobStore::audit` finds the rest",
            words(row)
        );
    }
}

const MOVED: &str = "it was moved to";

fn is_moved(error: &Error) -> bool {
    error.to_string().contains(MOVED)
}

/// The error of a call that has met a key of the wrong kind.
pub(crate) fn wrong_kind(prefix: &str, name: &str, answer: Result<Value>) -> Error {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return error,
    };
    let [found, kind] = ["found", "kind"].map(|part| codec::text(&answer[part]));
    let key = format!("{prefix}{name}");
    if found.is_empty() {
        return Error::transient(format!("the key `{key}` was of the wrong kind for a moment; try again"));
    }
    let text = format!(
        "the key `{key}` is a {found} and not a {kind}: {MOVED} `{prefix}aside:{name}`, and what it held is lost; \
         run `RedisJobStore::audit` to mend what can be mended"
    );
    tracing::error!("{text}");
    Error::transient(text)
}
