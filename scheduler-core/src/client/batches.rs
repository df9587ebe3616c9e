//! Batches: runs that are followed together.

use std::fmt;
use std::time::Duration;

use super::enqueue_outcome::EnqueueOutcome;
use super::enqueuing::Enqueue;
use super::gates::OwnGates;
use super::handle::Client;
use super::unique::Prepared;
use crate::data::JobData;
use crate::error::{During, Error, Result};
use crate::job::{Delay, IntoInvocation, Invocation, JobDetail};
use crate::key::JobKey;
use crate::run::{Condition, Edge, RunId};
use crate::store::batches::{InBatch, NewBatch};
use crate::store::*;

/// The group of the names of batches, and the type that is shown for them.
const GROUP: &str = "batch";

/// A batch that is about to be opened. See [`Client::batch`].
#[must_use = "nothing is stored until `open` or `run` is awaited"]
#[derive(Debug, Clone)]
pub struct BatchBuilder<'a> {
    client: &'a Client,
    name: String,
    id: Option<RunId>,
    outer: Option<InBatch>,
    callbacks: Vec<(Condition, Invocation)>,
    stops_on_death: bool,
    open_for: Option<Duration>,
    is_held: bool,
}

impl BatchBuilder<'_> {
    fn callback(mut self, on: Condition, job: impl IntoInvocation) -> Self {
        self.callbacks.push((on, job.into_invocation()));
        self
    }

    /// Runs this job once all runs of the batch have succeeded. Runs that were skipped, since their keys are taken, do not count against
    /// it. If it has not run yet, and a dead run is replayed and succeeds, it runs then.
    pub fn on_success(self, job: impl IntoInvocation) -> Self {
        self.callback(Condition::Success, job)
    }

    /// Runs this job once all runs of the batch have ended, however they did. It does not run again after a replay.
    pub fn on_complete(self, job: impl IntoInvocation) -> Self {
        self.callback(Condition::Any, job)
    }

    /// Runs this job once the first run of the batch is dead, while the others go on.
    pub fn on_death(mut self, job: impl IntoInvocation) -> Self {
        self.callbacks.retain(|(on, _)| *on != Condition::Death);
        self.callback(Condition::Death, job)
    }

    /// An id of the caller, such as that of a [key](RunId::from_key): a repeated call opens the same batch. Default: an id that no other
    /// batch has.
    pub fn id(self, id: RunId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// The batch is one of the runs of this batch, at most eight levels deep.
    pub fn inside(self, outer: &Batch) -> Self {
        Self { outer: Some(InBatch::member(outer.id, outer.by)), ..self }
    }

    /// Cancels the batch once the first of its runs is dead. The batch ends as [incomplete](crate::run::RunEnd::Incomplete) then, when the
    /// runs that are under way have ended. Default: the other runs go on.
    pub fn stop_on_death(self) -> Self {
        Self { stops_on_death: true, ..self }
    }

    /// Holds the runs of the batch until it is [sealed](Batch::seal), so that nothing is done if the caller fails before that. Runs of
    /// batches [inside](Self::inside) this one wait, too. Default: each run begins as soon as it is stored.
    pub fn held(self) -> Self {
        Self { is_held: true, ..self }
    }

    /// Cancels the batch if nobody has sealed it so long after this call, such as when its caller was killed. Default: it stays open.
    pub fn open_for(self, open_for: Duration) -> Self {
        Self { open_for: Some(open_for), ..self }
    }

    /// Opens the batch. It ends once it is [sealed](Batch::seal) and all its runs have ended.
    ///
    /// # Errors
    ///
    /// The store has failed, a callback cannot be enqueued, or the outer batch takes no more runs.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the batch may or may not be open. With an [id](Self::id) the call can be repeated.
    pub async fn open(self) -> Result<Batch> {
        self.store().await.during("batch")
    }

    /// Opens the batch, adds these runs, and seals it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`Batch::add_all`]. The batch stays open then, with what was added.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the batch may be open, with some of the runs; a store adds more than 500 in parts.
    pub async fn run(self, jobs: impl IntoIterator<Item = impl IntoInvocation>) -> Result<Batch> {
        let batch = self.open().await?;
        batch.add_all(jobs).await?;
        batch.seal().await?;
        Ok(batch)
    }

    async fn store(self) -> Result<Batch> {
        let (client, given) = (self.client, self.id);
        client.open()?;
        if let Some(id) = given {
            // A callback that has run left nothing, and must not run again.
            let known = client.batch_of(id);
            if known.status().await?.is_some() {
                return Ok(known);
            }
        }
        let id = given.unwrap_or_else(|| client.new_run());
        let (mut runs, callbacks) = self.prepare(id).await?;
        runs.extend(callbacks);
        client.store_runs(runs).await?;
        Ok(client.batch_of(id))
    }

    /// So many runs are stored when it is opened, if it is not [held](Self::held).
    pub(super) fn size(&self) -> usize {
        1 + self.callbacks.len()
    }

    /// The batch, behind what its runs wait for, and the runs that tell of it.
    pub(super) async fn prepare(self, id: RunId) -> Result<(Vec<Prepared>, Vec<Prepared>)> {
        let Self { client, name, outer, callbacks, stops_on_death, open_for, is_held, .. } = self;
        let mut told = Vec::with_capacity(callbacks.len());
        let mut opens = NewBatch::new(None);
        for (place, (on, job)) in callbacks.into_iter().enumerate() {
            let mut run = client.prepared(job, JobData::new(), None, OwnGates::default(), None).await?;
            // A second call makes the same run.
            run.new.id = RunId::from_key(&format!("{id} {place} {on}"));
            run.new.after.push(Edge::new(id, on));
            run.new.batch = Some(InBatch::callback(id));
            run.refuse_to_replace()?;
            opens.on_death = opens.on_death.or((on == Condition::Death).then_some(run.new.id));
            told.push(run);
        }
        let mut runs = Vec::new();
        if is_held {
            let start = RunId::from_key(&format!("{id} start"));
            runs.push(client.batch_row(start, &format!("{name} start"), NewBatch::new(None))?);
            opens.start = Some(start);
        }
        opens.stops_on_death = stops_on_death;
        opens.open_until = open_for.map(|open_for| Delay::For(open_for).from(client.now()));
        let mut batch = client.batch_row(id, &name, opens)?;
        batch.new.batch = outer;
        runs.push(batch);
        Ok((runs, told))
    }
}

