//! The thread that has the file: it carries out what waits, and commits all of it at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::Connection;
use scheduler_core::job::ExecutionId;
use scheduler_core::run::DeadRun;
use scheduler_core::store::journal::Journal;
use scheduler_core::store::rows::{ClaimRow, Id, Rows, Table};
use scheduler_core::store::rules::{self, Lost};
use scheduler_core::store::{MemoryJobStore, MemoryRows};
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, Result};

use crate::failure::failure;
use crate::file::Lock;
use crate::load::load;
use crate::save::{save, save_counter};
use crate::settings::SqliteStoreBuilder;

/// One commit has at most so many calls, or what is done in this time.
const MOST_CALLS: usize = 64;
const MOST_TIME: Duration = Duration::from_millis(2);

/// In the records of attempts whose process has ended.
const GONE: &str = "a process that has ended";

/// Gives a call its answer, once what it has changed is written; or the reason why it is not.
pub(crate) type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// Changes what is in memory, if that can be relied on.
pub(crate) type Call = Box<dyn FnOnce(Result<&MemoryJobStore>) -> Answer + Send>;

/// What the thread is asked for.
pub(crate) enum Task {
    /// A call of the contract.
    Call(Call),
    /// Something on the file itself, outside of transactions.
    File(Box<dyn FnOnce(&Connection) + Send>),
}

/// The file and what is in it.
pub(crate) struct Writer {
    connection: Connection,
    memory: MemoryJobStore,
    settings: SqliteStoreBuilder,
    place: String,
    /// What is in memory may not be what is in the file.
    is_stale: bool,
    /// The number that was written last.
    counter: u64,
    lock: Option<Lock>,
}

impl Writer {
    pub(crate) fn new(
        (connection, lock): (Connection, Option<Lock>),
        memory: MemoryJobStore,
        settings: SqliteStoreBuilder,
        place: String,
    ) -> Result<Self> {
        let mut writer = Self { connection, memory, settings, place, is_stale: true, counter: 0, lock };
        writer.refresh()?;
        Ok(writer)
    }

    /// Reads everything, if what is in memory is not known to be the same.
    fn refresh(&mut self) -> Result<()> {
        if self.is_stale || self.settings.rereads {
            load(&self.connection, &self.memory, (&self.place, self.settings.keeps))?;
            self.counter = self.in_memory(|rows| rows.counter());
            self.is_stale = false;
        }
        Ok(())
    }

    fn in_memory<T>(&self, look: impl FnOnce(&mut MemoryRows) -> T) -> T {
        self.memory.transact(|rows| Ok(look(rows)))
    }

    fn sql(&self, words: &str) -> Result<()> {
        self.connection.execute_batch(words).map_err(|error| failure(&self.place, error))
    }

    fn is_in_place(&self) -> Result<()> {
        match self.lock.as_ref().is_some_and(Lock::is_lost) {
            true => Err(Error::transient(format!(
                "`{}` was removed or replaced while it was in use, and nothing is written any more; put the file back, or end this process",
                self.place
            ))),
            false => Ok(()),
        }
    }

    /// Writes what has changed in memory, all of it or nothing.
    fn write(&mut self) -> Result<Journal> {
        let journal = self.in_memory(MemoryRows::take_journal);
        let counter = self.in_memory(|rows| rows.counter());
        if journal.entries.is_empty() && journal.firings.is_empty() {
            return Ok(journal);
        }
        let written = self.is_in_place().and_then(|()| self.sql("BEGIN IMMEDIATE")).and_then(|()| {
            let file = (&*self.place, self.settings.keeps);
            self.in_memory(|rows| save(&self.connection, rows, &journal, file))?;
            if counter != self.counter {
                save_counter(&self.connection, counter).map_err(|error| failure(&self.place, error))?;
            }
            self.sql("COMMIT")
        });
        if let Err(error) = written {
            tracing::error!(%error, "changes of the job store in `{}` were not written: {error}", self.place);
            self.connection.execute_batch("ROLLBACK").ok();
            self.is_stale = true;
            return Err(error);
        }
        self.counter = counter;
        Ok(journal)
    }

    /// Ends what a process had under way that has not given it back. Runs that are promised wait again.
    pub(crate) fn take_over(&mut self) -> Result<Vec<DeadRun>> {
        let now = SystemClock.now();
        let lost = self.in_memory(|rows| {
            let Ok(ids) = rows.claims(|_, _| true);
            let of = |id: Id<ClaimRow>| {
                let Ok(claim) = rows.get(id);
                let claim =
                    claim.map(|claim| (ExecutionId::new(claim.session, id.0), claim.trigger.clone()))?;
                let Ok(lost) = rules::lose(rows, claim.0, GONE, now);
                Some((claim, lost))
            };
            ids.into_iter().filter_map(of).collect::<Vec<_>>()
        });
        self.write()?;
        let mut all_dead = Vec::new();
        for ((execution, trigger), lost) in lost {
            let Lost::Ended { is_repeated, dead, .. } = lost else { continue };
            let (job, fate) = (trigger.job(), if is_repeated { "is repeated" } else { "is not repeated" });
            tracing::warn!(%job, %execution, "run {execution} of job `{job}` was lost with its process and {fate}");
            all_dead.extend(dead);
        }
        Ok(all_dead)
    }

    /// Works until nobody has the store any more.
    pub(crate) fn work(mut self, tasks: &Receiver<Task>) {
        let mut next = tasks.recv().ok();
        while let Some(task) = next.take() {
            match task {
                Task::File(work) => work(&self.connection),
                Task::Call(call) => next = self.commit(call, tasks),
            }
            if next.is_none() {
                next = tasks.recv().ok();
            }
        }
        // A file without a log beside it can be copied.
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").ok();
    }

    /// Carries out a call and those that wait behind it, writes, and then answers. Returns a task of another kind that came meanwhile.
    fn commit(&mut self, first: Call, tasks: &Receiver<Task>) -> Option<Task> {
        let (began, mut answers, mut call, mut other) =
            (SystemClock.monotonic(), Vec::new(), Some(first), None);
        while let Some(one) = call.take() {
            if let Err(error) = self.refresh() {
                tracing::error!(%error, "the job store in `{}` cannot be read: {error}", self.place);
                one(Err(Error::transient(error.to_string())))(Ok(()));
                break;
            }
            let Ok(answer) = catch_unwind(AssertUnwindSafe(|| one(Ok(&self.memory)))) else {
                // Nobody knows how far it has come.
                self.is_stale = true;
                break;
            };
            answers.push(answer);
            let is_full = answers.len() >= MOST_CALLS || self.settings.rereads;
            if is_full || SystemClock.monotonic().saturating_sub(began) > MOST_TIME {
                break;
            }
            match tasks.try_recv() {
                Ok(Task::Call(next)) => call = Some(next),
                Ok(task) => other = Some(task),
                Err(_) => {}
            }
        }
        let written = match self.is_stale {
            true => {
                Err(Error::transient(format!("a call of the job store in `{}` has panicked", self.place)))
            }
            false => self.write(),
        };
        match &written {
            Ok(journal) => self.memory.tell(journal),
            // What is not written is not to be seen either.
            Err(_) => drop(self.refresh()),
        }
        for answer in answers {
            answer(match &written {
                Ok(_) => Ok(()),
                Err(error) => Err(Error::transient(error.to_string())),
            });
        }
        other
    }
}
