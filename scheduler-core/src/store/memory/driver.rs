//! The seam of the rules, over the table.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::entries::Entry;
use super::index::place;
use super::slots::{is_of, number, slot_of};
use super::table::Table;
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::run::{BatchCounts, GateId, Retention, RunId};
use crate::store::NamedCalendar;
use crate::store::admin::{GroupKind, Mark, Selection, TriggerQuery};
use crate::store::firings::FiringRecord;
use crate::store::limits::LimitOverride;
use crate::store::pauses::Pauses;
use crate::store::rows::{self, *};
use crate::store::runs::RunQuery;

type Always<T> = Result<T, Infallible>;

impl Driver for Table {
    /// Everything is there.
    type Missing = Infallible;
}

impl rows::Table<JobRow> for Table {
    fn get(&mut self, id: Id<JobRow>) -> Always<Option<&JobRow>> {
        Ok(self.jobs.get(slot_of(id)).filter(|job| is_of(id, job.generation)).map(|job| &job.row))
    }

    fn edit<A>(&mut self, id: Id<JobRow>, edit: impl FnOnce(&mut JobRow) -> A) -> Always<Option<A>> {
        let Some(slot) = self.job_of(id) else { return Ok(None) };
        let answer = edit(&mut self.jobs[slot].row);
        if self.journal.is_some() {
            let key = self.jobs[slot].row.detail.key().clone();
            self.note(|| Entry::Job(key));
        }
        Ok(Some(answer))
    }

    fn remove(&mut self, id: Id<JobRow>) -> Always<()> {
        if let Some(slot) = self.job_of(id) {
            self.drop_job(slot);
        }
        Ok(())
    }
}

impl rows::Table<TriggerRow> for Table {
    fn get(&mut self, id: Id<TriggerRow>) -> Always<Option<&TriggerRow>> {
        let slot = self.triggers.get(slot_of(id));
        Ok(slot.filter(|slot| is_of(id, slot.generation)).map(|slot| &slot.row))
    }

    fn edit<A>(&mut self, id: Id<TriggerRow>, edit: impl FnOnce(&mut TriggerRow) -> A) -> Always<Option<A>> {
        Ok(self.trigger_of(id).map(|slot| self.edit_trigger(slot, edit)))
    }

    fn remove(&mut self, id: Id<TriggerRow>) -> Always<()> {
        if let Some(slot) = self.trigger_of(id) {
            self.drop_trigger(slot);
        }
        Ok(())
    }
}

impl rows::Table<RunRow> for Table {
    fn get(&mut self, id: Id<RunRow>) -> Always<Option<&RunRow>> {
        Ok(self.run_of(id).map(|slot| &self.runs[slot].row))
    }

    fn edit<A>(&mut self, id: Id<RunRow>, edit: impl FnOnce(&mut RunRow) -> A) -> Always<Option<A>> {
        Ok(self.run_of(id).map(|slot| self.edit_run(slot, edit)))
    }

    fn remove(&mut self, id: Id<RunRow>) -> Always<()> {
        if let Some(slot) = self.run_of(id) {
            self.remove_run(slot);
        }
        Ok(())
    }
}

impl rows::Table<ClaimRow> for Table {
    fn get(&mut self, id: Id<ClaimRow>) -> Always<Option<&ClaimRow>> {
        Ok(self.claims.get(&id.0))
    }

    fn edit<A>(&mut self, id: Id<ClaimRow>, edit: impl FnOnce(&mut ClaimRow) -> A) -> Always<Option<A>> {
        Ok(self.edit_claim(id.0, edit))
    }

    fn remove(&mut self, id: Id<ClaimRow>) -> Always<()> {
        self.drop_claim(id.0);
        Ok(())
    }
}

impl Rows for Table {
    fn add_job(&mut self, row: JobRow) -> Id<JobRow> {
        self.insert_job(row)
    }

    fn add_trigger(&mut self, row: TriggerRow) -> Id<TriggerRow> {
        self.insert_trigger(row)
    }

    fn add_run(&mut self, row: RunRow) -> Id<RunRow> {
        self.insert_run(row)
    }

