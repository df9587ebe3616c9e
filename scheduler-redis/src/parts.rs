//! Changes of more triggers than one commit may touch.
//!
//! Pauses, resumptions and the move of a job's triggers are *chores*: noted with the commit that begins them, with how far they
//! have come, so that any node finishes one whose author is gone. Those that could undo one another wait for each other. A removal,
//! and what a run says of all triggers of its job, needs no note: whoever has heard of no end repeats the call.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use scheduler_core::job::ExecutionId;
use scheduler_core::store::rows::{Id, Table};
use scheduler_core::store::view::{Missing, Names as _, View};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::{Error, JobKey, Result, Text, TriggerKey};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::commit::Entry;
use crate::load::{Broken, Loader, PAGE, after, parts};
use crate::names::Names;
use crate::run::{Mode, each};
use crate::script::{bytes, list, number, word, words};
use crate::session::knows;
use crate::shared::Shared;

/// No more rows are changed by one commit, where the contract lets a store do its work in parts.
pub(crate) const PART: usize = 500;

/// After so long without progress a chore is anybody's.
const ABANDONED: TimeDelta = TimeDelta::seconds(2);

/// What is done to each trigger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    Pause(PauseNote),
    Resume,
    /// To the place that follows from its job.
    Move,
}

/// Which triggers: a range of an index, and which groups in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Range {
    Job(String),
    Calendar(String),
    TriggerGroup(Text),
    JobGroup(Text),
    All,
}

/// A change that goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Chore {
    work: Work,
    of: Range,
    /// The entry of the index behind which it goes on.
    after: Option<String>,
    /// When it last went on.
    at: DateTime<Utc>,
}

impl Range {
    /// None for a single trigger.
    fn of(what: &Selection) -> Option<Self> {
        match what {
            Selection::Job(job) => Some(Self::Job(codec::key(job))),
            Selection::TriggerGroup(groups) => Some(Self::TriggerGroup(groups.clone())),
            Selection::JobGroup(groups) => Some(Self::JobGroup(groups.clone())),
            Selection::All => Some(Self::All),
            _ => None,
        }
    }

    fn selection(&self) -> Result<Selection> {
        Ok(match self {
            Self::Job(job) => Selection::Job(codec::job_key(job)?),
            // Nothing is done to the triggers of a calendar.
            Self::Calendar(name) => Selection::TriggerGroup(Text::Is(name.as_str().into())),
            Self::TriggerGroup(groups) => Selection::TriggerGroup(groups.clone()),
            Self::JobGroup(groups) => Selection::JobGroup(groups.clone()),
            Self::All => Selection::All,
        })
    }

    /// The index, and how the entries begin that are meant.
    fn index(&self) -> (&'static str, Option<String>) {
        let of_group = |groups: &Text| codec::only_group(groups).map(|group| format!("{group}\0"));
        match self {
            Self::Job(job) => ("of", Some(format!("{job}\0\0"))),
            Self::Calendar(name) => ("by", Some(format!("{name}\0\0"))),
            Self::TriggerGroup(groups) => ("nt", of_group(groups)),
            Self::JobGroup(groups) => ("of", of_group(groups)),
            Self::All => ("nt", None),
        }
    }

    /// The trigger of an entry, if it is meant.
    pub(crate) fn trigger<'a>(&self, entry: &'a str) -> Option<&'a str> {
        let group = codec::group_name(entry.split('\0').next().unwrap_or_default());
        match self {
            Self::TriggerGroup(groups) if !groups.matches(group) => None,
            Self::JobGroup(groups) if !groups.matches(group) => None,
            Self::Job(_) | Self::Calendar(_) | Self::JobGroup(_) => {
                entry.split_once("\0\0").map(|(_, trigger)| trigger)
            }
            _ => Some(entry),
        }
    }
}

/// Which chores are left.
#[derive(Debug)]
pub(crate) enum Left {
    Nothing,
    /// Their authors go on with them.
    OfOthers,
    /// This program cannot finish the one of this number.
    Unknown(String),
}

fn read_chore(record: &[u8]) -> Result<Chore> {
    codec::decode("chore", "", &String::from_utf8_lossy(record))
}

/// Whether this is one that this program can finish.
pub(crate) fn is_chore(record: &[u8]) -> bool {
    parts(record).is_some_and(|(_, record)| read_chore(record).is_ok())
}

fn work_on(view: &mut View<Names>, work: &Work, what: &Selection) -> Result<Vec<TriggerKey>, Missing> {
    match work {
        Work::Pause(note) => rules::pause_selected(view, &Pause { what: what.clone(), note: note.clone() }),
        Work::Resume => rules::resume_selected(view, what),
        Work::Move => {
            if let Selection::Job(job) = what {
                rules::move_triggers(view, job)?;
            }
            Ok(Vec::new())
        }
    }
}

