//! Scripts of calls to a store with the answers of the real Quartz 2.3.2.
//!
//! The scripts speak Quartz's language: its store applies misfire policies by itself and hands out triggers ahead of
//! time by a window. Here that is the scheduler's part, so the replay plays the scheduler. What is compared after each
//! step: jobs, triggers with their visible states, next and previous fire times, the order of hand-out, paused groups,
//! calendars.
//!
//! In three places Quartz's store in memory breaks rules of its own, and the replay goes along so that the rest of a
//! script still counts:
//!
//! * it hands out a second trigger of a job that allows one run at a time: from there on, the triggers of this job are
//!   left out of the comparison;
//! * it leaves a trigger in its queue that is in error, and hands it out: likewise, for this trigger;
//! * a pause covers up that a trigger is in error: the replay clears the error and pauses.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::bench::{Open, run};
use super::build;
use super::corpus::{cases, text, time};
use super::report::Report;
use crate::data::JobData;
use crate::error::Result;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Text;
use crate::store::*;
use crate::trigger::{Misfire, Progress, Trigger};

const CARRIED: &[u8] = include_bytes!("store-scripts.jsonl.gz");
const DEVIATIONS: &str = include_str!("deviations.json");

/// At most this share of the scripts may deviate.
const MOST_DEVIATIONS: f64 = 0.05;

/// Replays every script against a new store each.
///
/// # Panics
///
/// A script disagrees, and the table of deviations does not say why.
pub fn check(open: &impl Open) {
    let mut report = Report::new("store-scripts", DEVIATIONS, MOST_DEVIATIONS);
    for case in cases("store-scripts", CARRIED) {
        let result = match text(&case, "kind") {
            "store-script" => run(replay(open, &case)),
            _ => instruction(&case["case"]),
        };
        report.note(&case, result);
    }
    report.finish();
}

/// What a finished run asks of the store: the priority of its wishes.
fn instruction(case: &Value) -> Result<(), String> {
    let asks = |wish: &str| case[wish] == true;
    let ours = if asks("refire_immediately") {
        "RE_EXECUTE_JOB"
    } else if asks("unschedule_firing_trigger") {
        "SET_TRIGGER_COMPLETE"
    } else if asks("unschedule_all_triggers") {
        "SET_ALL_JOB_TRIGGERS_COMPLETE"
    } else if asks("may_fire_again") {
        "NOOP"
    } else {
        "DELETE_TRIGGER"
    };
    same("the instruction", &json!(ours), &case["instruction"])
}

async fn replay(open: &impl Open, case: &Value) -> Result<(), String> {
    let mut player = Player::new(open, case).await;
    for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let what = format!("step {number}, {}", text(step, "op"));
        player.step(step).await.map_err(|difference| format!("{what}: {difference}"))?;
        if step["state"].is_object() {
            player.compare(&step["state"]).await.map_err(|difference| format!("{what}: {difference}"))?;
        }
    }
    Ok(())
}

/// Plays the scheduler.
struct Player {
    store: Arc<dyn JobStore>,
    /// The present of the store, which stands still: in Quartz a claim never lapses.
    begin: DateTime<Utc>,
    /// The present of the scheduler.
    now: DateTime<Utc>,
    threshold: TimeDelta,
    acquired: HashMap<TriggerKey, AcquiredTrigger>,
    /// The runs: their job, and whether their trigger may fire again.
    running: HashMap<TriggerKey, Run>,
    /// Triggers and jobs with which Quartz broke its own rules.
    lost: HashSet<TriggerKey>,
    lost_jobs: HashSet<JobKey>,
}

struct Run {
    execution: ExecutionId,
    job: JobKey,
    may_fire_again: bool,
}

impl Player {
    async fn new(open: &impl Open, case: &Value) -> Self {
        let store = open.open().await;
        let node = Node {
            session: 1,
            name: "replay".into(),
            types: None,
            wake: Arc::new(|| {}),
            stop: Arc::new(|_, _| {}),
        };
        store.attach(node).await.unwrap();
        let threshold = TimeDelta::milliseconds(case["misfire_threshold_ms"].as_i64().unwrap());
        let now = time(&case["clock"]).unwrap();
        let (acquired, running) = (HashMap::new(), HashMap::new());
        let (lost, lost_jobs) = (HashSet::new(), HashSet::new());
        Self { store, begin: now, now, threshold, acquired, running, lost, lost_jobs }
    }

