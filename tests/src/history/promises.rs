//! Runs as their sender knows them: what was promised, and whether the attempts keep to it.

use std::collections::{BTreeMap, HashMap};

use scheduler_core::run::RunId;

use super::{Faults, History, Line, ROUNDED, Window, time};
use crate::workload::{self, RETRY_AFTER};

/// A run that was enqueued, as its sender knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The run. The sender has made its id.
    pub run: RunId,
    /// When it is due, in milliseconds.
    pub due: i64,
    /// The calls that stored it: when each was sent, and when it was answered or had failed.
    pub calls: Vec<Window>,
    /// Whether the last of the calls was answered.
    pub is_answered: bool,
    /// Whether the sender has asked to cancel it.
    pub is_cancelled: bool,
    /// The runs that have to end before it begins.
    pub after: Vec<RunId>,
}

impl History {
    pub(super) fn promised(&self) -> HashMap<RunId, &Promise> {
        self.promises.iter().map(|promise| (promise.run, promise)).collect()
    }

    /// What is stored after the end of a run of the same id is another run: the store does not remember runs that are over. A call
    /// that is over before the run is due cannot come after its end.
    /// So can an attempt of which only a server knew that was replaced, and of which the next one is told late.
    pub(super) fn most_lives(&self, promise: &Promise, told: u32) -> usize {
        let is_late = |call: &&Window| call.end + ROUNDED + self.ahead(call.end) >= promise.due;
        1 + promise.calls.iter().skip(1).filter(is_late).count() + told as usize
    }

    /// Whether a server that was replaced may have taken the run with it after it was stored.
    pub(super) fn may_be_forgotten(&self, promise: &Promise) -> bool {
        let is_in = |call: &Window| {
            self.replaced.iter().any(|window| window.begin <= call.end && call.begin <= window.end)
        };
        promise.calls.iter().any(is_in)
    }

    /// No attempt begins before its run is due, and no retry before its backoff has passed.
    #[must_use]
    pub fn attempts_are_as_promised(&self) -> Faults {
        let mut by_run = BTreeMap::<RunId, Vec<&Line>>::new();
        for line in &self.lines {
            if let Ok(run) = line.trigger.parse() {
                by_run.entry(run).or_default().push(line);
            }
        }
        let is_early = |promise: &&Promise| {
            let lines = by_run.get(&promise.run).into_iter().flatten();
            lines.filter(|line| line.begins).any(|line| line.at + ROUNDED + self.ahead(line.at) < promise.due)
        };
        let early = self.promises.iter().filter(is_early);
        let early = early.map(|promise| format!("early: run {} before {}", promise.run, time(promise.due)));
        let retries = by_run.iter().filter(|(run, _)| workload::kind_of(**run).is_some());
        early.chain(retries.flat_map(|(run, lines)| self.early_retries(*run, lines))).collect()
    }

    /// The end of a failed attempt may be lost with its node; then the next one begins at once.
    fn early_retries(&self, run: RunId, lines: &[&Line]) -> Faults {
        let is_heard = |line: &&&Line| !self.is_lost(&line.claim) && !self.refused.contains(&line.claim);
        let failed = lines.iter().filter(|line| line.fails).filter(is_heard);
        let early = failed.filter_map(|failed| {
            let is_next =
                |line: &&&Line| line.begins && line.attempt == failed.attempt + 1 && line.at >= failed.at;
            let next = lines.iter().filter(is_next).min_by_key(|line| line.at)?;
            // The delays of runs are spread by a fifth.
            let least = i64::try_from(RETRY_AFTER.as_millis()).unwrap_or_default() * 4 / 5;
            let waited = next.at - failed.at + ROUNDED + self.skew(failed.at, next.at);
            (waited < least).then(|| {
                format!(
                    "retried early: run {run} at {}, after a failure at {}",
                    time(next.at),
                    time(failed.at)
                )
            })
        });
        early.collect()
    }

    /// By how much the server's clock may have gone forward beside the machine's between two times.
    fn skew(&self, from: i64, to: i64) -> i64 {
        let set = self.clocks.iter().filter(|(window, _)| window.begin <= to && from <= window.end);
        set.map(|(_, ahead)| ahead.abs()).max().unwrap_or_default()
    }
}
