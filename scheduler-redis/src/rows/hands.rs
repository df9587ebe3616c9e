//! What the nodes of this process have in hand, so that what they fire and end need not be loaded.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::{ClaimRow, Id, TriggerRow};
use scheduler_core::store::view::{Names as _, Version, View};

use super::names::Names;

/// A row of a trigger as it is in no transaction.
#[derive(Debug, Clone)]
pub(crate) struct Trigger {
    pub(crate) row: TriggerRow,
    pub(crate) job_type: Arc<str>,
    pub(crate) version: Version,
}

impl Trigger {
    pub(crate) fn of(row: TriggerRow, names: &Names, version: Version) -> Self {
        let job_type = names.lane_of(row.lane).1;
        Self { row, job_type, version }
    }

    /// Numbered by the names of a transaction.
    fn in_view(&self, names: &mut Names) -> (Id<TriggerRow>, TriggerRow) {
        let mut row = self.row.clone();
        row.lane = names.lane(row.trigger.execution_group(), &self.job_type);
        row.job = names.job(row.trigger.job());
        (names.trigger(row.trigger.key()), row)
    }
}

/// A claim, fired or not.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) claim: ClaimRow,
    pub(crate) version: Version,
    /// As it was claimed, and after its firing as far as is known.
    pub(crate) trigger: Trigger,
}

impl Held {
    /// As far as is known here. Where that is out of date the commit is refused.
    pub(crate) fn load(&self, execution: ExecutionId, view: &mut View<Names>) {
        let home = home_of(execution);
        let id = view.names().claim(execution, &home);
        let (item, row) = self.trigger.in_view(view.names());
        let mut claim = self.claim.clone();
        claim.item = item;
        view.load_claim(id, Some(claim), self.version);
        view.load_trigger(item, Some(row), self.trigger.version);
    }
}

pub(crate) fn home_of(execution: ExecutionId) -> Arc<str> {
    format!("cl:{}", execution.session()).into()
}

/// The claims of all nodes of this process.
#[derive(Debug, Default)]
pub(crate) struct Hands(HashMap<ExecutionId, Held>);

impl Hands {
    pub(crate) fn hold(&mut self, execution: ExecutionId, held: Held) {
        self.0.insert(execution, held);
    }

    pub(crate) fn get(&self, execution: ExecutionId) -> Option<&Held> {
        self.0.get(&execution)
    }

    pub(crate) fn let_go(&mut self, execution: ExecutionId) {
        self.0.remove(&execution);
    }

    /// Those that are not fired and have lapsed, and when the next one does.
    pub(crate) fn lapsed(&self, now: DateTime<Utc>) -> (Vec<ExecutionId>, Option<DateTime<Utc>>) {
        let open = self.0.iter().filter(|(_, held)| !held.claim.fired);
        let (lapsed, alive): (Vec<_>, Vec<_>) =
            open.map(|(id, held)| (*id, held.claim.lapse)).partition(|(_, lapse)| *lapse <= now);
        (lapsed.into_iter().map(|(id, _)| id).collect(), alive.into_iter().map(|(_, lapse)| lapse).min())
    }
}
