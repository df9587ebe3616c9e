//! The thread of the firing loop: takes turns and waits between them, nothing else.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::core::Core;
use super::turn::{Engine, Next};
use crate::error::{Error, Result};
use crate::sync::{self, thread};
use crate::time::{Alarm, Clock};
use crate::user;

/// The wait after a turn that panicked, which only a faulty store or clock can cause: what a schedule or calendar does is
/// caught trigger by trigger.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// The wall clock was set back if it is this much behind what the monotonic clock says; less is what NTP corrects all the time.
const SET_BACK: Duration = Duration::from_secs(1);

/// Starts the thread. The receiver is ready when it has taken its last turn.
pub(crate) fn start(core: &Arc<Core>, engine: Engine, runtime: Handle) -> Result<oneshot::Receiver<()>> {
    let alarm = core.clock.alarm();
    core.set_alarm(Some(alarm.clone()));
    let (clock, (done, ended)) = (core.clock.clone(), oneshot::channel());
    let thread = thread::Builder::new().name(format!("scheduler {}", core.settings.name));
    let of_core = core.clone();
    let spawned = thread.spawn(move || {
        turn_until_end(&of_core, engine, &*clock, &*alarm, &runtime);
        // Fails only if nobody waits for the end. Whoever does goes on before the thread counts as quiet.
        done.send(()).ok();
        alarm.retire();
    });
    spawned
        .map(|_| ended)
        .map_err(|error| Error::transient("the thread of the firing loop cannot be started").caused_by(error))
}

fn turn_until_end(core: &Core, mut engine: Engine, clock: &dyn Clock, alarm: &dyn Alarm, runtime: &Handle) {
    let mut clocks = Clocks::now(clock);
    loop {
        clocks.look(clock);
        let wait = match user::call(|| sync::block_on(runtime, engine.tick(clock.now()))) {
            Ok(Next::End) => return core.plan(Duration::MAX),
            Ok(Next::Wait(wait)) => wait,
            Err(panic) => {
                tracing::error!(%panic, "a turn of the firing loop has failed; trying again");
                AFTER_PANIC
            }
        };
        let next = clock.monotonic().saturating_add(wait);
        core.plan(next);
        alarm.wait_until(next);
    }
}

/// What the clocks showed at the last turn. Their difference tells when the wall clock was set.
struct Clocks {
    wall: DateTime<Utc>,
    monotonic: Duration,
}

impl Clocks {
    fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }

    /// Warns if the wall clock was set back since the last look.
    fn look(&mut self, clock: &dyn Clock) {
        let before = std::mem::replace(self, Self::now(clock));
        let passed = self.monotonic.saturating_sub(before.monotonic);
        let expected =
            TimeDelta::from_std(passed).ok().and_then(|passed| before.wall.checked_add_signed(passed));
        let set_back = expected.and_then(|expected| (expected - self.wall).to_std().ok());
        if let Some(by) = set_back.filter(|by| *by >= SET_BACK) {
            tracing::warn!(
                ?by,
                now = %self.wall,
                "the wall clock was set back; triggers keep their fire times, so none of them fires, not even one with an \
                 interval, until the clock shows these times; `reschedule` those that must fire earlier"
            );
        }
    }
}
