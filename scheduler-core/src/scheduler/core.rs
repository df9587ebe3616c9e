//! What the handle, the loop and the pool share.
//!
//! Locks: `endings` and `phase` are each held for a few instructions, never together and never across an await.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::ending::Ending;
use super::event::Bus;
use super::running::Running;
use crate::calendar::Calendar;
use crate::job::{Invocation, Providers, Registry};
use crate::store::JobStore;
use crate::time::{Alarm, Clock};
use crate::trigger::{Misfire, Trigger};

/// In which phase of its life a scheduler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulerState {
    /// Built and not yet started.
    Created,
    /// Fires triggers.
    Running,
    /// Takes no new work; what runs goes on.
    Standby,
    /// Takes no new work and waits for what runs.
    ShuttingDown,
    /// Over; it cannot be started again.
    Shutdown,
}

impl fmt::Display for SchedulerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Standby => "standby",
            Self::ShuttingDown => "shutting down",
            Self::Shutdown => "shut down",
        })
    }
}

/// What the builder has decided.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) name: Arc<str>,
    pub(super) concurrency: usize,
    pub(super) batch: usize,
    pub(super) misfire_threshold: Duration,
    pub(super) misfire: Misfire,
    pub(super) cancel_grace: Duration,
}

/// The calendars that triggers may name.
pub(super) type Calendars = HashMap<Arc<str>, Arc<dyn Calendar>>;

/// One scheduler.
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) session: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<dyn JobStore>,
    pub(super) registry: Registry,
    pub(super) providers: Arc<Providers>,
    pub(super) start_up: Vec<Invocation>,
    pub(super) calendars: Calendars,
    pub(super) running: Running,
    pub(super) bus: Bus,
    pub(super) phase: watch::Sender<SchedulerState>,
    /// Slots of the pool in use: queued and running executions.
    pub(super) active: AtomicUsize,
    /// The store may have something due earlier than the loop knows.
    pub(super) changed: AtomicBool,
    endings: Mutex<Vec<Ending>>,
    alarm: Mutex<Option<Arc<dyn Alarm>>>,
    pub(super) idle: Notify,
}

impl Core {
    pub(super) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        store: Arc<dyn JobStore>,
        registry: Registry,
        providers: Providers,
        start_up: Vec<Invocation>,
        calendars: Calendars,
    ) -> Self {
        Self {
            settings,
            session: random(),
            clock,
            store,
            registry,
            providers: Arc::new(providers),
            start_up,
            calendars,
            running: Running::default(),
            bus: Bus::new(),
            phase: watch::Sender::new(SchedulerState::Created),
            active: AtomicUsize::new(0),
            changed: AtomicBool::new(true),
            endings: Mutex::default(),
            alarm: Mutex::default(),
            idle: Notify::new(),
        }
    }

    /// The calendar that a trigger names.
    pub(super) fn calendar_of(&self, trigger: &Trigger) -> Option<&dyn Calendar> {
        trigger.calendar().and_then(|name| self.calendars.get(name)).map(|calendar| &**calendar)
    }

    pub(super) fn state(&self) -> SchedulerState {
        *self.phase.borrow()
    }

    /// Takes the step if the present phase allows it, and tells the loop.
    pub(super) fn enter(&self, to: SchedulerState, from: &[SchedulerState]) -> Result<(), SchedulerState> {
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
        refused.map_or(Ok(()), Err)
    }

    /// Something that is due earlier may have come.
    pub(super) fn wake(&self) {
        self.changed.store(true, Ordering::Release);
        self.ring();
    }

    pub(super) fn ring(&self) {
        if let Some(alarm) = &*self.alarm.lock() {
            alarm.ring();
        }
    }

    pub(super) fn set_alarm(&self, alarm: Option<Arc<dyn Alarm>>) {
        *self.alarm.lock() = alarm;
    }

    /// Hands an ending to the loop, which is woken for the first of a batch.
    pub(super) fn hand_over(&self, ending: Ending) {
        let first = {
            let mut endings = self.endings.lock();
            endings.push(ending);
            endings.len() == 1
        };
        if first {
            self.ring();
        }
    }

    pub(super) fn take_endings(&self) -> Vec<Ending> {
        std::mem::take(&mut *self.endings.lock())
    }

    /// Endings that could not be written stay first in line.
    pub(super) fn put_back_endings(&self, mut unwritten: Vec<Ending>) {
        unwritten.iter_mut().for_each(Ending::wait);
        let mut endings = self.endings.lock();
        unwritten.append(&mut endings);
        *endings = unwritten;
    }

    /// Slots of the pool are free again.
    pub(super) fn free_slots(&self, count: usize) {
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

/// A number that no other life of a node has; the standard library seeds its hashers from the system.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
