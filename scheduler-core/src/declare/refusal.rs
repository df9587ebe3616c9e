//! Declared triggers that would never fire keep a scheduler from starting, as a call that schedules one is refused.

use chrono::{DateTime, Utc};

use super::reconcile::Declared;
use crate::client::Calendars;
use crate::engine::Core;
use crate::error::{Error, Result};
use crate::store::{Queries, TriggerQuery, TriggerStatus};

impl Core {
    /// Refuses declared triggers that would never fire, all of them at once. One that is stored already and fires at the
    /// same times has fired or was told not to, and stays as it is.
    pub(crate) async fn refuse_ended(&self, declared: &[Declared], calendars: &Calendars) -> Result<()> {
        let now = self.clock.now();
        let mut ended = Vec::new();
        for declared in declared {
            ended.extend(declared.refusal(calendars, now)?.map(|problem| (declared, problem)));
        }
        if ended.is_empty() {
            return Ok(());
        }
        let keys = ended.iter().map(|(declared, _)| declared.trigger.key().clone()).collect();
        let stored = self.store.all_triggers(TriggerQuery { keys, ..TriggerQuery::default() }).await?;
        ended.retain(|(declared, _)| !stored.iter().any(|status| declared.is_stored_as(status)));
        if ended.is_empty() {
            return Ok(());
        }
        let problems: Vec<_> = ended.into_iter().map(|(_, problem)| problem).collect();
        Err(Error::config(problems.join("\n")))
    }
}

impl Declared {
    /// Why it would never fire, and where it is declared.
    fn refusal(&self, calendars: &Calendars, now: DateTime<Utc>) -> Result<Option<String>> {
        let first = calendars.first(&self.trigger)?;
        let problem = self.trigger.never_fires(&first, now);
        let place = self.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        Ok(problem.map(|problem| format!("{place}{problem}")))
    }

    fn is_stored_as(&self, status: &TriggerStatus) -> bool {
        let stored = &status.trigger;
        let beside = || self.beside(stored).is_ok_and(|declared| declared.same_timing(stored));
        stored.key() == self.trigger.key() && beside()
    }
}
