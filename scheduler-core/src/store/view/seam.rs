//! What the rules ask of a view.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::parts::{Members, Missing, Names, Set};
use super::transaction::View;
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::run::{BatchCounts, GateId, Retention, RunId};
use crate::store::admin::{GroupKind, Mark, Selection, TriggerQuery};
use crate::store::firings::FiringRecord;
use crate::store::limits::LimitOverride;
use crate::store::rows::*;
use crate::store::runs::RunQuery;
use crate::store::{NamedCalendar, rules};

impl<N> Driver for View<N> {
    type Missing = Missing;
}

macro_rules! table {
    ($row:ty, $shelf:ident) => {
        impl<N> Table<$row> for View<N> {
            fn get(&mut self, id: Id<$row>) -> Result<Option<&$row>, Missing> {
                self.$shelf.look(id).ok_or_else(|| {
                    self.wants.$shelf.insert(id);
                    Missing
                })
            }

            fn edit<A>(
                &mut self,
                id: Id<$row>,
                edit: impl FnOnce(&mut $row) -> A,
            ) -> Result<Option<A>, Missing> {
                let row = self.$shelf.edit(id).ok_or_else(|| {
                    self.wants.$shelf.insert(id);
                    Missing
                })?;
                Ok(row.map(edit))
            }

            fn remove(&mut self, id: Id<$row>) -> Result<(), Missing> {
                self.$shelf.write(id, None);
                Ok(())
            }
        }
    };
}

table!(JobRow, jobs);
table!(RunRow, runs);
table!(ClaimRow, claims);

impl<N> Table<TriggerRow> for View<N> {
    fn get(&mut self, id: Id<TriggerRow>) -> Result<Option<&TriggerRow>, Missing> {
        self.triggers.look(id).ok_or_else(|| {
            self.wants.triggers.insert(id);
            Missing
        })
    }

    fn edit<A>(
        &mut self,
        id: Id<TriggerRow>,
        edit: impl FnOnce(&mut TriggerRow) -> A,
    ) -> Result<Option<A>, Missing> {
        let row = self.triggers.edit(id).ok_or_else(|| {
            self.wants.triggers.insert(id);
            Missing
        })?;
        let Some(row) = row else { return Ok(None) };
        let before = row.job;
        let answer = edit(row);
        let after = row.job;
        if after != before {
            self.join(before, -1);
            self.join(after, 1);
        }
        Ok(Some(answer))
    }

