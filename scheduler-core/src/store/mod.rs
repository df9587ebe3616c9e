//! Where jobs and triggers live: the contract of a job store, and the store in memory.
//!
//! A store is verbs over batches with one parameter struct each. It computes no schedule and reads no clock: the
//! caller brings `now` and the next fire times. BLOCKED and EXECUTING are derived from the claims that exist and
//! are never stored, so they cannot get stuck.
//!
//! # The way of a firing
//!
//! [`acquire_due`](JobStore::acquire_due) hands out due triggers, each with a *claim*. [`fire`](JobStore::fire)
//! exchanges the claim for the right to run, and moves the trigger to its next fire time in the same step.
//! [`complete`](JobStore::complete) ends the claim. [`release`](JobStore::release) gives back a claim that was not
//! fired. A claim that is neither fired nor released within the [grace](Attached::grace) lapses.

mod contract;
mod memory;
mod state;

pub use contract::*;
pub use memory::MemoryJobStore;
pub use state::{Step, StoredState, TriggerState};
