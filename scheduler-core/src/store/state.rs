//! The states of a trigger and the steps between them, as one table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a store keeps about a trigger. Everything else is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredState {
    /// Waits for its next fire time, or for its job to be free, or, without a further fire time, for its last run to end.
    Waiting,
    /// A node holds a claim that it has not fired yet.
    Acquired,
    /// Somebody has paused it.
    Paused,
    /// It was told to never fire again.
    Complete,
    /// It cannot be run until somebody resets it.
    Error,
}

/// What happens to a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A node claims the firing.
    Acquire,
    /// The claim is exchanged for the right to run.
    Fire,
    /// The claim is given back or has lapsed.
    Release,
    /// Somebody pauses it.
    Pause,
    /// Somebody resumes it.
    Resume,
    /// It is declared unable to run.
    Fail,
    /// Somebody clears the error.
    Reset,
    /// It is told to never fire again.
    Finish,
}

impl StoredState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Acquired, Self::Paused, Self::Complete, Self::Error];

    /// The state after `step`; none if the step is refused in this state and changes nothing.
    pub const fn after(self, step: Step) -> Option<Self> {
        use StoredState::{Acquired, Complete, Error, Paused, Waiting};
        match (self, step) {
            (Waiting, Step::Acquire) => Some(Acquired),
            (Acquired, Step::Fire | Step::Release) | (Paused, Step::Resume) | (Error, Step::Reset) => {
                Some(Waiting)
            }
            // Pausing takes the claim away: the firing that it stood for is refused.
            (Waiting | Acquired, Step::Pause) => Some(Paused),
            (Waiting | Acquired | Paused | Complete, Step::Fail) => Some(Error),
            (Waiting | Acquired | Paused | Error, Step::Finish) => Some(Complete),
            _ => None,
        }
    }
}

/// The state of a trigger as callers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TriggerState {
    /// Waits for its next fire time.
    Normal,
    /// Somebody has paused it.
    Paused,
    /// Its job is busy and allows one run at a time.
    Blocked,
    /// An execution of it is running.
    Executing,
    /// It will not fire again.
    Complete,
    /// It cannot be run until somebody resets it.
    Error,
}

impl TriggerState {
    /// The visible state: the most telling of what is stored and what is derived, in the order error, paused,
    /// executing, blocked, complete, normal (that of Quartz.NET 4). `exhausted` says that there is no further fire time.
    pub const fn of(stored: StoredState, exhausted: bool, executing: bool, job_busy: bool) -> Self {
        match stored {
            StoredState::Error => Self::Error,
            StoredState::Paused => Self::Paused,
            _ if executing => Self::Executing,
            StoredState::Complete => Self::Complete,
            StoredState::Waiting if exhausted => Self::Complete,
            _ if job_busy => Self::Blocked,
            StoredState::Waiting | StoredState::Acquired => Self::Normal,
        }
    }
}

impl fmt::Display for TriggerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Normal => "normal",
            Self::Paused => "paused",
            Self::Blocked => "blocked",
            Self::Executing => "executing",
            Self::Complete => "complete",
            Self::Error => "error",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoredState::{Acquired, Complete, Error, Paused, Waiting};

    const STEPS: [Step; 8] = [
        Step::Acquire,
        Step::Fire,
        Step::Release,
        Step::Pause,
        Step::Resume,
        Step::Fail,
        Step::Reset,
        Step::Finish,
    ];

    /// Each pair of state and step, in the order above; `None` is a refusal.
    #[test]
    fn every_pair_is_decided() {
        let (paused, failed, finished) = (Some(Paused), Some(Error), Some(Complete));
        let rows: [(StoredState, [Option<StoredState>; 8]); 5] = [
            (Waiting, [Some(Acquired), None, None, paused, None, failed, None, finished]),
            (Acquired, [None, Some(Waiting), Some(Waiting), paused, None, failed, None, finished]),
            (Paused, [None, None, None, None, Some(Waiting), failed, None, finished]),
            (Complete, [None, None, None, None, None, failed, None, None]),
            (Error, [None, None, None, None, None, None, Some(Waiting), finished]),
        ];
        for (state, expected) in rows {
            assert_eq!(STEPS.map(|step| state.after(step)), expected, "from {state:?}");
        }
    }
}
