//! The scheduler from outside, on a manual clock unless a test says why not.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod budget;
mod building;
mod calendars;
mod calls;
mod clients;
mod clock;
mod closing;
#[cfg(feature = "cron")]
mod cron_crate;
mod dead_letters;
mod declaring;
mod draining;
mod ending;
mod errors;
mod explaining;
mod failures;
mod file_edges;
mod files;
mod firing;
mod firing_records;
mod history;
mod hosting;
mod identity;
mod injecting;
mod lateness;
mod launching;
mod limits;
mod listening;
#[path = "../../../tests/src/logged.rs"]
mod logged;
mod logs;
mod managing;
mod misbehaving;
mod misbehaving_services;
mod ordering;
mod overrunning;
mod paging;
mod queueing;
mod queues;
mod races;
mod refusing;
mod regressions;
mod retry_policies;
mod retrying;
mod rogue;
mod schedule_edges;
mod schedules;
mod starting;
mod statuses;
mod stored;
mod test_kit;
mod timers;
mod trouble;
mod validity;
mod wishes;
