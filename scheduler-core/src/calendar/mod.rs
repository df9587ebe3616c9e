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
//!
//! # A calendar of your own
//!
//! Implement [`Calendar`] for a type that serde can write and read, under a name that no other calendar has. Stores keep
//! calendars with their triggers, and every node that is to read one must know its type: linking it in is enough.
//!
//! ```
//! use chrono::{DateTime, Datelike, Days, NaiveTime, Utc};
//! use scheduler_core::calendar::{Calendar, typetag};
//! use serde::{Deserialize, Serialize};
//!
//! /// Leaves out odd days of the year.
//! #[derive(Debug, Serialize, Deserialize)]
//! struct EvenDays;
//!
//! #[typetag::serde(name = "even-days")]
//! impl Calendar for EvenDays {
//!     fn includes(&self, time: DateTime<Utc>) -> bool {
//!         time.ordinal() % 2 == 0
//!     }
//!
//!     fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
//!         let midnights = (1..=3).map(|days| (time.date_naive() + Days::new(days)).and_time(NaiveTime::MIN).and_utc());
//!         std::iter::once(time).chain(midnights).find(|time| self.includes(*time))
//!     }
//! }
//!
//! let stored = serde_json::to_string(&EvenDays as &dyn Calendar).unwrap();
//! let read: Box<dyn Calendar> = serde_json::from_str(&stored).unwrap();
//! assert!(read.includes("2026-01-02T12:00:00Z".parse().unwrap()));
//! ```

mod exclusion;
mod standard;

use std::fmt::Debug;

use chrono::{DateTime, Utc};

pub use exclusion::Exclusion;
pub use standard::StandardCalendar;
/// Registers a calendar type under a name: `#[typetag::serde(name = "…")]` on the `impl`.
pub use typetag;

/// A set of included times; what it leaves out is skipped by the triggers that name it.
///
/// Write your own where [`StandardCalendar`] does not say it. Both methods must agree: what `next_included` answers is
/// included. They are asked on the thread that fires, so they must be quick and must not block.
#[typetag::serde(tag = "type")]
pub trait Calendar: Debug + Send + Sync + 'static {
    /// Whether a firing at `time` is allowed.
    fn includes(&self, time: DateTime<Utc>) -> bool;

    /// The first included time at or after `time`, never earlier; none if nothing is included any more.
    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>>;

    /// What keeps it from being a calendar, in a sentence that follows its name. One with a problem is refused when it is put
    /// into a store. Default: nothing.
    fn problem(&self) -> Option<String> {
        None
    }
}
