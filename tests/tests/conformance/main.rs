//! Cases that say what a Quartz-style scheduler answers, nearly all of them measured on the real Quartz 2.3.2.
//!
//! They are carried in `corpus/`, compressed; those for job stores belong to the conformance kit of core. With
//! `CONFORMANCE_DIR=<folder>` the `.jsonl` files of that folder are read instead. Where we answer otherwise on purpose,
//! `corpus/deviations.json` says which cases and why; a case that disagrees without an entry there fails, and so does an
//! entry that no case needs.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use scheduler_conformance::corpus::{self, Line};
use scheduler_conformance::report::Report;

mod broken;
mod broken_lives;
mod broken_runs;
mod calendars;
mod cron;
mod lines;
mod stores;
mod triggers;

/// At most this share of a file may deviate.
const MOST_DEVIATIONS: f64 = 0.025;

fn cases(name: &str) -> Vec<Line> {
    let path = format!("{}/corpus/{name}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    corpus::cases(name, &std::fs::read(path).unwrap())
}

fn report(name: &'static str) -> Report {
    Report::new(name, include_str!("../../corpus/deviations.json"), MOST_DEVIATIONS)
}