    async fn step(&mut self, step: &Value) -> Result<(), String> {
        match text(step, "op") {
            "clock" => self.now = time(&step["now"]).unwrap(),
            "acquire_next_triggers" => return self.acquire(step).await,
            "triggers_fired" => return self.fire(step).await,
            "triggered_job_complete" => self.complete(step).await,
            "release_acquired_trigger" => {
                if let Some(acquired) = self.acquired.remove(&trigger_key(&step["key"])) {
                    self.store.release(vec![acquired.claim]).await.unwrap();
                }
            }
            "pause_trigger" => self.pause(Selection::Trigger(trigger_key(&step["key"])), step).await,
            "pause_triggers" => self.pause(Selection::TriggerGroup(group(&step["group"])), step).await,
            "pause_job" => self.pause(Selection::Job(job_key(&step["key"])), step).await,
            "pause_jobs" => self.pause(Selection::JobGroup(group(&step["group"])), step).await,
            "pause_all" => self.pause(Selection::All, step).await,
            "resume_trigger" => self.resume(Selection::Trigger(trigger_key(&step["key"]))).await,
            "resume_triggers" => self.resume(Selection::TriggerGroup(group(&step["group"]))).await,
            "resume_job" => self.resume(Selection::Job(job_key(&step["key"]))).await,
            "resume_jobs" => self.resume(Selection::JobGroup(group(&step["group"]))).await,
            "resume_all" => self.resume(Selection::All).await,
            "reset_trigger_from_error" => {
                self.store.reset(vec![trigger_key(&step["key"])]).await.unwrap();
            }
            _ => return self.administer(step).await,
        }
        Ok(())
    }

    /// The steps that can fail.
    async fn administer(&mut self, step: &Value) -> Result<(), String> {
        let replace = if step["replace"] == true { Existing::Replace } else { Existing::Refuse };
        let result: Result<Value> = match text(step, "op") {
            "store_job" => self.put(vec![Arc::new(detail(&step["job"]))], Vec::new(), replace).await,
            "store_trigger" => {
                let stored = self.trigger(&step["trigger"]).await;
                if self.lost_jobs.contains(stored.0.job()) {
                    self.lost.insert(stored.0.key().clone());
                }
                self.put(Vec::new(), vec![stored], replace).await
            }
            "remove_trigger" => {
                let removed = self.store.remove_triggers(vec![trigger_key(&step["key"])]).await;
                removed.map(|removed| json!(removed[0].found))
            }
            "remove_job" => {
                self.store.remove_jobs(vec![job_key(&step["key"])]).await.map(|found| json!(found[0]))
            }
            "replace_trigger" => {
                let (trigger, progress) = self.trigger(&step["trigger"]).await;
                let (old, progress) = (trigger_key(&step["key"]), Some(progress));
                let change = Reschedule { old, revision: None, trigger, progress };
                self.store.reschedule(change).await.map(|found| json!(found))
            }
            "store_calendar" => self.put_calendar(step).await,
            "remove_calendar" => {
                self.store.remove_calendar(text(step, "name").into()).await.map(|found| json!(found))
            }
            other => panic!("unknown step {other}"),
        };
        match result {
            Ok(result) if step["error"].is_null() => same("the result", &result, &step["result"]),
            Ok(result) => Err(format!("it succeeds with {result}; expected is {}", step["error"])),
            Err(error) if step["error"].is_null() => Err(format!("it fails: {error}")),
            Err(_) => Ok(()),
        }
    }

    async fn put(
        &self,
        jobs: Vec<Arc<JobDetail>>,
        triggers: Vec<(Arc<Trigger>, Progress)>,
        existing: Existing,
    ) -> Result<Value> {
        let put = Put { jobs, existing_jobs: existing, triggers, existing_triggers: existing };
        self.store.put(put).await.map(|()| json!("ok"))
    }

    async fn trigger(&self, described: &Value) -> (Arc<Trigger>, Progress) {
        let mut builder = build::builder(&described["schedule"]).unwrap();
        builder = builder.key(trigger_key(&described["key"])).job(job_key(&described["job"]));
        builder = builder.priority(i32::try_from(described["priority"].as_i64().unwrap()).unwrap());
        if let Some(name) = described["calendar"].as_str() {
            builder = builder.calendar(name);
        }
        let trigger = builder.build(self.now).unwrap();
        let calendars = self.store.calendars().await.unwrap();
        let calendar = calendars.iter().find(|(name, _)| trigger.calendar() == Some(name));
        let progress = trigger.first(calendar.map(|(_, calendar)| &**calendar));
        (Arc::new(trigger), progress)
    }

