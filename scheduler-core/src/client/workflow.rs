//! Workflows: runs that wait for each other, stored as a whole.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use super::batches::{Batch, BatchBuilder};
use super::enqueuing::{CallOptions, Enqueue};
use super::handle::Client;
use super::results::RunHandle;
use super::unique::Prepared;
use crate::error::{During, Error, Result};
use crate::job::{ArgumentPart, IntoInvocation, Invocation, OutputOr, Outputs, PartialArgument};
use crate::run::{Condition, Edge, RunId};
use crate::store::batches::{InBatch, NewBatch};
use crate::sync::Mutex;

/// So many runs are stored in one transaction. A larger workflow is stored in parts, and its runs are held until all of them are.
const WHOLE: usize = 500;

/// What becomes of a workflow when one of its runs does not succeed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The runs that wait for the success of that run are cancelled, and so are the runs that wait for those. The others go on.
    #[default]
    CancelDependents,
    /// Runs that wait for the success of that run begin all the same, apart from those whose argument is its output.
    Continue,
    /// Once a run of the workflow is dead, all others that have not ended are cancelled, as by
    /// [`stop_on_death`](BatchBuilder::stop_on_death). A run that is discarded or expires cancels what waits for its success.
    CancelAll,
}

/// Runs that wait for each other. [`Client::workflow`] makes one.
///
/// A workflow is a [batch](Client::batch) whose runs are its steps. Nothing is stored before [`start`](Self::start).
#[must_use = "nothing is stored until `start` is awaited"]
pub struct Workflow<'a> {
    builder: BatchBuilder<'a>,
    client: &'a Client,
    id: RunId,
    has_id: bool,
    on_failure: OnFailure,
    plan: Mutex<Vec<Planned>>,
    /// Why it cannot be started.
    problem: Mutex<Option<&'static str>>,
}

/// A run or a batch that is to be stored.
#[derive(Clone)]
struct Planned {
    id: RunId,
    /// The batch that it is in.
    within: RunId,
    name: String,
    /// None for a batch.
    call: Option<(Invocation, CallOptions)>,
}

/// A run of a workflow whose job returns a `T`. It can be copied, and stands for the output of the run where another job wants a `T`:
/// `parse::with_output(page)`.
pub struct WorkflowStep<'f, T = ()> {
    flow: &'f Workflow<'f>,
    id: RunId,
    place: usize,
    output: PhantomData<fn() -> T>,
}

/// A batch inside a workflow. It ends when all of its runs have ended, also those that they add by
/// [`ThisBatch`](crate::scheduler::ThisBatch), so later steps can wait for work of which nobody knows the extent before.
#[derive(Clone, Copy)]
pub struct WorkflowBatch<'f> {
    flow: &'f Workflow<'f>,
    id: RunId,
}

/// Workflows.
impl Client {
    /// A workflow of this name.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::run::Condition;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// struct Page(String);
    ///
    /// #[job(output)]
    /// async fn fetch(url: String) -> Page {
    ///     Page(format!("the text of {url}"))
    /// }
    ///
    /// #[job(output)]
    /// async fn count_words(page: Page) -> usize {
    ///     page.0.split(' ').count()
    /// }
    ///
    /// #[job]
    /// async fn report(words: Vec<usize>) {}
    ///
    /// #[job]
    /// async fn clean_up() {}
    ///
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// let flow = scheduler.workflow("words");
    /// let mut words = Vec::new();
    /// for url in ["https://example.org/a", "https://example.org/b"] {
    ///     let page = flow.add(fetch::with(url.to_owned()));
    ///     words.push(flow.add(count_words::with_output(page)));
    /// }
    /// let report = flow.add(report::with_output(words));
    /// flow.add(clean_up::with()).after_on(Condition::Any, [report.id()]);
    /// let batch = flow.start().await?;
    /// println!("{:?}", batch.status().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn workflow(&self, name: impl Into<String>) -> Workflow<'_> {
        Workflow {
            builder: self.batch(name),
            client: self,
            id: self.new_run(),
            has_id: false,
            on_failure: OnFailure::default(),
            plan: Mutex::new(Vec::new()),
            problem: Mutex::new(None),
        }
    }
}

