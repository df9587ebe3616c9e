//! Changes of stored runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::change_note::ChangeNote;
use super::runs::RunQuery;
use super::terms::NewTerms;
use crate::data::JobData;
use crate::run::{RetryPolicy, RunEnd, RunId, RunState};

/// A change of stored runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunChange {
    /// Cancels runs that wait or are held. Runs that a node runs are asked to stop, and are not attempted again.
    Cancel,
    /// Runs ended runs again, under the same ids and with the number of attempts back at zero.
    Replay {
        /// When the first run is due; none for now.
        from: Option<DateTime<Utc>>,
        /// How much later each further run is due than the one before. A run that is refused keeps its place.
        spacing: Duration,
    },
    /// Removes runs that wait, are held or have ended. A run that a node runs is refused.
    Delete,
    /// Holds runs that wait: no node claims them until they are released.
    Hold,
    /// Lets held runs wait for their due times again. A run that waits for the one before it in its sequence, or for the run that has its
    /// key, is refused.
    Release,
    /// Changes what runs are to do. A run that a node runs is refused.
    Edit(Box<RunEdit>),
    /// Seals batches: from now on only their own runs add others, and they end when nothing is pending.
    Seal,
}

impl RunChange {
    /// Runs all of them again now.
    pub const fn replay() -> Self {
        Self::replay_every(Duration::ZERO)
    }

    /// Runs them again one after the other, each so much later than the one before, so that a service that has just recovered is not
    /// flooded. The runs wait in the store meanwhile.
    pub const fn replay_every(spacing: Duration) -> Self {
        Self::Replay { from: None, spacing }
    }

    /// Changes what runs are to do.
    pub fn edit(edit: RunEdit) -> Self {
        Self::Edit(edit.into())
    }

    /// A word for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Replay { .. } => "replay",
            Self::Delete => "delete",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Edit(_) => "edit",
            Self::Seal => "seal",
        }
    }

    /// When the run of this place in the list is due after a replay at `now`.
    pub(super) fn due(
        from: Option<DateTime<Utc>>,
        spacing: Duration,
        at: usize,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let from = from.unwrap_or(now);
        let later = spacing.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX));
        let later = TimeDelta::from_std(later).ok().and_then(|later| from.checked_add_signed(later));
        later.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The same change for the runs behind the first `count` of a list.
    fn behind(&self, count: usize, now: DateTime<Utc>) -> Self {
        match self {
            Self::Replay { from, spacing } => {
                Self::Replay { from: Some(Self::due(*from, *spacing, count, now)), spacing: *spacing }
            }
            other => other.clone(),
        }
    }
}

impl RunChange {
    /// This change, made by this author.
    pub fn by(self, author: impl Into<Arc<str>>) -> NotedChange {
        NotedChange::from(self).by(author)
    }

    /// This change, made for this reason.
    pub fn because(self, reason: impl Into<Arc<str>>) -> NotedChange {
        NotedChange::from(self).because(reason)
    }
}

/// A change of runs, by whom it is made and why. A run that stays in the store shows both as its [last change](super::RunStatus::changed); a
/// later change replaces them, also one that says nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NotedChange {
    /// The change.
    pub change: RunChange,
    /// The author. Default: none.
    pub author: Option<Arc<str>>,
    /// The reason, in words. Default: none.
    pub reason: Option<Arc<str>>,
}

impl NotedChange {
    /// An author and a reason have at most so many bytes each.
    pub const MOST: usize = 1024;

    /// Made by this author.
    #[must_use]
    pub fn by(self, author: impl Into<Arc<str>>) -> Self {
        Self { author: Some(author.into()), ..self }
    }

    /// Made for this reason.
    #[must_use]
    pub fn because(self, reason: impl Into<Arc<str>>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// The same change for the runs behind the first `count` of a list.
    pub(crate) fn behind(&self, count: usize, now: DateTime<Utc>) -> Self {
        Self { change: self.change.behind(count, now), ..self.clone() }
    }

    /// Too long a word, and how long it is.
    pub(crate) fn problem(&self) -> Option<String> {
        let words = [("author", &self.author), ("reason", &self.reason)];
        words.into_iter().find_map(|(name, word)| {
            let long = word.as_ref().map(|word| word.len()).filter(|length| *length > Self::MOST)?;
            Some(format!("the {name} of a change has {long} bytes; at most {} are kept", Self::MOST))
        })
    }
}

impl From<RunChange> for NotedChange {
    fn from(change: RunChange) -> Self {
        Self { change, author: None, reason: None }
    }
}

/// Changes of runs, by their ids.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChangeRuns {
    /// The runs.
    pub runs: Vec<RunId>,
    /// The change of each run.
    pub change: RunChange,
    /// The present.
    pub now: DateTime<Utc>,
    /// Only those that are in this state by now. Others are refused.
    pub state: Option<RunState>,
    /// Only those that have ended like this. Others are refused.
    pub end: Option<RunEnd>,
    /// Who makes the change.
    pub author: Option<Arc<str>>,
    /// Why, in words.
    pub reason: Option<Arc<str>>,
    /// What an edit makes of keys, limits and sequences, by run. Those of a run that is not named stay.
    pub terms: BTreeMap<RunId, NewTerms>,
}

