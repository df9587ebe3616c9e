//! The machine's own clocks.
#![allow(clippy::disallowed_methods, reason = "this is the place that reads the machine's clocks")]

use std::fmt::Debug;
use std::future::Future;
use std::hint::spin_loop;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Activity, Alarm, Clock};

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The machine's wall and monotonic clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        // The origin lies a little before the first reading, so that "long ago" can be expressed.
        ORIGIN.elapsed() + Duration::from_secs(1)
    }

    /// As precise as the runtime's timer, about a millisecond. Needs a tokio runtime with time enabled.
    fn sleep_until(&self, deadline: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(deadline.saturating_sub(self.monotonic())))
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        Arc::new(ThreadAlarm::default())
    }

    fn begin(&self, _what: &dyn Debug) -> Activity {
        Activity::unobserved()
    }
}

/// A flag and a condition variable: wakes within about a tenth of a millisecond of its deadline.
/// A thread that sleeps is woken about so much too late (the timer slack of Linux is 50 µs, and then the thread must get its
/// turn), so the end of a wait is spent awake: no more than this, and no more than a hundredth of the wait.
const AWAKE: Duration = Duration::from_micros(100);

#[derive(Debug, Default)]
struct ThreadAlarm {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Alarm for ThreadAlarm {
    fn ring(&self) {
        *self.rung.lock() = true;
        self.changed.notify_one();
    }

    fn wait_until(&self, deadline: Duration) {
        let left = || deadline.saturating_sub(SystemClock.monotonic());
        let awake = AWAKE.min(left() / 100);
        let mut rung = self.rung.lock();
        while !*rung && !left().is_zero() {
            let asleep = left().saturating_sub(awake);
            if asleep.is_zero() {
                // Somebody may ring meanwhile.
                MutexGuard::unlocked(&mut rung, spin_loop);
            } else {
                self.changed.wait_for(&mut rung, asleep);
            }
        }
        *rung = false;
    }

    fn retire(&self) {}
}
