//! The job store of `scheduler-core` in a SQLite file: jobs, triggers and runs survive their process, without a server.
//!
//! ```
//! use scheduler_core::prelude::*;
//! use scheduler_sqlite::SqliteJobStore;
//!
//! #[job(retry = 3)]
//! async fn send(letter: String) -> JobResult {
//!     println!("sending {letter}");
//!     Ok(())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("jobs.db");
//! let store = SqliteJobStore::open(path)?;
//! let scheduler = Scheduler::builder().store(store).register(send::definition()).build()?;
//! scheduler.start().await?;
//! // Once this returns, the run is on disk: it is carried out, whatever becomes of the process.
//! scheduler.enqueue(send::with("hello".into())).await?;
//! scheduler.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! * A call that has returned is on disk. [`Durability::Normal`] gives that up for speed: after a loss of power the file is
//!   whole, and the latest calls may be missing.
//! * Whatever a process that was killed had under way is found when the file is opened again: runs that are promised are attempted again
//!   at once, and occurrences of triggers as their jobs ask for it.
//! * One process has the file open at a time; a second one is refused with the number of the first. Several schedulers and clients of one
//!   process share a store by cloning it.
//! * All rows are in memory, too, so a file with a million runs needs as much memory as a [`MemoryJobStore`] of that size. The rules
//!   are those of every other store.
//! * The tables can be read with SQL at any time, and copied with [`SqliteJobStore::backup_to`].
//!
//! The turns of [fair keys](scheduler_core::client::Enqueue::fair) begin anew when the file is opened.
//!
//! [`MemoryJobStore`]: scheduler_core::store::MemoryJobStore

mod failure;
mod file;
mod load;
mod save;
mod schema;
mod settings;
mod store;
mod writer;

pub use settings::{Durability, SqliteStoreBuilder};
pub use store::SqliteJobStore;

/// The guide, whose examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../../docs/sqlite.md")]
struct Guide;