    fn add_claim(&mut self, id: Id<ClaimRow>, row: ClaimRow) {
        if row.exclusive {
            self.withhold(row.trigger.job());
        }
        self.insert_claim(id.0, row);
    }

    fn job(&mut self, key: &JobKey) -> Always<Option<Id<JobRow>>> {
        Ok(self.job_slot(key).map(|slot| number(slot, self.jobs[slot].generation)))
    }

    fn trigger(&mut self, key: &TriggerKey) -> Always<Option<Id<TriggerRow>>> {
        Ok(self.trigger_slot(key).map(|slot| self.id_of(slot)))
    }

    fn run(&mut self, id: RunId) -> Always<Option<Id<RunRow>>> {
        Ok(self.run_slot(id).map(|slot| self.run_id(slot)))
    }

    fn drop_run(&mut self, id: RunId) -> Always<()> {
        if let Some(slot) = self.run_slot(id) {
            self.remove_run(slot);
        }
        Ok(())
    }

    fn lane(&mut self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane {
        Lane(place(self.lanes.of(queue, job_type)))
    }

    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn show(&mut self, trigger: Id<TriggerRow>) -> Always<()> {
        if let Some(slot) = self.trigger_of(trigger) {
            self.triggers[slot].claimed = false;
            self.stand(slot);
        }
        Ok(())
    }

    fn free(&mut self, job: &JobKey) -> Always<()> {
        self.busy.remove(job);
        self.offer(job);
        Ok(())
    }

    fn show_run(&mut self, run: Id<RunRow>) -> Always<()> {
        if let Some(slot) = self.run_of(run) {
            self.end_claim_of(slot);
            self.stand_run(slot);
        }
        Ok(())
    }

    fn unbegin(&mut self, claim: Id<ClaimRow>) -> Always<()> {
        if let Some(claim) = self.claims.get(&claim.0) {
            self.gates.unbegin(&claim.gates, claim.since.timestamp_millis());
            let gates = claim.gates.clone();
            self.note_rates(&gates);
        }
        Ok(())
    }

    fn shut(&mut self, gate: &GateId, until: DateTime<Utc>) -> Always<()> {
        self.shut_gate(gate, until.timestamp_millis());
        Ok(())
    }

    fn set_cap(&mut self, limit: &GateId, cap: Option<&LimitOverride>) -> Always<()> {
        self.set_cap_of(limit, cap);
        Ok(())
    }

    fn wake(&mut self) {
        self.freed = true;
    }

    fn tell_end(&mut self, run: RunId) {
        self.told.push(run);
    }

    fn members(&mut self, job: Id<JobRow>) -> Always<usize> {
        Ok(self.job_of(job).map_or(0, |slot| self.jobs[slot].count()))
    }

    /// It is looked for: a trigger is fired at once when it is claimed, so hardly ever does anybody meet one, and a number in each
    /// trigger would be memory for nothing.
    fn unfired(&mut self, trigger: Id<TriggerRow>) -> Always<Option<Id<ClaimRow>>> {
        if self.unfired == 0 || !self.trigger_of(trigger).is_some_and(|slot| self.triggers[slot].claimed) {
            return Ok(None);
        }
        let found =
            self.claims.iter().find(|(_, claim)| !claim.fired && claim.item == Item::Trigger(trigger));
        Ok(found.map(|(number, _)| Id::new(*number)))
    }

    fn claim_of(&mut self, run: Id<RunRow>) -> Always<Option<Id<ClaimRow>>> {
        let claim = self.run_of(run).map(|slot| self.runs[slot].claim);
        Ok(claim.filter(|claim| *claim != 0).map(Id::new))
    }

    fn holder(&mut self, job: &JobKey) -> Always<Option<Id<ClaimRow>>> {
        Ok(self.busy.get(job).copied().map(Id::new))
    }

    fn some_tagged(&mut self, tag: &RunTag, most: usize) -> Always<(Vec<Id<RunRow>>, bool)> {
        let found = self.tags.of(tag, most);
        let may_be_more = found.len() >= most;
        Ok((found, may_be_more))
    }

    fn counts(&mut self, batch: RunId) -> Always<BatchCounts> {
        Ok(self.batches.of(batch))
    }

    fn tally(&mut self, batch: RunId, change: BatchCounts) {
        self.freed |= self.batches.add(batch, change);
        self.note(|| Entry::Batch(batch));
    }

    fn heard(&mut self, batch: RunId) {
        self.batches.heard(batch);
        self.note(|| Entry::Batch(batch));
    }

    fn claims(&mut self, wanted: impl Fn(Id<ClaimRow>, &ClaimRow) -> bool) -> Always<Vec<Id<ClaimRow>>> {
        let all = self.claims.iter().map(|(number, claim)| (Id::new(*number), claim));
        Ok(all.filter(|(id, claim)| wanted(*id, claim)).map(|(id, _)| id).collect())
    }

    fn claims_of(&mut self, session: u64) -> Always<Vec<Id<ClaimRow>>> {
        self.claims(|_, claim| claim.session == session)
    }

    fn cancelled(&mut self, session: u64) -> Always<Vec<(ExecutionId, CancelReason)>> {
        let own = self.cancelled.iter().filter(|(id, _)| id.session() == session);
        Ok(own.map(|(id, reason)| (*id, *reason)).collect())
    }

    fn alarms(&mut self, now: DateTime<Utc>) -> Always<Vec<Alarm>> {
        let pauses = self.pauses_end.filter(|end| *end <= now).map(|_| Alarm::Pauses);
        let triggers = self.alarms.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| Alarm::Trigger(*id));
        let mut alarms: Vec<_> = pauses.into_iter().chain(triggers).chain(self.ended.alarms(now)).collect();
        alarms.extend(self.batches.ringing().map(Alarm::Batch));
        if self.unfired > 0 && now >= self.earliest_lapse {
            let open = self.claims.iter().filter(|(_, claim)| !claim.fired);
            let (lapsed, alive): (Vec<_>, Vec<_>) =
                open.map(|(number, claim)| (*number, claim.lapse)).partition(|(_, lapse)| *lapse <= now);
            self.earliest_lapse = alive.iter().map(|(_, lapse)| *lapse).min().unwrap_or(now);
            alarms.extend(lapsed.into_iter().map(|(number, _)| Alarm::Claim(Id::new(number))));
        }
        Ok(alarms)
    }

