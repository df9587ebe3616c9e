//! What stands in lanes and indexes by its name: a trigger or a run.

use chrono::{DateTime, Utc};
use scheduler_core::run::RunEnd;
use scheduler_core::store::rows::{Rank, RunRow, TriggerRow};
use scheduler_core::store::view::{Names as _, record};

use crate::codec;
use crate::commit::{self, Stand, lane_name};
use crate::load::parts;
use crate::names::Names;
use crate::stand::{fair_word, member};

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Trigger,
    Run,
}

impl Named {
    pub(super) fn by(name: &str) -> Self {
        if codec::read_run(name).is_some() { Self::Run } else { Self::Trigger }
    }

    /// The hash of its records.
    pub(super) const fn hash(self) -> &'static str {
        match self {
            Self::Trigger => "triggers",
            Self::Run => "runs",
        }
    }

    /// As a fault says it.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Run => "run",
        }
    }
}

/// The row of a trigger or a run.
pub(super) enum Row {
    Trigger(TriggerRow),
    Run(RunRow),
}

impl Row {
    /// None unless the record can be read and is that of this name.
    pub(super) fn read(named: Named, name: &str, whole: &[u8], names: &mut Names) -> Option<Self> {
        let (_, text) = parts(whole)?;
        let row = match named {
            // Another program may know the schedule of a trigger.
            Named::Trigger => record::read_trigger(text, names, &mut ())
                .or_else(|_| record::read_place(text, names))
                .map(Self::Trigger),
            Named::Run => record::read_run(text, names).map(Self::Run),
        };
        row.ok().filter(|row| row.name() == name)
    }

    /// None for a run.
    pub(super) const fn trigger(&self) -> Option<&TriggerRow> {
        match self {
            Self::Trigger(row) => Some(row),
            Self::Run(_) => None,
        }
    }

    /// None for a trigger.
    pub(super) const fn run(&self) -> Option<&RunRow> {
        match self {
            Self::Trigger(_) => None,
            Self::Run(row) => Some(row),
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Trigger(row) => codec::key(row.trigger.key()),
            Self::Run(row) => codec::run(row.id),
        }
    }

    /// `f` and its fair key; nothing for what has none.
    pub(super) fn fair(&self) -> Vec<u8> {
        self.run().map(|run| fair_word(&run.gates())).unwrap_or_default()
    }

    /// The key of its job.
    pub(super) fn job(&self) -> String {
        match self {
            Self::Trigger(row) => codec::key(row.trigger.job()),
            Self::Run(row) => codec::key(&row.job),
        }
    }

    pub(super) const fn is_exclusive(&self) -> bool {
        match self {
            Self::Trigger(row) => row.exclusive,
            Self::Run(row) => row.exclusive,
        }
    }

    /// Where it stands among the runs that have ended.
    pub(super) fn rank(&self) -> Option<(RunEnd, Rank)> {
        match self {
            Self::Trigger(_) => None,
            Self::Run(row) => row.rank(),
        }
    }

    /// The entries by which it is found, beside its name.
    pub(super) fn tags(&self) -> Vec<String> {
        match self {
            Self::Trigger(_) => Vec::new(),
            Self::Run(row) => row.tags().map(|tag| codec::tag(&tag) + &self.name()).collect(),
        }
    }

    /// When a rule is to look at it.
    pub(super) fn alarm(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Trigger(row) => row.alarm(),
            Self::Run(row) => row.alarm(),
        }
    }

    /// Where it stands, if nobody has claimed it.
    pub(super) fn stand(&self, names: &Names) -> Option<Stand> {
        match self {
            Self::Trigger(row) => commit::stand_of(row, names),
            Self::Run(row) => commit::stand_of_run(row, names),
        }
    }

    /// The only lane in which it may stand, and its member there.
    pub(super) fn lane(&self, names: &Names) -> (String, Vec<u8>) {
        let (lane, priority) = match self {
            Self::Trigger(row) => (row.lane, row.trigger.priority()),
            Self::Run(row) => (row.lane, row.priority),
        };
        (lane_name(&names.lane_of(lane)), member(priority, &self.name()))
    }
}
