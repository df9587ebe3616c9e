//! Runs that are stored by a call, and what can be done with them.

use std::marker::PhantomData;
use std::time::Duration;

use chrono::{DateTime, Utc};
use scheduler_syntax::{boost_problem, expiry_problem};

use super::enqueue_outcome::EnqueueOutcome;
use super::gates::OwnGates;
use super::handle::Client;
use super::results::{KEPT_FOR_HANDLES, RunHandle};
use super::unique::{Prepared, keyed};
use crate::data::JobData;
use crate::error::{During, Error, Result};
use crate::job::{BoxFuture, Delay, IntoInvocation, Invocation};
use crate::key::JobKey;
use crate::run::{Delivery, Edge, RetryPolicy, RunId, Sequence, Unique};
use crate::store::batches::InBatch;
use crate::store::*;
use crate::watch::Event;

/// A run waits for so many others at most: each of them writes the row of the run when it ends.
const MOST_PARENTS: usize = 100;

fn too_many_parents(many: usize) -> String {
    format!(
        "a run waits for {many} runs, and {MOST_PARENTS} are allowed; put them into a batch and wait for that"
    )
}

/// A run that is about to be enqueued; awaiting it stores the run and gives its id.
///
/// # Errors
///
/// The store has failed. The queue of the job is [full](crate::SchedulerBuilder::max_waiting). Where the client is that of a scheduler: the
/// job's function is not registered there, or cannot read its argument.
///
/// # Cancel safety
///
/// Dropped early, the run may or may not be stored. While the call waits for room in a queue, nothing is stored.
#[must_use = "nothing is enqueued until this is awaited"]
#[derive(Debug)]
pub struct Enqueue<'a, T = ()> {
    pub(super) client: &'a Client,
    pub(super) job: Invocation,
    pub(super) options: CallOptions,
    /// Calls that are carried out in the same step, before this one.
    pub(super) earlier: Vec<Enqueue<'a>>,
    output: PhantomData<fn() -> T>,
}

/// What a call says of its run, apart from the job.
#[derive(Debug, Clone, Default)]
pub(super) struct CallOptions {
    due: Option<Delay>,
    pub(super) id: Option<RunId>,
    priority: Option<i32>,
    retry: Option<RetryPolicy>,
    unique: Option<Unique>,
    pub(super) sequence: Option<Sequence>,
    boost: Option<Duration>,
    expires: Option<Duration>,
    keep: Option<Duration>,
    delivery: Option<Delivery>,
    pub(super) gates: OwnGates,
    pub(super) after: Vec<Edge>,
    batch: Option<InBatch>,
}

impl<'a, T> Enqueue<'a, T> {
    /// Not before `time`; at once if that has passed. Default: at once.
    pub fn at(mut self, time: DateTime<Utc>) -> Self {
        self.options.due = Some(Delay::Until(time));
        self
    }

