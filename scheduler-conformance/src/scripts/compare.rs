//! The state of the store beside that of Quartz.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use scheduler_core::job::JobDetail;
use scheduler_core::store::*;
use serde_json::{Value, json};

use super::read::{job_key, shown, trigger_key};
use super::{Player, same, text};

impl Player {
    /// The whole state after a step.
    pub(super) async fn compare(&self, expected: &Value) -> Result<(), String> {
        let jobs = self.store.all_jobs(JobQuery::default()).await.unwrap();
        let jobs = jobs.iter().filter(|job| !self.lost_jobs.contains(job.key()));
        let counts = |row: &&Value| !self.lost_jobs.contains(&job_key(&row["key"]));
        let their_jobs: Vec<_> = expected["jobs"].as_array().unwrap().iter().filter(counts).collect();
        let jobs: Vec<_> = jobs.map(|job| as_expected(job, &their_jobs)).collect();
        same("the jobs", &json!(jobs), &json!(their_jobs))?;
        let mut triggers = self.store.all_triggers(TriggerQuery::default()).await.unwrap();
        triggers.retain(|status| !self.is_lost(status.trigger.key()));
        let counts = |row: &&Value| !self.is_lost(&trigger_key(&row["key"]));
        let their_triggers: Vec<_> = expected["triggers"].as_array().unwrap().iter().filter(counts).collect();
        self.compare_triggers(&triggers, &their_triggers)?;
        self.compare_queue(&triggers, expected)?;
        let calendars = self.store.calendars().await.unwrap();
        let calendars: Vec<_> = calendars.iter().map(|(name, _)| name.to_string()).collect();
        same("the calendars", &json!(calendars), &or_empty(&expected["calendars"]))?;
        for (kind, field) in
            [(GroupKind::Triggers, "paused_trigger_groups"), (GroupKind::Jobs, "paused_job_groups")]
        {
            let groups = self.store.groups(kind).await.unwrap();
            let paused: Vec<_> =
                groups.iter().filter(|group| group.pause.is_some()).map(|group| &group.name).collect();
            same(field, &json!(paused), &or_empty(&expected[field]))?;
        }
        Ok(())
    }

    fn compare_triggers(&self, ours: &[TriggerStatus], expected: &[&Value]) -> Result<(), String> {
        let by_key: BTreeMap<String, &TriggerStatus> =
            ours.iter().map(|status| (shown(status.trigger.key()), status)).collect();
        let keys: Vec<_> = expected.iter().map(|row| text(row, "key").to_owned()).collect();
        let mut sorted = keys;
        sorted.sort();
        same("the triggers", &json!(by_key.keys().collect::<Vec<_>>()), &json!(sorted))?;
        for row in expected {
            let status = by_key[text(row, "key")];
            let what = |field: &str| format!("{field} of {}", text(row, "key"));
            let state = quartz_state(status.state, row);
            same(&what("the state"), &json!(state), &row["state"])?;
            let millis = |time: Option<DateTime<Utc>>| json!(time.map(|time| time.timestamp_millis()));
            same(&what("the next fire time"), &millis(status.progress.next), &row["next"])?;
            same(&what("the previous fire time"), &millis(status.progress.previous), &row["previous"])?;
        }
        Ok(())
    }

    /// The order in which the triggers would be handed out that nobody holds a claim of.
    fn compare_queue(&self, ours: &[TriggerStatus], expected: &Value) -> Result<(), String> {
        let internal: HashMap<&str, &str> = expected["triggers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (text(row, "key"), text(row, "internal")))
            .collect();
        let waiting = |status: &&TriggerStatus| {
            let key = shown(status.trigger.key());
            let free = matches!(status.state, TriggerState::Normal | TriggerState::Executing);
            free && internal[&*key] == "WAITING" && status.progress.may_fire_again()
        };
        let mut queue: Vec<_> = ours.iter().filter(waiting).collect();
        queue.sort_by_key(|status| {
            (status.progress.next, Reverse(status.trigger.priority()), status.trigger.key().clone())
        });
        let queue: Vec<_> = queue.iter().map(|status| shown(status.trigger.key())).collect();
        // Quartz leaves triggers in its queue that are in error or have no further fire time.
        let rows = expected["triggers"].as_array().unwrap().iter();
        let ended: HashSet<&str> =
            rows.filter(|row| row["next"].is_null()).map(|row| text(row, "key")).collect();
        let theirs = expected["queue"].as_array().unwrap().iter().filter(|key| {
            let name = key.as_str().unwrap();
            internal.get(name) == Some(&"WAITING")
                && !ended.contains(name)
                && !self.is_lost(&trigger_key(key))
        });
        same("the queue", &json!(queue), &json!(theirs.collect::<Vec<_>>()))
    }
}

/// Our state in Quartz's words. Quartz does not show that a trigger executes. Quartz shows that a trigger is complete only if
/// somebody has set that state.
fn quartz_state(ours: TriggerState, expected: &Value) -> String {
    let theirs = text(expected, "state");
    let ended = expected["next"].is_null();
    match (ours, theirs) {
        (TriggerState::Executing, "NORMAL" | "BLOCKED" | "COMPLETE") => theirs.to_owned(),
        (TriggerState::Complete, "NORMAL" | "BLOCKED") if ended => theirs.to_owned(),
        _ => ours.to_string().to_uppercase(),
    }
}

/// A job with the fields that are expected of it.
fn as_expected(job: &JobDetail, expected: &[&Value]) -> Value {
    let key = shown(job.key());
    let row = expected.iter().find(|row| row["key"] == key.as_str()).and_then(|row| row.as_object());
    let field = |name: &str| match name {
        "key" => json!(key),
        "durable" => json!(job.durable()),
        "disallow_concurrent" => json!(job.disallow_concurrent()),
        "persist_data" => json!(job.persist_data()),
        "data" => json!(job.data()),
        other => panic!("unknown field `{other}` of a job"),
    };
    let names = row.map_or(vec!["key"], |row| row.keys().map(String::as_str).collect());
    names.into_iter().map(|name| (name.to_owned(), field(name))).collect()
}

fn or_empty(list: &Value) -> Value {
    if list.is_null() { json!([]) } else { list.clone() }
}
