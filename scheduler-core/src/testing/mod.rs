//! For tests of applications: a scheduler on a clock that stands still until the test moves it.
//!
//! ```standalone_crate
//! use std::time::Duration;
//!
//! use scheduler_core::prelude::*;
//! use scheduler_core::testing::{TestScheduler, assert_enqueued, assert_fired};
//!
//! #[job(cron = "0 0 2 * * ?", time_zone = "Europe/Berlin")]
//! async fn nightly(scheduler: Scheduler) -> JobResult {
//!     scheduler.enqueue(report::with("sales".to_owned())).await?;
//!     Ok(())
//! }
//!
//! #[job]
//! async fn report(subject: String) {
//!     println!("report of {subject}");
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> scheduler_core::Result<()> {
//! let test = TestScheduler::start("2026-03-01T00:00:00Z", Scheduler::builder().discover_jobs()).await?;
//! test.advance(Duration::from_secs(2 * 86_400)).await;
//! assert_fired!(test, "nightly" at "2026-03-01T01:00:00Z", "2026-03-02T01:00:00Z");
//! assert_fired!(test, "report", 2);
//!
//! // One job by itself, with its outcome.
//! let outcome = test.run_one(report::with("stock".to_owned())).await;
//! assert!(outcome.is_success());
//!
//! // In standby nothing runs, so what was enqueued can be looked at.
//! test.scheduler().standby()?;
//! test.scheduler().enqueue(report::with("costs".to_owned())).await?;
//! assert_enqueued!(test, "report", "costs");
//! # Ok(())
//! # }
//! ```
//!
//! Every test gets a scheduler and a clock of its own, so tests can run side by side.

mod faults;
mod recorder;

use std::fmt::Display;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use crate::{assert_enqueued, assert_fired};
pub use faults::{Fault, FaultyStore, Verb};
pub use recorder::Fired;
use recorder::Recorder;

use crate::data::JobData;
use crate::error::Result;
use crate::job::{BoxFuture, IntoInvocation, Invocation, Outcome};
use crate::key::JobKey;
use crate::matcher::Matcher;
use crate::scheduler::{Scheduler, SchedulerBuilder};
use crate::store::{JobQuery, TriggerQuery, TriggerStatus};
use crate::time::{Clock, ManualClock};

/// How much time [`TestScheduler::run_one`] and [`TestScheduler::drain`] let pass at most: a leap year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A started scheduler whose time is in the hands of a test.
#[derive(Debug)]
pub struct TestScheduler {
    scheduler: Scheduler,
    clock: ManualClock,
    recorder: Recorder,
}

impl TestScheduler {
    /// Builds and starts a scheduler at `now`, written as in RFC 3339. Whatever clock the builder has is replaced.
    ///
    /// # Errors
    ///
    /// The scheduler cannot be built or started.
    ///
    /// # Panics
    ///
    /// `now` is no time.
    pub async fn start(now: &str, builder: SchedulerBuilder) -> Result<Self> {
        let (clock, recorder) = (ManualClock::at(now), Recorder::default());
        let builder = builder.clock(clock.clone()).job_listener(Matcher::Everything, recorder.clone());
        let scheduler = builder.build()?;
        scheduler.start().await?;
        clock.settle().await;
        Ok(Self { scheduler, clock, recorder })
    }

    /// The scheduler.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// The clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// What the wall clock says.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Lets time pass, from due time to due time; everything that becomes due runs.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by).await;
    }

    /// Lets time pass until the wall clock says `time`, written as in RFC 3339.
    ///
    /// # Panics
    ///
    /// It is no time, or it has passed.
    pub async fn advance_to(&self, time: &str) {
        self.clock.advance_to(parse(time)).await;
    }

    /// Sets the wall clock to `time`, forward or back, without letting time pass: as an administrator or NTP would.
    ///
    /// # Panics
    ///
    /// It is no time.
    pub async fn jump_wall(&self, time: &str) {
        self.clock.jump_wall(parse(time));
        self.clock.settle().await;
    }

    /// Runs everything that is due now, and lets no time pass.
    pub async fn run_due(&self) {
        self.clock.settle().await;
    }

    /// Lets time pass until nothing runs and no trigger that fires only once more is left: all that was enqueued or
    /// delayed has run, also what it has enqueued in turn.
    ///
    /// # Panics
    ///
    /// There is still something left after a year.
    pub async fn drain(&self) {
        let end = self.now() + LONGEST;
        loop {
            self.run_due().await;
            let next = self
                .stored()
                .await
                .iter()
                .filter(|status| fires_once(status))
                .filter_map(|s| s.progress.next)
                .min();
            match next {
                None if self.scheduler.running().is_empty() => return,
                Some(next) if next > self.now() => self.clock.advance_to(next).await,
                _ => self.advance(Duration::from_secs(1)).await,
            }
            assert!(
                self.now() < end,
                "after a year there is still work left: {:?}",
                self.scheduler.running()
            );
        }
    }

    /// Runs a job once, through the whole pipeline, and returns how it has ended. Time passes as far as the job waits for it.
    ///
    /// # Panics
    ///
    /// The job cannot be enqueued, or does not end within a year.
    pub fn run_one(&self, job: impl IntoInvocation) -> BoxFuture<'_, Outcome> {
        Box::pin(self.run_to_end(job.into_invocation()))
    }

    async fn run_to_end(&self, job: Invocation) -> Outcome {
        let trigger = match self.scheduler.enqueue(job).await {
            Ok(trigger) => trigger,
            Err(error) => panic!("the job cannot be enqueued: {error}"),
        };
        let end = self.now() + LONGEST;
        loop {
            self.run_due().await;
            let ended = self.recorder.all().into_iter().rev().find(|fired| fired.trigger == trigger);
            let over = self.scheduler.running().iter().all(|run| run.trigger != trigger);
            if let Some(outcome) = ended.and_then(|fired| fired.outcome).filter(|_| over) {
                return outcome;
            }
            assert!(self.now() < end, "`{trigger}` has not ended after a year");
            self.advance(Duration::from_secs(1)).await;
        }
    }

    /// Every execution since the start, or since [`forget`](Self::forget), in the order in which they began.
    pub fn fired(&self) -> Vec<Fired> {
        self.recorder.all()
    }

    /// The executions of one job, by its name or `group/name`.
    ///
    /// # Panics
    ///
    /// It is no name.
    pub fn fired_of(&self, job: &str) -> Vec<Fired> {
        let key = parse_key(job);
        self.recorder.all().into_iter().filter(|fired| fired.job == key).collect()
    }

    /// Forgets what has run so far.
    pub fn forget(&self) {
        self.recorder.clear();
    }

    async fn stored(&self) -> Vec<TriggerStatus> {
        self.scheduler.triggers(TriggerQuery::default()).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Fails unless the job has run so many times.
    #[doc(hidden)]
    #[track_caller]
    pub fn check_fired(&self, job: &str, times: usize) {
        let fired = self.fired_of(job);
        assert!(fired.len() == times, "`{job}` has run {} times, not {times}{}", fired.len(), self.account());
    }

    /// Fails unless the job was due at these times, and at no others.
    #[doc(hidden)]
    #[track_caller]
    pub fn check_fired_at(&self, job: &str, times: &[&str]) {
        let due: Vec<_> = self.fired_of(job).iter().map(|fired| fired.scheduled).collect();
        let expected: Vec<_> = times.iter().map(|time| parse(time)).collect();
        assert!(
            due == expected,
            "`{job}` was due at{}\nnot at{}{}",
            list(&due),
            list(&expected),
            self.account()
        );
    }

    /// Fails unless a run of the job is waiting, with these arguments if any are given.
    #[doc(hidden)]
    pub async fn check_enqueued<T: Serialize>(&self, job: &str, args: Option<T>) {
        let key = parse_key(job);
        let query = TriggerQuery { job: Some(key.clone()), ..TriggerQuery::default() };
        let waiting = self.scheduler.triggers(query).await.unwrap_or_else(|error| panic!("{error}"));
        let jobs = JobQuery { keys: vec![key], ..JobQuery::default() };
        let detail = self.scheduler.jobs(jobs).await.unwrap_or_else(|error| panic!("{error}")).pop();
        let own = detail.map(|detail| detail.data().clone()).unwrap_or_default();
        let expected = args.map(|args| JobData::from_args(&args).unwrap_or_else(|error| panic!("{error}")));
        let data: Vec<_> = waiting.iter().map(|status| own.merged(status.trigger.data())).collect();
        let found = !data.is_empty() && expected.as_ref().is_none_or(|expected| data.contains(expected));
        assert!(
            found,
            "no run of `{job}` is waiting{}; there are{}",
            expected.map(|expected| format!(" with {expected:?}")).unwrap_or_default(),
            list_or_none(data.iter().map(|data| format!("{data:?}")))
        );
    }

    fn account(&self) -> String {
        format!("\nwhat has run:{}", list_or_none(self.fired()))
    }
}

