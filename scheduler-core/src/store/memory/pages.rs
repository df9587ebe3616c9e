//! Pages of lists. No page holds the lock for longer than some thousand rows take; between two parts whoever waits has its turn.

use std::sync::Arc;

use slab::Slab;

use super::MemoryJobStore;
use super::listing::{Listing, Made, Named, SLOTS, gather};
use super::slots::{JobSlot, RunSlot, TriggerSlot};
use super::table::Table;
use crate::job::JobDetail;
use crate::key::{JobKey, TriggerKey};
use crate::matcher::Text;
use crate::run::{RunEnd, RunId};
use crate::store::admin::{JobQuery, TriggerQuery, TriggerStatus};
use crate::store::firings::{FiringCursor, FiringQuery, FiringRecord};
use crate::store::page::Page;
use crate::store::rows::{Rank, RunTag};
use crate::store::rules;
use crate::store::runs::{RunCursor, RunQuery, RunStatus};
use crate::sync::yield_now;

/// No page looks at more rows, or only at so many more as one part has.
const MOST_LOOKED_AT: usize = 65_536;

/// No page looks at more firing records, which are not in the order of memory.
const MOST_RECORDS: usize = 16_384;

/// The listing and the rows of one kind.
type Kind<S> = fn(&mut Table) -> (&mut Listing<S>, &Slab<S>);

/// Which rows of a kind a page may show.
struct Range<'a, S: Named> {
    kind: Kind<S>,
    after: Option<S::Name>,
    group: Option<&'a str>,
    limit: usize,
}

fn only_group(groups: &Text) -> Option<&str> {
    match groups {
        Text::Is(group) => Some(group),
        _ => None,
    }
}

impl MemoryJobStore {
    pub(super) async fn page_of_jobs(&self, query: &JobQuery) -> Page<Arc<JobDetail>, JobKey> {
        let kind: Kind<JobSlot> = |table| (&mut table.listings.jobs, &table.jobs);
        let (after, group, limit) = (query.after.clone(), only_group(&query.group), query.page_size());
        self.page(Range { kind, after, group, limit }, |table, slot| {
            let detail = &table.jobs[slot].row.detail;
            query.matches(detail).then(|| detail.clone())
        })
        .await
    }

    pub(super) async fn page_of_triggers(&self, query: &TriggerQuery) -> Page<TriggerStatus, TriggerKey> {
        let kind: Kind<TriggerSlot> = |table| (&mut table.listings.triggers, &table.triggers);
        let (after, group, limit) = (query.after.clone(), only_group(&query.group), query.page_size());
        let mut running = None;
        self.page(Range { kind, after, group, limit }, |table, slot| {
            let running = running.get_or_insert_with(|| {
                let Ok(running) = rules::Running::of(table);
                running
            });
            running.wanted(query, table.id_of(slot), &table.triggers[slot].row)
        })
        .await
    }

    pub(super) async fn page_of_runs(&self, query: &RunQuery) -> Page<RunStatus, RunCursor> {
        if let Some(ends) = query.ends() {
            return self.page_of_ended(query, &ends).await;
        }
        if let Some(batch) = query.batch.filter(|_| query.ids.is_empty()) {
            return self.page_of_batch(query, batch).await;
        }
        let kind: Kind<RunSlot> = |table| (&mut table.listings.runs, &table.runs);
        let after = query.after.and_then(|cursor| cursor.after);
        let range = Range { kind, after, group: None, limit: query.page_size() };
        let page = self.page(range, |table, slot| {
            let run = &table.runs[slot];
            let status = table.status_of(run.row.status(run.claim != 0).seen_by(query));
            rules::is_meant(query, &status).then_some(status)
        });
        page.await.on_from(RunCursor::from)
    }

