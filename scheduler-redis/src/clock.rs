//! The server's clock, as far as a node can know it.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use scheduler_core::time::{Activity, Alarm, Clock, SystemClock};

/// The wall clock of the Redis server, carried on by this machine's monotonic clock between two looks. So all nodes agree
/// on what time it is, whatever their own wall clocks say. It is behind the server's by the way of an answer, never ahead.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerClock(Arc<RwLock<Anchor>>);

#[derive(Debug, Default)]
struct Anchor {
    /// What the server's clock said, and this machine's monotonic clock when the answer was here.
    seen: Option<(DateTime<Utc>, Duration)>,
}

impl ServerClock {
    /// The server's clock says `time`, in an answer that has just come, to a question of the moment `sent`.
    pub(crate) fn set(&self, time: DateTime<Utc>, sent: Duration) {
        let here = SystemClock.monotonic();
        let mut anchor = self.0.write();
        if let Some((seen, at)) = anchor.seen {
            let expected = seen + TimeDelta::from_std(here.saturating_sub(at)).unwrap_or_default();
            let on_the_way = TimeDelta::from_std(here.saturating_sub(sent)).unwrap_or_default();
            // An answer that was long on its way says nothing new.
            if time <= expected && expected <= time + on_the_way {
                return;
            }
            let step = time - expected;
            if step.abs() > TimeDelta::seconds(1) {
                let milliseconds = step.num_milliseconds();
                tracing::warn!(
                    milliseconds,
                    "the clock of the Redis server was set by {milliseconds} ms; all fire times follow it"
                );
            }
        }
        anchor.seen = Some((time, here));
    }
}

impl Clock for ServerClock {
    fn now(&self) -> DateTime<Utc> {
        match self.0.read().seen {
            Some((time, at)) => {
                let passed = TimeDelta::from_std(SystemClock.monotonic().saturating_sub(at));
                passed.ok().and_then(|passed| time.checked_add_signed(passed)).unwrap_or(time)
            }
            None => SystemClock.now(),
        }
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn sleep_until(&self, deadline: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        SystemClock.sleep_until(deadline)
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        SystemClock.alarm()
    }

    fn begin(&self, what: &dyn Debug) -> Activity {
        SystemClock.begin(what)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]
mod tests {
    use super::*;

    #[test]
    fn it_goes_by_the_server_and_not_by_the_machine() {
        let clock = ServerClock::default();
        for time in ["2001-01-01T00:00:00Z", "2090-01-01T00:00:00Z", "2026-03-01T00:00:00Z"] {
            let time: DateTime<Utc> = time.parse().unwrap();
            clock.set(time, SystemClock.monotonic());
            let passed = clock.now() - time;
            assert!(passed >= TimeDelta::zero() && passed < TimeDelta::minutes(1), "{passed}");
        }
    }
}
