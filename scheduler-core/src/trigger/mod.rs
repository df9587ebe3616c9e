//! When a job runs: triggers, their schedules and what becomes of a firing that came too late.
//!
//! A [`Trigger`] is an immutable description; how far it has got is its [`Progress`], a value of its own. Every
//! decision is a pure function from progress to progress. Nobody in here reads a clock or knows a store.
//!
//! ```
//! use std::time::Duration;
//! use scheduler_core::trigger::{Misfire, Trigger};
//!
//! // Once, as soon as it is scheduled; or at a moment.
//! let once = Trigger::now();
//! let later = Trigger::at("2030-01-01T00:00:00Z".parse().unwrap());
//! // Eleven times, every ten minutes.
//! let often = Trigger::every(Duration::from_secs(600)).repeat(10);
//! // By the wall clock of a zone. What was missed for long is dropped.
//! let nightly = Trigger::cron("0 30 2 ? * MON-FRI").time_zone("Europe/Berlin").misfire(Misfire::Skip);
//!
//! // Whatever is wrong is said when the trigger is built, all of it at once.
//! let now = "2026-01-01T00:00:00Z".parse().unwrap();
//! let error = Trigger::cron("0 30 25 * * ?").time_zone("Berlin").name("nightly").for_job("bill").build(now).unwrap_err();
//! assert_eq!(error.problems().len(), 2);
//!
//! // Fire times can be asked without a scheduler.
//! let trigger = often.name("often").for_job("bill").build(now).unwrap();
//! assert_eq!(trigger.fire_time_after(now), Some("2026-01-01T00:10:00Z".parse().unwrap()));
//! ```
//!
//! # Lateness
//!
//! A firing that is at most the scheduler's misfire threshold late is simply fired, each missed time by itself. What is
//! later is a *misfire*, and the trigger's [`Misfire`] policy says what becomes of it. The time at which it was due by
//! the schedule is kept in every case and is what the run sees as its scheduled fire time.

mod builder;
mod calendar_interval;
mod constructors;
mod cron;
#[cfg(feature = "cron")]
mod cron_crate;
mod daily;
mod error;
mod final_time;
mod interval;
mod misfire;
mod overlap;
mod progress;
mod recovery;
mod recurrence;
mod refusal;
mod schedule;
mod union;
mod upcoming;

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

pub use builder::TriggerBuilder;
pub use calendar_interval::{CalendarIntervalSchedule, Unit};
pub use cron::CronSchedule;
pub use daily::DailySchedule;
pub use error::TriggerError;
pub use interval::IntervalSchedule;
pub use misfire::Misfire;
pub use overlap::OverlapPolicy;
pub use progress::Progress;
pub use recovery::Recovery;
pub use recurrence::RecurrenceSchedule;
pub use schedule::Schedule;
pub use union::UnionSchedule;

pub use scheduler_syntax::cron::CronExpr;
pub use scheduler_syntax::rrule::RecurrenceRule;
pub use scheduler_syntax::{DstPolicy, Gap, Overlap};

use crate::data::JobData;
use crate::key::{JobKey, TriggerKey};
use crate::stored::Version;

/// The priority of a trigger that sets none, as in Quartz.
pub const DEFAULT_PRIORITY: i32 = 5;

/// When one job runs: an immutable description with a unique name.
///
/// Start with [`Trigger::now`], [`Trigger::at`], [`Trigger::every`] or [`Trigger::cron`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Trigger {
    key: TriggerKey,
    job: JobKey,
    schedule: Schedule,
    start: DateTime<Utc>,
    priority: i32,
    misfire: Misfire,
    overlap: OverlapPolicy,
    cold: Option<Box<ColdFields>>,
}

/// What most triggers do not have. There are many triggers, so they do not take memory for it.
#[derive(Debug, Clone, PartialEq)]
struct ColdFields {
    end: Option<DateTime<Utc>>,
    calendar: Option<Arc<str>>,
    description: Option<Arc<str>>,
    data: JobData,
    queue: Option<Arc<str>>,
    declared_by: Option<Arc<str>>,
    recovery: Option<Box<Recovery>>,
}

impl ColdFields {
    const NOTHING: Self = Self {
        end: None,
        calendar: None,
        description: None,
        data: JobData::new(),
        queue: None,
        declared_by: None,
        recovery: None,
    };

    fn kept(self) -> Option<Box<Self>> {
        (self != Self::NOTHING).then(|| Box::new(self))
    }
}

/// A trigger as it is written.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(rename = "v", default)]
    version: Version,
    key: TriggerKey,
    job: JobKey,
    /// The error is kept until the trigger can be named.
    #[serde(with = "crate::stored::part")]
    schedule: Result<Schedule, String>,
    start: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calendar: Option<Arc<str>>,
    priority: i32,
    #[serde(default)]
    misfire: Misfire,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "JobData::is_empty")]
    data: JobData,
    #[serde(default, skip_serializing_if = "is_default")]
    overlap: OverlapPolicy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    declared_by: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery: Option<Box<Recovery>>,
}

