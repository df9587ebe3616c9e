//! How a test names a job.

use crate::key::JobKey;

/// What names a job in a test: a text such as `"ship"` or `"billing/nightly"`, or a key such as `ship::key()`.
pub trait NamesJob {
    /// The key of the job.
    ///
    /// # Panics
    ///
    /// It is no name.
    fn job_key(&self) -> JobKey;
}

impl NamesJob for JobKey {
    fn job_key(&self) -> JobKey {
        self.clone()
    }
}

impl NamesJob for str {
    #[track_caller]
    fn job_key(&self) -> JobKey {
        self.parse().unwrap_or_else(|error| panic!("{error}"))
    }
}

impl NamesJob for String {
    #[track_caller]
    fn job_key(&self) -> JobKey {
        self.as_str().job_key()
    }
}

impl<T: NamesJob + ?Sized> NamesJob for &T {
    #[track_caller]
    fn job_key(&self) -> JobKey {
        (**self).job_key()
    }
}
