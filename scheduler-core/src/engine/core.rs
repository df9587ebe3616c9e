//! What the handle, the loop and the pool share.
//!
//! Locks: each is held for a few instructions and never across an await; of two, only `phase` under `last_due`.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool as PlainBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;

use super::draw::QueueOrder;
use super::ending::Ending;
use super::running::Running;
use crate::client::{Client, Hooks, Lengths, Wiring};
use crate::execute::Pipeline;
use crate::execution_id::new_session;
use crate::job::{CancelReason, ExecutionId, Invocation, Registry};
use crate::run::RetryPolicy;
use crate::store::{Executions, JobStore, QueueFilter, QueueLimits};
use crate::sync::{self, AtomicBool, AtomicUsize, Mutex};
use crate::time::{Alarm, Clock};
use crate::trigger::Misfire;
use crate::watch::{Event, SchedulerState};

/// What the builder has decided.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) node: Arc<str>,
    pub(crate) concurrency: usize,
    pub(crate) misfire_threshold: Duration,
    pub(crate) misfire: Misfire,
    /// For enqueued runs without a policy.
    pub(crate) retry: RetryPolicy,
    /// Which queue comes next.
    pub(crate) order: QueueOrder,
    /// The queues from which the node takes.
    pub(crate) queues: QueueFilter,
    /// How many runs may wait in queues, for what the scheduler itself enqueues.
    pub(crate) lengths: Lengths,
    pub(crate) hooks: Hooks,
    pub(crate) prune: bool,
    pub(crate) drains: bool,
}

impl Settings {
    pub(crate) fn misfire_threshold(&self) -> TimeDelta {
        TimeDelta::from_std(self.misfire_threshold).unwrap_or(TimeDelta::MAX)
    }
}

/// One scheduler.
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) session: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) registry: Arc<Registry>,
    /// Goes on after the shutdown.
    pub(crate) client: Client,
    pub(crate) start_up: Vec<Invocation>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) limits: RwLock<QueueLimits>,
    pub(crate) running: Running,
    /// Something that attempts have noted is going to be stored.
    pub(super) notes_are_due: [PlainBool; 2],
    /// Held by whoever stores notes; only across that one call of the store.
    pub(super) noting: tokio::sync::Mutex<()>,
    /// How many executions have ended.
    pub(crate) executed: AtomicU64,
    pub(crate) started: OnceLock<DateTime<Utc>>,
    pub(crate) phase: watch::Sender<SchedulerState>,
    /// Slots of the pool in use: queued and running executions.
    pub(crate) active: AtomicUsize,
    /// The store may have something due earlier than the loop knows.
    pub(crate) changed: AtomicBool,
    /// The store wants to know how runs have ended.
    pub(crate) keeps_history: PlainBool,
    /// How long a run may take to stop that has lost its claim.
    pub(crate) stop_within: OnceLock<Duration>,
    /// Why the store does not answer the loop; none while it does.
    pub(crate) store_failure: RwLock<Option<Arc<str>>>,
    /// When the loop takes its next turn, in milliseconds; none yet if it is at the end of all time.
    planned: AtomicU64,
    /// The loop takes a turn in which runs may begin. Set under the lock of the phase, so no order of its own to explore.
    firing: PlainBool,
    /// While the scheduler shuts down: what was due by this moment still runs. None if nothing more is to run.
    last_due: Mutex<Option<DateTime<Utc>>>,
    /// No turn has looked yet whether something is due that is to run before the end.
    undrained: PlainBool,
    /// Runs of this node that somebody wants to be stopped.
    stops: Mutex<Vec<(ExecutionId, CancelReason)>>,
    endings: Mutex<Vec<Ending>>,
    alarm: Mutex<Option<Arc<dyn Alarm>>>,
    /// An ending was handed over.
    handed: Notify,
    pub(crate) idle: Notify,
    /// Every task of the scheduler, once it is started.
    pub(crate) tasks: TaskTracker,
    runtime: OnceLock<Handle>,
}

