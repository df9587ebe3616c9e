//! The store's lock. With `--cfg shuttle` it is one whose every order of taking a test can explore.

#[cfg(shuttle)]
pub(super) use explored::Mutex;
#[cfg(not(shuttle))]
pub(super) use parking_lot::Mutex;

#[cfg(shuttle)]
mod explored {
    use std::sync::PoisonError;

    use shuttle::sync::MutexGuard;

    #[derive(Debug, Default)]
    pub(in super::super) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in super::super) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
