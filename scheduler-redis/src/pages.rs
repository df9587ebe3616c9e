//! Pages of lists. No call of the server reads many rows, and no page needs many calls: one that a rare filter leaves short says
//! where it goes on.

use std::sync::Arc;

use scheduler_core::job::JobDetail;
use scheduler_core::run::{RunEnd, RunId};
use scheduler_core::store::rows::{Rank, RunTag};
use scheduler_core::store::*;
use scheduler_core::{JobKey, Result, TriggerKey};

use crate::codec;
use crate::load::{Broken, Loader, after};
use crate::parts::{Range, keys_in};
use crate::script::words;
use crate::shared::Shared;

/// So many rows are read at once.
const ROWS: usize = 100;

/// A page reads so many times.
const READS: usize = 8;

/// What a page has found so far.
struct Found<T, C> {
    items: Vec<T>,
    limit: usize,
    looked_at: usize,
    reads: usize,
    /// The last name that could be read.
    last: Option<C>,
}

impl<T, C: Clone> Found<T, C> {
    fn new(limit: usize) -> Self {
        Self { items: Vec::new(), limit, looked_at: 0, reads: 0, last: None }
    }

    /// Takes in what was found among so many rows, of which `last` is the last name. Returns the page if it is finished.
    fn take(
        &mut self,
        found: Vec<T>,
        rows: usize,
        last: Option<C>,
        key: impl Fn(&T) -> C,
    ) -> Option<Page<T, C>> {
        let is_end = rows < ROWS;
        self.looked_at += rows;
        self.reads += 1;
        self.items.extend(found);
        // An audit takes care of an entry that is no name. The next page cannot begin behind it.
        let goes_on = last.is_some();
        self.last = last.or(self.last.take());
        if self.items.len() > self.limit || (self.items.len() == self.limit && !is_end) {
            self.items.truncate(self.limit);
            let next = self.items.last().map(key);
            return Some(Page::new(std::mem::take(&mut self.items), next, self.looked_at));
        }
        if is_end {
            return Some(Page::new(std::mem::take(&mut self.items), None, self.looked_at));
        }
        let next = self.last.clone().filter(|_| goes_on && self.reads >= READS)?;
        Some(Page::unfinished(std::mem::take(&mut self.items), next, self.looked_at))
    }
}

/// The trigger of the last entry that can be read.
fn last_trigger(range: &Range, entries: &[String]) -> Option<TriggerKey> {
    let key = |entry: &String| match range {
        Range::TriggerGroup(_) => codec::trigger_key(entry).ok(),
        _ => codec::trigger_key(range.trigger(entry)?).ok(),
    };
    entries.iter().rev().find_map(key)
}

impl Shared {
    pub(crate) async fn page_of_jobs(&self, query: &JobQuery) -> Result<Page<Arc<JobDetail>, JobKey>> {
        let (mut found, mut view) = (Found::new(query.page_size()), self.empty_view());
        if found.limit == 0 {
            return Ok(Page::empty());
        }
        let mut part = JobQuery { limit: None, ..query.clone() };
        let mut since = query.after.as_ref().map(codec::key);
        loop {
            let loader = Loader { shared: self, view: &mut view, broken: Broken::IsNone };
            let names = loader.page("nj", codec::only_group(&query.group), since.as_deref(), ROWS).await?;
            part.keys = names.iter().filter_map(|key| codec::job_key(key).ok()).collect();
            let mut jobs = Vec::new();
            if !part.keys.is_empty() {
                jobs = self.look_on(Broken::IsNone, &mut view, |view| rules::jobs(view, &part)).await?.items;
            }
            let page = found.take(jobs, names.len(), part.keys.pop(), |job| job.key().clone());
            if let Some(page) = page {
                return Ok(page);
            }
            since = names.into_iter().last();
        }
    }

    pub(crate) async fn page_of_triggers(
        &self,
        query: &TriggerQuery,
    ) -> Result<Page<TriggerStatus, TriggerKey>> {
        // The claims are loaded once for the page.
        let (mut found, mut view) = (Found::new(query.page_size()), self.empty_view());
        if found.limit == 0 {
            return Ok(Page::empty());
        }
        let (range, begin) = match (&query.job, &query.calendar) {
            (Some(job), _) => (Range::Job(codec::key(job)), Some(codec::key(job))),
            (None, Some(name)) => (Range::Calendar(name.to_string()), Some(name.to_string())),
            (None, None) => (Range::TriggerGroup(query.group.clone()), None),
        };
        let mut behind = query.after.as_ref().map(codec::key).map(|after| match begin {
            Some(begin) => format!("{begin}\0\0{after}"),
            None => after,
        });
        let mut part = TriggerQuery { limit: None, ..query.clone() };
        loop {
            let entries = self.entries(&range, behind.as_deref(), ROWS).await?;
            part.keys = keys_in(&range, &entries);
            let mut triggers = Vec::new();
            if !part.keys.is_empty() {
                let rule = |view: &mut _| rules::triggers(view, &part);
                triggers = self.look_on(Broken::IsNone, &mut view, rule).await?.items;
            }
            let last = last_trigger(&range, &entries);
            let page = found.take(triggers, entries.len(), last, |status| status.trigger.key().clone());
            if let Some(page) = page {
                return Ok(page);
            }
            behind = entries.into_iter().last();
        }
    }

    pub(crate) async fn page_of_runs(&self, query: &RunQuery) -> Result<Page<RunStatus, RunCursor>> {
        if query.page_size() == 0 {
            return Ok(Page::empty());
        }
        match (query.ends(), query.batch) {
            (Some(ends), _) => self.page_of_ended(query, &ends).await,
            (None, Some(batch)) => self.page_of_batch(query, batch).await,
            (None, None) => self.page_of_all(query).await,
        }
    }

