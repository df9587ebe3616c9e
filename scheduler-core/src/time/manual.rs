//! A clock that a test drives.
//!
//! Invariants, under the one lock of [`State`]:
//! 1. `busy` is the number of units and threads that could make progress without the clock moving.
//! 2. Whoever ends a wait makes its owner busy *before* waking it.
//! 3. Time moves only while `busy` is zero, so nobody can arm a wait too late and miss the tick.
//!
//! Wakers are called after the lock is released.
#![allow(clippy::disallowed_methods, reason = "the bound on settling is real time")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Debug};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::{Condvar, Mutex};

use super::{Activity, Alarm, Clock};

/// How long [`ManualClock::settle`] waits in real time before it gives up with a report.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands still until a test moves it.
///
/// [`advance`](Self::advance) walks from due time to due time and *settles* at each: everything that became due has
/// run, in order, before the clock goes on. Cloning gives a handle to the same clock.
///
/// ```
/// use std::time::Duration;
/// use scheduler_core::time::{Clock, ManualClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let clock = ManualClock::at("2026-03-29T00:30:00Z");
/// let (sleeper, activity) = (clock.clone(), clock.begin(&"an example"));
/// let task = tokio::spawn(activity.observe(async move { sleeper.sleep(Duration::from_secs(3600)).await }));
/// drop(activity); // the future holds its own share
/// clock.advance(Duration::from_secs(2 * 3600)).await;
/// assert!(task.is_finished());
/// # }
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Inner>);

pub(super) struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    now: DateTime<Utc>,
    elapsed: Duration,
    busy: usize,
    owners: HashMap<u64, Owner>,
    waits: BTreeMap<(Duration, u64), Wait>,
    settling: Vec<Waker>,
    next_id: u64,
    watched: bool,
}

/// A unit of work or a thread of the scheduler.
struct Owner {
    what: String,
    thread: bool,
    /// Counted in `busy`.
    busy: bool,
    /// Waits for the clock that are open inside a unit.
    waiting: usize,
    /// It rests whenever it waits, for whatever, unless it is held.
    idle: bool,
    /// How many hold it busy while it waits for anything but the clock.
    held: usize,
    /// Somebody rang the thread's alarm, or nudged the unit.
    rung: bool,
    /// Polls the unit.
    waker: Option<Waker>,
}

/// An armed wait of an owner; a thread is woken by the condition variable and has no waker.
struct Wait {
    owner: Option<u64>,
    waker: Option<Waker>,
}

impl State {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn add(&mut self, what: String, thread: bool) -> u64 {
        let id = self.id();
        self.busy += 1;
        self.owners.insert(
            id,
            Owner { what, thread, busy: true, waiting: 0, idle: false, held: 0, rung: false, waker: None },
        );
        id
    }

    fn wake(&mut self, id: u64) {
        if let Some(owner) = self.owners.get_mut(&id).filter(|owner| !owner.busy) {
            owner.busy = true;
            self.busy += 1;
        }
    }

    fn rest(&mut self, id: u64) {
        if let Some(owner) = self.owners.get_mut(&id).filter(|owner| owner.busy) {
            owner.busy = false;
            self.busy -= 1;
        }
    }

    fn remove(&mut self, id: u64) {
        self.rest(id);
        self.owners.remove(&id);
    }

    fn ring(&mut self, id: u64) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.rung = true;
            self.wake(id);
        }
    }

    fn forward(&mut self, to: Duration) {
        let step = to.saturating_sub(self.elapsed);
        self.elapsed += step;
        self.now += TimeDelta::from_std(step).unwrap_or(TimeDelta::MAX);
    }

    /// Ends the waits that are due and makes their owners busy.
    fn take_due(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while let Some(entry) = self.waits.first_entry().filter(|entry| entry.key().0 <= self.elapsed) {
            let wait = entry.remove();
            if let Some(id) = wait.owner {
                self.wake(id);
                self.waiting(id, -1);
            }
            wakers.extend(wait.waker);
        }
        wakers
    }

    fn waiting(&mut self, id: u64, change: isize) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.waiting = owner.waiting.saturating_add_signed(change);
        }
    }
}

