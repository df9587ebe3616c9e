//! The thread of the firing loop: takes turns and waits between them, nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::core::Core;
use super::firing::{Engine, Next};
use crate::error::{Error, Result};
use crate::sync::{self, thread};
use crate::time::{Alarm, Clock};

/// The wait after a turn that panicked, which only a faulty store or clock can cause: what a schedule or calendar does is
/// caught trigger by trigger.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Starts the thread. The receiver is ready when it has taken its last turn.
pub(super) fn start(core: &Arc<Core>, engine: Engine, runtime: Handle) -> Result<oneshot::Receiver<()>> {
    let alarm = core.clock.alarm();
    core.set_alarm(Some(alarm.clone()));
    let (clock, (done, ended)) = (core.clock.clone(), oneshot::channel());
    let thread = thread::Builder::new().name(format!("scheduler {}", core.settings.name));
    let of_core = core.clone();
    let spawned = thread.spawn(move || {
        turn_until_end(&of_core, engine, &*clock, &*alarm, &runtime);
        alarm.retire();
        // Fails only if nobody waits for the end.
        done.send(()).ok();
    });
    spawned
        .map(|_| ended)
        .map_err(|error| Error::transient("the thread of the firing loop cannot be started").caused_by(error))
}

fn turn_until_end(core: &Core, mut engine: Engine, clock: &dyn Clock, alarm: &dyn Alarm, runtime: &Handle) {
    loop {
        let turn = AssertUnwindSafe(|| sync::block_on(runtime, engine.tick(clock.now())));
        let wait = match catch_unwind(turn) {
            Ok(Next::End) => return core.plan(Duration::MAX),
            Ok(Next::Wait(wait)) => wait,
            Err(_) => AFTER_PANIC,
        };
        let next = clock.monotonic().saturating_add(wait);
        core.plan(next);
        alarm.wait_until(next);
    }
}
