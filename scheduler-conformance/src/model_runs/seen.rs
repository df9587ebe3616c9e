//! Everything that can be seen of runs, as it is in the store and by the model; and the invariants.

use std::collections::BTreeSet;

use scheduler_core::run::{BatchCounts, Edge, Gate, RunEnd, RunId, RunState};
use scheduler_core::store::*;

use super::plain::{Plain, Run, Standing, Wait};
use super::play::{QUEUES, Table, id, limit, same};
use crate::bench::at;

/// Some things happen a part at a time.
const MOST_CALLS: usize = 30;

impl Table {
    /// Asks the store until it stands as the model says.
    pub(super) async fn compare(&mut self) -> Result<(), String> {
        self.plain.settle();
        let mut difference = Ok(());
        for _ in 0..MOST_CALLS {
            self.stopped.clear();
            for node in [0, 1] {
                self.take(node, 0).await?;
            }
            difference = self.compare_runs().await;
            if difference.is_ok() {
                break;
            }
        }
        difference?;
        // A run may look settled while the store has yet to look whether others wait for it.
        self.take(0, 0).await?;
        self.compare_claims().await?;
        self.compare_limits().await?;
        self.plain.invariants()
    }

    async fn compare_runs(&mut self) -> Result<(), String> {
        let seen = self.bench.store.all_runs(RunQuery::default()).await.unwrap();
        let ours: Vec<_> = seen.iter().map(|run| run.id).collect();
        let theirs = self.plain.runs.iter().filter(|run| !run.is_gone).map(|run| id(run.number)).collect();
        same("the runs", &ours, &theirs)?;
        let stopped =
            self.plain.claims.iter().filter(|claim| claim.is_cancelled).map(|claim| claim.id).collect();
        same("the attempts that are to stop", &self.stopped, &stopped)?;
        for status in &seen {
            self.adopt_edges(status);
            let Some(run) = self.plain.run(status.id.count()) else { continue };
            same(&format!("run {}", run.number), &Seen::of(status), &self.plain.seen(run))?;
        }
        Ok(())
    }

    /// A run of a cancelled batch that waits for another run of it: whether it ends with the batch or with that run is up to the store.
    fn adopt_edges(&mut self, status: &RunStatus) {
        if status.end == Some(RunEnd::Cancelled) && status.member_of.is_some() {
            let kept = |parent: u64| status.parents.iter().find(|edge| edge.parent == id(parent));
            self.plain.edit(status.id.count(), |run| {
                run.waits.retain(|wait| kept(wait.parent).is_some());
            });
        }
    }

    async fn compare_claims(&self) -> Result<(), String> {
        let executions = self.bench.store.executions(Executions::All).await.unwrap();
        let ours: BTreeSet<_> = executions.iter().map(|execution| execution.id).collect();
        let theirs = self.plain.claims.iter().map(|claim| claim.id).collect();
        same("the attempts under way", &ours, &theirs)
    }

    async fn compare_limits(&self) -> Result<(), String> {
        let mut query = LimitQuery::default();
        query.gates = (0..3).map(limit).collect();
        let limits = self.bench.store.limits(query, at(self.plain.now)).await.unwrap();
        for limit in limits.items {
            let gate = Gate::new(limit.gate(), 0, 0);
            same(&format!("what is used of {}", gate.id), &limit.used, &self.plain.used(&gate))?;
            let held: u64 = limit.holders.iter().map(|holder| u64::from(holder.weight)).sum();
            same(&format!("what the holders of {} hold", gate.id), &held, &limit.used)?;
            let waits = |run: &&Run| {
                let is_due = self.plain.state(run) == RunState::Waiting && run.due <= self.plain.now;
                !run.is_gone && is_due && run.gates.iter().any(|known| known.id == gate.id)
            };
            let due = self.plain.runs.iter().filter(waits).count() as u64;
            if limit.waiting > due {
                return Err(format!("{} wait for {}, and {due} are due", limit.waiting, gate.id));
            }
        }
        Ok(())
    }
}

/// What is seen of a run.
#[derive(Debug, PartialEq)]
struct Seen {
    state: RunState,
    end: Option<RunEnd>,
    due: i64,
    attempts: u32,
    replays: u32,
    queue: Option<String>,
    parents: Vec<Edge>,
    behind: Option<u64>,
    member_of: Option<u64>,
    batch: Option<(bool, bool, BatchCounts)>,
}

impl Seen {
    fn of(status: &RunStatus) -> Self {
        Self {
            state: status.state,
            end: status.end,
            due: (status.due - at(0)).num_seconds(),
            attempts: status.attempts,
            replays: status.replays,
            queue: status.queue.as_deref().map(str::to_owned),
            parents: status.parents.clone(),
            behind: status.behind.map(RunId::count),
            member_of: status.member_of.map(RunId::count),
            batch: status.batch.map(|batch| (batch.is_sealed, batch.is_cancelled, batch.counts)),
        }
    }
}

impl Plain {
    fn seen(&self, run: &Run) -> Seen {
        let edge = |wait: &Wait| {
            let mut edge = Edge::new(id(wait.parent), wait.on);
            edge.is_unmet = wait.is_unmet;
            edge
        };
        Seen {
            state: self.state(run),
            end: run.end(),
            due: run.due,
            attempts: run.attempts,
            replays: run.replays,
            queue: run.queue.map(|queue| QUEUES[queue].to_owned()),
            parents: run.waits.iter().map(edge).collect(),
            behind: self.behind(run),
            member_of: run.member_of,
            batch: run.batch.map(|batch| (batch.is_sealed, batch.is_cancelled, self.counts(run.number))),
        }
    }

    /// What holds of all runs together, however they have come to stand as they do.
    fn invariants(&self) -> Result<(), String> {
        for run in self.runs.iter().filter(|run| !run.is_gone) {
            let claims = self.claims.iter().filter(|claim| claim.run == run.number).count();
            let problem = match () {
                () if claims > 1 => "has two claims",
                () if claims == 1 && run.standing != Standing::Waiting => "has a claim and does not run",
                () if run.end().is_none() && run.waits.iter().any(|wait| wait.is_unmet) => {
                    "waits for what cannot come"
                }
                () if run.end().is_none()
                    && run
                        .waits
                        .iter()
                        .any(|wait| self.run(wait.parent).is_none_or(|parent| !parent.is_open())) =>
                {
                    "waits for a run that has ended"
                }
                () if run.batch.is_some_and(|batch| batch.is_sealed)
                    && run.is_open()
                    && self.counts(run.number).pending == 0 =>
                {
                    "is a batch of which no run is pending"
                }
                () if run.end().is_some() && run.gates.iter().any(|gate| gate.is_held) => {
                    "has ended and holds a limit"
                }
                () => continue,
            };
            return Err(format!("run {} {problem}: {run:?}", run.number));
        }
        for name in 0..3 {
            let mut owners = self.owners(name, 0);
            owners.retain(|owner| self.run(*owner).is_some_and(Run::is_open));
            let is_follower = |run: &&Run| run.follows && run.key.is_some_and(|key| key.name == name);
            let followers = self.runs.iter().filter(|run| run.is_open()).filter(is_follower).count();
            if owners.len() > 1 || followers > 1 {
                return Err(format!("the runs {owners:?} have key {name}"));
            }
        }
        Ok(())
    }
}
