//! The way of a firing: one call for a part of it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::job::CancelReason;
use scheduler_core::store::*;
use scheduler_core::{Error, Result};
use serde_json::{Value, json};

use crate::answer::acquired;
use crate::codec;
use crate::store::{RedisJobStore, touch_lost};

/// How far ahead triggers are acquired: about two round trips.
pub(crate) const LOOK_AHEAD: Duration = Duration::from_millis(20);

/// How long after its due time a claim lapses that was not fired.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

pub(crate) const USE: Attached =
    Attached { look_ahead: LOOK_AHEAD, grace: GRACE, stop_within: Duration::ZERO, keeps_history: false };

/// No call does more at once, so that none holds the server up for long.
pub(crate) const BATCH: usize = 100;

impl RedisJobStore {
    pub(crate) async fn acquire_part(&self, request: &AcquireDue) -> Result<Acquired> {
        let (limits, session) = (&request.limits, request.session);
        let body = json!({
            "session": session.to_string(),
            "now": codec::time(request.now),
            "until": codec::time(request.until),
            "max": request.max,
            "lapse": (LOOK_AHEAD + GRACE).as_millis().to_string(),
            "named": limits.named,
            "others": limits.others,
            "ungrouped": limits.ungrouped,
            "shared": limits.shared,
            "late": request.late.map(|share| codec::time(share.before)),
            "most_late": request.late.map(|share| share.most),
        });
        let answer = self.call_as(session, "acquire", body).await?;
        if answer["lost"] == true {
            self.0.nudge.notify_one();
            return Err(Error::transient("the store holds this node for dead; it registers anew"));
        }
        if self.0.state.lock().epoch != codec::text(&answer["e"]) {
            self.0.nudge.notify_one();
        }
        let stop = |row: &Value| {
            let reason = match codec::text(&row[1]) {
                "superseded" => CancelReason::Superseded,
                _ => CancelReason::Requested,
            };
            Ok((codec::read_claim(codec::text(&row[0]))?, reason))
        };
        let mut cancel = codec::list(&answer["s"]).iter().map(stop).collect::<Result<Vec<_>>>()?;
        cancel.sort_unstable_by_key(|(id, _)| *id);
        let (mut triggers, mut spoilt) = (Vec::new(), Vec::new());
        for row in codec::list(&answer["t"]) {
            match acquired(row) {
                Ok(claim) => {
                    self.0.remember(row, &claim);
                    triggers.push(claim);
                }
                // Somebody else may know its calendar or its format: the claim lapses, and another node may take it.
                Err(error) if codec::is_well_formed(row) => {
                    tracing::error!(%error, "this node cannot read a trigger and passes it over");
                }
                Err(error) => {
                    tracing::error!(%error, "a trigger cannot be read by anybody; it is put into the error state");
                    spoilt.push(row["c"].clone());
                }
            }
        }
        if !spoilt.is_empty()
            && let Err(error) = self.call("spoil", json!({ "claims": spoilt })).await
        {
            tracing::warn!(%error, "what cannot be read comes up again");
        }
        Ok(Acquired { triggers, cancel, next_due: codec::read_time(&answer["n"]) })
    }

    /// Adds to `spoilt` the ends of runs whose job cannot be read.
    pub(crate) async fn fire_part(
        &self,
        now: DateTime<Utc>,
        firings: &[Firing],
        spoilt: &mut Vec<Value>,
    ) -> Result<Vec<FireResult>> {
        let row = |firing: &Firing| -> Result<Value> {
            Ok(json!({
                "c": codec::claim(firing.claim),
                "p": codec::encode(&firing.progress)?,
                "n": codec::next(&firing.progress),
                "run": firing.run,
            }))
        };
        let rows = firings.iter().map(row).collect::<Result<Vec<_>>>()?;
        let session = firings.first().map_or(0, |firing| firing.claim.session());
        let answer =
            self.call_as(session, "fire", json!({ "now": codec::time(now), "firings": rows })).await?;
        let mut results = Vec::with_capacity(firings.len());
        for (row, firing) in codec::list(&answer).iter().zip(firings) {
            results.push(match codec::text(&row["r"]) {
                "run" => match codec::read_job(codec::text(&row["d"])) {
                    Ok(job) => FireResult::Run { fence: firing.claim.count(), job: Arc::new(job) },
                    Err(error) => {
                        tracing::error!(%error, "a job cannot be read; its triggers are put into the error state");
                        spoilt.push(json!({ "c": codec::claim(firing.claim), "i": "fail_job" }));
                        FireResult::Stale
                    }
                },
                "overlapped" => FireResult::Overlapped,
                "advanced" => FireResult::Advanced,
                _ => FireResult::Stale,
            });
        }
        if !self.0.departed(session, now, firings, &rows, &mut results) {
            return Err(touch_lost());
        }
        Ok(results)
    }

    pub(crate) async fn complete_part(
        &self,
        now: DateTime<Utc>,
        executions: &[Completion],
    ) -> Result<Vec<CompleteResult>> {
        let row = |completion: &Completion| -> Result<Value> {
            Ok(json!({
                "c": codec::claim(completion.execution),
                "i": codec::instruction(completion.instruction)?,
                "data": completion.data.as_ref().map(codec::encode).transpose()?,
                "record": self.0.settings.record(completion.record.as_deref())?,
            }))
        };
        let rows = executions.iter().map(row).collect::<Result<Vec<_>>>()?;
        let answers = self.end(now, &rows).await?;
        let result = |row: &Value| match row["gone"] == true {
            true => CompleteResult::Gone,
            false => {
                CompleteResult::Done { trigger_removed: row["t"] == true, job_removed: row["j"] == true }
            }
        };
        self.0.landed(executions, rows);
        Ok(answers.iter().map(result).collect())
    }

    /// Ends runs. One that ends its whole job stays until all triggers of the job are told, which may take several calls.
    pub(crate) async fn end(&self, now: DateTime<Utc>, rows: &[Value]) -> Result<Vec<Value>> {
        let mut answers = vec![Value::Null; rows.len()];
        let mut open: Vec<(usize, Value)> = rows.iter().cloned().enumerate().collect();
        while !open.is_empty() {
            let (epoch, quiet) = (self.0.state.lock().epoch.clone(), self.0.takes());
            let part: Vec<_> = open.iter().map(|(_, row)| row).collect();
            let body = json!({ "now": codec::time(now), "executions": part, "quiet": quiet, "epoch": epoch,
                "keep": self.0.settings.keeps.to_string() });
            let answer = self.call("complete", body).await?;
            let present = codec::text(&answer["e"]).to_owned();
            if present != epoch {
                let inner = self.0.clone();
                self.on_io(async move { inner.heard_epoch(&present).await }).await?;
                continue;
            }
            let mut results = codec::list(&answer["r"]).iter();
            open.retain_mut(|(number, row)| {
                let result = results.next().cloned().unwrap_or_default();
                let more = result["more"].is_string();
                if more {
                    row["after"] = result["more"].clone();
                } else {
                    answers[*number] = result;
                }
                more
            });
        }
        Ok(answers)
    }
}
