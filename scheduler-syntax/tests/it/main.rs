//! What the crate reads, from outside.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod cron_search;
mod cron_text;
