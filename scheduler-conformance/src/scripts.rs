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

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

mod compare;
mod firing;
mod read;

use self::read::{detail, group, job_key, trigger_key};
use super::bench::{Open, run};
use super::build;
use super::corpus::{Line, cases, text, time};
use super::report::Report;
use scheduler_core::Result;
use scheduler_core::Text;
use scheduler_core::job::{ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::{Progress, Trigger};
use scheduler_core::{JobKey, TriggerKey};

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
    report(open, &cases("store-scripts", CARRIED)).finish();
}

/// The account of these lines.
#[doc(hidden)]
pub fn report(open: &impl Open, lines: &[Line]) -> Report {
    let mut report = Report::new("store-scripts", DEVIATIONS, MOST_DEVIATIONS);
    for line in lines {
        report.check(line, |case| match text(case, "kind") {
            "store-script" => run(replay(open, case)),
            "execution-complete" => instruction(&case["case"]),
            other => panic!("unknown kind `{other}`"),
        });
    }
    report
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
        known_events(step);
        player.step(step).await.map_err(|difference| format!("{what}: {difference}"))?;
        if step["state"].is_object() {
            player.compare(&step["state"]).await.map_err(|difference| format!("{what}: {difference}"))?;
        }
    }
    Ok(())
}

/// The store tells its scheduler of these in Quartz. Here the scheduler does what they announce, so only their names are read.
fn known_events(step: &Value) {
    for event in step["events"].as_array().into_iter().flatten() {
        let name = event.as_str().and_then(|event| event.split(' ').next()).unwrap_or_default();
        let is_known = ["misfired", "finalized", "job_deleted", "scheduling_change"].contains(&name);
        assert!(is_known, "unknown event {event}");
    }
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
    job: Arc<JobDetail>,
    may_fire_again: bool,
}

