//! The machine's own clocks.
#![allow(clippy::disallowed_methods, reason = "this is the place that reads the machine's clocks")]

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::{Condvar, Mutex};

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
        let mut rung = self.rung.lock();
        while !*rung {
            let left = deadline.saturating_sub(SystemClock.monotonic());
            if left.is_zero() || self.changed.wait_for(&mut rung, left).timed_out() {
                break;
            }
        }
        *rung = false;
    }

    fn retire(&self) {}
}
