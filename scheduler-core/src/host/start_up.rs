//! Tasks that run to their end before any service starts, each time or once for all nodes.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use tokio_util::sync::CancellationToken;

use super::background::Restart;
use super::launch::{Call, result_of};
use super::service::{ErasedService, Phase, ServiceContext, StopContext};
use crate::execute::Ask;
use crate::job::{BoxFuture, CancelReason, ErasedJob, JobError, JobResult, Launcher, Outcome, StoredRun};
use crate::log::Shown;
use crate::run::RunId;
use crate::store::{JobStore, PutMark};
use crate::time::{Clock, by};

/// What the names of marks begin with of tasks that run once for all nodes.
const GROUP: &str = "start-up";

/// How long a node has a task before another one may take it; it is renewed while the task runs.
const LEASE: Duration = Duration::from_secs(30);

/// How often others look whether a task is done.
const LOOK: Duration = Duration::from_secs(1);

/// The kind of a task that runs to its end before any service starts, made by [`start_up`](super::start_up()).
pub struct StartUp {
    job: Arc<dyn ErasedJob>,
    pub(super) attempts: usize,
    pub(super) once: Option<u64>,
    pub(super) start_within: Option<Duration>,
}

impl StartUp {
    pub(super) fn new(job: Arc<dyn ErasedJob>) -> Self {
        Self { job, attempts: 1, once: None, start_within: None }
    }

    /// Tries until it succeeds or has been tried often enough.
    async fn run(&self, context: &ServiceContext, asked: &CancellationToken) -> JobResult {
        let (clock, pauses, id) = (&context.core.clock, Restart::default(), context.core.next_run());
        let (mut attempt, mut last_error) = (1, None);
        loop {
            let stored =
                StoredRun { id: RunId::new(id.session(), id.count()), attempt, retry: None, last_error };
            let error = match self.attempt(context, asked, stored).await {
                Ok(()) => return Ok(()),
                Err(error) if (attempt as usize) < self.attempts && !asked.is_cancelled() => error,
                result => return result,
            };
            let wait = pauses.wait(attempt as usize - 1);
            let name = context.name();
            let wait_for = Shown(wait);
            tracing::warn!(task = name, %error, attempt, wait = %wait_for, "start-up task `{name}` has failed (attempt {attempt} of {}) and is tried again in {wait_for}: {error}", self.attempts);
            last_error = Some(error.to_string().into());
            clock.sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        context: &ServiceContext,
        asked: &CancellationToken,
        run: StoredRun,
    ) -> JobResult {
        let call = Call {
            timeout: self.start_within,
            stored: Some(Box::new(run)),
            ..Call::new(Launcher::StartUp, &self.job, context.name().to_owned())
        };
        let asked = async {
            asked.cancelled().await;
            Ask { reason: CancelReason::ClaimLost, within: None }
        };
        match (context.call(call, asked).await, self.start_within) {
            (Outcome::TimedOut, Some(time)) => Err(JobError::new(format!("not done within {}", Shown(time)))),
            (outcome, _) => result_of(outcome),
        }
    }

    /// What the task has begun elsewhere learns by its stop token that another node has the task.
    async fn run_once(&self, context: &ServiceContext, version: u64) -> JobResult {
        let Some(scheduler) = context.scheduler() else {
            return Err(JobError::new("once per cluster needs a scheduler, whose store remembers it"));
        };
        let (clock, lost) = (context.core.clock.clone(), CancellationToken::new());
        let claim = TaskClaim {
            store: scheduler.store(),
            clock,
            name: format!("{GROUP}/{}", context.name()).into(),
            owner: owner(),
        };
        claim.run(version, || self.run(context, &lost)).await
    }
}

/// A name that no other attempt has; the standard library seeds its hashers from the system.
fn owner() -> Arc<str> {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half()).into()
}

impl ErasedService for StartUp {
    fn begin<'a>(&'a self, phase: Phase, context: &'a ServiceContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            match (phase, self.once) {
                (Phase::Prepare, None) => self.run(context, &CancellationToken::new()).await,
                (Phase::Prepare, Some(version)) => self.run_once(context, version).await,
                _ => Ok(()),
            }
        })
    }

    fn end<'a>(&'a self, _: Phase, _: &'a StopContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async { Ok(()) })
    }
}

impl std::fmt::Debug for StartUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartUp").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