impl<'a> Workflow<'a> {
    fn map(self, change: impl FnOnce(BatchBuilder<'a>) -> BatchBuilder<'a>) -> Self {
        Self { builder: change(self.builder), ..self }
    }

    /// Runs this job once all runs of the workflow have succeeded. See [`BatchBuilder::on_success`].
    pub fn on_success(self, job: impl IntoInvocation) -> Self {
        self.map(|batch| batch.on_success(job))
    }

    /// Runs this job once all runs of the workflow have ended. See [`BatchBuilder::on_complete`].
    pub fn on_complete(self, job: impl IntoInvocation) -> Self {
        self.map(|batch| batch.on_complete(job))
    }

    /// Runs this job once the first run of the workflow is dead. See [`BatchBuilder::on_death`].
    pub fn on_death(self, job: impl IntoInvocation) -> Self {
        self.map(|batch| batch.on_death(job))
    }

    /// The workflow is one of the runs of this batch. See [`BatchBuilder::inside`].
    pub fn inside(self, outer: &Batch) -> Self {
        self.map(|batch| batch.inside(outer))
    }

    /// What becomes of the workflow when one of its runs does not succeed. Default: [`OnFailure::CancelDependents`].
    pub fn on_failure(self, on_failure: OnFailure) -> Self {
        Self { on_failure, ..self }
    }

    /// An id of the caller, such as that of a [key](RunId::from_key): a repeated call starts the same workflow. It has to be given before the
    /// first step, since the ids of steps are made of it; otherwise [`start`](Self::start) is an error. Default: an id that no other workflow
    /// has.
    pub fn id(self, id: RunId) -> Self {
        if !self.plan.lock().is_empty() {
            self.refuse("its id is given after its first step; call `id` before `add`");
        }
        Self { id, has_id: true, ..self }
    }

    fn refuse(&self, problem: &'static str) {
        self.problem.lock().get_or_insert(problem);
    }

    /// A run of this job. It begins when the workflow is started, or once the runs have succeeded whose
    /// [outputs](crate::job::Outputs) it takes, and those that it is [after](WorkflowStep::after).
    pub fn add<J: IntoInvocation>(&self, job: J) -> WorkflowStep<'_, J::Output> {
        self.step(self.id, job.into_invocation())
    }

    /// A batch inside the workflow.
    pub fn batch(&self, name: impl Into<String>) -> WorkflowBatch<'_> {
        self.part(self.id, name.into())
    }

    fn step<T>(&self, within: RunId, job: Invocation) -> WorkflowStep<'_, T> {
        let name = job.key().to_string();
        let (id, place) = self.planned(within, name, Some((job, CallOptions::default())));
        WorkflowStep { flow: self, id, place, output: PhantomData }
    }

    fn part(&self, within: RunId, name: String) -> WorkflowBatch<'_> {
        let (id, _) = self.planned(within, name, None);
        WorkflowBatch { flow: self, id }
    }

    fn planned(
        &self,
        within: RunId,
        name: String,
        call: Option<(Invocation, CallOptions)>,
    ) -> (RunId, usize) {
        let mut plan = self.plan.lock();
        let place = plan.len();
        let id = match self.has_id {
            true => RunId::from_key(&format!("{} step {place}", self.id)),
            false => self.client.new_run(),
        };
        plan.push(Planned { id, within, name, call });
        (id, place)
    }

    /// Stores all runs of the workflow. Up to 500 are stored in one transaction. More of them are stored in parts, and none begins before all are
    /// stored; if the caller fails meanwhile, the workflow is cancelled an hour later. Another call changes nothing.
    ///
    /// # Errors
    ///
    /// The store has failed, a job cannot be enqueued, or runs and batches of the workflow wait for each other, which the error names.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the workflow may or may not be stored, and the call can be repeated.
    pub async fn start(&self) -> Result<Batch> {
        self.store().await.during("workflow")
    }

    async fn store(&self) -> Result<Batch> {
        let Self { client, id, on_failure, .. } = *self;
        client.open()?;
        if let Some(problem) = *self.problem.lock() {
            return Err(Error::config(format!("the workflow cannot be started: {problem}")));
        }
        let (mut plan, builder) = (self.plan.lock().clone(), self.builder.clone());
        let levels = levels(id, &plan)?;
        // Batches before their runs, and runs before those that are after them: the same order in each call.
        plan.sort_by_key(|planned| planned.call.as_ref().and_then(|_| levels.get(&planned.id).copied()));
        let batch = client.batch_of(id);
        if batch.status().await?.is_some_and(|known| known.batch.is_none_or(|own| own.is_sealed)) {
            return Ok(batch);
        }
        let is_whole = plan.len() + builder.size() <= WHOLE;
        let builder = match on_failure {
            OnFailure::CancelAll => builder.stop_on_death(),
            OnFailure::Continue | OnFailure::CancelDependents => builder,
        };
        let builder = if is_whole { builder } else { builder.held().open_for(OPEN_FOR) };
        let (mut runs, callbacks) = builder.prepare(id).await?;
        if let Some(opens) = runs.last_mut().and_then(|root| root.new.opens.as_mut()) {
            opens.is_sealed = is_whole;
        }
        let mut parts = Vec::new();
        for planned in plan {
            if planned.call.is_none() {
                parts.push(planned.id);
            }
            runs.push(planned.prepare(client, on_failure, is_whole).await?);
        }
        runs.extend(callbacks);
        if is_whole {
            client.store_runs(runs).await?;
            return Ok(batch);
        }
        client.call_hooks(&mut runs)?;
        while !runs.is_empty() {
            let rest = runs.split_off(runs.len().min(WHOLE));
            client.store_hooked(std::mem::replace(&mut runs, rest)).await?;
        }
        for part in parts {
            client.batch_of(part).seal().await?;
        }
        batch.seal().await?;
        Ok(batch)
    }
}

