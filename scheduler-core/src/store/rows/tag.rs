//! By what a run is found, beside its id.

use crate::key::TriggerKey;
use crate::run::{KeyId, RunId};

/// What a run has to do with something else that a rule knows. A driver keeps an index of the tags of all runs, as they follow from
/// their rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RunTag {
    /// It tries an occurrence of this trigger again, and has not ended.
    RetryOf(TriggerKey),
    /// It has this key, which no other run takes meanwhile.
    Key(KeyId),
    /// It waits for the end of the run that has this key.
    FollowUp(KeyId),
    /// It is the first of this sequence.
    FirstOf(KeyId),
    /// It comes after this run in their sequence.
    Behind(RunId),
    /// It holds this gate itself, between its attempts, too.
    Holder(KeyId),
    /// It waits for the end of this run.
    ChildOf(RunId),
    /// It is cancelled, since this run has not ended as it has to.
    UnmetBy(RunId),
    /// It is in this batch, has not ended, and has to hear if the batch is cancelled.
    Member(RunId),
    /// It is in this batch, and has ended or has heard that the batch was cancelled.
    FormerMember(RunId),
}
