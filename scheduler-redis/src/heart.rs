//! The life of a store beside the calls of its users: it says that its nodes live, hears of those that do not, takes over
//! their work, and mends what a server has forgotten.
//!
//! A node is *safe* from the moment at which a beat was sent until its lease, less the margin, is over by this machine's
//! monotonic clock. The lease clock in the store never runs ahead of true time by more than one step, which is shorter than
//! the margin; so a node that runs knows that it has lost its lease before anybody takes over.

use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_core::Result;
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
                let before = std::mem::take(&mut self.state.lock().failures);
                if before > 0 {
                    tracing::info!(failures = before, "Redis at {} is back", self.settings.place());
                    self.wake();
                }
                if dead && let Err(error) = self.recover().await {
                    tracing::warn!(%error, "the work of a dead node is not taken over yet");
                }
            }
            Err(error) => {
                self.state.lock().failures += 1;
                tracing::warn!(%error, "the node could not say that it lives");
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
            self.register_again(session).await?;
        }
        self.heard_version(codec::text(&answer["ver"]));
        self.heard_epoch(codec::text(&answer["epoch"])).await?;
        Ok(answer["dead"] == true)
    }

    fn safe_for(&self) -> Duration {
        let lease = self.state.lock().lease;
        lease.saturating_sub(margin(lease))
    }

    /// Others hold this node for dead, and have what it had. It begins anew.
    async fn register_again(&self, session: u64) -> Result<()> {
        let node = {
            let mut sessions = self.sessions.lock();
            let Some(known) = sessions.get_mut(&session) else { return Ok(()) };
            if known.safe_until.is_some() {
                let stop = known.lost();
                tracing::error!(node = %known.node.name, stopped = stop.len(), "the node was held for dead; it begins anew");
                known.stop(&stop);
            }
            known.node.clone()
        };
        self.register(&node).await?;
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
            self.reconcile(session).await?;
        }
        self.state.lock().epoch = epoch.to_owned();
        self.wake();
        Ok(())
    }

    async fn reconcile(&self, session: u64) -> Result<()> {
        let now = codec::time(self.clock.now());
        let (ended, flights) = {
            let sessions = self.sessions.lock();
            let Some(known) = sessions.get(&session) else { return Ok(()) };
            let flights: Vec<_> = known.flights.iter().map(|(id, flight)| (*id, flight.row(*id))).collect();
            (known.recently_ended(), flights)
        };
        let (mut ended, mut flights) = (ended.chunks(TOLD), flights.chunks(TOLD));
        loop {
            let (ended, flights) = (ended.next().unwrap_or_default(), flights.next().unwrap_or_default());
            if ended.is_empty() && flights.is_empty() {
                break;
            }
            let rows: Vec<_> = flights.iter().map(|(_, row)| row).collect();
            let request = json!({ "now": now, "executions": ended, "flights": rows });
            let answer = self.heart_call("tell", &request).await?;
            let mut sessions = self.sessions.lock();
            let Some(known) = sessions.get_mut(&session) else { return Ok(()) };
            for ((id, _), what) in flights.iter().zip(codec::list(&answer)) {
                if what == "overtaken"
                    && let Some(flight) = known.flights.remove(id)
                {
                    tracing::error!(
                        execution = %id,
                        trigger = flight.claimed.trigger.replace('\0', "/"),
                        "the server has forgotten this run, and it cannot be told again; it may run twice"
                    );
                    if flight.exclusive {
                        known.stop(&[*id]);
                    }
                }
            }
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
        self.heart_call("told", &json!({ "session": session.to_string() })).await.map(drop)
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
