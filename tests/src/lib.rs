//! What crosses crates.

#[cfg(unix)]
pub mod chaos;
pub mod history;
pub mod logged;
pub mod process;
pub mod proxy;
#[cfg(unix)]
pub mod redis;
pub mod wait;
#[cfg(unix)]
pub mod wall_clock;
pub mod workload;

/// The examples of the guide compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/with-axum.md")]
struct WithAxum;
