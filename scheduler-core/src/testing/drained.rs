//! What has become of the work that a test has let run.

use super::recorder::Fired;
use crate::job::Outcome;
use crate::run::RunEnd;

/// How attempts and runs have ended up to the end of a [`drain`](super::Stage::drain), since the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Attempts that have succeeded.
    pub succeeded: usize,
    /// Attempts that have failed, panicked or taken too long. Each may have been followed by a retry.
    pub failed: usize,
    /// Attempts that have ended with [`JobError::discard`](crate::job::JobError::discard), and those that a listener has refused.
    pub discarded: usize,
    /// Attempts that have asked to run later, and do not count.
    pub snoozed: usize,
    /// Attempts that were cancelled.
    pub cancelled: usize,
    /// Runs of which no retry is left.
    pub dead: usize,
    /// Runs that have expired.
    pub expired: usize,
    /// Runs whose place another one has taken.
    pub superseded: usize,
}

impl Drained {
    /// The attempts that were noted, and how many runs there are of each end before and after.
    pub(super) fn of(attempts: &[Fired], before: &[(RunEnd, usize)], after: &[(RunEnd, usize)]) -> Self {
        let mut drained = Self::default();
        for outcome in attempts.iter().filter_map(|fired| fired.outcome.as_ref()) {
            let count = match outcome {
                Outcome::Succeeded => &mut drained.succeeded,
                Outcome::Discarded(_) | Outcome::Vetoed => &mut drained.discarded,
                Outcome::Snoozed(_) | Outcome::Throttled { .. } => &mut drained.snoozed,
                Outcome::Cancelled => &mut drained.cancelled,
                Outcome::Failed(_) | Outcome::Panicked(_) | Outcome::TimedOut => &mut drained.failed,
            };
            *count += 1;
        }
        let of = |all: &[(RunEnd, usize)], end| {
            all.iter().find(|(known, _)| *known == end).map_or(0, |(_, many)| *many)
        };
        let more = |end| of(after, end).saturating_sub(of(before, end));
        (drained.dead, drained.expired) = (more(RunEnd::Dead), more(RunEnd::Expired));
        drained.superseded = more(RunEnd::Superseded);
        drained
    }
}
