//! What crosses crates.

#[cfg(unix)]
pub mod redis;
