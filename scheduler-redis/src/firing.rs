//! The way of a firing: one call for a part of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::{CancelReason, ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::Progress;
use scheduler_core::{Error, Result};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::answer::acquired;
use crate::codec;
use crate::handover::Found;
use crate::inner::{Answer, NothingIsTold};
use crate::session::{Ending, Session};
use crate::store::{RedisJobStore, touch_lost};

/// How far ahead triggers are acquired: about two round trips.
pub(crate) const LOOK_AHEAD: Duration = Duration::from_millis(20);

/// How long after its due time a claim lapses that was not fired.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

pub(crate) const USE: Attached =
    Attached { look_ahead: LOOK_AHEAD, grace: GRACE, stop_within: Duration::ZERO, keeps_history: false };

/// So many words are a row of what is acquired.
const ACQUIRED: usize = 8;

/// So many words are a row of what is fired.
pub(crate) const FIRED: usize = 5;

/// How long after nothing was handed out, since a server has to be told what it has forgotten, to ask again.
pub(crate) const HELD: TimeDelta = TimeDelta::milliseconds(100);

/// No call does more at once, so that none holds the server up for long.
pub(crate) const BATCH: usize = 100;

/// So many parts are asked for at once: one that the server works on, and one for when it is done.
const AT_ONCE: usize = 2;

/// A part of what is to be acquired that is under way.
struct Part {
    max: usize,
    /// At most so many late ones before the punctual ones.
    late: usize,
    answer: Option<JoinHandle<Result<Answer>>>,
}

/// A run that is to stop, and why.
fn stop(row: &Value) -> Option<(ExecutionId, CancelReason)> {
    let reason = match codec::text(&row[1]) {
        "superseded" => CancelReason::Superseded,
        _ => CancelReason::Requested,
    };
    let run = codec::read_claim(codec::text(&row[0]));
    let run = run
        .inspect_err(
            |error| tracing::error!(%error, "a run that is to stop cannot be read and goes on: {error}"),
        )
        .ok()?;
    Some((run, reason))
}

/// The job of a row: as it stands, or that of an earlier row by its number.
fn sent_job(
    trigger: &str,
    what: &str,
    detail: &str,
    earlier: &[Option<Arc<JobDetail>>],
) -> Result<Arc<JobDetail>> {
    let of_trigger = |error: Error| match codec::trigger_key(trigger) {
        Ok(trigger) => error.for_trigger(&trigger),
        Err(_) => error,
    };
    if what == "run" {
        return codec::read_job("", detail).map(Arc::new).map_err(of_trigger);
    }
    let of_row = |number: usize| earlier.get(number.checked_sub(1)?)?.clone();
    detail.parse().ok().and_then(of_row).ok_or_else(|| of_trigger(codec::broken("job", "", detail)))
}

/// The progress of a trigger before its only firing, from that after it. One that cannot be read stays as it is, and cannot be
/// read then either.
fn progress_before(text: &str) -> Result<String> {
    let after = codec::decode::<Progress>("progress of trigger", "", text).ok();
    let before = after.and_then(|after| after.previous).map(codec::before_first);
    before.map_or_else(|| Ok(text.to_owned()), |before| codec::encode(&before))
}

