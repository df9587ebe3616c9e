//! Attempts of a run that were cut off, and whether it begins again after that.

use super::run::RunRow;
use crate::run::Delivery;

impl RunRow {
    /// Whether it begins again after an attempt that was cut off.
    pub fn delivery(&self) -> Delivery {
        self.cold.as_deref().map_or(Delivery::default(), |cold| cold.delivery)
    }

    /// How many of its attempts were interrupted since it was enqueued or replayed.
    pub fn interruptions(&self) -> u32 {
        self.cold.as_deref().map_or(0, |cold| cold.interruptions)
    }

    /// An attempt was interrupted.
    pub fn note_interruption(&mut self) {
        let cold = self.cold();
        cold.interruptions = cold.interruptions.saturating_add(1);
    }
}