/// The right to do a task, as a mark in the store says who has it. Only the owner renews it, and the revision that it has read is
/// the fence: whoever has taken the task over has written another one.
struct TaskClaim {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    name: Arc<str>,
    owner: Arc<str>,
}

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    version: u64,
    done: bool,
    owner: Arc<str>,
    /// Until when the owner is believed to be alive.
    until: DateTime<Utc>,
}

impl TaskClaim {
    async fn run<F: Future<Output = JobResult>>(&self, version: u64, task: impl Fn() -> F) -> JobResult {
        loop {
            let known = self.read().await?;
            let revision = known.as_ref().map(|(_, revision)| *revision);
            match known.map(|(note, _)| note) {
                Some(note) if note.done && note.version >= version => return Ok(()),
                Some(note) if !note.done && note.until > self.clock.now() => self.clock.sleep(LOOK).await,
                _ => {
                    if self.write(version, false, revision).await? {
                        return self.run_here(version, task()).await;
                    }
                }
            }
        }
    }

    /// Runs the task, renews the mark meanwhile, and writes down that it is done. The task goes on only as long as nobody else can
    /// have taken it over.
    async fn run_here(&self, version: u64, task: impl Future<Output = JobResult>) -> JobResult {
        let mut task = pin!(task);
        let (mut lapses, mut pause) = (self.lapse(), LEASE / 3);
        let mut done = None;
        loop {
            let deadline = self.clock.monotonic().saturating_add(pause);
            match done {
                None => done = by(&*self.clock, deadline, self.before(lapses, task.as_mut())).await.flatten(),
                // Only the store has not been told yet.
                Some(_) => self.clock.sleep(pause).await,
            }
            if let Some(Err(error)) = done {
                return Err(error);
            }
            match self.renew(version, done.is_some()).await {
                Ok(true) if done.is_some() => return Ok(()),
                Ok(true) => (lapses, pause) = (self.lapse(), LEASE / 3),
                Ok(false) => return Err(self.taken_over(done.is_some())),
                Err(error) if self.clock.monotonic() >= lapses => return Err(error),
                Err(error) => {
                    let name = &*self.name;
                    tracing::warn!(task = name, %error, "start-up task `{name}` runs, but the store cannot be told so; another node may take it over unless this succeeds soon: {error}");
                    pause = LOOK;
                }
            }
        }
    }

    /// When a mark that is written now lapses.
    fn lapse(&self) -> Duration {
        self.clock.monotonic().saturating_add(LEASE)
    }

    /// The task, until this moment: a node that was frozen asks first whether the task is still its own.
    async fn before(
        &self,
        moment: Duration,
        mut task: Pin<&mut impl Future<Output = JobResult>>,
    ) -> Option<JobResult> {
        poll_fn(|context| match self.clock.monotonic() < moment {
            true => task.as_mut().poll(context).map(Some),
            false => Poll::Ready(None),
        })
        .await
    }

    fn taken_over(&self, was_done: bool) -> JobError {
        let end = if was_done { "it had ended here, and runs there again" } else { "it was stopped here" };
        let text = format!(
            "another node has taken over the start-up task `{}`, since this node was away for more than {LEASE:?}: {end}",
            self.name
        );
        tracing::error!("{text}");
        JobError::new(text)
    }

    /// Writes that this node still has the task, or that it is done; says whether nobody else has it.
    async fn renew(&self, version: u64, done: bool) -> Result<bool, JobError> {
        match self.read().await? {
            Some((note, _)) if note.owner != self.owner => Ok(false),
            Some((note, _)) if note.done => Ok(true),
            Some((_, revision)) => self.write(version, done, Some(revision)).await,
            None => self.write(version, done, None).await,
        }
    }

    async fn read(&self) -> Result<Option<(Note, u64)>, JobError> {
        let Some(mark) = self.store.mark(self.name.clone()).await? else { return Ok(None) };
        let note = serde_json::from_str(&mark.text).map_err(|error| {
            JobError::new(format!(
                "the mark `{}` says `{}`, which cannot be read: {error}",
                self.name, mark.text
            ))
        })?;
        Ok(Some((note, mark.revision)))
    }

    /// Says whether nobody was faster.
    async fn write(&self, version: u64, done: bool, revision: Option<u64>) -> Result<bool, JobError> {
        let until = self.clock.now() + TimeDelta::from_std(LEASE).unwrap_or_default();
        let note = Note { version, done, owner: self.owner.clone(), until };
        let text = serde_json::to_string(&note).map_err(JobError::new)?.into();
        Ok(self.store.put_mark(PutMark { name: self.name.clone(), text, revision }).await?.is_some())
    }
}
