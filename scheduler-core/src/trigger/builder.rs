//! Building triggers; every mistake is reported by `build`, all at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use scheduler_syntax::DstPolicy;
use scheduler_syntax::cron::CronExpr;
use serde::Serialize;

use super::cron::CronSchedule;
use super::error::{Cause, TriggerError};
use super::interval::IntervalSchedule;
use super::misfire::Misfire;
use super::overlap::OverlapPolicy;
use super::recovery::Recovery;
use super::schedule::Schedule;
use super::{DEFAULT_PRIORITY, Trigger};
use crate::data::JobData;
use crate::key::{InvalidKey, JobKey, TriggerKey};
use crate::time::zone;

/// Builds a [`Trigger`].
///
/// Nothing here fails; what is wrong is kept and reported when the trigger is built or scheduled.
#[derive(Debug, Clone)]
#[must_use]
pub struct TriggerBuilder {
    key: Option<TriggerKey>,
    job: Option<JobKey>,
    rule: Rule,
    zone: Option<Tz>,
    repeat: Option<u32>,
    dst: Option<DstPolicy>,
    start: Option<Moment>,
    /// From the moment of scheduling to the start, if the start is not set.
    delay: Duration,
    end: Option<Moment>,
    calendar: Option<Arc<str>>,
    priority: i32,
    misfire: Option<Misfire>,
    description: Option<Arc<str>>,
    data: JobData,
    overlap: OverlapPolicy,
    queue: Option<Arc<str>>,
    declared_by: Option<Arc<str>>,
    recovery: Option<Box<Recovery>>,
    problems: Vec<String>,
    /// The first error of a parser among the problems.
    cause: Option<Cause>,
}

/// A start or an end.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Instant(DateTime<Utc>),
    /// On the wall clock of the trigger's zone, which may be set later.
    Local(NaiveDateTime),
}

/// The schedule before its parts are known to fit.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    Once,
    Every(Duration),
    /// Waits for the trigger's key, which an `H` needs.
    Cron(String),
    Ready(Schedule),
    /// The text was wrong; the problem is noted already.
    Broken,
}

