//! Runs that nodes take. The store chooses which; the model says whether it may, and whether one is left that could begin.

use std::cmp::Reverse;

use scheduler_core::job::{CancelReason, ExecutionId};
use scheduler_core::run::{Gate, RunEnd, RunId, RunState, WhenFull};
use scheduler_core::store::*;

use super::plain::{Plain, Run};
use super::play::{Table, id};
use crate::bench::at;

/// A node that takes all it is given asks so often at most.
const MOST_CALLS: usize = 200;

impl Table {
    /// Asks for so many runs. When the store wants to be asked again, and whether it has done nothing.
    pub(super) async fn take(&mut self, node: usize, max: usize) -> Result<(Option<i64>, bool), String> {
        let now = self.plain.now;
        let acquired = self.bench.ask(self.sessions[node], now, max, QueueLimits::default()).await;
        if acquired.runs.len() > max {
            return Err(format!("{} runs are handed out, and {max} were asked for", acquired.runs.len()));
        }
        let is_idle = acquired.runs.is_empty() && acquired.superseded.is_empty();
        let next = acquired.next_due.map(|due| (due - at(0)).num_seconds());
        self.plain.take(&acquired, node)?;
        self.adopt_cancels(&acquired.cancel)?;
        self.plain.settle();
        Ok((next, is_idle))
    }

    /// Attempts may be asked to stop since a run waits for what they hold.
    fn adopt_cancels(&mut self, stop: &[(ExecutionId, CancelReason)]) -> Result<(), String> {
        for (stopped, _) in stop {
            let Some(place) = self.plain.claims.iter().position(|claim| claim.id == *stopped) else {
                return Err(format!("{stopped} is to stop, and has ended"));
            };
            let claim = &self.plain.claims[place];
            let makes_room = |run: &Run| {
                let is_held = |limit| claim.gates.iter().any(|gate| gate.id == limit);
                run.gates
                    .iter()
                    .any(|gate| gate.when_full == WhenFull::CancelRunning && is_held(gate.id.clone()))
            };
            let is_meant = self.plain.runs.iter().any(|run| self.plain.may_wait(run) && makes_room(run));
            if !claim.is_cancelled && !is_meant {
                return Err(format!(
                    "{stopped} of run {} is to stop, and nobody has asked for that",
                    claim.run
                ));
            }
            self.plain.claims[place].is_cancelled = true;
            self.stopped.insert(*stopped);
        }
        Ok(())
    }

    /// Takes what the first node is given, until it is given nothing more. Then no run is left that could begin.
    pub(super) async fn take_all(&mut self) -> Result<(), String> {
        for _ in 0..MOST_CALLS {
            let (next, is_idle) = self.take(0, 50).await?;
            if is_idle && next.is_none_or(|next| next > self.plain.now) {
                return match self.plain.left().or_else(|| self.plain.overslept(next)) {
                    Some(problem) => Err(problem),
                    None => Ok(()),
                };
            }
        }
        Err(format!("after {MOST_CALLS} calls the store still asks to be called again at once"))
    }
}

impl Plain {
    /// Runs are handed out, and others end since limits are full. The store does not say in which order.
    fn take(&mut self, acquired: &Acquired, node: usize) -> Result<(), String> {
        let (mut taken, mut superseded) =
            (acquired.runs.iter().peekable(), acquired.superseded.iter().peekable());
        loop {
            let problem = taken.peek().map(|run| (run.run.count(), self.problem_of_claim(run, node)));
            match (problem, superseded.peek()) {
                (None, None) => return Ok(()),
                (Some((_, None)), _) => {
                    taken.next().into_iter().for_each(|run| self.claim(run.claim, run.run.count()));
                }
                (Some((number, Some(problem))), None) => {
                    return Err(format!("run {number} is handed out: {problem}"));
                }
                (_, Some((run, _))) => {
                    self.supersede(*run)?;
                    superseded.next();
                }
            }
        }
    }

