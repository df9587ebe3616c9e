//! Caps that somebody has set in place of those of runs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::run::{Gate, GateId};
use crate::store::limits::LimitOverride;

/// Caps that somebody has set.
#[derive(Debug, Default)]
pub(super) struct Caps {
    pub(super) set: BTreeMap<GateId, LimitOverride>,
    /// Limits whose cap has changed for all keys, and the last of their gates that was looked at since.
    pub(super) changed: BTreeMap<GateId, Option<GateId>>,
}

impl Caps {
    /// What holds for this gate: its own, or that of all keys.
    pub(super) fn of(&self, id: &GateId) -> Option<&LimitOverride> {
        if self.set.is_empty() {
            return None;
        }
        self.set.get(id).or_else(|| self.set.get(id.name()))
    }

    /// The gate with the cap that holds for it.
    pub(super) fn capped<'a>(&self, gate: &'a Gate) -> Cow<'a, Gate> {
        self.of(&gate.id).map_or(Cow::Borrowed(gate), |set| Cow::Owned(gate.capped(set.cap)))
    }

    /// Whether gates are still to be looked at.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.changed.is_empty()
    }
}