impl Player {
    async fn new(open: &impl Open, case: &Value) -> Self {
        let store = open.open().await;
        let node = Node {
            session: 1,
            name: "replay".into(),
            types: None,
            queues: QueueFilter::default(),
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
            "store_trigger" => match self.trigger(&step["trigger"]).await {
                Ok(stored) => self.put(Vec::new(), vec![stored], replace).await,
                Err(refused) => return refused_as_expected(step, &refused),
            },
            "store_job_and_trigger" => match self.trigger(&step["trigger"]).await {
                Ok(stored) => self.put_both(Arc::new(detail(&step["job"])), stored, replace).await,
                Err(refused) => return refused_as_expected(step, &refused),
            },
            "clear_all" => self.clear().await.map(|()| json!("ok")),
            "remove_trigger" => {
                let removed = self.store.remove_triggers(vec![trigger_key(&step["key"])]).await;
                removed.map(|removed| json!(removed[0].found))
            }
            "remove_job" => {
                self.store.remove_jobs(vec![job_key(&step["key"])]).await.map(|found| json!(found[0]))
            }
            "remove_triggers" => {
                let removed = self.store.remove_triggers(keys(step).map(trigger_key).collect()).await;
                removed.map(|removed| json!(removed.iter().all(|removed| removed.found)))
            }
            "remove_jobs" => {
                let removed = self.store.remove_jobs(keys(step).map(job_key).collect()).await;
                removed.map(|found| json!(found.iter().all(|found| *found)))
            }
            "replace_trigger" => match self.trigger(&step["trigger"]).await {
                Ok((trigger, progress)) => {
                    let (old, progress) = (trigger_key(&step["key"]), Some(progress));
                    let change = Reschedule { old, revision: None, trigger, progress };
                    self.store.reschedule(change).await.map(|found| json!(found))
                }
                Err(refused) => return refused_as_expected(step, &refused),
            },
            "store_calendar" => self.put_calendar(step).await,
            "remove_calendar" => {
                self.store.remove_calendar(text(step, "name").into()).await.map(|found| json!(found))
            }
            other => panic!("unknown step `{other}`"),
        };
        match result {
            // What answers nothing in Quartz may have no result.
            Ok(result) if result == "ok" && step["result"].is_null() && step["error"].is_null() => Ok(()),
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

    /// Where the trigger is refused, Quartz keeps the job.
    async fn put_both(
        &self,
        job: Arc<JobDetail>,
        trigger: (Arc<Trigger>, Progress),
        existing: Existing,
    ) -> Result<Value> {
        let stored = self.put(vec![job.clone()], vec![trigger], existing).await;
        if stored.is_err() {
            self.put(vec![job], Vec::new(), existing).await.ok();
        }
        stored
    }

    /// Quartz's store in memory keeps the pauses of groups when it is cleared, and so do we here.
    async fn clear(&mut self) -> Result<()> {
        let mut paused = Vec::new();
        for (kind, of_group) in [
            (GroupKind::Triggers, Selection::TriggerGroup as fn(Text) -> Selection),
            (GroupKind::Jobs, Selection::JobGroup),
        ] {
            let groups = self.store.groups(kind).await?;
            let names =
                groups.iter().filter(|group| group.pause.is_some()).map(|group| Text::is(&group.name));
            paused.extend(names.map(of_group));
        }
        self.store.clear().await?;
        for what in paused {
            self.store.pause(Pause { what, note: PauseNote::at(self.now) }).await?;
        }
        self.acquired.clear();
        self.running.clear();
        self.lost.clear();
        self.lost_jobs.clear();
        Ok(())
    }

    /// A trigger to be stored with its first fire time, or why it is refused.
    async fn trigger(&mut self, described: &Value) -> Result<(Arc<Trigger>, Progress), String> {
        let mut builder = build::builder(&described["schedule"])?;
        builder = builder.key(trigger_key(&described["key"])).job(job_key(&described["job"]));
        if let Some(priority) = described["priority"].as_i64() {
            builder = builder.priority(i32::try_from(priority).map_err(|error| error.to_string())?);
        }
        if let Some(name) = described["calendar"].as_str() {
            builder = builder.calendar(name);
        }
        let trigger = builder.build(self.now).map_err(|error| error.to_string())?;
        if self.lost_jobs.contains(trigger.job()) {
            self.lost.insert(trigger.key().clone());
        }
        let calendars = self.store.calendars().await.unwrap();
        let calendar = calendars.iter().find(|(name, _)| trigger.calendar() == Some(name));
        let progress = trigger.first(calendar.map(|(_, calendar)| &**calendar));
        Ok((Arc::new(trigger), progress))
    }

    async fn put_calendar(&self, step: &Value) -> Result<Value> {
        let (name, calendar) = (text(step, "name"), Arc::new(build::calendar(&step["calendar"])));
        self.store.put_calendar(name.into(), calendar.clone(), step["replace"] == true).await?;
        if step["update_triggers"] == true {
            let query = TriggerQuery { calendar: Some(name.into()), ..TriggerQuery::default() };
            let users = self.store.all_triggers(query).await?;
            let moved = users.into_iter().map(|user| Adjustment {
                trigger: user.trigger.key().clone(),
                to: user.trigger.with_calendar(&user.progress, self.now, self.threshold, Some(&*calendar)),
                from: user.progress,
            });
            self.store.adjust(moved.collect()).await?;
        }
        Ok(json!("ok"))
    }

    async fn pause(&self, what: Selection, step: &Value) {
        let note = PauseNote::at(self.now);
        self.store.pause(Pause { what, note: note.clone() }).await.unwrap();
        let covered = TriggerQuery { state: Some(TriggerState::Error), ..TriggerQuery::default() };
        for status in self.store.all_triggers(covered).await.unwrap() {
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
        let resumed =
            self.store.all_triggers(TriggerQuery { keys, ..TriggerQuery::default() }).await.unwrap();
        self.adjust_late(resumed).await;
    }
}

/// Quartz refuses it as well, if only when it is stored.
fn refused_as_expected(step: &Value, refused: &str) -> Result<(), String> {
    if step["error"].is_null() { Err(format!("it is refused: {refused}")) } else { Ok(()) }
}

fn keys(step: &Value) -> impl Iterator<Item = &Value> {
    step["keys"].as_array().unwrap().iter()
}

#[track_caller]
fn same(what: &str, ours: &Value, expected: &Value) -> Result<(), String> {
    if ours == expected { Ok(()) } else { Err(format!("{what}: {ours}, expected is {expected}")) }
}
