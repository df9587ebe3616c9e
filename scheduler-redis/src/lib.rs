//! The clustered job store of `scheduler-core`: nodes that share a Redis share their jobs and triggers.
//!
//! This crate is reserved for it and holds nothing yet. The contract that it will fulfil is
//! [`JobStore`](https://docs.rs/scheduler-core/latest/scheduler_core/store/trait.JobStore.html); until then a scheduler keeps
//! its jobs [in memory](https://docs.rs/scheduler-core/latest/scheduler_core/store/struct.MemoryJobStore.html).
