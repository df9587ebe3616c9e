//! Calls of user code: whatever the code does, its own call fails and nothing else.
//!
//! Every call of user code goes through this file: [`call`] for plain functions, [`run`] for those that return a future,
//! and [`Careful`] for values that are dropped. A panic becomes an error of the caller.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The message of a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panic(pub(crate) String);

impl Panic {
    fn of(payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        // The payload is a value of the user, too. The payload of a second panic is leaked, since there may be a third.
        catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(std::mem::forget);
        Self(text.unwrap_or_else(|| "a panic without a message".to_owned()))
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl std::error::Error for Panic {}

/// The output of plain code.
pub(crate) fn call<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(code)).map_err(Panic::of)
}

/// One poll of a future that `code` of the user has made.
pub(crate) fn poll<F: Future + ?Sized>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panic>> {
    match call(|| future.poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// The output of code that returns a future: the call, each poll and the drop of the future are caught.
///
/// # Cancel safety
///
/// As cancel safe as the future.
pub(crate) async fn run<F: Future>(code: impl FnOnce() -> F) -> Result<F::Output, Panic> {
    let mut future = Careful::new("a future", Box::pin(call(code)?));
    poll_fn(|cx| poll(future.as_mut(), cx)).await
}

/// As [`run`], for code around a run: `what` the code is and whose it is are logged if it is dropped before it has ended.
pub(crate) async fn run_named<F: Future>(
    what: &'static str,
    name: &'static str,
    code: impl FnOnce() -> F,
) -> Result<F::Output, Panic> {
    let mut under_way = UnderWay { what, name, over: false };
    let output = run(code).await;
    under_way.over = true;
    output
}

struct UnderWay {
    what: &'static str,
    name: &'static str,
    over: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Self { what, name, over } = self;
        if !*over {
            tracing::error!("the {what} `{name}` did not end in time and was dropped");
        }
    }
}

/// A value of the user whose drop may panic. The panic is logged; whoever drops the value goes on.
pub(crate) struct Careful<T> {
    what: &'static str,
    value: Option<T>,
}

impl<T> Careful<T> {
    /// The log calls the value `what`.
    pub(crate) const fn new(what: &'static str, value: T) -> Self {
        Self { what, value: Some(value) }
    }

    /// The value, for somebody who takes care of its drop.
    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T> Deref for Careful<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("a careful value is there until it is dropped")
    }
}

impl<T> DerefMut for Careful<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("a careful value is there until it is dropped")
    }
}

impl<T: fmt::Debug> fmt::Debug for Careful<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Drop for Careful<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if let Err(panic) = call(|| drop(value)) {
            tracing::error!(value = self.what, %panic, "a value has panicked while it was dropped; everything else goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the bomb of a value");
        }
    }

    #[test]
    fn a_panic_is_an_error_with_its_message_whatever_it_carries() {
        assert_eq!(call(|| panic!("plain")).unwrap_err(), Panic("plain".to_owned()));
        assert_eq!(call(|| panic!("with {}", 1)).unwrap_err(), Panic("with 1".to_owned()));
        let nested = call(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(nested, Panic("a panic without a message".to_owned()));
    }

    #[test]
    fn a_drop_that_panics_stops_nobody() {
        drop(Careful::new("a bomb", Bomb));
        let kept = Careful::new("a number", 7);
        assert_eq!(*kept, 7);
        assert_eq!(kept.into_inner(), Some(7));
    }
}
