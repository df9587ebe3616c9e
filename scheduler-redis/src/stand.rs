//! Where triggers and runs stand that wait.

use scheduler_core::JobKey;
use scheduler_core::run::Gates;
use scheduler_core::store::rows::{Place, RunRow, TriggerRow};
use scheduler_core::store::view::Names as _;

use crate::codec;
use crate::names::Names;
use crate::ops::{lane_name, text};

/// Where a trigger or a run stands: its lane, time, member, and its job if that allows one run at a time.
#[derive(Debug, PartialEq)]
pub(crate) struct Stand {
    pub(crate) lane: String,
    pub(crate) time: i64,
    pub(crate) member: Vec<u8>,
    pub(crate) alone: Option<String>,
    /// Where it may wait in place of its lane.
    pub(crate) gates: Gates,
}

impl Stand {
    /// What stands there.
    pub(crate) fn name(&self) -> Vec<u8> {
        self.member.get(4..).unwrap_or_default().to_vec()
    }

    /// `f` and its fair key; nothing for what has none.
    pub(crate) fn fair(&self) -> Vec<u8> {
        fair_word(&self.gates)
    }

    /// Whether adding it to its lane replaces the other one, since only the time differs.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        self.alone.is_none()
            && other.alone.is_none()
            && (&self.lane, &self.member) == (&other.lane, &other.member)
    }
}

pub(crate) fn stand_of(row: &TriggerRow, names: &Names) -> Option<Stand> {
    Some(stand_at(row.place()?, &codec::key(row.trigger.key()), row.trigger.job(), names))
}

pub(crate) fn stand_of_run(row: &RunRow, names: &Names) -> Option<Stand> {
    Some(Stand { gates: row.gates(), ..stand_at(row.place()?, &codec::run(row.id), &row.job, names) })
}

/// `f` and the fair key of a run; nothing for one without a key.
pub(crate) fn fair_word(gates: &Gates) -> Vec<u8> {
    gates.fair().map(|key| text(format!("f{key}"))).unwrap_or_default()
}

/// What stands in a lane: the higher priority first, then by name.
pub(crate) fn member(priority: i32, name: &str) -> Vec<u8> {
    let rank = (i64::from(i32::MAX) - i64::from(priority)) as u32;
    [&rank.to_be_bytes()[..], name.as_bytes()].concat()
}

fn stand_at(place: Place, name: &str, job: &JobKey, names: &Names) -> Stand {
    Stand {
        lane: lane_name(&names.lane_of(place.lane)),
        time: place.at.timestamp_millis(),
        member: member(place.rank.0, name),
        alone: place.exclusive.then(|| codec::key(job)),
        gates: Gates::default(),
    }
}
