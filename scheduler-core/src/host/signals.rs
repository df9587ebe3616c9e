//! What a host does to the process it owns: signals, and an end when something cannot be stopped.
//!
//! On a thread with a runtime of its own, so that it works when the program's runtime is blocked.

use std::convert::Infallible;
use std::process;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;

use super::core::{HostCore, StopReason};
use super::health::ServiceState;
use crate::time::{Clock, SystemClock};

/// How much longer than its budget a stop may take before the process is ended.
const GRACE: Duration = Duration::from_secs(2);

/// How long the rest of the program has after a host that could not stop everything.
const AFTER: Duration = Duration::from_secs(1);

/// The exit code after a failure.
const FAILED: i32 = 1;

/// Where the host is, as far as the guardian has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Living,
    Stopped,
    /// Something did not stop; the text says what.
    Stuck(String),
}

/// Watches a host that owns its process.
pub(super) struct Guardian(watch::Sender<State>);

impl Guardian {
    pub(super) fn start(core: &Arc<HostCore>, budget: Duration) -> Self {
        let state = watch::Sender::new(State::Living);
        let (core, seen) = (core.clone(), state.subscribe());
        let (installed, is_installed) = sync_channel::<Infallible>(0);
        let thread = std::thread::Builder::new().name("host guardian".to_owned());
        let spawned = thread.spawn(move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(async {
                match Signals::install() {
                    Ok(signals) => {
                        drop(installed);
                        watch(&core, budget, seen, signals).await;
                    }
                    Err(error) => tracing::error!(%error, "signals cannot be watched, so one ends the process without a stop of its services: {error}"),
                }
            }),
            Err(error) => tracing::error!(%error, "signals cannot be watched, so one ends the process without a stop of its services: {error}"),
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "signals cannot be watched, so one ends the process without a stop of its services: {error}");
        }
        // No service starts before: a signal would end the process where it stands. The thread lets go of its end.
        let _ = is_installed.recv();
        Self(state)
    }

    /// The host is over; `stuck` says what did not stop.
    pub(super) fn release(self, stuck: Option<String>) {
        let is_stuck = stuck.is_some();
        self.0.send_replace(stuck.map_or(State::Stopped, State::Stuck));
        if is_stuck {
            // The receiver has to see it before the sender goes.
            std::mem::forget(self);
        }
    }
}

async fn watch(core: &HostCore, budget: Duration, mut state: watch::Receiver<State>, mut signals: Signals) {
    loop {
        tokio::select! {
            (name, _) = signals.next() => {
                core.request_stop(StopReason::Signal { signal: name.to_owned() });
                break;
            }
            _ = core.stop_requested() => break,
            changed = state.changed() => if changed.is_err() || *state.borrow() != State::Living { break },
        }
    }
    // In real time, whatever the clock of the host says.
    let last = SystemClock.monotonic().saturating_add(budget).saturating_add(GRACE);
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Stopped => return,
            State::Stuck(what) => {
                SystemClock.sleep(AFTER).await;
                // The program has not come to say so itself.
                eprintln!("Error: {what}");
                process::exit(FAILED);
            }
            State::Living => {}
        }
        tokio::select! {
            (name, number) = signals.next() => {
                tracing::error!(signal = name, "a second signal ({name}) has come: the process ends at once");
                eprintln!("a second signal ({name}) has come: the process ends at once");
                process::exit(128 + number);
            }
            changed = state.changed() => if changed.is_err() { return },
            () = SystemClock.sleep_until(last) => {
                let states = core.states();
                let open = states.iter().filter(|(_, state)| !matches!(state, ServiceState::Stopped | ServiceState::Ended));
                let open: Vec<_> = open.map(|(name, _)| name.as_str()).collect();
                let open = open.join(", ");
                tracing::error!(services = open, "the stop has exceeded its budget and the process ends; these services have not stopped: {open}");
                eprintln!("the stop has exceeded its budget and the process ends; these services have not stopped: {open}");
                process::exit(FAILED);
            }
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next signal, with its number.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", 2),
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.quit.recv() => ("SIGQUIT", 3),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> (&'static str, i32) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        ("Ctrl-C", 2)
    }
}
