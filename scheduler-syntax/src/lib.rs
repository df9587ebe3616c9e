//! What users of `scheduler-core` write as text: cron expressions, recurrence rules, durations, backoffs and
//! zone names.
//!
//! The same code reads them at compile time, in `#[job(…)]`, and at run time, so both accept the same and say the
//! same about a mistake. There is no clock in here and nothing asynchronous.
//!
//! ```
//! use scheduler_syntax::cron::{CronExpr, DstPolicy};
//!
//! let nightly: CronExpr = "0 30 2 ? * MON-FRI".parse()?;
//! let asked = "2026-11-20T12:00:00Z".parse().unwrap();
//! let next = nightly.next_after(asked, chrono_tz::Europe::Berlin, DstPolicy::default()).unwrap();
//! assert_eq!(next.to_rfc3339(), "2026-11-23T01:30:00+00:00");
//! # Ok::<(), scheduler_syntax::cron::CronError>(())
//! ```

mod backoff;
mod bits;
pub mod cron;
mod duration;
mod interval;
mod lateness;
mod nearest;
mod retrying;
pub mod rrule;
mod wall;
mod zone;

pub use backoff::{BackoffError, BackoffExpr, Factor, MOST_DELAYS, parse_backoff};
pub use duration::{DurationError, format_duration, parse_duration};
pub use interval::interval_problem;
pub use lateness::{boost_problem, expiry_problem};
pub use nearest::nearest;
pub use retrying::{FAILURES, jitter_percent, parse_failures};
pub use wall::{DstPolicy, Gap, Overlap};
pub use zone::{ZoneError, parse_zone};