impl Core {
    pub(crate) fn new(
        settings: Settings,
        store: Arc<dyn JobStore>,
        registry: Registry,
        pipeline: Pipeline,
    ) -> Self {
        let (session, registry, clock) = (new_session(), Arc::new(registry), pipeline.clock.clone());
        let client = Client::wired(Wiring {
            store: store.clone(),
            clock: clock.clone(),
            sender: session,
            registry: Some(registry.clone()),
            bus: Arc::downgrade(&pipeline.bus),
            misfire: settings.misfire,
            misfire_threshold: settings.misfire_threshold(),
            lengths: settings.lengths.clone(),
            hooks: settings.hooks.clone(),
        });
        Self {
            settings,
            session,
            clock,
            store,
            registry,
            client,
            start_up: Vec::new(),
            pipeline: Arc::new(pipeline),
            limits: RwLock::default(),
            running: Running::default(),
            notes_are_due: [false, false].map(PlainBool::new),
            noting: tokio::sync::Mutex::default(),
            executed: AtomicU64::new(0),
            started: OnceLock::new(),
            phase: watch::Sender::new(SchedulerState::Created),
            active: AtomicUsize::new(0),
            changed: AtomicBool::new(true),
            keeps_history: PlainBool::new(false),
            stop_within: OnceLock::new(),
            store_failure: RwLock::default(),
            planned: AtomicU64::new(u64::MAX),
            firing: PlainBool::new(false),
            last_due: Mutex::default(),
            undrained: PlainBool::new(false),
            stops: Mutex::default(),
            endings: Mutex::default(),
            alarm: Mutex::default(),
            handed: Notify::new(),
            idle: Notify::new(),
            tasks: TaskTracker::new(),
            runtime: OnceLock::new(),
        }
    }

    /// Tasks run here from now on.
    pub(crate) fn set_runtime(&self, runtime: &Handle) {
        // Set once: a start that is repeated finds that of the first.
        self.runtime.set(runtime.clone()).ok();
    }