fn is_of_another_version(whole: &redis::Value) -> bool {
    let record = bytes(whole).and_then(parts).map(|(_, record)| record);
    record.is_some_and(|record| {
        serde_json::from_slice::<serde_json::Value>(record).is_ok_and(|chore| chore.is_object())
    })
}

/// The triggers of these entries. An audit takes care of an entry that is no key.
pub(crate) fn keys_in(range: &Range, entries: &[String]) -> Vec<TriggerKey> {
    entries.iter().filter_map(|entry| codec::trigger_key(range.trigger(entry)?).ok()).collect()
}

fn is_of_job(completion: &Completion) -> bool {
    matches!(completion.instruction, Instruction::FinishJob | Instruction::FailJob)
}

/// Carries out the parts of a call, two at a time: the server works on one while the other is put together. The answers are in the
/// order of the parts.
pub(crate) async fn two_at_a_time<P, T, F: Future<Output = Result<T>>>(
    parts: impl Iterator<Item = P>,
    carry_out: impl Fn(P) -> F,
) -> Result<Vec<T>> {
    // None when a part has failed: no other begins then.
    let (parts, answers) = (Mutex::new(Some(parts.enumerate())), Mutex::new(BTreeMap::new()));
    let one_by_one = async || {
        loop {
            let next = parts.lock().as_mut().and_then(Iterator::next);
            let Some((number, part)) = next else { return Ok(()) };
            let answer = carry_out(part).await.inspect_err(|_| drop(parts.lock().take()))?;
            answers.lock().insert(number, answer);
            // Lets the other one go on before this one puts its next part together.
            tokio::task::yield_now().await;
        }
    };
    let (first, second): (Result<()>, Result<()>) = tokio::join!(one_by_one(), one_by_one());
    first.and(second)?;
    Ok(answers.into_inner().into_values().collect())
}

impl Shared {
    /// The next entries of the index, at most so many.
    pub(crate) async fn entries(
        &self,
        range: &Range,
        behind: Option<&str>,
        count: usize,
    ) -> Result<Vec<String>> {
        let (zset, begin) = range.index();
        let first = match (behind, &begin) {
            (Some(behind), Some(begin)) if behind < begin.as_str() => format!("[{begin}"),
            (Some(behind), _) => format!("({behind}"),
            (None, Some(begin)) => format!("[{begin}"),
            (None, None) => "-".to_owned(),
        };
        let last = begin.map_or_else(|| b"+".to_vec(), |begin| after(&begin));
        let mut command = self.command("ZRANGEBYLEX", zset);
        Ok(words(Some(self.ask(command.arg(first).arg(last).arg("LIMIT").arg(0).arg(count)).await?)))
    }

    /// Whether so many triggers are meant that they are changed in parts.
    async fn are_many(&self, range: &Range) -> Result<bool> {
        let (mut behind, mut count) = (None, 0);
        loop {
            let entries = self.entries(range, behind.as_deref(), PART).await?;
            count += entries.iter().filter(|entry| range.trigger(entry).is_some()).count();
            behind = entries.last().cloned();
            if count > PART || entries.len() < PART {
                return Ok(count > PART);
            }
        }
    }

    pub(crate) async fn count(&self, job: &str) -> Result<usize> {
        let begin = format!("{job}\0\0");
        let mut command = self.command("ZLEXCOUNT", "of");
        let found = self.ask(command.arg(format!("[{begin}")).arg(after(&begin))).await?;
        Ok(number(Some(&found)).and_then(|count| usize::try_from(count).ok()).unwrap_or_default())
    }

    /// A part of a selection, for a rule that is run once for each.
    fn part(&self, of: &Selection, keys: &[TriggerKey]) -> View<Names> {
        let mut view = self.view();
        let triggers = keys.iter().map(|key| view.names().trigger(key)).collect();
        view.load_part(of.clone(), triggers);
        view
    }

    pub(crate) async fn pause(&self, request: Pause) -> Result<Vec<TriggerKey>> {
        // What is stored between the two is born paused.
        let first = |view: &mut View<Names>| rules::remember(view, &request);
        let then = |view: &mut View<Names>| rules::pause_selected(view, &request);
        self.change_many("pause", &request.what, Work::Pause(request.note.clone()), first, then).await
    }

    pub(crate) async fn resume(&self, what: Selection) -> Result<Vec<TriggerKey>> {
        // What is stored between the two is not born paused.
        let first = |view: &mut View<Names>| rules::forget(view, &what);
        let then = |view: &mut View<Names>| rules::resume_selected(view, &what);
        self.change_many("resume", &what, Work::Resume, first, then).await
    }