    /// Why a run must not be handed out to this node.
    fn problem_of_claim(&self, taken: &AcquiredRun, node: usize) -> Option<String> {
        let Some(run) = self.run(taken.run.count()).filter(|run| id(run.number) == taken.run) else {
            return Some("it is not stored".to_owned());
        };
        let is_known = self.claims.iter().any(|claim| claim.id == taken.claim);
        let full = run.gates.iter().find(|gate| !self.has_room(gate));
        let problem = match () {
            () if is_known => "its claim is that of another run".to_owned(),
            () if !self.is_due(run) => format!("it is not due, or not to be claimed: {run:?}"),
            () if node == 1 && run.job == 1 => "the node cannot run its job".to_owned(),
            () if taken.attempt != run.attempts + 1 => {
                format!("its attempt has the number {}, and {} were made", taken.attempt, run.attempts)
            }
            () => {
                return full.map(|gate| {
                    format!(
                        "limit {} has no room, {} of {} are used",
                        gate.id,
                        self.used(gate),
                        self.cap(gate)
                    )
                });
            }
        };
        Some(problem)
    }

    /// A run ends since a limit is full.
    fn supersede(&mut self, run: RunId) -> Result<(), String> {
        let number = run.count();
        let Some(known) = self.run(number).filter(|run| self.may_wait(run)) else {
            return Err(format!("run {number} is superseded, and does not wait"));
        };
        let is_meant = known.gates.iter().any(|gate| {
            let rivals = || {
                let is_rival = |other: &&Run| {
                    let same = |known: &&Gate| known.id == gate.id && known.when_full == gate.when_full;
                    other.number != number && self.may_wait(other) && other.gates.iter().find(same).is_some()
                };
                self.runs.iter().filter(is_rival).map(|other| (other.due, other.number))
            };
            let own = (known.due, number);
            // It may have room, and wait behind another one that has not.
            let is_full = self
                .runs
                .iter()
                .filter(|run| self.may_wait(run))
                .flat_map(|run| &run.gates)
                .any(|of| of.id == gate.id && !self.has_room(of));
            is_full
                && match gate.when_full {
                    WhenFull::Skip => true,
                    WhenFull::KeepNewest => rivals().any(|other| other > own),
                    WhenFull::KeepOldest => rivals().any(|other| other < own),
                    _ => false,
                }
        });
        if !is_meant {
            return Err(format!("run {number} is superseded, and may wait: {known:?}"));
        }
        self.finish(number, RunEnd::Superseded, self.now);
        Ok(())
    }

    /// A run that could begin, and that the store has not handed out. A run may wait behind another one that needs more of the same limit.
    fn left(&self) -> Option<String> {
        let due: Vec<_> = self.runs.iter().filter(|run| self.is_due(run)).collect();
        let waits = |run: &&&Run| {
            run.gates.iter().any(|gate| {
                let of_limit = |other: &&Run| other.gates.iter().find(|known| known.id == gate.id).cloned();
                !self.has_room(gate) || due.iter().filter_map(of_limit).any(|other| !self.has_room(&other))
            })
        };
        due.iter()
            .find(|run| !waits(run))
            .map(|run| format!("run {} could begin, and is left: {run:?}", run.number))
    }

    /// A run that can begin before the store wants to be asked again. Of those with limits only those that wait for a rate alone.
    fn overslept(&self, next: Option<i64>) -> Option<String> {
        let is_paused = |run: &Run| run.queue.is_some_and(|queue| self.paused.contains(&queue));
        let waits = |run: &&Run| !run.is_gone && self.state(run) == RunState::Waiting && !is_paused(run);
        let begins = |run: &Run| match &run.gates[..] {
            [] => Some(run.due),
            [gate] => self.opens(gate).map(|opens| opens.max(run.due)),
            _ => None,
        };
        let first = self.runs.iter().filter(waits).filter_map(begins).filter(|at| *at > self.now).min()?;
        let is_late = next.is_none_or(|next| next > first);
        is_late.then(|| format!("a run begins at {first}, and the store wants to be asked at {next:?}"))
    }

    /// When a rate that is used up has room for one more attempt.
    fn opens(&self, gate: &Gate) -> Option<i64> {
        let window = i64::from(gate.pace?.window / 1000);
        let mut begun: Vec<_> =
            self.begun.iter().filter(|(id, ..)| *id == gate.id).map(|(_, at, _)| *at).collect();
        begun.sort_unstable_by_key(|at| Reverse(*at));
        // The one that has to leave the window.
        let last = usize::try_from(self.cap(gate)).ok()?.checked_sub(1)?;
        Some(begun.get(last)? + window)
    }
}
