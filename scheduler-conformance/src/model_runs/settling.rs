//! Runs that end, and what follows for others: by the model.

use scheduler_core::job::ExecutionId;
use scheduler_core::run::RunEnd;

use super::plain::{Plain, Run, Standing};

impl Plain {
    /// Ends a run, and settles the runs that wait for it.
    pub(super) fn finish(&mut self, number: u64, end: RunEnd, now: i64) {
        self.end_alone(number, end);
        self.settle_children(number, now);
    }

    /// Ends a run. The runs that wait for it are settled later.
    pub(super) fn finish_later(&mut self, number: u64, end: RunEnd) {
        self.end_alone(number, end);
        self.edit(number, |run| run.has_more = run.is_parent);
    }

    pub(super) fn end_alone(&mut self, number: u64, end: RunEnd) {
        self.release_follower(number);
        let Some(run) = self.run(number) else { return };
        if !(end == RunEnd::Dead && run.sequence.is_some_and(|(_, halts)| halts)) {
            self.leave_line(number);
        }
        let now = self.now;
        self.edit(number, |run| {
            run.standing = Standing::Ended(end);
            run.follows = false;
            run.gates.iter_mut().for_each(|gate| gate.is_held = false);
            if !run.is_unmet() {
                run.waits.clear();
            }
            let is_kept = run.batch.is_some() || !matches!(end, RunEnd::Succeeded | RunEnd::Discarded);
            run.is_only_key =
                !is_kept && run.key.is_some_and(|key| key.until.is_some_and(|until| until > now));
            run.is_gone = !is_kept && !run.is_only_key;
        });
    }

    /// Settles the edges to a run that has ended.
    pub(super) fn settle_children(&mut self, parent: u64, now: i64) {
        let Some(end) = self.runs.iter().find(|run| run.number == parent).and_then(Run::end) else { return };
        for child in self.numbers(|run| run.waits.iter().any(|wait| wait.parent == parent && !wait.is_unmet))
        {
            self.edit(child, |run| {
                run.waits.retain_mut(|wait| {
                    let is_it = wait.parent == parent && !wait.is_unmet;
                    wait.is_unmet |= is_it && !wait.on.is_met_by(end);
                    !is_it || wait.is_unmet
                });
            });
            let Some(run) = self.run(child) else { continue };
            let is_unmet = run.waits.iter().any(|wait| wait.parent == parent);
            match (run.is_open(), is_unmet) {
                (true, true) => self.finish_later(child, RunEnd::Cancelled),
                (true, false) => self.let_go(child, now),
                (false, _) => {}
            }
            self.edit(parent, |run| run.has_unmet |= is_unmet);
        }
    }

    /// A run that waits for nobody any more waits for its due time.
    pub(super) fn let_go(&mut self, number: u64, now: i64) {
        let is_free = |run: &&Run| {
            let is_held = run.standing == Standing::Held && run.batch.is_none() && !run.has_more;
            is_held && !run.follows && run.waits.is_empty() && run.joined.is_none()
        };
        let Some(due) = self.run(number).filter(is_free).map(|run| run.due.max(now + run.delay)) else {
            return;
        };
        self.edit(number, |run| (run.standing, run.due) = (Standing::Waiting, due));
        self.line_up(number);
    }

    pub(super) fn delete(&mut self, number: u64) {
        let has_ended = self.run(number).is_some_and(|run| run.end().is_some());
        self.release_follower(number);
        self.leave_line(number);
        if !has_ended {
            self.edit(number, |run| run.standing = Standing::Ended(RunEnd::Cancelled));
            self.settle_children(number, self.now);
        }
        self.edit(number, |run| {
            run.is_gone = true;
            run.waits.clear();
        });
    }

    /// Removes a claim that is given back: its run waits as before, or has ended if somebody has cancelled it.
    pub(super) fn give_back(&mut self, id: ExecutionId) {
        let Some(place) = self.claims.iter().position(|claim| claim.id == id) else { return };
        let claim = self.claims.remove(place);
        self.begun.retain(|(_, _, begun)| *begun != id);
        if claim.is_cancelled {
            return self.finish(claim.run, RunEnd::Cancelled, claim.since);
        }
        let Some(key) = self.run(claim.run).and_then(|run| run.key).filter(|key| key.until_started) else {
            return;
        };
        if !self.owners(key.name, claim.run).is_empty() {
            // Another run has taken the key meanwhile, and keeps it.
            self.edit(claim.run, |run| run.has_freed_key = true);
        }
    }

