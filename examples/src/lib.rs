//! One binary per task a user has, and what they share.

use std::fmt::Arguments;
use std::io::{Write, stdout};
use std::process;
use std::sync::Arc;

use anyhow::Context as _;
use scheduler_core::store::{JobStore, MemoryJobStore};
use scheduler_redis::RedisJobStore;
use scheduler_sqlite::SqliteJobStore;

/// As that of the standard library, but a closed pipe ends the process quietly: `cargo run --bin misfire | head -1`.
#[macro_export]
macro_rules! println {
    () => { $crate::print_line(format_args!("")) };
    ($($text:tt)+) => { $crate::print_line(format_args!($($text)+)) };
}

/// Prints a line for [`println!`].
pub fn print_line(text: Arguments<'_>) {
    if writeln!(stdout(), "{text}").is_err() {
        process::exit(0);
    }
}

/// The option `--store`, for examples that run on every store.
#[derive(Debug, clap::Args)]
pub struct StoreOption {
    /// `memory`, a file such as sqlite:jobs.db, or the address of a Redis such as redis://localhost:6379
    #[arg(long, default_value = "memory")]
    store: String,
}

impl StoreOption {
    /// Whether several processes can have the store open at a time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.store.starts_with("redis")
    }

    /// Opens the store. In a Redis, the example has its own scheduler of this name.
    ///
    /// # Errors
    ///
    /// There is no Redis at the address, or the file cannot be opened.
    pub async fn open(&self, name: &str) -> anyhow::Result<Arc<dyn JobStore>> {
        Ok(match &*self.store {
            "memory" => Arc::new(MemoryJobStore::new()),
            address if address.starts_with("sqlite:") => {
                Arc::new(SqliteJobStore::open(&address["sqlite:".len()..])?)
            }
            address => {
                let store = RedisJobStore::connect(address, name).await;
                let usage = || {
                    format!(
                        "`--store {address}`: use `memory`, `sqlite:` and a file, or the address of a Redis"
                    )
                };
                Arc::new(store.with_context(usage)?)
            }
        })
    }
}
