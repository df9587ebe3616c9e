//! Building triggers; every mistake is reported by `build`, all at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use scheduler_syntax::cron::{CronExpr, DstPolicy};
use serde::Serialize;

use super::cron::CronSchedule;
use super::interval::IntervalSchedule;
use super::misfire::Misfire;
use super::schedule::Schedule;
use super::{DEFAULT_PRIORITY, Trigger};
use crate::data::JobData;
use crate::key::{InvalidKey, JobKey, TriggerKey};

/// What is wrong with a trigger: its name and every problem found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerError {
    trigger: Option<TriggerKey>,
    problems: Vec<String>,
}

impl TriggerError {
    /// Each problem in a sentence.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for TriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trigger {
            Some(key) => write!(f, "trigger `{key}`: ")?,
            None => f.write_str("trigger: ")?,
        }
        f.write_str(&self.problems.join("; "))
    }
}

impl std::error::Error for TriggerError {}

/// Builds a [`Trigger`].
///
/// Nothing here fails; what is wrong is kept and reported when the trigger is built or scheduled.
#[derive(Debug, Clone)]
#[must_use]
pub struct TriggerBuilder {
    key: Option<TriggerKey>,
    job: Option<JobKey>,
    rule: Rule,
    repeat: Option<u32>,
    dst: Option<DstPolicy>,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    calendar: Option<Arc<str>>,
    priority: i32,
    misfire: Misfire,
    description: Option<Arc<str>>,
    data: JobData,
    problems: Vec<String>,
}

/// The schedule before its parts are known to fit.
#[derive(Debug, Clone)]
enum Rule {
    Once,
    Every(Duration),
    Cron { text: String, zone: Tz },
    Ready(Schedule),
}

impl Trigger {
    /// A trigger that fires once, as soon as it is scheduled.
    pub fn now() -> TriggerBuilder {
        TriggerBuilder::new(Rule::Once)
    }

    /// A trigger that fires once, at `time`; at once if that has passed.
    pub fn at(time: DateTime<Utc>) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Once).start_at(time)
    }

    /// A trigger that fires at its start and then at every multiple of `interval` from it, until it is
    /// [limited](TriggerBuilder::repeat) or [ends](TriggerBuilder::end_at).
    ///
    /// Intervals are counted in whole milliseconds of elapsed time and must be at least one.
    pub fn every(interval: Duration) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Every(interval))
    }

    /// A trigger that fires at the times of a cron expression in Quartz's dialect: second, minute, hour, day of
    /// month, month, day of week and an optional year. Read in UTC unless a [zone](TriggerBuilder::time_zone) is set.
    pub fn cron(expression: &str) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Cron { text: expression.to_owned(), zone: Tz::UTC })
    }

    /// A trigger with a schedule that is ready made.
    pub fn scheduled(schedule: Schedule) -> TriggerBuilder {
        TriggerBuilder::new(Rule::Ready(schedule))
    }
}

impl TriggerBuilder {
    fn new(rule: Rule) -> Self {
        Self {
            key: None,
            job: None,
            rule,
            repeat: None,
            dst: None,
            start: None,
            end: None,
            calendar: None,
            priority: DEFAULT_PRIORITY,
            misfire: Misfire::default(),
            description: None,
            data: JobData::new(),
            problems: Vec::new(),
        }
    }

    /// The unique name, as `name` or `group/name`. Default: one made up when the trigger is scheduled.
    pub fn name(self, key: &str) -> Self {
        let parsed = key.parse::<TriggerKey>();
        self.checked(parsed, |trigger, key| trigger.key = Some(key))
    }

    /// The unique name.
    pub fn key(mut self, key: TriggerKey) -> Self {
        self.key = Some(key);
        self
    }

    /// The job to run, as `name` or `group/name`. Default: the job it is scheduled with.
    pub fn for_job(self, key: &str) -> Self {
        let parsed = key.parse::<JobKey>();
        self.checked(parsed, |trigger, key| trigger.job = Some(key))
    }

    /// The job to run.
    pub fn job(mut self, key: JobKey) -> Self {
        self.job = Some(key);
        self
    }

    /// The zone whose wall clock a cron expression reads, by its IANA name. Default: UTC.
    pub fn time_zone(mut self, name: &str) -> Self {
        match scheduler_syntax::parse_zone(name) {
            Ok(zone) => self.in_zone(zone),
            Err(error) => {
                self.problems.push(error.to_string());
                self
            }
        }
    }

    /// The zone whose wall clock a cron expression reads. Default: UTC.
    pub fn in_zone(mut self, wanted: Tz) -> Self {
        match &mut self.rule {
            Rule::Cron { zone, .. } => *zone = wanted,
            Rule::Ready(Schedule::Cron(cron)) => *cron = cron.clone().in_zone(wanted),
            _ => self.problems.push("a time zone means nothing for this schedule; leave it out".to_owned()),
        }
        self
    }

    /// What a fixed time of a cron expression does where clocks change. Default: in a gap it runs right after it, of
    /// two it takes the first.
    pub fn dst(mut self, policy: DstPolicy) -> Self {
        self.dst = Some(policy);
        self
    }

    /// How often to fire after the first time. Default: for ever.
    pub fn repeat(mut self, count: u32) -> Self {
        self.repeat = Some(count);
        self
    }

