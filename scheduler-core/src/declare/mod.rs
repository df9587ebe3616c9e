//! Schedules that are declared in code and in files. They are written to the store when a scheduler starts, and when a file changes.
//!
//! * `reconcile`: what is declared takes the place of what an earlier program declared. `refusal`: what can never fire is refused.
//! * `files`: schedule files are read again when they have changed.

#[cfg(feature = "schedule-file")]
mod files;
mod reconcile;
mod refusal;

pub(crate) use reconcile::{Declarations, Declared};
