//! Which limits, and which runs of its fair key, keep a run from beginning.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use super::handle::Client;
use crate::error::Result;
use crate::run::RunState;
use crate::store::*;

impl Client {
    /// The limits at which a run finds no room, and how much it needs of each.
    pub(super) async fn full_limits(&self, run: &RunStatus) -> Result<Vec<(LimitStatus, u32)>> {
        if run.limits.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let query =
            LimitQuery { gates: run.limits.iter().map(RunLimit::gate).collect(), ..LimitQuery::default() };
        let found = self.store().limits(query, now).await?.items;
        let full = found.into_iter().zip(&run.limits).filter_map(|(mut limit, of_run)| {
            // Other runs may have been enqueued with another cap.
            limit.cap = Some(limit.overridden.as_ref().map_or(of_run.cap, |set| set.cap));
            let weight = of_run.weight;
            limit.is_full(weight).then_some((limit, weight))
        });
        Ok(full.collect())
    }

    /// How many other runs of the fair key of this one come first; none if none does. One page of the runs that wait is looked at.
    pub(super) async fn before_in_key(&self, run: &RunStatus) -> Result<Option<(Arc<str>, usize)>> {
        let now = self.now();
        let Some(key) = run.fair.as_ref().filter(|_| run.due <= now) else { return Ok(None) };
        let queue = Some(run.queue.clone());
        let limit = Some(MAX_PAGE_SIZE);
        let query = RunQuery { queue, limit, ..RunQuery::default().in_state(RunState::Waiting) };
        let waiting = self.store().runs(self.as_of_now(query)).await?.items;
        let place = |run: &RunStatus| (run.due, Reverse(run.priority), run.id);
        let comes_first = |other: &&RunStatus| {
            other.fair.as_ref() == Some(key) && other.job_type == run.job_type && place(other) < place(run)
        };
        let before = waiting.iter().filter(comes_first).count();
        Ok((before > 0).then(|| (key.clone(), before)))
    }
}

/// In words: how many runs of its key come first.
pub(super) fn describe_turn(key: &str, before: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let runs = if before == 1 { "run" } else { "runs" };
    write!(
        f,
        "{before} {runs} of its fair key `{key}` come first; of each key of the queue one run begins in each round"
    )
}

/// In words: what is used, by whom, and when it opens.
pub(super) fn describe(limit: &LimitStatus, weight: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (gate, used, cap) = (limit.gate(), limit.used, limit.cap.unwrap_or_default());
    write!(f, "limit `{gate}` has no room: {used} of {cap} are used")?;
    if weight > 1 {
        write!(f, ", and the run needs {weight}")?;
    }
    if let Some(set) = &limit.overridden {
        write!(f, "; the cap was set to {set}")?;
    }
    if let Some(opens) = limit.opens {
        write!(f, "; it opens at {opens}")?;
    }
    if let Some(first) = limit.holders.first() {
        match first.execution {
            Some(execution) => {
                write!(f, "; {execution} of job `{}` has it since {}", first.job, first.since)?;
            }
            None => write!(f, "; run {} of job `{}` has it since {}", first.run, first.job, first.since)?,
        }
        match limit.holders.len() {
            1 => {}
            many => write!(f, ", and {} others have it", many - 1)?,
        }
    }
    Ok(())
}