    /// Runs a task that the end of the scheduler waits for. Before the start there is nobody to run it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.runtime.get() {
            sync::spawn(&self.tasks, runtime, task);
        }
    }

    pub(crate) fn state(&self) -> SchedulerState {
        *self.phase.borrow()
    }

    /// Takes the step if the present phase allows it, and tells the loop.
    pub(crate) fn enter(&self, to: SchedulerState, from: &[SchedulerState]) -> Result<(), SchedulerState> {
        let mut refused = None;
        self.phase.send_if_modified(|phase| {
            let allowed = from.contains(phase);
            if allowed {
                *phase = to;
            } else {
                refused = Some(*phase);
            }
            allowed
        });
        self.ring();
        if refused.is_none() {
            self.pipeline.bus.send(|| Event::State { state: to });
        }
        refused.map_or(Ok(()), Err)
    }

    /// The loop begins a turn; beside the phase it is told up to when what is due still runs, where it drains. Under the locks
    /// of both, so that whoever ends `Running` or the draining sees that the turn fires.
    pub(crate) fn turn_begins(&self, unsure: bool) -> (SchedulerState, Option<DateTime<Utc>>) {
        let last_due = self.last_due.lock();
        let phase = self.phase.borrow();
        let fires = *phase == SchedulerState::Running || last_due.is_some();
        // What an earlier turn has left to fire ends with this one, which tells those who wait for it.
        self.firing.fetch_or(unsure || fires, Ordering::AcqRel);
        (*phase, *last_due)
    }

    /// Whether state and end are still as they were when the turn began.
    pub(crate) fn is_still(&self, state: SchedulerState, last_due: Option<DateTime<Utc>>) -> bool {
        let known = self.last_due.lock();
        *self.phase.borrow() == state && *known == last_due
    }

    /// Something `may_begin` while it is not known what has been fired, or what is due is to run before the end.
    pub(crate) fn turn_ends(&self, may_begin: bool) {
        if self.firing.swap(may_begin, Ordering::AcqRel) && !may_begin {
            self.idle.notify_waiters();
        }
    }

    /// Runs that are due now still start, until [`stop_draining`](Self::stop_draining).
    pub(crate) fn drain_due(&self) {
        self.undrained.store(true, Ordering::Release);
        *self.last_due.lock() = Some(self.clock.now());
    }

    /// A turn that began while this scheduler drains has left nothing that is due.
    pub(crate) fn drained(&self) {
        if self.undrained.swap(false, Ordering::AcqRel) {
            self.idle.notify_waiters();
        }
    }

    pub(crate) fn stop_draining(&self) {
        *self.last_due.lock() = None;
        self.drained();
        self.ring();
    }

    /// No run is under way, and none is about to begin.
    pub(crate) fn is_idle(&self) -> bool {
        let may_begin = self.undrained.load(Ordering::Acquire) || self.firing.load(Ordering::Acquire);
        !may_begin && self.active.load(Ordering::Acquire) == 0
    }

    /// The loop takes its next turn at this moment of the monotonic clock at the latest.
    pub(crate) fn plan(&self, next: Duration) {
        let millis = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
        self.planned.store(millis, Ordering::Relaxed);
    }

    /// How late the loop is with its next turn.
    pub(crate) fn lag(&self) -> Duration {
        let planned = Duration::from_millis(self.planned.load(Ordering::Relaxed));
        self.clock.monotonic().saturating_sub(planned)
    }

    /// Something that is due earlier may have come.
    pub(crate) fn wake(&self) {
        self.changed.store(true, Ordering::Release);
        self.ring();
    }

    pub(crate) fn ring(&self) {
        if let Some(alarm) = &*self.alarm.lock() {
            alarm.ring();
        }
    }

    pub(crate) fn set_alarm(&self, alarm: Option<Arc<dyn Alarm>>) {
        *self.alarm.lock() = alarm;
    }

    /// Hands an ending to the loop, which is woken for the first of a batch.
    pub(crate) fn hand_over(&self, ending: Ending) {
        let first = {
            let mut endings = self.endings.lock();
            endings.push(ending);
            endings.len() == 1
        };
        self.handed.notify_waiters();
        if first {
            self.ring();
        }
    }

    /// Asks the loop to stop a run of this node.
    pub(crate) fn stop(&self, run: ExecutionId, reason: CancelReason) {
        self.stops.lock().push((run, reason));
        self.ring();
    }

    /// Asks runs of this node to stop.
    pub(crate) fn cancel_here(&self, what: &Executions) {
        for run in self.running.list() {
            let meant = match what {
                Executions::One(id) => run.id == *id,
                Executions::OfJob(job) => run.job == *job,
                Executions::OfTrigger(trigger) => run.trigger == *trigger,
                Executions::OfQueue(queue) => run.queue.as_ref() == Some(queue),
                Executions::All => true,
            };
            if meant {
                self.running.cancel(run.id, CancelReason::Requested);
                self.stop(run.id, CancelReason::Requested);
            }
        }
    }

    /// Stops a run of this node that has lost its claim, whatever the loop waits for.
    pub(crate) fn stop_now(self: &Arc<Self>, run: ExecutionId, reason: CancelReason) {
        if self.running.cancel(run, reason) == Some(true) {
            let (core, within) = (self.clone(), self.stop_within.get().copied().unwrap_or_default());
            let watch = async move {
                core.clock.sleep(within).await;
                core.running.abort(run, reason);
            };
            self.spawn(self.clock.begin(&"the end of a run that has lost its claim").observe(watch));
        } else {
            self.running.abort(run, reason);
        }
        self.stop(run, reason);
    }

    pub(crate) fn take_stops(&self) -> Vec<(ExecutionId, CancelReason)> {
        std::mem::take(&mut *self.stops.lock())
    }

    /// Waits until there are endings that the loop has not taken.
    pub(crate) async fn has_endings(&self) {
        loop {
            let handed = self.handed.notified();
            if !self.endings.lock().is_empty() {
                return;
            }
            handed.await;
        }
    }

    /// Takes out the ending of a run that no loop waits for.
    pub(crate) async fn ending_of(&self, run: ExecutionId) -> Ending {
        loop {
            let handed = self.handed.notified();
            if let Some(ending) = self.take_ending(run) {
                return ending;
            }
            handed.await;
        }
    }

    fn take_ending(&self, run: ExecutionId) -> Option<Ending> {
        let mut endings = self.endings.lock();
        let place = endings.iter().position(|ending| ending.completion.execution == run)?;
        Some(endings.remove(place))
    }

    pub(crate) fn take_endings(&self) -> Vec<Ending> {
        std::mem::take(&mut *self.endings.lock())
    }

    /// Slots of the pool are free again.
    pub(crate) fn free_slots(&self, count: usize) {
        if self.active.fetch_sub(count, Ordering::AcqRel) == count {
            self.idle.notify_waiters();
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Scheduler");
        out.field("name", &self.settings.name).field("state", &self.state()).field("store", &self.store);
        out.finish_non_exhaustive()
    }
}
