//! Runs that wait for others: at a limit, for a parent, for a batch.

use std::collections::HashSet;

use scheduler_core::run::RunId;

use super::{Faults, History, Write};
use crate::workload;

impl History {
    /// No claim is given while as many are under way as the limit allows. A server may be told of claims by their nodes, which it cannot
    /// refuse.
    #[must_use]
    pub fn limits_hold(&self) -> Faults {
        let (mut under_way, mut faults) = (HashSet::new(), Faults::new());
        for write in &self.writes {
            match write {
                Write::Claimed { run, claim, whole } => {
                    let limit = workload::kind_of(*run).map_or(0, |kind| kind.limit);
                    let is_new = limit > 0 && under_way.insert(claim.as_str());
                    if is_new && !whole && under_way.len() > limit as usize {
                        let many = under_way.len();
                        faults.push(format!("limit of {limit}: run {run} by {claim} is number {many}"));
                    }
                }
                Write::Ended(claim) => drop(under_way.remove(claim.as_str())),
                _ => {}
            }
        }
        faults
    }

    /// No run begins before those have ended for which it waits, and none whose parent has not succeeded. Nothing is said of runs that a server
    /// may have taken with it.
    #[must_use]
    pub fn dependents_come_after(&self) -> Faults {
        let (promised, mut ended, mut faults) = (self.promised(), HashSet::new(), Faults::new());
        let succeeded = self.lines.iter().filter(|line| !line.begins && !line.fails);
        let succeeded: HashSet<RunId> = succeeded.filter_map(|line| line.trigger.parse().ok()).collect();
        for write in &self.writes {
            match write {
                Write::Removed(run) | Write::Stored { run, is_dead: true, .. } => drop(ended.insert(*run)),
                Write::Claimed { run, claim, whole: false } => {
                    let Some(promise) = promised.get(run).filter(|promise| !promise.after.is_empty()) else {
                        continue;
                    };
                    let early = promise.after.iter().find(|other| !ended.contains(*other));
                    let may_be_forgotten =
                        |run: &RunId| promised.get(run).is_some_and(|promise| self.may_be_forgotten(promise));
                    if promise.after.iter().chain([run]).any(may_be_forgotten) {
                        continue;
                    }
                    if let Some(other) = early {
                        faults.push(format!(
                            "before its parent: run {run} by {claim}, before {other} has ended"
                        ));
                    }
                    let waits_for_success =
                        workload::kind_of(*run).is_some_and(|kind| kind.follows.is_some());
                    if waits_for_success && !promise.after.iter().all(|parent| succeeded.contains(parent)) {
                        faults.push(format!(
                            "after a failure: run {run} by {claim}, which waits for a success"
                        ));
                    }
                }
                _ => {}
            }
        }
        faults
    }
}