    /// Commits what comes before the triggers, then changes them: as a chore, if there are many. No other chore goes on meanwhile.
    async fn change_many(
        &self,
        call: &'static str,
        what: &Selection,
        work: Work,
        first: impl Fn(&mut View<Names>) -> Result<(), Missing>,
        then: impl Fn(&mut View<Names>) -> Result<Vec<TriggerKey>, Missing>,
    ) -> Result<Vec<TriggerKey>> {
        loop {
            self.finish_chores().await?;
            let range = Range::of(what);
            let is_large = match &range {
                Some(range) => self.are_many(range).await?,
                None => false,
            };
            let (entry, chore) = match range.filter(|_| is_large) {
                Some(range) => {
                    let (entry, chore) = self.new_chore(work.clone(), range)?;
                    (entry, Some(chore))
                }
                None => (Entry::alone(), None),
            };
            let view = self.view();
            if Box::pin(self.run_with(call, Mode::Removal, view, &first, Some(&entry))).await?.is_none() {
                continue;
            }
            if let Some(chore) = chore {
                return self.finish(chore).await;
            }
            let view = self.view();
            if let Some(ran) = Box::pin(self.run_with(call, Mode::Removal, view, &then, Some(&entry))).await?
            {
                return Ok(ran.answer);
            }
        }
    }

    pub(crate) fn new_chore(&self, work: Work, of: Range) -> Result<(Entry, (String, Chore))> {
        let chore = Chore { work, of, after: None, at: self.clock.now() };
        let number = format!("{}-{}", self.version(), self.id());
        let record = Some(codec::encode(&chore)?.into_bytes());
        let entry = Entry { number: number.clone(), version: 0, record, is_alone: true };
        Ok((entry, (number, chore)))
    }

    /// Goes on with a chore to its end. Returns the triggers that this process has changed.
    pub(crate) async fn finish(&self, (number, mut chore): (String, Chore)) -> Result<Vec<TriggerKey>> {
        let mut changed = Vec::new();
        loop {
            let found = self.ask(self.command("HGET", "chores").arg(&number)).await?;
            let Some((version, record)) = bytes(&found).and_then(parts) else { break };
            chore.after = read_chore(record)?.after;
            let entries = self.entries(&chore.of, chore.after.as_deref(), PART).await?;
            let keys = keys_in(&chore.of, &entries);
            chore.at = self.clock.now();
            chore.after = entries.last().filter(|_| entries.len() == PART).cloned();
            let goes_on = chore.after.is_some();
            let record = goes_on.then(|| codec::encode(&chore)).transpose()?.map(String::into_bytes);
            let entry = Entry { number: number.clone(), version, record, is_alone: false };
            let what = chore.of.selection()?;
            let rule = |view: &mut View<Names>| work_on(view, &chore.work, &what);
            let ran =
                self.run_with("chore", Mode::Chore, self.part(&what, &keys), rule, Some(&entry)).await?;
            if let Some(ran) = ran {
                changed.extend(ran.answer);
                if !goes_on {
                    break;
                }
            }
        }
        changed.sort_unstable();
        Ok(changed)
    }

    /// Waits for chores of others, and finishes those that nobody goes on with.
    pub(crate) async fn finish_chores(&self) -> Result<()> {
        loop {
            match self.take_chores().await? {
                Left::Nothing => return Ok(()),
                Left::OfOthers => SystemClock.sleep(Duration::from_millis(50)).await,
                Left::Unknown(number) => {
                    return Err(Error::transient(format!(
                        "the chore `{number}` of another program goes on, and this program does not know it; repeat the call when a \
                         node of a newer version has finished the chore, or upgrade `scheduler-redis`"
                    )));
                }
            }
        }
    }

    /// Finishes chores that nobody goes on with. Says what is left.
    pub(crate) async fn take_chores(&self) -> Result<Left> {
        let all = list(Some(self.ask(&self.command("HGETALL", "chores")).await?));
        let mut left = Left::Nothing;
        for pair in all.chunks_exact(2) {
            let number = word(pair.first());
            let record = bytes(&pair[1]).and_then(parts).map(|(_, record)| read_chore(record));
            match record {
                // A clock that was set back makes nobody wait.
                Some(Ok(chore)) if (self.clock.now() - chore.at).abs() < ABANDONED => left = Left::OfOthers,
                Some(Ok(chore)) => drop(self.finish((number, chore)).await?),
                Some(Err(_)) if is_of_another_version(&pair[1]) => return Ok(Left::Unknown(number)),
                _ => self.drop_chore(&number).await?,
            }
        }
        Ok(left)
    }

    async fn drop_chore(&self, number: &str) -> Result<()> {
        tracing::error!(
            "the job store in Redis has lost something: chore `{number}`, what was left of a change; repeat the last pause, resume or \
             change of a job"
        );
        self.ask(self.command("HDEL", "chores").arg(number)).await.map(drop)
    }

