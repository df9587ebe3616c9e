//! What a commit writes of claims.

use scheduler_core::Result;
use scheduler_core::store::rows::{ClaimRow, Item};
use scheduler_core::store::view::{Change, record};

use crate::bundles;
use crate::codec;
use crate::commit::Commit;
use crate::commit_runs::claimed_name;
use crate::names::Names;
use crate::ops::{Step, record as whole, text};

impl Commit {
    /// The claim of a run that is over goes with it. One that says only the name of its run has no entry under `at`.
    pub(crate) fn claim(
        &mut self,
        change: &Change<'_, ClaimRow>,
        names: &Names,
        (is_over, is_named): (bool, bool),
    ) -> Result<()> {
        let Some((home, execution)) = names.home_of(change.id) else { return Ok(()) };
        if let Some(claim) = change.before.filter(|claim| is_over && !claim.exclusive) {
            self.leave_limits(claim);
            return Ok(());
        }
        let id = codec::claim(*execution);
        let stop = format!("stop:{}", execution.session());
        match (change.before, change.after) {
            (Some(before), None) => {
                if !is_named {
                    self.ops.add(Step::HDel, home.clone(), [text(&id)]);
                } else if !is_over {
                    self.ops.add(Step::Unname, home.clone(), bundles::words_of(*execution));
                }
                self.let_go(before, &id, is_named);
                if before.cancel.is_some() {
                    self.ops.add(Step::HDel, stop, [text(id)]);
                }
            }
            (before, Some(after)) => {
                let record = whole(self.version, record::claim(after)?);
                self.ops.add(Step::HSet, home.clone(), [text(&id), record]);
                if is_named {
                    self.ops.add(Step::Unname, home.clone(), bundles::words_of(*execution));
                }
                match before {
                    Some(before) if !before.fired || (after.run_removed && !is_named) => self.unclaim(before),
                    Some(_) if is_named => {
                        let name = claimed_name(after);
                        name.into_iter()
                            .for_each(|name| self.ops.add(Step::HSet, "at", [text(name), text(&id)]));
                    }
                    Some(_) => {}
                    None => self.take(after, &id),
                }
                if let Some(reason) =
                    after.cancel.filter(|reason| before.and_then(|row| row.cancel) != Some(*reason))
                {
                    self.ops.add(Step::HSet, stop, [text(id), text(crate::commit::reason(reason))]);
                    self.ops.add(Step::Cry, "", []);
                }
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn unclaim(&mut self, claim: &ClaimRow) {
        // Its claim is compared in the same commit, and a trigger or a run has no other.
        let name = claimed_name(claim);
        name.into_iter().for_each(|name| self.ops.add(Step::HDel, "at", [text(name)]));
    }

    fn let_go(&mut self, claim: &ClaimRow, id: &str, is_named: bool) {
        if !is_named {
            self.unclaim(claim);
        }
        if claim.exclusive {
            self.ops.add(Step::Free, "", [text(codec::key(claim.trigger.job())), text(id)]);
        }
        self.leave_limits(claim);
    }

    /// It does not count for its queue any more, and has no slot of its gates.
    fn leave_limits(&mut self, claim: &ClaimRow) {
        for gate in claim.gates.iter().filter(|gate| gate.pace.is_none()) {
            *self.gates.entry(gate.id.clone()).or_default() -= i64::from(gate.weight);
        }
        if let Some(queue) = claim.trigger.queue() {
            *self.queues.entry(queue.clone()).or_default() -= 1;
        }
    }

    /// A claim that a server has forgotten is there again.
    fn take(&mut self, claim: &ClaimRow, id: &str) {
        self.ops.add(Step::SAdd, "homes", [text(claim.session.to_string())]);
        if let Item::Run(run) = claim.item {
            self.ops.add(Step::HSet, "at", [text(codec::run(run)), text(id)]);
        }
        if claim.exclusive {
            self.ops.add(Step::Hold, "", [text(codec::key(claim.trigger.job())), text(id)]);
        }
        for gate in claim.gates.iter().filter(|gate| gate.pace.is_none()) {
            *self.gates.entry(gate.id.clone()).or_default() += i64::from(gate.weight);
        }
        if let Some(queue) = claim.trigger.queue() {
            *self.queues.entry(queue.clone()).or_default() += 1;
        }
    }
}
