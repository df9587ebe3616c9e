//! The rows of a job store, and the seam between its rules and its drivers.
//!
//! A rule sees one open transaction on typed rows. It knows neither locks nor servers: whoever drives it, loads and stores.
//! A row that was not loaded is *missing*: the driver notes which, loads it, and the rule runs once more. In memory nothing is
//! ever missing, and the type says so ([`Infallible`](std::convert::Infallible)). Since a rule may run again, it reads before
//! it writes for each item of a batch, and counts nothing outside of the rows.
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
use super::pauses::Pauses;
use super::state::StoredState;
use crate::calendar::Calendar;
use crate::job::{CancelReason, ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::trigger::{OverlapPolicy, Progress, Trigger};

/// Names a row of one kind; only the driver knows what the number means. That of a claim is its fence, and grows.
pub(super) struct Id<R>(pub(super) u64, PhantomData<fn() -> R>);

impl<R> Id<R> {
    pub(super) const fn new(number: u64) -> Self {
        Self(number, PhantomData)
    }
}

impl Id<ClaimRow> {
    pub(super) const fn of(claim: ExecutionId) -> Self {
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
pub(super) struct Lane(pub(super) u32);

/// A job.
#[derive(Debug, Clone)]
pub(super) struct JobRow {
    pub(super) detail: Arc<JobDetail>,
    /// How many triggers it has.
    pub(super) triggers: u32,
}

/// A trigger. There are many of them, so what most do not have stands in a box.
#[derive(Debug, Clone)]
pub(super) struct TriggerRow {
    pub(super) trigger: Arc<Trigger>,
    next: Option<DateTime<Utc>>,
    previous: Option<DateTime<Utc>>,
    /// How often, as far as this number goes.
    fired: u32,
    pub(super) state: StoredState,
    /// Its job allows one run at a time.
    pub(super) exclusive: bool,
    /// Its runs were asked to stop, since it is due again.
    pub(super) superseded: bool,
    /// Its runs under way, where its overlap policy asks for them; 0 elsewhere.
    pub(super) running: u32,
    /// Changes when a claim that was made before is no longer good.
    pub(super) epoch: u32,
    pub(super) lane: Lane,
    pub(super) job: Id<JobRow>,
    /// Changes when another trigger takes its place.
    pub(super) birth: u64,
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Clone, Default)]
struct Rare {
    pause: Option<PauseNote>,
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
pub(super) struct Place {
    pub(super) lane: Lane,
    pub(super) at: DateTime<Utc>,
    pub(super) rank: Reverse<i32>,
    /// One trigger of its job at a time.
    pub(super) exclusive: bool,
}

impl TriggerRow {
    /// A trigger that waits.
    pub(super) fn new(
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
            rare: None,
        };
        row.set_progress(progress);
        row
    }

    /// Where it is found when its time has come; none if it does not wait for a time, or its own run keeps it back.
    pub(super) fn place(&self) -> Option<Place> {
        let at = self.next.filter(|_| self.state == StoredState::Waiting && !self.is_kept_back())?;
        Some(Place { lane: self.lane, at, rank: Reverse(self.trigger.priority()), exclusive: self.exclusive })
    }

    /// When a rule has to look at it, apart from its firing: its pause ends, or its run is to make room.
    pub(super) fn alarm(&self) -> Option<DateTime<Utc>> {
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

    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        self.next
    }

    pub(super) fn progress(&self) -> Progress {
        let (next, previous, rare) = (self.next, self.previous, self.rare.as_deref());
        let fired = rare.and_then(|rare| rare.fired).unwrap_or_else(|| self.fired.into());
        let [scheduled, start] = [rare.and_then(|rare| rare.scheduled), rare.and_then(|rare| rare.start)];
        Progress { next, previous, fired, scheduled, start, repeat: rare.and_then(|rare| rare.repeat) }
    }

    pub(super) fn set_progress(&mut self, progress: Progress) {
        let Progress { next, previous, fired, scheduled, start, repeat } = progress;
        let many = u32::try_from(fired).is_err().then_some(fired);
        (self.next, self.previous, self.fired) = (next, previous, fired as u32);
        if self.rare.is_some() || many.is_some() || scheduled.is_some() || start.is_some() || repeat.is_some()
        {
            let rare = self.rare();
            (rare.fired, rare.scheduled, rare.start, rare.repeat) = (many, scheduled, start, repeat);
        }
    }

    pub(super) fn pause(&self) -> Option<&PauseNote> {
        self.rare.as_deref()?.pause.as_ref()
    }

    pub(super) fn set_pause(&mut self, pause: Option<PauseNote>) {
        if pause.is_some() || self.rare.is_some() {
            self.rare().pause = pause;
        }
    }

    pub(super) fn freed(&self) -> Option<DateTime<Utc>> {
        self.rare.as_deref()?.freed
    }

    pub(super) fn set_freed(&mut self, freed: Option<DateTime<Utc>>) {
        if freed.is_some() || self.rare.is_some() {
            self.rare().freed = freed;
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.rare.as_deref().and_then(|rare| rare.revision).unwrap_or(self.birth)
    }

    pub(super) fn set_revision(&mut self, revision: u64) {
        self.rare().revision = Some(revision);
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// A claim of a node, fired or not.
#[derive(Debug, Clone)]
pub(super) struct ClaimRow {
    /// The node that has it.
    pub(super) session: u64,
    pub(super) item: Id<TriggerRow>,
    /// As it was claimed.
    pub(super) trigger: Arc<Trigger>,
    pub(super) birth: u64,
    pub(super) epoch: u32,
    /// It holds its job, which allows one run at a time.
    pub(super) exclusive: bool,
    pub(super) fired: bool,
    /// When it lapses, unless it is fired.
    pub(super) lapse: DateTime<Utc>,
    /// When it was fired; before that, when it was claimed.
    pub(super) since: DateTime<Utc>,
    /// It is to be stopped.
    pub(super) cancel: Option<CancelReason>,
}

/// Whose time has come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Alarm {
    Trigger(Id<TriggerRow>),
    /// A claim has lapsed.
    Claim(Id<ClaimRow>),
    /// The pause of a group, or of all, ends.
    Pauses,
}

pub(super) trait Driver {
    /// A row that was not loaded; the driver has noted which.
    type Missing;
}

/// The answer of a rule.
pub(super) type Answer<R, T> = Result<T, <R as Driver>::Missing>;

/// What a driver has for each kind of row.
pub(super) trait Table<T>: Driver {
    fn get(&mut self, id: Id<T>) -> Answer<Self, Option<&T>>;

    /// Changes a row that is there; the driver moves it to its new place.
    fn edit<A>(&mut self, id: Id<T>, edit: impl FnOnce(&mut T) -> A) -> Answer<Self, Option<A>>;

    /// Not a read: a row that nobody has looked at goes whatever it says.
    fn remove(&mut self, id: Id<T>) -> Answer<Self, ()>;
}

/// An open transaction.
pub(super) trait Rows: Table<JobRow> + Table<TriggerRow> + Table<ClaimRow> {
    fn add_job(&mut self, row: JobRow) -> Id<JobRow>;
    fn add_trigger(&mut self, row: TriggerRow) -> Id<TriggerRow>;

    fn job(&mut self, key: &JobKey) -> Answer<Self, Option<Id<JobRow>>>;
    fn trigger(&mut self, key: &TriggerKey) -> Answer<Self, Option<Id<TriggerRow>>>;

    fn lane(&mut self, group: Option<&Arc<str>>, job_type: &Arc<str>) -> Lane;

    /// A number that no other call gives, larger than any before.
    fn number(&mut self) -> u64;

    /// A trigger that waits stands in its place again: its claim is over. An edit alone does not bring back what is claimed.
    fn show(&mut self, trigger: Id<TriggerRow>) -> Answer<Self, ()>;

    /// The job, which allows one run at a time, is free: the first of each of its lanes can be claimed.
    fn free(&mut self, job: &JobKey) -> Answer<Self, ()>;

    /// Other nodes may find something to take.
    fn wake(&mut self);

    /// The claim of a trigger that is not fired yet.
    fn unfired(&mut self, trigger: Id<TriggerRow>) -> Answer<Self, Option<Id<ClaimRow>>>;

    /// The claims that are meant, in no order.
    fn claims(&mut self, wanted: impl Fn(Id<ClaimRow>, &ClaimRow) -> bool)
    -> Answer<Self, Vec<Id<ClaimRow>>>;

    /// The runs of a node that are to be stopped, in the order of their ids.
    fn cancelled(&mut self, session: u64) -> Answer<Self, Vec<(ExecutionId, CancelReason)>>;

    fn alarms(&mut self, now: DateTime<Utc>) -> Answer<Self, Vec<Alarm>>;

    fn selected(&mut self, what: &Selection) -> Answer<Self, Vec<Id<TriggerRow>>>;

    fn pauses(&mut self) -> Answer<Self, &Pauses>;
    fn edit_pauses<A>(&mut self, edit: impl FnOnce(&mut Pauses) -> A) -> Answer<Self, A>;

    fn calendar(&mut self, name: &str) -> Answer<Self, Option<Arc<dyn Calendar>>>;
    fn calendars(&mut self) -> Answer<Self, Vec<NamedCalendar>>;
    /// None removes it.
    fn set_calendar(&mut self, name: Arc<str>, calendar: Option<Arc<dyn Calendar>>);
    /// A trigger that names the calendar.
    fn user_of(&mut self, calendar: &str) -> Answer<Self, Option<TriggerKey>>;

    fn mark(&mut self, name: &str) -> Answer<Self, Option<Mark>>;
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

    /// The triggers that the query means, in no order, apart from their state and the limit.
    fn triggers(
        &mut self,
        query: &TriggerQuery,
        wanted: impl Fn(Id<TriggerRow>, &TriggerRow) -> bool,
    ) -> Answer<Self, Vec<Id<TriggerRow>>>;
}
