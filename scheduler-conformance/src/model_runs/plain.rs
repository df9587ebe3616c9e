//! The model: a list of all runs that ever were and a list of claims, searched from end to end.
//!
//! Nothing is counted along the way. How much of a limit is used, how many runs of a batch are pending and who has a key is looked up in
//! the lists whenever it is asked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use scheduler_core::job::ExecutionId;
use scheduler_core::run::{BatchCounts, Condition, Gate, GateId, Hold, RunEnd, RunState};

/// How a run stands, apart from a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    Held,
    Ended(RunEnd),
}

/// That a run waits for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) parent: u64,
    pub(super) on: Condition,
    pub(super) is_unmet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: usize,
    pub(super) until_started: bool,
    /// It is taken until then, whatever becomes of the run.
    pub(super) until: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) is_sealed: bool,
    pub(super) is_cancelled: bool,
    /// It was cancelled, and its runs do not know of that yet.
    pub(super) is_cancelling: bool,
    pub(super) on_death: Option<u64>,
    pub(super) skipped: i64,
}

/// A run. It stays in the list when the store has removed it.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) is_gone: bool,
    pub(super) standing: Standing,
    pub(super) due: i64,
    pub(super) attempts: u32,
    pub(super) replays: u32,
    pub(super) job: usize,
    pub(super) queue: Option<usize>,
    /// So many seconds after its due time it expires.
    pub(super) expires: Option<i64>,
    /// An attempt has ended, whether it counts or not.
    pub(super) has_begun: bool,
    pub(super) gates: Vec<Gate>,
    pub(super) waits: Vec<Wait>,
    pub(super) delay: i64,
    /// Runs wait for its end, or have.
    pub(super) is_parent: bool,
    /// Runs were cancelled since it has not ended as it had to.
    pub(super) has_unmet: bool,
    /// The store has yet to go on with the runs that wait for it.
    pub(super) has_more: bool,
    pub(super) key: Option<Key>,
    /// An attempt has begun, and another run may have the key if it was only taken until then.
    pub(super) has_freed_key: bool,
    /// It waits for the end of the run that has its key.
    pub(super) follows: bool,
    /// A run waits for its end, since that has its key.
    pub(super) is_followed: bool,
    /// It has ended, and is stored only for its key.
    pub(super) is_only_key: bool,
    /// The name of its sequence, and whether a dead run keeps its place.
    pub(super) sequence: Option<(usize, bool)>,
    /// When it joined its sequence, as a number that grows.
    pub(super) joined: Option<u64>,
    pub(super) member_of: Option<u64>,
    /// It knows that its batch was cancelled.
    pub(super) is_asked: bool,
    pub(super) batch: Option<Batch>,
}

impl Run {
    pub(super) fn end(&self) -> Option<RunEnd> {
        match self.standing {
            Standing::Ended(end) => Some(end),
            _ => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_gone && self.end().is_none()
    }

    pub(super) fn is_unmet(&self) -> bool {
        self.waits.iter().any(|wait| wait.is_unmet)
    }

    pub(super) fn expires_at(&self) -> Option<i64> {
        let may = !self.has_begun && self.attempts == 0 && self.waits.is_empty() && self.batch.is_none();
        self.expires.filter(|_| may && self.is_open()).map(|after| self.due + after)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) id: ExecutionId,
    pub(super) run: u64,
    pub(super) since: i64,
    pub(super) attempt: u32,
    /// The gates that it holds; not those that the run itself holds.
    pub(super) gates: Vec<Gate>,
    pub(super) is_cancelled: bool,
}

#[derive(Debug, Default)]
pub(super) struct Plain {
    pub(super) now: i64,
    /// All runs, by their numbers.
    pub(super) runs: Vec<Run>,
    /// The last number that a run to be stored has had.
    pub(super) last: u64,
    pub(super) claims: Vec<Claim>,
    /// Each attempt that has begun at a rate: when, and by which claim.
    pub(super) begun: Vec<(GateId, i64, ExecutionId)>,
    pub(super) caps: BTreeMap<GateId, u32>,
    pub(super) paused: BTreeSet<usize>,
    joins: u64,
}

impl Plain {
    pub(super) fn run(&self, number: u64) -> Option<&Run> {
        self.runs.iter().find(|run| run.number == number && !run.is_gone)
    }

