//! A job store that fails on demand.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::calendar::Calendar;
use crate::error::Error;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::run::RunId;
use crate::store::*;
use crate::time::Clock;

/// How a call of a store goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It fails before it has any effect.
    Fails,
    /// It takes effect, and its reply is lost.
    LosesReply,
    /// It panics: the store has a bug.
    Panics,
}

macro_rules! faulty {
    ($($verb:ident $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        /// A verb of [`JobStore`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is named after its method")]
        pub enum Verb { $($verb,)* }

        impl Verb {
            /// Every verb.
            pub const ALL: &[Self] = &[$(Self::$verb,)*];
        }

        impl JobStore for FaultyStore {
            fn clock(&self) -> Option<Arc<dyn Clock>> {
                self.inner.clock()
            }

            fn trouble(&self) -> Option<Arc<str>> {
                self.inner.trouble()
            }

            fn forgets(&self) -> bool {
                self.inner.forgets()
            }

            $(fn $name(&self, $($arg: $type),*) -> StoreFuture<'_, $out> {
                self.call(Verb::$verb, move |store| store.$name($($arg),*))
            })*
        }
    };
}

faulty! {
    Attach attach(node: Node) -> Attached;
    Detach detach(session: u64) -> ();
    Nodes nodes() -> Vec<NodeStatus>;
    AcquireDue acquire_due(request: AcquireDue) -> Acquired;
    Fire fire(request: Fire) -> Vec<FireResult>;
    Complete complete(request: Complete) -> Vec<CompleteResult>;
    Cancel cancel(what: Executions) -> Vec<ExecutionId>;
    Enqueue enqueue(runs: Vec<NewRun>) -> Vec<Enqueued>;
    Runs runs(query: RunQuery) -> Vec<RunStatus>;
    CancelRuns cancel_runs(runs: Vec<RunId>) -> Vec<bool>;
    Replay replay(runs: Vec<RunId>, now: DateTime<Utc>) -> Vec<bool>;
    Release release(claims: Vec<ExecutionId>) -> ();
    Put put(request: Put) -> ();
    Reschedule reschedule(request: Reschedule) -> bool;
    Adjust adjust(adjustments: Vec<Adjustment>) -> Vec<bool>;
    RemoveTriggers remove_triggers(keys: Vec<TriggerKey>) -> Vec<Removed>;
    RemoveJobs remove_jobs(keys: Vec<JobKey>) -> Vec<bool>;
    Clear clear() -> ();
    Pause pause(request: Pause) -> Vec<TriggerKey>;
    Resume resume(what: Selection) -> Vec<TriggerKey>;
    Reset reset(keys: Vec<TriggerKey>) -> Vec<bool>;
    PutCalendar put_calendar(name: Arc<str>, calendar: Arc<dyn Calendar>, replace: bool) -> ();
    RemoveCalendar remove_calendar(name: Arc<str>) -> bool;
    Calendars calendars() -> Vec<NamedCalendar>;
    Mark mark(name: Arc<str>) -> Option<Mark>;
    PutMark put_mark(request: PutMark) -> Option<u64>;
    Jobs jobs(query: JobQuery) -> Vec<Arc<JobDetail>>;
    Triggers triggers(query: TriggerQuery) -> Vec<TriggerStatus>;
    Executions executions(what: Executions) -> Vec<ExecutionStatus>;
    History history(query: HistoryQuery) -> Vec<RunRecord>;
    Groups groups(kind: GroupKind) -> Vec<GroupStatus>;
}

/// A job store whose calls go wrong when a test asks for it. Cloning gives a handle to the same one.
///
/// ```
/// # use scheduler_core::Scheduler;
/// use scheduler_core::store::MemoryJobStore;
/// use scheduler_core::testing::{Fault, FaultyStore, Verb};
///
/// let store = FaultyStore::new(MemoryJobStore::new());
/// let scheduler = Scheduler::builder().store(store.clone()).build()?;
/// store.inject(Verb::Fire, Fault::LosesReply, 1); // the next call of `fire`
/// # Ok::<(), scheduler_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn JobStore>,
    faults: Arc<Mutex<HashMap<Verb, (Fault, usize)>>>,
}

impl FaultyStore {
    /// A store that works until [`inject`](Self::inject) is called.
    pub fn new(inner: impl JobStore) -> Self {
        Self { inner: Arc::new(inner), faults: Arc::default() }
    }

    /// The next `times` calls of the verb go wrong.
    pub fn inject(&self, verb: Verb, fault: Fault, times: usize) {
        self.faults.lock().insert(verb, (fault, times));
    }

    /// Every call goes wrong until [`heal`](Self::heal).
    pub fn inject_everywhere(&self, fault: Fault) {
        self.faults.lock().extend(Verb::ALL.iter().map(|verb| (*verb, (fault, usize::MAX))));
    }

    /// Everything works again.
    pub fn heal(&self) {
        self.faults.lock().clear();
    }

    fn next_fault(&self, verb: Verb) -> Option<Fault> {
        let mut faults = self.faults.lock();
        let (fault, times) = faults.get_mut(&verb)?;
        let fault = *fault;
        *times = times.saturating_sub(1);
        if *times == 0 {
            faults.remove(&verb);
        }
        Some(fault)
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        verb: Verb,
        call: impl FnOnce(&'a dyn JobStore) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        match self.next_fault(verb) {
            None => call(&*self.inner),
            Some(Fault::Fails) => {
                Box::pin(async move { Err(Error::transient(format!("{verb:?}: the line is cut"))) })
            }
            Some(Fault::LosesReply) => Box::pin(async move {
                call(&*self.inner).await?;
                Err(Error::transient(format!("{verb:?}: the reply is lost")))
            }),
            Some(Fault::Panics) => panic!("{verb:?}: the store has a bug"),
        }
    }
}
