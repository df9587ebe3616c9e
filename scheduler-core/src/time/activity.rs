//! Who is busy: what a manual clock waits for before it moves on.
//!
//! A unit of work counts as busy from [`Clock::begin`](super::Clock::begin) on. While the future that carries it
//! waits for nothing but the clock it does not count, since only the clock can wake it.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::manual::Unit;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Unit>>> = const { RefCell::new(None) };
}

/// Keeps a manual clock from moving while it lives.
#[derive(Clone)]
#[must_use = "the activity ends when this is dropped"]
pub struct Activity(Option<Arc<Unit>>);

impl Activity {
    /// For clocks that nobody drives.
    pub const fn unobserved() -> Self {
        Self(None)
    }

    pub(super) fn of(unit: Unit) -> Self {
        Self(Some(Arc::new(unit)))
    }

    /// The future, whose waits for the clock do not count as activity.
    pub fn observe<F>(&self, future: F) -> Observed<F> {
        Observed { unit: self.0.clone(), future: Box::pin(future) }
    }

    /// As [`observe`](Self::observe), for a future that is boxed already.
    pub(crate) fn observe_boxed<F: ?Sized>(&self, future: Pin<Box<F>>) -> Observed<F> {
        Observed { unit: self.0.clone(), future }
    }

    /// Has the observed future polled once more, busy until then: something that it should notice has changed.
    pub(crate) fn nudge(&self) {
        if let Some(unit) = &self.0 {
            unit.nudge();
        }
    }

    pub(super) fn current() -> Option<Arc<Unit>> {
        CURRENT.with_borrow(Clone::clone)
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Activity").field(&self.0.as_ref().map(|unit| unit.what())).finish()
    }
}

/// A future that tells the clock while it only waits for time.
pub struct Observed<F: ?Sized> {
    unit: Option<Arc<Unit>>,
    future: Pin<Box<F>>,
}

/// Restores the outer unit, also when the poll panics.
struct Entered(Option<Arc<Unit>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl<F: Future + ?Sized> Future for Observed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(unit) = self.unit.clone() else { return self.future.as_mut().poll(cx) };
        unit.resume();
        let polled = {
            let _restore = Entered(CURRENT.replace(Some(unit.clone())));
            self.future.as_mut().poll(cx)
        };
        if polled.is_pending() {
            unit.rest(cx.waker());
        }
        polled
    }
}

impl<F: ?Sized> fmt::Debug for Observed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observed").field(&self.unit.as_ref().map(|unit| unit.what())).finish()
    }
}