    /// Not before this delay has passed. Default: no delay.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.options.due = Some(Delay::For(delay));
        self
    }

    /// Of several runs that are due at the same time, the one with the highest priority begins first. Default: 5.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = Some(priority);
        self
    }

    /// Another retry policy than that of the job. A job without one has that of the
    /// [scheduler](crate::scheduler::SchedulerBuilder::retry_enqueued) that runs it, by default ten retries.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.retry = Some(policy);
        self
    }

    /// The run goes before what became due up to so much earlier, at most one day; also its retries. Without a backlog a boost has no
    /// effect, and with every boost the run only overtakes what is at most so much older, so nothing starves. The run never begins before
    /// its due time. Default: the boost of the [job](crate::job::JobDetailBuilder::boost); zero is no boost.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use std::time::Duration;
    /// # #[job] async fn send(to: String) {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// // A password reset overtakes up to two minutes of newsletters.
    /// scheduler.enqueue(send::with("ada@example.org".into())).boost(Duration::from_secs(120)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn boost(mut self, boost: Duration) -> Self {
        self.options.boost = Some(boost);
        self
    }

    /// If the first attempt has not begun so long after the due time, the run ends as [expired](crate::run::RunEnd::Expired): it is not
    /// run, it is kept for a day by default, and can be replayed. Retries do not expire. A replay begins anew, and expires so long after
    /// its own due time. Default: the expiry of the [job](crate::job::JobDetailBuilder::expires), otherwise never; [`Duration::MAX`] is
    /// never.
    pub fn expires(mut self, expires: Duration) -> Self {
        self.options.expires = Some(expires);
        self
    }

    /// For so long the run is kept at least after its end, with what its job has [returned](crate::job::JobContext::set_output), so that a
    /// [handle](Self::handle) can tell what has become of it. Zero keeps nothing. A run that is kept keeps its [id](Self::id), too. Default: that
    /// of the [job](crate::job::JobDetailBuilder::keep), which is one hour for `#[job(output)]`; otherwise a run that succeeds leaves nothing.
    pub fn keep(mut self, keep: Duration) -> Self {
        self.options.keep = Some(keep);
        self
    }

    /// Whether the run begins again after an attempt that was cut off, since its node has died or was shut down. Default: that of the
    /// [job](crate::job::JobDetailBuilder::delivery), otherwise [at least once](Delivery::AtLeastOnce).
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.options.delivery = Some(delivery);
        self
    }

    /// Stores the run, and gives a handle by which its end and its output can be waited for. The run is kept for an hour after its end,
    /// unless the job or the call [says otherwise](Self::keep).
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// #[job(output)]
    /// async fn add(numbers: (u64, u64)) -> u64 {
    ///     numbers.0 + numbers.1
    /// }
    ///
    /// # async fn all(scheduler: Scheduler) -> Result<(), Box<dyn std::error::Error>> {
    /// let sum = scheduler.enqueue(add::with((2, 3))).handle().await?;
    /// assert_eq!(sum.result().await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for the call itself.
    ///
    /// # Cancel safety
    ///
    /// As for the call itself.
    pub async fn handle(self) -> Result<RunHandle<T>> {
        let keep = self.options.keep.or(self.job.detail().keep()).unwrap_or(KEPT_FOR_HANDLES);
        let client = self.client.clone();
        let outcome = self.keep(keep).outcome().await?;
        Ok(RunHandle::new(client, outcome))
    }

    /// An id of the caller, such as that of a [key](RunId::from_key). If a run of this id is stored already, nothing is stored,
    /// so a call without an answer can be repeated. That also holds for a dead run, which [`replay`](Client::replay) runs again. A run
    /// that has succeeded leaves nothing, and one that was cancelled does not keep its id: a call that is repeated after that stores
    /// the run again. Default: an id that no other run has.
    pub fn id(mut self, id: RunId) -> Self {
        self.options.id = Some(id);
        self
    }

    /// Of runs with the same key, only one is stored at a time. Default: the key of the job, if it has one.
    pub fn unique(mut self, unique: Unique) -> Self {
        self.options.unique = Some(unique);
        self
    }

    /// The same call, whose run returns whatever it returns.
    pub(super) fn untyped(self) -> Enqueue<'a> {
        let Self { client, job, options, earlier, .. } = self;
        Enqueue { client, job, options, earlier, output: PhantomData }
    }

    /// The run is one of this batch.
    pub(super) fn in_batch(mut self, batch: InBatch) -> Self {
        self.options.batch = Some(batch);
        self
    }

    /// Stores the run, and says whether it was stored, was there already, or has replaced another one. Awaiting the call itself only gives
    /// the id.
    ///
    /// # Errors
    ///
    /// As for the call itself.
    ///
    /// # Cancel safety
    ///
    /// As for the call itself.
    pub async fn outcome(self) -> Result<EnqueueOutcome> {
        self.store().await.during("enqueue")
    }

    async fn store(mut self) -> Result<EnqueueOutcome> {
        let (client, key) = (self.client, self.job.key().clone());
        client.open()?;
        let mut runs = Vec::with_capacity(self.earlier.len() + 1);
        for call in std::mem::take(&mut self.earlier) {
            runs.push(call.prepare().await?);
        }
        runs.push(self.prepare().await?);
        let outcome = client.store_runs(runs).await.of_job(&key)?.pop();
        outcome.ok_or_else(|| Error::transient("the store has given no answer; try again"))
    }

    pub(super) async fn prepare(self) -> Result<Prepared> {
        let Self { client, job, options, .. } = self;
        let CallOptions { due, id, priority, retry, unique, sequence, .. } = options;
        let CallOptions { boost, expires, keep, delivery, gates, after, batch, .. } = options;
        let key = job.key().clone();
        let policy = retry.as_ref().and_then(|policy| Some(policy.checked().err()?.to_string()));
        let lateness = || {
            let boost = boost.filter(|boost| !boost.is_zero()).and_then(boost_problem);
            boost.or_else(|| expires.and_then(expiry_problem))
        };
        let many = after.len() + job.inputs().len();
        let parents = || (many > MOST_PARENTS).then(|| too_many_parents(many));
        if let Some(problem) = policy.or_else(lateness).or_else(parents) {
            return Err(Error::config(problem).for_job(&key));
        }
        let mut run = client.prepared(job, JobData::new(), unique, gates, sequence).await.of_job(&key)?;
        run.new.after.extend(after);
        run.new.batch = batch;
        let has_parents = !run.new.after.is_empty();
        run.refuse_to_replace()?;
        let new = &mut run.new;
        if let Some(unique) = new.unique.as_mut().filter(|_| due.is_some()) {
            unique.keeps_due = false;
        }
        // A debounced run is quiet for its time at least.
        let (now, quiet) =
            new.unique.as_ref().map_or((new.due, None), |key| (key.now, key.key.latest.and(Some(new.due))));
        let due = match due {
            Some(Delay::Until(time)) => time,
            // From the end of its last parent on.
            Some(Delay::For(delay)) if has_parents => {
                new.delay = delay;
                new.due
            }
            Some(delay @ Delay::For(_)) => delay.from(now),
            None => new.due,
        };
        new.due = due.max(quiet.unwrap_or(DateTime::<Utc>::MIN_UTC));
        new.id = id.unwrap_or(new.id);
        new.priority = priority.unwrap_or(new.priority);
        new.retry = retry.or(new.retry.take());
        new.boost = boost.unwrap_or(new.boost);
        new.expires = expires.or(new.expires);
        new.keep = keep.or(new.keep);
        new.delivery = delivery.unwrap_or(new.delivery);
        Ok(run)
    }
}

