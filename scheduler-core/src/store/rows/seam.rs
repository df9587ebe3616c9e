//! What a rule asks of a driver.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::claim::{Alarm, ClaimRow};
use super::place::{Id, Lane};
use super::run::RunRow;
use super::tag::RunTag;
use super::trigger::{JobRow, TriggerRow};
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::run::{BatchCounts, GateId, Retention, RunId};
use crate::store::admin::{GroupKind, Mark, Selection, TriggerQuery};
use crate::store::contract::NamedCalendar;
use crate::store::firings::FiringRecord;
use crate::store::limits::LimitOverride;
use crate::store::pauses::Pauses;
use crate::store::runs::RunQuery;

/// Whatever keeps rows.
pub trait Driver {
    /// A row that was not loaded; the driver has noted which.
    type Missing;
}

/// The answer of a rule.
pub type Answer<R, T> = Result<T, <R as Driver>::Missing>;

/// What a driver has for each kind of row.
///
/// A transaction sees what it has written itself. An edit never changes the name of a row.
pub trait Table<T>: Driver {
    /// The row, if it is there.
    ///
    /// # Errors
    ///
    /// It was not loaded.
    fn get(&mut self, id: Id<T>) -> Answer<Self, Option<&T>>;

    /// Changes a row that is there; the driver moves it to its new place, unless the row is claimed. The answer is none if there
    /// is no such row. An edit counts as a read.
    ///
    /// # Errors
    ///
    /// It was not loaded.
    fn edit<A>(&mut self, id: Id<T>, edit: impl FnOnce(&mut T) -> A) -> Answer<Self, Option<A>>;

    /// Removes a row with everything that was derived from it: name, place, groups, alarms. A row that is not there is no error.
    ///
    /// Removing is not a read: a job that the rule has not looked at is removed whatever its row says. A rule looks at a claim
    /// and at a waiting run before it removes it.
    ///
    /// # Errors
    ///
    /// What stands beside it was not loaded.
    fn remove(&mut self, id: Id<T>) -> Answer<Self, ()>;
}

/// An open transaction. Whatever answers with an error was not loaded.
///
/// Lists ([`selected`](Self::selected), [`triggers`](Self::triggers), [`jobs`](Self::jobs), [`runs`](Self::runs),
/// [`claims`](Self::claims), [`groups`](Self::groups)) need not contain what the transaction itself has added.
#[expect(clippy::missing_errors_doc, reason = "there is one error, and it is told above")]
pub trait Rows: Table<JobRow> + Table<TriggerRow> + Table<RunRow> + Table<ClaimRow> {
    /// Adds a job, whose name is free: the rule has looked.
    fn add_job(&mut self, row: JobRow) -> Id<JobRow>;

    /// Adds a trigger, whose name is free and whose job is there: the rule has looked. The trigger stands in its place.
    fn add_trigger(&mut self, row: TriggerRow) -> Id<TriggerRow>;

    /// Adds a run, whose id is free: the rule has looked. The run stands in its place.
    fn add_run(&mut self, row: RunRow) -> Id<RunRow>;

    /// Adds a claim of this number that was forgotten, which only happens where rows can be restored from an older state. What it
    /// claims no longer stands in its place.
    fn add_claim(&mut self, id: Id<ClaimRow>, row: ClaimRow);

    /// The job of this name.
    fn job(&mut self, key: &JobKey) -> Answer<Self, Option<Id<JobRow>>>;

    /// The trigger of this name.
    fn trigger(&mut self, key: &TriggerKey) -> Answer<Self, Option<Id<TriggerRow>>>;

    /// The run of this id.
    fn run(&mut self, id: RunId) -> Answer<Self, Option<Id<RunRow>>>;

    /// Removes a run, whatever its row says, if it is there. Not a read. The run's claim is removed in the same transaction, so the
    /// run stands in no lane.
    fn drop_run(&mut self, id: RunId) -> Answer<Self, ()>;

