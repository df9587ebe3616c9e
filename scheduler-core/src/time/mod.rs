//! Clocks: the only place that reads one.
//!
//! Three questions, three answers: the *wall* clock says what time it is, the *monotonic* clock how long to wait,
//! and an [`Alarm`] does the waiting of a thread. [`SystemClock`] asks the machine, [`ManualClock`] the test.
//!
//! # Time in tests
//!
//! A manual clock knows who is busy: every run of a job from its firing until the store has its ending, and every
//! thread of a scheduler. It moves only while nobody is, from one awaited moment to the next, so
//!
//! * after `advance(d)` everything that became due within `d` has run, in order, and what it started has run as well;
//! * a job that sleeps on `context.clock()` does not hold the clock up, since only the clock can wake it;
//! * a loop that arms its next sleep late loses no tick.
//!
//! A job that awaits something of the outside world, such as a socket, is busy until that comes. One that waits for
//! the test itself must do so inside [`ManualClock::aside`], or the clock would wait for it for ever; after twenty
//! seconds it gives up and names whoever is busy.

mod activity;
mod deadline;
mod lapse;
mod manual;
mod system;
pub(crate) mod zone;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use activity::{Activity, Observed};
pub(crate) use activity::{Hold, aside};
pub(crate) use deadline::by;
pub use lapse::TimeLapseClock;
pub use manual::ManualClock;
pub use system::SystemClock;

/// Where the time comes from.
///
/// The scheduler, its jobs and its timers ask nothing else, so a test that brings a [`ManualClock`] decides what
/// time it is for all of them.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall clock. It may be set back and forth.
    fn now(&self) -> DateTime<Utc>;

    /// Time since some origin that never goes back; the base of every wait.
    fn monotonic(&self) -> Duration;

    /// Ready when the monotonic clock has reached `deadline`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it forgets the wait and nothing else.
    fn sleep_until(&self, deadline: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Ready after `duration`. See [`sleep_until`](Self::sleep_until).
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.sleep_until(self.monotonic().saturating_add(duration))
    }

    /// How long a thread may wait before it looks at the wall clock again, which may have been set meanwhile.
    fn longest_wait(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// A new alarm for the calling thread to wait on.
    fn alarm(&self) -> Arc<dyn Alarm>;

    /// Says that something called `what` is going on until the returned value is dropped. A manual clock does not
    /// move meanwhile; other clocks do not care.
    fn begin(&self, what: &dyn Debug) -> Activity;
}

/// What a thread waits on: until a moment, or until somebody rings.
pub trait Alarm: Debug + Send + Sync {
    /// Ends the current wait of the thread, or else its next one before it begins.
    fn ring(&self);

    /// Waits until the monotonic clock has reached `deadline` or somebody rings.
    fn wait_until(&self, deadline: Duration);

    /// The thread is done and will not wait again.
    fn retire(&self);
}
