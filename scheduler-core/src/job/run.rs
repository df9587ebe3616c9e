//! One run, from its firing to its end.

use std::any::Any;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::context::CancelReason;
use super::detail::JobDetail;
use super::launcher::Launcher;
use super::notebook::{Notebook, Noting};
use super::outcome::Outcome;
use super::provide::Providers;
use super::scope::Scope;
use crate::data::JobData;
use crate::execution_id::ExecutionId;
use crate::key::TriggerKey;
use crate::run::{AttemptError, Delivery, FiringCause, RetryPolicy, RunId};
use crate::sync::{AbortHandle, Mutex};
use crate::time::Clock;
use crate::trigger::Trigger;

/// What distinguishes one run from another.
#[derive(Debug)]
pub(crate) struct RunParts {
    pub(crate) id: ExecutionId,
    pub(crate) job: Arc<JobDetail>,
    pub(crate) trigger: Arc<Trigger>,
    pub(crate) launcher: Launcher,
    pub(crate) fence: u64,
    pub(crate) scheduled: DateTime<Utc>,
    pub(crate) fired: DateTime<Utc>,
    pub(crate) previous: Option<DateTime<Utc>>,
    pub(crate) next: Option<DateTime<Utc>>,
    /// The stored run; none for the first attempt of a trigger's firing, and for a job that no store knows.
    pub(crate) stored: Option<Box<StoredRun>>,
    /// What a launcher outside of the scheduler gives its function.
    pub(crate) caller: Option<Arc<dyn Any + Send + Sync>>,
}

/// What distinguishes a stored run.
#[derive(Debug)]
pub(crate) struct StoredRun {
    pub(crate) id: RunId,
    /// The trigger of the occurrence that is tried again.
    pub(crate) occurrence_of: Option<TriggerKey>,
    pub(crate) cause: FiringCause,
    /// The batch that it is in, or of whose end it tells.
    pub(crate) batch: Option<RunId>,
    pub(crate) attempt: u32,
    /// How many attempts it may have.
    pub(crate) most: u32,
    /// When its first attempt began, if this is a retry.
    pub(crate) first: Option<DateTime<Utc>>,
    pub(crate) retry: Option<RetryPolicy>,
    /// What the attempts before have failed with.
    pub(crate) errors: Vec<AttemptError>,
    /// How far the attempts before have got, as JSON.
    pub(crate) checkpoint: Option<Arc<str>>,
    /// How many attempts before were interrupted.
    pub(crate) interruptions: u32,
    pub(crate) delivery: Delivery,
}

impl RunParts {
    /// That of the stored run; otherwise that of its only attempt so far.
    pub(crate) fn run_id(&self) -> RunId {
        self.stored.as_ref().map_or_else(|| RunId::new(self.id.session(), self.id.count()), |run| run.id)
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.stored.as_ref().map_or(1, |run| run.attempt)
    }

    /// When the first attempt of the run began.
    pub(crate) fn first_attempt(&self) -> DateTime<Utc> {
        self.stored.as_ref().and_then(|run| run.first).unwrap_or(self.fired)
    }
}

/// What a run wishes for its end.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(super) refire: bool,
    pub(crate) unschedule: Option<Unschedule>,
    pub(crate) data: Option<JobData>,
    /// What the job has returned, as JSON.
    pub(crate) output: Option<Arc<str>>,
}

/// Which triggers a run wishes to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unschedule {
    Trigger,
    Job,
}

/// One run: its parts, what it may reach, whether it was asked to stop, and how to take it away.
pub(crate) struct Run {
    pub(crate) parts: RunParts,
    pub(super) data: OnceLock<JobData>,
    reason: OnceLock<CancelReason>,
    token: OnceLock<CancellationToken>,
    /// The job has the token.
    listens: AtomicBool,
    /// The job is over, and user code ends the run: close hooks, then listeners, each of which is [bounded](Self::in_time).
    ending: AtomicBool,
    /// The outcome of which listeners hear, so that it stays if they are aborted.
    settled: Mutex<Option<Outcome>>,
    /// How long the run may take to stop when it is asked to.
    grace: Duration,
    pub(super) refires: AtomicU32,
    pub(super) wishes: Mutex<Wishes>,
    pub(crate) notebook: Notebook,
    noting: Option<Weak<dyn Noting>>,
    pub(crate) providers: Arc<Providers>,
    pub(super) clock: Arc<dyn Clock>,
    scope: Scope,
    pub(crate) abort: TaskAbort,
}

