//! Limits that are in use, and caps that somebody has set in place of those of the code.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::page::page_size;
use crate::job::ExecutionId;
use crate::key::JobKey;
use crate::run::{Gate, GateId, RateState, RunId};

/// A cap that somebody has set in place of the caps with which runs were enqueued: why, by whom and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LimitOverride {
    /// The sum of weights that may be under way or, of a rate, how many attempts may begin in its window. With 0 nothing begins.
    pub cap: u32,
    /// The reason, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// The author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Arc<str>>,
    /// When it was set.
    pub since: DateTime<Utc>,
}

impl LimitOverride {
    /// This cap, without a word; a client sets since when.
    pub const fn of(cap: u32) -> Self {
        Self { cap, reason: None, author: None, since: DateTime::UNIX_EPOCH }
    }

    /// Set for this reason.
    #[must_use]
    pub fn because(self, reason: impl Into<Arc<str>>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// Set by this author.
    #[must_use]
    pub fn by(self, author: impl Into<Arc<str>>) -> Self {
        Self { author: Some(author.into()), ..self }
    }
}

impl fmt::Display for LimitOverride {
    /// In words: `5 since … by ada: the API is slow`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {}", self.cap, self.since)?;
        if let Some(author) = &self.author {
            write!(f, " by {author}")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// A limit of a run, as it was when the run was enqueued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunLimit {
    /// Its name.
    pub name: Arc<str>,
    /// The key; none for a limit without keys.
    pub key: Option<Arc<str>>,
    /// The sum of weights that may be under way; of a rate, how many attempts may begin in its window.
    pub cap: u32,
    /// The window of a rate.
    pub window: Option<Duration>,
    /// What the run adds to it.
    pub weight: u32,
}

impl RunLimit {
    pub(super) fn of(gate: &Gate) -> Self {
        let (name, key) = (gate.id.name().into(), gate.id.key().map(Into::into));
        let window = gate.pace.map(|pace| Duration::from_millis(pace.window.into()));
        Self { name, key, cap: gate.cap, window, weight: gate.weight }
    }

