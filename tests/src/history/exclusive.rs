//! Jobs that allow one run at a time: what holds them, and whether their runs overlap.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Faults, History, Line, Write};
use crate::workload;

impl History {
    /// Of a job that allows one run at a time one claim at a time holds it, and those that are fired have growing fences.
    #[must_use]
    pub fn holders_take_turns(&self) -> Faults {
        let (mut holders, mut last) = (HashMap::<&str, &str>::new(), HashMap::<&str, u64>::new());
        // What each claim holds, or held.
        let mut held = HashMap::<&str, &str>::new();
        // A claim that was not fired may make way for another one, and is void from then on.
        let (mut fired, mut ended, mut void) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut faults = Faults::new();
        for write in &self.writes {
            match write {
                Write::Ended(claim) => drop(ended.insert(claim.as_str())),
                Write::Held { job, claim } => {
                    match holders.insert(job, claim) {
                        Some(other) if fired.contains(other) && !ended.contains(other) => {
                            faults.push(format!("{job} is held by {other} and {claim}"));
                        }
                        Some(other) => drop(void.insert(other)),
                        None => {}
                    }
                    held.insert(claim, job);
                }
                // A server may hear late of an attempt that is under way, after it has handed out the next one.
                Write::Claimed { claim, whole: true, .. } => drop(fired.insert(claim.as_str())),
                Write::Fired { claim, .. } | Write::Claimed { claim, .. } => {
                    let first = fired.insert(claim.as_str());
                    if let Some(job) = held.get(claim.as_str()).filter(|_| first) {
                        let fence = claim.split('-').nth(1).and_then(|fence| fence.parse().ok());
                        let fence = fence.unwrap_or_default();
                        let before = last.insert(job, fence).unwrap_or_default();
                        if fence <= before {
                            faults.push(format!("the fence of {job} goes from {before} to {fence}"));
                        }
                    }
                    if void.contains(claim.as_str()) && !ended.contains(claim.as_str()) {
                        faults.push(format!("{claim} was fired after another one has taken its job"));
                    }
                }
                Write::Free(job) => drop(holders.remove(job.as_str())),
                _ => {}
            }
        }
        faults.extend(holders.iter().map(|(job, claim)| format!("{job} is still held by {claim}")));
        faults
    }

    /// Runs of such a job do not overlap, but where a node was lost in between.
    #[must_use]
    pub fn runs_do_not_overlap(&self) -> Faults {
        let mut ends = HashMap::new();
        for line in self.lines.iter().filter(|line| !line.begins) {
            ends.insert(line.claim.as_str(), line.at);
        }
        let mut by_job = BTreeMap::<&str, Vec<(&Line, i64)>>::new();
        let forgotten = self.forgotten();
        for line in self.lines.iter().filter(|line| line.begins && !forgotten.contains(line.claim.as_str())) {
            let Some(job) = workload::job_of(&line.trigger).filter(|job| job.exclusive) else { continue };
            if let Some(end) = ends.get(line.claim.as_str()).filter(|_| !self.is_lost(&line.claim)) {
                by_job.entry(job.name).or_default().push((line, *end));
            }
        }
        let mut faults = Faults::new();
        for runs in by_job.values_mut() {
            runs.sort_by_key(|(line, _)| line.at);
            for pair in runs.windows(2) {
                let ((first, end), (second, _)) = (pair[0], pair[1]);
                if second.at < end {
                    faults.push(format!(
                        "{} of {} ran into {} of {}",
                        second.claim, second.node, first.claim, first.node
                    ));
                }
            }
        }
        faults
    }

    /// A place outside that refuses smaller fences than it has seen refuses nobody but nodes that were lost.
    #[must_use]
    pub fn only_lost_nodes_come_late(&self) -> Faults {
        let mut highest = HashMap::<&str, u64>::new();
        let mut faults = Faults::new();
        let forgotten = self.forgotten();
        let known = self.ledger.iter().filter(|(.., claim)| !forgotten.contains(claim.as_str()));
        for (job, fence, claim) in known {
            let seen = highest.entry(job).or_default();
            if fence < seen && !self.is_lost(claim) {
                faults.push(format!("{claim} of {job} wrote after {seen}, and its node was not lost"));
            }
            *seen = (*seen).max(*fence);
        }
        faults
    }
}
