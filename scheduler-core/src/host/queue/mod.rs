//! A queue in memory: work that is done soon, in this process, and not kept.

mod run;
mod service;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::service::QueueService;
use super::core::HostCore;
use super::service::ErasedService;
use crate::data::JobData;
use crate::error::{During, Error, Result};
use crate::job::{BoxFuture, CancelReason, IntoInvocation, Invocation, JobDetail, Outcome, Registry};
use crate::time::Activity;

/// What becomes of a job for which there is no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Whoever enqueues it waits.
    #[default]
    Wait,
    /// It is refused.
    Reject,
    /// The job that has waited longest is dropped; its outcome is cancelled.
    DropOldest,
}

/// What becomes of waiting jobs when the host stops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtStop {
    /// They run as well, as far as there is time.
    #[default]
    Drain,
    /// They are dropped; their outcome is cancelled.
    Drop,
    /// They are enqueued in the scheduler of the host, whose store keeps them.
    Persist,
}

/// A bounded queue of jobs in memory, served by the host that it was given to. Cloning gives a handle to the same queue.
///
/// The jobs are the same as everywhere: what is enqueued here can be enqueued in a [`Scheduler`](crate::Scheduler), which
/// keeps it and runs it on any node. Middleware, listeners, scopes and timeouts are the same. What only a store can do does not apply here:
/// retries, persisted data, the limit of the job's [queue](crate::job::JobDetail::queue), and the wish not to run beside
/// oneself (give the queue in memory a concurrency of one).
///
/// ```
/// use scheduler_core::host::{Host, JobQueue};
/// use scheduler_core::prelude::*;
///
/// #[job]
/// async fn send(address: String) {
///     println!("sent to {address}");
/// }
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let mails = JobQueue::bounded(100).concurrency(4).build();
/// let host = Host::builder().register(send::definition()).queue("mails", mails.clone()).build()?;
/// let sent = mails.enqueue(send::with("ada@example.org".into())).await?;
/// # let _ = (host, sent.outcome());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct JobQueue(Arc<Shared>);

struct Shared {
    settings: Settings,
    state: Mutex<State>,
    /// There is room, or something to do.
    changed: Notify,
    /// Nothing waits any more and nothing runs.
    idle: Notify,
    bound: OnceLock<Bound>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    capacity: usize,
    concurrency: usize,
    overflow: Overflow,
    at_stop: AtStop,
    /// None for that of the scheduler of the host.
    cancel_grace: Option<Duration>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Item>,
    running: Vec<Arc<Slot>>,
    closed: bool,
    count: u64,
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }
}

/// What the queue got from its host.
struct Bound {
    name: Arc<str>,
    registry: Arc<Registry>,
    core: Arc<HostCore>,
}

impl Bound {
    /// Why the host cannot run this job; none if it can. Arguments that were written by `with` fit.
    fn problem_with(&self, job: &JobDetail, data: &JobData) -> Option<String> {
        let misfit = || data.is_empty().then(|| self.registry.misfit(job, data)).flatten();
        self.registry.unknown(job).or_else(misfit)
    }
}

/// A job that waits or runs. If it is dropped before it has ended, it is cancelled.
struct Item {
    job: Invocation,
    slot: Arc<Slot>,
    activity: Option<Activity>,
}

impl Drop for Item {
    fn drop(&mut self) {
        self.slot.end(Outcome::Cancelled);
    }
}

/// What is known of an enqueued job.
struct Slot {
    number: u64,
    outcome: OnceLock<Outcome>,
    cancelled: OnceLock<CancelReason>,
    /// One of them is there.
    changed: Notify,
}

impl Slot {
    /// Only the first one counts.
    fn end(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            self.changed.notify_waiters();
        }
    }

    fn cancel(&self, reason: CancelReason) {
        if self.cancelled.set(reason).is_ok() {
            self.changed.notify_waiters();
        }
    }

    async fn wait_for<'a, T>(&self, what: &'a OnceLock<T>) -> &'a T {
        loop {
            let changed = self.changed.notified();
            match what.get() {
                Some(found) => return found,
                None => changed.await,
            }
        }
    }
}

