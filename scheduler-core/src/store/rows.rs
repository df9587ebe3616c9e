//! The rows of a job store, and the seam between its rules and its drivers.
//!
//! A rule sees one open transaction on typed rows. It knows neither locks nor servers: whoever drives it, loads and stores.
//! A row that was not loaded is *missing*: the driver notes which, loads it, and the rule runs once more. In memory nothing is
//! ever missing, and the type says so ([`Infallible`](std::convert::Infallible)). Since a rule may run again, whoever drives it
//! discards what it has written before it answered that something is missing, and it counts nothing outside of the rows.
//!
//! What a driver derives from rows before and after a change is never stored in them: places in lanes, names, groups, alarms.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::admin::{GroupKind, Mark, PauseNote, RunRecord, Selection, TriggerQuery};
use super::contract::NamedCalendar;
pub use super::pauses::Pauses;
use super::state::StoredState;
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::trigger::{OverlapPolicy, Progress, Trigger};

/// Names a row of one kind; only the driver knows what the number means. That of a claim is its fence, and grows.
pub struct Id<R>(pub u64, PhantomData<fn() -> R>);

impl<R> Id<R> {
    /// The row of this number.
    pub const fn new(number: u64) -> Self {
        Self(number, PhantomData)
    }
}

impl Id<ClaimRow> {
    /// The row of a claim; whether it is that of the same session, the row says.
    pub const fn of(claim: ExecutionId) -> Self {
        Self::new(claim.count())
    }
}

impl<R> Clone for Id<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Id<R> {}

impl<R> PartialEq for Id<R> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<R> Eq for Id<R> {}

impl<R> PartialOrd for Id<R> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for Id<R> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<R> Hash for Id<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<R> Debug for Id<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.0)
    }
}

/// The triggers of one execution group and one job type, by a number of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

/// A job.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// As it was stored.
    pub detail: Arc<JobDetail>,
}

/// A trigger. There are many of them, so what most do not have stands in a box.
#[derive(Debug, Clone)]
pub struct TriggerRow {
    /// As it was stored.
    pub trigger: Arc<Trigger>,
    next: Option<DateTime<Utc>>,
    previous: Option<DateTime<Utc>>,
    /// How often, as far as this number goes.
    fired: u32,
    /// Never [`StoredState::Acquired`]: a claim does not change the row.
    pub state: StoredState,
    /// Its job allows one run at a time.
    pub exclusive: bool,
    /// Its runs were asked to stop, since it is due again.
    pub superseded: bool,
    /// Its runs under way, where its overlap policy asks for them; 0 elsewhere.
    pub running: u32,
    /// Changes when a claim that was made before is no longer good.
    pub epoch: u32,
    /// Where it stands when it waits for a time.
    pub lane: Lane,
    /// Its job.
    pub job: Id<JobRow>,
    /// Changes when another trigger takes its place.
    pub birth: u64,
    cold: Option<Box<ColdFields>>,
}

#[derive(Debug, Clone, Default)]
struct ColdFields {
    pause: Option<PauseNote>,
    /// The birth of the first in a row of triggers that took each other's place: their runs count as its own.
    lineage: Option<u64>,
    /// Changes with the description; before the first change it is the birth.
    revision: Option<u64>,
    /// When its own run ended that has kept it waiting.
    freed: Option<DateTime<Utc>>,
    /// How often it has fired, beyond what the row can count.
    fired: Option<u64>,
    /// What a misfire policy has changed of the progress.
    scheduled: Option<DateTime<Utc>>,
    start: Option<DateTime<Utc>>,
    repeat: Option<u32>,
}

/// Where a waiting trigger stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of its execution group and job type.
    pub lane: Lane,
    /// When it is due.
    pub at: DateTime<Utc>,
    /// The higher priority comes first.
    pub rank: Reverse<i32>,
    /// One trigger of its job at a time.
    pub exclusive: bool,
}

impl TriggerRow {
    /// A trigger that waits.
    pub fn new(
        trigger: Arc<Trigger>,
        progress: Progress,
        (job, exclusive, lane): (Id<JobRow>, bool, Lane),
        birth: u64,
    ) -> Self {
        let mut row = Self {
            trigger,
            next: None,
            previous: None,
            fired: 0,
            state: StoredState::Waiting,
            exclusive,
            superseded: false,
            running: 0,
            epoch: 0,
            lane,
            job,
            birth,
            cold: None,
        };
        row.set_progress(progress);
        row
    }

    /// Where it is found when its time has come; none if it does not wait for a time, or its own run keeps it back.
    pub fn place(&self) -> Option<Place> {
        let at = self.next.filter(|_| self.state == StoredState::Waiting && !self.is_kept_back())?;
        Some(Place { lane: self.lane, at, rank: Reverse(self.trigger.priority()), exclusive: self.exclusive })
    }

    /// When a rule has to look at it, apart from its firing: its pause ends, or its run is to make room.
    pub fn alarm(&self) -> Option<DateTime<Utc>> {
        match self.state {
            StoredState::Paused => self.pause()?.until,
            StoredState::Waiting if self.running > 0 && !self.superseded => {
                self.next.filter(|_| self.trigger.overlap() == OverlapPolicy::CancelPrevious)
            }
            _ => None,
        }
    }

    fn is_kept_back(&self) -> bool {
        self.running > 0 && self.trigger.overlap().waits()
    }

