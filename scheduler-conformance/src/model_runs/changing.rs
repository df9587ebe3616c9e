//! Changes and ends of runs, by the model.

use scheduler_core::run::{RunEnd, RunState};
use scheduler_core::store::{CompleteResult, RunChanged};

use super::operations::{ChangeWish, Ending};
use super::plain::{Claim, Plain, Standing};
use super::play::id;

impl Plain {
    pub(super) fn change(&mut self, number: u64, change: ChangeWish) -> RunChanged {
        if self.run(number).is_some_and(|run| self.has_expired(run)) {
            self.finish(number, RunEnd::Expired, self.now);
        }
        let Some(run) = self.run(number) else { return RunChanged::Unknown };
        let (state, is_batch) = (self.state(run), run.batch.is_some());
        if let (ChangeWish::Cancel, RunState::Claimed) = (change, state) {
            self.ask_to_stop(number);
            return RunChanged::Done;
        }
        if is_batch {
            return self.change_batch(number, change, state);
        }
        let may = match change {
            ChangeWish::Cancel => matches!(state, RunState::Waiting | RunState::Held),
            ChangeWish::Replay => state == RunState::Ended && !run.is_only_key,
            ChangeWish::Delete | ChangeWish::Edit(..) => state != RunState::Claimed,
            ChangeWish::Hold => state == RunState::Waiting,
            ChangeWish::Release => state == RunState::Held && self.behind(run).is_none() && !run.follows,
            ChangeWish::Seal => false,
        };
        // The store is about to go on with the runs that wait for it.
        if !may || run.has_more {
            return RunChanged::Refused(state);
        }
        match change {
            ChangeWish::Cancel => self.finish(number, RunEnd::Cancelled, self.now),
            ChangeWish::Delete => self.delete(number),
            ChangeWish::Replay => return self.replay(number),
            ChangeWish::Hold => self.edit(number, |run| run.standing = Standing::Held),
            ChangeWish::Release => {
                self.edit(number, |run| {
                    run.standing = Standing::Waiting;
                    run.waits.clear();
                });
                self.line_up(number);
            }
            ChangeWish::Edit(queue, due) => {
                let now = self.now;
                self.edit(number, |run| {
                    run.queue = queue.or(run.queue);
                    if let Some(after) = due.filter(|_| run.end().is_none()) {
                        run.due = now + after;
                    }
                });
            }
            ChangeWish::Seal => {}
        }
        RunChanged::Done
    }

    fn change_batch(&mut self, number: u64, change: ChangeWish, state: RunState) -> RunChanged {
        let is_open = state != RunState::Ended;
        let has_more = self.run(number).is_some_and(|run| run.has_more);
        match change {
            ChangeWish::Seal if is_open => self.edit_batch(number, |batch| batch.is_sealed = true),
            ChangeWish::Cancel if is_open => self.cancel_batch(number),
            ChangeWish::Delete if !is_open && !has_more => self.edit(number, |run| run.is_gone = true),
            _ => return RunChanged::Refused(state),
        }
        RunChanged::Done
    }

    fn replay(&mut self, number: u64) -> RunChanged {
        let Some(run) = self.run(number) else { return RunChanged::Unknown };
        let (batch, now) = (run.member_of, self.now);
        if let Some(owner) = run.key.and_then(|key| self.owners(key.name, number).first().copied()) {
            return RunChanged::KeyTaken(id(owner));
        }
        self.edit(number, |run| {
            (run.standing, run.attempts, run.due) = (Standing::Waiting, 0, now);
            run.replays += 1;
            (run.has_begun, run.has_freed_key, run.is_asked, run.is_followed) = (false, false, false, false);
            run.waits.clear();
        });
        self.reopen(batch);
        self.hold_children_again(number);
        self.line_up(number);
        RunChanged::Done
    }

    /// An attempt ends. What the store is to answer.
    pub(super) fn end(&mut self, claim: &Claim, ending: Ending) -> CompleteResult {
        const DONE: CompleteResult = CompleteResult::Done { trigger_removed: false, job_removed: false };
        self.claims.retain(|known| known.id != claim.id);
        let run = claim.run;
        let end = match ending {
            Ending::Over => RunEnd::Succeeded,
            Ending::Discarded => RunEnd::Discarded,
            Ending::Cancelled => RunEnd::Cancelled,
            Ending::Dead | Ending::Again { .. } if claim.is_cancelled => RunEnd::Cancelled,
            Ending::Dead => RunEnd::Dead,
            Ending::Again { after, counts } => {
                self.again(claim, self.now + after, counts);
                return DONE;
            }
        };
        self.edit(run, |run| run.attempts = claim.attempt);
        self.finish(run, end, self.now);
        match ending {
            Ending::Dead | Ending::Again { .. } if claim.is_cancelled => CompleteResult::Withdrawn,
            _ => DONE,
        }
    }
}
