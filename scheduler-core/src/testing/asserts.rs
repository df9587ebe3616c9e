//! What the macros `assert_fired!`, `assert_enqueued!`, `assert_limited!` and `assert_dead!` check.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::names::NamesJob;
use super::stage::Stage;
use super::{list, list_or_none};
use crate::client::Obstacle;
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
        let (key, data) = (job.job_key(), self.waiting(job).await);
        let expected = args.map(|args| data_of(&args));
        let found = !data.is_empty() && expected.as_ref().is_none_or(|expected| data.contains(expected));
        let with = expected.map(|expected| format!(" with {expected:?}")).unwrap_or_default();
        let there = list_or_none(data.iter().map(|data| format!("{data:?}")));
        assert!(found, "no run of `{key}` is waiting{with}; there are{there}");
    }

    /// The data of what waits of a job: triggers and runs.
    async fn waiting(&self, job: impl NamesJob) -> Vec<JobData> {
        let key = job.job_key();
        let query = TriggerQuery { job: Some(key.clone()), ..TriggerQuery::default() };
        let waiting = self.scheduler().all_triggers(query).await.unwrap_or_else(|error| panic!("{error}"));
        let jobs = JobQuery { keys: vec![key.clone()], ..JobQuery::default() };
        let detail = self.scheduler().all_jobs(jobs).await.unwrap_or_else(|error| panic!("{error}")).pop();
        let detail = detail.or_else(|| self.scheduler().registered(&key).ok());
        let own = detail.map(|detail| detail.data().clone()).unwrap_or_default();
        let query = RunQuery::default().of_job(key.clone()).in_state(RunState::Waiting);
        let runs = self.scheduler().all_runs(query).await.unwrap_or_else(|error| panic!("{error}"));
        let of_triggers = waiting.iter().map(|status| status.trigger.data());
        let data = of_triggers.chain(runs.iter().map(|run| &run.data)).map(|data| own.merged(data));
        data.collect()
    }

    /// Fails unless so many waiting runs of the job have an argument that is meant; at least one without a number.
    #[doc(hidden)]
    pub async fn check_enqueued_where<T: DeserializeOwned>(
        &self,
        job: impl NamesJob,
        times: Option<usize>,
        is_meant: impl Fn(&T) -> bool,
    ) {
        let (key, data) = (job.job_key(), self.waiting(job).await);
        let of = |data: &JobData| {
            data.to_args::<T>()
                .unwrap_or_else(|error| panic!("the argument of a run of `{key}` cannot be read: {error}"))
        };
        let found = data.iter().filter(|data| is_meant(&of(data))).count();
        let there = list_or_none(data.iter().map(|data| format!("{data:?}")));
        let (is_fine, wanted) = match times {
            Some(times) => (found == times, times.to_string()),
            None => (found > 0, "some".to_owned()),
        };
        assert!(is_fine, "{found} waiting runs of `{key}` are meant, not {wanted}; there are{there}");
    }

    /// Fails unless a run of the job waits at a limit, of this name if it is given.
    #[doc(hidden)]
    pub async fn check_limited(&self, job: impl NamesJob, name: Option<&str>) {
        let key = job.job_key();
        let query = RunQuery::default().of_job(key.clone()).in_state(RunState::Waiting);
        let runs = self.scheduler().all_runs(query).await.unwrap_or_else(|error| panic!("{error}"));
        let mut reasons = Vec::new();
        for run in runs {
            let found = self.scheduler().explain_run(run.id).await.unwrap_or_else(|error| panic!("{error}"));
            reasons.extend(found.map(|found| found.reasons).unwrap_or_default());
        }
        let is_meant = |reason: &Obstacle| matches!(reason, Obstacle::Limited { limit, .. } if name.is_none_or(|name| *limit.name == *name));
        let of = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let there = list_or_none(&reasons);
        assert!(
            reasons.iter().any(is_meant),
            "no run of `{key}` waits at a limit{of}; what its runs wait for is{there}"
        );
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

/// Fails unless a run of a job is due and waits at a limit, of this name if one is given.
///
/// The job is a name, `group/name` or a key: `assert_limited!(test, "send")` or `assert_limited!(test, send::key(), "github")`, in an
/// async function.
#[macro_export]
macro_rules! assert_limited {
    ($test:expr, $job:expr $(,)?) => {
        $test.check_limited($job, None).await
    };
    ($test:expr, $job:expr, $limit:expr $(,)?) => {
        $test.check_limited($job, Some($limit)).await
    };
}

/// Fails unless a run of a job is waiting in the scheduler, with this argument if one is given.
///
/// The job is a name, `group/name` or a key: `assert_enqueued!(test, "report")` or
/// `assert_enqueued!(test, report::key(), "costs")`, in an async function. As in `assert_fired!`, `with "costs"` is the same.
///
/// `assert_enqueued!(test, send::key(), where |letter: &Letter| letter.tenant == "a")` asks for a run with such an argument, and
/// `assert_enqueued!(test, send::key(), 3, where |letter: &Letter| letter.tenant == "a")` for just three of them.
#[macro_export]
macro_rules! assert_enqueued {
    ($test:expr, $job:expr $(,)?) => {
        $test.check_enqueued($job, None::<()>).await
    };
    ($test:expr, $job:expr, with $args:expr $(,)?) => {
        $test.check_enqueued($job, Some($args)).await
    };
    ($test:expr, $job:expr, where $is_meant:expr $(,)?) => {
        $test.check_enqueued_where($job, None, $is_meant).await
    };
    ($test:expr, $job:expr, $times:expr, where $is_meant:expr $(,)?) => {
        $test.check_enqueued_where($job, Some($times), $is_meant).await
    };
    ($test:expr, $job:expr, $args:expr $(,)?) => {
        $test.check_enqueued($job, Some($args)).await
    };
}