    async fn put_calendar(&self, step: &Value) -> Result<Value> {
        let (name, calendar) = (text(step, "name"), Arc::new(build::calendar(&step["calendar"])));
        self.store.put_calendar(name.into(), calendar.clone(), step["replace"] == true).await?;
        if step["update_triggers"] == true {
            let query = TriggerQuery { calendar: Some(name.into()), ..TriggerQuery::default() };
            let users = self.store.triggers(query).await?;
            let moved = users.into_iter().map(|user| Adjustment {
                trigger: user.trigger.key().clone(),
                to: user.trigger.with_calendar(&user.progress, self.now, self.threshold, Some(&*calendar)),
                from: user.progress,
            });
            self.store.adjust(moved.collect()).await?;
        }
        Ok(json!("ok"))
    }

    /// Hands out one after the other, as Quartz does: a misfired trigger is moved on and put back, and the first one that
    /// is handed out ends the window in which the others may be due.
    async fn acquire(&mut self, step: &Value) -> Result<(), String> {
        let expected = step["result"].as_array().unwrap();
        for row in expected {
            self.notice_broken_rules(&trigger_key(&row["key"])).await;
        }
        let first = expected.first().and_then(|row| time(&row["next"]));
        let counts = |row: &&Value| !self.is_lost(&trigger_key(&row["key"]));
        let expected: Vec<_> = expected.iter().filter(counts).collect();
        let lost = step["result"].as_array().unwrap().len() - expected.len();
        let expected: Vec<_> =
            expected.into_iter().map(|row| json!({ "key": row["key"], "next": row["next"] })).collect();

        let max = usize::try_from(step["max_count"].as_u64().unwrap()).unwrap() - lost;
        let window = TimeDelta::milliseconds(step["time_window"].as_i64().unwrap());
        let mut until = time(&step["no_later_than"]).unwrap();
        let (mut handed_out, mut aside) = (Vec::new(), Vec::new());
        while handed_out.len() < max {
            let request = AcquireDue {
                session: 1,
                now: self.begin,
                until,
                max: 1,
                limits: ExecutionLimits::default(),
                late: None,
                fires_since: None,
            };
            let Some(acquired) = self.store.acquire_due(request).await.unwrap().triggers.pop() else { break };
            if let Some(progress) = self.misfired(&acquired.trigger, &acquired.progress) {
                let firing = Firing { claim: acquired.claim, progress, run: false };
                self.store.fire(Fire { now: self.now, firings: vec![firing] }).await.unwrap();
                continue;
            }
            let key = acquired.trigger.key().clone();
            if self.is_lost(&key) || self.lost_jobs.contains(acquired.trigger.job()) {
                aside.push(acquired.claim);
                continue;
            }
            let due = acquired.progress.next.unwrap();
            if handed_out.is_empty() {
                until = first.unwrap_or(due).max(self.now) + window;
            }
            handed_out.push(json!({ "key": shown(&key), "next": due.timestamp_millis() }));
            self.acquired.insert(key, acquired);
        }
        self.store.release(aside).await.unwrap();
        self.misfire_the_others(step).await;
        same("what is handed out", &json!(handed_out), &json!(expected))
    }

    /// Quartz hands out this trigger: one in error, or one of a busy job that allows one run at a time?
    async fn notice_broken_rules(&mut self, key: &TriggerKey) {
        let query = TriggerQuery { keys: vec![key.clone()], ..TriggerQuery::default() };
        let Some(status) = self.store.triggers(query).await.unwrap().pop() else { return };
        let in_error = status.state == TriggerState::Error;
        if in_error {
            self.lost.insert(key.clone());
        }
        let job = status.trigger.job();
        let query = JobQuery { keys: vec![job.clone()], ..JobQuery::default() };
        let single = self.store.jobs(query).await.unwrap()[0].disallow_concurrent();
        let claimed = self.acquired.values().any(|acquired| acquired.trigger.job() == job);
        if single && (in_error || claimed || self.running.values().any(|run| run.job == *job)) {
            self.lost_jobs.insert(job.clone());
            let query = TriggerQuery { job: Some(job.clone()), ..TriggerQuery::default() };
            let all = self.store.triggers(query).await.unwrap();
            self.lost.extend(all.iter().map(|status| status.trigger.key().clone()));
        }
    }

