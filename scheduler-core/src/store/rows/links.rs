//! What a run has to do with other runs, and with batches, as its row has it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::run::{Edge, RunId};
use crate::store::batches::{InBatch, NewBatch};

/// What a run has to do with its parents and children. Most runs have neither.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Links {
    /// The parents for which it waits, and those whose ends keep it from running.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parents: Vec<Edge>,
    /// In milliseconds from the end of the last parent.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) delay: u64,
    /// It has waited for a parent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_child: bool,
    /// A run waits for its end, or has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_parent: bool,
    /// A run is cancelled since it has not ended as it has to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_unmet: bool,
    /// It was cancelled before an output came that is a part of its argument.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) lacks_input: bool,
    /// There are more children to be settled, or to be held again, than one step touches: a rule goes on with them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_more: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Links {
    /// None for a run without parents.
    pub(super) fn of(parents: Vec<Edge>, delay: Duration) -> Option<Self> {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        (!parents.is_empty()).then(|| Self { parents, delay, is_child: true, ..Self::default() })
    }

    pub(super) fn delay(&self) -> TimeDelta {
        let millis = i64::try_from(self.delay).ok();
        millis.and_then(TimeDelta::try_milliseconds).unwrap_or(TimeDelta::MAX)
    }
}

/// What a run has to do with batches. Most runs have nothing to do with any.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Batching {
    /// The batch that the run is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) member_of: Option<RunId>,
    /// The batch of whose end it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tells_of: Option<RunId>,
    /// Its batch was cancelled, and its node was asked to stop it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_asked: bool,
    /// The run is a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch: Option<Batch>,
}

/// The state of a batch, apart from its counters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Batch {
    /// In so many other batches.
    pub(super) depth: u32,
    /// Only its own runs add others.
    pub(super) is_sealed: bool,
    /// Nobody adds runs.
    pub(super) is_cancelled: bool,
    /// Not all of its runs know of that.
    pub(super) is_cancelling: bool,
    /// The run that waits for the first death.
    pub(super) on_death: Option<RunId>,
    /// It is cancelled at the first death.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stops_on_death: bool,
    /// It is cancelled then unless it is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) open_until: Option<DateTime<Utc>>,
    /// What its runs wait for, which is sealed together with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<RunId>,
    /// What the runs of the batches that it is in wait for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) starts_of_outer: Vec<RunId>,
}

impl Batching {
    /// None for a run that is no batch and in none.
    pub(super) fn of(member: Option<&InBatch>, batch: Option<&NewBatch>) -> Option<Self> {
        let batch = batch.map(|new| Batch {
            on_death: new.on_death,
            is_sealed: new.is_sealed,
            stops_on_death: new.stops_on_death,
            open_until: new.open_until,
            start: new.start,
            ..Batch::default()
        });
        let member_of = member.filter(|member| !member.is_callback).map(|member| member.batch);
        let tells_of = member.filter(|member| member.is_callback).map(|member| member.batch);
        let batching = Self { member_of, tells_of, is_asked: false, batch };
        (batching != Self::default()).then_some(batching)
    }
}
