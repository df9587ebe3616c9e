//! Runs that must have ended by a moment of the monotonic clock.

use std::collections::BTreeSet;
use std::time::Duration;

use foldhash::HashMap;

use crate::job::ExecutionId;

/// When a run has taken too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline {
    pub(super) at: Duration,
    pub(super) run: ExecutionId,
    /// It was asked to stop and had its time to do so.
    pub(super) asked: bool,
}

/// One for each run that has one, in their order.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    all: BTreeSet<Deadline>,
    of_run: HashMap<ExecutionId, Deadline>,
}

impl Deadlines {
    /// In place of an earlier one.
    pub(super) fn set(&mut self, deadline: Deadline) {
        if let Some(earlier) = self.of_run.insert(deadline.run, deadline) {
            self.all.remove(&earlier);
        }
        self.all.insert(deadline);
    }

    pub(super) fn remove(&mut self, run: ExecutionId) {
        if let Some(deadline) = self.of_run.remove(&run) {
            self.all.remove(&deadline);
        }
    }

    /// The first that is over at this moment.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Deadline> {
        self.first().filter(|at| *at <= now)?;
        let deadline = self.all.pop_first()?;
        self.of_run.remove(&deadline.run);
        Some(deadline)
    }

    /// The moment of the first.
    pub(super) fn first(&self) -> Option<Duration> {
        self.all.first().map(|deadline| deadline.at)
    }
}
