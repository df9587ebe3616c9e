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
use crate::inner::Answer;
use crate::session::Ending;
use crate::store::{RedisJobStore, touch_lost};

/// How far ahead triggers are acquired: about two round trips.
pub(crate) const LOOK_AHEAD: Duration = Duration::from_millis(20);

/// How long after its due time a claim lapses that was not fired.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

pub(crate) const USE: Attached =
    Attached { look_ahead: LOOK_AHEAD, grace: GRACE, stop_within: Duration::ZERO, keeps_history: false };

/// So many words are a row of what is acquired.
const ACQUIRED: usize = 6;

/// So many words are a row of what is fired.
pub(crate) const FIRED: usize = 5;

/// No call does more at once, so that none holds the server up for long.
pub(crate) const BATCH: usize = 100;

impl RedisJobStore {
    /// Acquires in parts. Where no limit depends on what a part has taken, the next one is asked for before this one is read.
    pub(crate) async fn acquire_parts(&self, request: AcquireDue) -> Result<Acquired> {
        let is_limited = request.limits != ExecutionLimits::default();
        let mut left = AcquireDue { max: request.max.min(BATCH), ..request.clone() };
        let (mut all, mut open) = (Acquired::default(), request.max);
        let mut said = self.ask_acquire(&left).await?;
        loop {
            let count = said.rows::<ACQUIRED>().count();
            let is_full = count == left.max;
            open -= count.min(open);
            let next_due = codec::read_time(&said.body["n"]);
            if !is_full || open == 0 || next_due.is_none_or(|due| due > request.until) {
                let part = self.read_acquired(&said).await?;
                all.triggers.extend(part.triggers);
                return Ok(Acquired { triggers: all.triggers, ..part });
            }
            left.max = open.min(BATCH);
            let next = if is_limited {
                let part = self.read_acquired(&said).await?;
                left.took(&part.triggers);
                all.triggers.extend(part.triggers);
                self.ask_acquire(&left).await
            } else {
                if let (Some(late), Some(most)) = (&mut left.late, said.body["l"].as_u64()) {
                    late.most = usize::try_from(most).unwrap_or(usize::MAX);
                }
                let (next, part) = tokio::join!(self.ask_acquire(&left), self.read_acquired(&said));
                all.triggers.extend(part?.triggers);
                next
            };
            said = match next {
                Ok(said) => said,
                // What is claimed already is handed out, and the rest asked for again at once.
                Err(_) => return Ok(Acquired { next_due: Some(request.now), ..all }),
            };
        }
    }

    async fn ask_acquire(&self, request: &AcquireDue) -> Result<Answer> {
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
        let said = self.ask_as(session, "acquire", body, Arc::default()).await?;
        let answer = &said.body;
        if answer["lost"] == true {
            self.0.nudge.notify_one();
            return Err(Error::transient("the store holds this node for dead; it registers anew"));
        }
        if self.0.state.lock().epoch != codec::text(&answer["e"]) {
            self.0.nudge.notify_one();
        }
        Ok(said)
    }

    /// What was acquired. What cannot be read is left out.
    async fn read_acquired(&self, said: &Answer) -> Result<Acquired> {
        let answer = &said.body;
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
        for row in said.rows::<ACQUIRED>() {
            let [_, trigger, description, progress, _, calendar] = row;
            match acquired(row) {
                Ok(acquired) => {
                    self.0.remember(trigger, progress, &acquired);
                    triggers.push(acquired);
                }
                // Somebody else may know its calendar or its format: the claim lapses, and another node may take it.
                Err(error) if codec::is_well_formed(&[description, progress, calendar]) => {
                    tracing::error!(%error, "this node cannot read a trigger and passes it over");
                }
                Err(error) => {
                    tracing::error!(%error, "a trigger cannot be read by anybody; it is put into the error state");
                    spoilt.push(trigger);
                }
            }
        }
        if !spoilt.is_empty()
            && let Err(error) = self.call("spoil", json!({ "keys": spoilt })).await
        {
            tracing::warn!(%error, "what cannot be read comes up again");
        }
        Ok(Acquired { triggers, cancel, next_due: codec::read_time(&answer["n"]) })
    }

