//! What the programs of the benchmarks share.

pub mod cluster;
pub mod measure;