/// If the caller of a large workflow fails while it stores the runs, the workflow is cancelled after so long.
const OPEN_FOR: std::time::Duration = std::time::Duration::from_secs(3600);

impl Planned {
    async fn prepare(self, client: &Client, on_failure: OnFailure, is_whole: bool) -> Result<Prepared> {
        let Self { id, within, name, call } = self;
        let member = Some(InBatch::member(within, None));
        let Some((job, mut options)) = call else {
            let mut opens = NewBatch::new(None);
            (opens.is_sealed, opens.stops_on_death) = (is_whole, on_failure == OnFailure::CancelAll);
            let mut batch = client.batch_row(id, &name, opens)?;
            batch.new.batch = member;
            return Ok(batch);
        };
        if on_failure == OnFailure::Continue {
            let waits = options.after.iter_mut().filter(|edge| edge.on == Condition::Success);
            waits.for_each(|edge| edge.on = Condition::Any);
        }
        options.id = Some(id);
        let mut run = client.call::<()>(job, options).prepare().await?;
        run.new.batch = member;
        Ok(run)
    }

    /// The runs and batches whose ends have to come before its own, as far as they are known.
    fn waits_for(&self) -> impl Iterator<Item = RunId> {
        let (inputs, after) = match &self.call {
            Some((job, options)) => (job.inputs(), options.after.as_slice()),
            None => (&[][..], &[][..]),
        };
        inputs.iter().chain(after).map(|edge| edge.parent)
    }
}

/// How many runs and batches have to end one after the other before each of them can. A batch waits for its runs, and a run for those that it
/// is after, so there may be circles.
fn levels(root: RunId, plan: &[Planned]) -> Result<HashMap<RunId, usize>> {
    let mut before: HashMap<RunId, HashSet<RunId>> = HashMap::from([(root, HashSet::new())]);
    for planned in plan {
        before.entry(planned.id).or_default().extend(planned.waits_for());
        before.entry(planned.within).or_default().insert(planned.id);
    }
    let all: HashSet<_> = before.keys().copied().collect();
    let mut ends: HashMap<RunId, Vec<RunId>> = HashMap::new();
    for (id, waits) in &mut before {
        waits.retain(|other| all.contains(other));
        waits.iter().for_each(|other| ends.entry(*other).or_default().push(*id));
    }
    let mut free: Vec<_> = before.iter().filter(|(_, waits)| waits.is_empty()).map(|(id, _)| *id).collect();
    let mut levels = HashMap::new();
    while let Some(id) = free.pop() {
        before.remove(&id);
        let own: usize = *levels.entry(id).or_default();
        for next in ends.remove(&id).unwrap_or_default() {
            let of_next = levels.entry(next).or_default();
            *of_next = (own + 1).max(*of_next);
            let is_free = before.get_mut(&next).is_some_and(|waits| {
                waits.remove(&id);
                waits.is_empty()
            });
            if is_free {
                free.push(next);
            }
        }
    }
    let names: Vec<_> = plan.iter().filter(|planned| before.contains_key(&planned.id)).collect();
    if before.is_empty() {
        return Ok(levels);
    }
    let names: Vec<_> = names.iter().map(|planned| format!("`{}`", planned.name)).collect();
    Err(Error::config(format!(
        "these runs and batches of the workflow wait for each other, or for runs that do: {}; a run cannot be after the batch that it is in",
        names.join(", ")
    )))
}

