//! The job store of a cluster: nodes of `scheduler-core` that share a Redis.
//!
//! Jobs and triggers outlive their processes, each firing is claimed by one node, and the work of a node that dies is taken
//! over by the others. The page "Running a cluster" in `docs/` says what holds under which failure, how to set up the server,
//! and what to watch. The store passes the kit `scheduler-conformance` on a real server, unchanged. Server 7.0 or newer.
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

mod alarms;
mod audit;
mod batches;
mod boot;
mod bundles;
mod cache;
mod claims;
mod clock;
mod codec;
mod commit;
mod commit_claims;
mod commit_runs;
mod connection;
mod counts;
mod damage;
mod discovery;
#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]
mod driver_kit;
mod ended;
mod firing;
mod firings;
mod heartbeat;
mod io;
mod lengths;
mod limits;
mod load;
mod names;
mod notes;
mod ops;
mod pages;
mod parts;
mod put;
#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]
mod rates;
mod reconcile;
mod recover;
mod release;
mod rest;
mod run;
mod running;
mod script;
mod session;
mod settings;
mod shared;
mod stand;
mod store;
mod take;
mod take_parts;
#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]
mod two_servers;
mod verbs;

pub use settings::RedisStoreBuilder;
pub use store::{Commits, RedisJobStore};

/// The examples of the page compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/running-a-cluster.md")]
struct RunningACluster;
