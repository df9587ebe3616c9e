//! The rows of claims.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::place::Id;
use super::run::RunRow;
use super::trigger::TriggerRow;
use crate::job::{CancelReason, ExecutionId};
use crate::key::TriggerKey;
use crate::run::{Gates, Noted, RunId};
use crate::trigger::Trigger;

impl Id<ClaimRow> {
    /// The row of a claim; whether it is that of the same session, the row says.
    pub const fn of(claim: ExecutionId) -> Self {
        Self::new(claim.count())
    }
}

/// The trigger or run that a claim is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A trigger, which is to be fired.
    Trigger(Id<TriggerRow>),
    /// A run. Claiming it is starting it, so its claim is always fired.
    Run(RunId),
}

/// A claim of a node, fired or not.
#[derive(Debug, Clone)]
pub struct ClaimRow {
    /// The node that has it.
    pub session: u64,
    /// The claimed trigger or run.
    pub item: Item,
    /// As it was claimed; of a run, what its attempt shows as its trigger.
    pub trigger: Arc<Trigger>,
    /// As it was claimed; where the row has another one, the claim is that of a trigger that is gone. 0 for a run.
    pub birth: u64,
    /// Of which triggers this is a run. 0 for a stored run that its trigger does not count.
    pub lineage: u64,
    /// As it was claimed; where the row has another one, the claim is void.
    pub epoch: u32,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    /// It holds its job, which allows one run at a time.
    pub exclusive: bool,
    /// Its job runs.
    pub fired: bool,
    /// It is one of those that its trigger [counts](TriggerRow::running).
    pub counted: bool,
    /// Something depends on the end of its run, so that a rule has to look at the row of the run then.
    pub linked: bool,
    /// When it lapses, unless it is fired. A driver that watches this by other means may read it as the end of all time.
    pub lapse: DateTime<Utc>,
    /// When it was fired; before that, when it was claimed. A driver may derive the latter from the number of the claim.
    pub since: DateTime<Utc>,
    /// When the firing was due by the schedule.
    pub due: DateTime<Utc>,
    /// Somebody has removed its run: its end changes no row, also if a run of the same id has been stored since. Of a firing: somebody
    /// has removed the trigger, and the occurrence is not tried again.
    pub run_removed: bool,
    /// What the firing of a trigger has noted, which has no row of a run yet.
    pub noted: Option<Box<Noted>>,
    /// It is to be stopped.
    pub cancel: Option<CancelReason>,
    /// It holds slots of these gates. A driver gives them back when the claim is removed, whatever the reason.
    pub gates: Gates,
}

impl ClaimRow {
    /// The trigger that is claimed; none for a run.
    pub const fn trigger_id(&self) -> Option<Id<TriggerRow>> {
        match self.item {
            Item::Trigger(trigger) => Some(trigger),
            Item::Run(_) => None,
        }
    }

    /// Whether this is a run of that trigger, or of one whose place it has taken; also one that tries an occurrence again, if the
    /// trigger counts it.
    pub fn is_run_of(&self, (id, trigger): (Id<TriggerRow>, &TriggerKey), lineage: u64) -> bool {
        let is_of = match self.item {
            Item::Trigger(item) => item == id,
            Item::Run(_) => self.counted && self.trigger.key() == trigger,
        };
        self.fired && is_of && self.lineage == lineage
    }
}

/// Whose time has come.
#[derive(Debug, Clone, Copy)]
pub enum Alarm {
    /// Its pause ends, or its run is to make room.
    Trigger(Id<TriggerRow>),
    /// A claim has lapsed.
    Claim(Id<ClaimRow>),
    /// The pause of a group, or of all, ends.
    Pauses,
    /// A boosted run is due, a run expires, or the time for which an ended run is kept is over.
    Run(Id<RunRow>),
    /// No run of this batch is pending, or the first is dead.
    Batch(RunId),
    /// More runs have ended like this one than are kept, and this is one of the oldest.
    Excess(Id<RunRow>),
}