    /// By what the limit is known, with its key.
    pub fn gate(&self) -> GateId {
        GateId::of(&self.name, self.key.as_deref())
    }
}

/// Which limits to list.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LimitQuery {
    /// Only those of this name, with all keys.
    pub name: Option<Arc<str>>,
    /// Only these, whether they are in use or not; empty for all that are in use.
    pub gates: Vec<GateId>,
    /// Only those after this one: the [`next`](super::Page::next) of the page before.
    pub after: Option<GateId>,
    /// At most so many on a page; by default [`PAGE_SIZE`](super::PAGE_SIZE), and never more than
    /// [`MAX_PAGE_SIZE`](super::MAX_PAGE_SIZE).
    pub limit: Option<usize>,
}

impl LimitQuery {
    /// The limits of this name that are in use, with all keys.
    pub fn of(name: impl Into<Arc<str>>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The limit of this name for this key, whether it is in use or not.
    pub fn one(name: &str, key: Option<&str>) -> Self {
        Self { gates: vec![GateId::of(name, key)], ..Self::default() }
    }

    /// For a store: how many items a page may have.
    pub fn page_size(&self) -> usize {
        if self.gates.is_empty() { page_size(self.limit) } else { usize::MAX }
    }
}

/// A limit, for one key, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitStatus {
    /// Its name.
    pub name: Arc<str>,
    /// The key; none for a limit without keys.
    pub key: Option<Arc<str>>,
    /// How much of it there is now: what somebody has set, or else what its runs were enqueued with. None if nothing is known of that.
    pub cap: Option<u32>,
    /// What its runs were enqueued with, as the first one says that holds it or waits for it.
    pub declared: Option<u32>,
    /// What somebody has set in place of that.
    pub overridden: Option<LimitOverride>,
    /// The window of a rate, if a run holds it or waits for it.
    pub window: Option<Duration>,
    /// The sum of weights that are under way; of a rate, how many attempts count at present.
    pub used: u64,
    /// The attempts under way and the runs that hold it, and attempts that have begun at this rate; at most [`MOST_HOLDERS`](Self::MOST_HOLDERS).
    pub holders: Vec<LimitHolder>,
    /// How many due runs have found no room and wait for it. A run that waits for another limit does not count.
    pub waiting: u64,
    /// When it opens, if that is known: a rate for which somebody waits, or a limit that was
    /// [throttled](crate::job::JobError::throttled).
    pub opens: Option<DateTime<Utc>>,
    /// It was throttled, and has no room however much is used.
    #[serde(skip)]
    pub(crate) is_shut: bool,
    /// How many attempts may begin now at a rate.
    #[serde(skip)]
    pub(crate) left: Option<u32>,
}

/// An attempt under way that holds a limit, or a run that holds one to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitHolder {
    /// The attempt; none if the run [holds it to its end](crate::run::Hold::Run) and waits for another attempt.
    pub execution: Option<ExecutionId>,
    /// Its run.
    pub run: RunId,
    /// Its job.
    pub job: JobKey,
    /// How much it holds.
    pub weight: u32,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl LimitStatus {
    /// A status names so many holders.
    pub const MOST_HOLDERS: usize = 20;

    /// By what the limit is known, with its key.
    pub fn gate(&self) -> GateId {
        GateId::of(&self.name, self.key.as_deref())
    }

    pub(super) fn new(of: &GateUse, now: DateTime<Utc>) -> Self {
        let (name, key) = (of.id.name().into(), of.id.key().map(Into::into));
        Self {
            name,
            key,
            cap: of.overridden.as_ref().map(|set| set.cap),
            declared: None,
            overridden: of.overridden.clone(),
            window: None,
            used: of.used,
            holders: Vec::new(),
            waiting: of.waiting,
            opens: of
                .shut
                .into_iter()
                .chain(of.opens.filter(|_| of.waiting > 0))
                .filter(|opens| *opens > now)
                .max(),
            is_shut: of.shut.is_some_and(|shut| shut > now),
            left: None,
        }
    }

    /// A run of the limit has this gate.
    pub(super) fn note_gate(&mut self, gate: &Gate, of: &GateUse, now: DateTime<Utc>) {
        if self.declared.is_some() {
            return;
        }
        self.declared = Some(gate.cap);
        let gate = of.overridden.as_ref().map_or_else(|| gate.clone(), |set| gate.capped(set.cap));
        self.cap = Some(gate.cap);
        if let Some(pace) = gate.pace {
            self.window = Some(Duration::from_millis(pace.window.into()));
            let left = of.rate.left(gate.cap, pace, now.timestamp_millis());
            let most = if pace.burst > 0 { pace.burst.min(gate.cap) } else { gate.cap };
            (self.used, self.left) = (most.saturating_sub(left).into(), Some(left));
        }
    }

    /// Whether a run of this weight finds no room now.
    pub(crate) fn is_full(&self, weight: u32) -> bool {
        let cap = self.cap.unwrap_or(u32::MAX);
        let is_used_up = || self.used.saturating_add(weight.into()) > cap.into();
        self.is_shut || self.left.map_or_else(is_used_up, |left| weight > left)
    }
}

/// A run that was due and found no room at a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FullLimit {
    /// The run.
    pub run: RunId,
    /// Its job.
    pub job: JobKey,
    /// The limit.
    pub limit: GateId,
    /// For a store: runs that wait for it, if the [rule](super::rules::meet_full_limit) has to know them.
    pub waiting: Vec<RunId>,
}

impl FullLimit {
    /// The run has found this limit full.
    pub const fn new(run: RunId, job: JobKey, limit: GateId) -> Self {
        Self { run, job, limit, waiting: Vec::new() }
    }
}

/// For a store: what it knows of a gate. The [rule](super::rules::limits) makes a status of that.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GateUse {
    /// The gate.
    pub id: GateId,
    /// The sum of weights of the claims that hold it; 0 for a rate.
    pub used: u64,
    /// What has begun at a rate.
    pub rate: RateState,
    /// How many runs wait for it.
    pub waiting: u64,
    /// One of those that wait.
    pub first: Option<RunId>,
    /// When the next run has room, if the clock brings that.
    pub opens: Option<DateTime<Utc>>,
    /// Nobody has room before this time.
    pub shut: Option<DateTime<Utc>>,
    /// The cap that holds for it in place of those of runs.
    pub overridden: Option<LimitOverride>,
}

impl GateUse {
    /// A gate that nobody uses.
    pub fn new(id: GateId) -> Self {
        let (used, rate, waiting, first, opens, shut, overridden) = Default::default();
        Self { id, used, rate, waiting, first, opens, shut, overridden }
    }
}
