//! Cases that say what a Quartz-style scheduler answers, nearly all of them measured on the real Quartz 2.3.2.
//!
//! They are carried in `corpus/`, compressed. With `CONFORMANCE_DIR=<folder>` the `.jsonl` files of that folder are read
//! instead. Where we answer otherwise on purpose, `corpus/deviations.json` says which cases and why; a case that
//! disagrees without an entry there fails, and so does an entry that no case needs.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod build;
mod calendars;
mod corpus;
mod cron;
mod report;
mod triggers;
