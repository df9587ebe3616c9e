//! Runs that wait for the ends of other runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{RunEnd, RunId};

/// Which end of a parent a dependent run waits for.
///
/// | condition | met by |
/// |---|---|
/// | [`Success`](Self::Success) | succeeded |
/// | [`Failure`](Self::Failure) | dead, discarded, expired; of a batch: not all of its runs have succeeded |
/// | [`Death`](Self::Death) | dead; of a batch: the first of its runs is dead, while the others go on |
/// | [`Cancelled`](Self::Cancelled) | cancelled, superseded, deleted by hand |
/// | [`Any`](Self::Any) | every end |
///
/// A run that waits for a retry has not ended. Neither has one that was interrupted or snoozes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// The parent succeeds.
    #[default]
    Success,
    /// The parent is dead, discarded or expired.
    Failure,
    /// The parent is cancelled or superseded, or somebody deletes it.
    Cancelled,
    /// The parent ends, in whatever way.
    Any,
    /// The parent is dead. Of a batch: one of its runs is.
    Death,
}

impl Condition {
    /// Whether a parent that has ended like this meets the condition. If not, the condition can only be met after a replay of the parent.
    pub const fn is_met_by(self, end: RunEnd) -> bool {
        match self {
            Self::Success => matches!(end, RunEnd::Succeeded),
            Self::Failure => {
                matches!(end, RunEnd::Dead | RunEnd::Discarded | RunEnd::Expired | RunEnd::Incomplete)
            }
            Self::Cancelled => matches!(end, RunEnd::Cancelled | RunEnd::Superseded),
            Self::Any => true,
            Self::Death => matches!(end, RunEnd::Dead),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancellation",
            Self::Any => "end",
            Self::Death => "death",
        })
    }
}

/// That a run waits for another one, its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Edge {
    /// The run that has to end.
    pub parent: RunId,
    /// How it has to end.
    #[serde(default)]
    pub on: Condition,
    /// The parent has ended in another way, so the dependent run is cancelled. It comes back if the parent is replayed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unmet: bool,
    /// The output of the parent becomes this part of the argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
}

/// Which part of the argument of a run the output of its parent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Input {
    /// The argument.
    Whole,
    /// The element of this index, from zero, of an argument that is a list or a tuple.
    Item(u32),
}

impl Edge {
    /// Waits for this run.
    pub const fn new(parent: RunId, on: Condition) -> Self {
        Self { parent, on, is_unmet: false, input: None }
    }

    /// Waits for the success of this run, and takes its output as this part of the argument.
    pub const fn input(parent: RunId, input: Input) -> Self {
        Self { input: Some(input), ..Self::new(parent, Condition::Success) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_meets_one_condition_beside_any() {
        for end in RunEnd::ALL {
            let met =
                [Condition::Success, Condition::Failure, Condition::Cancelled].map(|on| on.is_met_by(end));
            assert_eq!(met.iter().filter(|met| **met).count(), 1, "{end}");
            assert!(Condition::Any.is_met_by(end));
        }
    }
}