    /// The runs of a batch, in the order in which they were stored: first those that have ended or were asked to, then the others. A
    /// cursor names the batch once it is among the others.
    async fn page_of_batch(&self, query: &RunQuery, batch: RunId) -> Page<RunStatus, RunCursor> {
        let (mut items, mut looked_at, limit) = (Vec::new(), 0, query.page_size());
        if limit == 0 {
            return Page::empty();
        }
        let RunCursor { after, scan: mut last, .. } = query.after.unwrap_or_default();
        let mut is_among_others = after.is_some();
        loop {
            {
                let table = self.0.table.lock();
                let tag = if is_among_others { RunTag::Member(batch) } else { RunTag::FormerMember(batch) };
                let part = table.tags.from(&tag, last.saturating_add(1), SLOTS);
                for id in &part {
                    (last, looked_at) = (id.0, looked_at + 1);
                    let run = table.run_of(*id).map(|slot| &table.runs[slot]);
                    let status =
                        run.map(|run| table.status_of(run.row.status(run.claim != 0).seen_by(query)));
                    items.extend(status.filter(|run| rules::is_meant(query, run)));
                    if items.len() == limit {
                        let next = RunCursor::in_scan(last, is_among_others.then_some(batch));
                        return Page::new(items, Some(next), looked_at);
                    }
                }
                if part.len() < SLOTS {
                    if is_among_others {
                        return Page::new(items, None, looked_at);
                    }
                    (is_among_others, last) = (true, 0);
                }
            }
            if looked_at >= MOST_LOOKED_AT {
                let next = RunCursor::in_scan(last, is_among_others.then_some(batch));
                return Page::unfinished(items, next, looked_at);
            }
            yield_now().await;
        }
    }

    /// Ended runs, the latest first.
    async fn page_of_ended(&self, query: &RunQuery, ends: &[RunEnd]) -> Page<RunStatus, RunCursor> {
        let (mut items, mut looked_at, limit) = (Vec::new(), 0, query.page_size());
        if limit == 0 {
            return Page::empty();
        }
        let rank = |cursor: RunCursor| Some(Rank { number: cursor.scan, run: cursor.after? });
        let mut behind = query.after.and_then(rank);
        let mut most = limit.min(SLOTS);
        loop {
            let is_last = {
                let table = self.0.table.lock();
                let part = table.ended.latest(ends, behind, most);
                let is_last = part.len() < most;
                for (rank, id) in part {
                    behind = Some(rank);
                    looked_at += 1;
                    let row = table.run_of(id).map(|slot| &table.runs[slot].row);
                    let status = row.map(|row| table.status_of(row.status(false).seen_by(query)));
                    items.extend(status.filter(|run| rules::is_meant(query, run)));
                    if items.len() == limit {
                        break;
                    }
                }
                is_last
            };
            let next = behind.map(|rank| RunCursor::in_scan(rank.number, Some(rank.run)));
            match next {
                Some(next) if items.len() == limit => return Page::new(items, Some(next), looked_at),
                Some(next) if !is_last && looked_at >= MOST_LOOKED_AT => {
                    return Page::unfinished(items, next, looked_at);
                }
                _ if is_last => return Page::new(items, None, looked_at),
                _ => {}
            }
            most = SLOTS;
            yield_now().await;
        }
    }

    pub(super) async fn page_of_firings(&self, query: &FiringQuery) -> Page<FiringRecord, FiringCursor> {
        let (mut items, mut looked_at, limit) = (Vec::new(), 0, query.page_size());
        if limit == 0 {
            return Page::empty();
        }
        let mut before = query.after.map_or(u64::MAX, |after| after.0);
        loop {
            let last = {
                let table = self.0.table.lock();
                let Some(firings) = &table.firings else { return Page::empty() };
                firings.look(query, before, |record| {
                    looked_at += 1;
                    items.extend(query.matches(record).then(|| record.clone()));
                    items.len() >= limit
                })
            };
            let Some(last) = last else { return Page::new(items, None, looked_at) };
            if items.len() >= limit {
                return Page::new(items, Some(FiringCursor(last)), looked_at);
            }
            if looked_at >= MOST_RECORDS {
                return Page::unfinished(items, FiringCursor(last), looked_at);
            }
            before = last;
            yield_now().await;
        }
    }

    /// Whether all triggers of the job can be looked at without a pause.
    pub(super) fn has_few_triggers(&self, job: &JobKey) -> bool {
        let table = self.0.table.lock();
        table.job_slot(job).is_none_or(|job| table.jobs[job].count() <= SLOTS)
    }

