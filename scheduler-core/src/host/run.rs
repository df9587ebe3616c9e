//! The life of a host.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::runtime::Handle;

use super::core::{HostCore, HostEvent, HostHandle, StopReason};
use super::health::ServiceState;
use super::service::{ErasedService, Phase, ServiceContext, StopContext};
use super::signals::Guardian;
use crate::job::{BoxFuture, JobError, JobResult};
use crate::log::{Shown, listed};
use crate::scheduler::BuildError;
use crate::time::by;
use crate::user::{self, Panic};

/// How long tasks that were taken away may take to be gone, beyond the budget.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Services that live and die together.
pub struct Host {
    pub(super) core: Arc<HostCore>,
    pub(super) entries: Vec<Entry>,
    /// Indices of the entries, in the order of the start.
    pub(super) layers: Vec<Vec<usize>>,
    pub(super) stop_budget: Duration,
    pub(super) drain_delay: Duration,
}

pub(super) struct Entry {
    pub(super) service: Arc<dyn ErasedService>,
    pub(super) context: ServiceContext,
    pub(super) start_within: Option<Duration>,
    pub(super) stop_within: Option<Duration>,
}

/// How a host has ended.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct HostReport {
    /// Why it has stopped.
    pub reason: StopReason,
    /// In which state each service was at the end.
    pub services: BTreeMap<String, ServiceState>,
    /// What went wrong, in words.
    pub failures: Vec<String>,
    /// Who did not stop in time.
    pub not_stopped: Vec<String>,
    /// How long the stop took.
    #[serde(rename = "took_ms", serialize_with = "crate::stored::millis")]
    pub took: Duration,
}

/// A host has not started, or not ended well. Its text names each service and what it did.
pub struct HostError(Box<Inner>);

enum Inner {
    Build(BuildError),
    Run(HostReport),
}

impl HostError {
    /// How the host has ended; none if it could not be built.
    pub fn report(&self) -> Option<&HostReport> {
        match &*self.0 {
            Inner::Build(_) => None,
            Inner::Run(report) => Some(report),
        }
    }
}

impl From<BuildError> for HostError {
    fn from(error: BuildError) -> Self {
        Self(Box::new(Inner::Build(error)))
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Inner::Build(error) => error.fmt(f),
            Inner::Run(report) => {
                let late = |name: &String| format!("service `{name}` did not stop in time");
                let mut troubles = report.failures.clone();
                troubles.extend(report.not_stopped.iter().map(late));
                write!(f, "the host has failed: {}", troubles.join("; "))
            }
        }
    }
}

/// As its text, so that `fn main() -> Result<(), HostError>` prints something to read.
impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Inner::Build(error) => error.source(),
            Inner::Run(_) => None,
        }
    }
}

/// What went wrong on the way to the end.
#[derive(Default)]
struct Troubles {
    failures: Vec<String>,
    not_stopped: Vec<String>,
}

impl Troubles {
    /// What the host runs beside is over, perhaps by a panic.
    fn finished(&mut self, result: Result<(), Panic>) -> StopReason {
        if let Err(panic) = result {
            self.failures.push(format!("the future that the host runs beside has {panic}"));
        }
        StopReason::Finished
    }
}

impl Host {
    /// A handle that watches and stops it.
    pub fn handle(&self) -> HostHandle {
        HostHandle(self.core.clone())
    }

    /// Starts everything, runs until a signal, a request or a failure, and stops everything. It owns the process: see the
    /// [module](super).
    ///
    /// # Errors
    ///
    /// A service has failed, at its start, while it ran or at its stop, or did not stop in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the services as they are; call it to its end.
    pub async fn run(self) -> Result<HostReport, HostError> {
        let guardian = Guardian::start(&self.core, self.drain_delay.saturating_add(self.stop_budget));
        let result = self.live(pending()).await;
        let stuck = |error: &&HostError| error.report().is_some_and(|report| !report.not_stopped.is_empty());
        guardian.release(result.as_ref().err().filter(stuck).map(ToString::to_string));
        result
    }

