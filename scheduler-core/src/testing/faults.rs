//! A job store that fails on demand.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Error;
use crate::job::ExecutionId;
use crate::store::decorator::Decorator;
use crate::store::*;

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

macro_rules! verbs {
    (of_nodes: $($verb:ident)*; changes: $($change:ident)*; queries: $($query:ident)*) => {
        /// What a store is asked for: a method of [`JobStore`], a [`Change`] or a [`Query`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is named after its method")]
        pub enum Verb { $($verb,)* $($change,)* $($query,)* }

        impl Verb {
            /// Every verb.
            pub const ALL: &[Self] = &[$(Self::$verb,)* $(Self::$change,)* $(Self::$query,)*];

            fn of_change(change: &Change) -> Self {
                match change {
                    $(Change::$change { .. } => Self::$change,)*
                }
            }

            fn of_query(query: &Query) -> Self {
                match query {
                    $(Query::$query { .. } => Self::$query,)*
                }
            }
        }
    };
}

verbs! {
    of_nodes: Attach Detach AcquireDue Fire Complete Release;
    changes: Put Reschedule Adjust RemoveTriggers RemoveJobs Clear Pause Resume PauseQueue ResumeQueue SetLimit Reset PutCalendar RemoveCalendar PutMark Enqueue ChangeRuns Note Count Cancel;
    queries: Nodes Calendars Jobs Triggers Runs Executions Mark Firings Groups Counts Limits PausedQueues
}

impl Decorator for FaultyStore {
    fn inner(&self) -> &dyn JobStore {
        &*self.inner
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        self.call(Verb::Attach, move |store| store.attach(node))
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        self.call(Verb::Detach, move |store| store.detach(session))
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        self.call(Verb::AcquireDue, move |store| store.acquire_due(request))
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.call(Verb::Fire, move |store| store.fire(request))
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.call(Verb::Complete, move |store| store.complete(request))
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.call(Verb::Release, move |store| store.release(claims))
    }

    fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
        self.call(Verb::of_change(&change), move |store| store.change(change))
    }

    fn query(&self, query: Query) -> StoreFuture<'_, Found> {
        self.call(Verb::of_query(&query), move |store| store.query(query))
    }
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
