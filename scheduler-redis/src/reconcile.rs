//! What a server has forgotten that came back with older data, told by those who know it.
//!
//! The server's life is named by its run id. Whoever meets another one first, a beat or the end of a run, comes here, and only
//! once: each node of this process registers as one that tells, ends again what it has ended, fires again what it has under way,
//! lets go of what it knows nothing of, and says that it has told. Nothing is fired meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::Rows;
use scheduler_core::store::rules::{self, Reasserted};
use scheduler_core::store::view::{Missing, View};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, Result};
use serde_json::json;

use crate::connection::{Connection, Failure};
use crate::names::Names;
use crate::run::{Mode, each};
use crate::script::words;
use crate::session::{Ended, Ending, Held, Origin, knows, run_in};
use crate::shared::{Flag, Shared};

/// So many runs are told of in one call.
const TOLD: usize = 100;

/// The life of a server that may not be asked for it, as the scripts call it.
const UNKNOWN: &str = "unknown";

/// What waits for another node is told again so many times.
const TELLS: usize = 60;

fn reassert(
    view: &mut View<Names>,
    execution: ExecutionId,
    run: &Held,
    open: &HashSet<u64>,
) -> Result<Reasserted, Missing> {
    let is_open = |session| open.contains(&session);
    match &run.of {
        Origin::Trigger { row, from } => {
            rules::reassert(view, execution, &run.claim, (from, &row.to()), is_open)
        }
        Origin::Run(row, _) => {
            let row = run_in(row, view.names());
            rules::reassert_run(view, execution, &run.claim, &row, is_open)
        }
    }
}

