//! Background work for Rust programs: jobs, triggers, calendars and misfire rules in the sense of Quartz, on tokio.
//!
//! A job is an async function; only what launches it differs: a cron expression, an interval, a moment, a call.
//!
//! ```standalone_crate
//! use std::time::Duration;
//!
//! use scheduler_core::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! /// Runs at half past two every night in Berlin, also when clocks change.
//! #[job(cron = "0 30 2 * * ?", time_zone = "Europe/Berlin", timeout = "15m", disallow_concurrent)]
//! async fn sync_prices(State(shop): State<&'static str>, context: JobContext) -> JobResult {
//!     println!("{shop}: prices of {}", context.scheduled_fire_time());
//!     Ok(())
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Mail {
//!     to: String,
//! }
//!
//! #[job]
//! async fn send(mail: Mail) {
//!     println!("mail to {}", mail.to);
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> scheduler_core::Result<()> {
//! let scheduler = Scheduler::builder()
//!     .provide("books & more") // what `State` asks for
//!     .discover_jobs() // every `#[job]` of this program, with its declared trigger
//!     .build()?; // names everything that is missing, all at once
//! scheduler.start().await?;
//!
//! scheduler.enqueue(send::with(Mail { to: "ada@example.org".into() })).await?;
//! scheduler.schedule(send::with(Mail { to: "team@example.org".into() }), Trigger::every(Duration::from_secs(60))).await?;
//!
//! let report = scheduler.shutdown(Duration::from_secs(30)).await;
//! assert!(report.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! # The words
//!
//! A **job** is a function under a name, stored as a [`JobDetail`](job::JobDetail) with its rules and data. A
//! **[trigger]** says when one job runs, and has data of its own. A **[calendar]** says when it must not.
//! A **[store]** is where jobs and triggers live: in memory, or shared by the nodes of a cluster. A **firing** is one
//! occurrence of a trigger, an **execution** one run for it. A **[client]** changes and reads what is stored; a **[scheduler]** is a
//! client that also fires what is due and runs it.
//!
//! # What holds
//!
//! * A trigger never fires early, and a schedule advances exactly once for each firing.
//! * Fire times strictly increase, whatever the clocks of a zone do; a fixed time of day happens once a day.
//! * A firing that comes later than the misfire threshold is treated by the policy of its trigger; the time at which
//!   it was due is kept.
//! * Runs of a job that disallows concurrent ones do not overlap, over all its triggers.
//! * An error or a panic in a job is the outcome of that run and of nothing else.
//! * A job that blocks its thread cannot make others fire late: the loop that fires has a thread of its own.
//! * Shutdown ends within its budget and names whoever did not stop.
//!
//! # Testing
//!
//! Everything reads the scheduler's [clock](time). On a [`ManualClock`](time::ManualClock) a test moves time, and
//! `advance` returns when all that became due has run:
//!
//! ```
//! # use std::time::Duration;
//! use scheduler_core::job::{JobDefinition, JobDetail};
//! use scheduler_core::time::ManualClock;
//! use scheduler_core::{JobKey, Scheduler, trigger::Trigger};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> scheduler_core::Result<()> {
//! let clock = ManualClock::at("2026-03-01T00:00:00Z");
//! let detail = JobDetail::builder(JobKey::new("nightly")?, "nightly").build();
//! let nightly = JobDefinition::new(detail, async || println!("good night"));
//! let scheduler = Scheduler::builder()
//!     .clock(clock.clone())
//!     .register(nightly.with_trigger(Trigger::cron("0 0 2 * * ?")))
//!     .build()?;
//! scheduler.start().await?;
//! clock.advance(Duration::from_secs(31 * 86_400)).await; // a month, in milliseconds
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `macros` | yes | `#[job]`, `#[derive(Job)]` and [`discover_jobs`](scheduler::SchedulerBuilder::discover_jobs) |
//! | `run-log` | no | [`RunLogLayer`](job::RunLogLayer): a layer for `tracing` subscribers that keeps what jobs log |
//! | `schedule-file` | no | [`plugin::ScheduleFile`]: schedules from a TOML, YAML or JSON file |
//! | `cron` | no | [`CronSchedule`](trigger::CronSchedule) and [`Schedule`](trigger::Schedule) from a `Schedule` of the crate `cron` |
//! | `systemd` | no | the [host] tells systemd when it is ready, what it does, and that it is alive |
//! | `testing` | no | [`testing`]: a scheduler whose time is in the hands of a test |

#[cfg(feature = "macros")]
#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod calendar;
pub mod client;
mod data;
mod declare;
mod engine;
mod error;
mod execute;
mod execution_id;
pub mod host;
pub mod job;
mod key;
mod log;
mod matcher;
pub mod plugin;
pub mod prelude;
pub mod run;
pub mod scheduler;
pub mod store;
mod stored;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod trigger;
mod user;
mod watch;

pub use client::Client;
pub use data::{DataError, JobData};
pub use error::{Error, ErrorKind, Result};
pub use host::{Host, HostError};
pub use key::{DEFAULT_GROUP, InvalidKey, JobKey, TriggerKey};
pub use matcher::{Key, Matcher, Text};
pub use scheduler::{Scheduler, SchedulerBuilder, SchedulerState, ShutdownReport};
#[cfg(feature = "macros")]
pub use scheduler_macros::{Job, job};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So do those of the guides.
#[cfg(doctest)]
#[doc = include_str!("../../docs/schedules.md")]
struct Schedules;

#[cfg(doctest)]
#[doc = include_str!("../../docs/coming-from-hosted-services.md")]
struct HostedServices;

#[cfg(doctest)]
#[doc = include_str!("../../docs/retries.md")]
struct Retries;

#[cfg(doctest)]
#[doc = include_str!("../../docs/unique-runs.md")]
struct UniqueRuns;

#[cfg(doctest)]
#[doc = include_str!("../../docs/batches-and-workflows.md")]
struct BatchesAndWorkflows;

#[cfg(doctest)]
#[doc = include_str!("../../docs/progress-and-results.md")]
struct ProgressAndResults;

#[cfg(doctest)]
#[doc = include_str!("../../docs/queues-and-limits.md")]
struct QueuesAndLimits;

#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../../docs/testing.md")]
struct Testing;
