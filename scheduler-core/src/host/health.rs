//! How a host is doing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;

use super::core::HostCore;
use crate::job::{JobContext, Outcome};
use crate::key::JobKey;
use crate::log::Shown;
use crate::scheduler::{JobListener, SchedulerState};
use crate::time::Clock;

/// The firing loop may be so late before the program counts as not alive.
const MOST_LAG: Duration = Duration::from_secs(10);

/// What a service does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum ServiceState {
    /// It waits for its turn.
    Waiting,
    /// It prepares or starts.
    Starting,
    /// It runs.
    Running,
    /// It has failed and is called again after a wait.
    Restarting {
        /// Why it has failed.
        failure: String,
        /// The wait.
        #[serde(rename = "after_ms", serialize_with = "crate::stored::millis")]
        after: Duration,
    },
    /// The service has finished by itself, which its definition allows.
    Ended,
    /// It has failed and stays away.
    Failed {
        /// Why.
        failure: String,
    },
    /// It stops.
    Stopping,
    /// It has stopped.
    Stopped,
    /// It did not stop in time and was taken away, as far as that is possible.
    NotStopped,
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str("waiting"),
            Self::Starting => f.write_str("starting"),
            Self::Running => f.write_str("running"),
            Self::Restarting { failure, after } => {
                write!(f, "restarts in {} after: {failure}", Shown(*after))
            }
            Self::Ended => f.write_str("ended"),
            Self::Failed { failure } => write!(f, "failed: {failure}"),
            Self::Stopping => f.write_str("stopping"),
            Self::Stopped => f.write_str("stopped"),
            Self::NotStopped => f.write_str("did not stop"),
        }
    }
}

/// How a host is doing, for a health check.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether the program makes progress: the firing loop is not late by more than ten seconds. If not, restart it.
    pub live: bool,
    /// Whether it can take work: started, not draining, no service failed or restarting, the job store working, no job stale.
    pub ready: bool,
    /// Each service by its name.
    pub services: BTreeMap<String, ServiceState>,
    /// The scheduler, if there is one.
    pub scheduler: Option<SchedulerHealth>,
    /// Jobs that should succeed from time to time.
    pub jobs: Vec<JobHealth>,
}

/// How a scheduler is doing.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SchedulerHealth {
    /// Its phase.
    pub state: SchedulerState,
    /// How late its loop is.
    #[serde(rename = "lag_ms", serialize_with = "crate::stored::millis")]
    pub lag: Duration,
    /// How many executions are under way.
    pub running: usize,
    /// What keeps the job store from working; none while it works.
    pub store_trouble: Option<Arc<str>>,
}

impl SchedulerHealth {
    fn works(&self) -> bool {
        self.state == SchedulerState::Running && self.store_trouble.is_none()
    }
}

/// Whether a job has succeeded lately.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct JobHealth {
    /// The job.
    pub job: String,
    /// When it succeeded last; none if it has not since the start.
    pub last_success: Option<DateTime<Utc>>,
    /// How often it should.
    #[serde(rename = "within_ms", serialize_with = "crate::stored::millis")]
    pub within: Duration,
    /// It has not succeeded for longer than that.
    pub stale: bool,
}

/// Remembers successes.
#[derive(Clone, Default)]
pub(super) struct Successes(Arc<Mutex<BTreeMap<JobKey, Expected>>>);

struct Expected {
    within: Duration,
    last: Option<(DateTime<Utc>, Duration)>,
}

impl Successes {
    pub(super) fn expect(&self, job: JobKey, within: Duration) {
        self.0.lock().insert(job, Expected { within, last: None });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(super) fn note(&self, job: &JobKey, outcome: &Outcome, clock: &dyn Clock) {
        if let Some(expected) = self.0.lock().get_mut(job).filter(|_| outcome.is_success()) {
            expected.last = Some((clock.now(), clock.monotonic()));
        }
    }

    /// `began` and `now` are of the monotonic clock.
    fn health(&self, began: Duration, now: Duration) -> Vec<JobHealth> {
        let one = |(job, expected): (&JobKey, &Expected)| {
            let since = expected.last.map_or(began, |(_, at)| at);
            JobHealth {
                job: job.to_string(),
                last_success: expected.last.map(|(time, _)| time),
                within: expected.within,
                stale: now.saturating_sub(since) > expected.within,
            }
        };
        self.0.lock().iter().map(one).collect()
    }
}

impl JobListener for Successes {
    async fn was_executed(&self, context: &JobContext, outcome: &Outcome) {
        self.note(context.job_key(), outcome, context.clock());
    }
}

impl HostCore {
    pub(super) fn health(&self) -> Health {
        let now = self.clock.monotonic();
        let services = self.states();
        let scheduler = self.scheduler.as_ref().map(|scheduler| SchedulerHealth {
            state: scheduler.state(),
            lag: scheduler.lag(),
            running: scheduler.running().len(),
            store_trouble: scheduler.store_trouble(),
        });
        let jobs = self.successes.health(self.began(), now);
        let works = |state: &ServiceState| {
            matches!(state, ServiceState::Running | ServiceState::Ended | ServiceState::Waiting)
        };
        let live = scheduler.as_ref().is_none_or(|scheduler| scheduler.lag <= MOST_LAG);
        let ready = live
            && self.is_up()
            && services.values().all(works)
            && scheduler.as_ref().is_none_or(SchedulerHealth::works)
            && jobs.iter().all(|job| !job.stale);
        Health { live, ready, services, scheduler, jobs }
    }
}
