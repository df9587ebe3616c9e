//! Runs that have ended and are kept, and when a rule has to look at a run.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::run::{Retention, RunEnd};
use crate::store::rows::{Alarm, Id, Rank, RunRow};

/// The largest number of runs that one step removes.
const PART: usize = 500;

/// The entries of a run in the orders: its rank among the runs of the same end, and its alarm.
pub(super) type Stands = (Option<(RunEnd, Rank)>, Option<DateTime<Utc>>);

/// The order of the ended runs.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) retention: Retention,
    /// By kind of end, in the order of [`RunEnd::ALL`].
    ranks: [BTreeSet<(Rank, Id<RunRow>)>; RunEnd::ALL.len()],
    /// When a rule has to look at a run, ended or not.
    alarms: BTreeSet<(DateTime<Utc>, Id<RunRow>)>,
}

/// The entries of a run.
pub(super) fn stands(row: &RunRow) -> Stands {
    (row.rank(), row.alarm())
}

impl Ended {
    /// The entries of a run have changed. Says whether an alarm comes earlier than all others did before.
    pub(super) fn change(&mut self, id: Id<RunRow>, before: Stands, after: Stands) -> bool {
        if before == after {
            return false;
        }
        if let Some((end, rank)) = before.0 {
            self.ranks[end as usize].remove(&(rank, id));
        }
        if let Some((end, rank)) = after.0 {
            self.ranks[end as usize].insert((rank, id));
        }
        before.1.map(|at| self.alarms.remove(&(at, id)));
        after.1.map(|at| self.alarms.insert((at, id)));
        after.1.is_some() && self.alarms.first().map(|(at, _)| *at) == after.1
    }

    pub(super) fn next_alarm(&self) -> Option<DateTime<Utc>> {
        let has_excess = self.ranks.iter().any(|ranks| ranks.len() > self.retention.most());
        let first = self.alarms.first().map(|(at, _)| *at);
        if has_excess { Some(DateTime::UNIX_EPOCH) } else { first }
    }

    /// Runs that a rule has to look at: their time has come, or there are too many of them.
    pub(super) fn alarms(&self, now: DateTime<Utc>) -> impl Iterator<Item = Alarm> {
        let over = self.alarms.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| Alarm::Run(*id));
        let most = self.retention.most();
        let excess = self.ranks.iter().flat_map(move |ranks| {
            let oldest = ranks.iter().take(ranks.len().saturating_sub(most));
            oldest.map(|(_, id)| Alarm::Excess(*id))
        });
        over.chain(excess).take(PART)
    }

    /// The latest ended runs of these kinds that stand behind the one of this rank.
    pub(super) fn latest(
        &self,
        ends: &[RunEnd],
        behind: Option<Rank>,
        most: usize,
    ) -> Vec<(Rank, Id<RunRow>)> {
        let bound = behind.map_or((Rank::LAST, Id::new(u64::MAX)), |rank| (rank, Id::new(0)));
        let of = |end: &RunEnd| self.ranks[*end as usize].range(..bound).rev().take(most).copied();
        let mut found: Vec<_> = ends.iter().flat_map(of).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(most);
        found
    }
}
