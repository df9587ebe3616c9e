//! Stored runs: listed, cancelled, replayed, edited, removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::handle::Client;
use crate::error::{During, Error, Result};
use crate::job::ExecutionId;
use crate::run::{RunId, RunLog};
use crate::store::*;
use crate::watch::Event;

/// Stored runs.
impl Client {
    /// A page of the runs that are stored: those that wait, are held or run, and those that have ended and are kept. A store in memory
    /// lists runs in the order of their ids. Redis lists runs that have not ended in no order; if many runs are removed meanwhile,
    /// Redis may list a run twice. A query for [ended runs](RunQuery::dead) lists the latest first, in every store.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn runs(&self, query: RunQuery) -> Result<Page<RunStatus, RunCursor>> {
        self.store().runs(self.as_of_now(query)).await.during("runs")
    }

    /// All stored runs that match, each once: ended runs with the latest first, all others in the order of their ids. The store is
    /// asked for page after page; a limit stands for all of them.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// use scheduler_core::store::RunQuery;
    ///
    /// # async fn look(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// for dead in scheduler.all_runs(RunQuery::dead()).await? {
    ///     println!("{} of `{}` is dead: {:?}", dead.id, dead.job, dead.last_error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn all_runs(&self, query: RunQuery) -> Result<Vec<RunStatus>> {
        self.store().all_runs(self.as_of_now(query)).await.during("runs")
    }

    /// The last lines that a run has logged, over all of its attempts, if its job [logs](crate::job::JobDetailBuilder::log); none if nothing
    /// is stored of the run. Up to a second old. The log is removed with the run, which leaves nothing once it has succeeded unless it is
    /// [kept](super::Enqueue::keep). Of an occurrence of a trigger, the first attempt shows its log while it runs.
    ///
    /// ```
    /// # use scheduler_core::Client;
    /// # use scheduler_core::run::RunId;
    /// # async fn look(client: Client, dead: RunId) -> scheduler_core::Result<()> {
    /// for line in client.run_log(dead).await?.iter().flat_map(|log| &log.lines) {
    ///     println!("{line}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn run_log(&self, run: RunId) -> Result<Option<Arc<RunLog>>> {
        let query = RunQuery::one(run).with_log();
        let found = self.store().all_runs(query).await.during("run_log")?.pop();
        if found.is_some() {
            return Ok(found.and_then(|run| run.log));
        }
        // The first attempt of an occurrence has no run of its own yet.
        let first = Executions::One(ExecutionId::new(run.sender(), run.count()));
        let found = self.store().executions(first).await.during("run_log")?.pop();
        Ok(found.and_then(|execution| execution.log))
    }

    /// Cancels a run. A run that waits has ended with that; one that a node runs is asked to stop, and is not attempted again. Says
    /// whether there was anything to cancel.
    ///
    /// # Errors
    ///
    /// The store has failed, or the scheduler is shut down.
    pub async fn cancel_run(&self, run: RunId) -> Result<bool> {
        self.change_one(run, RunChange::Cancel.into()).await.map(RunChanged::is_done).during("cancel_run")
    }

    /// Runs an ended run again, under the same id and with the number of its attempts back at zero. Says whether it had ended.
    ///
    /// # Errors
    ///
    /// The store has failed, or the scheduler is shut down.
    pub async fn replay(&self, run: RunId) -> Result<bool> {
        self.change_one(run, RunChange::replay().into()).await.map(RunChanged::is_done).during("replay")
    }

    /// Changes a stored run: cancels, replays, edits, holds, releases or deletes it. The answer says why nothing has changed, if so.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// use scheduler_core::run::RunId;
    /// use scheduler_core::store::{RunChange, RunEdit};
    ///
    /// # async fn mend(scheduler: Scheduler, dead: RunId) -> scheduler_core::Result<()> {
    /// let edit = RunEdit::new().queue("slow").priority(9);
    /// let changed = scheduler.change_run(dead, RunChange::edit(edit)).await?;
    /// if !changed.is_done() {
    ///     println!("{dead} was not edited: {changed}");
    /// }
    /// scheduler.change_run(dead, RunChange::replay().by("ada").because("the address was wrong")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With new data, the key, the limits, the fair key and the sequence of the run are made anew, as far as the job has made them of the
    /// argument, and those of the call that has enqueued the run stay. A run that waits behind another one of its key keeps its key. All
    /// of that is known only where the job is registered: a [`Client`] of its own leaves them as they are.
    ///
    /// # Errors
    ///
    /// The store has failed, or the scheduler is shut down. The retry policy of an edit makes no sense. Where the client is that of a
    /// scheduler: the function of the job is registered there and cannot read its argument from the new data.
    pub async fn change_run(&self, run: RunId, change: impl Into<NotedChange>) -> Result<RunChanged> {
        self.change_one(run, change.into()).await.during("change_run")
    }

    /// The same query, which counts runs as expired whose time is over.
    pub(super) fn as_of_now(&self, query: RunQuery) -> RunQuery {
        let now = query.now.unwrap_or_else(|| self.now());
        query.as_of(now)
    }

    async fn change_one(&self, run: RunId, change: NotedChange) -> Result<RunChanged> {
        self.check_change(&change)?;
        let mut terms = BTreeMap::new();
        if matches!(&change.change, RunChange::Edit(edit) if edit.data.is_some()) {
            let found = self.store().all_runs(RunQuery::one(run)).await?;
            terms = self.terms_of(&found, &change.change).await?;
        }
        let request = ChangeRuns { terms, ..ChangeRuns::new(vec![run], change, self.now()) };
        let changed = self.change_part(request).await?;
        Ok(changed.first().copied().unwrap_or(RunChanged::Unknown))
    }

    /// Changes all stored runs that match, page after page, and says how many. The limit of the query stands for all of them. A run that
    /// is in another state by the time of the change than the query asks for is left alone.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// use std::time::Duration;
    ///
    /// use scheduler_core::store::{RunChange, RunQuery};
    ///
    /// # async fn mend(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// // The mail server is back: ten letters a second, so that it stays there.
    /// let refused = RunQuery::dead().of_job("send".parse()?).with_error("connection refused");
    /// let done = scheduler.change_runs(refused, RunChange::replay_every(Duration::from_millis(100))).await?;
    /// println!("{} letters are sent again", done.changed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`change_run`](Self::change_run). Runs of earlier pages are changed then.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the runs of some pages are changed. A repeated call changes the others, except that a repeated edit changes
    /// all of them.
    pub async fn change_runs(&self, query: RunQuery, change: impl Into<NotedChange>) -> Result<RunsChanged> {
        self.change_all(query, change.into()).await.during("change_runs")
    }

    async fn change_all(&self, mut query: RunQuery, change: NotedChange) -> Result<RunsChanged> {
        self.check_change(&change)?;
        let (mut done, begin) = (RunsChanged::default(), self.now());
        if query.ids.is_empty() {
            self.change_pages(query, &change, begin, &mut done).await?;
            return Ok(done);
        }
        let mut ids = std::mem::take(&mut query.ids);
        ids.sort_unstable();
        ids.dedup();
        // Each part fits on one page, so the store looks at each run once.
        for part in ids.chunks(MAX_PAGE_SIZE) {
            let looked_at = done.changed + done.refused;
            let limit = query.limit.map(|most| most.saturating_sub(looked_at));
            let part = RunQuery { ids: part.to_vec(), limit, ..query.clone() };
            self.change_pages(part, &change, begin, &mut done).await?;
        }
        Ok(done)
    }

    async fn change_pages(
        &self,
        mut query: RunQuery,
        change: &NotedChange,
        begin: DateTime<Utc>,
        done: &mut RunsChanged,
    ) -> Result<()> {
        let mut left = query.limit;
        while left != Some(0) {
            query.limit = Some(left.map_or(MAX_PAGE_SIZE, |left| left.min(MAX_PAGE_SIZE)));
            let page = self.store().runs(self.as_of_now(query.clone())).await?;
            let terms = self.terms_of(&page.items, &change.change).await?;
            let runs: Vec<_> = page.items.iter().map(|run| run.id).collect();
            left = left.map(|left| left - runs.len().min(left));
            if !runs.is_empty() {
                let part = change.behind(done.changed + done.refused, begin);
                let request = ChangeRuns { terms, ..ChangeRuns::new(runs, part, self.now()).only(&query) };
                let changed = self.change_part(request).await?;
                let refused = changed.iter().filter(|changed| !changed.is_done()).count();
                done.refused += refused;
                done.changed += changed.len() - refused;
            }
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn change_part(&self, request: ChangeRuns) -> Result<Vec<RunChanged>> {
        let told =
            self.is_heard().then(|| (request.runs.clone(), request.author.clone(), request.reason.clone()));
        let change = request.change.name();
        let changed = self.open()?.change_runs(request).await?;
        if let Some((runs, author, reason)) = told {
            let done = runs.into_iter().zip(&changed).filter(|(_, changed)| changed.is_done());
            let runs: Vec<_> = done.map(|(run, _)| run).collect();
            if !runs.is_empty() {
                self.tell(|| Event::RunsChanged { change, runs, author, reason });
            }
        }
        Ok(changed)
    }

    fn check_change(&self, change: &NotedChange) -> Result<()> {
        if let Some(problem) = change.problem() {
            return Err(Error::config(problem));
        }
        let RunChange::Edit(edit) = &change.change else { return Ok(()) };
        let policy = edit.retry.as_ref().and_then(Option::as_ref);
        policy
            .map_or(Ok(()), |policy| policy.checked().map(drop))
            .map_err(|problem| Error::config(problem.to_string()))
    }
}
