//! The contract, over a store in memory and the thread that writes what it changes.

use std::fmt::{self, Debug};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;
use scheduler_core::job::ExecutionId;
use scheduler_core::run::{DeadRun, RunId};
use scheduler_core::store::*;
use scheduler_core::{Error, Result};
use tokio::sync::oneshot;

use crate::failure::failure;
use crate::file;
use crate::schema::{FORMAT, prepare};
use crate::settings::SqliteStoreBuilder;
use crate::writer::{Answer, Task, Writer};

/// A job store in a SQLite file. Cloning gives the same store, for several schedulers and clients of one process.
///
/// A call that is dropped may still be carried out; each may be repeated. Calls that come at the same time share a commit.
#[derive(Clone)]
pub struct SqliteJobStore(Arc<Shared>);

struct Shared {
    memory: MemoryJobStore,
    place: String,
    /// None once the last handle goes.
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
    /// Runs that have died with their process; the first node that asks for work is told.
    dead: Mutex<Vec<DeadRun>>,
}

impl SqliteJobStore {
    /// The store in this file, which is made if it is not there. Nothing that a call has answered is lost.
    ///
    /// Reads all of the file before it returns, and takes up what a process that was killed had under way.
    ///
    /// # Errors
    ///
    /// See [`SqliteStoreBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Starts to open a store with other settings.
    pub fn builder(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(Some(path.as_ref().to_owned()))
    }

    /// Starts to open a store that is gone with its process, for tests.
    pub fn in_memory() -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(None)
    }

    pub(crate) fn of(settings: SqliteStoreBuilder) -> Result<Self> {
        let path = settings.path.as_deref();
        let place = path.map_or_else(|| ":memory:".to_owned(), |path| path.display().to_string());
        let lock = path.map(file::take).transpose()?;
        let connection = path.map_or_else(Connection::open_in_memory, Connection::open);
        let connection = connection.map_err(|error| failure(&place, error))?;
        let other = prepare(&connection, settings.durability).map_err(|error| failure(&place, error))?;
        if let Some(format) = other {
            return Err(Error::config(format!(
                "the job store in `{place}` has format {format}, and this version of scheduler-sqlite reads and writes format {FORMAT}; use the version that has written it, or another file"
            )));
        }
        let memory = MemoryJobStore::new().with_retention(settings.retention);
        let mut writer = Writer::new((connection, lock), memory.clone(), settings, place.clone())?;
        let dead = Mutex::new(writer.take_over()?);
        let (tasks, waiting) = channel();
        let thread = std::thread::Builder::new()
            .name("scheduler-sqlite".to_owned())
            .spawn(move || writer.work(&waiting))
            .map_err(|error| Error::transient("no thread can be started").caused_by(error))?;
        Ok(Self(Arc::new(Shared { memory, place, tasks: Some(tasks), thread: Some(thread), dead })))
    }

    /// Copies the store into another file, which must not be there yet, while the scheduler goes on. The copy is a store of its own, as it is
    /// at one moment during the call.
    ///
    /// # Errors
    ///
    /// There is a file of that name, or it cannot be written.
    pub async fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let (to, place) = (path.as_ref().display().to_string(), self.0.place.clone());
        let copied = self.ask(move |connection| {
            connection.execute("VACUUM INTO ?1", [&to]).map(drop).map_err(|error| {
                Error::config(format!("the job store in `{place}` cannot be copied to `{to}`: {error}"))
                    .caused_by(error)
            })
        });
        copied.await
    }

    /// The answer of something that is done with the file.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.send(Task::File(Box::new(move |connection| drop(answer.send(work(connection))))));
        answered.await.unwrap_or_else(|_| Err(self.is_over()))
    }

    fn send(&self, task: Task) {
        // Without the thread nobody answers, which whoever waits is told.
        if let Some(tasks) = &self.0.tasks {
            tasks.send(task).ok();
        }
    }

    fn is_over(&self) -> Error {
        Error::transient(format!(
            "the thread of the job store in `{}` has ended; open the store again",
            self.0.place
        ))
    }

    /// A verb of the store in memory, whose changes are written before it is answered.
    fn commit<T: Send + 'static>(
        &self,
        verb: impl for<'a> FnOnce(&'a MemoryJobStore) -> StoreFuture<'a, T> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let (answer, answered) = oneshot::channel();
        self.send(Task::Call(Box::new(move |memory: Result<&MemoryJobStore>| -> Answer {
            let outcome = memory.and_then(|memory| at_once(verb(memory)));
            Box::new(move |written| drop(answer.send(written.and(outcome))))
        })));
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(self.is_over())) })
    }
}

/// The answer of a store in memory, which has it when it returns.
fn at_once<T>(mut verb: StoreFuture<'_, T>) -> Result<T> {
    match Pin::as_mut(&mut verb).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(Error::transient("the store in memory has waited for something")),
    }
}

impl JobStore for SqliteJobStore {
    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        self.commit(|memory| memory.attach(node))
    }

    fn detach(&self, session: u64) -> StoreFuture<'_, ()> {
        self.commit(move |memory| memory.detach(session))
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        let acquired = self.commit(|memory| memory.acquire_due(request));
        Box::pin(async move {
            let mut acquired = acquired.await?;
            acquired.dead.append(&mut self.0.dead.lock());
            Ok(acquired)
        })
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.commit(|memory| memory.fire(request))
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.commit(|memory| memory.complete(request))
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.commit(|memory| memory.release(claims))
    }

    fn change(&self, change: Change) -> StoreFuture<'_, Changed> {
        self.commit(|memory| memory.change(change))
    }

    fn query(&self, query: Query) -> StoreFuture<'_, Found> {
        self.0.memory.query(query)
    }

    fn listen(&self, run: RunId) -> EndSignal {
        self.0.memory.listen(run)
    }
}

impl Drop for Shared {
    /// Waits until what was asked for is written, and the file is closed.
    fn drop(&mut self) {
        self.tasks = None;
        self.thread.take().map(JoinHandle::join);
    }
}

impl Debug for SqliteJobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJobStore").field("place", &self.0.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that share its commit fail with it, and later ones do not.
    #[tokio::test]
    async fn a_call_that_panics_changes_nothing() {
        let store = SqliteJobStore::in_memory().open().unwrap();
        let pause = |queue: &str| store.pause_queue(queue.into(), PauseNote::default());
        assert!(pause("before").await.unwrap());
        let panics = store.commit::<()>(|memory| {
            drop(memory.pause_queue("half".into(), PauseNote::default()));
            panic!("by its author");
        });
        assert!(panics.await.is_err());
        assert!(pause("after").await.unwrap());
        let paused = store.paused_queues().await.unwrap();
        let names: Vec<_> = paused.iter().map(|queue| &*queue.name).collect();
        assert_eq!(names, ["after", "before"]);
    }
}