    fn retention(&self) -> Retention {
        self.ended.retention
    }

    fn selected(&mut self, what: &Selection) -> Always<Vec<Id<TriggerRow>>> {
        let all = |wanted: &dyn Fn(&TriggerRow) -> bool| -> Vec<usize> {
            self.triggers.iter().filter(|(_, slot)| wanted(&slot.row)).map(|(index, _)| index).collect()
        };
        let slots = match what {
            Selection::Trigger(key) => self.trigger_slot(key).into_iter().collect(),
            Selection::Job(key) => {
                self.job_slot(key).map(|job| self.jobs[job].triggers().collect()).unwrap_or_default()
            }
            Selection::TriggerGroup(groups) => all(&|row| groups.matches(row.trigger.key().group())),
            Selection::JobGroup(groups) => all(&|row| groups.matches(row.trigger.job().group())),
            Selection::All => all(&|_| true),
        };
        Ok(slots.into_iter().map(|slot| self.id_of(slot)).collect())
    }

    fn pauses(&mut self) -> Always<&Pauses> {
        Ok(&self.pauses)
    }

    fn edit_pauses<A>(&mut self, edit: impl FnOnce(&mut Pauses) -> A) -> Always<A> {
        let answer = edit(&mut self.pauses);
        self.note(|| Entry::Pauses);
        self.pauses_end = self.pauses.next_ending();
        Ok(answer)
    }

    fn calendar(&mut self, name: &str) -> Always<Option<Arc<dyn Calendar>>> {
        Ok(self.calendars.get(name).cloned())
    }

    fn calendars(&mut self) -> Always<Vec<NamedCalendar>> {
        Ok(self.calendars.iter().map(|(name, calendar)| (name.clone(), calendar.clone())).collect())
    }

