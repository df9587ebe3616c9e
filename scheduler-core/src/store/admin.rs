//! Parameters and results of the verbs by which users manage and look.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::page::page_size;
use super::state::TriggerState;
use crate::job::{ExecutionId, JobDetail};
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Text;
use crate::run::{RunLog, RunProgress};
use crate::trigger::{Progress, Trigger};

/// What to do with something that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse the whole call.
    Refuse,
    /// Replace it; a trigger begins anew. Its runs under way count as runs of the new one for its overlap policy.
    Replace,
    /// Leave it as it is.
    Keep,
    /// Take over the new description. A job that keeps what its runs change keeps its data. A trigger goes on from where it
    /// is, paused or not; one that runs another job than before begins anew.
    Update,
}

/// Store jobs and triggers.
#[derive(Debug, Clone)]
pub struct Put {
    /// The jobs. One that is there several times counts once: the first where what is stored is [kept](Existing::Keep), the
    /// last otherwise.
    pub jobs: Vec<Arc<JobDetail>>,
    /// What to do with a job that is there already. A replaced job keeps its triggers.
    pub existing_jobs: Existing,
    /// The triggers, each with its first progress; their jobs are stored or among `jobs`. They are born paused if their
    /// group, or that of their job, is.
    pub triggers: Vec<(Arc<Trigger>, Progress)>,
    /// What to do with a trigger that is there already.
    pub existing_triggers: Existing,
}

impl Put {
    /// Each job once, in the order in which they first appear, for a store.
    pub fn distinct_jobs(&self) -> Vec<Arc<JobDetail>> {
        // A single one, as most are, is not worth a map.
        if self.jobs.len() < 2 {
            return self.jobs.clone();
        }
        let (mut places, mut distinct) = (HashMap::new(), Vec::new());
        for job in &self.jobs {
            match places.entry(job.key()) {
                Entry::Vacant(place) => {
                    place.insert(distinct.len());
                    distinct.push(job.clone());
                }
                Entry::Occupied(place) if self.existing_jobs != Existing::Keep => {
                    distinct[*place.get()] = job.clone();
                }
                Entry::Occupied(_) => {}
            }
        }
        distinct
    }
}

/// Replace a trigger.
#[derive(Debug, Clone)]
pub struct Reschedule {
    /// The trigger to replace.
    pub old: TriggerKey,
    /// Only if its description still is of this [revision](TriggerStatus::revision); none to replace it in any case.
    pub revision: Option<u64>,
    /// The one that takes its place.
    pub trigger: Arc<Trigger>,
    /// Its first progress; none to go on from where the old one is, paused or not.
    pub progress: Option<Progress>,
}

/// Move a trigger to another progress.
#[derive(Debug, Clone)]
pub struct Adjustment {
    /// The trigger.
    pub trigger: TriggerKey,
    /// What its progress is expected to be.
    pub from: Progress,
    /// What it is to be.
    pub to: Progress,
}

/// What became of the removal of a trigger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// It was there.
    pub found: bool,
    /// It was the last trigger of a job that is not durable, which went with it.
    pub job_removed: bool,
}

/// Which triggers are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// This one.
    Trigger(TriggerKey),
    /// All triggers of this job.
    Job(JobKey),
    /// All triggers of such groups.
    TriggerGroup(Text),
    /// All triggers of the jobs of such groups.
    JobGroup(Text),
    /// All triggers.
    All,
}

/// Pause triggers.
///
/// Pausing a *group* is remembered: a trigger that comes to it later is born paused. A group named exactly is remembered
/// even if it does not exist yet; a pattern stands for the groups that exist now. Pausing *all* is remembered for every
/// group, existing or not. Resuming forgets what it names. A trigger that is complete or in error is left alone, and one
/// that is paused already keeps a pause that ends later, unless it is named itself. Pauses concern triggers: enqueued runs go on.
#[derive(Debug, Clone)]
pub struct Pause {
    /// Which.
    pub what: Selection,
    /// Why, who, how long.
    pub note: PauseNote,
}

/// Why something is paused, by whom, since when and for how long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseNote {
    /// The reason, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// The author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Arc<str>>,
    /// When it was paused.
    pub since: DateTime<Utc>,
    /// When it is resumed by itself; never if not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

impl PauseNote {
    /// Paused at `since`, without a word, until somebody resumes it.
    pub fn at(since: DateTime<Utc>) -> Self {
        Self { since, ..Self::default() }
    }

    /// Paused for this reason; a scheduler sets since when.
    pub fn because(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }

    /// Paused by this author.
    #[must_use]
    pub fn by(self, author: impl Into<Arc<str>>) -> Self {
        Self { author: Some(author.into()), ..self }
    }

    /// Resumed by itself at `time`.
    #[must_use]
    pub fn until(self, time: DateTime<Utc>) -> Self {
        Self { until: Some(time), ..self }
    }
}

/// A queue from which no node takes anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PausedQueue {
    /// Its name.
    pub name: Arc<str>,
    /// Why it is paused, by whom, since when and for how long.
    pub note: PauseNote,
}

