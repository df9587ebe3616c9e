//! What the parts of a host share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{broadcast, watch};
use tokio_util::task::TaskTracker;

use super::health::{Health, ServiceState, Successes};
use crate::error::Result;
use crate::execute::Pipeline;
use crate::execution_id::new_session;
use crate::job::ExecutionId;
use crate::scheduler::{Scheduler, SchedulerState};
use crate::time::Clock;
use crate::watch::Events;

/// Why a host has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
#[non_exhaustive]
pub enum StopReason {
    /// The process got a signal.
    Signal {
        /// Its name.
        signal: String,
    },
    /// Somebody has asked for it.
    Requested,
    /// The future that the host ran beside is over.
    Finished,
    /// A service has failed whose supervision is to stop the host.
    ServiceFailed {
        /// The service.
        service: String,
    },
    /// A service could not start.
    StartFailed {
        /// The service.
        service: String,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { signal } => write!(f, "signal {signal}"),
            Self::Requested => f.write_str("the program has asked for it"),
            Self::Finished => f.write_str("the future that was to end it is ready"),
            Self::ServiceFailed { service } => write!(f, "service `{service}` has failed"),
            Self::StartFailed { service } => write!(f, "service `{service}` could not start"),
        }
    }
}

/// Something that has happened in a host.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum HostEvent {
    /// A phase has begun.
    Phase {
        /// Its name: prepare, start, started, stopping, stop, stopped.
        phase: &'static str,
    },
    /// A service has entered another state.
    Service {
        /// The service.
        service: String,
        /// The state.
        state: ServiceState,
    },
    /// Somebody wants the host to stop.
    StopRequested {
        /// Why.
        why: StopReason,
    },
    /// This reader was too slow and has missed so many events.
    Missed {
        /// How many.
        count: u64,
    },
}

/// A stream of events, from the moment it was asked for.
#[derive(Debug)]
pub struct HostEvents(broadcast::Receiver<HostEvent>);

impl HostEvents {
    /// The next event; none when the host is gone.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when it is dropped before it is ready.
    pub async fn next(&mut self) -> Option<HostEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(HostEvent::Missed { count }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

pub(super) struct HostCore {
    pub(super) clock: Arc<dyn Clock>,
    /// The pipeline of every run that the host launches. A host with a scheduler shares the pipeline of the scheduler.
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) scheduler: Option<Scheduler>,
    pub(super) tasks: TaskTracker,
    pub(super) successes: Successes,
    pub(super) events: broadcast::Sender<HostEvent>,
    /// The first reason stays.
    pub(super) stop: watch::Sender<Option<StopReason>>,
    /// The number of this life of the host; the ids of runs that it launches carry it.
    session: u64,
    /// The last number that a run got.
    last_run: Mutex<u64>,
    states: Mutex<BTreeMap<String, ServiceState>>,
    /// The services that have failed and with which the host was to stop.
    failures: Mutex<Vec<String>>,
    began: Mutex<Duration>,
    up: AtomicBool,
    /// The scheduler took new work until the host began to stop.
    scheduler_ran: AtomicBool,
}

impl HostCore {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        pipeline: Arc<Pipeline>,
        scheduler: Option<Scheduler>,
        successes: Successes,
    ) -> Self {
        let (events, stop, began) =
            (broadcast::Sender::new(1024), watch::Sender::new(None), Mutex::new(clock.monotonic()));
        let (last_run, states, failures, up, tasks, scheduler_ran) = Default::default();
        Self {
            clock,
            pipeline,
            scheduler,
            tasks,
            successes,
            events,
            stop,
            session: new_session(),
            last_run,
            states,
            failures,
            began,
            up,
            scheduler_ran,
        }
    }

    /// The id of the next run that the host launches.
    pub(super) fn next_run(&self) -> ExecutionId {
        let mut last = self.last_run.lock();
        *last = ExecutionId::count_after(*last, self.clock.now());
        ExecutionId::new(self.session, *last)
    }

    pub(super) fn set_state(&self, service: &str, state: ServiceState) {
        tracing::debug!(service, %state, "service `{service}`: {state}");
        self.states.lock().insert(service.to_owned(), state.clone());
        // Nobody may be listening.
        let _ = self.events.send(HostEvent::Service { service: service.to_owned(), state });
    }

    pub(super) fn state(&self, service: &str) -> Option<ServiceState> {
        self.states.lock().get(service).cloned()
    }

    pub(super) fn states(&self) -> BTreeMap<String, ServiceState> {
        self.states.lock().clone()
    }

    pub(super) fn request_stop(&self, why: StopReason) {
        let first = self.stop.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(why.clone());
            }
            first
        });
        if first {
            let _ = self.events.send(HostEvent::StopRequested { why });
        }
    }

    /// The host stops, and fails, since this service has failed, however late.
    pub(super) fn service_failed(&self, service: &str, failure: &str) {
        self.set_state(service, ServiceState::Failed { failure: failure.to_owned() });
        self.failures.lock().push(format!("service `{service}` has failed: {failure}"));
        self.request_stop(StopReason::ServiceFailed { service: service.to_owned() });
    }

    pub(super) fn failures(&self) -> Vec<String> {
        self.failures.lock().clone()
    }

    /// Ready when somebody wants the host to stop.
    pub(super) async fn stop_requested(&self) -> StopReason {
        let mut stop = self.stop.subscribe();
        let asked = stop.wait_for(Option::is_some).await;
        asked.ok().and_then(|reason| reason.clone()).unwrap_or(StopReason::Requested)
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Release);
        if up {
            *self.began.lock() = self.clock.monotonic();
        }
    }

    /// Lets the scheduler begin nothing more until its own stop, which drains it if it has run until now.
    pub(super) fn hold_scheduler(&self) -> Result<()> {
        let Some(scheduler) = &self.scheduler else { return Ok(()) };
        if scheduler.state() == SchedulerState::Running {
            self.scheduler_ran.store(true, Ordering::Release);
        }
        scheduler.standby()
    }

    pub(super) fn scheduler_ran(&self) -> bool {
        self.scheduler_ran.load(Ordering::Acquire)
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(super) fn began(&self) -> Duration {
        *self.began.lock()
    }
}

/// Watches and stops a host from elsewhere. Cloning gives a handle to the same host.
#[derive(Clone)]
pub struct HostHandle(pub(super) Arc<HostCore>);

impl HostHandle {
    /// Asks the host to stop. Nothing happens if it stops already.
    pub fn stop(&self) {
        self.0.request_stop(StopReason::Requested);
    }

    /// How the host is doing.
    pub fn health(&self) -> Health {
        self.0.health()
    }

    /// The scheduler of the host, if it has one.
    pub fn scheduler(&self) -> Option<&Scheduler> {
        self.0.scheduler.as_ref()
    }

    /// What becomes of runs from now on, whoever launches them: queues, start-up tasks, services and timers of the host, and its
    /// scheduler, whose [events](Scheduler::events) are these.
    pub fn runs(&self) -> Events {
        self.0.pipeline.bus.subscribe()
    }

    /// What happens to the host and its services from now on.
    pub fn events(&self) -> HostEvents {
        HostEvents(self.0.events.subscribe())
    }
}

impl fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostHandle").field(&self.0.states()).finish()
    }
}
