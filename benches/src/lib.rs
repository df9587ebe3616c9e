//! What the programs of the benchmarks share.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a benchmark that cannot go on says why by panicking"
)]

pub mod chart;
pub mod cluster;
pub mod measure;
pub mod plan;
pub mod run;
