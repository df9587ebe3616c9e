//! Does the same to a store and to the model.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use scheduler_core::job::ExecutionId;
use scheduler_core::run::{GateId, RunId};
use scheduler_core::store::*;

use super::enqueueing::New;
use super::operations::{ChangeWish, Ending, Operation, Step};
use super::plain::Plain;
use crate::bench::*;

pub(super) const QUEUES: [&str; 2] = ["mail", "bulk"];

pub(super) fn id(number: u64) -> RunId {
    RunId::new(7, number)
}

/// The limits: two keys of one name, one without keys, and a rate. The last one means each key of the first name.
pub(super) fn limit(index: usize) -> GateId {
    let (name, key) =
        [("slots", Some("a")), ("slots", Some("b")), ("single", None), ("rate", Some("a")), ("slots", None)]
            [index];
    GateId::of(name, key)
}

pub(super) async fn play(open: &impl Open, operations: &[Step]) -> Result<(), String> {
    let mut table = Table {
        bench: Bench::new(open).await,
        plain: Plain::default(),
        sessions: [ONE, TWO],
        last_session: TWO,
        stopped: BTreeSet::new(),
    };
    for Step { operation, is_hurried } in operations {
        let what = |difference: String| format!("{operation:?}: {difference}");
        if !*is_hurried || operation.needs_rest() {
            table.compare().await.map_err(what)?;
        }
        table.apply(operation).await.map_err(what)?;
        if operation.needs_rest() {
            table.compare().await.map_err(what)?;
        }
    }
    table.compare().await.map_err(|difference| format!("at the end: {difference}"))
}

/// A store and the model of it.
pub(super) struct Table {
    pub(super) bench: Bench,
    pub(super) plain: Plain,
    /// The sessions of the nodes. The second one runs the type `work` alone.
    pub(super) sessions: [u64; 2],
    last_session: u64,
    /// The attempts that nodes were told to stop since the last comparison.
    pub(super) stopped: BTreeSet<ExecutionId>,
}

