//! The latest firing records, with what finds them by job, trigger, run and outcome.
//!
//! Invariants:
//! 1. The numbers of the kept records follow each other without a gap.
//! 2. The number of each kept record stands in one list of each index that the record has something for, and lists are in order. So
//!    the oldest record is the first of its lists, and goes without a search.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;

use super::listing::SLOTS;
use crate::store::firings::{FiringOutcome, FiringQuery, FiringRecord};

/// An index has no more lists than this. Names share a list if their hashes end alike.
const MOST_LISTS: usize = 65_536;

#[derive(Debug)]
pub(super) struct Firings {
    records: VecDeque<Box<FiringRecord>>,
    keeps: usize,
    /// The number of the next record.
    next: u64,
    jobs: Index,
    triggers: Index,
    runs: Index,
    outcomes: Index,
}

/// Lists of the numbers of records.
#[derive(Debug)]
struct Index(Vec<VecDeque<u64>>);

impl Index {
    fn new(lists: usize) -> Self {
        Self(vec![VecDeque::new(); lists])
    }

    fn of(&self, name: &impl Hash) -> usize {
        // The number of lists is a power of two.
        FixedState::default().hash_one(name) as usize & (self.0.len() - 1)
    }
}

impl Firings {
    /// None if no record is kept.
    pub(super) fn keeping(keeps: usize) -> Option<Self> {
        let lists = keeps.min(MOST_LISTS).next_power_of_two();
        let index = || Index::new(lists);
        (keeps > 0).then(|| Self {
            records: VecDeque::new(),
            keeps,
            next: 1,
            jobs: index(),
            triggers: index(),
            runs: index(),
            outcomes: Index::new(FiringOutcome::ALL.len()),
        })
    }

    /// A record that was numbered before, in order.
    pub(super) fn restore(&mut self, record: Box<FiringRecord>) {
        // Numbers follow each other without a gap.
        if self.records.is_empty() || self.next == record.number {
            self.next = record.number;
            self.append(record);
        }
    }

    pub(super) fn append(&mut self, mut record: Box<FiringRecord>) -> &FiringRecord {
        if self.records.len() >= self.keeps
            && let Some(oldest) = self.records.pop_front()
        {
            self.lists_of(&oldest, |list| {
                list.pop_front();
            });
        }
        let number = self.next;
        (record.number, self.next) = (number, number + 1);
        self.lists_of(&record, |list| list.push_back(number));
        self.records.push_back(record);
        &self.records[self.records.len() - 1]
    }

    fn lists_of(&mut self, record: &FiringRecord, mut change: impl FnMut(&mut VecDeque<u64>)) {
        let mut of = |index: &mut Index, list: usize| change(&mut index.0[list]);
        let list = self.jobs.of(&record.job);
        of(&mut self.jobs, list);
        if let Some(trigger) = &record.trigger {
            let list = self.triggers.of(trigger);
            of(&mut self.triggers, list);
        }
        if let Some(run) = record.run {
            let list = self.runs.of(&run);
            of(&mut self.runs, list);
        }
        of(&mut self.outcomes, record.outcome as usize);
    }

    /// The shortest lists of one index in which all wanted records are; none if there is no such index.
    fn lists_for(&self, query: &FiringQuery) -> Option<Vec<&VecDeque<u64>>> {
        let job = query.job.as_ref().map(|job| vec![&self.jobs.0[self.jobs.of(job)]]);
        let trigger = query.trigger.as_ref().map(|key| vec![&self.triggers.0[self.triggers.of(key)]]);
        let run = query.run.map(|run| vec![&self.runs.0[self.runs.of(&run)]]);
        let outcomes = FiringOutcome::ALL.into_iter().filter(|outcome| query.outcomes.contains(outcome));
        let outcomes: Vec<_> = outcomes.map(|outcome| &self.outcomes.0[outcome as usize]).collect();
        let outcomes = Some(outcomes).filter(|lists| !lists.is_empty());
        let all = [job, trigger, run, outcomes].into_iter().flatten();
        all.min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>())
    }

    /// Looks at the next records that are older than `before`, until `found` says that it has enough. Returns the number of the last one; none
    /// if there are no more.
    pub(super) fn look(
        &self,
        query: &FiringQuery,
        before: u64,
        mut found: impl FnMut(&FiringRecord) -> bool,
    ) -> Option<u64> {
        let first = self.next - self.records.len() as u64;
        let mut last = before.min(self.next);
        let mut lists = self.lists_for(query);
        let places = lists.iter().flatten().map(|list| list.partition_point(|number| *number < last));
        let mut places: Vec<_> = places.collect();
        for _ in 0..SLOTS {
            last = match &mut lists {
                None => last.checked_sub(1).filter(|number| *number >= first)?,
                Some(lists) => newest(lists, &mut places)?,
            };
            let record = &self.records[usize::try_from(last - first).ok()?];
            if found(record) {
                break;
            }
        }
        Some(last)
    }
}

/// Takes the largest number before these places.
fn newest(lists: &[&VecDeque<u64>], places: &mut [usize]) -> Option<u64> {
    let before = |(list, place): (usize, &usize)| Some((*lists[list].get(place.checked_sub(1)?)?, list));
    let (number, list) = places.iter().enumerate().filter_map(before).max()?;
    places[list] -= 1;
    Some(number)
}