    fn is_lost(&self, key: &TriggerKey) -> bool {
        self.lost.contains(key)
    }

    /// Quartz applies the misfire policy also to triggers on its way that it cannot hand out, since their job is busy.
    async fn misfire_the_others(&self, step: &Value) {
        let events = step["events"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let keys =
            events.filter_map(|event| event.strip_prefix("misfired ")).map(|key| trigger_key(&json!(key)));
        let query = TriggerQuery { keys: keys.collect(), ..TriggerQuery::default() };
        if query.keys.is_empty() {
            return;
        }
        let late = self.store.triggers(query).await.unwrap().into_iter();
        let late = late.filter(|status| !self.acquired.contains_key(status.trigger.key()));
        self.adjust_late(late.collect()).await;
    }

    async fn adjust_late(&self, late: Vec<TriggerStatus>) {
        let late = late.into_iter().filter_map(|status| {
            let to = self.misfired(&status.trigger, &status.progress)?;
            Some(Adjustment { trigger: status.trigger.key().clone(), from: status.progress, to })
        });
        let moved = self.store.adjust(late.collect()).await.unwrap();
        assert!(moved.iter().all(|done| *done));
    }

    /// The progress of a trigger that came too late by Quartz's rule; none if it did not, or if that changes nothing.
    fn misfired(&self, trigger: &Trigger, progress: &Progress) -> Option<Progress> {
        let due = progress.next?;
        if due > self.now - self.threshold || trigger.misfire() == Misfire::Ignore {
            return None;
        }
        // Quartz forgets when a moved firing was due by the schedule.
        let moved = Progress { scheduled: None, ..trigger.misfired(progress, self.now, None) };
        (moved.next != Some(due)).then_some(moved)
    }

    async fn fire(&mut self, step: &Value) -> Result<(), String> {
        let mut fired = Vec::new();
        for name in step["keys"].as_array().unwrap() {
            let Some(acquired) = self.acquired.remove(&trigger_key(name)) else { continue };
            let progress = acquired.trigger.fired(&acquired.progress, acquired.calendar.as_deref());
            let firing = Firing { claim: acquired.claim, progress: progress.clone(), run: true };
            let result =
                self.store.fire(Fire { now: self.now, firings: vec![firing] }).await.unwrap().remove(0);
            if let FireResult::Run { job, .. } = result {
                let millis = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_millis());
                let run = Run {
                    execution: acquired.claim,
                    job: job.key().clone(),
                    may_fire_again: progress.may_fire_again(),
                };
                self.running.insert(acquired.trigger.key().clone(), run);
                if self.is_lost(acquired.trigger.key()) {
                    continue;
                }
                fired.push(json!({
                    "key": name,
                    "job": shown(job.key()),
                    "scheduled": millis(acquired.progress.next),
                    "previous": millis(acquired.progress.previous),
                    "next": millis(progress.next),
                }));
            }
        }
        let expected = step["result"].as_array().unwrap().iter();
        let expected: Vec<_> = expected.filter(|row| !self.is_lost(&trigger_key(&row["key"]))).collect();
        same("what is fired", &json!(fired), &json!(expected))
    }

    async fn complete(&mut self, step: &Value) {
        let key = trigger_key(&step["key"]);
        let Some(Run { execution, may_fire_again, .. }) = self.running.remove(&key) else { return };
        let query = TriggerQuery { keys: vec![key.clone()], ..TriggerQuery::default() };
        let instruction = match text(step, "instruction") {
            // What the run of a removed trigger wishes, Quartz's store in memory ignores; its others do not.
            _ if self.store.triggers(query).await.unwrap().is_empty() => Instruction::Continue,
            "SET_TRIGGER_COMPLETE" => Instruction::FinishTrigger,
            "SET_ALL_JOB_TRIGGERS_COMPLETE" => Instruction::FinishJob,
            "SET_TRIGGER_ERROR" => Instruction::FailTrigger,
            "SET_ALL_JOB_TRIGGERS_ERROR" => Instruction::FailJob,
            "DELETE_TRIGGER" if !may_fire_again => Instruction::RemoveTrigger,
            _ => Instruction::Continue,
        };
        let put_data = step["put_data"].as_object().cloned();
        let completion =
            Completion { instruction, data: put_data.map(JobData::from), ..Completion::of(execution) };
        self.store.complete(Complete { now: self.now, executions: vec![completion] }).await.unwrap();
        if step["instruction"] == "DELETE_TRIGGER" && may_fire_again {
            self.store.remove_triggers(vec![key]).await.unwrap();
        }
    }

