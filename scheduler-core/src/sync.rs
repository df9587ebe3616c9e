//! Locks, counters, threads and tasks of the firing path. With `--cfg shuttle` they are those of a checker, so that a test
//! can explore the orders in which they meet.

#[cfg(shuttle)]
pub(crate) use explored::*;
#[cfg(not(shuttle))]
pub(crate) use ordinary::*;

#[cfg(not(shuttle))]
mod ordinary {
    use std::future::Future;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize};
    pub(crate) use std::thread;

    pub(crate) use parking_lot::Mutex;
    use tokio::runtime::Handle;
    pub(crate) use tokio::task::{AbortHandle, yield_now};
    use tokio_util::task::TaskTracker;

    pub(crate) fn spawn(
        tracker: &TaskTracker,
        runtime: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        tracker.spawn_on(task, runtime).abort_handle()
    }

    pub(crate) fn block_on<F: Future>(runtime: &Handle, future: F) -> F::Output {
        runtime.block_on(future)
    }
}

#[cfg(shuttle)]
mod explored {
    use std::future::Future;
    use std::sync::PoisonError;

    pub(crate) use shuttle::future::{AbortHandle, yield_now};
    use shuttle::sync::MutexGuard;
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicUsize};
    pub(crate) use shuttle::thread;
    use tokio::runtime::Handle;
    use tokio_util::task::TaskTracker;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    pub(crate) fn spawn(
        tracker: &TaskTracker,
        _: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        shuttle::future::spawn(tracker.track_future(task)).abort_handle()
    }

    pub(crate) fn block_on<F: Future>(_: &Handle, future: F) -> F::Output {
        shuttle::future::block_on(future)
    }
}