    /// As [`run`](Self::run), inside a program of somebody else: it ends also when `future` is ready, touches no signals and
    /// never ends the process. If `future` panics, the services are stopped and the run has failed.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_until(self, future: impl Future<Output = ()>) -> Result<HostReport, HostError> {
        self.live(future).await
    }

    async fn live(self, until: impl Future<Output = ()>) -> Result<HostReport, HostError> {
        let (core, mut troubles) = (&self.core, Troubles::default());
        let mut until = pin!(user::run(|| until));
        let started = Mutex::new(vec![false; self.entries.len()]);
        if let Some(scheduler) = &core.scheduler {
            scheduler.attach_listeners(&Handle::current());
        }
        let activity = core.clock.begin(&"the start of the host");
        let start = activity.observe(self.start(&started));
        let reason = tokio::select! {
            biased;
            started = start => match started {
                Ok(()) => None,
                Err((service, error)) => {
                    troubles.failures.push(format!("service `{service}` could not start: {error}"));
                    Some(StopReason::StartFailed { service })
                }
            },
            reason = core.stop_requested() => Some(reason),
            result = &mut until => Some(troubles.finished(result)),
        };
        drop(activity);
        // A service may have failed while others still started.
        let reason = reason.or_else(|| core.stop.borrow().clone());
        let reason = match reason {
            Some(reason) => reason,
            None => {
                core.set_up(true);
                #[cfg(all(feature = "systemd", target_os = "linux"))]
                super::systemd::begin(core);
                self.say_up();
                let reason = tokio::select! {
                    reason = core.stop_requested() => reason,
                    result = until => troubles.finished(result),
                };
                core.set_up(false);
                #[cfg(all(feature = "systemd", target_os = "linux"))]
                super::systemd::stopping(self.drain_delay.saturating_add(self.stop_budget));
                tracing::info!(%reason, "the host stops: {reason}");
                if !matches!(reason, StopReason::ServiceFailed { .. }) {
                    self.on_clock("the drain delay of the host", core.clock.sleep(self.drain_delay)).await;
                }
                reason
            }
        };
        core.request_stop(reason.clone());
        let begin = core.clock.monotonic();
        self.on_clock("the stop of the host", self.stop(&started, &mut troubles)).await;
        let took = core.clock.monotonic().saturating_sub(begin);
        let Troubles { failures: others, not_stopped } = troubles;
        let failures = core.failures().into_iter().chain(others).collect();
        let report = HostReport { reason, services: core.states(), failures, not_stopped, took };
        if report.failures.is_empty() && report.not_stopped.is_empty() {
            let took = Shown(took);
            tracing::info!(%took, "the host has stopped, after {took}");
            return Ok(report);
        }
        let error = HostError(Box::new(Inner::Run(report)));
        tracing::error!("{error}");
        Err(error)
    }

    /// Also names who is not there.
    fn say_up(&self) {
        let is_gone = |(_, state): &(_, ServiceState)| matches!(state, ServiceState::Failed { .. });
        let gone: Vec<_> = self.core.states().into_iter().filter(is_gone).map(|(name, _)| name).collect();
        if gone.is_empty() {
            tracing::info!("the host is up");
        } else {
            tracing::warn!("the host is up without services that have failed: {}", listed(gone));
        }
    }

    async fn on_clock<F: Future>(&self, what: &'static str, future: F) -> F::Output {
        let activity = self.core.clock.begin(&what);
        activity.observe(future).await
    }

    async fn start(&self, started: &Mutex<Vec<bool>>) -> Result<(), (String, JobError)> {
        for phase in [Phase::Prepare, Phase::Start, Phase::Started] {
            self.announce(phase);
            for layer in &self.layers {
                let begins = layer.iter().map(|index| self.begin(*index, phase, started)).collect();
                let results = join(begins, |result: &JobResult| result.is_err()).await;
                let mut failed = None;
                for (index, result) in layer.iter().zip(results) {
                    let Some(Err(error)) = result else { continue };
                    let name = &self.entries[*index].context.name;
                    tracing::error!(service = %name, %error, "service `{name}` could not start, so those that have started are stopped: {error}");
                    self.core.set_state(name, ServiceState::Failed { failure: error.to_string() });
                    failed.get_or_insert_with(|| (name.to_string(), error));
                }
                if let Some(failed) = failed {
                    return Err(failed);
                }
            }
        }
        Ok(())
    }

    fn begin<'a>(
        &'a self,
        index: usize,
        phase: Phase,
        started: &'a Mutex<Vec<bool>>,
    ) -> BoxFuture<'a, JobResult> {
        let entry = &self.entries[index];
        let (name, clock) = (&entry.context.name, &self.core.clock);
        Box::pin(async move {
            if phase < Phase::Started {
                self.core.set_state(name, ServiceState::Starting);
            }
            let begin = clock.monotonic();
            let beginning = caught(|| entry.service.begin(phase, &entry.context));
            let result = match entry.start_within {
                None => beginning.await,
                Some(time) => {
                    let late = || {
                        Err(JobError::new(format!(
                            "phase `{}` took longer than {}",
                            phase.word(),
                            Shown(time)
                        )))
                    };
                    by(&**clock, begin.saturating_add(time), beginning).await.unwrap_or_else(late)
                }
            };
            let took = clock.monotonic().saturating_sub(begin);
            let (phase_name, took) = (phase.word(), Shown(took));
            tracing::debug!(service = %name, phase = phase_name, %took, ok = result.is_ok(), "service `{name}` is through phase `{phase_name}` after {took}");
            if phase == Phase::Start && result.is_ok() {
                started.lock()[index] = true;
                // A background service says so itself, and may be further already.
                if self.core.state(name) == Some(ServiceState::Starting) {
                    self.core.set_state(name, ServiceState::Running);
                }
            }
            result
        })
    }

    /// Everything that has started, backwards, within the budget.
    async fn stop(&self, started: &Mutex<Vec<bool>>, troubles: &mut Troubles) {
        let started = started.lock().clone();
        let clock = &self.core.clock;
        let end = clock.monotonic().saturating_add(self.stop_budget);
        for phase in [Phase::Stopping, Phase::Stop, Phase::Stopped] {
            self.announce(phase);
            for layer in self.layers.iter().rev() {
                let here: Vec<usize> = layer.iter().copied().filter(|index| started[*index]).collect();
                let ends = here.iter().map(|index| self.end(*index, phase, end)).collect();
                for (index, result) in here.iter().zip(join(ends, |_| false).await) {
                    self.note_end(*index, phase, result.flatten(), troubles);
                }
            }
        }
        // A service whose start was cut short may have tasks.
        self.entries.iter().zip(&started).filter(|(_, started)| !**started).for_each(|(entry, _)| {
            entry.context.stop.cancel();
            entry.service.abort();
        });
        self.core.tasks.close();
        let last = clock.monotonic().saturating_add(LAST_MOMENT);
        by(&**clock, last, self.core.tasks.wait()).await;
    }

    /// None if its time was over.
    fn end(&self, index: usize, phase: Phase, budget_ends: Duration) -> BoxFuture<'_, Option<JobResult>> {
        let entry = &self.entries[index];
        Box::pin(async move {
            let clock = &self.core.clock;
            let own = entry.stop_within.map(|time| clock.monotonic().saturating_add(time));
            let deadline = own.map_or(budget_ends, |own| own.min(budget_ends));
            let stop = StopContext { context: entry.context.clone(), deadline };
            if phase == Phase::Stop {
                let ended = matches!(
                    self.core.state(&entry.context.name),
                    Some(ServiceState::Ended | ServiceState::Failed { .. })
                );
                if !ended {
                    self.core.set_state(&entry.context.name, ServiceState::Stopping);
                }
                entry.context.stop.cancel();
            }
            by(&**clock, deadline, caught(|| entry.service.end(phase, &stop))).await
        })
    }

    fn note_end(&self, index: usize, phase: Phase, result: Option<JobResult>, troubles: &mut Troubles) {
        let Entry { service, context, .. } = &self.entries[index];
        let name = &context.name;
        match result {
            Some(Ok(())) => {
                if phase == Phase::Stop && self.core.state(name) == Some(ServiceState::Stopping) {
                    self.core.set_state(name, ServiceState::Stopped);
                }
            }
            Some(Err(error)) => {
                let phase = phase.word();
                tracing::error!(service = %name, phase, %error, "service `{name}` has failed in phase `{phase}`: {error}");
                troubles.failures.push(format!("service `{name}` has failed in phase `{phase}`: {error}"));
                // Parts of it go on, it says itself.
                if self.core.state(name) == Some(ServiceState::NotStopped) {
                    troubles.not_stopped.push(name.to_string());
                }
            }
            None => {
                let phase = phase.word();
                tracing::error!(service = %name, phase, "service `{name}` did not finish phase `{phase}` of the stop in time and is aborted");
                service.abort();
                self.core.set_state(name, ServiceState::NotStopped);
                if !troubles.not_stopped.contains(&name.to_string()) {
                    troubles.not_stopped.push(name.to_string());
                }
            }
        }
    }

    fn announce(&self, phase: Phase) {
        let _ = self.core.events.send(HostEvent::Phase { phase: phase.word() });
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.core.states()).finish()
    }
}

/// The outputs, in the order of the futures, which are polled together: until all are there, or one with which it is over.
async fn join<T>(futures: Vec<BoxFuture<'_, T>>, is_over: impl Fn(&T) -> bool) -> Vec<Option<T>> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Some(future), None)).collect();
    poll_fn(|cx| {
        for (future, output) in &mut running {
            if let Some(Poll::Ready(ready)) = future.as_mut().map(|future| future.as_mut().poll(cx)) {
                (*future, *output) = (None, Some(ready));
            }
        }
        let mut outputs = running.iter().map(|(_, output)| output.as_ref());
        let over = outputs.clone().flatten().any(&is_over) || outputs.all(|output| output.is_some());
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().map(|(_, output)| output).collect()
}

/// The result of a call of a service; a panic is an error.
async fn caught<F: Future<Output = JobResult>>(code: impl FnOnce() -> F) -> JobResult {
    user::run(code).await?
}
