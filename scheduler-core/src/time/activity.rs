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

    /// This, for something that mostly waits for others, such as a background service: it counts while it is polled, from
    /// when the clock wakes it until it has been polled, and while it is [held](Hold).
    pub(crate) fn idling(self) -> Self {
        if let Some(unit) = &self.0 {
            unit.idle();
        }
        self
    }

    /// That of the future which is being polled; unobserved outside of every one.
    pub(crate) fn of_current() -> Self {
        Self(Self::current())
    }

    pub(super) fn current() -> Option<Arc<Unit>> {
        CURRENT.with_borrow(Clone::clone)
    }
}

/// The future, which waits for others that are busy themselves: a manual clock does not wait for it as well.
pub(crate) async fn aside<F: Future>(future: F) -> F::Output {
    let _open = Activity::current().map(|unit| unit.open_wait());
    future.await
}

/// Keeps the unit in which it was made busy while it waits for anything but the clock.
pub(crate) struct Hold(Arc<Unit>);

impl Hold {
    /// None outside of every unit.
    pub(crate) fn of_current() -> Option<Self> {
        let unit = Activity::current()?;
        unit.hold(1);
        Some(Self(unit))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.hold(-1);
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
        if Activity::current().is_some_and(|outer| Arc::ptr_eq(&outer, &unit)) {
            // Whoever polls this is observed itself, and rests for both.
            return self.future.as_mut().poll(cx);
        }
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
