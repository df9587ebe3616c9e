//! What the macros `assert_fired!`, `assert_enqueued!` and `assert_dead!` check.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::names::NamesJob;
use super::stage::Stage;
use super::{list, list_or_none};
use crate::data::JobData;
use crate::run::RunState;
use crate::store::{JobQuery, RunQuery, TriggerQuery};

impl Stage {
    /// Fails unless the job has run so many times.
    #[doc(hidden)]
    #[track_caller]
    pub fn check_fired(&self, job: impl NamesJob, times: usize) {
        let (job, fired) = (job.job_key(), self.fired_of(job));
        assert!(fired.len() == times, "`{job}` has run {} times, not {times}{}", fired.len(), self.account());
    }

    /// Fails unless the job was due at these times, and at no others.
    #[doc(hidden)]
    #[track_caller]
    pub fn check_fired_at(&self, job: impl NamesJob, expected: &[DateTime<Utc>]) {
        let job = job.job_key();
        let due: Vec<_> = self.fired_of(&job).iter().map(|fired| fired.scheduled).collect();
        let (is, should) = (list(&due), list(expected));
        assert!(due == expected, "`{job}` was due at{is}\nnot at{should}{}", self.account());
    }

    /// Fails unless the job has run with these arguments.
    #[doc(hidden)]
    #[track_caller]
    pub fn check_fired_with<T: Serialize>(&self, job: impl NamesJob, args: T) {
        let (job, expected) = (job.job_key(), data_of(&args));
        let found: Vec<_> = self.fired_of(&job).into_iter().map(|fired| fired.data).collect();
        let had = list_or_none(found.iter().map(|data| format!("{data:?}")));
        assert!(found.contains(&expected), "`{job}` has not run with {expected:?}; it has run with{had}");
    }

    /// Fails unless a run of the job is waiting, with these arguments if any are given.
    #[doc(hidden)]
    pub async fn check_enqueued<T: Serialize>(&self, job: impl NamesJob, args: Option<T>) {
        let key = job.job_key();
        let query = TriggerQuery { job: Some(key.clone()), ..TriggerQuery::default() };
        let waiting = self.scheduler().all_triggers(query).await.unwrap_or_else(|error| panic!("{error}"));
        let jobs = JobQuery { keys: vec![key.clone()], ..JobQuery::default() };
        let detail = self.scheduler().all_jobs(jobs).await.unwrap_or_else(|error| panic!("{error}")).pop();
        let detail = detail.or_else(|| self.scheduler().registered(&key).ok());
        let own = detail.map(|detail| detail.data().clone()).unwrap_or_default();
        let query = RunQuery::default().of_job(key.clone()).in_state(RunState::Waiting);
        let runs = self.scheduler().all_runs(query).await.unwrap_or_else(|error| panic!("{error}"));
        let expected = args.map(|args| data_of(&args));
        let of_triggers = waiting.iter().map(|status| status.trigger.data());
        let data = of_triggers.chain(runs.iter().map(|run| &run.data)).map(|data| own.merged(data));
        let data: Vec<_> = data.collect();
        let found = !data.is_empty() && expected.as_ref().is_none_or(|expected| data.contains(expected));
        let with = expected.map(|expected| format!(" with {expected:?}")).unwrap_or_default();
        let there = list_or_none(data.iter().map(|data| format!("{data:?}")));
        assert!(found, "no run of `{key}` is waiting{with}; there are{there}");
    }

    /// Fails unless a run of the job is dead, with this in its last error if it is given.
    #[doc(hidden)]
    pub async fn check_dead(&self, job: impl NamesJob, part: Option<&str>) {
        let key = job.job_key();
        let query = RunQuery::dead().of_job(key.clone());
        let dead = self.scheduler().all_runs(query).await.unwrap_or_else(|error| panic!("{error}"));
        let errors: Vec<_> = dead.iter().map(|run| run.last_error.as_deref().unwrap_or_default()).collect();
        let found = errors.iter().any(|error| part.is_none_or(|part| error.contains(part)));
        let with = part.map(|part| format!(" with `{part}` in its last error")).unwrap_or_default();
        assert!(found, "no run of `{key}` is dead{with}; there are{}", list_or_none(&errors));
    }

    fn account(&self) -> String {
        format!("\nwhat has run:{}", list_or_none(self.fired()))
    }
}

#[track_caller]
fn data_of<T: Serialize>(args: &T) -> JobData {
    JobData::from_args(args).unwrap_or_else(|error| panic!("{error}"))
}

/// Fails unless a job has run so many times, was due at just these times, or has run with this argument.
///
/// The job is a name, `group/name` or a key: `assert_fired!(test, ship::key(), 2)`,
/// `assert_fired!(test, "nightly", at "2026-03-01T01:00:00Z")`, `assert_fired!(test, ship::key(), with 7)`. A time is a text or
/// a `DateTime`.
#[macro_export]
macro_rules! assert_fired {
    ($test:expr, $job:literal at $($time:expr),+ $(,)?) => {
        $crate::assert_fired!($test, $job, at $($time),+)
    };
    ($test:expr, $job:expr, at $($time:expr),+ $(,)?) => {
        $test.check_fired_at($job, &[$($crate::testing::NamesTime::time(&$time)),+])
    };
    ($test:expr, $job:expr, with $args:expr $(,)?) => {
        $test.check_fired_with($job, $args)
    };
    ($test:expr, $job:expr, $times:expr $(,)?) => {
        $test.check_fired($job, $times)
    };
}

/// Fails unless a run of a job is dead, with this text in its last error if one is given.
///
/// The job is a name, `group/name` or a key: `assert_dead!(test, "send")` or `assert_dead!(test, send::key(), "refused")`, in an async
/// function.
#[macro_export]
macro_rules! assert_dead {
    ($test:expr, $job:expr $(,)?) => {
        $test.check_dead($job, None).await
    };
    ($test:expr, $job:expr, $part:expr $(,)?) => {
        $test.check_dead($job, Some($part)).await
    };
}

/// Fails unless a run of a job is waiting in the scheduler, with this argument if one is given.
///
/// The job is a name, `group/name` or a key: `assert_enqueued!(test, "report")` or
/// `assert_enqueued!(test, report::key(), "costs")`, in an async function. As in `assert_fired!`, `with "costs"` is the same.
#[macro_export]
macro_rules! assert_enqueued {
    ($test:expr, $job:expr $(,)?) => {
        $test.check_enqueued($job, None::<()>).await
    };
    ($test:expr, $job:expr, with $args:expr $(,)?) => {
        $test.check_enqueued($job, Some($args)).await
    };
    ($test:expr, $job:expr, $args:expr $(,)?) => {
        $test.check_enqueued($job, Some($args)).await
    };
}
