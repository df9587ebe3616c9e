//! For tests of applications: a scheduler or a whole host on a clock that stands still until the test moves it.
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
//! assert_fired!(test, "nightly", at "2026-03-01T01:00:00Z", "2026-03-02T01:00:00Z");
//! assert_fired!(test, report::key(), 2);
//! assert_fired!(test, report::key(), with "sales");
//!
//! // One job by itself, with its outcome; what it has enqueued waits until time passes.
//! let outcome = test.run_one(nightly::with()).await;
//! assert!(outcome.is_success());
//! assert_enqueued!(test, report::key(), "sales");
//! # Ok(())
//! # }
//! ```
//!
//! [`TestHost`] does the same for a host, with its services and queues. Every test gets a scheduler and a clock of its own, so
//! tests can run side by side.

mod asserts;
mod drained;
mod failing;
mod faults;
mod host;
mod names;
mod recorder;
mod stage;

use std::fmt::Display;
use std::ops::Deref;

use chrono::{DateTime, Utc};

pub use crate::{assert_dead, assert_enqueued, assert_fired, assert_limited};
pub use drained::Drained;
use failing::Failing;
pub use faults::{Fault, FaultyStore, Verb};
pub use host::TestHost;
pub use names::{NamesJob, NamesTime};
pub use recorder::Fired;
use recorder::Recorder;
pub use stage::Stage;

use crate::error::Result;
use crate::matcher::Matcher;
use crate::scheduler::SchedulerBuilder;
use crate::time::ManualClock;

/// A started scheduler whose time is in the hands of a test: see [`Stage`] for what a test can do with it.
#[derive(Debug)]
pub struct TestScheduler(Stage);

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
        let (clock, recorder, failing) = (ManualClock::at(now), Recorder::default(), Failing::default());
        let builder = builder.clock(clock.clone()).job_listener(Matcher::Everything, recorder.clone());
        let builder = builder.middleware(failing.clone());
        let scheduler = builder.build()?;
        scheduler.start().await?;
        clock.settle().await;
        Ok(Self(Stage::new(Some(scheduler), clock, recorder, failing)))
    }
}

impl Deref for TestScheduler {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
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
