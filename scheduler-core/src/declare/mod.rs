//! Schedules that are declared in code and in files. They are written to the store when a scheduler starts, and when a file changes.
//!
//! * `reconcile`: compares declared schedules with stored ones, and changes only what differs.
//! * `refusal`: refuses a declared trigger that can never fire.
//! * `files`: reads schedule files again when they change.

#[cfg(feature = "schedule-file")]
mod files;
mod reconcile;
mod refusal;

pub(crate) use reconcile::{Declarations, Declared};
