//! Where the file is and how it is used.

use std::path::PathBuf;

use scheduler_core::Result;
use scheduler_core::run::Retention;

use crate::store::SqliteJobStore;

/// What a loss of power may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing that a call has answered: each commit waits for the disk (`synchronous=FULL`).
    #[default]
    Full,
    /// The latest commits, but never a part of one (`synchronous=NORMAL`). A killed process takes nothing.
    Normal,
}

/// How a store is opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct SqliteStoreBuilder {
    /// None for a store that is gone with its process.
    pub(crate) path: Option<PathBuf>,
    pub(crate) durability: Durability,
    pub(crate) keeps: usize,
    pub(crate) retention: Retention,
    /// Everything is read anew before each call, as if another process had worked on the file.
    pub(crate) rereads: bool,
}

impl SqliteStoreBuilder {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, durability: Durability::Full, keeps: 0, retention: Retention::default(), rereads: false }
    }

    /// What a loss of power may take. Default: nothing.
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Keeps the latest [firing records](scheduler_core::store::FiringRecord), so many of them. Default: none.
    pub fn keep_history(self, records: usize) -> Self {
        Self { keeps: records, ..self }
    }

    /// How long runs are kept after their end. Default: [`Retention::default`].
    pub fn retention(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    #[doc(hidden)]
    pub fn read_anew_before_each_call(self) -> Self {
        Self { rereads: true, ..self }
    }

    /// Opens the file, or makes it, with rights for its owner only. Reads all of it, and takes up what a process that was killed had
    /// under way.
    ///
    /// # Errors
    ///
    /// Another process has the file open. The file is not a database, is damaged, cannot be written, or was written by a newer version.
    /// A calendar in it has a type that this program does not have.
    pub fn open(self) -> Result<SqliteJobStore> {
        SqliteJobStore::of(self)
    }
}
