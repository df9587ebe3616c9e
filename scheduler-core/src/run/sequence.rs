//! Runs that run one after the other.

use std::fmt::Display;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::unique::{KeyId, push_part};

/// Runs of the same sequence run one after the other, in the order in which they were enqueued.
///
/// The order is that of arrival, and not that of due times. The first run of a sequence keeps the others waiting until it is over: also
/// while it is delayed, waits for a retry, or is held by hand. That is what a sequence is for: an account must not see the second booking
/// before the first. Runs of other sequences do not wait for it.
///
/// A key is a text, such as the number of an account. It belongs to the function of the job, unless the sequence is that of
/// [several jobs](Self::across_jobs). A run joins its sequence when it is enqueued. One that has to wait for other runs first, joins it
/// when these have ended. A replayed run joins it at the end.
///
/// When the first run is dead, the next one begins, unless the sequence [halts](Self::halt_when_dead).
///
/// ```
/// # use scheduler_core::prelude::*;
/// # use scheduler_core::run::Sequence;
/// # #[job] async fn book(amount: i64) {}
/// # async fn all(scheduler: Scheduler) -> scheduler_core::Result<()> {
/// let account = Sequence::of("account 17").halt_when_dead();
/// scheduler.enqueue(book::with(100)).sequence(account.clone()).await?;
/// scheduler.enqueue(book::with(-50)).sequence(account).await?; // begins when the first one is over
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    text: String,
    across_jobs: bool,
    halts: bool,
}

impl Sequence {
    /// The sequence of a key: any value with a text, such as a number, a name or an id.
    pub fn of(part: impl Display) -> Self {
        Self { text: String::new(), across_jobs: false, halts: false }.with(&part)
    }

    /// One part more: the key is that of all its parts in their order.
    #[must_use]
    pub fn and(mut self, part: impl Display) -> Self {
        self.text.push('/');
        self.with(&part)
    }

    fn with(mut self, part: &dyn Display) -> Self {
        push_part(&mut self.text, part);
        self
    }

    /// The sequence is that of all jobs that name this key, and not of the function.
    #[must_use]
    pub fn across_jobs(self) -> Self {
        Self { across_jobs: true, ..self }
    }

    /// A dead run keeps its place: the others wait until somebody has replayed it with success, cancelled or deleted it, or until its record is
    /// no longer [kept](super::Retention). Default: the next run begins.
    #[must_use]
    pub fn halt_when_dead(self) -> Self {
        Self { halts: true, ..self }
    }

    /// The fault of the sequence, if it has one.
    pub(crate) fn problem(&self) -> Option<String> {
        let problem = "a sequence has an empty key; give it at least one character";
        self.text.is_empty().then(|| problem.to_owned())
    }

    /// For a store: the sequence of a run of this function.
    pub fn stored(&self, job_type: &str) -> RunSequence {
        let scope = if self.across_jobs { "" } else { job_type };
        RunSequence { id: KeyId::of(scope, &self.text), text: self.text.as_str().into(), halts: self.halts }
    }
}

/// The sequence of a stored run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunSequence {
    /// What it is found by.
    pub id: KeyId,
    /// As it was given.
    pub text: Arc<str>,
    /// A dead run keeps the others waiting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub halts: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_has_a_key_and_belongs_to_its_function() {
        assert!(Sequence::of("").problem().is_some_and(|text| text.contains("empty key")));
        assert_eq!(Sequence::of(7).problem(), None);
        let id = |sequence: Sequence, job: &str| sequence.stored(job).id;
        assert_eq!(id(Sequence::of("a").and(1), "book"), id(Sequence::of("a").and(1), "book"));
        assert_ne!(id(Sequence::of("a/1"), "book"), id(Sequence::of("a").and(1), "book"));
        assert_ne!(id(Sequence::of(1), "book"), id(Sequence::of(1), "close"));
        assert_eq!(id(Sequence::of(1).across_jobs(), "book"), id(Sequence::of(1).across_jobs(), "close"));
    }
}