/// A batch: runs that are followed together, and what follows from them.
///
/// Cloning gives the same batch. The methods of a handle that is made of an id do nothing before they are awaited, so whether there is
/// such a batch is found out then.
#[derive(Clone)]
pub struct Batch {
    client: Client,
    id: RunId,
    /// The run of the batch that has this handle.
    by: Option<RunId>,
}

impl Batch {
    /// Its id. A batch is stored as a run that no node ever claims, so a run can wait for it by [`Enqueue::after`], and
    /// [`explain_run`](Client::explain_run) knows it.
    pub const fn id(&self) -> RunId {
        self.id
    }

    /// A run of the batch, to be stored with options of its own.
    ///
    /// # Errors
    ///
    /// When it is awaited: the batch has ended, was cancelled, or is sealed and the handle is not that of one of its runs; otherwise as
    /// [`enqueue`](Client::enqueue).
    pub fn add<J: IntoInvocation>(&self, job: J) -> Enqueue<'_, J::Output> {
        self.client.enqueue(job).in_batch(self.member())
    }

    /// Adds a run for each job; a store may do more than 500 in parts. Returns their ids, in order.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add). Nothing of the part is stored then.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, some parts may be stored.
    pub async fn add_all(&self, jobs: impl IntoIterator<Item = impl IntoInvocation>) -> Result<Vec<RunId>> {
        let jobs: Vec<_> = jobs.into_iter().map(IntoInvocation::into_invocation).collect();
        let outcomes = self.client.store_all(jobs, Some(self.member())).await.during("add_all")?;
        Ok(outcomes.into_iter().map(EnqueueOutcome::run).collect())
    }

    const fn member(&self) -> InBatch {
        InBatch::member(self.id, self.by)
    }

    /// Nobody but its own runs adds to the batch from now on, and it ends when nothing is pending: at once, with success, if it is empty.
    /// Sealing twice changes nothing.
    ///
    /// # Errors
    ///
    /// The batch is not stored, or the store has failed.
    pub async fn seal(&self) -> Result<()> {
        self.change(RunChange::Seal).await.during("seal")
    }

    /// Cancels the batch: it takes no more runs, runs that wait are cancelled part by part, and runs that are under way are asked to stop.
    /// When all have ended, the batch has, too.
    ///
    /// # Errors
    ///
    /// The batch is not stored, or the store has failed.
    pub async fn cancel(&self) -> Result<()> {
        self.change(RunChange::Cancel).await.during("cancel")
    }

    async fn change(&self, change: RunChange) -> Result<()> {
        match self.client.change_run(self.id, change).await? {
            // A batch that has ended is sealed.
            RunChanged::Done | RunChanged::Refused(crate::run::RunState::Ended) => Ok(()),
            other => Err(Error::not_found(format!("there is no batch {}: {other}", self.id))),
        }
    }

    /// The batch as it is stored: its end, if it has ended, and its [counters](RunStatus::batch). None if it is not stored. An ended batch
    /// is kept for seven days.
    ///
    /// # Errors
    ///
    /// The store has failed.
    pub async fn status(&self) -> Result<Option<RunStatus>> {
        Ok(self.client.all_runs(RunQuery::one(self.id)).await?.pop())
    }

    /// As one of its runs has it.
    pub(crate) fn of_run(client: Client, id: RunId, by: RunId) -> Self {
        Self { client, id, by: Some(by) }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("id", &self.id).field("by", &self.by).finish_non_exhaustive()
    }
}

/// Batches.
impl Client {
    /// A batch of this name: runs that are added together or one after the other, and jobs that run when they have ended.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # #[job] async fn send(to: String) {}
    /// # #[job] async fn report(issue: u32) {}
    /// # #[job] async fn alarm() {}
    /// # async fn all(scheduler: Scheduler, readers: Vec<String>) -> scheduler_core::Result<()> {
    /// let batch = scheduler.batch("newsletter").on_success(report::with(42)).on_death(alarm::with()).open().await?;
    /// for page in readers.chunks(500) {
    ///     batch.add_all(page.iter().cloned().map(send::with)).await?;
    /// }
    /// batch.seal().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch(&self, name: impl Into<String>) -> BatchBuilder<'_> {
        BatchBuilder {
            client: self,
            name: name.into(),
            id: None,
            outer: None,
            callbacks: Vec::new(),
            stops_on_death: false,
            open_for: None,
            is_held: false,
        }
    }

    /// A batch as it is to be stored.
    pub(super) fn batch_row(&self, id: RunId, name: &str, opens: NewBatch) -> Result<Prepared> {
        let key = JobKey::in_group(GROUP, name)
            .map_err(|error| Error::config(format!("`{name}` cannot be the name of a batch: {error}")))?;
        let mut new = NewRun::of(id, &JobDetail::builder(key, GROUP).build(), self.now());
        (new.opens, new.now) = (Some(opens), Some(self.now()));
        Ok(Prepared { new, merge: None })
    }

    /// The batch of this id.
    pub fn batch_of(&self, id: RunId) -> Batch {
        Batch { client: self.clone(), id, by: None }
    }
}
