//! The work of nodes that are gone: given back, ended, and repeated where a job wants it.

use chrono::{DateTime, Utc};
use scheduler_core::job::ExecutionId;
use scheduler_core::store::RunRecord;
use scheduler_core::time::Clock;
use scheduler_core::trigger::{LostRun, Trigger};
use scheduler_core::{Error, JobKey, Result, TriggerKey};
use serde_json::{Value, json};

use crate::codec;
use crate::inner::Inner;

impl Inner {
    /// Takes over the work of nodes that are gone, and what callers have begun that are gone.
    pub(crate) async fn recover(&self) -> Result<()> {
        if let Some(rows) = self.rows.get() {
            return match rows.upgrade() {
                Some(rows) => Box::pin(rows.bury(None)).await,
                None => Ok(()),
            };
        }
        loop {
            let answer = self.heart_call("lost", &json!({})).await?;
            if answer["done"] == true {
                break;
            }
            self.bury(codec::list(&answer["rows"])).await?;
        }
        let mut answer = self.heart_call("chore", &json!({})).await?;
        while let Some(number) = answer["chore"].as_str() {
            answer = self.heart_call("chore", &json!({ "number": number })).await?;
        }
        Ok(())
    }

    pub(crate) async fn bury(&self, rows: &[Value]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let ending = |row| self.buried(row, now).unwrap_or_else(|error| nameless(row, &error));
        let executions: Vec<_> = rows.iter().map(ending).collect();
        let keep = self.settings.keeps.to_string();
        let request = json!({ "now": codec::time(now), "executions": executions, "keep": keep });
        self.heart_call("bury", &request).await.map(drop)
    }

    /// What becomes of a run whose node is gone.
    fn buried(&self, row: &Value, now: DateTime<Utc>) -> Result<Value> {
        let run = Run::read(row, now)?;
        let trigger = run.trigger(row);
        let known = trigger.as_ref().ok().and_then(Option::as_ref);
        let lost = run.lost(known);
        let (mut again, mut is_unreadable) = (Value::Null, false);
        let record = RunRecord::lost(&lost, codec::text(&row["o"]), now);
        if let Err(error) = &trigger {
            is_unreadable = true;
            if let Some(bare) = codec::salvaged(codec::text(&row["d"]), run.scheduled) {
                again = run.again(row, &run.lost(Some(&bare)))?;
            }
            run.tell_unreadable(error, !again.is_null(), row["r"] == true);
        } else {
            again = run.again(row, &lost)?;
            run.tell(!again.is_null());
        }
        let declared = known.is_some_and(|trigger| trigger.declared_by().is_some());
        let instruction = match () {
            // Another node may know its format.
            () if is_unreadable && codec::is_json(codec::text(&row["d"])) => "continue",
            () if is_unreadable => "fail_trigger",
            () if declared => "continue",
            () => "remove_trigger",
        };
        let (claim, record) = (codec::text(&row["c"]), self.settings.record(Some(&record))?);
        Ok(json!({ "c": claim, "i": instruction, "again": again, "record": record }))
    }
}

/// The end of a run whose record does not even name it.
fn nameless(row: &Value, error: &Error) -> Value {
    let [run, job, trigger] = ["c", "j", "t"].map(|part| codec::shown(codec::text(&row[part])));
    tracing::error!(
        job,
        trigger,
        %error,
        "run {run} of job `{job}` for trigger `{trigger}` was lost with its node. The run is ended and not repeated, and its \
         trigger is kept, since a part of its record cannot be read: {error}"
    );
    json!({ "c": row["c"], "i": "continue" })
}

/// A run whose node is gone.
struct Run {
    execution: ExecutionId,
    job: JobKey,
    key: TriggerKey,
    scheduled: DateTime<Utc>,
    fired: DateTime<Utc>,
}

impl Run {
    fn read(row: &Value, now: DateTime<Utc>) -> Result<Self> {
        let [claim, job, key] = ["c", "j", "t"].map(|part| codec::text(&row[part]));
        let time = |part: &str| {
            codec::read_time(&row[part]).unwrap_or_else(|| {
                let error = codec::broken("time of run", claim, &row[part].to_string());
                tracing::error!(%error, "the time at which a lost run was due or fired is taken to be now: {error}");
                now
            })
        };
        let (scheduled, fired) = (time("n"), time("s"));
        let (job, key) = (codec::job_key(job)?, codec::trigger_key(key)?);
        Ok(Self { execution: codec::read_claim(claim)?, job, key, scheduled, fired })
    }

    fn lost<'a>(&'a self, trigger: Option<&'a Trigger>) -> LostRun<'a> {
        let Self { execution, job, key, scheduled, fired } = self;
        LostRun { execution: *execution, job, key, trigger, scheduled: *scheduled, fired: *fired }
    }

    /// The trigger, if it is still stored.
    fn trigger(&self, row: &Value) -> Result<Option<Trigger>> {
        let stored = row["d"].as_str();
        stored.map(|text| codec::decode("trigger", codec::text(&row["t"]), text)).transpose()
    }

    /// What repeats the run; null if nothing does.
    fn again(&self, row: &Value, lost: &LostRun<'_>) -> Result<Value> {
        if row["r"] != true {
            return Ok(Value::Null);
        }
        let Some(trigger) = Trigger::recovering(lost) else {
            let Self { job, key, .. } = self;
            tracing::error!(%job, trigger = %key, "a run of job `{job}` for trigger `{key}` was lost with too many nodes and is not repeated again; find out whether the job ends its process");
            return Ok(Value::Null);
        };
        // Also where the trigger itself is gone.
        let trigger = trigger.or_execution_group(codec::execution_group(&row["g"]).as_ref());
        let progress = trigger.first(None);
        let row = codec::trigger(&trigger, Some(&progress))?;
        Ok(json!({ "t": row, "p": codec::encode(&progress)?, "n": codec::next(&progress) }))
    }

    fn tell(&self, is_repeated: bool) {
        let Self { execution, job, key, .. } = self;
        let fate = if is_repeated { "is repeated" } else { "is not repeated" };
        tracing::warn!(%job, trigger = %key, %execution, "run {execution} of job `{job}` was lost with its node and {fate}");
    }

    fn tell_unreadable(&self, error: &Error, is_repeated: bool, is_wanted: bool) {
        let Self { execution, job, key, .. } = self;
        let fate = match (is_repeated, is_wanted) {
            (true, _) => "is repeated with the data in that record",
            (false, true) => "is not repeated, since its data are unknown: run the job again with its data",
            (false, false) => "is not repeated",
        };
        tracing::error!(%job, trigger = %key, %execution, %error, "run {execution} of job `{job}` was lost with its node and {fate}. Its trigger is kept: {error}");
    }
}
