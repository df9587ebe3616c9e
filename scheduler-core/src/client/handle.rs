//! The handle of a client, and what a scheduler adds to it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::hooks::Hooks;
use super::lengths::Lengths;
use crate::error::{Error, Result};
use crate::execution_id::new_session;
use crate::job::Registry;
use crate::key::JobKey;
use crate::run::RunId;
use crate::store::JobStore;
use crate::time::{Clock, SystemClock};
use crate::trigger::Misfire;
use crate::watch::{Bus, Event, SchedulerState};

/// How late a firing may be before the misfire policy of its trigger applies, unless a scheduler says otherwise.
const MISFIRE_THRESHOLD: TimeDelta = TimeDelta::seconds(60);

/// Set in the numbers of runs that were enqueued; those of triggers' firings are numbers of claims, which are smaller.
const OF_ENQUEUED: u64 = 1 << 63;

/// A client of a job store, which changes and reads what is stored and runs nothing. See the [module](crate::client).
///
/// Cloning gives the same client, and is cheap. A client may be used from any thread and task, also from inside a job, which gets
/// that of its scheduler by taking a `Client` as a parameter:
///
/// ```
/// use scheduler_core::Client;
/// use scheduler_core::prelude::*;
///
/// #[job]
/// async fn import(client: Client) -> JobResult {
///     // … and when the import is through:
///     client.enqueue(report::with()).await?;
///     Ok(())
/// }
///
/// #[job]
/// async fn report() {}
/// ```
///
/// # The client of a scheduler
///
/// The client of a [scheduler](crate::Scheduler::client) also refuses jobs that the scheduler does not know and arguments that their
/// functions cannot read, and what it changes is an event of the scheduler. It goes on after the shutdown of the scheduler, with
/// which the same methods of the scheduler end: what it enqueues then is run by another node or after the next start, and a store in
/// memory forgets it with the process.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// The life with which this client ends; none if it ends with nothing.
    life: Option<watch::Receiver<SchedulerState>>,
    pub(super) lengths: Arc<Lengths>,
    pub(super) hooks: Arc<Hooks>,
}

/// What a client works with.
pub(crate) struct Wiring {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The first half of the ids of runs.
    pub(crate) sender: u64,
    /// The functions that the scheduler of this client can run; none where there is no scheduler.
    pub(crate) registry: Option<Arc<Registry>>,
    /// Where changes are told. Weak, since event streams end with their scheduler, which a client may outlive.
    pub(crate) bus: Weak<Bus>,
    /// The policy of triggers that set none.
    pub(crate) misfire: Misfire,
    pub(crate) misfire_threshold: TimeDelta,
    /// How many runs may wait in queues.
    pub(crate) lengths: Lengths,
    /// Who sees the runs that are enqueued.
    pub(crate) hooks: Hooks,
}

struct Shared {
    wiring: Wiring,
    /// How many runs have got an id.
    runs: AtomicU64,
    /// How many triggers have got a name.
    names: AtomicU64,
}

impl Client {
    /// A client of this store. Its time is that of the [store](JobStore::clock), or else of the machine.
    ///
    /// Triggers that set no misfire policy get [`Misfire::Smart`].
    pub fn new(store: impl JobStore) -> Self {
        let clock = store.clock().unwrap_or_else(|| Arc::new(SystemClock));
        Self::alone(Arc::new(store), clock)
    }

    /// A client of this store with another clock, such as the [`ManualClock`](crate::time::ManualClock) of a test.
    pub fn with_clock(store: impl JobStore, clock: impl Clock) -> Self {
        Self::alone(Arc::new(store), Arc::new(clock))
    }

    fn alone(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>) -> Self {
        Self::wired(Wiring {
            store,
            clock,
            sender: new_session(),
            registry: None,
            bus: Weak::new(),
            misfire: Misfire::Smart,
            misfire_threshold: MISFIRE_THRESHOLD,
            lengths: Lengths::default(),
            hooks: Hooks::default(),
        })
    }

    pub(crate) fn wired(mut wiring: Wiring) -> Self {
        let lengths = Arc::new(std::mem::take(&mut wiring.lengths));
        let hooks = Arc::new(std::mem::take(&mut wiring.hooks));
        let shared = Shared { wiring, runs: AtomicU64::new(0), names: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), life: None, lengths, hooks }
    }

    /// The same client, which refuses changes once this life is about to end.
    pub(crate) fn ending_with(&self, life: watch::Receiver<SchedulerState>) -> Self {
        Self { life: Some(life), ..self.clone() }
    }

    pub(super) fn store(&self) -> &Arc<dyn JobStore> {
        &self.shared.wiring.store
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.shared.wiring.clock.now()
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.wiring.clock
    }

    pub(super) fn registry(&self) -> Option<&Registry> {
        self.shared.wiring.registry.as_deref()
    }

    pub(super) fn misfire(&self) -> Misfire {
        self.shared.wiring.misfire
    }

    pub(super) fn misfire_threshold(&self) -> TimeDelta {
        self.shared.wiring.misfire_threshold
    }

    /// For every verb that changes what is stored: none of them works once the shutdown has begun.
    pub(super) fn open(&self) -> Result<&Arc<dyn JobStore>> {
        let ends = self.life.as_ref().is_some_and(|life| life.borrow().ends());
        if ends { Err(closed()) } else { Ok(self.store()) }
    }

    /// As [`open`](Self::open), for what also works while the scheduler shuts down.
    pub(super) fn open_to_the_end(&self) -> Result<&Arc<dyn JobStore>> {
        let over = self.life.as_ref().is_some_and(|life| *life.borrow() == SchedulerState::Shutdown);
        if over { Err(closed()) } else { Ok(self.store()) }
    }

    pub(super) fn is_heard(&self) -> bool {
        self.shared.wiring.bus.upgrade().is_some_and(|bus| bus.is_heard())
    }

    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(bus) = self.shared.wiring.bus.upgrade() {
            bus.send(event);
        }
    }

    /// An id that no other run has.
    pub(super) fn new_run(&self) -> RunId {
        let count = self.shared.runs.fetch_add(1, Ordering::Relaxed);
        RunId::new(self.shared.wiring.sender, count | OF_ENQUEUED)
    }

    /// A name for a trigger that nobody else has.
    pub(super) fn unused_name(&self, job: &JobKey) -> String {
        let number = self.shared.names.fetch_add(1, Ordering::Relaxed);
        format!("{}~{:x}-{number}", job.name(), self.shared.wiring.sender)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("store", self.store()).finish_non_exhaustive()
    }
}

pub(crate) fn closed() -> Error {
    Error::closed("the scheduler has been shut down; build a new one")
}