    // Replays.

    /// A run of this batch is to run again, so the batch has not ended, and neither has the one that it is in.
    pub(super) fn reopen(&mut self, batch: Option<u64>) {
        let Some(run) = batch.and_then(|batch| self.run(batch)).filter(|run| run.end().is_some()) else {
            return;
        };
        let (batch, outer) = (run.number, run.member_of);
        self.edit(batch, |run| {
            (run.standing, run.is_asked, run.has_more) = (Standing::Held, false, run.has_unmet);
        });
        self.edit_batch(batch, |batch| batch.is_cancelled = false);
        self.reopen(outer);
    }

    /// The runs that were cancelled since this one has not ended as it has to are held again.
    pub(super) fn hold_children_again(&mut self, parent: u64) {
        if self.run(parent).is_none_or(|run| !run.has_unmet) {
            return;
        }
        for child in self.numbers(|run| run.waits.iter().any(|wait| wait.parent == parent && wait.is_unmet)) {
            self.edit(child, |run| {
                run.waits
                    .iter_mut()
                    .filter(|wait| wait.parent == parent)
                    .for_each(|wait| wait.is_unmet = false);
            });
            let Some(run) = self.run(child).filter(|run| !run.is_unmet()) else { continue };
            let member_of = run.member_of;
            self.edit(child, |run| (run.standing, run.has_more) = (Standing::Held, run.has_unmet));
            self.reopen(member_of);
        }
        self.edit(parent, |run| (run.is_parent, run.has_unmet, run.has_more) = (true, false, false));
    }

    // What time and nodes bring by themselves.

    /// Does what is to be done by now, until nothing is.
    pub(super) fn settle(&mut self) {
        while self.go_on() | self.expire() | self.ring() {}
        let now = self.now;
        let is_over = |run: &&mut Run| {
            run.is_only_key && run.key.is_some_and(|key| key.until.is_some_and(|until| until <= now))
        };
        self.runs.iter_mut().filter(is_over).for_each(|run| run.is_gone = true);
    }

    pub(super) fn has_expired(&self, run: &Run) -> bool {
        run.expires_at().is_some_and(|at| at <= self.now) && self.claim_of(run.number).is_none()
    }

    fn expire(&mut self) -> bool {
        let expired = self.numbers(|run| self.has_expired(run));
        expired.iter().for_each(|number| self.finish(*number, RunEnd::Expired, self.now));
        !expired.is_empty()
    }

    /// Goes on with the runs that wait for others, and with those of cancelled batches.
    fn go_on(&mut self) -> bool {
        let (parents, cancelled) = (
            self.numbers(|run| run.has_more),
            self.numbers(|run| run.is_open() && run.batch.is_some_and(|batch| batch.is_cancelling)),
        );
        for number in &parents {
            if self.run(*number).is_some_and(|run| run.end().is_none()) {
                self.hold_children_again(*number);
                self.edit(*number, |run| run.has_more = false);
                self.let_go(*number, self.now);
            } else {
                self.settle_children(*number, self.now);
                self.edit(*number, |run| run.has_more = false);
            }
        }
        cancelled.iter().for_each(|batch| self.cancel_runs_of(*batch));
        !parents.is_empty() || !cancelled.is_empty()
    }

    /// Looks at all batches: tells of the first death, and ends those whose runs have ended.
    fn ring(&mut self) -> bool {
        for number in self.numbers(|run| run.batch.is_some() && run.is_open()) {
            let counts = self.counts(number);
            let Some(batch) = self.run(number).and_then(|run| run.batch) else { continue };
            if let Some(told) = batch.on_death.filter(|_| counts.dead > 0) {
                self.edit_batch(number, |batch| batch.on_death = None);
                let waits =
                    self.run(told).is_some_and(|run| run.waits.iter().any(|wait| wait.parent == number));
                self.edit(told, |run| run.waits.retain(|wait| wait.parent != number));
                if waits {
                    self.let_go(told, self.now);
                }
                return true;
            }
            let is_busy = batch.is_cancelling || self.run(number).is_some_and(|run| run.has_more);
            if batch.is_sealed && !is_busy && counts.pending == 0 {
                let end = match (batch.is_cancelled, counts.all_succeeded()) {
                    (true, _) => RunEnd::Cancelled,
                    (false, true) => RunEnd::Succeeded,
                    (false, false) => RunEnd::Incomplete,
                };
                self.finish(number, end, self.now);
                return true;
            }
        }
        false
    }
}
