//! The rows of a job store, and the seam between its rules and its drivers.
//!
//! A rule sees one open transaction on typed rows. It knows neither locks nor servers: whoever drives it, loads and stores.
//! A row that was not loaded is *missing*: the driver notes which, loads it, and the rule runs once more. In memory nothing is
//! ever missing, and the type says so ([`Infallible`](std::convert::Infallible)). Since a rule may run again, whoever drives it
//! discards what it has written before it answered that something is missing, and it counts nothing outside of the rows.
//!
//! What a driver derives from rows before and after a change is never stored in them: places in lanes, names, groups, alarms.

mod claim;
mod place;
mod run;
mod seam;
mod trigger;

pub use super::pauses::Pauses;
pub use super::state::StoredState;
pub use claim::{Alarm, ClaimRow, Item};
pub use place::{Id, Lane, Place};
pub use run::{RunRow, Standing};
pub use seam::{Answer, Driver, Rows, Table};
pub use trigger::{JobRow, TriggerRow};
