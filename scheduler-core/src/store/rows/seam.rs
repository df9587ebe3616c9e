//! What a rule asks of a driver.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::claim::{Alarm, ClaimRow};
use super::place::{Id, Lane};
use super::run::RunRow;
use super::trigger::{JobRow, TriggerRow};
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::run::RunId;
use crate::store::admin::{GroupKind, Mark, RunRecord, Selection, TriggerQuery};
use crate::store::contract::NamedCalendar;
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
pub trait Table<T>: Driver {
    /// The row, if it is there.
    ///
    /// # Errors
    ///
    /// It was not loaded.
    fn get(&mut self, id: Id<T>) -> Answer<Self, Option<&T>>;

    /// Changes a row that is there; the driver moves it to its new place.
    ///
    /// # Errors
    ///
    /// It was not loaded.
    fn edit<A>(&mut self, id: Id<T>, edit: impl FnOnce(&mut T) -> A) -> Answer<Self, Option<A>>;

    /// Not a read: a row that nobody has looked at goes whatever it says.
    ///
    /// # Errors
    ///
    /// What stands beside it was not loaded.
    fn remove(&mut self, id: Id<T>) -> Answer<Self, ()>;
}

/// An open transaction. Whatever answers with an error was not loaded.
#[expect(clippy::missing_errors_doc, reason = "there is one error, and it is told above")]
pub trait Rows: Table<JobRow> + Table<TriggerRow> + Table<RunRow> + Table<ClaimRow> {
    /// Its name is free.
    fn add_job(&mut self, row: JobRow) -> Id<JobRow>;

    /// Its name is free, and its job is there.
    fn add_trigger(&mut self, row: TriggerRow) -> Id<TriggerRow>;

    /// Its id is free.
    fn add_run(&mut self, row: RunRow) -> Id<RunRow>;

    /// A claim of this number that was forgotten.
    fn add_claim(&mut self, id: Id<ClaimRow>, row: ClaimRow);

    /// The job of this name.
    fn job(&mut self, key: &JobKey) -> Answer<Self, Option<Id<JobRow>>>;

    /// The trigger of this name.
    fn trigger(&mut self, key: &TriggerKey) -> Answer<Self, Option<Id<TriggerRow>>>;

    /// The run of this id.
    fn run(&mut self, id: RunId) -> Answer<Self, Option<Id<RunRow>>>;

    /// Not a read: the run goes, if it is there, whatever its row says.
    fn drop_run(&mut self, id: RunId) -> Answer<Self, ()>;

    /// The lane of work of this execution group and job type.
    fn lane(&mut self, group: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane;

    /// A number that no other call gives for what has the same name.
    fn number(&mut self) -> u64;

    /// A trigger that waits stands in its place again: its claim is over. An edit alone does not bring back what is claimed.
    fn show(&mut self, trigger: Id<TriggerRow>) -> Answer<Self, ()>;

    /// A run that waits stands in its place again: its claim is over.
    fn show_run(&mut self, run: Id<RunRow>) -> Answer<Self, ()>;

    /// The job, which allows one run at a time, is free: the first of each of its lanes can be claimed.
    fn free(&mut self, job: &JobKey) -> Answer<Self, ()>;

    /// Other nodes may find something to take. A driver wakes them by itself when a claim of an execution group goes.
    fn wake(&mut self);

    /// How many triggers a job has.
    fn members(&mut self, job: Id<JobRow>) -> Answer<Self, usize>;

    /// The claim of a trigger that is not fired yet.
    fn unfired(&mut self, trigger: Id<TriggerRow>) -> Answer<Self, Option<Id<ClaimRow>>>;

    /// The claim of a run, if a node runs it.
    fn claim_of(&mut self, run: Id<RunRow>) -> Answer<Self, Option<Id<ClaimRow>>>;

    /// The claims that are meant, in no order.
    fn claims(&mut self, wanted: impl Fn(Id<ClaimRow>, &ClaimRow) -> bool)
    -> Answer<Self, Vec<Id<ClaimRow>>>;

    /// The claims of a node, in no order.
    fn claims_of(&mut self, session: u64) -> Answer<Self, Vec<Id<ClaimRow>>>;

    /// The runs of a node that are to be stopped, in the order of their ids.
    fn cancelled(&mut self, session: u64) -> Answer<Self, Vec<(ExecutionId, CancelReason)>>;

    /// Whose time has come, the pauses of groups first.
    fn alarms(&mut self, now: DateTime<Utc>) -> Answer<Self, Vec<Alarm>>;

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

    /// A trigger that names the calendar.
    fn user_of(&mut self, calendar: &str) -> Answer<Self, Option<TriggerKey>>;

    /// The note of this name.
    fn mark(&mut self, name: &Arc<str>) -> Answer<Self, Option<Mark>>;

    /// Writes a note, whose place was looked at.
    fn set_mark(&mut self, name: Arc<str>, mark: Mark);

    /// Adds to the history, where one is kept.
    fn keep(&mut self, record: Box<RunRecord>);

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

    /// The runs that the query means, apart from their state and the limit, in no order.
    fn runs(&mut self, query: &RunQuery) -> Answer<Self, Vec<Id<RunRow>>>;
}
