//! User code that misbehaves in every way, for every place in which it is called.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use scheduler_core::time::{Clock, ManualClock};

/// How a call of user code misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    PanicsInTheCall,
    PanicsInTheFirstPoll,
    PanicsInALaterPoll,
    PanicsWhenDropped,
    Hangs,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] = [
        Self::PanicsInTheCall,
        Self::PanicsInTheFirstPoll,
        Self::PanicsInALaterPoll,
        Self::PanicsWhenDropped,
        Self::Hangs,
    ];
}

/// Misbehaves in one place, from the moment on that it has a clock.
#[derive(Clone)]
pub(crate) struct Rogue {
    pub(crate) place: &'static str,
    pub(crate) fault: Fault,
    clock: Arc<OnceLock<ManualClock>>,
}

impl Rogue {
    pub(crate) fn new(place: &'static str, fault: Fault) -> Self {
        Self { place, fault, clock: Arc::default() }
    }

    pub(crate) fn begin(&self, clock: &ManualClock) {
        self.clock.set(clock.clone()).unwrap();
    }

    /// A call in `place` that would give `value`.
    pub(crate) fn call<T>(&self, place: &str, value: T) -> Mischief<T> {
        let clock = self.clock.get().filter(|_| place == self.place);
        let fault = clock.map(|_| self.fault);
        assert!(fault != Some(Fault::PanicsInTheCall), "a bug in the call");
        let hang = clock
            .filter(|_| fault == Some(Fault::Hangs))
            .map(|clock| clock.sleep(Duration::from_secs(86_400)));
        Mischief { fault, hang, polls: 0, value: Some(value) }
    }
}

/// What a call of a rogue returns.
pub(crate) struct Mischief<T> {
    fault: Option<Fault>,
    hang: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    polls: usize,
    value: Option<T>,
}

impl<T: Unpin> Future for Mischief<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.polls += 1;
        if let Some(hang) = &mut self.hang {
            assert!(hang.as_mut().poll(cx).is_pending());
            return Poll::Pending;
        }
        match (self.fault, self.polls) {
            (Some(Fault::PanicsInTheFirstPoll), 1) | (Some(Fault::PanicsInALaterPoll), 2) => {
                panic!("a bug in a poll")
            }
            (Some(Fault::PanicsInALaterPoll), _) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            _ => self.value.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

impl<T> Drop for Mischief<T> {
    fn drop(&mut self) {
        assert!(self.fault != Some(Fault::PanicsWhenDropped) || std::thread::panicking(), "a bug in a drop");
    }
}
