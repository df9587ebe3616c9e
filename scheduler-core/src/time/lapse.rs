//! A clock that runs faster.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Activity, Alarm, Clock, SystemClock};

/// A clock on which so many seconds pass in each second of the machine: for demonstrations and trials, where a day is to
/// take a minute and everything else is to be as it is.
///
/// ```
/// use scheduler_core::Scheduler;
/// use scheduler_core::time::TimeLapseClock;
///
/// // A day in 24 seconds, from the evening before clocks change.
/// let clock = TimeLapseClock::from("2026-03-28T18:00:00Z".parse().unwrap(), 3600);
/// let builder = Scheduler::builder().clock(clock);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TimeLapseClock {
    begin: DateTime<Utc>,
    /// On the monotonic clock of the machine.
    origin: Duration,
    factor: u32,
}

impl TimeLapseClock {
    /// A clock that stands at `begin` now and runs `factor` times as fast as the machine's, at least as fast.
    pub fn from(begin: DateTime<Utc>, factor: u32) -> Self {
        Self { begin, origin: SystemClock.monotonic(), factor: factor.max(1) }
    }

    fn passed(&self) -> Duration {
        SystemClock.monotonic().saturating_sub(self.origin).saturating_mul(self.factor)
    }

    /// The moment of the machine's monotonic clock.
    fn of_machine(&self, deadline: Duration) -> Duration {
        self.origin.saturating_add(deadline.saturating_sub(self.origin) / self.factor)
    }
}

impl Clock for TimeLapseClock {
    fn now(&self) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(self.passed()).unwrap_or(TimeDelta::MAX);
        self.begin.checked_add_signed(passed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn monotonic(&self) -> Duration {
        self.origin.saturating_add(self.passed())
    }

    fn sleep_until(&self, deadline: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        SystemClock.sleep_until(self.of_machine(deadline))
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        Arc::new(LapseAlarm { clock: *self, alarm: SystemClock.alarm() })
    }

    fn begin(&self, _what: &dyn Debug) -> Activity {
        Activity::unobserved()
    }
}

#[derive(Debug)]
struct LapseAlarm {
    clock: TimeLapseClock,
    alarm: Arc<dyn Alarm>,
}

impl Alarm for LapseAlarm {
    fn ring(&self) {
        self.alarm.ring();
    }

    fn wait_until(&self, deadline: Duration) {
        self.alarm.wait_until(self.clock.of_machine(deadline));
    }

    fn retire(&self) {
        self.alarm.retire();
    }
}
