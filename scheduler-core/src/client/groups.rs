//! Dead runs, put together by what they have failed with.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use foldhash::{HashMap, HashMapExt};
use serde::Serialize;

use super::handle::Client;
use crate::error::{During, Result};
use crate::key::JobKey;
use crate::run::{FailureKind, RunId};
use crate::store::{RunQuery, RunStatus};

/// The most characters of an error by which runs are put together.
const MOST: usize = 200;

/// Dead runs of one job that have failed alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeadGroup {
    /// The job.
    pub job: JobKey,
    /// The kind of the last failure; none if no error is known.
    pub kind: Option<FailureKind>,
    /// The first line of the last error, with a `#` in place of each number, so that runs which differ only in an id or a time are
    /// one group.
    pub error: Arc<str>,
    /// The number of runs.
    pub count: usize,
    /// When the first of them ended.
    pub first: DateTime<Utc>,
    /// When the last of them ended.
    pub last: DateTime<Utc>,
    /// One of them: the last that has ended.
    pub example: RunId,
}

/// The first line of an error without its numbers.
fn fingerprint(error: &str) -> Arc<str> {
    let mut text = String::new();
    let mut is_number = false;
    for letter in error.lines().next().unwrap_or_default().trim().chars().take(MOST) {
        if !letter.is_ascii_digit() {
            text.push(letter);
        } else if !is_number {
            text.push('#');
        }
        is_number = letter.is_ascii_digit();
    }
    text.into()
}

/// Puts a run to its group. Runs come with the latest first.
fn add(groups: &mut HashMap<(JobKey, Arc<str>, Option<FailureKind>), DeadGroup>, run: &RunStatus) {
    let Some(ended) = run.ended else { return };
    let kind = run.errors.last().map(|error| error.kind);
    let error = fingerprint(run.last_error.as_deref().unwrap_or_default());
    let group = groups.entry((run.job.clone(), error.clone(), kind)).or_insert_with(|| DeadGroup {
        job: run.job.clone(),
        kind,
        error,
        count: 0,
        first: ended,
        last: ended,
        example: run.id,
    });
    group.count += 1;
    (group.first, group.last) = (group.first.min(ended), group.last.max(ended));
}

impl Client {
    /// The dead runs that match, put together by job, kind of failure and error: what there is to look at after an outage, the largest
    /// group first. The runs are read page by page; a limit of the query is one of runs.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// use scheduler_core::store::RunQuery;
    ///
    /// # async fn look(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// for group in scheduler.dead_groups(RunQuery::dead()).await? {
    ///     println!("{:>6} of `{}` since {}: {}", group.count, group.job, group.first, group.error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn dead_groups(&self, query: RunQuery) -> Result<Vec<DeadGroup>> {
        self.group_dead(query).await.during("dead_groups")
    }

    async fn group_dead(&self, query: RunQuery) -> Result<Vec<DeadGroup>> {
        let (mut groups, mut left) = (HashMap::new(), query.limit.unwrap_or(usize::MAX));
        let mut query = query.that_are(crate::run::RunEnd::Dead);
        loop {
            query.limit = Some(left.min(crate::store::MAX_PAGE_SIZE));
            let page = self.runs(query.clone()).await?;
            page.items.iter().for_each(|run| add(&mut groups, run));
            left = left.saturating_sub(page.items.len());
            query.after = page.next.filter(|_| left > 0);
            if query.after.is_none() {
                break;
            }
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups
            .sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (b.last, &a.error).cmp(&(a.last, &b.error))));
        Ok(groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_only_in_numbers_are_alike() {
        assert_eq!(
            *fingerprint("order 4711 at 10.0.0.7:80 is gone\nbacktrace"),
            *"order # at #.#.#.#:# is gone"
        );
        assert!(fingerprint("").is_empty());
        assert_eq!(fingerprint(&"ä7".repeat(500)).chars().count(), MOST);
    }
}