impl Shared {
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
            let registered_in = self.register(&node, true).await?;
            self.require_one_server(registered_in == epoch && self.reads_in(epoch).await?)?;
            Box::pin(self.tell_all(node.session)).await?;
            self.require_one_server(self.reads_in(epoch).await?)?;
            let told = json!({ "session": node.session.to_string(), "epoch": epoch });
            self.node_call("told", &told).await?;
        }
        epoch.clone_into(&mut self.state.lock().epoch);
        self.wake();
        Ok(())
    }

    /// Whether the connection by which rows are read leads to the server of this life.
    async fn reads_in(&self, epoch: &str) -> Result<bool> {
        if epoch == UNKNOWN {
            return Ok(true);
        }
        let info = self.hot.info().await.map_err(Failure::into_error)?;
        Ok(info.lines().any(|line| line.strip_prefix("run_id:") == Some(epoch)))
    }

    /// Connects anew unless both connections lead to one server. A server that was replaced goes on answering for a while, and its
    /// answers must not count.
    fn require_one_server(&self, is_one: bool) -> Result<()> {
        if is_one {
            return Ok(());
        }
        [&self.hot, &self.slow].into_iter().for_each(Connection::leave);
        Err(Error::transient(
            "the connections of this node lead to two servers, one of which was replaced by the other; the node connects again",
        ))
    }

    async fn tell_all(&self, session: u64) -> Result<()> {
        let (ended, mut runs) = {
            let sessions = self.sessions.lock();
            let Some(known) = sessions.get(&session) else { return Ok(()) };
            let runs: Vec<_> = known.runs().map(|(id, run)| (id, run.clone())).collect();
            (known.recently_ended(), runs)
        };
        let mut ended = ended;
        for _ in 0..TELLS {
            let (mut waiting, mut waiting_ends) = (Vec::new(), Vec::new());
            for part in ended.chunks(TOLD) {
                waiting_ends.extend(self.tell_ends(session, part).await?);
            }
            for part in runs.chunks(TOLD) {
                waiting.extend(self.tell_runs(session, part).await?);
            }
            if waiting.is_empty() && waiting_ends.is_empty() {
                break;
            }
            (runs, ended) = (waiting, waiting_ends);
            SystemClock.sleep(Duration::from_millis(50)).await;
        }
        self.lose_unknown(session).await
    }

    /// The sessions that have not told yet what they know.
    async fn open_sessions(&self) -> Result<HashSet<u64>> {
        let open = self.ask(&self.command("SMEMBERS", "untold")).await?;
        Ok(words(Some(open)).iter().filter_map(|session| session.parse().ok()).collect())
    }

    /// Returns the endings that are to be told again, since another node has not told yet what it knows of their jobs.
    async fn tell_ends(&self, session: u64, ended: &[Ending]) -> Result<Vec<Ending>> {
        let (now, open) = (self.clock.now(), self.open_sessions().await?);
        let mut view = self.view();
        knows(&mut view, ended.iter().map(|ending| ending.completion.execution));
        let rule = |view: &mut View<Names>| {
            each(view, ended, |view, Ending { completion, of }| {
                let (execution, is_open) = (completion.execution, |session| open.contains(&session));
                let told = match &of {
                    Some(Ended::Firing(held)) => reassert(view, execution, held, &open)?,
                    Some(Ended::Attempt { run, epoch }) => {
                        rules::reassert_ended_run(view, execution, (*run, *epoch), now, is_open)?
                    }
                    None => Reasserted::Known,
                };
                if told == Reasserted::Wait {
                    return Ok(false);
                }
                rules::complete(view, completion, now).map(|_| true)
            })
        };
        let told = self.run("tell", Mode::Tell(session), view, rule).await?.answer;
        Ok(ended.iter().zip(told).filter(|(_, told)| !told).map(|(ending, _)| ending.clone()).collect())
    }

    /// Returns the runs that are to be told again, since another node has not told yet what it knows of them.
    async fn tell_runs(
        &self,
        session: u64,
        runs: &[(ExecutionId, Held)],
    ) -> Result<Vec<(ExecutionId, Held)>> {
        let (open, mut view) = (self.open_sessions().await?, self.view());
        knows(&mut view, runs.iter().map(|(execution, _)| *execution));
        let rule = |view: &mut View<Names>| {
            each(view, runs, |view, (execution, run)| reassert(view, execution, &run, &open))
        };
        let answer = self.run("tell", Mode::Tell(session), view, rule).await?.answer;
        let (mut waiting, mut overtaken) = (Vec::new(), Vec::new());
        for (run, what) in runs.iter().zip(answer) {
            match what {
                Reasserted::Wait => waiting.push(run.clone()),
                Reasserted::Overtaken => overtaken.push(run.0),
                _ => {}
            }
        }
        self.overtaken(session, &overtaken);
        Ok(waiting)
    }

    /// Claims of the session of which the server knows and its node does not.
    pub(crate) async fn lose_unknown(&self, session: u64) -> Result<()> {
        loop {
            let all = self.look(|view| view.claims_of(session)).await?;
            let unknown: Vec<_> = {
                let sessions = self.sessions.lock();
                let Some(known) = sessions.get(&session) else { return Ok(()) };
                let all = all.into_iter().map(|id| ExecutionId::new(session, id.0));
                all.filter(|claim| known.held(*claim).is_none()).take(TOLD).collect()
            };
            if unknown.is_empty() {
                return Ok(());
            }
            let mut view = self.view();
            knows(&mut view, unknown.iter().copied());
            let node = self.name_of(session);
            if !self.lose(view, &unknown, &node).await? {
                return Ok(());
            }
        }
    }

    fn overtaken(&self, session: u64, runs: &[ExecutionId]) {
        let mut sessions = self.sessions.lock();
        let Some(known) = sessions.get_mut(&session) else { return };
        for id in runs {
            let Some(held) = known.let_go(*id) else { continue };
            let trigger = held.claim.trigger.key();
            tracing::error!(
                execution = %id,
                %trigger,
                "the Redis server has forgotten run {id} of trigger `{trigger}` and cannot be told of it; it may run twice"
            );
            if held.claim.exclusive {
                known.stop(&[*id]);
            }
        }
    }
}
