//! The life of a store beside the calls of its users: it says that its nodes live, hears of those that do not, takes over
//! their work, and mends what a server has forgotten.
//!
//! A node is *safe* from the moment at which a beat was sent until its lease, less the margin, is over by this machine's
//! monotonic clock. The lease clock in the store never runs ahead of true time by more than one step, which is shorter than
//! the margin; so a node that runs knows that it has lost its lease before anybody takes over.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::Result;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::RunRecord;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{LostRun, Trigger};
use serde_json::{Value, json};

use crate::codec;
use crate::session::Session;
use crate::settings::margin;
use crate::store::Inner;

/// So many runs are told of in one call.
const TOLD: usize = 200;

/// What waits for another node is told again so many times.
const TELLS: usize = 100;

/// Beats for as long as the store is there.
pub(crate) async fn beat(store: Weak<Inner>) {
    loop {
        let Some((wait, nudge)) = store.upgrade().map(|store| (store.until_beat(), store.nudge.clone()))
        else {
            return;
        };
        tokio::select! {
            () = SystemClock.sleep(wait) => {}
            () = nudge.notified() => {}
        }
        let Some(store) = store.upgrade() else { return };
        store.take_beat().await;
    }
}

/// Tells nodes that have lost touch.
pub(crate) async fn watch(store: Weak<Inner>) {
    loop {
        let Some((wait, changed)) = store.upgrade().map(|store| (store.fence(), store.renewed.clone()))
        else {
            return;
        };
        tokio::select! {
            () = SystemClock.sleep(wait) => {}
            () = changed.notified() => {}
        }
    }
}

impl Inner {
    fn until_beat(&self) -> Duration {
        let state = self.state.lock();
        let beat = self.settings.beat(state.lease);
        // After a failure sooner: there is a lease to lose.
        if state.failures > 0 { beat / 4 } else { beat }
    }

    /// Fences whoever has lost touch; says until when nobody else has.
    fn fence(&self) -> Duration {
        let now = SystemClock.monotonic();
        let (mut wait, mut lost) = (Duration::from_secs(3600), false);
        for session in self.sessions.lock().values_mut() {
            let Some(until) = session.safe_until.filter(|_| !session.fenced) else { continue };
            if until > now {
                wait = wait.min(until - now);
                continue;
            }
            let stop = session.fence();
            tracing::error!(
                node = %session.node.name,
                stopped = stop.len(),
                "the node has lost touch with its cluster: it fires nothing, and runs that must not overlap are stopped"
            );
            session.stop(&stop);
            lost = true;
        }
        if lost {
            self.fenced.notify_waiters();
        }
        wait
    }