    fn set_calendar(&mut self, name: Arc<str>, calendar: Option<Arc<dyn Calendar>>) -> Always<()> {
        self.note(|| Entry::Calendar(name.clone()));
        match calendar {
            Some(calendar) => drop(self.calendars.insert(name, calendar)),
            None => drop(self.calendars.remove(&name)),
        }
        Ok(())
    }

    fn user_of(&mut self, calendar: &str) -> Always<Option<TriggerKey>> {
        let user = self.triggers.iter().find(|(_, slot)| slot.row.trigger.calendar() == Some(calendar));
        Ok(user.map(|(_, slot)| slot.row.trigger.key().clone()))
    }

    fn mark(&mut self, name: &Arc<str>) -> Always<Option<Mark>> {
        Ok(self.marks.get(name).cloned())
    }

    fn set_mark(&mut self, name: Arc<str>, mark: Mark) {
        self.note(|| Entry::Mark(name.clone()));
        self.marks.insert(name, mark);
    }

    fn record(&mut self, record: Box<FiringRecord>) {
        if let Some(firings) = &mut self.firings {
            let appended = firings.append(record);
            if let Some(journal) = &mut self.journal {
                journal.firings.push(appended.clone());
            }
        }
    }

    fn groups(&mut self, kind: GroupKind) -> Always<BTreeMap<Arc<str>, usize>> {
        let mut groups = BTreeMap::<Arc<str>, usize>::new();
        let mut count = |group: &str| match groups.get_mut(group) {
            Some(members) => *members += 1,
            None => drop(groups.insert(group.into(), 1)),
        };
        match kind {
            GroupKind::Jobs => self.jobs.iter().for_each(|(_, slot)| count(slot.row.detail.key().group())),
            GroupKind::Triggers => {
                self.triggers.iter().for_each(|(_, slot)| count(slot.row.trigger.key().group()));
            }
        }
        Ok(groups)
    }

    fn jobs(&mut self, keys: &[JobKey], wanted: impl Fn(&JobDetail) -> bool) -> Always<Vec<Arc<JobDetail>>> {
        let wanted = |detail: &&Arc<JobDetail>| wanted(detail);
        Ok(if keys.is_empty() {
            self.jobs.iter().map(|(_, slot)| &slot.row.detail).filter(wanted).cloned().collect()
        } else {
            let slots = keys.iter().filter_map(|key| self.job_slot(key));
            slots.map(|slot| &self.jobs[slot].row.detail).filter(wanted).cloned().collect()
        })
    }

    fn triggers(
        &mut self,
        query: &TriggerQuery,
        wanted: impl Fn(Id<TriggerRow>, &TriggerRow) -> bool,
    ) -> Always<Vec<Id<TriggerRow>>> {
        let candidates: Box<dyn Iterator<Item = usize>> = match &query.job {
            _ if !query.keys.is_empty() => {
                Box::new(query.keys.iter().filter_map(|key| self.trigger_slot(key)))
            }
            Some(job) => Box::new(self.job_slot(job).into_iter().flat_map(|job| self.jobs[job].triggers())),
            None => Box::new(self.triggers.iter().map(|(slot, _)| slot)),
        };
        let ids = candidates.map(|slot| (self.id_of(slot), &self.triggers[slot].row));
        Ok(ids.filter(|(id, row)| wanted(*id, row)).map(|(id, _)| id).collect())
    }

    fn room_in(&mut self, queue: &Arc<str>, many: usize, most: usize) -> Always<Result<(), usize>> {
        let waiting = self.lengths.of(queue, &self.runs);
        Ok(if waiting.saturating_add(many) <= most { Ok(()) } else { Err(waiting) })
    }

    fn runs(&mut self, query: &RunQuery) -> Always<Vec<Id<RunRow>>> {
        Ok(match &query.ids[..] {
            [] => self.runs.iter().map(|(slot, _)| self.run_id(slot)).collect(),
            ids => {
                let slots = ids.iter().filter_map(|id| self.run_slot(*id));
                slots.map(|slot| self.run_id(slot)).collect()
            }
        })
    }
}
