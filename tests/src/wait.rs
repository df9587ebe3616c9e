//! The pause between two looks at what other processes do, which send no signals.

use std::time::Duration;

use scheduler_core::time::{Clock, SystemClock};

/// Short for a person, long for a busy machine.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Lets the others go on before the next look.
pub async fn between_looks() {
    SystemClock.sleep(BETWEEN_LOOKS).await;
}

/// As [`between_looks`], for a thread without a runtime.
pub fn block_between_looks() {
    SystemClock.alarm().wait_until(SystemClock.monotonic() + BETWEEN_LOOKS);
}