    async fn take_beat(self: &Arc<Self>) {
        let registered = |(id, session): (&u64, &Session)| session.since.map(|_| *id);
        let sessions: Vec<u64> = self.sessions.lock().iter().filter_map(registered).collect();
        if sessions.is_empty() || self.is_gone() {
            return;
        }
        let sent = SystemClock.monotonic();
        match self.say(&sessions, sent).await {
            Ok(dead) => {
                let before = {
                    let mut state = self.state.lock();
                    state.trouble = None;
                    std::mem::take(&mut state.failures)
                };
                if before > 0 {
                    tracing::warn!(failures = before, "Redis at {} is back", self.settings.place());
                    self.wake();
                }
                if dead && !self.recovers.swap(true, Ordering::AcqRel) {
                    // Beside the beats, which must not wait for it.
                    let store = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = store.recover().await {
                            tracing::warn!(%error, "the work of a dead node is not taken over yet");
                        }
                        store.recovers.store(false, Ordering::Release);
                    });
                }
            }
            Err(error) => {
                let mut state = self.state.lock();
                state.failures += 1;
                state.trouble = Some(error.to_string().into());
                // The first, and then now and then.
                if state.failures.is_power_of_two() || state.failures.is_multiple_of(64) {
                    tracing::warn!(%error, failures = state.failures, "the node cannot say that it lives");
                }
            }
        }
    }

    /// One beat. Says whether there is the work of a dead node to take over.
    async fn say(self: &Arc<Self>, sessions: &[u64], sent: Duration) -> Result<bool> {
        let (birth, seen) = {
            let state = self.state.lock();
            (state.birth.clone(), state.highest)
        };
        let names: Vec<_> = sessions.iter().map(ToString::to_string).collect();
        let request = json!({ "sessions": names, "birth": birth, "seen": seen.to_string(), "quiet": true });
        let answer = self.heart_call("beat", &request).await?;
        if answer["gone"] == true {
            self.set_gone();
            return Ok(false);
        }
        self.set_clock(&answer);
        let epoch = codec::text(&answer["epoch"]);
        let replaced = self.state.lock().epoch != epoch;
        if let Ok(lease) = codec::text(&answer["lease"]).parse() {
            self.state.lock().lease = Duration::from_millis(lease);
        }
        let mut unknown = Vec::new();
        {
            let mut known = self.sessions.lock();
            let until = sent.saturating_add(self.safe_for());
            for (session, alive) in sessions.iter().zip(codec::list(&answer["alive"])) {
                let Some(session) = known.get_mut(session) else { continue };
                if alive == true {
                    session.renewed(until);
                } else if session.since < Some(sent) {
                    unknown.push(session.node.session);
                }
            }
        }
        self.renewed.notify_one();
        for session in unknown {
            self.register_again(session, replaced).await?;
        }
        self.heard_version(codec::text(&answer["ver"]));
        self.heard_epoch(epoch).await?;
        Ok(answer["dead"] == true)
    }

    fn safe_for(&self) -> Duration {
        let lease = self.state.lock().lease;
        lease.saturating_sub(margin(lease))
    }

    /// Others hold this node for dead, and have what it had: it begins anew. Or the server has forgotten it: it tells what it
    /// has.
    async fn register_again(&self, session: u64, forgotten: bool) -> Result<()> {
        let node = {
            let mut sessions = self.sessions.lock();
            let Some(known) = sessions.get_mut(&session) else { return Ok(()) };
            if known.safe_until.is_some() && !forgotten {
                let stop = known.lost();
                tracing::error!(node = %known.node.name, stopped = stop.len(), "the node was held for dead; it begins anew");
                known.stop(&stop);
            }
            known.node.clone()
        };
        if !forgotten {
            // Whoever waits for an answer must not act on it.
            self.fenced.notify_waiters();
        }
        self.register(&node, forgotten).await?;
        (node.wake)();
        Ok(())
    }

    /// The store has something new since the last look, of which no message has come.
    fn heard_version(&self, version: &str) {
        let before = std::mem::replace(&mut self.state.lock().version, version.to_owned());
        if before != version {
            self.wake();
        }
    }

    /// In another epoch the server may have forgotten what it has acknowledged: tells it what this process knows.
    pub(crate) async fn heard_epoch(self: &Arc<Self>, epoch: &str) -> Result<()> {
        if self.state.lock().epoch == epoch {
            return Ok(());
        }
        let _no_firing = self.firing.lock().await;
        let known = self.state.lock().epoch.clone();
        if known == epoch {
            return Ok(());
        }
        tracing::warn!(
            epoch,
            "the Redis server was restarted or replaced; what it has forgotten is told again"
        );
        let sessions: Vec<u64> = self.sessions.lock().keys().copied().collect();
        for session in sessions {
            self.reconcile(session, epoch).await?;
        }
        self.state.lock().epoch = epoch.to_owned();
        self.wake();
        Ok(())
    }

    /// Tells what a node has ended, what it has under way, and ends what it knows nothing of.
    async fn reconcile(&self, session: u64, epoch: &str) -> Result<()> {
        let (ended, mut flights) = {
            let sessions = self.sessions.lock();
            let Some(known) = sessions.get(&session) else { return Ok(()) };
            let flights: Vec<_> = known.flights.iter().map(|(id, flight)| (*id, flight.row(*id))).collect();
            (known.recently_ended(), flights)
        };
        let mut ended = ended.chunks(TOLD);
        for _ in 0..TELLS {
            let mut waiting = Vec::new();
            let mut parts = flights.chunks(TOLD);
            loop {
                let (ended, part) = (ended.next().unwrap_or_default(), parts.next().unwrap_or_default());
                if ended.is_empty() && part.is_empty() {
                    break;
                }
                waiting.extend(self.tell(session, ended, part).await?);
            }
            if waiting.is_empty() {
                break;
            }
            flights = waiting;
            SystemClock.sleep(Duration::from_millis(50)).await;
        }
        loop {
            let known = match self.sessions.lock().get(&session) {
                Some(known) => known.known(),
                None => return Ok(()),
            };
            let request = json!({ "session": session.to_string(), "known": known });
            let answer = self.heart_call("unknown", &request).await?;
            let rows = codec::list(&answer["rows"]);
            if rows.is_empty() {
                break;
            }
            self.bury(rows).await?;
        }
        self.heart_call("told", &json!({ "session": session.to_string(), "epoch": epoch })).await.map(drop)
    }

    /// One part of it. Returns the runs that are to be told again, since another node has not told yet what it knows of them.
    async fn tell(
        &self,
        session: u64,
        ended: &[Value],
        flights: &[(ExecutionId, Value)],
    ) -> Result<Vec<(ExecutionId, Value)>> {
        let rows: Vec<_> = flights.iter().map(|(_, row)| row).collect();
        let request = json!({ "now": codec::time(self.clock.now()), "executions": ended, "flights": rows });
        let answer = self.heart_call("tell", &request).await?;
        let mut waiting = Vec::new();
        let mut sessions = self.sessions.lock();
        let Some(known) = sessions.get_mut(&session) else { return Ok(waiting) };
        for ((id, row), what) in flights.iter().zip(codec::list(&answer)) {
            if what == "wait" {
                waiting.push((*id, row.clone()));
            }
            if what == "overtaken"
                && let Some(flight) = known.flights.remove(id)
            {
                tracing::error!(
                    execution = %id,
                    trigger = codec::trigger_key(&flight.claimed.trigger).map(|key| key.to_string()).unwrap_or_default(),
                    "the server has forgotten this run, and it cannot be told again; it may run twice"
                );
                if flight.exclusive {
                    known.stop(&[*id]);
                }
            }
        }
        Ok(waiting)
    }

    /// Takes over the work of nodes that are gone.
    pub(crate) async fn recover(&self) -> Result<()> {
        loop {
            let answer = self.heart_call("lost", &json!({})).await?;
            if answer["done"] == true {
                return Ok(());
            }
            self.bury(codec::list(&answer["rows"])).await?;
        }
    }

    async fn bury(&self, rows: &[Value]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let executions = rows.iter().map(|row| self.buried(row, now)).collect::<Result<Vec<_>>>()?;
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
                        "t": codec::trigger(&trigger)?, "p": codec::encode(&progress)?, "n": codec::next(&progress),
                    });
                }
                None => {
                    tracing::error!(%job, trigger = %key, "this firing has ended too many nodes; it is not repeated");
                }
            }
        }
        tracing::warn!(%job, trigger = %key, %execution, repeated = !again.is_null(), "a run was lost with its node");
        let declared = trigger.as_ref().is_some_and(|trigger| trigger.declared_by().is_some());
        let instruction = if declared { "continue" } else { "remove_trigger" };
        Ok(
            json!({ "c": claim, "i": instruction, "again": again, "record": self.settings.record(Some(&record))? }),
        )
    }
}