impl Run {
    pub(crate) fn new(
        parts: RunParts,
        providers: Arc<Providers>,
        clock: Arc<dyn Clock>,
        grace: Duration,
        noting: Option<Weak<dyn Noting>>,
    ) -> Self {
        let (data, reason, token, listens, ending) = Default::default();
        let (settled, wishes, notebook, scope, abort) = Default::default();
        let refires = AtomicU32::new(0);
        Self {
            parts,
            data,
            reason,
            token,
            listens,
            ending,
            settled,
            grace,
            refires,
            wishes,
            notebook,
            noting,
            providers,
            clock,
            scope,
            abort,
        }
    }

    /// Stores what the attempt notes; none for an attempt that no store knows.
    pub(super) fn noting(&self) -> Option<Arc<dyn Noting>> {
        let has_claim = matches!(self.parts.launcher, Launcher::Trigger | Launcher::Run);
        self.noting.as_ref().filter(|_| has_claim)?.upgrade()
    }

    /// Adds a line to the log of an attempt that a store knows.
    #[cfg(feature = "run-log")]
    pub(super) fn log(&self, line: impl FnOnce(DateTime<Utc>) -> crate::run::LogLine) {
        if let Some(noting) = self.noting() {
            self.notebook.log(line(self.clock.now()));
            noting.noted(true);
        }
    }

    /// The values of its own.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Closes the values of its own, and says what has become of the outcome.
    pub(crate) async fn close(&self, outcome: Outcome) -> Outcome {
        self.scope.close(self, outcome).await
    }

    /// The output of user code that ends the run, such as a close hook. The code may take any time until the run is asked to
    /// stop, and the grace from then on; then it is dropped.
    pub(crate) async fn in_time<F: Future>(&self, code: F) -> Option<F::Output> {
        self.ending.store(true, Ordering::Release);
        let late = async {
            self.token().cancelled().await;
            self.clock.sleep(self.grace).await;
        };
        tokio::select! {
            biased;
            output = code => Some(output),
            () = late => None,
        }
    }

    /// Whether the job is over, and what still runs is bounded by itself.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Nothing changes the outcome any more.
    pub(crate) fn settle(&self, outcome: Outcome) {
        *self.settled.lock() = Some(outcome);
    }

    pub(crate) fn settled(&self) -> Option<Outcome> {
        self.settled.lock().clone()
    }

    /// What the run wishes for its end; asked once, when it is over.
    pub(crate) fn take_wishes(&self) -> Wishes {
        std::mem::take(&mut self.wishes.lock())
    }

    /// Whether the run wishes to be run again at once. If so, that has begun.
    pub(crate) fn begin_refire(&self) -> bool {
        let refire = std::mem::take(&mut self.wishes.lock().refire) && self.cancel_reason().is_none();
        if refire {
            self.ending.store(false, Ordering::Release);
            *self.settled.lock() = None;
            self.refires.fetch_add(1, Ordering::Relaxed);
        }
        refire
    }

    /// Asks the run to stop; the first reason stays. Says whether anybody listens.
    pub(crate) fn cancel(&self, reason: CancelReason) -> bool {
        let _ = self.reason.set(reason);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
        self.listens.load(Ordering::Acquire) || self.is_ending()
    }

    pub(crate) fn cancel_reason(&self) -> Option<CancelReason> {
        self.reason.get().copied()
    }

    /// The token for the job, which then stops by itself when it is asked to.
    pub(crate) fn listen(&self) -> &CancellationToken {
        self.listens.store(true, Ordering::Release);
        self.token()
    }

    fn token(&self) -> &CancellationToken {
        let token = self.token.get_or_init(CancellationToken::new);
        // The reason may have been set just before the token existed.
        if self.reason.get().is_some() {
            token.cancel();
        }
        token
    }
}

/// How to end the task of a run from outside.
#[derive(Default)]
pub(crate) struct TaskAbort {
    pulled: AtomicBool,
    task: Mutex<Task>,
    asked: AtomicBool,
}

#[derive(Default)]
enum Task {
    #[default]
    None,
    Running(AbortHandle),
    /// A context may outlive its run, but nothing of the task.
    Over,
}

impl TaskAbort {
    /// Ends the task now, or as soon as there is one.
    pub(crate) fn pull(&self) {
        self.pulled.store(true, Ordering::SeqCst);
        if let Task::Running(task) = &*self.task.lock() {
            // Ends nothing by itself: the runtime does.
            task.abort();
        }
    }

    /// The run has become a task of its own.
    pub(crate) fn attach(&self, task: AbortHandle) {
        let mut slot = self.task.lock();
        if matches!(*slot, Task::Over) {
            return;
        }
        if self.pulled.load(Ordering::SeqCst) {
            task.abort();
        }
        *slot = Task::Running(task);
    }

    /// There is nothing to end any more.
    pub(crate) fn release(&self) {
        *self.task.lock() = Task::Over;
    }

    /// Notes that the run was asked to stop and is watched; says whether it was before.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.swap(true, Ordering::AcqRel)
    }
}