    /// Also gives the ends of runs whose job cannot be read.
    pub(crate) async fn fire_part(
        &self,
        now: DateTime<Utc>,
        firings: &[Firing],
    ) -> Result<(Vec<FireResult>, Vec<Ending>)> {
        let session = firings.first().map_or(0, |firing| firing.claim.session());
        let rows = self.firing_rows(session, firings)?;
        let node = self.0.sessions.lock().get(&session).map(|known| known.node.name.clone());
        let request = json!({ "now": codec::time(now), "node": node });
        let said = self.ask_as(session, "fire", request, rows.clone()).await?;
        let (mut results, mut spoilt) = (Vec::<FireResult>::with_capacity(firings.len()), Vec::new());
        for ([what, detail], firing) in said.rows().zip(firings) {
            let fence = firing.claim.count();
            results.push(match what {
                "run" => match codec::read_job(detail) {
                    Ok(job) => FireResult::Run { fence, job: Arc::new(job) },
                    Err(error) => {
                        tracing::error!(%error, "a job cannot be read; its triggers are put into the error state");
                        spoilt.push(Ending::plain(firing.claim, "fail_job"));
                        FireResult::Stale
                    }
                },
                "as" => match detail.parse::<usize>().ok().and_then(|number| results.get(number.checked_sub(1)?)) {
                    Some(FireResult::Run { job, .. }) => FireResult::Run { fence, job: job.clone() },
                    _ => {
                        spoilt.push(Ending::plain(firing.claim, "fail_job"));
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
        Ok((results, spoilt))
    }

    fn firing_rows(&self, session: u64, firings: &[Firing]) -> Result<Arc<[String]>> {
        let sessions = self.0.sessions.lock();
        let known = sessions.get(&session);
        let mut rows = Vec::with_capacity(FIRED * firings.len());
        for firing in firings {
            let trigger = known.and_then(|known| known.trigger_of(firing.claim)).unwrap_or_default();
            let run = if firing.run { "1" } else { "" };
            rows.extend([codec::claim(firing.claim), trigger.to_owned(), codec::encode(&firing.progress)?]);
            rows.extend([codec::next_word(&firing.progress), run.to_owned()]);
        }
        Ok(rows.into())
    }

    /// Runs that were stopped since their node had lost touch: as if it had died with them.
    pub(crate) async fn abandon(&self, executions: &[Completion]) -> Result<()> {
        let ids = executions.iter().filter(|completion| completion.unfinished);
        let ids: Vec<_> = ids.map(|completion| completion.execution).collect();
        if ids.is_empty() {
            return Ok(());
        }
        for part in ids.chunks(BATCH) {
            let claims: Vec<_> = part.iter().map(|id| codec::claim(*id)).collect();
            self.call("abandon", json!({ "claims": claims })).await?;
        }
        {
            let mut sessions = self.0.sessions.lock();
            for id in &ids {
                if let Some(known) = sessions.get_mut(&id.session()) {
                    known.flights.remove(id);
                }
            }
        }
        let done = CompleteResult::Done { trigger_removed: false, job_removed: false };
        self.0.settled.lock().extend(ids.into_iter().map(|id| (id, done)));
        let inner = self.0.clone();
        self.on_io(async move { inner.recover().await }).await
    }

    pub(crate) async fn complete_part(
        &self,
        now: DateTime<Utc>,
        executions: &[Completion],
    ) -> Result<Vec<CompleteResult>> {
        let ending = |completion: &Completion| -> Result<Ending> {
            Ok(Ending {
                data: completion.data.as_ref().map(codec::encode).transpose()?,
                record: self.0.settings.record(completion.record.as_deref())?,
                ..Ending::plain(completion.execution, codec::instruction(completion.instruction)?)
            })
        };
        let endings = executions.iter().map(ending).collect::<Result<Vec<_>>>()?;
        let results = self.end(now, &endings).await?;
        self.0.landed(executions, endings);
        Ok(results)
    }

    /// Ends runs. One that ends its whole job stays until all triggers of the job are told, which may take several calls.
    pub(crate) async fn end(&self, now: DateTime<Utc>, endings: &[Ending]) -> Result<Vec<CompleteResult>> {
        let mut results = vec![CompleteResult::Gone; endings.len()];
        let mut open: Vec<(usize, String)> = (0..endings.len()).map(|place| (place, String::new())).collect();
        while !open.is_empty() {
            let (epoch, quiet) = (self.0.state.lock().epoch.clone(), self.0.takes());
            let rows = open.iter().flat_map(|(place, after)| endings[*place].words(after.clone())).collect();
            let request = json!({ "now": codec::time(now), "quiet": quiet, "epoch": epoch,
                "keep": self.0.settings.keeps.to_string() });
            let said = self.ask("complete", request, rows).await?;
            let present = codec::text(&said.body["e"]).to_owned();
            if present != epoch {
                let inner = self.0.clone();
                self.on_io(async move { inner.heard_epoch(&present).await }).await?;
                continue;
            }
            let mut left = Vec::new();
            for ((place, _), [what, after]) in open.into_iter().zip(said.rows()) {
                let done =
                    |trigger_removed, job_removed| CompleteResult::Done { trigger_removed, job_removed };
                results[place] = match what {
                    "more" => {
                        left.push((place, after.to_owned()));
                        continue;
                    }
                    "gone" => CompleteResult::Gone,
                    "t" => done(true, false),
                    "j" => done(true, true),
                    _ => done(false, false),
                };
            }
            open = left;
        }
        Ok(results)
    }
}