fn fires_once(status: &TriggerStatus) -> bool {
    let progress = &status.progress;
    progress.may_fire_again() && !status.trigger.fired(progress, None).may_fire_again()
}

fn list(times: &[DateTime<Utc>]) -> String {
    list_or_none(times.iter().map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)))
}

fn list_or_none<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let lines: String = items.into_iter().map(|item| format!("\n  {item}")).collect();
    if lines.is_empty() { "\n  nothing".to_owned() } else { lines }
}

#[track_caller]
fn parse(time: &str) -> DateTime<Utc> {
    time.parse().unwrap_or_else(|error| panic!("`{time}` is no time as in 2026-03-01T00:00:00Z: {error}"))
}

#[track_caller]
fn parse_key(job: &str) -> JobKey {
    job.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Fails unless a job has run so many times, or was due at just these times.
///
/// `assert_fired!(test, "nightly", 2)` or `assert_fired!(test, "nightly" at "2026-03-01T01:00:00Z")`.
#[macro_export]
macro_rules! assert_fired {
    ($test:expr, $job:literal, $times:expr) => {
        $test.check_fired($job, $times)
    };
    ($test:expr, $job:literal at $($time:expr),+ $(,)?) => {
        $test.check_fired_at($job, &[$($time),+])
    };
}

/// Fails unless a run of a job is waiting, with these arguments if any are given.
///
/// `assert_enqueued!(test, "report")` or `assert_enqueued!(test, "report", "costs")`, in an async function.
#[macro_export]
macro_rules! assert_enqueued {
    ($test:expr, $job:literal) => {
        $test.check_enqueued($job, None::<()>).await
    };
    ($test:expr, $job:literal, $args:expr) => {
        $test.check_enqueued($job, Some($args)).await
    };
}