    /// Where it stands follows from the row, so that has to be known.
    fn remove(&mut self, id: Id<TriggerRow>) -> Result<(), Missing> {
        let Some(job) = self.get(id)?.map(|row| row.job) else { return Ok(()) };
        self.join(job, -1);
        self.triggers.write(id, None);
        Ok(())
    }
}

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
        let id = self.names().job(row.detail.key());
        self.jobs.write(id, Some(row));
        id
    }

    fn add_trigger(&mut self, row: TriggerRow) -> Id<TriggerRow> {
        let id = self.names().trigger(row.trigger.key());
        self.join(row.job, 1);
        self.triggers.write(id, Some(row));
        id
    }

    fn add_run(&mut self, row: RunRow) -> Id<RunRow> {
        let id = self.names().run(row.id);
        self.runs.write(id, Some(row));
        id
    }

    fn add_claim(&mut self, id: Id<ClaimRow>, row: ClaimRow) {
        self.claims.write(id, Some(row));
    }

    fn job(&mut self, key: &JobKey) -> Result<Option<Id<JobRow>>, Missing> {
        let id = self.names().job(key);
        Ok(self.get(id)?.is_some_and(|row| row.detail.key() == key).then_some(id))
    }

    fn trigger(&mut self, key: &TriggerKey) -> Result<Option<Id<TriggerRow>>, Missing> {
        let id = self.names().trigger(key);
        Ok(self.get(id)?.is_some_and(|row| row.trigger.key() == key).then_some(id))
    }

    fn run(&mut self, id: RunId) -> Result<Option<Id<RunRow>>, Missing> {
        let number = self.names().run(id);
        Ok(self.get(number)?.is_some_and(|row| row.id == id).then_some(number))
    }

    fn drop_run(&mut self, id: RunId) -> Result<(), Missing> {
        let id = self.names().run(id);
        self.runs.write(id, None);
        Ok(())
    }

    fn lane(&mut self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane {
        self.names().lane(queue, job_type)
    }

    fn number(&mut self) -> u64 {
        self.names().number()
    }

    fn show(&mut self, trigger: Id<TriggerRow>) -> Result<(), Missing> {
        // Where it stands follows from the row, so that has to be known.
        if self.get(trigger)?.is_some() {
            self.stand(trigger);
        }
        Ok(())
    }

    fn show_run(&mut self, run: Id<RunRow>) -> Result<(), Missing> {
        if self.get(run)?.is_some() {
            self.stand_run(run);
        }
        Ok(())
    }

    fn free(&mut self, job: &JobKey) -> Result<(), Missing> {
        self.set_free(job.clone());
        Ok(())
    }

    fn unbegin(&mut self, claim: Id<ClaimRow>) -> Result<(), Missing> {
        if let Some(row) = self.get_claim(claim)?.filter(|row| !row.gates.is_empty()).cloned() {
            self.give_back(&row);
        }
        Ok(())
    }

    fn shut(&mut self, gate: &GateId, until: DateTime<Utc>) -> Result<(), Missing> {
        self.shut_gate(gate.clone(), until);
        Ok(())
    }

    fn set_cap(&mut self, limit: &GateId, cap: Option<&LimitOverride>) -> Result<(), Missing> {
        self.note_cap(limit.clone(), cap.cloned());
        Ok(())
    }

    fn wake(&mut self) {
        self.call_others();
    }

    fn tell_end(&mut self, run: RunId) {
        self.has_ended(run);
    }

    fn members(&mut self, job: Id<JobRow>) -> Result<usize, Missing> {
        self.members_of(job)
    }

    fn has_several(&mut self, job: Id<JobRow>) -> Result<bool, Missing> {
        self.has_several_of(job)
    }

    fn unfired(&mut self, trigger: Id<TriggerRow>) -> Result<Option<Id<ClaimRow>>, Missing> {
        let mut found = None;
        for id in self.set(&Set::Unfired(trigger))?.claims {
            if self.get(id)?.is_some_and(|claim| !claim.fired && claim.item == Item::Trigger(trigger)) {
                found = Some(id);
                break;
            }
        }
        self.looked_for_unfired(trigger, found);
        Ok(found)
    }

    fn claim_of(&mut self, run: Id<RunRow>) -> Result<Option<Id<ClaimRow>>, Missing> {
        let Some(id) = self.get(run)?.map(|row| row.id) else { return Ok(None) };
        if self.runs.loaded(run).is_none() {
            // The transaction has just added it.
            return Ok(None);
        }
        let mut found = None;
        for claim in self.set(&Set::OfRun(run))?.claims {
            if self.get(claim)?.is_some_and(|claim| claim.item == Item::Run(id)) {
                found = Some(claim);
                break;
            }
        }
        self.looked_for_claim(run, found);
        Ok(found)
    }

    fn holder(&mut self, job: &JobKey) -> Result<Option<Id<ClaimRow>>, Missing> {
        let holds = |claim: &ClaimRow| claim.exclusive && claim.trigger.job() == job;
        let (mut stored, mut found) = (None, None);
        for id in self.set(&Set::Holder(job.clone()))?.claims {
            let is_held = self.get(id)?.is_some_and(holds);
            if is_held || self.claims.loaded(id).is_some_and(holds) {
                (stored, found) = (Some(id), is_held.then_some(id));
                break;
            }
        }
        self.looked_for_holder(job, stored);
        let mut added = self.claims.changes().filter(|change| change.before.is_none());
        Ok(found.or_else(|| added.find(|change| change.after.is_some_and(holds)).map(|change| change.id)))
    }

    fn some_tagged(&mut self, tag: &RunTag, most: usize) -> Result<(Vec<Id<RunRow>>, bool), Missing> {
        let loaded = self.set(&Set::Tagged(tag.clone(), most))?.runs;
        let may_be_more = loaded.len() >= most;
        if !may_be_more {
            self.looked_for_tag(tag, loaded.len());
        }
        let has_tag = |row: &RunRow| row.has_tag(tag);
        let found =
            rules::each(self, loaded, |view, id| Ok(view.get_run(id)?.is_some_and(has_tag).then_some(id)))?;
        let mut found: Vec<_> = found.into_iter().flatten().collect();
        let changed = self.runs.changes().filter(|change| change.after.is_some_and(has_tag));
        let new: Vec<_> = changed.map(|change| change.id).filter(|id| !found.contains(id)).collect();
        found.extend(new);
        Ok((found, may_be_more))
    }

    fn counts(&mut self, batch: RunId) -> Result<BatchCounts, Missing> {
        self.counts_of(batch)
    }

    fn tally(&mut self, batch: RunId, change: BatchCounts) {
        self.add_to_counts(batch, change);
    }

    fn heard(&mut self, batch: RunId) {
        self.hear(batch);
    }

    /// The commit checks only the claims that `wanted` lets pass. A claim changes nothing that `wanted` looks at, but for `fired`.
    fn claims(
        &mut self,
        wanted: impl Fn(Id<ClaimRow>, &ClaimRow) -> bool,
    ) -> Result<Vec<Id<ClaimRow>>, Missing> {
        self.wanted(&Set::Claims, wanted)
    }

    fn claims_of(&mut self, session: u64) -> Result<Vec<Id<ClaimRow>>, Missing> {
        self.wanted(&Set::ClaimsOf(session), |_, claim| claim.session == session)
    }

    fn cancelled(&mut self, session: u64) -> Result<Vec<(ExecutionId, CancelReason)>, Missing> {
        let mut found = Vec::new();
        for id in self.claims_of(session)? {
            let reason = self.get(id)?.and_then(|claim| claim.cancel);
            found.extend(reason.map(|reason| (ExecutionId::new(session, id.0), reason)));
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        Ok(found)
    }

    fn alarms(&mut self, now: DateTime<Utc>) -> Result<Vec<Alarm>, Missing> {
        let pauses = self.rest()?.pauses.next_ending().filter(|end| *end <= now).map(|_| Alarm::Pauses);
        let (due, excess) = (self.set(&Set::Alarms(now)), self.set(&Set::Excess));
        let Members { triggers, claims, runs, batches, .. } = due?;
        let mut alarms: Vec<_> = pauses.into_iter().chain(triggers.into_iter().map(Alarm::Trigger)).collect();
        alarms.extend(claims.into_iter().map(Alarm::Claim));
        alarms.extend(runs.into_iter().map(Alarm::Run));
        alarms.extend(batches.into_iter().map(Alarm::Batch));
        alarms.extend(excess?.runs.into_iter().map(Alarm::Excess));
        Ok(alarms)
    }

    fn retention(&self) -> Retention {
        self.naming().retention()
    }

    fn selected(&mut self, what: &Selection) -> Result<Vec<Id<TriggerRow>>, Missing> {
        if let Selection::Trigger(key) = what {
            return Ok(self.trigger(key)?.into_iter().collect());
        }
        if let Some(part) = self.part(what) {
            return self.of_selection(what, part);
        }
        let loaded = self.set(&Set::Triggers(what.clone()))?.triggers;
        if let Selection::Job(job) = what {
            let job = self.names().job(job);
            self.gone_by(job, loaded.len());
        }
        let mut found = self.of_selection(what, loaded)?;
        let added = self.triggers.changes().filter(|change| change.before.is_none());
        let added = added.filter(|change| change.after.is_some_and(|row| is_selected(what, row)));
        let known: HashSet<_> = found.iter().copied().collect();
        found.extend(added.map(|change| change.id).filter(|id| !known.contains(id)));
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
        self.user(calendar)
    }

    fn mark(&mut self, name: &Arc<str>) -> Result<Option<Mark>, Missing> {
        self.note(name)
    }

    fn set_mark(&mut self, name: Arc<str>, mark: Mark) {
        self.set_note(name, mark);
    }

    fn record(&mut self, record: Box<FiringRecord>) {
        self.append_record(*record);
    }

    fn groups(&mut self, kind: GroupKind) -> Result<BTreeMap<Arc<str>, usize>, Missing> {
        self.groups_of(kind)
    }

    fn jobs(
        &mut self,
        keys: &[JobKey],
        wanted: impl Fn(&JobDetail) -> bool,
    ) -> Result<Vec<Arc<JobDetail>>, Missing> {
        let ids: Vec<_> = if keys.is_empty() {
            self.set(&Set::Jobs)?.jobs.into_iter().map(|id| (id, None)).collect()
        } else {
            keys.iter().map(|key| (self.names().job(key), Some(key))).collect()
        };
        let found = rules::each(self, ids, |view, (id, key)| {
            let row = view.get(id)?.filter(|row| key.is_none_or(|key| row.detail.key() == key));
            Ok(row.filter(|row| wanted(&row.detail)).map(|row| row.detail.clone()))
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    fn triggers(
        &mut self,
        query: &TriggerQuery,
        wanted: impl Fn(Id<TriggerRow>, &TriggerRow) -> bool,
    ) -> Result<Vec<Id<TriggerRow>>, Missing> {
        let ids = match &query.job {
            _ if !query.keys.is_empty() => {
                let ids = rules::each(self, &query.keys, Self::trigger)?;
                ids.into_iter().flatten().collect()
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

    fn room_in(&mut self, queue: &Arc<str>, many: usize, most: usize) -> Result<Result<(), usize>, Missing> {
        self.room(queue, many, most)
    }

    fn runs(&mut self, query: &RunQuery) -> Result<Vec<Id<RunRow>>, Missing> {
        if !query.ids.is_empty() {
            let found = rules::each(self, &query.ids, |view, id| view.run(*id))?;
            return Ok(found.into_iter().flatten().collect());
        }
        if let Some(batch) = query.batch {
            let mut found = self.tagged(&RunTag::FormerMember(batch))?;
            found.extend(self.tagged(&RunTag::Member(batch))?);
            return Ok(found);
        }
        let ids = self.set(&Set::Runs(query.state))?.runs;
        let found = rules::each(self, ids, |view, id| Ok(view.get_run(id)?.is_some().then_some(id)))?;
        Ok(found.into_iter().flatten().collect())
    }
}

impl<N: Names> View<N> {
    /// Misses all rows that it needs at once.
    fn of_selection(
        &mut self,
        what: &Selection,
        triggers: Vec<Id<TriggerRow>>,
    ) -> Result<Vec<Id<TriggerRow>>, Missing> {
        let found = rules::each(self, triggers, |view, id| {
            Ok(view.get(id)?.is_some_and(|row| is_selected(what, row)).then_some(id))
        })?;
        Ok(found.into_iter().flatten().collect())
    }
}

impl<N> View<N> {
    fn get_run(&mut self, id: Id<RunRow>) -> Result<Option<&RunRow>, Missing> {
        self.get(id)
    }

    fn wanted(
        &mut self,
        set: &Set,
        wanted: impl Fn(Id<ClaimRow>, &ClaimRow) -> bool,
    ) -> Result<Vec<Id<ClaimRow>>, Missing> {
        let mut found = Vec::new();
        for id in self.set(set)?.claims {
            match self.claims.peek(id) {
                Some(claim) => found.extend(claim.filter(|claim| wanted(id, claim)).map(|_| id)),
                None => drop(self.get_claim(id)?),
            }
        }
        Ok(found)
    }

    fn get_claim(&mut self, id: Id<ClaimRow>) -> Result<Option<&ClaimRow>, Missing> {
        self.get(id)
    }
}
