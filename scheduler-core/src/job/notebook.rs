//! What an attempt has noted, in memory, and who stores it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::Result;
use crate::run::{AttemptNotes, LogLine, RunProgress};
use crate::sync::Mutex;

/// A call of the store.
pub(crate) type Storing = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// The part of the scheduler that stores what attempts note.
pub(crate) trait Noting: Send + Sync {
    /// Something was noted, and is to be stored soon; what people look at is stored sooner.
    fn noted(self: Arc<Self>, for_people: bool);

    /// Stores what was noted until now.
    fn store_notes(self: Arc<Self>) -> Storing;
}

/// What an attempt has noted, and how much of that is stored. Most attempts note nothing.
#[derive(Debug, Default)]
pub(crate) struct Notebook(Mutex<Option<Box<Page>>>);

#[derive(Debug, Default)]
struct Page {
    /// How often something was noted.
    number: u64,
    /// What was noted up to this number is stored.
    stored: u64,
    checkpoint: Option<(u64, Arc<str>)>,
    progress: Option<(u64, RunProgress)>,
    /// Lines that are not stored.
    lines: VecDeque<(u64, LogLine)>,
    /// How many lines came before them in this attempt.
    lines_before: u64,
}

impl Page {
    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn drop_line(&mut self) {
        self.lines_before += u64::from(self.lines.pop_front().is_some());
    }

    fn is_stored(&self) -> bool {
        self.stored >= self.number
    }
}

impl Notebook {
    fn edit<T>(&self, edit: impl FnOnce(&mut Page) -> T) -> T {
        edit(self.0.lock().get_or_insert_default())
    }

    /// Notes a checkpoint in place of the one before, and numbers it.
    pub(super) fn write(&self, checkpoint: Arc<str>) -> u64 {
        self.edit(|page| {
            let number = page.next();
            page.checkpoint = Some((number, checkpoint));
            number
        })
    }

    /// Changes the progress; says whether that is another one.
    pub(super) fn set_progress(&self, change: impl FnOnce(&mut RunProgress)) -> bool {
        self.edit(|page| {
            let before = page.progress.as_ref().map(|(_, progress)| progress);
            let mut progress = before.cloned().unwrap_or_default();
            change(&mut progress);
            let is_new = before != Some(&progress);
            if is_new {
                page.progress = Some((page.next(), progress));
            }
            is_new
        })
    }

    /// Adds a line to the log. If the store is slow, the oldest lines are dropped.
    #[cfg(feature = "run-log")]
    pub(super) fn log(&self, line: LogLine) {
        self.edit(|page| {
            let number = page.next();
            page.lines.push_back((number, line));
            if page.lines.len() > crate::run::MAX_LOG_LINES {
                page.drop_line();
            }
        });
    }

    pub(crate) fn has_unstored(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|page| !page.is_stored())
    }

    /// The notes that are not stored yet, with the number of the latest.
    pub(crate) fn unstored(&self) -> Option<(AttemptNotes, u64)> {
        let page = self.0.lock();
        let page = page.as_ref().filter(|page| !page.is_stored())?;
        let is_new = |number: u64| number > page.stored;
        let checkpoint = page.checkpoint.as_ref().filter(|(number, _)| is_new(*number));
        let progress = page.progress.as_ref().filter(|(number, _)| is_new(*number));
        let lines = page.lines.iter().map(|(_, line)| line.clone()).collect();
        let mut notes = AttemptNotes::default().lines(page.lines_before, lines);
        notes.checkpoint = checkpoint.map(|(_, checkpoint)| checkpoint.clone());
        notes.progress = progress.map(|(_, progress)| progress.clone());
        Some((notes, page.number))
    }

    /// The latest checkpoint of this attempt.
    pub(crate) fn checkpoint(&self) -> Option<Arc<str>> {
        self.0.lock().as_ref()?.checkpoint.as_ref().map(|(_, checkpoint)| checkpoint.clone())
    }

    /// What was noted up to this number is stored.
    pub(crate) fn set_stored(&self, number: u64) {
        self.edit(|page| {
            page.stored = page.stored.max(number);
            while page.lines.front().is_some_and(|(line, _)| *line <= number) {
                page.drop_line();
            }
        });
    }

    pub(super) fn is_stored(&self, number: u64) -> bool {
        self.0.lock().as_ref().is_some_and(|page| page.stored >= number)
    }
}
