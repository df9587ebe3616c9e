//! The order of what can be acquired.
//!
//! Triggers and runs of one queue and one job type form a *lane*, ordered by due time, priority and key. A node takes
//! from the lanes that are open to it, the earliest first; however many triggers wait in a lane that is closed to it,
//! passing over them costs nothing.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use foldhash::{HashMap, HashMapExt};
use slab::Slab;

use super::index::place;
use crate::key::TriggerKey;
use crate::run::RunId;
use crate::store::firing::QueueLimits;
use crate::store::queues::{QueueFilter, QueueSet};
use crate::store::rows::Place;

/// A time by microseconds, rounded up; the order needs no more, and there are many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    pub(super) fn of(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros() + i64::from(!time.timestamp_subsec_nanos().is_multiple_of(1000)))
    }

    pub(super) fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// A place in the order of hand-out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Moment,
    pub(super) rank: Reverse<i32>,
    pub(super) key: TriggerKey,
    slot: u32,
}

/// Set in the number of a slot of a run.
const OF_RUN: u32 = 1 << 31;

/// The group of the keys by which runs are ordered, after those of all triggers.
const RUNS: &str = "\u{10FFFF}";

/// What stands in a place, by its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stood {
    Trigger(usize),
    Run(usize),
}

impl Due {
    pub(super) fn of_trigger(key: TriggerKey, slot: usize, at: &Place) -> Self {
        Self { at: Moment::of(at.at), rank: at.rank, key, slot: place(slot) }
    }

    pub(super) fn of_run(id: RunId, slot: usize, at: &Place) -> Self {
        let key = TriggerKey::in_group(RUNS, &id.to_string()).expect("the text of an id is a name");
        Self { at: Moment::of(at.at), rank: at.rank, key, slot: place(slot) | OF_RUN }
    }

    pub(super) fn what(&self) -> Stood {
        let slot = self.slot_of_run();
        if self.slot & OF_RUN == 0 { Stood::Trigger(slot) } else { Stood::Run(slot) }
    }

    /// The slot, where only runs stand.
    pub(super) const fn slot_of_run(&self) -> usize {
        (self.slot & !OF_RUN) as usize
    }
}

/// What the triggers and runs of a lane have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LaneKey {
    queue: Option<Arc<str>>,
    job_type: Arc<str>,
}

impl LaneKey {
    fn is(&self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> bool {
        self.queue.as_ref() == queue && (Arc::ptr_eq(&self.job_type, job_type) || self.job_type == *job_type)
    }
}

#[derive(Debug)]
struct Lane {
    key: LaneKey,
    /// How many belong here, due or not; the lane goes with the last one.
    members: usize,
    due: BTreeSet<Due>,
}

impl Lane {
    /// The first that is due from then on.
    fn first(&self, from: Option<Moment>) -> Option<&Due> {
        let first = self.due.first()?;
        let Some(from) = from.filter(|from| first.at < *from) else { return Some(first) };
        // The last place before that moment, whatever stands there.
        let (at, rank) = (Moment(from.0 - 1), Reverse(i32::MIN));
        let before = Due { at, rank, key: first.key.clone(), slot: u32::MAX };
        self.due.range((Excluded(before), Unbounded)).next()
    }
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Slab<Lane>,
    by_key: HashMap<LaneKey, usize>,
    /// That of the latest member; what is added in a row is mostly of one kind.
    latest: usize,
    news: bool,
}

/// The lanes that are open to a node, with what is left of its limits.
pub(super) struct Open {
    lanes: Vec<usize>,
    /// Only those of these queues.
    of: Option<QueueSet>,
    /// Only what is due from then on.
    from: Option<Moment>,
    heads: BinaryHeap<Reverse<(Due, usize)>>,
    /// What is left of each queue that has a limit.
    left: HashMap<Option<Arc<str>>, usize>,
}

impl Lanes {
    /// The lane of this queue and job type.
    pub(super) fn of(&mut self, queue: Option<&Arc<str>>, job_type: &Arc<str>) -> usize {
        if self.lanes.get(self.latest).is_some_and(|lane| lane.key.is(queue, job_type)) {
            return self.latest;
        }
        let key = LaneKey { queue: queue.cloned(), job_type: job_type.clone() };
        self.latest = *self.by_key.entry(key).or_insert_with_key(|key| {
            self.lanes.insert(Lane { key: key.clone(), members: 0, due: BTreeSet::new() })
        });
        self.latest
    }

    /// The queue and the job type of a lane.
    pub(super) fn name(&self, lane: usize) -> (Option<Arc<str>>, Arc<str>) {
        let key = &self.lanes[lane].key;
        (key.queue.clone(), key.job_type.clone())
    }

    pub(super) fn join(&mut self, lane: usize) {
        self.lanes[lane].members += 1;
    }

    pub(super) fn leave(&mut self, lane: usize) {
        self.lanes[lane].members -= 1;
        if self.lanes[lane].members == 0 {
            let lane = self.lanes.remove(lane);
            self.by_key.remove(&lane.key);
        }
    }