    /// When it is due; none if never again.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    /// How far it has got.
    pub fn progress(&self) -> Progress {
        let (next, previous, cold) = (self.next, self.previous, self.cold.as_deref());
        let fired = cold.and_then(|cold| cold.fired).unwrap_or_else(|| self.fired.into());
        let [scheduled, start] = [cold.and_then(|cold| cold.scheduled), cold.and_then(|cold| cold.start)];
        Progress { next, previous, fired, scheduled, start, repeat: cold.and_then(|cold| cold.repeat) }
    }

    /// Moves it on.
    pub fn set_progress(&mut self, progress: Progress) {
        let Progress { next, previous, fired, scheduled, start, repeat } = progress;
        let many = u32::try_from(fired).is_err().then_some(fired);
        (self.next, self.previous, self.fired) = (next, previous, fired as u32);
        if self.cold.is_some() || many.is_some() || scheduled.is_some() || start.is_some() || repeat.is_some()
        {
            let cold = self.cold();
            (cold.fired, cold.scheduled, cold.start, cold.repeat) = (many, scheduled, start, repeat);
        }
    }

    /// Why it is paused, if it is.
    pub fn pause(&self) -> Option<&PauseNote> {
        self.cold.as_deref()?.pause.as_ref()
    }

    /// Another note, or none.
    pub fn set_pause(&mut self, pause: Option<PauseNote>) {
        if pause.is_some() || self.cold.is_some() {
            self.cold().pause = pause;
        }
    }

    /// When its own run ended, if that has kept it waiting.
    pub fn freed(&self) -> Option<DateTime<Utc>> {
        self.cold.as_deref()?.freed
    }

    /// When its own run ended that has kept it waiting; none when it fires.
    pub fn set_freed(&mut self, freed: Option<DateTime<Utc>>) {
        if freed.is_some() || self.cold.is_some() {
            self.cold().freed = freed;
        }
    }

    /// Which runs count as its own: those whose claim has the same lineage.
    pub fn lineage(&self) -> u64 {
        self.cold.as_deref().and_then(|cold| cold.lineage).unwrap_or(self.birth)
    }

    /// It takes the place of a trigger of this lineage.
    pub fn set_lineage(&mut self, lineage: u64) {
        self.cold().lineage = Some(lineage);
    }

    /// Another number whenever its description was changed.
    pub fn revision(&self) -> u64 {
        self.cold.as_deref().and_then(|cold| cold.revision).unwrap_or(self.birth)
    }

    /// Its description was changed.
    pub fn set_revision(&mut self, revision: u64) {
        self.cold().revision = Some(revision);
    }

    fn cold(&mut self) -> &mut ColdFields {
        self.cold.get_or_insert_default()
    }
}

/// A claim of a node, fired or not.
#[derive(Debug, Clone)]
pub struct ClaimRow {
    /// The node that has it.
    pub session: u64,
    /// What is claimed.
    pub item: Id<TriggerRow>,
    /// As it was claimed.
    pub trigger: Arc<Trigger>,
    /// As it was claimed; where the row has another one, the claim is that of a trigger that is gone.
    pub birth: u64,
    /// Of which triggers this is a run.
    pub lineage: u64,
    /// As it was claimed; where the row has another one, the claim is void.
    pub epoch: u32,
    /// It holds its job, which allows one run at a time.
    pub exclusive: bool,
    /// Its job runs.
    pub fired: bool,
    /// It is one of those that its trigger [counts](TriggerRow::running).
    pub counted: bool,
    /// When it lapses, unless it is fired.
    pub lapse: DateTime<Utc>,
    /// When it was fired; before that, when it was claimed.
    pub since: DateTime<Utc>,
    /// When the firing was due by the schedule.
    pub due: DateTime<Utc>,
    /// It is to be stopped.
    pub cancel: Option<CancelReason>,
}

/// Whose time has come.
#[derive(Debug, Clone, Copy)]
pub enum Alarm {
    /// Its pause ends, or its run is to make room.
    Trigger(Id<TriggerRow>),
    /// A claim has lapsed.
    Claim(Id<ClaimRow>),
    /// The pause of a group, or of all, ends.
    Pauses,
}

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
pub trait Rows: Table<JobRow> + Table<TriggerRow> + Table<ClaimRow> {
    /// Its name is free.
    fn add_job(&mut self, row: JobRow) -> Id<JobRow>;

    /// Its name is free, and its job is there.
    fn add_trigger(&mut self, row: TriggerRow) -> Id<TriggerRow>;

    /// A claim of this number that was forgotten.
    fn add_claim(&mut self, id: Id<ClaimRow>, row: ClaimRow);

    /// The job of this name.
    fn job(&mut self, key: &JobKey) -> Answer<Self, Option<Id<JobRow>>>;

    /// The trigger of this name.
    fn trigger(&mut self, key: &TriggerKey) -> Answer<Self, Option<Id<TriggerRow>>>;

    /// The lane of triggers of this execution group and job type.
    fn lane(&mut self, group: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane;

    /// A number that no other call gives for what has the same name.
    fn number(&mut self) -> u64;

    /// A trigger that waits stands in its place again: its claim is over. An edit alone does not bring back what is claimed.
    fn show(&mut self, trigger: Id<TriggerRow>) -> Answer<Self, ()>;

    /// The job, which allows one run at a time, is free: the first of each of its lanes can be claimed.
    fn free(&mut self, job: &JobKey) -> Answer<Self, ()>;

    /// Other nodes may find something to take. A driver wakes them by itself when a claim of an execution group goes.
    fn wake(&mut self);

    /// How many triggers a job has.
    fn members(&mut self, job: Id<JobRow>) -> Answer<Self, usize>;

    /// The claim of a trigger that is not fired yet.
    fn unfired(&mut self, trigger: Id<TriggerRow>) -> Answer<Self, Option<Id<ClaimRow>>>;

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
}