impl ChangeRuns {
    /// Changes these runs, in whatever state they are.
    pub fn new(runs: Vec<RunId>, change: impl Into<NotedChange>, now: DateTime<Utc>) -> Self {
        let NotedChange { change, author, reason } = change.into();
        Self { runs, change, now, state: None, end: None, author, reason, terms: BTreeMap::new() }
    }

    /// What is noted of it with each run; nothing if neither author nor reason is known.
    pub fn note(&self) -> Option<ChangeNote> {
        let (author, reason) = (self.author.clone(), self.reason.clone());
        let is_noted = author.is_some() || reason.is_some();
        is_noted.then(|| ChangeNote { change: self.change.name().into(), author, reason, at: self.now })
    }

    /// Changes only those that the query means by their states.
    #[must_use]
    pub fn only(self, query: &RunQuery) -> Self {
        Self { state: query.state, end: query.end, ..self }
    }
}

/// What a run is to do from now on. A field that is not set stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RunEdit {
    /// The data that is laid over that of the job: the argument of the function is in it.
    pub data: Option<JobData>,
    /// The queue; `Some(None)` for none.
    pub queue: Option<Option<Arc<str>>>,
    /// The priority.
    pub priority: Option<i32>,
    /// When the next attempt is due. Without effect for a run that has ended.
    pub due: Option<DateTime<Utc>>,
    /// Another retry policy than that of the job; `Some(None)` for that of the job.
    pub retry: Option<Option<RetryPolicy>>,
}

impl RunEdit {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the data that is laid over that of the job. A checkpoint of other data is dropped.
    #[must_use]
    pub fn data(self, data: JobData) -> Self {
        Self { data: Some(data), ..self }
    }

    /// Moves the run to this queue.
    #[must_use]
    pub fn queue(self, queue: impl Into<Arc<str>>) -> Self {
        Self { queue: Some(Some(queue.into())), ..self }
    }

    /// Moves the run out of its queue.
    #[must_use]
    pub fn no_queue(self) -> Self {
        Self { queue: Some(None), ..self }
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(self, priority: i32) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// Makes the next attempt of a run that waits due then.
    #[must_use]
    pub fn due(self, due: DateTime<Utc>) -> Self {
        Self { due: Some(due), ..self }
    }

    /// Sets the retry policy.
    #[must_use]
    pub fn retry(self, policy: RetryPolicy) -> Self {
        Self { retry: Some(Some(policy)), ..self }
    }

    /// Goes back to the retry policy of the job.
    #[must_use]
    pub fn retry_of_job(self) -> Self {
        Self { retry: Some(None), ..self }
    }
}

/// The answer to the change of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunChanged {
    /// The run was changed, or is asked to stop.
    Done,
    /// No run of this id is stored.
    Unknown,
    /// A run in this state cannot be changed in this way.
    Refused(RunState),
    /// It is not run again, or has not got the key of its new argument, since this run has that key.
    KeyTaken(RunId),
}

impl RunChanged {
    /// Whether the run was changed.
    pub fn is_done(self) -> bool {
        self == Self::Done
    }
}

impl fmt::Display for RunChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Unknown => f.write_str("there is no such run"),
            Self::Refused(state) => write!(f, "the run is {state}"),
            Self::KeyTaken(run) => write!(f, "run {run} has its key"),
        }
    }
}

/// The result of a change of many runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunsChanged {
    /// So many runs were changed.
    pub changed: usize,
    /// So many runs matched, and could not be changed: they are in a state in which this change is refused, or were in another state
    /// by the time of the change.
    pub refused: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_are_due_one_after_the_other_and_never_beyond_time() {
        let now = DateTime::UNIX_EPOCH;
        let due = |spacing, at| RunChange::due(None, spacing, at, now);
        assert_eq!(due(Duration::from_millis(100), 3), now + TimeDelta::milliseconds(300));
        assert_eq!(due(Duration::MAX, 2), DateTime::<Utc>::MAX_UTC);
        let part = RunChange::replay_every(Duration::from_secs(1)).behind(500, now);
        assert_eq!(
            part,
            RunChange::Replay { from: Some(now + TimeDelta::seconds(500)), spacing: Duration::from_secs(1) }
        );
        assert_eq!(RunChange::Hold.behind(500, now), RunChange::Hold);
    }
}
