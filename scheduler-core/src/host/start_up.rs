//! Tasks that run to their end before any service starts, each time or once for all nodes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::background::{Call, Restart, caught};
use super::service::{ErasedService, Phase, ServiceContext, StopContext};
use crate::data::JobData;
use crate::error::Error;
use crate::job::{BoxFuture, JobDetail, JobError, JobResult};
use crate::key::{JobKey, TriggerKey};
use crate::scheduler::by;
use crate::store::*;
use crate::time::Clock;
use crate::trigger::Trigger;

/// Where the marks of tasks are kept that run once for all nodes.
const GROUP: &str = "start-up";

/// How long a node has a task before another one may take it; it is renewed while the task runs.
const LEASE: Duration = Duration::from_secs(30);

/// How often others look whether a task is done.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct StartUp {
    call: Call,
    pub(super) attempts: usize,
    pub(super) once: Option<u64>,
    pub(super) start_within: Option<Duration>,
}

impl StartUp {
    pub(super) fn new(call: Call) -> Self {
        Self { call, attempts: 1, once: None, start_within: None }
    }

    /// Tries until it succeeds or has been tried often enough.
    async fn run(&self, context: &ServiceContext) -> JobResult {
        let (clock, pauses) = (&context.core.clock, Restart::default());
        let mut attempt = 1;
        loop {
            let running = caught(|| (self.call)(context));
            let result = match self.start_within {
                None => running.await,
                Some(time) => {
                    let deadline = clock.monotonic().saturating_add(time);
                    let late = || Err(JobError::new(format!("not done within {time:?}")));
                    by(&**clock, deadline, running).await.unwrap_or_else(late)
                }
            };
            match result {
                Err(error) if attempt < self.attempts => {
                    let wait = pauses.wait(attempt - 1);
                    let name = context.name();
                    tracing::warn!(task = name, %error, attempt, ?wait, "a start-up task has failed and is tried again");
                    clock.sleep(wait).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn run_once(&self, context: &ServiceContext, version: u64) -> JobResult {
        let Some(scheduler) = context.scheduler() else {
            return Err(JobError::new("once per cluster needs a scheduler, whose store remembers it"));
        };
        let name = format!("{GROUP}/{}", context.name());
        let mark = Mark { store: scheduler.store(), clock: context.core.clock.clone(), key: name.parse()? };
        mark.run(version, || self.run(context)).await
    }
}

impl ErasedService for StartUp {
    fn begin<'a>(&'a self, phase: Phase, context: &'a ServiceContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async move {
            match (phase, self.once) {
                (Phase::Prepare, None) => self.run(context).await,
                (Phase::Prepare, Some(version)) => self.run_once(context, version).await,
                _ => Ok(()),
            }
        })
    }

    fn end<'a>(&'a self, _: Phase, _: &'a StopContext) -> BoxFuture<'a, JobResult> {
        Box::pin(async { Ok(()) })
    }
}

/// A mark in the store that says who does a task, or that it is done: a trigger that never fires, changed only by whoever
/// has read its latest revision.
struct Mark {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    key: TriggerKey,
}

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    version: u64,
    done: bool,
    /// Until when the node that does it is believed to be alive.
    until: DateTime<Utc>,
}

impl Mark {
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

    /// Runs the task, renews the mark meanwhile, and writes down that it is done.
    async fn run_here(&self, version: u64, task: impl Future<Output = JobResult>) -> JobResult {
        let mut task = std::pin::pin!(task);
        let (mut lapses, mut pause) = (self.clock.monotonic().saturating_add(LEASE), LEASE / 3);
        let mut done = None;
        loop {
            let deadline = self.clock.monotonic().saturating_add(pause);
            match done {
                None => done = by(&*self.clock, deadline, task.as_mut()).await,
                // Only the store has not been told yet.
                Some(_) => self.clock.sleep(pause).await,
            }
            if let Some(Err(error)) = done {
                return Err(error);
            }
            match self.renew(version, done.is_some()).await {
                Ok(true) if done.is_some() => return Ok(()),
                Ok(true) => {
                    (lapses, pause) = (self.clock.monotonic().saturating_add(LEASE), LEASE / 3);
                }
                Ok(false) => {
                    return Err(JobError::new(
                        "another node has taken this task over: this one was away for too long",
                    ));
                }
                Err(error) if self.clock.monotonic() >= lapses => return Err(error),
                Err(error) => {
                    tracing::warn!(mark = %self.key, %error, "the mark of a start-up task could not be written; trying again");
                    pause = LOOK;
                }
            }
        }
    }

    /// Writes that this node still has the task, or that it is done; says whether nobody else has it.
    async fn renew(&self, version: u64, done: bool) -> Result<bool, JobError> {
        match self.read().await? {
            Some((note, _)) if note.version != version => Ok(false),
            Some((note, _)) if note.done => Ok(true),
            Some((_, revision)) => self.write(version, done, Some(revision)).await,
            None => self.write(version, done, None).await,
        }
    }

    async fn read(&self) -> Result<Option<(Note, u64)>, JobError> {
        let query = TriggerQuery { keys: vec![self.key.clone()], ..TriggerQuery::default() };
        let Some(status) = self.store.triggers(query).await?.pop() else { return Ok(None) };
        Ok(Some((status.trigger.data().to_args()?, status.revision)))
    }

    /// Says whether nobody was faster.
    async fn write(&self, version: u64, done: bool, revision: Option<u64>) -> Result<bool, JobError> {
        let now = self.clock.now();
        let until = now + TimeDelta::from_std(LEASE).unwrap_or_default();
        let never = DateTime::from_timestamp(253_370_764_800, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let job = JobKey::in_group(GROUP, self.key.name())?;
        let trigger = Trigger::at(never)
            .key(self.key.clone())
            .job(job.clone())
            .description("says whether a start-up task was done")
            .data(JobData::from_args(&Note { version, done, until })?)
            .build(now)?;
        let progress = trigger.first(None);
        let trigger = Arc::new(trigger);
        if let Some(revision) = revision {
            let change = Reschedule {
                old: self.key.clone(),
                revision: Some(revision),
                trigger,
                progress: Some(progress),
            };
            return Ok(self.store.reschedule(change).await?);
        }
        let jobs = vec![Arc::new(JobDetail::builder(job, GROUP).durable(true).build())];
        let (existing_jobs, existing_triggers) = (Existing::Keep, Existing::Refuse);
        let put = Put { jobs, existing_jobs, triggers: vec![(trigger, progress)], existing_triggers };
        match self.store.put(put).await {
            Ok(()) => Ok(true),
            Err(error) if Error::is_conflict(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
