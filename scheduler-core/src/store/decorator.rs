//! Stores around another store.

use std::fmt::Debug;
use std::sync::Arc;

use super::contract::*;
use super::end_signals::EndSignal;
use super::firing::*;
use super::requests::{Change, Changed, Found, Query};
use crate::job::ExecutionId;
use crate::run::RunId;
use crate::time::Clock;

/// A job store around another one. Every call is passed on to the inner store by default, so an implementation overrides only the
/// calls that it counts, refuses or reports. Every `Decorator` is a [`JobStore`].
///
/// Calls that a later version adds are passed on, too.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use scheduler_core::Scheduler;
/// use scheduler_core::store::decorator::Decorator;
/// use scheduler_core::store::{Change, Changed, JobStore, MemoryJobStore, StoreFuture};
///
/// /// Counts what users change.
/// #[derive(Debug)]
/// struct Counting {
///     inner: MemoryJobStore,
///     changes: AtomicUsize,
/// }
///
/// impl Decorator for Counting {
///     fn inner(&self) -> &dyn JobStore {
///         &self.inner
///     }
///
///     fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
///         self.changes.fetch_add(1, Ordering::Relaxed);
///         self.inner().change(change)
///     }
/// }
///
/// let store = Counting { inner: MemoryJobStore::new(), changes: AtomicUsize::new(0) };
/// let scheduler = Scheduler::builder().store(store).build()?;
/// # Ok::<(), scheduler_core::Error>(())
/// ```
pub trait Decorator: Debug + Send + Sync + 'static {
    /// The inner store, which gets every call that is not overridden.
    fn inner(&self) -> &dyn JobStore;

    /// See [`JobStore::clock`].
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        self.inner().clock()
    }

    /// See [`JobStore::forgets`].
    fn forgets(&self) -> bool {
        self.inner().forgets()
    }

    /// See [`JobStore::trouble`].
    fn trouble(&self) -> Option<Arc<str>> {
        self.inner().trouble()
    }

    /// See [`JobStore::attach`].
    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        self.inner().attach(node)
    }

    /// See [`JobStore::detach`].
    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        self.inner().detach(session)
    }

    /// See [`JobStore::acquire_due`].
    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        self.inner().acquire_due(request)
    }

    /// See [`JobStore::fire`].
    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.inner().fire(request)
    }

    /// See [`JobStore::complete`].
    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.inner().complete(request)
    }

    /// See [`JobStore::release`].
    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.inner().release(claims)
    }

    /// See [`JobStore::change`].
    fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
        self.inner().change(change)
    }

    /// See [`JobStore::query`].
    fn query(&self, query: Query) -> StoreFuture<'_, Found> {
        self.inner().query(query)
    }

    /// See [`JobStore::listen`].
    fn listen(&self, run: RunId) -> EndSignal {
        self.inner().listen(run)
    }
}

/// A store that a program chooses when it starts.
impl Decorator for Arc<dyn JobStore> {
    fn inner(&self) -> &dyn JobStore {
        &**self
    }
}

impl<D: Decorator> JobStore for D {
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Decorator::clock(self)
    }

    fn forgets(&self) -> bool {
        Decorator::forgets(self)
    }

    fn trouble(&self) -> Option<Arc<str>> {
        Decorator::trouble(self)
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        Decorator::attach(self, node)
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        Decorator::detach(self, session)
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        Decorator::acquire_due(self, request)
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        Decorator::fire(self, request)
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        Decorator::complete(self, request)
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        Decorator::release(self, claims)
    }

    fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
        Decorator::change(self, change)
    }

    fn query(&self, query: Query) -> StoreFuture<'_, Found> {
        Decorator::query(self, query)
    }

    fn listen(&self, run: RunId) -> EndSignal {
        Decorator::listen(self, run)
    }
}
