//! The numbers of rows, and where waiting work stands.

use std::cmp::Reverse;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use chrono::{DateTime, Utc};

/// Names a row of one kind; only the driver knows what the number means.
///
/// A number is good for the transaction that has found it. The next transaction finds the row by its name, and the number may
/// be another. Only the number of a claim stays: it is the fence of the execution, and each new claim has a larger one.
/// A driver may give one number to rows that come one after the other under the same name; their
/// [births](super::TriggerRow::birth) tell them apart.
pub struct Id<R>(pub u64, PhantomData<fn() -> R>);

impl<R> Id<R> {
    /// The row of this number.
    pub const fn new(number: u64) -> Self {
        Self(number, PhantomData)
    }
}

impl<R> Clone for Id<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Id<R> {}

impl<R> PartialEq for Id<R> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<R> Eq for Id<R> {}

impl<R> PartialOrd for Id<R> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for Id<R> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<R> Hash for Id<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<R> Debug for Id<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.0)
    }
}

/// The work of one queue and one job type, by a number of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

/// Where waiting work stands.
///
/// Work is taken in the order of `at`, then `rank`, then by name: triggers in the order of their keys, then runs in the order of
/// their ids. A driver may go by whole milliseconds: what is due at the asked time is always taken, what is due later in the same
/// millisecond may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of its queue and job type.
    pub lane: Lane,
    /// When it is due.
    pub at: DateTime<Utc>,
    /// The higher priority comes first.
    pub rank: Reverse<i32>,
    /// One run of its job at a time: of all such work of the job, only the first in each lane can be taken, and nothing while a
    /// claim holds the job.
    pub exclusive: bool,
}