impl<'f, T> WorkflowStep<'f, T> {
    /// The id of the run.
    pub const fn id(self) -> RunId {
        self.id
    }

    /// The handle of the run, by which its end and its output can be waited for once the workflow is started. A job with an output is kept
    /// for an hour after its end, others are not: use [`with`](Self::with) and [`keep`](Enqueue::keep).
    pub fn handle(self) -> RunHandle<T> {
        self.flow.client.handle_of(self.id)
    }

    /// Holds the run until these have succeeded: steps or [batches](WorkflowBatch) of the workflow, or other stored runs.
    pub fn after(self, parents: impl IntoIterator<Item = RunId>) -> Self {
        self.after_on(Condition::Success, parents)
    }

    /// As [`after`](Self::after), for another end of these runs.
    pub fn after_on(self, on: Condition, parents: impl IntoIterator<Item = RunId>) -> Self {
        let edges: Vec<_> = parents.into_iter().map(|parent| Edge::new(parent, on)).collect();
        self.edit(|_, options| options.after.extend(edges));
        self
    }

    /// Gives the run the options of this call: its retries, limits, delay. An [id](Enqueue::id) has no effect, and with
    /// [`then`](Enqueue::then) the workflow cannot be started: use [`after`](Self::after).
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use scheduler_core::run::RetryPolicy;
    /// # #[job] async fn index() {}
    /// # fn all(scheduler: Scheduler, policy: RetryPolicy) {
    /// let flow = scheduler.workflow("import");
    /// flow.add(index::with()).with(|call| call.retry(policy));
    /// # }
    /// ```
    pub fn with(self, options: impl FnOnce(Enqueue<'f>) -> Enqueue<'f>) -> Self {
        let mut planned = None;
        self.edit(|job, current| planned = Some((job.clone(), current.clone())));
        // Without the lock: the function may add steps.
        if let Some((job, current)) = planned {
            let call = options(self.flow.client.call(job, current));
            if !call.earlier.is_empty() {
                self.flow.refuse("a step is chained by `then`; add both as steps, and use `after`");
            }
            self.edit(|job, current| (*job, *current) = (call.job, call.options));
        }
        self
    }

    fn edit(self, edit: impl FnOnce(&mut Invocation, &mut CallOptions)) {
        let mut plan = self.flow.plan.lock();
        if let Some((job, options)) = plan.get_mut(self.place).and_then(|planned| planned.call.as_mut()) {
            edit(job, options);
        }
    }
}

impl<T> Clone for WorkflowStep<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for WorkflowStep<'_, T> {}

impl<'f> WorkflowBatch<'f> {
    /// The id of the batch, for the steps that are [after](WorkflowStep::after) it.
    pub const fn id(&self) -> RunId {
        self.id
    }

    /// A run of the batch.
    pub fn add<J: IntoInvocation>(&self, job: J) -> WorkflowStep<'f, J::Output> {
        self.flow.step(self.id, job.into_invocation())
    }

    /// A batch inside this one.
    pub fn batch(&self, name: impl Into<String>) -> Self {
        self.flow.part(self.id, name.into())
    }
}

impl<T> Outputs<T> for WorkflowStep<'_, T> {
    fn argument(self) -> PartialArgument {
        PartialArgument::whole(self.id)
    }
}

impl<T> OutputOr<T> for WorkflowStep<'_, T> {
    fn part(self) -> ArgumentPart {
        ArgumentPart::of(self.id)
    }
}

impl<T> Outputs<T> for &RunHandle<T> {
    fn argument(self) -> PartialArgument {
        PartialArgument::whole(self.id())
    }
}

impl<T> OutputOr<T> for &RunHandle<T> {
    fn part(self) -> ArgumentPart {
        ArgumentPart::of(self.id())
    }
}

impl fmt::Debug for Workflow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for WorkflowStep<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkflowStep").field(&self.id).finish()
    }
}

impl fmt::Debug for WorkflowBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkflowBatch").field(&self.id).finish()
    }
}
