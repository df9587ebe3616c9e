//! The life of a store beside the calls of its users: it says that its nodes live, hears of those that do not, takes over
//! their work, and mends what a server has forgotten.
//!
//! A node is *safe* from the moment at which a beat was sent until its lease, less the margin, is over by this machine's
//! monotonic clock. The lease clock in the store never runs ahead of true time by more than one step, which is shorter than
//! the margin; so a node that runs knows that it has lost its lease before anybody takes over.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use scheduler_core::Result;
use scheduler_core::time::{Clock, SystemClock};
use serde_json::json;

use crate::codec;
use crate::connection::Connection;
use crate::discovery::{self, Address};
use crate::session::Session;
use crate::settings::{cap, margin};
use crate::shared::{Flag, Shared, State};

/// The first silence after the report of a failed heartbeat. The silence doubles with each report.
const FIRST_SILENCE: Duration = Duration::from_secs(15);

/// The longest silence between two reports of failures that go on.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

impl State {
    /// One more heartbeat has failed at `now`. Says how many have, if that is worth a line.
    fn failed(&mut self, now: Duration) -> Option<u32> {
        self.failures = self.failures.saturating_add(1);
        let is_first = self.failures == 1;
        if !is_first && now < self.silent_until {
            return None;
        }
        self.silence = if is_first { FIRST_SILENCE } else { (self.silence * 2).min(LONGEST_SILENCE) };
        self.silent_until = now.saturating_add(self.silence);
        Some(self.failures)
    }
}

/// Beats for as long as the store is there.
pub(crate) async fn beat(store: Weak<Shared>) {
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
pub(crate) async fn watch(store: Weak<Shared>) {
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

/// Leaves a server that the sentinels have replaced. It may not hear of that for seconds, and takes what it is told meanwhile.
pub(crate) async fn follow(store: Weak<Shared>) {
    loop {
        let Some((wait, settings)) =
            store.upgrade().map(|store| (store.until_beat(), store.settings.clone()))
        else {
            return;
        };
        SystemClock.sleep(wait).await;
        let limit = settings.connect_within.min(wait);
        let Some(named) = discovery::named(&settings, limit).await else { continue };
        let is_elsewhere = |server: &Address| {
            let links = store
                .upgrade()
                .map(|store| [&store.hot, &store.slow].map(|connection| connection.is_elsewhere(server)));
            links.is_some_and(|links| links.contains(&true))
        };
        if !is_elsewhere(&named) {
            continue;
        }
        // As whoever connects anew would be led: one sentinel alone may be mistaken.
        let found =
            discovery::find(&settings, limit).await.ok().and_then(|server| discovery::address(&server));
        let (Some(store), Some(master)) = (store.upgrade(), found.filter(is_elsewhere)) else { continue };
        let (host, port) = &master;
        tracing::warn!(
            "the sentinels now name {host}:{port} as the master `{}`; this node connects to it",
            settings.master
        );
        [&store.hot, &store.slow]
            .into_iter()
            .filter(|connection| connection.is_elsewhere(&master))
            .for_each(Connection::leave);
        store.nudge.notify_one();
    }
}

impl Shared {
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
            let (node, stopped) = (&session.node.name, stop.len());
            tracing::error!(
                %node,
                stopped,
                "node `{node}` has lost touch with its cluster: it fires nothing until Redis answers, and its {stopped} runs that \
                 must not overlap are stopped"
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
            Ok(left_behind) => {
                if let Err(error) = self.release_lapsed(None).await {
                    tracing::warn!(%error, "claims that have lapsed could not be given back; it is tried again with the next heartbeat: {error}");
                }
                let before = {
                    let mut state = self.state.lock();
                    state.trouble = None;
                    std::mem::take(&mut state.failures)
                };
                if before > 0 {
                    let place = self.settings.place();
                    tracing::warn!(
                        failures = before,
                        "Redis at {place} answers again, after {before} failed heartbeats; nothing is left to do"
                    );
                    self.wake();
                }
                if left_behind && !self.recovers.swap(true, Ordering::AcqRel) {
                    // Beside the beats, which must not wait for it.
                    let store = self.clone();
                    tokio::spawn(async move {
                        let _under_way = Flag(&store.recovers);
                        if let Err(error) = store.recover().await {
                            tracing::warn!(%error, "the work of a dead node could not be taken over; this node tries again with its next heartbeat: {error}");
                        }
                    });
                }
            }
            Err(error) => {
                let mut state = self.state.lock();
                state.trouble = Some(error.to_string().into());
                if let Some(failures) = state.failed(SystemClock.monotonic()) {
                    let heartbeats = if failures == 1 { "heartbeat" } else { "heartbeats in a row" };
                    let lease = state.lease;
                    tracing::warn!(
                        %error,
                        failures,
                        "{failures} {heartbeats} of this node failed. The node tries again, and other nodes take over its work if \
                         Redis does not answer within {lease:?}: {error}"
                    );
                }
            }
        }
    }

    /// One beat. Says whether there is the work of a dead node, or of a caller that is gone, to take over.
    async fn say(self: &Arc<Self>, sessions: &[u64], sent: Duration) -> Result<bool> {
        let (birth, seen, lease) = {
            let state = self.state.lock();
            (state.birth.clone(), state.highest, state.lease)
        };
        let names: Vec<_> = sessions.iter().map(ToString::to_string).collect();
        let request = json!({
            "sessions": names,
            "birth": birth,
            "lease": lease.as_millis().to_string(),
            "cap": cap(lease).as_millis().to_string(),
            "seen": seen.to_string(),
        });
        let answer = self.node_call("beat", &request).await?;
        if answer["gone"] == true {
            self.set_gone();
            return Ok(false);
        }
        self.set_clock(&answer, sent);
        let epoch = codec::text(&answer["epoch"]);
        let replaced = self.state.lock().epoch != epoch;
        if let Ok(lease) = codec::text(&answer["lease"]).parse() {
            self.set_lease(Duration::from_millis(lease));
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
        if !replaced {
            for session in unknown {
                self.register_again(session).await?;
            }
        }
        self.heard_version(codec::text(&answer["ver"]));
        self.begin_epoch(epoch);
        Ok(answer["dead"] == true)
    }

    fn safe_for(&self) -> Duration {
        let lease = self.state.lock().lease;
        lease.saturating_sub(margin(lease))
    }

    /// Others hold this node for dead, and have what it had: it begins anew.
    async fn register_again(&self, session: u64) -> Result<()> {
        let node = {
            let mut sessions = self.sessions.lock();
            let Some(known) = sessions.get_mut(&session) else { return Ok(()) };
            if known.safe_until.is_some() {
                let stop = known.lost();
                let (node, stopped) = (&known.node.name, stop.len());
                tracing::error!(%node, stopped, "node `{node}` was silent for longer than its lease and others have taken over its work; it registers again, and {stopped} of its runs are stopped");
                known.stop(&stop);
            }
            known.node.clone()
        };
        // Whoever waits for an answer must not act on it.
        self.fenced.notify_waiters();
        self.register(&node, false).await?;
        // If nobody has taken it over, its claims are still there.
        Box::pin(self.lose_unknown(session)).await?;
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
}