    async fn pause(&self, what: Selection, step: &Value) {
        let note = PauseNote::at(self.now);
        self.store.pause(Pause { what, note: note.clone() }).await.unwrap();
        let covered = TriggerQuery { state: Some(TriggerState::Error), ..TriggerQuery::default() };
        for status in self.store.triggers(covered).await.unwrap() {
            let key = status.trigger.key();
            let is_paused = |row: &Value| trigger_key(&row["key"]) == *key && row["state"] == "PAUSED";
            if step["state"]["triggers"].as_array().into_iter().flatten().any(is_paused) {
                self.store.reset(vec![key.clone()]).await.unwrap();
                let what = Selection::Trigger(key.clone());
                self.store.pause(Pause { what, note: note.clone() }).await.unwrap();
            }
        }
    }

    /// Quartz applies the misfire policy at once to what it resumes.
    async fn resume(&self, what: Selection) {
        let keys = self.store.resume(what).await.unwrap();
        if keys.is_empty() {
            return;
        }
        let resumed = self.store.triggers(TriggerQuery { keys, ..TriggerQuery::default() }).await.unwrap();
        self.adjust_late(resumed).await;
    }

    async fn compare(&self, expected: &Value) -> Result<(), String> {
        let jobs = self.store.jobs(JobQuery::default()).await.unwrap();
        let jobs = jobs.iter().filter(|job| !self.lost_jobs.contains(job.key()));
        let jobs: Vec<_> = jobs.map(|job| json!({ "key": shown(job.key()) })).collect();
        let counts = |row: &&Value| !self.lost_jobs.contains(&job_key(&row["key"]));
        let their_jobs: Vec<_> = expected["jobs"].as_array().unwrap().iter().filter(counts).collect();
        same("the jobs", &json!(jobs), &json!(their_jobs))?;
        let mut triggers = self.store.triggers(TriggerQuery::default()).await.unwrap();
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

/// Our state in Quartz's words. Quartz does not show that a trigger executes, and that it has come to its end only if
/// somebody has said so.
fn quartz_state(ours: TriggerState, expected: &Value) -> String {
    let theirs = text(expected, "state");
    let ended = expected["next"].is_null();
    match (ours, theirs) {
        (TriggerState::Executing, "NORMAL" | "BLOCKED" | "COMPLETE") => theirs.to_owned(),
        (TriggerState::Complete, "NORMAL" | "BLOCKED") if ended => theirs.to_owned(),
        _ => ours.to_string().to_uppercase(),
    }
}

#[track_caller]
fn same(what: &str, ours: &Value, expected: &Value) -> Result<(), String> {
    if ours == expected { Ok(()) } else { Err(format!("{what}: {ours}, expected is {expected}")) }
}

fn or_empty(list: &Value) -> Value {
    if list.is_null() { json!([]) } else { list.clone() }
}

/// `group.name`
fn parts(key: &Value) -> (&str, &str) {
    key.as_str().unwrap().split_once('.').unwrap()
}

fn trigger_key(key: &Value) -> TriggerKey {
    let (group, name) = parts(key);
    TriggerKey::in_group(group, name).unwrap()
}

fn job_key(key: &Value) -> JobKey {
    let (group, name) = parts(key);
    JobKey::in_group(group, name).unwrap()
}

fn shown(key: &impl crate::matcher::Key) -> String {
    format!("{}.{}", key.group(), key.name())
}

fn group(described: &Value) -> Text {
    let value = described["value"].as_str().unwrap_or_default();
    match text(described, "compare") {
        "equals" => Text::is(value),
        "starts_with" => Text::starts_with(value),
        "ends_with" => Text::ends_with(value),
        "contains" => Text::contains(value),
        _ => Text::Any,
    }
}

fn detail(described: &Value) -> JobDetail {
    let is = |field: &str| described[field] == true;
    let data = described["data"].as_object().cloned().unwrap_or_default();
    JobDetail::builder(job_key(&described["key"]), "work")
        .durable(is("durable"))
        .disallow_concurrent(is("disallow_concurrent"))
        .persist_data(is("persist_data"))
        .data(JobData::from(data))
        .build()
}