impl Table {
    async fn apply(&mut self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Wait(seconds) => self.plain.now += seconds,
            Operation::Enqueue(runs) => return self.enqueue(self.plain.wished(runs, Vec::new(), None)).await,
            Operation::OpenBatch { wish, runs } => return self.enqueue(self.plain.opened(wish, runs)).await,
            Operation::Take { node, max } => {
                self.take(*node, *max).await?;
            }
            Operation::TakeAll => return self.take_all().await,
            Operation::End(ends) => return self.end(ends).await,
            Operation::GiveBack(claim) => {
                let claims = &self.plain.claims;
                let Some(claim) = claims.get(claim % claims.len().max(1)).map(|claim| claim.id) else {
                    return Ok(());
                };
                self.bench.store.release(vec![claim]).await.unwrap();
                self.plain.give_back(claim);
            }
            Operation::Die(node) => self.die(*node).await,
            Operation::Change { runs, change } => return self.change(runs, *change).await,
            Operation::SetLimit { limit: index, cap } => {
                let set = cap.map(LimitOverride::of);
                self.bench.store.set_limit(limit(*index), set).await.unwrap();
                match cap {
                    Some(cap) => drop(self.plain.caps.insert(limit(*index), *cap)),
                    None => drop(self.plain.caps.remove(&limit(*index))),
                }
            }
            Operation::Pause(queue) => {
                let note = PauseNote::at(at(self.plain.now));
                let result = self.bench.store.pause_queue(QUEUES[*queue].into(), note).await.unwrap();
                return same("whether it was not paused", &result, &self.plain.paused.insert(*queue));
            }
            Operation::Resume(queue) => {
                let result = self.bench.store.resume_queue(QUEUES[*queue].into()).await.unwrap();
                return same("whether it was paused", &result, &self.plain.paused.remove(queue));
            }
        }
        Ok(())
    }

    async fn enqueue(&mut self, call: Vec<New>) -> Result<(), String> {
        let runs = call.iter().map(|new| new.stored(self.plain.now)).collect();
        let answer = self.bench.store.enqueue(runs).await;
        self.plain.last += call.len() as u64;
        if self.plain.refuses(&call) {
            return match answer {
                Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
                other => Err(format!("the call is answered with {other:?}; the model refuses it")),
            };
        }
        let expected: Vec<_> = call.into_iter().map(|new| self.plain.enqueue(new)).collect();
        let mut answer = answer.map_err(|error| format!("the call is refused: {error}"))?;
        for (answer, expected) in answer.iter_mut().zip(&expected) {
            if let (Enqueued::Existing(ours), Enqueued::Existing(theirs)) = (&answer, expected) {
                *answer = Enqueued::Existing(self.plain.twin(*ours, *theirs));
            }
        }
        same("what has become of the runs", &answer, &expected)
    }

    async fn end(&mut self, ends: &[(usize, Ending)]) -> Result<(), String> {
        let (mut executions, mut expected) = (Vec::new(), Vec::new());
        for (claim, ending) in ends {
            let claims = &self.plain.claims;
            let Some(claim) = claims.get(claim % claims.len().max(1)).cloned() else { break };
            let fate = match *ending {
                Ending::Over => Fate::Over,
                Ending::Discarded => Fate::Discarded,
                Ending::Again { after, counts } => {
                    Fate::Again { at: at(self.plain.now + after), counts, error: None }
                }
                Ending::Cancelled => Fate::Cancelled,
                Ending::Dead => Fate::Dead { error: None },
            };
            executions.push(Completion { fate, ..Completion::of(claim.id) });
            expected.push(self.plain.end(&claim, *ending));
        }
        let complete = || Complete { now: at(self.plain.now), executions: executions.clone() };
        let results = self.bench.store.complete(complete()).await.unwrap();
        same("the results", &results, &expected)?;
        // A node that has had no answer asks again.
        let again = self.bench.store.complete(complete()).await.unwrap();
        same("the results of the same call", &again, &vec![CompleteResult::Gone; executions.len()])
    }

    async fn die(&mut self, node: usize) {
        let session = self.sessions[node];
        self.bench.store.detach(session).await.unwrap();
        let claims: Vec<_> = self.plain.claims.iter().map(|claim| claim.id).collect();
        claims
            .into_iter()
            .filter(|claim| claim.session() == session)
            .for_each(|claim| self.plain.give_back(claim));
        self.last_session += 1;
        self.sessions[node] = self.last_session;
        let node = Node {
            session: self.last_session,
            name: format!("node {}", self.last_session).into(),
            types: (node == 1).then(|| [Arc::from("work")].into()),
            queues: QueueFilter::default(),
            wake: Arc::new(|| {}),
            stop: Arc::new(|_, _| {}),
        };
        self.bench.store.attach(node).await.unwrap();
    }

    async fn change(&mut self, runs: &[usize], change: ChangeWish) -> Result<(), String> {
        let all = self.plain.latest();
        let runs: Vec<_> = runs.iter().filter_map(|run| all.get(run % all.len().max(1)).copied()).collect();
        let now = at(self.plain.now);
        let asked = match change {
            ChangeWish::Cancel => RunChange::Cancel,
            ChangeWish::Replay => RunChange::replay(),
            ChangeWish::Delete => RunChange::Delete,
            ChangeWish::Hold => RunChange::Hold,
            ChangeWish::Release => RunChange::Release,
            ChangeWish::Seal => RunChange::Seal,
            ChangeWish::Edit(queue, due) => {
                let edit = queue.map_or_else(RunEdit::new, |queue| RunEdit::new().queue(QUEUES[queue]));
                RunChange::edit(match due {
                    Some(after) => edit.due(at(self.plain.now + after)),
                    None => edit,
                })
            }
        };
        let request = ChangeRuns::new(runs.iter().copied().map(id).collect(), asked, now);
        let mut results = self.bench.store.change_runs(request).await.unwrap();
        let before: Vec<_> = runs.iter().filter_map(|run| self.plain.run(*run).cloned()).collect();
        let expected: Vec<_> = runs.into_iter().map(|run| self.plain.change(run, change)).collect();
        for (result, expected) in results.iter_mut().zip(&expected) {
            if let (RunChanged::KeyTaken(ours), RunChanged::KeyTaken(theirs)) = (&result, expected) {
                *result = RunChanged::KeyTaken(self.plain.twin(*ours, *theirs));
            }
        }
        same("what has become of the change", &results, &expected)
            .map_err(|difference| format!("{difference}, of {before:?}"))
    }
}

impl Plain {
    /// A run by the name of another one, if both have ended and keep the same key: which of them is named is up to the store.
    fn twin(&self, run: RunId, other: RunId) -> RunId {
        let keeps = |id: RunId| Some(self.run(id.count()).filter(|run| run.end().is_some())?.key?.name);
        if keeps(run).is_some() && keeps(run) == keeps(other) { other } else { run }
    }
}

pub(super) fn same<T: Debug + PartialEq>(what: &str, ours: &T, model: &T) -> Result<(), String> {
    if ours == model { Ok(()) } else { Err(format!("{what}: {ours:?}, by the model {model:?}")) }
}