    /// No firing is earlier. Default: the moment of scheduling. Cut to whole milliseconds.
    pub fn start_at(mut self, time: DateTime<Utc>) -> Self {
        self.start = Some(time);
        self
    }

    /// No firing is later; an interval does not fire at this very time either. Default: no end.
    pub fn end_at(mut self, time: DateTime<Utc>) -> Self {
        self.end = Some(time);
        self
    }

    /// The name of a calendar whose excluded times are left out. Default: none.
    pub fn calendar(mut self, name: impl Into<Arc<str>>) -> Self {
        self.calendar = Some(name.into());
        self
    }

    /// Between triggers due at the same instant the higher priority fires first. Default: 5.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// What becomes of a firing that came too late. Default: [`Misfire::Smart`].
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = misfire;
        self
    }

    /// A sentence for people. Default: none.
    pub fn description(mut self, text: impl Into<Arc<str>>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Data laid over the job's data. Default: none.
    pub fn data(mut self, data: JobData) -> Self {
        self.data = data;
        self
    }

    /// One more entry of data.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.data = self.data.with(name, value);
        self
    }

    /// The finished trigger; `now` is the start of one that sets none.
    ///
    /// # Errors
    ///
    /// Every problem at once: a missing name or job, a cron expression or zone that does not parse, an interval
    /// under a millisecond, an end before the start.
    pub fn build(mut self, now: DateTime<Utc>) -> Result<Trigger, TriggerError> {
        let start = self.start.unwrap_or(now).trunc_subsecs(3);
        if self.end.is_some_and(|end| end < start) {
            self.problems.push(format!("ends at {} before it starts at {start}", self.end.unwrap_or(start)));
        }
        let schedule = self.schedule();
        match (&self.key, &self.job, schedule) {
            (Some(key), Some(job), Some(schedule)) if self.problems.is_empty() => Ok(Trigger {
                key: key.clone(),
                job: job.clone(),
                schedule,
                start,
                end: self.end.map(|end| end.trunc_subsecs(3)),
                calendar: self.calendar,
                priority: self.priority,
                misfire: self.misfire,
                description: self.description,
                data: self.data,
            }),
            (key, job, _) => {
                let missing = [
                    (key.is_none(), "has no name; set `name`"),
                    (job.is_none(), "has no job; set `for_job`"),
                ];
                self.problems
                    .extend(missing.iter().filter(|(absent, _)| *absent).map(|(_, text)| (*text).to_owned()));
                Err(TriggerError { trigger: self.key, problems: self.problems })
            }
        }
    }

    /// This trigger for `job` unless it names one, called `name` unless it has a name.
    pub(crate) fn or_for(mut self, job: &JobKey, name: impl FnOnce() -> TriggerKey) -> Self {
        self.job.get_or_insert_with(|| job.clone());
        self.key.get_or_insert_with(name);
        self
    }

    /// This trigger with `under` below its own data.
    pub(crate) fn over(mut self, under: &JobData) -> Self {
        self.data = under.merged(&self.data);
        self
    }

    fn schedule(&mut self) -> Option<Schedule> {
        let rule = std::mem::replace(&mut self.rule, Rule::Once);
        let schedule = match rule {
            Rule::Once => Ok(Schedule::Once),
            Rule::Every(every) => interval(every).map(Schedule::Interval),
            Rule::Cron { text, zone } => {
                self.parse_cron(&text).map(|cron| Schedule::Cron(CronSchedule::new(cron, zone)))
            }
            Rule::Ready(schedule) => Ok(schedule),
        };
        schedule
            .and_then(|schedule| self.limited(schedule))
            .and_then(|schedule| self.fitting(schedule))
            .map_err(|problem| self.problems.push(problem))
            .ok()
    }

    fn parse_cron(&self, text: &str) -> Result<CronExpr, String> {
        let seed = self.key.as_ref().map(ToString::to_string).unwrap_or_default();
        CronExpr::parse_hashed(text, &seed).map_err(|error| format!("cron expression `{text}`: {error}"))
    }

    /// The choices for changes of clocks put in, and the parts found to fit.
    fn fitting(&self, schedule: Schedule) -> Result<Schedule, String> {
        let schedule = match (self.dst, schedule) {
            (Some(dst), Schedule::Cron(cron)) => Schedule::Cron(cron.with_dst(dst)),
            (Some(_), other) => {
                return Err(format!("`dst` means nothing for a trigger that fires {other}; use `cron`"));
            }
            (None, schedule) => schedule,
        };
        schedule.problem().map_or(Ok(schedule), Err)
    }

    fn limited(&self, schedule: Schedule) -> Result<Schedule, String> {
        match (self.repeat, schedule) {
            (None, schedule) => Ok(schedule),
            (Some(count), Schedule::Interval(interval)) => Ok(Schedule::Interval(interval.repeated(count))),
            (Some(_), schedule) => {
                Err(format!("`repeat` means nothing for a trigger that fires {schedule}; use `every`"))
            }
        }
    }

    fn checked<T>(mut self, parsed: Result<T, InvalidKey>, set: impl FnOnce(&mut Self, T)) -> Self {
        match parsed {
            Ok(value) => set(&mut self, value),
            Err(error) => self.problems.push(error.to_string()),
        }
        self
    }
}

fn interval(every: Duration) -> Result<IntervalSchedule, String> {
    if every < Duration::from_millis(1) {
        return Err(format!("the interval is {every:?}; use at least 1ms"));
    }
    Ok(IntervalSchedule::new(every))
}
