//! Schedules from a file.

mod calendars;
mod fields;
mod moments;
mod options;
mod read;
mod retries;
mod schedules;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::fields::Notes;
use self::read::Around;
pub(crate) use self::read::{Contents, FileTrigger, Removals};
use super::Plugin;
use crate::error::{Error, Result};
use crate::job::Registry;
use crate::scheduler::SchedulerBuilder;
use crate::trigger::Misfire;

/// A file of calendars, jobs and triggers, put in place when the scheduler starts: TOML, YAML or JSON, by its ending.
///
/// ```toml
/// [calendars.holidays]
/// time_zone = "Europe/Berlin"
/// holidays = ["2026-12-25", "2026-12-26"]
///
/// [jobs."reports/sales"]        # a job of its own, run by a registered function
/// type = "report"
/// args = { subject = "sales" }
///
/// [triggers.every-morning]
/// job = "reports/sales"         # or the name of a registered job
/// cron = "0 30 7 ? * MON-FRI"
/// time_zone = "Europe/Berlin"
/// calendar = "holidays"
/// misfire = "skip"
/// ```
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_core::Scheduler;
/// use scheduler_core::plugin::ScheduleFile;
///
/// let file = ScheduleFile::new("schedules.toml").watch(Duration::from_secs(10));
/// let builder = Scheduler::builder().plugin(file);
/// ```
///
/// # What a file may say
///
/// | key | meaning |
/// |---|---|
/// | `existing` | what becomes of jobs and triggers that are stored already: `update` (default: an unchanged schedule goes on from where it is, a changed one begins anew), `replace`, `keep` (duplicates are ignored), `refuse` |
/// | `prune` | whether a trigger goes that this file has once declared and does not any more; default true |
/// | `remove.jobs`, `.triggers`, `.job_groups`, `.trigger_groups` | what is removed before anything else |
/// | `calendars.NAME` | `time_zone`, `base`, `description` and one of `annual = ["12-25"]`, `holidays = ["2026-12-25"]`, `monthly = [1]`, `weekly = ["sunday"]`, `daily = { from, to }`, `all_but = { from, to }`, `cron` |
/// | `jobs.NAME` | `type`, the name of a registered job; `args`, its argument; `data`, `description`, `durable`, `disallow_concurrent`, `persist_data`, `requests_recovery`, `timeout`, `retry = 3` or `retry = { max, backoff = "exponential(15s, 1h)", jitter, within, on = "failed, timed_out" }`, `queue`, `boost = "2m"`, `expires = "10m"`: as the code says where the file does not |
/// | `triggers.NAME` | `job` and one of `cron`, `every = "30s"`, `at`, `rrule`, `calendar_interval = { every, unit, skip_missing_hour, as_quartz, preserve_hour }`, `daily = { every, from, to, days, repeat_per_day, as_quartz }`, `union = [{ cron, time_zone }, { daily }, …]`; `time_zone`, `start`, `start_after`, `end`, `repeat`, `calendar`, `priority`, `misfire`, `overlap`, `queue`, `description`, `args`, `data`, `dst = { gap, overlap }` |
///
/// Names are `name` or `group/name`.
///
/// `at`, `start` and `end` have an offset, `2026-03-01T02:30:00+01:00`, or are local times of the `time_zone`,
/// `2026-03-01T02:30:00`. A local time that clocks skip is later by the length of the gap, and of two it is the first (RFC 5545,
/// 3.3.5). In a union each part reads its own `time_zone`, or else that of the trigger.
///
/// Nothing is passed over: a key that has no effect beside the others is a mistake.
///
/// # Errors
///
/// A mistake in the file fails the start of the scheduler. The message names every mistake with file, line and key. A trigger
/// that would never fire is one, unless it has a `start` and is stored already: then it has done its work. When
/// a watched file is changed to a faulty one, the schedules stay as they are and the mistakes are logged.
#[derive(Debug, Clone)]
pub struct ScheduleFile {
    path: PathBuf,
    watch: Option<Duration>,
}

impl ScheduleFile {
    /// A file that ends in `.toml`, `.yaml`, `.yml` or `.json`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), watch: None }
    }

    /// Looks at the file again after each `period`, and puts in place what has changed when two looks in a row see the
    /// same: a file that is being written is left alone. Default: read once, at start.
    #[must_use]
    pub fn watch(self, period: Duration) -> Self {
        Self { watch: Some(period), ..self }
    }

    pub(crate) fn period(&self) -> Option<Duration> {
        self.watch
    }

    /// Who declares what it says.
    pub(crate) fn declarer(&self) -> Arc<str> {
        format!("file {}", self.path.display()).into()
    }

    pub(crate) fn text(&self) -> Result<String> {
        std::fs::read_to_string(&self.path).map_err(|error| {
            Error::config(format!("the schedule file {self} cannot be read")).caused_by(error)
        })
    }

    /// What the text declares, or every mistake in it.
    pub(crate) fn parse(
        &self,
        text: &str,
        registry: &Registry,
        misfire: Misfire,
        now: DateTime<Utc>,
    ) -> Result<Contents> {
        let notes = Notes::of(self.to_string());
        let tree = match self.path.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => tree::toml(text),
            Some("yaml" | "yml" | "json") => tree::yaml(text),
            _ => {
                let problem = "its ending is none of .toml, .yaml, .yml and .json; rename it";
                return Err(Error::config(format!("the schedule file {self}: {problem}")));
            }
        };
        let around = Around { registry, declarer: self.declarer(), misfire, now };
        let contents = match tree {
            Ok(tree) => Some(read::contents(&notes, &tree, &around)),
            Err((line, mistake)) => {
                notes.note(line, "", mistake);
                None
            }
        };
        let problems = notes.into_problems();
        contents.filter(|_| problems.is_empty()).ok_or_else(|| Error::config(problems.join("\n")))
    }
}

impl fmt::Display for ScheduleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Plugin for ScheduleFile {
    fn install(self, builder: SchedulerBuilder) -> SchedulerBuilder {
        builder.schedule_file(self)
    }
}
