//! What the rules ask of a view.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::parts::{Members, Missing, Names, Set};
use super::transaction::View;
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::store::NamedCalendar;
use crate::store::admin::{GroupKind, Mark, RunRecord, Selection, TriggerQuery};
use crate::store::rows::*;

impl<N> Driver for View<N> {
    type Missing = Missing;
}

macro_rules! table {
    ($row:ty, $shelf:ident) => {
        impl<N> Table<$row> for View<N> {
            fn get(&mut self, id: Id<$row>) -> Result<Option<&$row>, Missing> {
                let Some(cached) = self.$shelf.look(id) else {
                    self.wants.$shelf.insert(id);
                    return Err(Missing);
                };
                Ok(cached.now.as_ref())
            }

            fn edit<A>(
                &mut self,
                id: Id<$row>,
                edit: impl FnOnce(&mut $row) -> A,
            ) -> Result<Option<A>, Missing> {
                let Some(cached) = self.$shelf.look(id) else {
                    self.wants.$shelf.insert(id);
                    return Err(Missing);
                };
                cached.written |= cached.now.is_some();
                Ok(cached.now.as_mut().map(edit))
            }

            fn remove(&mut self, id: Id<$row>) -> Result<(), Missing> {
                self.$shelf.write(id, None);
                Ok(())
            }
        }
    };
}

table!(JobRow, jobs);
table!(TriggerRow, triggers);
table!(ClaimRow, claims);

fn is_selected(what: &Selection, row: &TriggerRow) -> bool {
    match what {
        Selection::Trigger(key) => row.trigger.key() == key,
        Selection::Job(job) => row.trigger.job() == job,
        Selection::TriggerGroup(groups) => groups.matches(row.trigger.key().group()),
        Selection::JobGroup(groups) => groups.matches(row.trigger.job().group()),
        Selection::All => true,
    }
}

impl<N: Names> Rows for View<N> {
    fn add_job(&mut self, row: JobRow) -> Id<JobRow> {
        let id = self.names.job(row.detail.key());
        self.jobs.write(id, Some(row));
        id
    }

    fn add_trigger(&mut self, row: TriggerRow) -> Id<TriggerRow> {
        let id = self.names.trigger(row.trigger.key());
        self.triggers.write(id, Some(row));
        id
    }

    fn job(&mut self, key: &JobKey) -> Result<Option<Id<JobRow>>, Missing> {
        let id = self.names.job(key);
        Ok(self.get(id)?.is_some_and(|row| row.detail.key() == key).then_some(id))
    }

    fn trigger(&mut self, key: &TriggerKey) -> Result<Option<Id<TriggerRow>>, Missing> {
        let id = self.names.trigger(key);
        Ok(self.get(id)?.is_some_and(|row| row.trigger.key() == key).then_some(id))
    }

