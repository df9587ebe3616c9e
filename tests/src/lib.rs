//! What crosses crates.

#[cfg(unix)]
pub mod chaos;
pub mod history;
pub mod process;
pub mod proxy;
#[cfg(unix)]
pub mod redis;
#[cfg(unix)]
pub mod wall_clock;
pub mod workload;
