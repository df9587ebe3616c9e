//! A job store that fails is reported once, waited for ever longer, and reported when it answers again.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::Error;
use crate::log::{Streak, unheard};
use crate::watch::Event;

/// Waits after failures: doubled from the first to the last.
pub(crate) const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LAST_BACKOFF: Duration = Duration::from_secs(15);

/// How a streak of failures is met.
pub(crate) struct StoreFailures {
    core: Arc<Core>,
    failures: u32,
    streak: Streak,
}

impl StoreFailures {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core, failures: 0, streak: Streak::default() }
    }

    /// Reports the first failure of a streak, and then now and then; says how long to wait.
    pub(crate) fn failed(&mut self, error: &Error) -> Duration {
        let wait = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(10)).min(LAST_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        // What keeps it may be something else by now.
        *self.core.store_failure.write() = Some(error.to_string().into());
        if self.failures == 1 {
            self.core.pipeline.bus.send(|| Event::StoreFailed { error: error.to_string() });
        }
        if let Some(failures) = self.streak.failed(self.core.clock.monotonic()) {
            let sentence = format!(
                "the job store does not answer ({failures} calls in a row have failed); nothing fires until it does, and calls are \
                 repeated: {error}"
            );
            unheard(&sentence);
            tracing::error!(%error, failures, "{sentence}");
        }
        wait
    }

    pub(crate) fn answered(&mut self) {
        self.failures = 0;
        let failures = self.streak.ended();
        if failures > 0 {
            // As loud as the failure was.
            tracing::warn!(failures, "the job store answers again, after {failures} failed calls");
            *self.core.store_failure.write() = None;
            self.core.pipeline.bus.send(|| Event::StoreRecovered);
        }
    }
}