impl<'a, T: 'a> IntoFuture for Enqueue<'a, T> {
    type Output = Result<RunId>;
    type IntoFuture = BoxFuture<'a, Result<RunId>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.outcome().await.map(EnqueueOutcome::run) })
    }
}

/// Runs that are stored.
impl Client {
    /// Stores a run of a job, which begins as soon as a slot is free, on whatever node: fire and forget. The run is attempted at
    /// least once: one whose node dies, or that a shutdown interrupts, is attempted again, and one that fails is retried.
    ///
    /// ```
    /// # use scheduler_core::prelude::*;
    /// # use std::time::Duration;
    /// # #[job] async fn send(to: String) {}
    /// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
    /// scheduler.enqueue(send::with("ada@example.org".into())).await?;
    /// let run = scheduler.enqueue(send::with("bob@example.org".into())).delay(Duration::from_secs(600)).await?;
    /// scheduler.cancel_run(run).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// No job is stored for it: options come from the stored job of this name if there is one, otherwise from the code of the node
    /// that runs it, or from the given job if that differs from what the code declares. A client without a scheduler does not know
    /// what the code declares, so the run brings the given job along.
    pub fn enqueue<J: IntoInvocation>(&self, job: J) -> Enqueue<'_, J::Output> {
        self.call(job.into_invocation(), CallOptions::default())
    }

    pub(super) const fn call<T>(&self, job: Invocation, options: CallOptions) -> Enqueue<'_, T> {
        Enqueue { client: self, job, options, earlier: Vec::new(), output: PhantomData }
    }

    /// Stores a run for each job, all of them or none; a store may do more than 500 in parts. Returns their ids, in order.
    ///
    /// # Errors
    ///
    /// As [`Enqueue`]. If a queue is full, none of the runs is stored; of more than 500 runs, the parts of 500 before that are.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, all of them are stored or none; of more than 500, some parts may be. While the call waits for room in a queue, none
    /// of its part is stored.
    pub async fn enqueue_all(
        &self,
        jobs: impl IntoIterator<Item = impl IntoInvocation>,
    ) -> Result<Vec<RunId>> {
        let jobs: Vec<_> = jobs.into_iter().map(IntoInvocation::into_invocation).collect();
        let outcomes = self.store_all(jobs, None).await.during("enqueue_all")?;
        Ok(outcomes.into_iter().map(EnqueueOutcome::run).collect())
    }

    pub(super) async fn store_all(
        &self,
        jobs: Vec<Invocation>,
        batch: Option<InBatch>,
    ) -> Result<Vec<EnqueueOutcome>> {
        self.open()?;
        let mut runs = Vec::with_capacity(jobs.len());
        for job in jobs {
            let key = job.key().clone();
            let mut run =
                self.prepared(job, JobData::new(), None, OwnGates::default(), None).await.of_job(&key)?;
            run.new.batch = batch;
            runs.push(run);
        }
        self.store_runs(runs).await
    }

    /// Runs a stored or registered job as soon as a slot is free, with `data` laid over its own. Returns the id of the run.
    ///
    /// # Errors
    ///
    /// There is no such job, or its argument cannot be read from its data with `data` over it; otherwise as [`Enqueue`].
    pub async fn trigger_job(&self, job: &JobKey, data: JobData) -> Result<RunId> {
        self.start_by_hand(job, data).await.of_job(job).during("trigger_job")
    }

    async fn start_by_hand(&self, job: &JobKey, data: JobData) -> Result<RunId> {
        let store = self.open()?;
        let query = JobQuery { keys: vec![job.clone()], ..JobQuery::default() };
        let detail = match store.all_jobs(query).await?.pop() {
            Some(stored) => stored,
            None if self.registry().is_some() => self.registered(job)?,
            None => return Err(self.no_job(job).await?),
        };
        let mut run = self.prepared(Invocation::new(detail), data, None, OwnGates::default(), None).await?;
        run.new.cause = Cause::Manual;
        let id = run.new.id;
        let outcomes = self.store_runs(vec![run]).await?;
        Ok(outcomes.first().map_or(id, |outcome| outcome.run()))
    }

    /// A run that is due now, ready to be stored, if its job can be run. `data` is laid over that of the call; `unique` and `sequence` take
    /// the place of those that the job makes.
    pub(super) async fn prepared(
        &self,
        mut job: Invocation,
        data: JobData,
        unique: Option<Unique>,
        gates: OwnGates,
        sequence: Option<Sequence>,
    ) -> Result<Prepared> {
        if let Some(problem) = self.registry().and_then(|registry| registry.recognise(&mut job)) {
            return Err(Error::config(problem));
        }
        if let Some(problem) = job.detail().problem() {
            return Err(Error::config(problem));
        }
        let data = job.known_data()?.merged(&data);
        if job.inputs().is_empty() {
            self.check_arguments(&job, &data).await?;
        }
        let declared = self.registry().is_some_and(|registry| registry.defines(job.detail()));
        let detail = (!declared).then(|| job.detail().clone());
        let known = match job.inputs().len() {
            0 => data.clone(),
            1..=MOST_PARENTS => data.clone().awaiting_outputs(),
            many => return Err(Error::config(too_many_parents(many))),
        };
        let unique = match unique {
            Some(unique) => Some(unique),
            None => self.unique_of(&job, &known)?,
        };
        let gates = self.gates_of(&job, &known, gates)?;
        let sequence = self.sequence_of(&job, &known, sequence)?;
        let now = self.now();
        let new = NewRun::of(self.new_run(), job.detail(), now);
        let most_waiting = self.most_waiting(new.queue.as_ref());
        let after = job.inputs().to_vec();
        let mut new = NewRun { detail, data, most_waiting, gates, sequence, after, now: Some(now), ..new };
        let merge = unique.map(|unique| keyed(&mut new, &unique)).transpose()?.flatten();
        let run = Prepared { new, merge };
        run.refuse_to_replace()?;
        Ok(run)
    }

    pub(super) async fn store_runs(&self, mut runs: Vec<Prepared>) -> Result<Vec<EnqueueOutcome>> {
        self.call_hooks(&mut runs)?;
        self.store_hooked(runs).await
    }

    /// As [`store_runs`](Self::store_runs), of runs that the hooks have seen.
    pub(super) async fn store_hooked(&self, runs: Vec<Prepared>) -> Result<Vec<EnqueueOutcome>> {
        let has_merges = runs.iter().any(|run| run.merge.is_some());
        let told = if self.is_heard() || has_merges { runs.clone() } else { Vec::new() };
        let news: Vec<_> = runs.into_iter().map(|run| run.new).collect();
        let ids: Vec<_> = news.iter().map(|run| run.id).collect();
        let stored = self.store_limited(news).await?;
        let mut outcomes = Vec::with_capacity(stored.len());
        for (place, (id, answer)) in ids.into_iter().zip(stored).enumerate() {
            let run = told.get(place);
            let answer = match (answer, run) {
                (Enqueued::Existing(other), Some(run)) if other != id && run.merge.is_some() => {
                    self.merge_into(run, other).await?
                }
                (answer, _) => answer,
            };
            if let (Enqueued::Created, Some(Prepared { new, .. })) = (answer, run) {
                self.tell(|| Event::Enqueued { run: new.id, job: new.job.clone(), due: new.due });
            }
            outcomes.push(match answer {
                Enqueued::Created => EnqueueOutcome::Created(id),
                Enqueued::Existing(run) => EnqueueOutcome::Existing(run),
                Enqueued::Replaced(run) => EnqueueOutcome::Replaced(run),
            });
        }
        Ok(outcomes)
    }
}