/// A job in a queue.
#[derive(Clone)]
pub struct QueuedJob {
    slot: Arc<Slot>,
    queue: Arc<Shared>,
}

impl QueuedJob {
    /// How the job has ended; waits until it has.
    ///
    /// # Cancel safety
    ///
    /// Dropping it forgets the wait and nothing else.
    pub async fn outcome(&self) -> Outcome {
        self.slot.wait_for(&self.slot.outcome).await.clone()
    }

    /// Takes the job out of the queue, or asks it to stop; one that does not listen to its token is taken away.
    pub fn cancel(&self) {
        let waiting = {
            let mut state = self.queue.state.lock();
            let place = state.waiting.iter().position(|item| item.slot.number == self.slot.number);
            place.and_then(|place| state.waiting.remove(place))
        };
        if let Some(item) = waiting {
            drop(item);
            self.queue.tell();
        } else {
            self.slot.cancel(CancelReason::Requested);
        }
    }
}

/// Builds a [`JobQueue`]; made by [`JobQueue::bounded`].
///
/// A queue that is built has no settings to change, so this does not compile:
///
/// ```compile_fail
/// use scheduler_core::host::JobQueue;
///
/// let queue = JobQueue::bounded(10).build();
/// let other = queue.concurrency(4);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct JobQueueBuilder(Settings);

impl JobQueueBuilder {
    /// How many jobs run at once, at least one. Default: 1, one after the other.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.0.concurrency = jobs.max(1);
        self
    }

    /// What becomes of a job for which there is no room. Default: the caller who enqueues it waits.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.0.overflow = overflow;
        self
    }

    /// What becomes of waiting jobs when the host stops. Default: they run.
    pub fn at_stop(mut self, at_stop: AtStop) -> Self {
        self.0.at_stop = at_stop;
        self
    }

    /// How long a run that was asked to stop and watches its cancellation token may take to stop; after that the run is
    /// aborted. Default: as in the [scheduler](crate::SchedulerBuilder::cancel_grace) of the host, 5 s without one.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.0.cancel_grace = Some(grace);
        self
    }

    /// The queue, to be given to a host.
    pub fn build(self) -> JobQueue {
        let (state, changed, idle, bound) = Default::default();
        JobQueue(Arc::new(Shared { settings: self.0, state, changed, idle, bound }))
    }
}

impl fmt::Debug for QueuedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuedJob").field("number", &self.slot.number).finish_non_exhaustive()
    }
}

impl JobQueue {
    /// Builds a queue for so many waiting jobs, at least one.
    pub fn bounded(capacity: usize) -> JobQueueBuilder {
        JobQueueBuilder(Settings {
            capacity: capacity.max(1),
            concurrency: 1,
            overflow: Overflow::Wait,
            at_stop: AtStop::Drain,
            cancel_grace: None,
        })
    }

