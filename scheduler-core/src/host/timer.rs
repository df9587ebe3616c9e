//! A timer for loops.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::time::{Activity, Clock, Hold, by};

/// When the first tick comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FirstTick {
    /// One period after the timer was made.
    #[default]
    AfterPeriod,
    /// At once.
    AtOnce,
}

/// What becomes of ticks for which the loop came too late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissedTicks {
    /// They become one, and the next one comes at its regular time.
    #[default]
    Merge,
    /// Each comes, one right after the other.
    Burst,
    /// They become one, and the next one comes a period after it.
    Delay,
}

/// A tick of a [`PeriodicTimer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// When it was due, on the wall clock; of several that were merged, the first.
    pub scheduled: DateTime<Utc>,
    /// How much later than that it is.
    pub late: Duration,
    /// How many others it stands for as well.
    pub merged: u64,
}

/// Ticks once in every period, for a loop:
///
/// ```
/// # use std::time::Duration;
/// use scheduler_core::host::PeriodicTimer;
/// # use scheduler_core::time::{Clock, ManualClock};
///
/// # async fn look(clock: impl Clock) {
/// let mut timer = PeriodicTimer::new(Duration::from_secs(5), clock);
/// while let Some(tick) = timer.tick().await {
///     println!("due at {}, {} merged", tick.scheduled, tick.merged);
/// }
/// # }
/// ```
///
/// At most one tick waits for the loop. On a manual clock the loop counts as busy from the tick until it asks for the next
/// one, so no tick is lost however far time is moved.
pub struct PeriodicTimer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    missed: MissedTicks,
    /// Ends the timer as well.
    stop: CancellationToken,
    busy: Busy,
}

/// What keeps a manual clock waiting while the loop has a tick in its hands.
enum Busy {
    /// The service in which the loop runs.
    Service(#[allow(dead_code, reason = "held, not read")] Hold),
    /// Nobody knows of the loop but the timer.
    Own(Activity),
}

impl Busy {
    fn new(clock: &dyn Clock) -> Self {
        let own = || Self::Own(clock.begin(&"the loop of a periodic timer"));
        Hold::of_current().map_or_else(own, Self::Service)
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    period: Duration,
    /// On the monotonic clock.
    next: Duration,
    /// Ticks that came due under an earlier period.
    pending: Option<Due>,
    stopped: bool,
}

/// A tick since when, how many more, and how far they are apart.
#[derive(Debug, Clone, Copy)]
struct Due {
    since: Duration,
    more: u64,
    period: Duration,
}

impl State {
    /// What is due by `now` and has not been taken, and how many others it stands for.
    fn due(&self, now: Duration) -> Option<Due> {
        let regular = || {
            let late = now.checked_sub(self.next)?;
            let more = late.as_nanos() / self.period.as_nanos().max(1);
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            Some(Due { since: self.next, more, period: self.period })
        };
        self.pending.or_else(regular)
    }
}

impl PeriodicTimer {
    /// A timer whose period begins now. A period of zero counts as a nanosecond.
    pub fn new(period: Duration, clock: impl Clock) -> Self {
        Self::on(period, Arc::new(clock), CancellationToken::new())
    }

    pub(super) fn on(period: Duration, clock: Arc<dyn Clock>, stop: CancellationToken) -> Self {
        let period = period.max(Duration::from_nanos(1));
        let next = clock.monotonic().saturating_add(period);
        let state = State { period, next, pending: None, stopped: false };
        let busy = Busy::new(&*clock);
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
        Self { shared, clock, missed: MissedTicks::default(), stop, busy }
    }

    /// When the first tick comes. Default: after a period.
    #[must_use]
    pub fn first(self, first: FirstTick) -> Self {
        let now = self.clock.monotonic();
        let mut state = self.shared.state.lock();
        state.next = match first {
            FirstTick::AtOnce => now,
            FirstTick::AfterPeriod => now.saturating_add(state.period),
        };
        drop(state);
        self
    }

    /// What becomes of ticks for which the loop comes too late. Default: they are merged.
    #[must_use]
    pub fn missed(self, missed: MissedTicks) -> Self {
        Self { missed, ..self }
    }

    /// The next tick; none once the timer was stopped, or the service that [asked for it](super::ServiceContext::every).
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses no tick.
    pub async fn tick(&mut self) -> Option<Tick> {
        let (shared, clock, missed) = (self.shared.clone(), self.clock.clone(), self.missed);
        let stop = self.stop.clone();
        let waiting = async move {
            loop {
                let changed = shared.changed.notified();
                let deadline = {
                    let mut state = shared.state.lock();
                    if state.stopped || stop.is_cancelled() {
                        return None;
                    }
                    let now = clock.monotonic();
                    if let Some(due) = state.due(now) {
                        return Some(take(&mut state, &*clock, missed, due, now));
                    }
                    state.next
                };
                by(&*clock, deadline, stop.run_until_cancelled(changed)).await;
            }
        };
        if let (Busy::Own(_), Some(hold)) = (&self.busy, Hold::of_current()) {
            // Made elsewhere than where it is used.
            self.busy = Busy::Service(hold);
        }
        // A wait for the clock, by the service or by the timer itself.
        match &self.busy {
            Busy::Own(activity) => activity.observe(waiting).await,
            Busy::Service(_) => waiting.await,
        }
    }

    /// A handle that stops it or changes its period from elsewhere.
    pub fn handle(&self) -> PeriodicTimerHandle {
        PeriodicTimerHandle { shared: self.shared.clone(), clock: self.clock.clone() }
    }
}

fn take(state: &mut State, clock: &dyn Clock, missed: MissedTicks, due: Due, now: Duration) -> Tick {
    let Due { since, more, period } = due;
    let burst = missed == MissedTicks::Burst;
    let merged = if burst { 0 } else { more };
    if state.pending.is_some() {
        let rest = Due { since: since.saturating_add(period), more: more.saturating_sub(1), period };
        state.pending = (burst && more > 0).then_some(rest);
    } else {
        let steps = u32::try_from(merged.saturating_add(1)).unwrap_or(u32::MAX);
        state.next = match missed {
            MissedTicks::Delay => now.saturating_add(period),
            _ => state.next.saturating_add(period.saturating_mul(steps)),
        };
    }
    let late = now.saturating_sub(since);
    let scheduled = clock.now() - TimeDelta::from_std(late).unwrap_or_default();
    Tick { scheduled, late, merged }
}

impl fmt::Debug for PeriodicTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeriodicTimer").field(&*self.shared.state.lock()).finish()
    }
}

/// Stops a [`PeriodicTimer`] or changes its period. Cloning gives a handle to the same timer.
#[derive(Clone)]
pub struct PeriodicTimerHandle {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl PeriodicTimerHandle {
    /// Ends the timer: a wait under way and all later ones give none, also if a tick was due.
    pub fn stop(&self) {
        self.shared.state.lock().stopped = true;
        self.shared.changed.notify_waiters();
    }

    /// Ticks in another period from now on. A tick that is due already stays.
    pub fn set_period(&self, period: Duration) {
        let now = self.clock.monotonic();
        let mut state = self.shared.state.lock();
        state.pending = state.due(now);
        state.period = period.max(Duration::from_nanos(1));
        state.next = now.saturating_add(state.period);
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// The period.
    pub fn period(&self) -> Duration {
        self.shared.state.lock().period
    }
}

impl fmt::Debug for PeriodicTimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeriodicTimerHandle").field(&*self.shared.state.lock()).finish()
    }
}