impl Inner {
    /// Changes the state, then wakes whom the change concerns.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let value = change(&mut state);
        let settled = if state.busy == 0 { std::mem::take(&mut state.settling) } else { Vec::new() };
        drop(state);
        self.changed.notify_all();
        settled.into_iter().for_each(Waker::wake);
        value
    }

    /// Polls settlings now and then, so that their patience can run out.
    fn watch(self: &Arc<Self>) {
        if std::mem::replace(&mut self.state.lock().watched, true) {
            return;
        }
        let clock: Weak<Self> = Arc::downgrade(self);
        std::thread::spawn(move || {
            while let Some(inner) = clock.upgrade() {
                let settling = std::mem::take(&mut inner.state.lock().settling);
                settling.into_iter().for_each(Waker::wake);
                drop(inner);
                std::thread::park_timeout(Duration::from_secs(1));
            }
        });
    }
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        let state = State { now, elapsed: Duration::from_secs(1), ..State::default() };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Condvar::new() }))
    }

    /// A clock that stands at a time given as RFC 3339, for tests.
    ///
    /// # Panics
    ///
    /// The text is no RFC 3339 time.
    pub fn at(now: &str) -> Self {
        match now.parse() {
            Ok(now) => Self::new(now),
            Err(error) => panic!("`{now}` is no RFC 3339 time: {error}"),
        }
    }

    /// Moves time forward, stopping at every moment somebody waits for, and settles at each.
    ///
    /// # Panics
    ///
    /// As [`settle`](Self::settle).
    pub async fn advance(&self, by: Duration) {
        let target = self.monotonic().saturating_add(by);
        loop {
            self.settle().await;
            let (wakers, last) = self.0.update(|state| {
                let next = state.waits.keys().next().map(|(at, _)| *at).filter(|at| *at <= target);
                state.forward(next.unwrap_or(target));
                (state.take_due(), next.is_none())
            });
            wakers.into_iter().for_each(Waker::wake);
            if last {
                return;
            }
        }
    }

    /// Moves time forward to `time`; nothing happens if that has passed.
    ///
    /// # Panics
    ///
    /// As [`settle`](Self::settle).
    pub async fn advance_to(&self, time: DateTime<Utc>) {
        self.advance((time - self.now()).to_std().unwrap_or_default()).await;
    }

    /// Sets the wall clock without letting time pass, as an administrator or a time server does.
    ///
    /// Waits of jobs are monotonic and go on; the scheduler looks at the new time at once.
    pub fn jump_wall(&self, to: DateTime<Utc>) {
        self.0.update(|state| {
            state.now = to;
            let threads: Vec<u64> =
                state.owners.iter().filter(|(_, owner)| owner.thread).map(|(id, _)| *id).collect();
            threads.into_iter().for_each(|id| state.ring(id));
        });
    }

    /// Ready when nobody is busy: every due firing has run to its end or waits for the clock.
    ///
    /// # Panics
    ///
    /// Somebody is still busy after 20 seconds of real time; the message names them. A job that waits for the
    /// test must do so inside [`aside`](Self::aside).
    pub async fn settle(&self) {
        let started = Instant::now();
        poll_fn(|cx| {
            let mut state = self.0.state.lock();
            if state.busy == 0 {
                return Poll::Ready(());
            }
            let busy = || state.owners.values().filter(|owner| owner.busy).map(|owner| &owner.what);
            assert!(
                started.elapsed() < PATIENCE,
                "the clock cannot move: still busy are {:?}",
                busy().collect::<Vec<_>>()
            );
            state.settling.push(cx.waker().clone());
            drop(state);
            self.0.watch();
            Poll::Pending
        })
        .await;
    }

    /// The future, which does not keep the clock from moving: for what a job awaits from outside, such as a signal
    /// of the test itself.
    ///
    /// # Cancel safety
    ///
    /// As the future's own.
    pub async fn aside<F: Future>(&self, future: F) -> F::Output {
        super::aside(future).await
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.state.lock().now
    }

    fn monotonic(&self) -> Duration {
        self.0.state.lock().elapsed
    }

    fn sleep_until(&self, deadline: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(ManualSleep { clock: self.0.clone(), deadline, armed: None })
    }

    /// For ever: setting this clock rings every alarm.
    fn longest_wait(&self) -> Duration {
        Duration::MAX
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        let id = self.0.update(|state| state.add("a thread of the scheduler".to_owned(), true));
        Arc::new(ManualAlarm { clock: self.0.clone(), id })
    }

    fn begin(&self, what: &dyn Debug) -> Activity {
        let id = self.0.update(|state| state.add(format!("{what:?}"), false));
        Activity::of(Unit { clock: self.0.clone(), id })
    }
}

impl Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

/// The registration of one unit of work; over when dropped.
pub(super) struct Unit {
    clock: Arc<Inner>,
    id: u64,
}

