//! The phases in the life of a scheduler.

use std::fmt;

use serde::Serialize;

/// In which phase of its life a scheduler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerState {
    /// Built and not yet started.
    Created,
    /// Fires triggers.
    Running,
    /// Takes no new work; what runs goes on.
    Standby,
    /// Takes no new work and waits for what runs.
    ShuttingDown,
    /// Over; it cannot be started again.
    Shutdown,
}

impl SchedulerState {
    /// Whether it is over, or about to be.
    pub(crate) fn ends(&self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Shutdown)
    }
}

impl fmt::Display for SchedulerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Standby => "standby",
            Self::ShuttingDown => "shutting down",
            Self::Shutdown => "shut down",
        })
    }
}
