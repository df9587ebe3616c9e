//! The states of a trigger and the steps between them, as one table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a store keeps about a trigger. Everything else is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredState {
    /// Waits for its next fire time, or for its job to be free.
    Waiting,
    /// A node holds a claim that it has not fired yet.
    Acquired,
    /// Somebody has paused it.
    Paused,
    /// It has no further fire time; it goes when its last execution has ended.
    Complete,
    /// It cannot be run until somebody resets it.
    Error,
}

/// What happens to a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A node claims the firing.
    Acquire,
    /// The claim is exchanged for the right to run; there is a further fire time.
    Fire,
    /// The same, and there is no further fire time.
    FireLast,
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
            (Acquired, Step::FireLast) => Some(Complete),
            // Pausing takes the claim away: the firing that it stood for is refused.
            (Waiting | Acquired, Step::Pause) => Some(Paused),
            (Waiting | Acquired | Paused, Step::Fail) => Some(Error),
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
    /// executing, blocked, complete, normal (that of Quartz.NET 4).
    pub const fn of(stored: StoredState, executing: bool, job_busy: bool) -> Self {
        match stored {
            StoredState::Error => Self::Error,
            StoredState::Paused => Self::Paused,
            _ if executing => Self::Executing,
            StoredState::Complete => Self::Complete,
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

    const STEPS: [Step; 9] = [
        Step::Acquire,
        Step::Fire,
        Step::FireLast,
        Step::Release,
        Step::Pause,
        Step::Resume,
        Step::Fail,
        Step::Reset,
        Step::Finish,
    ];

    /// Each pair of state and step; a dash is a refusal.
    #[test]
    fn every_pair_is_decided() {
        let rows: [(StoredState, [Option<StoredState>; 9]); 5] = [
            (
                Waiting,
                [Some(Acquired), None, None, None, Some(Paused), None, Some(Error), None, Some(Complete)],
            ),
            (
                Acquired,
                [
                    None,
                    Some(Waiting),
                    Some(Complete),
                    Some(Waiting),
                    Some(Paused),
                    None,
                    Some(Error),
                    None,
                    Some(Complete),
                ],
            ),
            (Paused, [None, None, None, None, None, Some(Waiting), Some(Error), None, Some(Complete)]),
            (Complete, [None; 9]),
            (Error, [None, None, None, None, None, None, None, Some(Waiting), Some(Complete)]),
        ];
        for (state, expected) in rows {
            assert_eq!(STEPS.map(|step| state.after(step)), expected, "from {state:?}");
        }
    }
}
