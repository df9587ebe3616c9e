//! Random lives of runs, on a store and on a simple model of it: limits, keys, edges, batches and sequences together.
//!
//! After each operation the store is asked until nothing happens by itself any more. Then each run stands as the model says, and
//! the invariants hold: each run stands in one place, attempts and the runs of batches add up, no limit is exceeded, no two runs have one
//! key, nothing that has ended goes on by itself, and nothing begins early. Which of several runs a node takes first is up to the store. But a
//! run that could begin must not be left when a node has taken all it was given.

mod changing;
mod enqueueing;
mod operations;
mod plain;
mod play;
mod seen;
mod settling;
mod taking;

use super::bench::{Open, run};
use super::seeded;

/// So many sequences of operations.
const CASES: u32 = 300;

/// Plays random sequences of operations. Every run plays the same ones; the environment variable `CONFORMANCE_SEED`, a
/// number, has it play others.
///
/// # Panics
///
/// The store answers otherwise than the model. The message holds the shortest sequence found that shows it.
pub fn check(open: &impl Open) {
    play_all(open, 1000);
}

/// As [`check`], without a search for a shorter sequence.
///
/// # Panics
///
/// The store answers otherwise than the model.
#[doc(hidden)]
pub fn check_at_length(open: &impl Open) {
    play_all(open, 0);
}

fn play_all(open: &impl Open, shrinks: u32) {
    seeded::play_all(CASES, shrinks, operations::sequence(), |operations| run(play::play(open, operations)));
}