impl TriggerBuilder {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            key: None,
            job: None,
            rule,
            zone: None,
            repeat: None,
            dst: None,
            start: None,
            delay: Duration::ZERO,
            end: None,
            calendar: None,
            priority: DEFAULT_PRIORITY,
            misfire: None,
            description: None,
            data: JobData::new(),
            overlap: OverlapPolicy::default(),
            queue: None,
            declared_by: None,
            recovery: None,
            problems: Vec::new(),
            cause: None,
        }
    }

    /// Notes what a parser says, and keeps the first such error.
    pub(super) fn note<E: std::error::Error + Send + Sync + 'static>(&mut self, problem: String, cause: E) {
        self.problems.push(problem);
        self.cause.get_or_insert_with(|| Arc::new(cause));
    }

    /// The unique name, as `name` or `group/name`. Default: one made up when the trigger is scheduled; for a declared trigger
    /// that of its job, then `name-2` and so on.
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

    /// The zone whose wall clock the schedule reads, by its IANA name. Default: that of the schedule, UTC unless set.
    pub fn time_zone(mut self, name: &str) -> Self {
        match scheduler_syntax::parse_zone(name) {
            Ok(zone) => self.in_zone(zone),
            Err(error) => {
                self.note(error.to_string(), error);
                // Any zone will do: nothing is built, and nobody shall say that none was set.
                self.in_zone(Tz::UTC)
            }
        }
    }

    /// The zone whose wall clock the schedule reads. Default: that of the schedule, UTC unless set.
    pub fn in_zone(mut self, zone: Tz) -> Self {
        self.zone = Some(zone);
        self
    }

    /// What a fixed time of a cron expression or a recurrence rule does where clocks change. Default: it runs once; in a gap
    /// right after it by cron, later by its length by rule; of two times at the first.
    pub fn dst(mut self, policy: DstPolicy) -> Self {
        self.dst = Some(policy);
        self
    }

    /// How often to fire after the first time. Default: for ever.
    ///
    /// An interval counts times of its grid, also those that a calendar leaves out; a daily window counts firings.
    pub fn repeat(mut self, count: u32) -> Self {
        self.repeat = Some(count);
        self
    }

    /// No firing is earlier. Default: the moment of scheduling. Cut to whole milliseconds.
    pub fn start_at(mut self, time: DateTime<Utc>) -> Self {
        self.start = Some(Moment::Instant(time));
        self
    }

    /// No firing is earlier than when clocks in the trigger's [zone](Self::time_zone) show `time`. A time that clocks skip is
    /// later by the length of the gap, and of two times it is the first (RFC 5545, 3.3.5).
    pub fn start_at_local(mut self, time: NaiveDateTime) -> Self {
        self.start = Some(Moment::Local(time));
        self
    }

    /// No firing is earlier than so long after the moment of scheduling. [`start_at`](Self::start_at) goes before it.
    pub fn start_after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// No firing is later. Intervals and calendar intervals do not fire at this very time either. Default: no end.
    pub fn end_at(mut self, time: DateTime<Utc>) -> Self {
        self.end = Some(Moment::Instant(time));
        self
    }

    /// No firing is later than when clocks in the trigger's [zone](Self::time_zone) show `time`, read as
    /// [`start_at_local`](Self::start_at_local) does.
    pub fn end_at_local(mut self, time: NaiveDateTime) -> Self {
        self.end = Some(Moment::Local(time));
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

    /// What becomes of a firing that came too late. Default: that of the scheduler, [`Misfire::Smart`] unless set there.
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = Some(misfire);
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

    /// What becomes of a firing while the previous run of this trigger goes on. Default: it runs beside it.
    pub fn overlap(mut self, policy: OverlapPolicy) -> Self {
        self.overlap = policy;
        self
    }

    /// The queue, of whose runs a node may take only so many at a time. Default: that of the
    /// [job](crate::job::JobDetailBuilder::queue).
    pub fn queue(mut self, queue: impl Into<Arc<str>>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// The finished trigger; `now` is the start of one that sets none.
    ///
    /// # Errors
    ///
    /// Every problem at once: a missing name or job, a cron expression or zone that does not parse, an interval
    /// under a millisecond, an end before the start, a local time without a zone.
    pub fn build(mut self, now: DateTime<Utc>) -> Result<Trigger, TriggerError> {
        let schedule = self.schedule();
        let zone = self.zone.or_else(|| schedule.as_ref()?.zone());
        let start = self.start.map(|start| self.instant("start", start, zone));
        let start = start.unwrap_or_else(|| self.delayed(now)).trunc_subsecs(3);
        let end = self.end.map(|end| self.instant("end", end, zone).trunc_subsecs(3));
        match (self.key, self.job, schedule) {
            (Some(key), Some(job), Some(schedule)) => {
                let cold = super::ColdFields {
                    end,
                    calendar: self.calendar,
                    description: self.description,
                    data: self.data,
                    queue: self.queue,
                    declared_by: self.declared_by,
                    recovery: self.recovery,
                };
                let (misfire, cold) = (self.misfire.unwrap_or_default(), cold.kept());
                let (priority, overlap) = (self.priority, self.overlap);
                let trigger = Trigger { key, job, schedule, start, priority, misfire, overlap, cold };
                self.problems.extend(trigger.problems());
                if self.problems.is_empty() {
                    return Ok(trigger);
                }
                Err(TriggerError::new(Some(trigger.key), Some(trigger.job), self.problems, self.cause))
            }
            (key, job, _) => {
                let missing = [
                    (key.is_none(), "has no name; set `name`"),
                    (job.is_none(), "has no job; set `for_job`"),
                ];
                self.problems
                    .extend(missing.iter().filter(|(absent, _)| *absent).map(|(_, text)| (*text).to_owned()));
                Err(TriggerError::new(key, job, self.problems, self.cause))
            }
        }
    }

    /// The instant of a start or an end.
    fn instant(&mut self, name: &str, moment: Moment, zone: Option<Tz>) -> DateTime<Utc> {
        match (moment, zone) {
            (Moment::Instant(time), _) => time,
            (Moment::Local(civil), Some(zone)) => zone::first_instant(zone, civil),
            (Moment::Local(civil), None) => {
                self.problems.push(format!(
                    "the {name} {civil} is a local time; set `time_zone` to the zone it is of"
                ));
                civil.and_utc()
            }
        }
    }

    /// Whether the zone is read by a start or an end.
    fn has_local_time(&self) -> bool {
        [self.start, self.end].iter().any(|moment| matches!(moment, Some(Moment::Local(_))))
    }

    fn delayed(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let delayed = TimeDelta::from_std(self.delay).ok().and_then(|delay| now.checked_add_signed(delay));
        delayed.unwrap_or_else(|| {
            self.problems
                .push(format!("the delay of {:?} ends after all time; use a shorter one", self.delay));
            now
        })
    }

    /// This trigger for `job` unless it names one.
    pub(crate) fn or_for(mut self, job: &JobKey) -> Self {
        self.job.get_or_insert_with(|| job.clone());
        self
    }

    /// This trigger, of this name unless it has one.
    pub(crate) fn or_key(mut self, key: &TriggerKey) -> Self {
        self.key.get_or_insert_with(|| key.clone());
        self
    }

    /// Whether it has a name.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether it starts at a moment of its own.
    pub(crate) fn has_start(&self) -> bool {
        self.start.is_some()
    }

    /// This trigger as declared by the code of a scheduler.
    pub(crate) fn declared_by(mut self, scheduler: &Arc<str>) -> Self {
        self.declared_by = Some(scheduler.clone());
        self
    }

    /// This trigger with `policy` for misfires unless it sets one.
    pub(crate) fn or_misfire(mut self, policy: Misfire) -> Self {
        self.misfire.get_or_insert(policy);
        self
    }

    /// This trigger with `under` below its own data.
    pub(crate) fn over(mut self, under: &JobData) -> Self {
        self.data = under.merged(&self.data);
        self
    }

    /// The finished schedule; what is wrong with it is noted.
    fn schedule(&mut self) -> Option<Schedule> {
        let rule = std::mem::replace(&mut self.rule, Rule::Broken);
        let found = match rule {
            Rule::Once => Ok(Schedule::Once),
            Rule::Every(every) => IntervalSchedule::new(every).map(Schedule::from),
            Rule::Cron(text) => Ok(CronSchedule::new(self.parse_cron(&text)?, Tz::UTC).into()),
            Rule::Ready(schedule) => Ok(schedule),
            Rule::Broken => return None,
        };
        let options = found.and_then(|schedule| self.with_options(schedule));
        options.map_err(|problem| self.problems.push(problem)).ok()
    }

    /// None if the text is wrong, which is noted.
    fn parse_cron(&mut self, text: &str) -> Option<CronExpr> {
        let seed = self.key.as_ref().map(ToString::to_string).unwrap_or_default();
        let parsed = CronExpr::parse_hashed(text, &seed);
        parsed.map_err(|error| self.note(format!("cron expression `{text}`: {error}"), error)).ok()
    }

    /// The schedule with the options that only some kinds have.
    fn with_options(&self, mut schedule: Schedule) -> Result<Schedule, String> {
        let refuse = |name: &str, shown: String, use_: &str| {
            format!("`{name}` means nothing for a trigger that fires {shown}; {use_}")
        };
        if let Some(zone) = self.zone {
            let shown = schedule.to_string();
            let set = schedule.clone().in_zone(zone).or_else(|| self.has_local_time().then_some(schedule));
            schedule =
                set.ok_or_else(|| refuse("time_zone", shown, "leave it out, or set it on its parts"))?;
        }
        if let Some(dst) = self.dst {
            let shown = schedule.to_string();
            let set = schedule.with_dst(dst);
            schedule = set.ok_or_else(|| refuse("dst", shown, "use `cron` or `rrule`"))?;
        }
        if let Some(count) = self.repeat {
            let shown = schedule.to_string();
            let set = schedule.repeated(count);
            schedule = set.ok_or_else(|| refuse("repeat", shown, "use `every`"))?;
        }
        Ok(schedule)
    }

    fn checked<T>(mut self, parsed: Result<T, InvalidKey>, set: impl FnOnce(&mut Self, T)) -> Self {
        match parsed {
            Ok(value) => set(&mut self, value),
            Err(error) => self.note(error.to_string(), error),
        }
        self
    }
}

impl From<Trigger> for TriggerBuilder {
    fn from(trigger: Trigger) -> Self {
        let cold = trigger.cold.map_or(super::ColdFields::NOTHING, |cold| *cold);
        Self {
            key: Some(trigger.key),
            job: Some(trigger.job),
            start: Some(Moment::Instant(trigger.start)),
            end: cold.end.map(Moment::Instant),
            calendar: cold.calendar,
            priority: trigger.priority,
            misfire: Some(trigger.misfire),
            description: cold.description,
            data: cold.data,
            overlap: trigger.overlap,
            queue: cold.queue,
            declared_by: cold.declared_by,
            recovery: cold.recovery,
            ..Self::new(Rule::Ready(trigger.schedule))
        }
    }
}
