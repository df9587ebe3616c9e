//! The rows of a job store, and the seam between its rules and its drivers.
//!
//! A rule sees one open transaction on typed rows. It knows neither locks nor servers: whoever drives it, loads and stores.
//! A row that was not loaded is *missing*: the driver notes which, loads it, and the rule runs once more. In memory nothing is
//! ever missing, and the type says so ([`Infallible`](std::convert::Infallible)). Since a rule may run again, whoever drives it
//! discards what it has written before it answered that something is missing, and it counts nothing outside of the rows.
//!
//! What a driver derives from rows before and after a change is never stored in them: places in lanes, names, groups, alarms.
//!
//! # What a driver promises
//!
//! * A transaction is committed as a whole, or not at all. Transactions that write are serializable. A transaction that only
//!   reads may see rows of several points in time.
//! * A driver refuses a commit if something that the rule has gone by is another by then. The rule then runs again on what is
//!   there now. A driver checks rows that were read or edited, names that were found free, [members](Rows::members), an
//!   [unfired](Rows::unfired) claim, the [claim of a run](Rows::claim_of), the [holder](Rows::holder) of a job, runs of a [tag](Rows::tagged), a calendar without a
//!   [user](Rows::user_of), pauses, calendars and marks. New claims are not in the rows, so a driver checks them separately.
//! * A commit that arrives twice takes effect once, and the second answer is that of the first. After a lost answer the driver
//!   finds out what happened, or returns an error.
//! * A commit writes at most 500 rows. The driver splits larger requests into several transactions.
//! * Names, groups, queues, job types and data are any text, also an empty one, and may contain any character. Only the parts of a key
//!   are never empty and contain no NUL. Times are kept to the microsecond.
//!
//! # Work that waits
//!
//! Triggers and runs that wait stand in a lane, at the [place](Place) that follows from their rows. Nodes *take* the first of
//! them, outside of any transaction and in one atomic step. The driver removes them from their lanes and notes a
//! [claim](ClaimRow) for each, which [`rules::claimed`](super::rules::claimed) and
//! [`rules::claimed_run`](super::rules::claimed_run) make from the row. A claim does not change the row, so no other
//! transaction is refused because of the claim. What is claimed stands in no lane until a rule says [`show`](Rows::show) or
//! [`show_run`](Rows::show_run). A session takes one batch at a time.
//!
//! The kit `scheduler_conformance::drivers` checks all of this, and `docs/write-a-store.md` is a guide.

mod claim;
mod lateness;
mod line;
mod links;
mod notes;
mod place;
mod run;
mod run_batch;
mod run_delivery;
mod run_edges;
mod run_line;
mod run_links;
mod run_notes;
mod run_steps;
mod seam;
mod tag;
mod trigger;
mod turn;

pub use super::pauses::Pauses;
pub use super::state::StoredState;
pub use claim::{Alarm, ClaimRow, Item};
pub use line::LinePlace;
pub use place::{Id, Lane, Place};
pub use run::{Rank, RunRow, Standing};

pub use seam::{Answer, Driver, Rows, Table};
pub use tag::RunTag;
pub use trigger::{JobRow, TriggerRow};
pub use turn::Turn;
