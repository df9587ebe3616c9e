//! The wall clock of a zone: from civil times to instants, wherever clocks are set.
//!
//! A rule, be it a cron expression or a recurrence, is a set of [`CivilTimes`]; [`Walk`] finds its instants. Nothing in
//! here knows how a rule is written.

mod civil;
mod clock;
mod policy;
mod walk;

pub(crate) use civil::{DAY, Date, days_in_month, first_weekday};
pub(crate) use clock::{APART, Change, Reading};
pub use policy::{DstPolicy, Gap, Overlap};
pub(crate) use walk::Walk;

/// Times on a clock that nobody sets, in seconds from 1970-01-01 00:00 of that clock.
pub(crate) trait CivilTimes {
    /// The first time at or after `from`.
    fn civil_from(&self, from: i64) -> Option<i64>;

    /// The last time at or before `to`, if it is cheap to know: it only tells a search backwards where to begin.
    fn civil_to(&self, to: i64) -> Option<i64>;
}
