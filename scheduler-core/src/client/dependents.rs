//! Runs that wait for other runs.

use super::enqueuing::Enqueue;
use super::explain::Obstacle;
use super::handle::Client;
use crate::error::Result;
use crate::run::{Condition, Edge, RunId};
use crate::store::*;

impl<'a, T> Enqueue<'a, T> {
    /// Holds the run until this one has succeeded. Several parents can be named, one call for each; the run is let go when the last of them
    /// has succeeded. If one ends in another way, the run is cancelled. It is held again if that parent is replayed.
    ///
    /// The due time of the run is then the end of its last parent, if that is later than the time asked for. A [`delay`](Self::delay)
    /// counts from there, and so does an [expiry](Self::expires). The [key](Self::unique) of the run is taken from the call on.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::run::Condition;
    /// # #[job] async fn import(month: u32) {}
    /// # #[job] async fn report(month: u32) {}
    /// # #[job] async fn clean_up() {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// let import = scheduler.enqueue(import::with(7)).await?;
    /// scheduler.enqueue(report::with(7)).after(import).await?;
    /// scheduler.enqueue(clean_up::with()).after_on(Condition::Any, import).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The parent is not stored: it has ended and was not kept, or never was stored. A run that has succeeded is not kept, so enqueue a
    /// parent and its child in one call, with [`then`](Self::then), unless the parent is sure to be under way.
    pub fn after(self, parent: RunId) -> Self {
        self.after_on(Condition::Success, parent)
    }

    /// As [`after`](Self::after), for another end of the parent. A run waits for at most 100 others; for more of them there are
    /// [batches](Client::batch).
    pub fn after_on(mut self, on: Condition, parent: RunId) -> Self {
        self.options.after.push(Edge::new(parent, on));
        self
    }

    /// Stores both runs in one step, and holds the second one until the first has succeeded. The call gives the id of the last run.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # #[job] async fn fetch(url: String) {}
    /// # #[job] async fn parse(url: String) {}
    /// # #[job] async fn index() {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// let url = "https://example.org".to_owned();
    /// let fetch = scheduler.enqueue(fetch::with(url.clone()));
    /// let index = fetch.then(scheduler.enqueue(parse::with(url))).then(scheduler.enqueue(index::with())).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn then<U>(self, next: Enqueue<'a, U>) -> Enqueue<'a, U> {
        self.then_on(Condition::Success, next)
    }

    /// As [`then`](Self::then), for another end of the first run.
    pub fn then_on<U>(mut self, on: Condition, mut next: Enqueue<'a, U>) -> Enqueue<'a, U> {
        let id = *self.options.id.get_or_insert_with(|| self.client.new_run());
        let mut earlier = std::mem::take(&mut self.earlier);
        earlier.push(self.untyped());
        earlier.append(&mut next.earlier);
        next = next.after_on(on, id);
        next.earlier = earlier;
        next
    }
}

impl Client {
    /// The parents for which a held run waits.
    pub(super) async fn parents_of(&self, run: &RunStatus) -> Result<Vec<Obstacle>> {
        let query =
            RunQuery { ids: run.parents.iter().map(|edge| edge.parent).collect(), ..RunQuery::default() };
        if query.ids.is_empty() {
            return Ok(Vec::new());
        }
        let known = self.store().all_runs(self.as_of_now(query)).await?;
        let state = |parent| known.iter().find(|known| known.id == parent).map(|known| known.state);
        let obstacle =
            |edge: &Edge| Obstacle::Parent { run: edge.parent, on: edge.on, state: state(edge.parent) };
        Ok(run.parents.iter().map(obstacle).collect())
    }
}
