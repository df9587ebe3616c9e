//! When a job must not run: sets of times that are left out of a trigger's schedule.

use std::fmt::Debug;

use chrono::{DateTime, Utc};

/// A set of included times; what it leaves out is skipped by the triggers that name it.
pub trait Calendar: Debug + Send + Sync + 'static {
    /// Whether a firing at `time` is allowed.
    fn includes(&self, time: DateTime<Utc>) -> bool;

    /// The first included time at or after `time`, never earlier; none if nothing is included any more.
    fn next_included(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>>;
}