    fn lane(&mut self, group: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane {
        self.names.lane(group, job_type)
    }

    fn number(&mut self) -> u64 {
        self.names.number()
    }

    fn show(&mut self, trigger: Id<TriggerRow>) -> Result<(), Missing> {
        self.shown.push(trigger);
        Ok(())
    }

    fn free(&mut self, job: &JobKey) -> Result<(), Missing> {
        self.freed.push(job.clone());
        Ok(())
    }

    fn wake(&mut self) {
        self.woken = true;
    }

    fn unfired(&mut self, trigger: Id<TriggerRow>) -> Result<Option<Id<ClaimRow>>, Missing> {
        Ok(self.claims(|_, claim| !claim.fired && claim.item == trigger)?.pop())
    }

    fn claims(
        &mut self,
        wanted: impl Fn(Id<ClaimRow>, &ClaimRow) -> bool,
    ) -> Result<Vec<Id<ClaimRow>>, Missing> {
        let mut found = Vec::new();
        for id in self.set(&Set::Claims)?.claims {
            if self.get(id)?.is_some_and(|claim| wanted(id, claim)) {
                found.push(id);
            }
        }
        Ok(found)
    }

    fn cancelled(&mut self, session: u64) -> Result<Vec<(ExecutionId, CancelReason)>, Missing> {
        let mut found = Vec::new();
        for id in self.claims(|_, claim| claim.session == session)? {
            let reason = self.get(id)?.and_then(|claim| claim.cancel);
            found.extend(reason.map(|reason| (ExecutionId::new(session, id.0), reason)));
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        Ok(found)
    }

    fn alarms(&mut self, now: DateTime<Utc>) -> Result<Vec<Alarm>, Missing> {
        let pauses = self.rest()?.pauses.next_ending().filter(|end| *end <= now).map(|_| Alarm::Pauses);
        let Members { triggers, claims, .. } = self.set(&Set::Alarms(now))?;
        let triggers = triggers.into_iter().map(Alarm::Trigger);
        Ok(pauses.into_iter().chain(triggers).chain(claims.into_iter().map(Alarm::Claim)).collect())
    }

    fn selected(&mut self, what: &Selection) -> Result<Vec<Id<TriggerRow>>, Missing> {
        if let Selection::Trigger(key) = what {
            return Ok(self.trigger(key)?.into_iter().collect());
        }
        let mut found = Vec::new();
        for id in self.set(&Set::Triggers(what.clone()))?.triggers {
            if self.get(id)?.is_some_and(|row| is_selected(what, row)) {
                found.push(id);
            }
        }
        let new = self.triggers.written().filter(|(_, row)| is_selected(what, row)).map(|(id, _)| id);
        let new: Vec<_> = new.filter(|id| !found.contains(id)).collect();
        found.extend(new);
        Ok(found)
    }

    fn pauses(&mut self) -> Result<&Pauses, Missing> {
        Ok(&self.rest()?.pauses)
    }

    fn edit_pauses<A>(&mut self, edit: impl FnOnce(&mut Pauses) -> A) -> Result<A, Missing> {
        self.edit_rest(|rest| edit(&mut rest.pauses))
    }

    fn calendar(&mut self, name: &str) -> Result<Option<Arc<dyn Calendar>>, Missing> {
        Ok(self.rest()?.calendars.get(name).cloned())
    }

    fn calendars(&mut self) -> Result<Vec<NamedCalendar>, Missing> {
        let calendars = &self.rest()?.calendars;
        Ok(calendars.iter().map(|(name, calendar)| (name.clone(), calendar.clone())).collect())
    }

    fn set_calendar(&mut self, name: Arc<str>, calendar: Option<Arc<dyn Calendar>>) -> Result<(), Missing> {
        self.edit_rest(|rest| match calendar {
            Some(calendar) => drop(rest.calendars.insert(name, calendar)),
            None => drop(rest.calendars.remove(&name)),
        })
    }

    fn user_of(&mut self, calendar: &str) -> Result<Option<TriggerKey>, Missing> {
        for id in self.selected(&Selection::All)? {
            let user = self.get(id)?.filter(|row| row.trigger.calendar() == Some(calendar));
            if let Some(row) = user {
                return Ok(Some(row.trigger.key().clone()));
            }
        }
        Ok(None)
    }

    fn mark(&mut self, name: &Arc<str>) -> Result<Option<Mark>, Missing> {
        let Some((read, _)) = self.marks.get(name) else {
            self.wants.marks.insert(name.clone());
            return Err(Missing);
        };
        self.marks_looked.insert(name.clone());
        Ok(self.marks_now.get(name).or(read.as_ref()).cloned())
    }

    fn set_mark(&mut self, name: Arc<str>, mark: Mark) {
        self.marks_now.insert(name, mark);
    }

    fn keep(&mut self, record: Box<RunRecord>) {
        self.kept.push(*record);
    }

    fn groups(&mut self, kind: GroupKind) -> Result<BTreeMap<Arc<str>, usize>, Missing> {
        let mut groups = BTreeMap::new();
        let mut count = |group: &str| *groups.entry(Arc::from(group)).or_default() += 1;
        match kind {
            GroupKind::Jobs => self.jobs(&[], |_| true)?.iter().for_each(|job| count(job.key().group())),
            GroupKind::Triggers => {
                for id in self.selected(&Selection::All)? {
                    self.get(id)?.into_iter().for_each(|row| count(row.trigger.key().group()));
                }
            }
        }
        Ok(groups)
    }

    fn jobs(
        &mut self,
        keys: &[JobKey],
        wanted: impl Fn(&JobDetail) -> bool,
    ) -> Result<Vec<Arc<JobDetail>>, Missing> {
        let ids = if keys.is_empty() {
            self.set(&Set::Jobs)?.jobs
        } else {
            keys.iter().map(|key| self.names.job(key)).collect()
        };
        let mut found = Vec::new();
        for id in ids {
            let row = self.get(id)?.filter(|row| keys.is_empty() || keys.contains(row.detail.key()));
            found.extend(row.filter(|row| wanted(&row.detail)).map(|row| row.detail.clone()));
        }
        Ok(found)
    }

    fn triggers(
        &mut self,
        query: &TriggerQuery,
        wanted: impl Fn(Id<TriggerRow>, &TriggerRow) -> bool,
    ) -> Result<Vec<Id<TriggerRow>>, Missing> {
        let ids = match &query.job {
            _ if !query.keys.is_empty() => {
                let mut ids = Vec::new();
                for key in &query.keys {
                    ids.extend(self.trigger(key)?);
                }
                ids
            }
            Some(job) => self.selected(&Selection::Job(job.clone()))?,
            None => self.selected(&Selection::All)?,
        };
        let mut found = Vec::new();
        for id in ids {
            if self.get(id)?.is_some_and(|row| wanted(id, row)) {
                found.push(id);
            }
        }
        Ok(found)
    }
}