    pub(super) fn edit(&mut self, number: u64, edit: impl FnOnce(&mut Run)) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.number == number) {
            edit(run);
        }
    }

    pub(super) fn claim_of(&self, number: u64) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.run == number)
    }

    pub(super) fn state(&self, run: &Run) -> RunState {
        match run.standing {
            Standing::Waiting if self.claim_of(run.number).is_some() => RunState::Claimed,
            Standing::Waiting => RunState::Waiting,
            Standing::Held => RunState::Held,
            Standing::Ended(_) => RunState::Ended,
        }
    }

    pub(super) fn numbers(&self, is_meant: impl Fn(&Run) -> bool) -> Vec<u64> {
        self.runs.iter().filter(|run| !run.is_gone && is_meant(run)).map(|run| run.number).collect()
    }

    // Keys.

    /// The runs that have this key, apart from this one. At most one of them has not ended, which comes first.
    pub(super) fn owners(&self, name: usize, except: u64) -> Vec<u64> {
        let mut owners = self.numbers(|run| {
            let Some(key) = run.key.filter(|key| key.name == name && run.number != except) else {
                return false;
            };
            let has_begun = run.has_freed_key || self.claim_of(run.number).is_some();
            let in_scope = run.end().is_none() && !(key.until_started && has_begun);
            let has_key = in_scope || key.until.is_some_and(|until| until > self.now);
            !run.follows && has_key && !self.has_expired(run)
        });
        owners.sort_by_key(|owner| self.run(*owner).is_none_or(|run| run.end().is_some()));
        owners
    }

    pub(super) fn follower(&self, name: usize) -> Option<u64> {
        let follows = |run: &Run| run.follows && run.is_open() && run.key.is_some_and(|key| key.name == name);
        self.numbers(follows).first().copied()
    }

    pub(super) fn release_follower(&mut self, owner: u64) {
        let Some(key) = self.run(owner).filter(|run| run.is_followed).and_then(|run| run.key) else { return };
        self.edit(owner, |run| run.is_followed = false);
        if let Some(next) = self.follower(key.name) {
            self.edit(next, |run| (run.follows, run.standing) = (false, Standing::Waiting));
            self.line_up(next);
        }
    }

    // Sequences.

    /// The runs of a sequence, in the order in which they joined it.
    fn line(&self, name: usize) -> Vec<u64> {
        let is_in = |run: &Run| run.joined.is_some() && run.sequence.is_some_and(|(known, _)| known == name);
        let mut line = self.numbers(is_in);
        line.sort_by_key(|number| self.run(*number).and_then(|run| run.joined));
        line
    }

    /// The run of its sequence behind which a run stands.
    pub(super) fn behind(&self, run: &Run) -> Option<u64> {
        let line = self.line(run.sequence?.0);
        let place = line.iter().position(|number| *number == run.number)?;
        Some(line[place.checked_sub(1)?])
    }

    pub(super) fn line_up(&mut self, number: u64) {
        let Some(run) = self.run(number).filter(|run| run.standing == Standing::Waiting) else { return };
        let (Some((name, _)), None) = (run.sequence, run.joined) else { return };
        let is_first = self.line(name).is_empty();
        self.joins += 1;
        let joined = Some(self.joins);
        self.edit(number, |run| {
            run.joined = joined;
            run.standing = if is_first { Standing::Waiting } else { Standing::Held };
        });
    }

    pub(super) fn leave_line(&mut self, number: u64) {
        let Some((name, _)) =
            self.run(number).filter(|run| run.joined.is_some()).and_then(|run| run.sequence)
        else {
            return;
        };
        let was_first = self.line(name).first() == Some(&number);
        self.edit(number, |run| run.joined = None);
        if let Some(next) = self.line(name).first().filter(|_| was_first) {
            self.edit(*next, |run| run.standing = Standing::Waiting);
        }
    }

    // Limits.

    pub(super) fn cap(&self, gate: &Gate) -> u32 {
        let of_name = || self.caps.get(&GateId::of(gate.id.name(), None));
        self.caps.get(&gate.id).or_else(of_name).copied().unwrap_or(gate.cap)
    }

    /// The sum of weights that are under way, or how many attempts have begun in the window of a rate.
    pub(super) fn used(&self, gate: &Gate) -> u64 {
        if let Some(pace) = gate.pace {
            let window = i64::from(pace.window / 1000);
            let counts = |id: &GateId, at: i64| *id == gate.id && at + window > self.now;
            return self.begun.iter().filter(|(id, at, _)| counts(id, *at)).count() as u64;
        }
        let of_claims = self.claims.iter().flat_map(|claim| &claim.gates);
        let of_runs = self
            .runs
            .iter()
            .filter(|run| !run.is_gone)
            .flat_map(|run| &run.gates)
            .filter(|gate| gate.is_held);
        of_claims.chain(of_runs).filter(|held| held.id == gate.id).map(|held| u64::from(held.weight)).sum()
    }

    pub(super) fn has_room(&self, gate: &Gate) -> bool {
        gate.is_held || self.used(gate) + u64::from(gate.weight) <= u64::from(self.cap(gate))
    }

    /// Whether a run is due, and nothing but its limits keeps nodes from it.
    pub(super) fn is_due(&self, run: &Run) -> bool {
        let is_paused = run.queue.is_some_and(|queue| self.paused.contains(&queue));
        self.may_wait(run) && !is_paused
    }

    /// Whether a run may stand at a limit: it is due. Its queue may have been paused since it found the limit full.
    pub(super) fn may_wait(&self, run: &Run) -> bool {
        self.state(run) == RunState::Waiting && !run.is_gone && run.due <= self.now
    }

    // Batches.

    pub(super) fn counts(&self, batch: u64) -> BatchCounts {
        let ends: Vec<_> =
            self.runs.iter().filter(|run| run.member_of == Some(batch)).map(Run::end).collect();
        let count = |kinds: &[RunEnd]| {
            let is_meant = |end: &&Option<RunEnd>| end.is_some_and(|end| kinds.contains(&end));
            ends.iter().filter(is_meant).count().cast_signed() as i64
        };
        let skipped = self.run(batch).and_then(|run| run.batch).map_or(0, |batch| batch.skipped);
        BatchCounts::of([
            ends.len().cast_signed() as i64 + skipped,
            ends.iter().filter(|end| end.is_none()).count().cast_signed() as i64,
            count(&[RunEnd::Succeeded]),
            count(&[RunEnd::Discarded]),
            count(&[RunEnd::Dead, RunEnd::Incomplete]),
            count(&[RunEnd::Cancelled, RunEnd::Superseded]),
            count(&[RunEnd::Expired]),
            skipped,
        ])
    }

    pub(super) fn edit_batch(&mut self, number: u64, edit: impl FnOnce(&mut Batch)) {
        self.edit(number, |run| {
            if let Some(batch) = &mut run.batch {
                edit(batch);
            }
        });
    }

    pub(super) fn cancel_batch(&mut self, batch: u64) {
        self.edit_batch(batch, |batch| {
            (batch.is_sealed, batch.is_cancelled, batch.is_cancelling) = (true, true, true);
        });
    }

    pub(super) fn cancel_runs_of(&mut self, batch: u64) {
        self.edit_batch(batch, |batch| batch.is_cancelling = false);
        for member in self.numbers(|run| run.member_of == Some(batch) && run.is_open() && !run.is_asked) {
            if self.run(member).is_some_and(|run| run.batch.is_some()) {
                self.cancel_batch(member);
                self.edit(member, |run| run.is_asked = true);
            } else if self.claim_of(member).is_some() {
                self.ask_to_stop(member);
                self.edit(member, |run| run.is_asked = true);
            } else {
                self.finish_later(member, RunEnd::Cancelled);
            }
        }
    }

    pub(super) fn ask_to_stop(&mut self, number: u64) {
        self.claims
            .iter_mut()
            .filter(|claim| claim.run == number)
            .for_each(|claim| claim.is_cancelled = true);
    }

    /// A run is claimed: it holds its limits, but for those that it holds already.
    pub(super) fn claim(&mut self, id: ExecutionId, number: u64) {
        let Some(run) = self.run(number) else { return };
        let (attempt, gates) = (run.attempts + 1, run.gates.clone());
        let (rated, counted): (Vec<_>, Vec<_>) =
            gates.into_iter().filter(|gate| !gate.is_held).partition(|gate| gate.pace.is_some());
        self.begun.extend(rated.into_iter().map(|gate| (gate.id, self.now, id)));
        let (since, is_cancelled) = (self.now, false);
        self.claims.push(Claim { id, run: number, since, attempt, gates: counted, is_cancelled });
    }

    /// The run waits for another attempt.
    pub(super) fn again(&mut self, claim: &Claim, at: i64, counts: bool) {
        self.edit(claim.run, |run| {
            (run.due, run.has_begun, run.has_freed_key) = (at, true, true);
            if counts {
                run.attempts = claim.attempt;
            }
            run.gates.iter_mut().for_each(|gate| gate.is_held = gate.hold == Hold::Run);
        });
    }

    /// The runs that are stored, the latest first.
    pub(super) fn latest(&self) -> Vec<u64> {
        let mut numbers = self.numbers(|_| true);
        numbers.sort_by_key(|number| Reverse(*number));
        numbers
    }
}
