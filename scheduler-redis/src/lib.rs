//! The job store of `scheduler-core` in a Redis server: jobs and triggers outlive the process.
//!
//! Each verb of the store is one call of one script, as a whole or not at all. The store passes the conformance kit of
//! core on a real server, unchanged.
//!
//! **Not for several processes yet.** What a process leaves behind when it is killed is not taken over, and a change made
//! by one process is seen by another only when that asks next. Server 7.0 or newer.
//!
//! ```no_run
//! # async fn example() -> scheduler_core::Result<()> {
//! use scheduler_core::Scheduler;
//! use scheduler_redis::RedisJobStore;
//!
//! let store = RedisJobStore::connect("redis://127.0.0.1:6379", "reports").await?;
//! let scheduler = Scheduler::builder().store(store).build()?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod clock;
mod codec;
mod heart;
mod io;
mod link;
mod session;
mod settings;
mod store;

pub use settings::RedisStoreBuilder;
pub use store::RedisJobStore;