    async fn page<S: Named, T>(
        &self,
        mut range: Range<'_, S>,
        mut wanted: impl FnMut(&mut Table, usize) -> Option<T>,
    ) -> Page<T, S::Name> {
        let (mut items, mut looked_at) = (Vec::new(), 0);
        if range.limit == 0 {
            return Page::empty();
        }
        // A page without a filter needs no more than it shows.
        let mut most = range.limit.min(SLOTS);
        loop {
            self.make_listing(range.kind).await;
            let part = self.part(&mut range, most, &mut items, &mut looked_at, &mut wanted);
            match part {
                Part::Ends => return Page::new(items, None, looked_at),
                Part::Fills => return Page::new(items, range.after, looked_at),
                Part::GoesOn => {}
            }
            if looked_at >= MOST_LOOKED_AT
                && let Some(next) = range.after
            {
                return Page::unfinished(items, next, looked_at);
            }
            most = SLOTS;
            yield_now().await;
        }
    }

    /// Looks at the next rows, and notes in the range how far it has come.
    fn part<S: Named, T>(
        &self,
        range: &mut Range<'_, S>,
        most: usize,
        items: &mut Vec<T>,
        looked_at: &mut usize,
        mut wanted: impl FnMut(&mut Table, usize) -> Option<T>,
    ) -> Part {
        let mut table = self.0.table.lock();
        let (listing, rows) = (range.kind)(&mut table);
        let next = listing.next(rows, most, |name| {
            range.after.as_ref().is_some_and(|after| name <= after)
                || range.group.is_some_and(|group| S::cmp_group(name, group).is_lt())
        });
        let Some((slots, is_last)) = next else { return Part::GoesOn };
        let mut last = None;
        let mut part = if is_last { Part::Ends } else { Part::GoesOn };
        for slot in slots {
            if let Some(group) = range.group
                && S::cmp_group((range.kind)(&mut table).1[slot].name(), group).is_gt()
            {
                part = Part::Ends;
                break;
            }
            *looked_at += 1;
            last = Some(slot);
            items.extend(wanted(&mut table, slot));
            if items.len() >= range.limit {
                part = Part::Fills;
                break;
            }
        }
        if let Some(slot) = last {
            range.after = Some((range.kind)(&mut table).1[slot].name().clone());
        }
        part
    }

    /// Makes a listing, unless there is one.
    async fn make_listing<S: Named>(&self, kind: Kind<S>) {
        loop {
            let (began, rows) = {
                let mut table = self.0.table.lock();
                let (listing, rows) = kind(&mut table);
                (listing.look(), rows.len())
            };
            let Some(began) = began else { return };
            let (mut found, mut from) = (Vec::with_capacity(rows), 0);
            loop {
                let mut part = Vec::with_capacity(SLOTS);
                let goes_on = gather(kind(&mut self.0.table.lock()).1, from, &mut part);
                found.append(&mut part);
                from += SLOTS;
                if !goes_on {
                    break;
                }
                yield_now().await;
            }
            let made = Made::of(found);
            kind(&mut self.0.table.lock()).0.set(began, made);
        }
    }
}

/// What a part of a page has come to.
enum Part {
    GoesOn,
    Fills,
    Ends,
}

impl Table {
    /// With the counters of a batch.
    pub(super) fn status_of(&self, mut run: RunStatus) -> RunStatus {
        if let Some(batch) = &mut run.batch {
            batch.counts = self.batches.of(run.id);
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::job::JobDetail;
    use crate::run::RunId;
    use crate::store::firing::AcquireDue;
    use crate::store::runs::NewRun;
    use crate::store::{Changes, JobStore, Queries, QueueLimits};

    #[tokio::test]
    async fn a_listing_is_dropped_a_minute_after_the_last_page() {
        let store = MemoryJobStore::new();
        let begin: DateTime<Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
        let job = JobDetail::builder("work".parse().unwrap(), "work").build();
        let later = begin + TimeDelta::days(1);
        store.enqueue(vec![NewRun::of(RunId::new(1, 1), &job, later)]).await.unwrap();
        let seen = async |seconds| {
            let now = begin + TimeDelta::seconds(seconds);
            let limits = QueueLimits::default();
            let request = AcquireDue {
                session: 1,
                now,
                until: now,
                max: 0,
                limits,
                shares: Vec::new(),
                late: None,
                heard: None,
            };
            store.acquire_due(request).await.unwrap();
            store.0.table.lock().listings.runs.is_kept()
        };
        assert!(!seen(0).await, "nobody has looked");
        for looked in [1, 70] {
            store.runs(RunQuery::default()).await.unwrap();
            assert!(seen(looked).await && seen(looked + 59).await, "looked at {looked} s");
        }
        assert!(!seen(130).await);
        assert_eq!(store.runs(RunQuery::default()).await.unwrap().items.len(), 1);
    }
}
