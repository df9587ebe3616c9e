//! What a server has forgotten that came back with older data, told by those who know it.
//!
//! The server's life is named by its run id. Whoever meets another one first, a beat or the end of a run, comes here, and only
//! once: each node of this process registers as one that tells, ends again what it has ended, fires again what it has under way,
//! lets go of what it knows nothing of, and says that it has told. Nothing is fired meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use scheduler_core::job::ExecutionId;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, Result};
use serde_json::{Value, json};

use crate::codec;
use crate::inner::{Flag, Inner};
use crate::link::Link;

/// So many runs are told of in one call.
const TOLD: usize = 200;

/// What waits for another node is told again so many times.
const TELLS: usize = 60;

impl Inner {
    /// As [`heard_epoch`](Self::heard_epoch), beside the beats, which must not wait for it.
    pub(crate) fn begin_epoch(self: &Arc<Self>, epoch: &str) {
        if self.state.lock().epoch == epoch || self.reconciles.swap(true, Ordering::AcqRel) {
            return;
        }
        let (store, epoch) = (self.clone(), epoch.to_owned());
        tokio::spawn(async move {
            let _under_way = Flag(&store.reconciles);
            if let Err(error) = store.heard_epoch(&epoch).await {
                tracing::warn!(%error, "the Redis server could not be told what it has forgotten; it is tried again with the next heartbeat: {error}");
            }
        });
    }

    /// The server lives another life than before: tells it what this process knows.
    pub(crate) async fn heard_epoch(&self, epoch: &str) -> Result<()> {
        let _no_firing = self.tells.write().await;
        if self.state.lock().epoch == epoch {
            return Ok(());
        }
        tracing::warn!(
            "the Redis server was restarted or replaced; this node tells it what it may have forgotten"
        );
        let nodes: Vec<_> = self.sessions.lock().values().map(|session| session.node.clone()).collect();
        for node in nodes {
            if self.register(&node, true).await? != epoch {
                // A server that was replaced goes on answering for a while. What it says must not count.
                [&self.hot, &self.slow].into_iter().for_each(Link::leave);
                return Err(Error::transient(
                    "the connections of this node lead to two servers, one of which was replaced by the other; the node connects \
                     again",
                ));
            }
            self.tell_all(node.session).await?;
            let told = json!({ "session": node.session.to_string(), "epoch": epoch });
            self.heart_call("told", &told).await?;
        }
        epoch.clone_into(&mut self.state.lock().epoch);
        self.wake();
        Ok(())
    }

    async fn tell_all(&self, session: u64) -> Result<()> {
        let (ended, mut flights) = {
            let sessions = self.sessions.lock();
            let Some(known) = sessions.get(&session) else { return Ok(()) };
            let flights: Vec<_> = known.flights.iter().map(|(id, flight)| (*id, flight.row(*id))).collect();
            (known.recently_ended(), flights)
        };
        let mut ended = VecDeque::from(ended);
        for _ in 0..TELLS {
            let mut waiting = Vec::new();
            let mut parts = flights.chunks(TOLD);
            loop {
                let first: Vec<_> = ended.drain(..ended.len().min(TOLD)).collect();
                let part = parts.next().unwrap_or_default();
                if first.is_empty() && part.is_empty() {
                    break;
                }
                let (left, waits) = self.tell(session, first, part).await?;
                left.into_iter().rev().for_each(|row| ended.push_front(row));
                waiting.extend(waits);
            }
            if waiting.is_empty() {
                break;
            }
            flights = waiting;
            SystemClock.sleep(Duration::from_millis(50)).await;
        }
        loop {
            let (known, unheard) = match self.sessions.lock().get(&session) {
                Some(known) => (known.known(), known.unheard.map(|since| since.to_string())),
                None => return Ok(()),
            };
            let request = json!({ "session": session.to_string(), "known": known, "unheard": unheard });
            let answer = self.heart_call("unknown", &request).await?;
            let rows = codec::list(&answer["rows"]);
            if rows.is_empty() {
                return Ok(());
            }
            self.bury(rows).await?;
        }
    }

    /// One part of it. Returns the ends that were too much for one call, and the runs that are to be told again, since another
    /// node has not told yet what it knows of them.
    async fn tell(
        &self,
        session: u64,
        mut ended: Vec<Value>,
        flights: &[(ExecutionId, Value)],
    ) -> Result<(Vec<Value>, Vec<(ExecutionId, Value)>)> {
        let rows: Vec<_> = flights.iter().map(|(_, row)| row).collect();
        let (now, keep) = (codec::time(self.clock.now()), self.settings.keeps.to_string());
        let request = json!({ "now": now, "executions": ended, "flights": rows, "keep": keep });
        let answer = self.heart_call("tell", &request).await?;
        let (mut waiting, mut overtaken) = (Vec::new(), Vec::new());
        let mut mores = codec::list(&answer["ended"]).iter();
        ended.retain_mut(|row| match mores.next() {
            Some(more) if more.is_string() => {
                row["after"] = more.clone();
                true
            }
            _ => false,
        });
        for ((id, row), what) in flights.iter().zip(codec::list(&answer["flights"])) {
            match codec::text(what) {
                "wait" => waiting.push((*id, row.clone())),
                "overtaken" => overtaken.push(*id),
                _ => {}
            }
        }
        self.overtaken(session, &overtaken);
        Ok((ended, waiting))
    }

    fn overtaken(&self, session: u64, runs: &[ExecutionId]) {
        let mut sessions = self.sessions.lock();
        let Some(known) = sessions.get_mut(&session) else { return };
        for id in runs {
            let Some(flight) = known.flights.remove(id) else { continue };
            let trigger = codec::shown(&flight.claimed.trigger);
            tracing::error!(
                execution = %id,
                trigger,
                "the Redis server has forgotten run {id} of trigger `{trigger}` and cannot be told of it; it may run twice"
            );
            if flight.exclusive {
                known.stop(&[*id]);
            }
        }
    }
}