    /// Removes all triggers of a job but the last part, if there are many.
    async fn thin_out(&self, key: &JobKey) -> Result<()> {
        let what = Selection::Job(key.clone());
        let range = Range::Job(codec::key(key));
        while self.count(&codec::key(key)).await? > PART {
            let entries = self.entries(&range, None, PART).await?;
            let keys = keys_in(&range, &entries);
            let rule =
                |view: &mut View<Names>| each(view, &keys, |view, key| rules::remove_trigger(view, &key));
            let removed = self.run("remove_jobs", Mode::Removal, self.part(&what, &keys), rule).await?.answer;
            if !removed.iter().any(|removed| removed.found) {
                // What is left has names and no records.
                break;
            }
        }
        Ok(())
    }

    pub(crate) async fn remove_jobs(&self, keys: &[JobKey]) -> Result<Vec<bool>> {
        let mut answers = Vec::with_capacity(keys.len());
        let mut rest = keys;
        while !rest.is_empty() {
            let (mut many, mut rows) = (0, 0);
            for key in rest.iter().take(PART) {
                self.thin_out(key).await?;
                rows += 1 + self.count(&codec::key(key)).await?;
                if many > 0 && rows > PART {
                    break;
                }
                many += 1;
            }
            let (part, left) = rest.split_at(many);
            let rule = |view: &mut View<Names>| each(view, part, |view, key| rules::remove_job(view, &key));
            answers.extend(self.run("remove_jobs", Mode::Removal, self.view(), rule).await?.answer);
            rest = left;
        }
        Ok(answers)
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        self.finish_chores().await?;
        loop {
            let keys = Loader { shared: self, view: &mut self.empty_view(), broken: Broken::IsTold }
                .page("nj", None, None, PAGE)
                .await?;
            if keys.is_empty() {
                break;
            }
            let keys = keys.iter().map(|key| codec::job_key(key)).collect::<Result<Vec<_>>>()?;
            if !self.remove_jobs(&keys).await?.contains(&true) {
                // What is left has a name and no record.
                break;
            }
        }
        self.clear_runs().await?;
        self.run("clear", Mode::Removal, self.view(), rules::clear).await.map(drop)
    }

    /// What runs say of all triggers of their jobs is done to those before the runs are over, where there are many.
    pub(crate) async fn end_large_jobs(&self, completions: &mut [Completion]) -> Result<()> {
        for completion in completions.iter_mut().filter(|completion| is_of_job(completion)) {
            let execution = completion.execution;
            let claim = |view: &mut View<Names>| {
                knows(view, [execution]);
                let claim = view.get(Id::of(execution))?.filter(|claim| claim.fired);
                Ok(claim.map(|claim| claim.trigger.job().clone()))
            };
            let Some(job) = self.look(claim).await? else { continue };
            if self.count(&codec::key(&job)).await? > PART {
                self.end_large_job(&job, completion).await?;
                completion.instruction = Instruction::Continue;
            }
        }
        Ok(())
    }

    async fn end_large_job(&self, job: &JobKey, completion: &Completion) -> Result<()> {
        let (what, range, mut behind) = (Selection::Job(job.clone()), Range::Job(codec::key(job)), None);
        loop {
            let entries = self.entries(&range, behind.as_deref(), PART).await?;
            let mut view = self.part(&what, &keys_in(&range, &entries));
            knows(&mut view, [completion.execution]);
            let rule = |view: &mut View<Names>| {
                // Only as long as the run is there.
                match view.get(Id::of(completion.execution))?.is_some() {
                    true => rules::end_job(view, job, completion.instruction),
                    false => Ok(()),
                }
            };
            self.run("complete", Mode::Chore, view, rule).await?;
            behind = entries.last().cloned();
            if entries.len() < PART {
                return Ok(());
            }
        }
    }

    pub(crate) async fn executions(&self, what: &Executions) -> Result<Vec<ExecutionStatus>> {
        let rule = |view: &mut View<Names>| {
            if let Executions::One(run) = what {
                knows(view, [*run]);
            }
            rules::executions(view, what)
        };
        self.look(rule).await
    }

    pub(crate) async fn cancel(&self, what: Executions) -> Result<Vec<ExecutionId>> {
        let runs = self.executions(&what).await?;
        let mut cancelled = Vec::with_capacity(runs.len());
        for part in runs.chunks(PART) {
            let ids: Vec<_> = part.iter().map(|run| run.id).collect();
            let mut view = self.view();
            knows(&mut view, ids.iter().copied());
            let rule = |view: &mut View<Names>| {
                each(view, &ids, |view, id| rules::cancel(view, &Executions::One(id)))
            };
            let part = self.run("cancel", Mode::Removal, view, rule).await?.answer;
            cancelled.extend(part.into_iter().flatten());
        }
        cancelled.sort_unstable();
        Ok(cancelled)
    }
}