impl fmt::Display for PauseNote {
    /// In a sentence: `paused since … by ada: migration, until …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused since {}", self.since)?;
        if let Some(author) = &self.author {
            write!(f, " by {author}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        self.until.map_or(Ok(()), |until| write!(f, ", until {until}"))
    }
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Only these; empty for all.
    pub keys: Vec<JobKey>,
    /// Only those of such groups.
    pub group: Text,
    /// Only those with such names.
    pub name: Text,
    /// Only those run by this function.
    pub job_type: Option<Arc<str>>,
    /// Only those after this key: the [`next`](super::Page::next) of the page before. The key need not exist.
    pub after: Option<JobKey>,
    /// At most so many on a page; by default [`PAGE_SIZE`](super::PAGE_SIZE), and never more than
    /// [`MAX_PAGE_SIZE`](super::MAX_PAGE_SIZE). A query with `keys` has no limit by default.
    pub limit: Option<usize>,
}

impl JobQuery {
    /// The number of items of a page, for a store.
    pub fn page_size(&self) -> usize {
        if self.keys.is_empty() { page_size(self.limit) } else { self.limit.unwrap_or(usize::MAX) }
    }

    /// Whether the job is meant, apart from the [keys](Self::keys), which a store looks up, and the limit.
    pub fn matches(&self, job: &JobDetail) -> bool {
        let key = job.key();
        self.after.as_ref().is_none_or(|after| key > after)
            && self.group.matches(key.group())
            && self.name.matches(key.name())
            && self.job_type.as_deref().is_none_or(|job_type| job.job_type() == job_type)
    }
}

/// Which triggers to list.
#[derive(Debug, Clone, Default)]
pub struct TriggerQuery {
    /// Only these; empty for all.
    pub keys: Vec<TriggerKey>,
    /// Only those of such groups.
    pub group: Text,
    /// Only those with such names.
    pub name: Text,
    /// Only those of this job.
    pub job: Option<JobKey>,
    /// Only those in this state.
    pub state: Option<TriggerState>,
    /// Only those that name this calendar.
    pub calendar: Option<Arc<str>>,
    /// Only those that the code of this scheduler declares.
    pub declared_by: Option<Arc<str>>,
    /// Only those after this key: the [`next`](super::Page::next) of the page before. The key need not exist.
    pub after: Option<TriggerKey>,
    /// At most so many on a page; by default [`PAGE_SIZE`](super::PAGE_SIZE), and never more than
    /// [`MAX_PAGE_SIZE`](super::MAX_PAGE_SIZE). A query with `keys` has no limit by default.
    pub limit: Option<usize>,
}

impl TriggerQuery {
    /// The number of items of a page, for a store.
    pub fn page_size(&self) -> usize {
        if self.keys.is_empty() { page_size(self.limit) } else { self.limit.unwrap_or(usize::MAX) }
    }

    /// Whether the trigger in this state is meant, apart from the [keys](Self::keys), which a store looks up, and the limit.
    pub fn matches(&self, trigger: &Trigger, state: TriggerState) -> bool {
        let key = trigger.key();
        self.after.as_ref().is_none_or(|after| key > after)
            && self.group.matches(key.group())
            && self.name.matches(key.name())
            && self.job.as_ref().is_none_or(|job| trigger.job() == job)
            && self.calendar.as_deref().is_none_or(|name| trigger.calendar() == Some(name))
            && self.declared_by.as_deref().is_none_or(|name| trigger.declared_by() == Some(name))
            && self.state.is_none_or(|wanted| wanted == state)
    }
}

/// A trigger with everything a caller may want to know.
#[derive(Debug, Clone, Serialize)]
pub struct TriggerStatus {
    /// The trigger as stored.
    pub trigger: Arc<Trigger>,
    /// How far it has got.
    pub progress: Progress,
    /// Its visible state.
    pub state: TriggerState,
    /// Why it is paused, if it is.
    pub pause: Option<PauseNote>,
    /// Another number whenever its description was changed.
    pub revision: u64,
}

/// Which executions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Executions {
    /// This one.
    One(ExecutionId),
    /// Those of this job.
    OfJob(JobKey),
    /// Those of this trigger.
    OfTrigger(TriggerKey),
    /// Those of this [queue](Trigger::queue).
    OfQueue(Arc<str>),
    /// All.
    All,
}

/// An execution under way, on any node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecutionStatus {
    /// The execution.
    pub id: ExecutionId,
    /// Its job.
    pub job: JobKey,
    /// Its trigger.
    pub trigger: TriggerKey,
    /// The [queue](Trigger::queue) of the trigger when it fired.
    pub queue: Option<Arc<str>>,
    /// When it fired.
    pub fired: DateTime<Utc>,
    /// How far it has got, for people.
    pub progress: Option<RunProgress>,
    /// What its run has logged, if its job [logs](crate::job::JobDetail::log). Only shown by [`Executions::One`].
    pub log: Option<Arc<RunLog>>,
}

/// A note that the store keeps under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it says.
    pub text: Arc<str>,
    /// Another number, and a larger one, whenever it was written.
    pub revision: u64,
}

/// Note something under a name.
#[derive(Debug, Clone)]
pub struct PutMark {
    /// The name.
    pub name: Arc<str>,
    /// What it is to say.
    pub text: Arc<str>,
    /// The revision of what is there; none if there is nothing.
    pub revision: Option<u64>,
}

/// Which groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// Those of jobs.
    Jobs,
    /// Those of triggers.
    Triggers,
}

/// A group of jobs or triggers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupStatus {
    /// Its name.
    pub name: Arc<str>,
    /// How many jobs or triggers are in it.
    pub members: usize,
    /// Why it is remembered as paused, if it is.
    pub pause: Option<PauseNote>,
}