impl RedisJobStore {
    /// Acquires in parts. Where no limit depends on what a part has taken, further ones are asked for before this one is read, so
    /// that the server has always something to do.
    pub(crate) async fn acquire_parts(&self, request: &AcquireDue) -> Result<Found> {
        let is_limited = request.limits != ExecutionLimits::default();
        // What is not asked for yet.
        let mut left = request.clone();
        left.late.iter_mut().for_each(|late| late.most = late.most.min(request.max));
        let mut asked = VecDeque::from([self.begin_part(&mut left)]);
        let (mut all, mut more, mut failure) = (Found { is_all: true, ..Found::default() }, true, None);
        while let Some(part) = asked.pop_front() {
            let said = match Self::ended(part.answer).await {
                Ok(said) => said,
                Err(error) => {
                    (more, failure) = (false, failure.or(Some(error)));
                    continue;
                }
            };
            let is_due = codec::read_time(&said.body["n"]).is_some_and(|due| due <= request.until);
            more &= is_due && said.rows::<ACQUIRED>().count() == part.max;
            let limited = if is_limited { Some(self.read_acquired(&said, request.now).await) } else { None };
            if let Some(Ok(found)) = &limited {
                found.triggers.iter().for_each(|(acquired, _)| left.took(acquired));
            }
            let late_left =
                said.body["l"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or_default();
            left.late.iter_mut().for_each(|late| late.most += late_left);
            // As long as late ones come and have a share, they come in one row.
            let comes_late = late_left > 0 && part.late.saturating_sub(late_left) == part.max;
            let at_once = if is_limited || comes_late { 1 } else { AT_ONCE };
            while more && left.max > 0 && asked.len() < at_once {
                asked.push_back(self.begin_part(&mut left));
            }
            let found = match limited {
                Some(found) => found,
                None => self.read_acquired(&said, request.now).await,
            };
            match found {
                Ok(found) => all.add(found),
                Err(error) => (more, failure) = (false, failure.or(Some(error))),
            }
        }
        match failure {
            Some(error) if all.triggers.is_empty() => Err(error),
            // What is claimed already is handed out, and the rest asked for again at once.
            Some(_) => Ok(Found { next_due: Some(request.now), is_all: false, ..all }),
            None => Ok(all),
        }
    }

    /// Asks for a part of what is left. The share of late triggers goes with it, until the answer says what is left of that. The
    /// turn is taken here: what asks next, also when nobody waits for this any more, comes after it.
    fn begin_part(&self, left: &mut AcquireDue) -> Part {
        let (limits, session, max) = (&left.limits, left.session, left.max.min(BATCH));
        let late = left.late.map_or(0, |share| share.most);
        let body = json!({
            "session": session.to_string(),
            "turn": self.0.turn_of(session),
            "node": self.0.name_of(session),
            "now": codec::time(left.now),
            "until": codec::time(left.until),
            "fires_since": left.fires_since.map(codec::time),
            "max": max,
            "lapse": (LOOK_AHEAD + GRACE).as_millis().to_string(),
            "named": limits.named,
            "others": limits.others,
            "ungrouped": limits.ungrouped,
            "shared": limits.shared,
            "late": left.late.map(|share| codec::time(share.before)),
            "most_late": late,
        });
        left.max -= max;
        left.late.iter_mut().for_each(|share| share.most = 0);
        let store = self.clone();
        let answer = self.0.io.spawn(async move { store.ask_alive(session, "acquire", body).await });
        Part { max, late, answer }
    }

    /// What calls have fired whose answers were lost.
    pub(crate) async fn unheard(&self, request: &AcquireDue, since: u64) -> Result<Found> {
        let session = request.session;
        let known = self.0.sessions.lock().get(&session).map(Session::known).unwrap_or_default();
        let body = json!({
            "session": session.to_string(),
            "turn": self.0.turn_of(session),
            "now": codec::time(request.now),
            "since": since.to_string(),
            "known": known,
            "epoch": self.0.state.lock().epoch,
        });
        let said = self.ask_alive(session, "unheard", body).await?;
        if said.body["replaced"] == true {
            return Err(Error::transient("the server is to be told first what it has forgotten"));
        }
        if said.body["late"] == true {
            return Err(Error::transient("a later call has come before the question what was fired"));
        }
        self.read_acquired(&said, request.now).await
    }

    /// Asks for a node as long as the store knows it.
    async fn ask_alive(&self, session: u64, verb: &'static str, body: Value) -> Result<Answer> {
        let said = self.ask_as(session, verb, body, Arc::default()).await?;
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
    async fn read_acquired(&self, said: &Answer, now: DateTime<Utc>) -> Result<Found> {
        let answer = &said.body;
        let mut cancel: Vec<_> = codec::list(&answer["s"]).iter().filter_map(stop).collect();
        cancel.sort_unstable_by_key(|(id, _)| *id);
        let (mut triggers, mut jobs, mut spoilt, mut unfired) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in said.rows::<ACQUIRED>() {
            let [claim, trigger, description, progress, _, calendar, what, detail] = row;
            let job =
                if what.is_empty() { Ok(None) } else { sent_job(trigger, what, detail, &jobs).map(Some) };
            let read = job.and_then(|job| acquired(row, job));
            let fired = read.as_ref().ok().and_then(|(acquired, _)| acquired.fired.as_ref());
            jobs.push(fired.map(|fired| fired.job.clone()));
            match read {
                Ok(found) => triggers.push(found),
                // Claimed by itself it shows what is to become of it.
                Err(error) if !what.is_empty() => {
                    tracing::error!(trigger = codec::shown(trigger), %error, "a trigger that was fired cannot be read; it is given back to the store: {error}");
                    unfired.push(json!({ "c": claim, "p": progress_before(progress)? }));
                }
                // Somebody else may know its calendar or its format: the claim lapses, and another node may take it.
                Err(error) if codec::is_well_formed(description, progress, calendar) => {
                    tracing::error!(trigger = codec::shown(trigger), %error, "this node cannot read a trigger and leaves it to other nodes: {error}");
                }
                Err(error) => {
                    tracing::error!(trigger = codec::shown(trigger), %error, "no node can read a trigger; it is put into the error state: {error}");
                    spoilt.push(trigger);
                }
            }
        }
        self.tell("spoil", "keys", spoilt.into(), now).await;
        let is_all = self.tell("unfire", "runs", unfired.into(), now).await;
        Ok(Found { triggers, cancel, next_due: codec::read_time(&answer["n"]), is_all })
    }

    /// What is to become of that which cannot be read, if there is any. Says whether the store knows it.
    async fn tell(&self, verb: &'static str, what: &str, rows: Value, now: DateTime<Utc>) -> bool {
        if codec::list(&rows).is_empty() {
            return true;
        }
        let told = self.call(verb, json!({ what: rows, "now": codec::time(now) })).await;
        told.inspect_err(|error| tracing::warn!(%error, "the store could not be told what this node cannot read, and hands it out again: {error}")).is_ok()
    }

    /// Also gives the ends of runs whose job cannot be read.
    pub(crate) async fn fire_part(
        &self,
        now: DateTime<Utc>,
        firings: &[Firing],
    ) -> Result<(Vec<FireResult>, Vec<Ending>)> {
        let session = firings.first().map_or(0, |firing| firing.claim.session());
        let rows = self.firing_rows(session, firings)?;
        let request = json!({ "now": codec::time(now), "node": self.0.name_of(session) });
        let said = self.ask_as(session, "fire", request, rows.clone()).await?;
        let (mut results, mut jobs, mut spoilt) = (Vec::with_capacity(firings.len()), Vec::new(), Vec::new());
        for (([what, detail], firing), row) in said.rows().zip(firings).zip(rows.chunks(FIRED)) {
            let trigger = &row[1];
            let fence = firing.claim.count();
            let mut sent = None;
            results.push(match what {
                "overlapped" => FireResult::Overlapped,
                "advanced" => FireResult::Advanced,
                "stale" => FireResult::Stale,
                _ => match sent_job(trigger, what, detail, &jobs) {
                    Ok(job) => {
                        sent = Some(job.clone());
                        FireResult::Run { fence, job }
                    }
                    Err(error) => {
                        let trigger = codec::shown(trigger);
                        tracing::error!(trigger, %error, "a job cannot be read; its triggers are put into the error state: {error}");
                        spoilt.push(Ending::plain(firing.claim, "fail_job"));
                        FireResult::Stale
                    }
                },
            });
            jobs.push(sent);
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
            self.abandon_part(part).await?;
        }
        let done = CompleteResult::Done { trigger_removed: false, job_removed: false };
        self.0.settled.lock().extend(ids.into_iter().map(|id| (id, done)));
        let inner = self.0.clone();
        self.on_io(async move { inner.recover().await }).await
    }

    async fn abandon_part(&self, ids: &[ExecutionId]) -> Result<()> {
        let claims: Vec<_> = ids.iter().map(|id| codec::claim(*id)).collect();
        loop {
            let nothing_is_told = self.0.tells.clone().read_owned().await;
            let epoch = self.0.state.lock().epoch.clone();
            let answer = self.call("abandon", json!({ "claims": claims, "epoch": epoch })).await?;
            let present = codec::text(&answer["e"]);
            if present != epoch {
                drop(nothing_is_told);
                self.tell_of_epoch(present.to_owned()).await?;
                continue;
            }
            // Before anything is told: a server that is told of these runs has to hear of their end, too.
            let mut sessions = self.0.sessions.lock();
            for id in ids {
                if let Some(known) = sessions.get_mut(&id.session()) {
                    known.flights.remove(id);
                }
            }
            return Ok(());
        }
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
        let (results, nothing_is_told) = self.end(now, &endings).await?;
        self.0.landed(executions, endings);
        drop(nothing_is_told);
        Ok(results)
    }

    /// Ends runs. One that ends its whole job stays until all triggers of the job are told, which may take several calls.
    ///
    /// The caller notes what has ended before it drops the guard. Otherwise the node could tell a replaced server of runs as
    /// under way while the old server ends them, and nobody would end them in the new one.
    pub(crate) async fn end(
        &self,
        now: DateTime<Utc>,
        endings: &[Ending],
    ) -> Result<(Vec<CompleteResult>, NothingIsTold)> {
        let mut results = vec![CompleteResult::Gone; endings.len()];
        let mut open: Vec<(usize, String)> = (0..endings.len()).map(|place| (place, String::new())).collect();
        let mut nothing_is_told = self.0.tells.clone().read_owned().await;
        while !open.is_empty() {
            let (epoch, quiet) = (self.0.state.lock().epoch.clone(), self.0.takes());
            let rows = open.iter().flat_map(|(place, after)| endings[*place].words(after.clone())).collect();
            let request = json!({ "now": codec::time(now), "quiet": quiet, "epoch": epoch,
                "keep": self.0.settings.keeps.to_string() });
            let said = self.ask("complete", request, rows).await?;
            let present = codec::text(&said.body["e"]).to_owned();
            if present != epoch {
                drop(nothing_is_told);
                self.tell_of_epoch(present).await?;
                nothing_is_told = self.0.tells.clone().read_owned().await;
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
        Ok((results, nothing_is_told))
    }

    async fn tell_of_epoch(&self, present: String) -> Result<()> {
        let inner = self.0.clone();
        self.on_io(async move { inner.heard_epoch(&present).await }).await
    }
}
