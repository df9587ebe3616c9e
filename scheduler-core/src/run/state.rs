//! The states of a run and the steps between them, as one table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a run. A store keeps three of them in the record of the run. It derives *claimed* from the claim, because a
/// claim does not write the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The run is due now or later.
    Waiting,
    /// A node runs it.
    Claimed,
    /// The run waits for other runs or for a person.
    Held,
    /// Nothing happens any more by itself.
    Ended,
}

/// How a run has ended for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunEnd {
    /// An attempt succeeded.
    Succeeded,
    /// The job has said that nobody needs to look at its error.
    Discarded,
    /// An attempt failed, and no retry is left. The run can be replayed.
    Dead,
    /// Somebody has cancelled the run.
    Cancelled,
    /// The run was not claimed in time.
    Expired,
    /// Another run has taken its place.
    Superseded,
    /// All runs of the batch have ended, and not all have succeeded.
    Incomplete,
}

impl RunEnd {
    /// Every way to end.
    pub const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Discarded,
        Self::Dead,
        Self::Cancelled,
        Self::Expired,
        Self::Superseded,
        Self::Incomplete,
    ];

    /// The word for it, as shown and stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Discarded => "discarded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Incomplete => "incomplete",
        }
    }
}

impl fmt::Display for RunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A step that changes the state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunStep {
    /// A node takes the run. Claiming is starting: the attempt counts from here.
    Claim,
    /// The node gives the run back without having run it. The attempt does not count.
    GiveBack,
    /// The attempt has ended, and the run with it.
    End(RunEnd),
    /// The attempt has ended, and the run waits for the next one.
    Again,
    /// Somebody cancels a run that is not claimed. A claimed run is asked to stop instead, and its attempt decides.
    Cancel,
    /// Nobody has claimed the run in time.
    Expire,
    /// Another run takes its place.
    Supersede,
    /// Somebody holds the run.
    Hold,
    /// Nothing holds the run any more.
    Release,
    /// Somebody runs an ended run again, under the same id.
    Replay,
}

impl RunState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Claimed, Self::Held, Self::Ended];

    /// The state after `step`; none if the step is refused in this state and changes nothing.
    pub const fn after(self, step: RunStep) -> Option<Self> {
        use RunState::{Claimed, Ended, Held, Waiting};
        match (self, step) {
            (Waiting, RunStep::Claim) => Some(Claimed),
            (Claimed, RunStep::GiveBack | RunStep::Again)
            | (Held, RunStep::Release)
            | (Ended, RunStep::Replay) => Some(Waiting),
            (Claimed, RunStep::End(_))
            | (Waiting | Held, RunStep::Cancel | RunStep::Expire | RunStep::Supersede) => Some(Ended),
            (Waiting, RunStep::Hold) => Some(Held),
            _ => None,
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Claimed => "claimed",
            Self::Held => "held",
            Self::Ended => "ended",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunState::{Claimed, Ended, Held, Waiting};

    const STEPS: [RunStep; 10] = [
        RunStep::Claim,
        RunStep::GiveBack,
        RunStep::End(RunEnd::Succeeded),
        RunStep::Again,
        RunStep::Cancel,
        RunStep::Expire,
        RunStep::Supersede,
        RunStep::Hold,
        RunStep::Release,
        RunStep::Replay,
    ];

    /// Each pair of state and step, in the order above; `None` is a refusal.
    #[test]
    fn every_pair_is_decided() {
        let (waiting, ended) = (Some(Waiting), Some(Ended));
        let rows = [
            (Waiting, [Some(Claimed), None, None, None, ended, ended, ended, Some(Held), None, None]),
            (Claimed, [None, waiting, ended, waiting, None, None, None, None, None, None]),
            (Held, [None, None, None, None, ended, ended, ended, None, waiting, None]),
            (Ended, [None, None, None, None, None, None, None, None, None, waiting]),
        ];
        for (state, expected) in rows {
            assert_eq!(STEPS.map(|step| state.after(step)), expected, "from {state}");
        }
    }

    #[test]
    fn every_end_is_stored_by_the_word_that_is_shown() {
        for end in RunEnd::ALL {
            assert_eq!(serde_json::to_value(end).unwrap(), end.word());
        }
    }
}