impl TryFrom<Record> for Trigger {
    type Error = TriggerError;

    fn try_from(record: Record) -> Result<Self, TriggerError> {
        let Record { key, job, schedule, start, priority, misfire, overlap, .. } = record;
        let Record { end, calendar, description, data, queue, declared_by, recovery, .. } = record;
        let schedule = match schedule {
            Ok(schedule) => schedule,
            Err(problem) => {
                let problem = format!("`schedule`: {problem}");
                return Err(TriggerError::new(Some(key), Some(job), vec![problem], None));
            }
        };
        let (start, end) = (start.trunc_subsecs(3), end.map(|end| end.trunc_subsecs(3)));
        let cold = ColdFields { end, calendar, description, data, queue, declared_by, recovery };
        Self { key, job, schedule, start, priority, misfire, overlap, cold: cold.kept() }.checked()
    }
}

impl From<Trigger> for Record {
    fn from(trigger: Trigger) -> Self {
        let Trigger { key, job, schedule, start, priority, misfire, overlap, cold } = trigger;
        let ColdFields { end, calendar, description, data, queue, declared_by, recovery } =
            cold.map_or(ColdFields::NOTHING, |cold| *cold);
        Self {
            version: Version,
            key,
            job,
            schedule: Ok(schedule),
            start,
            end,
            calendar,
            priority,
            misfire,
            description,
            data,
            overlap,
            queue,
            declared_by,
            recovery,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Trigger {
    /// The trigger, unless something is wrong with it.
    fn checked(self) -> Result<Self, TriggerError> {
        let problems = self.problems();
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(TriggerError::new(Some(self.key), Some(self.job), problems, None))
        }
    }

    fn cold(&self) -> &ColdFields {
        const NOTHING: &ColdFields = &ColdFields::NOTHING;
        self.cold.as_deref().unwrap_or(NOTHING)
    }

    /// The unique name.
    pub fn key(&self) -> &TriggerKey {
        &self.key
    }

    /// The job that it runs.
    pub fn job(&self) -> &JobKey {
        &self.job
    }

    /// The rule that gives its fire times.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// No firing is earlier.
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// No firing is later. Intervals and calendar intervals do not fire at this very time either, as in Quartz.
    pub fn end(&self) -> Option<DateTime<Utc>> {
        self.cold().end
    }

    /// The name of the calendar whose excluded times are left out.
    pub fn calendar(&self) -> Option<&str> {
        self.cold().calendar.as_deref()
    }

    /// Between triggers that are due at the same instant the higher one fires first.
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// What becomes of a firing that came too late.
    pub fn misfire(&self) -> Misfire {
        self.misfire
    }

    /// A sentence for people.
    pub fn description(&self) -> Option<&str> {
        self.cold().description.as_deref()
    }

    /// Data for the runs of this trigger, laid over the job's.
    pub fn data(&self) -> &JobData {
        &self.cold().data
    }

    /// What becomes of a firing while the previous run goes on.
    pub fn overlap(&self) -> OverlapPolicy {
        self.overlap
    }

    /// The queue, whose runs a node may limit.
    pub fn queue(&self) -> Option<&Arc<str>> {
        self.cold().queue.as_ref()
    }

    /// This trigger in the queue of its job, or of the run that it repeats. A trigger that has a queue keeps it.
    #[must_use]
    pub fn or_queue(mut self, of_job: Option<&Arc<str>>) -> Self {
        if let (None, Some(queue)) = (self.queue(), of_job) {
            let cold = self.cold.get_or_insert_with(|| Box::new(ColdFields::NOTHING));
            cold.queue = Some(queue.clone());
        }
        self
    }

    /// The scheduler whose code declares this trigger; none for one that was scheduled by a call.
    pub fn declared_by(&self) -> Option<&str> {
        self.cold().declared_by.as_deref()
    }

    /// The lost run that this trigger repeats; none for every other trigger.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.cold().recovery.as_deref()
    }

    /// What an attempt of a stored run shows as its trigger.
    pub(crate) fn of_run(
        key: TriggerKey,
        job: &JobKey,
        start: DateTime<Utc>,
        priority: i32,
        data: JobData,
        queue: Option<Arc<str>>,
        recovery: Option<Box<Recovery>>,
    ) -> Self {
        let cold = ColdFields { data, queue, recovery, ..ColdFields::NOTHING };
        let (schedule, misfire, overlap) = (Schedule::Once, Misfire::Ignore, OverlapPolicy::AllowAll);
        Self { key, job: job.clone(), schedule, start, priority, misfire, overlap, cold: cold.kept() }
    }

    /// A builder that starts from this trigger. Its start stays the same.
    pub fn to_builder(&self) -> TriggerBuilder {
        TriggerBuilder::from(self.clone())
    }

    /// Whether both fire at the same times: schedule, start, end and calendar are the same.
    pub fn same_timing(&self, other: &Self) -> bool {
        let timing = |trigger: &Self| (trigger.start, trigger.end());
        timing(self) == timing(other)
            && self.calendar() == other.calendar()
            && self.schedule == other.schedule
    }
}
