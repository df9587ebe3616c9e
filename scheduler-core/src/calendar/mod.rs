//! When a job must not run: sets of times that are left out of a trigger's schedule.
//!
//! ```
//! use chrono::Weekday::{Sat, Sun};
//! use chrono_tz::Europe::Berlin;
//! use scheduler_core::calendar::{Calendar, Exclusion, StandardCalendar};
//!
//! let weekends = StandardCalendar::new(Exclusion::weekly(&[Sat, Sun]), Berlin);
//! let holidays = StandardCalendar::new(Exclusion::holidays(["2026-12-25".parse().unwrap()]), Berlin).based_on(weekends);
//! let christmas = "2026-12-25T08:00:00Z".parse().unwrap();
//! assert!(!holidays.includes(christmas));
//! // Saturday and Sunday follow.
//! let next = holidays.next_included(christmas).unwrap();
//! assert_eq!(next.with_timezone(&Berlin).to_rfc3339(), "2026-12-28T00:00:00+01:00");
//! ```

mod exclusion;
mod standard;

use std::fmt::Debug;

use chrono::{DateTime, Utc};

pub use exclusion::Exclusion;
pub use standard::StandardCalendar;

/// A set of included times; what it leaves out is skipped by the triggers that name it.
///
/// Write your own where [`StandardCalendar`] does not say it.
pub trait Calendar: Debug + Send + Sync + 'static {
    /// Whether a firing at `time` is allowed.
    fn includes(&self, time: DateTime<Utc>) -> bool;

    /// The first included time at or after `time`, never earlier; none if nothing is included any more.
    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>>;
}