    /// The lane of work of this queue and job type. A queue with an empty name is not the same as no queue.
    fn lane(&mut self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane;

    /// A number that no other call gives for what has the same name.
    fn number(&mut self) -> u64;

    /// A trigger that waits stands in its place again, exactly once: its claim was removed or has been fired. An edit alone does not
    /// bring back what is claimed. Nothing changes if the trigger already stands there, or does not wait.
    fn show(&mut self, trigger: Id<TriggerRow>) -> Answer<Self, ()>;

    /// A run that waits stands in its place again: its claim was removed. Otherwise as [`show`](Self::show).
    fn show_run(&mut self, run: Id<RunRow>) -> Answer<Self, ()>;

    /// The job, which allows one run at a time, is free, since the claim that held it was removed: the first of each of its lanes
    /// can be claimed.
    fn free(&mut self, job: &JobKey) -> Answer<Self, ()>;

    /// An attempt that was claimed has not begun, and its claim is about to be removed: its gates with a rate do not count it.
    fn unbegin(&mut self, claim: Id<ClaimRow>) -> Answer<Self, ()>;

    /// Nobody enters this gate before that time. An earlier time than one that is known changes nothing. Not a read.
    fn shut(&mut self, gate: &GateId, until: DateTime<Utc>) -> Answer<Self, ()>;

    /// This cap holds for a gate, or for each gate of its name if it has no key. The driver looks at those that wait there. Not a read.
    fn set_cap(&mut self, limit: &GateId, cap: Option<&LimitOverride>) -> Answer<Self, ()>;

    /// Other nodes may find something to take. A driver wakes them by itself when a claim of a queue goes.
    fn wake(&mut self);

    /// A run that is [kept](RunRow::is_kept) has ended or goes: a client may wait for that, on whatever node, and is told once the
    /// transaction is committed.
    fn tell_end(&mut self, run: RunId);

    /// How many triggers a job has, with those that the transaction has added and without those it has removed. The commit is
    /// refused if others have changed the number.
    fn members(&mut self, job: Id<JobRow>) -> Answer<Self, usize>;

    /// Whether a job has more than one trigger, counted as by [`members`](Self::members). The commit is refused if the answer has
    /// changed by then; how many more than one there are does not matter.
    fn has_several(&mut self, job: Id<JobRow>) -> Answer<Self, bool> {
        Ok(self.members(job)? > 1)
    }

    /// The claim of a trigger that is not fired yet. The commit is refused if another has come since, also after the answer none.
    fn unfired(&mut self, trigger: Id<TriggerRow>) -> Answer<Self, Option<Id<ClaimRow>>>;

    /// The claim of a run, if a node runs it. The commit is refused if another has come since, also after the answer none.
    fn claim_of(&mut self, run: Id<RunRow>) -> Answer<Self, Option<Id<ClaimRow>>>;

    /// The claim that holds a job which allows one run at a time, also one that the transaction has added. The commit is refused if
    /// another has come since, also after the answer none.
    fn holder(&mut self, job: &JobKey) -> Answer<Self, Option<Id<ClaimRow>>>;

    /// The runs that have this tag, in no order, with those that the transaction itself has added or changed. The commit is refused if
    /// their number has changed by then.
    fn tagged(&mut self, tag: &RunTag) -> Answer<Self, Vec<Id<RunRow>>> {
        Ok(self.some_tagged(tag, usize::MAX)?.0)
    }

    /// As [`tagged`](Self::tagged), at most about so many of them, and whether there may be more. If there are no more, the commit is
    /// refused if their number has changed by then.
    fn some_tagged(&mut self, tag: &RunTag, most: usize) -> Answer<Self, (Vec<Id<RunRow>>, bool)>;

    /// The counters of a batch. If none is pending, the commit is refused if any of them has changed by then; otherwise if none is
    /// pending by then.
    fn counts(&mut self, batch: RunId) -> Answer<Self, BatchCounts>;

    /// Adds to the counters of a batch, in the step of the commit; nothing if the batch is not stored. Not a read, so that commits of
    /// many nodes do not refuse each other. If then no run is pending, or the first is dead, the batch is among the alarms until a rule
    /// has [heard](Self::heard) of it. Nodes are woken for that.
    fn tally(&mut self, batch: RunId, change: BatchCounts);

    /// A rule has looked at the counters of a batch, or the batch is not stored any more.
    fn heard(&mut self, batch: RunId);

    /// The claims that are meant, in no order.
    fn claims(&mut self, wanted: impl Fn(Id<ClaimRow>, &ClaimRow) -> bool)
    -> Answer<Self, Vec<Id<ClaimRow>>>;

    /// The claims of a node, in no order.
    fn claims_of(&mut self, session: u64) -> Answer<Self, Vec<Id<ClaimRow>>>;

    /// The runs of a node that are to be stopped, in the order of their ids.
    fn cancelled(&mut self, session: u64) -> Answer<Self, Vec<(ExecutionId, CancelReason)>>;

    /// Whose time has come, the pauses of groups first, and the oldest ended runs of which there are more than
    /// [are kept](Retention::most). A rule looks again at each, so a driver may return some too early. A driver that gives back
    /// lapsed claims by other means returns none of them. Where there are many, a driver may return some of them at a time.
    fn alarms(&mut self, now: DateTime<Utc>) -> Answer<Self, Vec<Alarm>>;

    /// How long runs are kept after their end.
    fn retention(&self) -> Retention;

    /// The triggers that are meant, in no order.
    fn selected(&mut self, what: &Selection) -> Answer<Self, Vec<Id<TriggerRow>>>;

    /// What is remembered of pauses.
    fn pauses(&mut self) -> Answer<Self, &Pauses>;

    /// Changes what is remembered of pauses.
    fn edit_pauses<A>(&mut self, edit: impl FnOnce(&mut Pauses) -> A) -> Answer<Self, A>;

    /// The calendar of this name.
    fn calendar(&mut self, name: &str) -> Answer<Self, Option<Arc<dyn Calendar>>>;

    /// All calendars, in the order of their names.
    fn calendars(&mut self) -> Answer<Self, Vec<NamedCalendar>>;

    /// Stores a calendar; none removes it.
    fn set_calendar(&mut self, name: Arc<str>, calendar: Option<Arc<dyn Calendar>>) -> Answer<Self, ()>;

    /// A trigger that names the calendar. After the answer none the commit is refused if a trigger names the calendar by then.
    fn user_of(&mut self, calendar: &str) -> Answer<Self, Option<TriggerKey>>;

    /// The note of this name.
    fn mark(&mut self, name: &Arc<str>) -> Answer<Self, Option<Mark>>;

    /// Writes a note, whose place was looked at.
    fn set_mark(&mut self, name: Arc<str>, mark: Mark);

    /// Appends a firing record, where records are kept. The driver numbers it, and writes it with the rest of the transaction.
    fn record(&mut self, record: Box<FiringRecord>);

    /// The groups of jobs or triggers, with the number of their members.
    fn groups(&mut self, kind: GroupKind) -> Answer<Self, BTreeMap<Arc<str>, usize>>;

    /// The jobs that `wanted` lets pass, in no order; only those of these keys, if there are any.
    fn jobs(
        &mut self,
        keys: &[JobKey],
        wanted: impl Fn(&JobDetail) -> bool,
    ) -> Answer<Self, Vec<Arc<JobDetail>>>;

    /// The triggers that `wanted` lets pass, in no order, among those that the query may mean.
    fn triggers(
        &mut self,
        query: &TriggerQuery,
        wanted: impl Fn(Id<TriggerRow>, &TriggerRow) -> bool,
    ) -> Answer<Self, Vec<Id<TriggerRow>>>;

    /// Whether `many` more runs can wait in a queue so that no more than `most` wait there; if not, how many wait. A run waits if it stands
    /// [waiting](super::Standing::Waiting) and has no claim, also if it is due later. A rule asks before it adds a run. After the
    /// answer that there is room, the commit is refused if there is none by then.
    fn room_in(&mut self, queue: &Arc<str>, many: usize, most: usize) -> Answer<Self, Result<(), usize>>;

    /// The runs that the query means, apart from their state and the limit, in no order.
    fn runs(&mut self, query: &RunQuery) -> Answer<Self, Vec<Id<RunRow>>>;
}