    pub(super) fn insert(&mut self, lane: usize, due: Due) {
        let waiting = &mut self.lanes[lane].due;
        self.news |= waiting.first().is_none_or(|first| due < *first);
        waiting.insert(due);
    }

    /// Something else may make nodes look sooner than they know.
    pub(super) fn has_news(&mut self) {
        self.news = true;
    }

    /// Whether a lane has got another first since this was asked last, or something else has.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    pub(super) fn remove(&mut self, lane: usize, due: &Due) -> bool {
        self.lanes[lane].due.remove(due)
    }

    /// The lanes from which a node with these job types, queues and slots can take.
    pub(super) fn open(
        &self,
        types: Option<&HashSet<Arc<str>>>,
        queues: Option<&QueueFilter>,
        limits: &QueueLimits,
        claimed: &HashMap<Arc<str>, usize>,
    ) -> Open {
        let (lanes, heads, left) = (Vec::new(), BinaryHeap::new(), HashMap::new());
        let mut open = Open { lanes, of: None, from: None, heads, left };
        let queues = queues.filter(|queues| !queues.takes_all());
        for (index, lane) in &self.lanes {
            if types.is_some_and(|types| !types.contains(&lane.key.job_type)) {
                continue;
            }
            let queue = lane.key.queue.as_ref();
            if queues.is_some_and(|queues| !queues.takes(queue)) {
                continue;
            }
            let claimed = queue.and_then(|queue| claimed.get(queue)).copied().unwrap_or_default();
            if let Some(left) = limits.left(queue, claimed) {
                open.left.insert(queue.cloned(), left);
            }
            open.lanes.push(index);
            open.put_head(self, index);
        }
        open
    }
}

impl Open {
    fn put_head(&mut self, lanes: &Lanes, lane: usize) {
        let found = &lanes.lanes[lane];
        let full = self.left.get(&found.key.queue) == Some(&0);
        let is_meant = self.of.as_ref().is_none_or(|of| of.contains(found.key.queue.as_ref()));
        if let Some(due) = found.first(self.from).filter(|_| is_meant && !full) {
            self.heads.push(Reverse((due.clone(), lane)));
        }
    }

    /// Passes over other queues than these; over none any more without them.
    pub(super) fn only_of(&mut self, lanes: &Lanes, queues: Option<QueueSet>) {
        self.of = queues;
        self.look_from(lanes, None);
    }

    /// Passes over what is due before.
    pub(super) fn only_from(&mut self, lanes: &Lanes, from: Moment) {
        self.look_from(lanes, Some(from));
    }

    /// Passes over nothing any more; says whether it did.
    pub(super) fn all(&mut self, lanes: &Lanes) -> bool {
        let passed_over = self.from.is_some();
        if passed_over {
            self.look_from(lanes, None);
        }
        passed_over
    }

    fn look_from(&mut self, lanes: &Lanes, from: Option<Moment>) {
        self.from = from;
        self.heads.clear();
        for lane in std::mem::take(&mut self.lanes) {
            self.put_head(lanes, lane);
            self.lanes.push(lane);
        }
    }

    /// Takes the earliest that is due by `until` out of its lane. Say what became of it with [`taken`](Self::taken).
    pub(super) fn next(&mut self, lanes: &mut Lanes, until: DateTime<Utc>) -> Option<(Due, usize)> {
        loop {
            let Reverse((due, lane)) = self.heads.peek()?;
            if due.at > Moment::of(until) {
                return None;
            }
            // Another lane of its queue may have used up the slots since this head was put here.
            let full = self.left.get(&lanes.lanes[*lane].key.queue) == Some(&0);
            let Reverse((due, lane)) = self.heads.pop()?;
            if full {
                continue;
            }
            if lanes.remove(lane, &due) {
                return Some((due, lane));
            }
            // Its job has become busy since.
            self.put_head(lanes, lane);
        }
    }

    /// One of this lane was claimed.
    pub(super) fn taken(&mut self, lanes: &Lanes, lane: usize) {
        if let Some(left) = self.left.get_mut(&lanes.lanes[lane].key.queue) {
            *left -= 1;
        }
        self.put_head(lanes, lane);
    }

    /// The first of this lane was not what it seemed.
    pub(super) fn passed(&mut self, lanes: &Lanes, lane: usize) {
        self.put_head(lanes, lane);
    }

    /// Something else may be the first of this lane, which need not be open.
    pub(super) fn looked_for(&mut self, lanes: &Lanes, lane: usize) {
        if self.lanes.contains(&lane) {
            self.put_head(lanes, lane);
        }
    }

    /// When the next one is due that the node can still take.
    pub(super) fn next_due(&self, lanes: &Lanes) -> Option<DateTime<Utc>> {
        let open = self.heads.iter().map(|Reverse((_, lane))| &lanes.lanes[*lane]);
        let open = open.filter(|lane| self.left.get(&lane.key.queue) != Some(&0));
        open.filter_map(|lane| Some(lane.due.first()?.at)).min().map(Moment::time)
    }
}