    /// Ended runs are kept by the time of their end.
    async fn page_of_ended(&self, query: &RunQuery, ends: &[RunEnd]) -> Result<Page<RunStatus, RunCursor>> {
        let mut found = Found::new(query.page_size());
        let cursor = |rank: &Rank| RunCursor::in_scan(rank.number, Some(rank.run));
        let after = |cursor: RunCursor| Some(Rank { number: cursor.scan, run: cursor.after? });
        let mut behind = query.after.and_then(after);
        loop {
            let ranks = self.latest(ends, behind, ROWS).await?;
            let ids = ranks.iter().map(|rank| rank.run).collect();
            let runs = self.runs_of(query, ids, None).await?;
            let place = |id| ranks.iter().find(|rank| rank.run == id);
            let last = ranks.last().map(cursor);
            let key = |run: &RunStatus| place(run.id).map(cursor).unwrap_or_default();
            if let Some(page) = found.take(runs, ranks.len(), last, key) {
                return Ok(page);
            }
            behind = ranks.last().copied();
        }
    }

    /// The runs of a batch, in the order of their ids: first those that have ended or were asked to, then the others.
    async fn page_of_batch(&self, query: &RunQuery, batch: RunId) -> Result<Page<RunStatus, RunCursor>> {
        let tags = [RunTag::FormerMember(batch), RunTag::Member(batch)];
        let (mut items, mut looked_at, limit) = (Vec::new(), 0, query.page_size());
        let mut cursor = query.after.unwrap_or_default();
        for _ in 0..READS {
            let Some(tag) = usize::try_from(cursor.scan).ok().and_then(|scan| tags.get(scan)) else {
                return Ok(Page::new(items, None, looked_at));
            };
            let mut view = self.empty_view();
            let loader = Loader { shared: self, view: &mut view, broken: Broken::IsNone };
            let (ids, is_last) = loader.tagged_behind(tag, cursor.after, ROWS).await?;
            looked_at += ids.len();
            let last = ids.last().copied();
            let mut found = self.runs_of(query, ids, None).await?;
            let room = limit - items.len();
            let is_cut = found.len() > room;
            found.truncate(room);
            items.extend(found);
            if is_cut {
                let last = items.last().map(|run: &RunStatus| run.id);
                return Ok(Page::new(items, Some(RunCursor::in_scan(cursor.scan, last)), looked_at));
            }
            cursor = match is_last {
                true => RunCursor::in_scan(cursor.scan + 1, None),
                false => RunCursor::in_scan(cursor.scan, last.or(cursor.after)),
            };
            if items.len() == limit {
                return Ok(Page::new(items, Some(cursor), looked_at));
            }
        }
        Ok(Page::unfinished(items, cursor, looked_at))
    }

    /// The others are kept in the order of the server's hash table. Each read gives them a small part of it. A page ends between two
    /// parts wherever it can: a part that is read again may have other runs in it.
    async fn page_of_all(&self, query: &RunQuery) -> Result<Page<RunStatus, RunCursor>> {
        let RunCursor { mut after, mut scan, .. } = query.after.unwrap_or_default();
        let (mut items, mut looked_at, limit) = (Vec::new(), 0, query.page_size());
        for _ in 0..READS {
            let mut view = self.empty_view();
            let loader = Loader { shared: self, view: &mut view, broken: Broken::IsNone };
            let (ids, next) = loader.scan_runs(scan, ROWS.min(limit)).await?;
            let mut found = self.runs_of(query, ids.clone(), after).await?;
            let room = limit - items.len();
            if found.len() > room && !items.is_empty() {
                return Ok(Page::unfinished(items, RunCursor::in_scan(scan, after), looked_at));
            }
            looked_at += ids.len();
            let is_cut = found.len() > room;
            found.truncate(room);
            items.extend(found);
            if is_cut {
                let last = items.last().map(|run: &RunStatus| run.id);
                return Ok(Page::new(items, Some(RunCursor::in_scan(scan, last)), looked_at));
            }
            let Some(next) = next else { return Ok(Page::new(items, None, looked_at)) };
            (scan, after) = (next, None);
            if items.len() == limit {
                return Ok(Page::new(items, Some(RunCursor::in_scan(scan, None)), looked_at));
            }
        }
        Ok(Page::unfinished(items, RunCursor::in_scan(scan, None), looked_at))
    }

    /// Those of these runs that the query means, behind this id.
    async fn runs_of(
        &self,
        query: &RunQuery,
        ids: Vec<RunId>,
        after: Option<RunId>,
    ) -> Result<Vec<RunStatus>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut part = query.clone();
        (part.ids, part.limit, part.after) = (ids, None, after.map(RunCursor::from));
        // A scan may answer one twice.
        part.ids.sort_unstable();
        part.ids.dedup();
        Ok(self.look_at(Broken::IsNone, |view| rules::runs(view, &part)).await?.items)
    }
}

impl Loader<'_> {
    /// The runs of a tag behind this one, in the order of their ids, at most so many; and whether they are the last.
    async fn tagged_behind(
        &self,
        tag: &RunTag,
        behind: Option<RunId>,
        most: usize,
    ) -> Result<(Vec<RunId>, bool)> {
        let tag = codec::tag(tag);
        let from = match behind {
            Some(run) => format!("({tag}{}", codec::run(run)),
            None => format!("[{tag}"),
        };
        let mut command = self.get("ZRANGEBYLEX", "tags");
        command.arg(from).arg(after(&tag)).arg("LIMIT").arg(0).arg(most);
        let found = words(Some(self.one(&command).await?));
        let runs = found.iter().filter_map(|entry| codec::read_run(entry.strip_prefix(&*tag)?)).collect();
        Ok((runs, found.len() < most))
    }
}
