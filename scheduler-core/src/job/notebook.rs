//! What an attempt has noted, in memory, and who stores it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::Result;
use crate::sync::Mutex;

/// A call of the store.
pub(crate) type Storing = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The part of the scheduler that stores what attempts note.
pub(crate) trait Noting: Send + Sync {
    /// Something was noted, and is to be stored soon.
    fn noted(self: Arc<Self>);

    /// Stores what was noted until now.
    fn store_notes(self: Arc<Self>) -> Storing;
}

/// What an attempt has noted, and how much of that is stored.
#[derive(Debug, Default)]
pub(crate) struct Notebook(Mutex<Page>);

#[derive(Debug, Default)]
struct Page {
    checkpoint: Option<Arc<str>>,
    /// Of the checkpoint; 0 for none.
    number: u64,
    stored: u64,
}

impl Notebook {
    /// Notes a checkpoint in place of the one before, and numbers it.
    pub(super) fn write(&self, checkpoint: Arc<str>) -> u64 {
        let mut page = self.0.lock();
        page.checkpoint = Some(checkpoint);
        page.number += 1;
        page.number
    }

    /// The latest checkpoint, with its number, unless it is stored.
    pub(crate) fn unstored(&self) -> Option<(Arc<str>, u64)> {
        let page = self.0.lock();
        let checkpoint = page.checkpoint.clone().filter(|_| page.stored < page.number)?;
        Some((checkpoint, page.number))
    }

    pub(crate) fn latest(&self) -> Option<Arc<str>> {
        self.0.lock().checkpoint.clone()
    }

    /// The checkpoint of this number is stored.
    pub(crate) fn set_stored(&self, number: u64) {
        let mut page = self.0.lock();
        page.stored = page.stored.max(number);
    }

    pub(super) fn is_stored(&self, number: u64) -> bool {
        self.0.lock().stored >= number
    }
}
