//! What is declared in code and in files, and how the store comes to have it: at the start of a scheduler, and when a file changes.
//!
//! * `reconcile`: what is declared takes the place of what an earlier program declared. `refusal`: what can never fire is refused.
//! * `files`: schedule files are read again when they have changed.

#[cfg(feature = "schedule-file")]
mod files;
mod reconcile;
mod refusal;

pub(crate) use reconcile::{Declarations, Declared};
