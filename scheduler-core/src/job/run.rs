//! One run, from its firing to its end.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::context::CancelReason;
use super::detail::JobDetail;
use super::id::ExecutionId;
use super::provide::Providers;
use super::scope::Scope;
use crate::data::JobData;
use crate::sync::{AbortHandle, Mutex};
use crate::time::Clock;
use crate::trigger::Trigger;

/// What distinguishes one run from another.
#[derive(Debug)]
pub(crate) struct RunParts {
    pub(crate) id: ExecutionId,
    pub(crate) job: Arc<JobDetail>,
    pub(crate) trigger: Arc<Trigger>,
    pub(crate) fence: u64,
    pub(crate) scheduled: DateTime<Utc>,
    pub(crate) fired: DateTime<Utc>,
    pub(crate) previous: Option<DateTime<Utc>>,
    pub(crate) next: Option<DateTime<Utc>>,
}

/// What a run wishes for its end.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(super) refire: bool,
    pub(crate) unschedule: Option<Unschedule>,
    pub(crate) data: Option<JobData>,
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
    pub(super) attempt: AtomicU32,
    pub(super) wishes: Mutex<Wishes>,
    pub(super) providers: Arc<Providers>,
    pub(super) clock: Arc<dyn Clock>,
    scope: Scope,
    pub(crate) brake: Brake,
}

impl Run {
    pub(crate) fn new(parts: RunParts, providers: Arc<Providers>, clock: Arc<dyn Clock>) -> Self {
        let (data, reason, token, wishes, scope, brake) = Default::default();
        let attempt = AtomicU32::new(1);
        Self { parts, data, reason, token, attempt, wishes, providers, clock, scope, brake }
    }

    /// The values of its own.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What the run wishes for its end; asked once, when it is over.
    pub(crate) fn take_wishes(&self) -> Wishes {
        std::mem::take(&mut self.wishes.lock())
    }

    /// Whether the run wishes to be run again at once. If so, the next attempt has begun.
    pub(crate) fn begin_refire(&self) -> bool {
        let refire = std::mem::take(&mut self.wishes.lock().refire) && self.cancel_reason().is_none();
        if refire {
            self.attempt.fetch_add(1, Ordering::Relaxed);
        }
        refire
    }

    /// Asks the run to stop; the first reason stays. Says whether anybody listens.
    pub(crate) fn cancel(&self, reason: CancelReason) -> bool {
        let _ = self.reason.set(reason);
        self.token.get().is_some_and(|token| {
            token.cancel();
            true
        })
    }

    pub(crate) fn cancel_reason(&self) -> Option<CancelReason> {
        self.reason.get().copied()
    }

    pub(super) fn token(&self) -> &CancellationToken {
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
pub(crate) struct Brake {
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

impl Brake {
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
