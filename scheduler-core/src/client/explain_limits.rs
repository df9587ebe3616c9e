//! Which limits keep a run from beginning.

use std::fmt;

use super::handle::Client;
use crate::error::Result;
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
