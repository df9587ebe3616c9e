//! How a test names a job and a point in time.

use chrono::{DateTime, TimeZone, Utc};

use super::parse;
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

/// A point in time in a test: a text as in RFC 3339, or a `DateTime` of any zone.
pub trait NamesTime {
    /// The point in time.
    ///
    /// # Panics
    ///
    /// The text is no time.
    fn time(&self) -> DateTime<Utc>;
}

impl<Z: TimeZone> NamesTime for DateTime<Z> {
    fn time(&self) -> DateTime<Utc> {
        self.to_utc()
    }
}

impl NamesTime for str {
    #[track_caller]
    fn time(&self) -> DateTime<Utc> {
        parse(self)
    }
}

impl NamesTime for String {
    #[track_caller]
    fn time(&self) -> DateTime<Utc> {
        parse(self)
    }
}

impl<T: NamesTime + ?Sized> NamesTime for &T {
    #[track_caller]
    fn time(&self) -> DateTime<Utc> {
        (**self).time()
    }
}