impl Unit {
    pub(super) fn what(&self) -> String {
        self.clock.state.lock().owners.get(&self.id).map(|owner| owner.what.clone()).unwrap_or_default()
    }

    /// From now on the unit waits for what the test or the clock brings, until this is dropped.
    pub(super) fn open_wait(&self) -> OpenWait {
        OpenWait::new(&self.clock, self.id)
    }

    /// From now on the unit rests whenever it waits, unless it is held.
    pub(super) fn idle(&self) {
        self.clock.update(|state| {
            if let Some(owner) = state.owners.get_mut(&self.id) {
                owner.idle = true;
            }
        });
    }

    pub(super) fn hold(&self, change: isize) {
        self.clock.update(|state| {
            if let Some(owner) = state.owners.get_mut(&self.id) {
                owner.held = owner.held.saturating_add_signed(change);
            }
        });
    }

    /// The unit is about to be polled.
    pub(super) fn resume(&self) {
        self.clock.update(|state| {
            state.wake(self.id);
            if let Some(owner) = state.owners.get_mut(&self.id) {
                owner.rung = false;
            }
        });
    }

    /// The unit returned from a poll without being finished.
    pub(super) fn rest(&self, waker: &Waker) {
        self.clock.update(|state| {
            let Some(owner) = state.owners.get_mut(&self.id) else { return };
            owner.waker = Some(waker.clone());
            let rests = owner.waiting > 0 || (owner.idle && owner.held == 0);
            if rests && !owner.rung {
                state.rest(self.id);
            }
        });
    }

    /// Has the unit polled once more, busy until then.
    pub(super) fn nudge(&self) {
        let waker = self.clock.update(|state| {
            state.ring(self.id);
            state.owners.get(&self.id).and_then(|owner| owner.waker.clone())
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.clock.update(|state| state.remove(self.id));
    }
}

/// One wait of a unit that only the clock or the test can end.
pub(super) struct OpenWait {
    clock: Arc<Inner>,
    id: u64,
}

impl OpenWait {
    fn new(clock: &Arc<Inner>, id: u64) -> Self {
        clock.update(|state| state.waiting(id, 1));
        Self { clock: clock.clone(), id }
    }
}

impl Drop for OpenWait {
    fn drop(&mut self) {
        self.clock.update(|state| state.waiting(self.id, -1));
    }
}

/// A sleep; arms itself at its first poll.
struct ManualSleep {
    clock: Arc<Inner>,
    deadline: Duration,
    armed: Option<u64>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut state = clock.state.lock();
        if state.elapsed >= self.deadline {
            return Poll::Ready(());
        }
        if let Some(wait) = self.armed.and_then(|id| state.waits.get_mut(&(self.deadline, id))) {
            wait.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let owner = Activity::current().map(|unit| unit.id);
        if let Some(owner) = owner {
            state.waiting(owner, 1);
        }
        let id = state.id();
        state.waits.insert((self.deadline, id), Wait { owner, waker: Some(cx.waker().clone()) });
        self.armed = Some(id);
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        let Some(id) = self.armed else { return };
        self.clock.update(|state| {
            if let Some(owner) = state.waits.remove(&(self.deadline, id)).and_then(|wait| wait.owner) {
                state.waiting(owner, -1);
            }
        });
    }
}

/// What a thread of the scheduler waits on.
struct ManualAlarm {
    clock: Arc<Inner>,
    id: u64,
}

impl Alarm for ManualAlarm {
    fn ring(&self) {
        self.clock.update(|state| state.ring(self.id));
    }

    fn wait_until(&self, deadline: Duration) {
        let settled = {
            let mut state = self.clock.state.lock();
            let busy =
                state.owners.get(&self.id).is_some_and(|owner| owner.rung) || deadline <= state.elapsed;
            if !busy {
                state.waits.insert((deadline, self.id), Wait { owner: Some(self.id), waker: None });
                state.rest(self.id);
            }
            if state.busy == 0 { std::mem::take(&mut state.settling) } else { Vec::new() }
        };
        settled.into_iter().for_each(Waker::wake);
        let mut state = self.clock.state.lock();
        while state.owners.get(&self.id).is_some_and(|owner| !owner.busy) {
            self.clock.changed.wait(&mut state);
        }
        state.waits.remove(&(deadline, self.id));
        if let Some(owner) = state.owners.get_mut(&self.id) {
            owner.rung = false;
        }
    }

    fn retire(&self) {
        self.clock.update(|state| state.remove(self.id));
    }
}

impl Debug for ManualAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualAlarm").field(&self.id).finish()
    }
}
