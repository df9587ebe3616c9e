//! What the replay does in place of the scheduler: acquiring, misfires, firing and the ends of runs.

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::TriggerKey;
use scheduler_core::store::*;
use scheduler_core::trigger::{Misfire, Progress, Trigger};
use serde_json::{Value, json};

use super::read::{shown, trigger_key};
use super::{Player, Run, same, text, time};

impl Player {
    /// Hands out one after the other, as Quartz does: a misfired trigger is moved on and put back, and the first one that
    /// is handed out ends the window in which the others may be due.
    pub(super) async fn acquire(&mut self, step: &Value) -> Result<(), String> {
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
                limits: QueueLimits::default(),
                shares: Vec::new(),
                late: None,
                heard: None,
            };
            let Some(acquired) = self.store.acquire_due(request).await.unwrap().triggers.pop() else { break };
            if let Some(progress) = self.misfired(&acquired.trigger, &acquired.progress) {
                let firing =
                    Firing { claim: acquired.claim, progress, dropped: Some(FiringReason::Misfired) };
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
        let Some(status) = self.store.all_triggers(query).await.unwrap().pop() else { return };
        let in_error = status.state == TriggerState::Error;
        if in_error {
            self.lost.insert(key.clone());
        }
        let job = status.trigger.job();
        let query = JobQuery { keys: vec![job.clone()], ..JobQuery::default() };
        let single = self.store.all_jobs(query).await.unwrap()[0].disallow_concurrent();
        let claimed = self.acquired.values().any(|acquired| acquired.trigger.job() == job);
        if single && (in_error || claimed || self.running.values().any(|run| run.job.key() == job)) {
            self.lost_jobs.insert(job.clone());
            let query = TriggerQuery { job: Some(job.clone()), ..TriggerQuery::default() };
            let all = self.store.all_triggers(query).await.unwrap();
            self.lost.extend(all.iter().map(|status| status.trigger.key().clone()));
        }
    }

    pub(super) fn is_lost(&self, key: &TriggerKey) -> bool {
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
        let late = self.store.all_triggers(query).await.unwrap().into_iter();
        let late = late.filter(|status| !self.acquired.contains_key(status.trigger.key()));
        self.adjust_late(late.collect()).await;
    }

    pub(super) async fn adjust_late(&self, late: Vec<TriggerStatus>) {
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

    pub(super) async fn fire(&mut self, step: &Value) -> Result<(), String> {
        let mut fired = Vec::new();
        for name in step["keys"].as_array().unwrap() {
            let Some(acquired) = self.acquired.remove(&trigger_key(name)) else { continue };
            let progress = acquired.trigger.fired(&acquired.progress, acquired.calendar.as_deref());
            let firing = Firing { claim: acquired.claim, progress: progress.clone(), dropped: None };
            let result =
                self.store.fire(Fire { now: self.now, firings: vec![firing] }).await.unwrap().remove(0);
            if let FireResult::Run { job, .. } = result {
                let millis = |time: Option<DateTime<Utc>>| time.map(|time| time.timestamp_millis());
                let run = Run {
                    execution: acquired.claim,
                    job: job.clone(),
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

    pub(super) async fn complete(&mut self, step: &Value) {
        let key = trigger_key(&step["key"]);
        let Some(Run { execution, job, may_fire_again }) = self.running.remove(&key) else { return };
        let query = TriggerQuery { keys: vec![key.clone()], ..TriggerQuery::default() };
        let instruction = match text(step, "instruction") {
            // What the run of a removed trigger wishes, Quartz's store in memory ignores; its others do not.
            _ if self.store.all_triggers(query).await.unwrap().is_empty() => Instruction::Continue,
            "SET_TRIGGER_COMPLETE" => Instruction::FinishTrigger,
            "SET_ALL_JOB_TRIGGERS_COMPLETE" => Instruction::FinishJob,
            "SET_TRIGGER_ERROR" => Instruction::FailTrigger,
            "SET_ALL_JOB_TRIGGERS_ERROR" => Instruction::FailJob,
            "DELETE_TRIGGER" if !may_fire_again => Instruction::RemoveTrigger,
            "DELETE_TRIGGER" | "NOOP" | "RE_EXECUTE_JOB" => Instruction::Continue,
            other => panic!("unknown instruction `{other}`"),
        };
        let data = step["put_data"].as_object().filter(|_| job.persist_data()).map(|put| {
            let mut data = job.data().clone();
            put.iter().for_each(|(name, value)| drop(data.insert(name, value.clone())));
            data
        });
        let completion = Completion { instruction, data, ..Completion::of(execution) };
        self.store.complete(Complete { now: self.now, executions: vec![completion] }).await.unwrap();
        if step["instruction"] == "DELETE_TRIGGER" && may_fire_again {
            self.store.remove_triggers(vec![key]).await.unwrap();
        }
    }
}