    /// Puts a job at the end of the queue. Before the host has started it waits there.
    ///
    /// # Errors
    ///
    /// The job is not registered with the host, its argument cannot be written, the host stops, or there is no room and the
    /// queue rejects what finds none.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the job is not in the queue.
    pub fn enqueue(&self, job: impl IntoInvocation) -> BoxFuture<'_, Result<QueuedJob>> {
        // A future without the type of the job: otherwise the compiler repeats a mistake in it at every `await`.
        let job = job.into_invocation();
        Box::pin(async move { self.put(&job).await.of_job(job.key()).during("enqueue") })
    }

    async fn put(&self, job: &Invocation) -> Result<QueuedJob> {
        self.check(job)?;
        loop {
            let room = self.0.changed.notified();
            if let Some(queued) = self.try_put(job)? {
                return Ok(queued);
            }
            room.await;
        }
    }

    fn check(&self, job: &Invocation) -> Result<()> {
        let data = job.data()?;
        let problem = self.0.bound.get().and_then(|bound| bound.problem_with(job.detail(), data));
        problem.map_or(Ok(()), |problem| Err(Error::config(problem)))
    }

    /// None if it has to wait for room.
    fn try_put(&self, job: &Invocation) -> Result<Option<QueuedJob>> {
        let mut state = self.0.state.lock();
        if state.closed {
            return Err(Error::closed("the queue takes no more jobs: its host stops"));
        }
        let mut dropped = None;
        if state.waiting.len() >= self.0.settings.capacity {
            match self.0.settings.overflow {
                Overflow::Wait => return Ok(None),
                Overflow::Reject => {
                    let capacity = self.0.settings.capacity;
                    return Err(Error::transient(format!(
                        "{capacity} jobs wait in the queue already; try later"
                    )));
                }
                Overflow::DropOldest => dropped = state.waiting.pop_front(),
            }
        }
        state.count += 1;
        let slot = Arc::new(Slot {
            number: state.count,
            outcome: OnceLock::new(),
            cancelled: OnceLock::new(),
            changed: Notify::new(),
        });
        // Busy from now on if a worker is free; behind others its time comes when theirs is over.
        let free = state.waiting.len() + state.running.len() < self.0.settings.concurrency;
        let begin = |bound: &Bound| bound.core.clock.begin(&"a queued job");
        let activity = self.0.bound.get().filter(|_| free).map(begin);
        state.waiting.push_back(Item { job: job.clone(), slot: slot.clone(), activity });
        drop(state);
        if let Some(item) = dropped {
            let (job, capacity) = (item.job.key(), self.0.settings.capacity);
            tracing::warn!(%job, "job `{job}` is dropped from its queue, the oldest of {capacity} that wait: the queue is full");
        }
        self.0.tell();
        Ok(Some(QueuedJob { slot, queue: self.0.clone() }))
    }

    /// How many jobs wait.
    pub fn len(&self) -> usize {
        self.0.state.lock().waiting.len()
    }

    /// Whether no job waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn bind(&self, name: Arc<str>, registry: Arc<Registry>, core: Arc<HostCore>) -> bool {
        self.0.bound.set(Bound { name, registry, core }).is_ok()
    }

    pub(super) fn needs_scheduler(&self) -> bool {
        self.0.settings.at_stop == AtStop::Persist
    }

    pub(super) fn service(&self) -> Arc<dyn ErasedService> {
        Arc::new(QueueService::new(self.0.clone()))
    }
}

impl fmt::Debug for JobQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobQueue").field("settings", &self.0.settings).field("waiting", &self.len()).finish()
    }
}

impl Shared {
    /// Wakes whoever waits for room, for work, or for the end of both.
    fn tell(&self) {
        self.changed.notify_waiters();
        if self.is_idle() {
            self.idle.notify_waiters();
        }
    }

    fn is_idle(&self) -> bool {
        self.state.lock().is_idle()
    }

    async fn emptied(&self) {
        loop {
            let idle = self.idle.notified();
            if self.is_idle() {
                return;
            }
            idle.await;
        }
    }

    fn take(&self) -> Option<Item> {
        let mut state = self.state.lock();
        let item = state.waiting.pop_front()?;
        state.running.push(item.slot.clone());
        Some(item)
    }

    /// Takes one job after the other; ends when the queue is closed and empty.
    async fn work(self: Arc<Self>) {
        let mut last = None;
        loop {
            let changed = self.changed.notified();
            if let Some(mut item) = self.take() {
                // There is room.
                self.changed.notify_waiters();
                let begin = |bound: &Bound| bound.core.clock.begin(&"a queued job");
                let activity = item.activity.take().or_else(|| self.bound.get().map(begin));
                drop(last.take());
                let done = Done { queue: self.clone(), number: item.slot.number };
                let outcome = match &activity {
                    Some(activity) => activity.observe(self.run(&item)).await,
                    None => self.run(&item).await,
                };
                item.slot.end(outcome);
                drop(done);
                last = activity;
                continue;
            }
            drop(last.take());
            if self.state.lock().closed {
                return;
            }
            changed.await;
        }
    }
}

/// Takes a job out of the list of those that run, whatever ends its worker.
struct Done {
    queue: Arc<Shared>,
    number: u64,
}

impl Drop for Done {
    fn drop(&mut self) {
        let idle = {
            let mut state = self.queue.state.lock();
            let place = state.running.iter().position(|slot| slot.number == self.number);
            place.map(|place| state.running.swap_remove(place));
            state.is_idle()
        };
        if idle {
            self.queue.idle.notify_waiters();
        }
    }
}
