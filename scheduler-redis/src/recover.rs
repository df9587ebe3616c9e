//! The work of nodes that are gone: given back, ended, and repeated where a job wants it.

use chrono::{DateTime, Utc};
use scheduler_core::Result;
use scheduler_core::store::RunRecord;
use scheduler_core::time::Clock;
use scheduler_core::trigger::{LostRun, Trigger};
use serde_json::{Value, json};

use crate::codec;
use crate::inner::Inner;

impl Inner {
    /// Takes over the work of nodes that are gone, and what callers have begun that are gone.
    pub(crate) async fn recover(&self) -> Result<()> {
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
        let plainly = |row: &Value, error| {
            tracing::error!(%error, "a run that was lost with its node cannot be read; it is ended and not repeated: {error}");
            json!({ "c": row["c"], "i": "continue" })
        };
        let ending = |row| self.buried(row, now).unwrap_or_else(|error| plainly(row, error));
        let executions: Vec<_> = rows.iter().map(ending).collect();
        let keep = self.settings.keeps.to_string();
        let request = json!({ "now": codec::time(now), "executions": executions, "keep": keep });
        self.heart_call("bury", &request).await.map(drop)
    }

    /// What becomes of a run whose node is gone.
    fn buried(&self, row: &Value, now: DateTime<Utc>) -> Result<Value> {
        let claim = codec::text(&row["c"]);
        let (execution, job) = (codec::read_claim(claim)?, codec::job_key(codec::text(&row["j"]))?);
        let key = codec::trigger_key(codec::text(&row["t"]))?;
        let trigger: Option<Trigger> =
            row["d"].as_str().and_then(|text| codec::decode("a trigger", text).ok());
        let time = |value: &Value| codec::read_time(value).unwrap_or_default();
        let (scheduled, fired) = (time(&row["n"]), time(&row["s"]));
        let mut again = Value::Null;
        let wanted = row["r"] == true;
        let lost = LostRun { execution, job: &job, key: &key, trigger: trigger.as_ref(), scheduled, fired };
        let record = RunRecord::lost(&lost, codec::text(&row["o"]), now);
        if wanted {
            match Trigger::recovering(&lost) {
                Some(trigger) => {
                    let progress = trigger.first(None);
                    again = json!({
                        "t": codec::trigger(&trigger, Some(&progress))?, "p": codec::encode(&progress)?, "n": codec::next(&progress),
                    });
                }
                None => {
                    tracing::error!(%job, trigger = %key, "a run of job `{job}` for trigger `{key}` was lost with too many nodes; it is not repeated again");
                }
            }
        }
        let fate = if again.is_null() { "is not repeated" } else { "is repeated" };
        tracing::warn!(%job, trigger = %key, %execution, "run {execution} of job `{job}` was lost with its node and {fate}");
        let declared = trigger.as_ref().is_some_and(|trigger| trigger.declared_by().is_some());
        let instruction = if declared { "continue" } else { "remove_trigger" };
        Ok(
            json!({ "c": claim, "i": instruction, "again": again, "record": self.settings.record(Some(&record))? }),
        )
    }
}
