//! A thread of its own for everything that talks to the server, so that jobs that block the program's runtime keep neither
//! the heart from beating nor answers from coming.

use std::future::Future;

use scheduler_core::{Error, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

pub(crate) struct Io(Option<Runtime>);

impl Io {
    pub(crate) fn start() -> Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(4).thread_name("scheduler-redis").enable_all();
        let runtime = builder.build();
        let failed = |error| {
            Error::transient("the thread of the job store in Redis cannot be started").caused_by(error)
        };
        Ok(Self(Some(runtime.map_err(failed)?)))
    }

    /// Runs a task to its end, also when nobody waits for it any more.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        self.0.as_ref().map(|runtime| runtime.spawn(task))
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // May be dropped by a task of its own, which must not wait for itself.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
