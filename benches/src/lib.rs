//! What the programs of the benchmarks share.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a benchmark that cannot go on says why by panicking"
)]

pub mod chart;
pub mod judge;
pub mod limits;
pub mod lists;
pub mod measure;
pub mod node;
pub mod peers;
pub mod plan;
pub mod postgres;
pub mod run;
pub mod server;
pub mod steps;
