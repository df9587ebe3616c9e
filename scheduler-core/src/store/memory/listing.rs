//! Rows in the order of their names, while somebody looks.
//!
//! A listing is made when somebody asks for a page, and dropped a minute after the last page, so that no row costs memory while
//! nobody looks. It is cut into short parts, and a part is sorted when it is read. Added rows are noted and put into their parts
//! by the next page. Removed rows are not noted: their slots are empty by then, or have another generation.

use std::cmp::Ordering;
use std::fmt::Debug;

use chrono::{DateTime, TimeDelta, Utc};
use slab::Slab;

use super::slots::{JobSlot, RunSlot, TriggerSlot, is_of, number, slot_of};
use crate::key::{JobKey, TriggerKey};
use crate::run::RunId;
use crate::store::rows::Id;

/// The rows of a new part. A part with twice as many is split.
const PART: usize = 256;

/// So many rows are looked at while the lock is held.
pub(super) const SLOTS: usize = 2_048;

/// So many added rows are put into their parts while the lock is held.
const ADDITIONS: usize = 256;

/// A listing that has more than two entries for each row, and so many more, is made anew by the next page.
const SPARE: usize = 65_536;

const KEPT: TimeDelta = TimeDelta::seconds(60);

/// A row with a name by which it is listed.
pub(super) trait Named: Sized {
    type Name: Ord + Clone + Debug;

    fn name(&self) -> &Self::Name;

    fn generation(&self) -> u32;

    /// How the group of a name is ordered beside this one. Names without groups are all equal.
    fn cmp_group(_: &Self::Name, _: &str) -> Ordering {
        Ordering::Equal
    }
}

impl Named for JobSlot {
    type Name = JobKey;

    fn name(&self) -> &JobKey {
        self.row.detail.key()
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn cmp_group(name: &JobKey, group: &str) -> Ordering {
        name.cmp_group(group)
    }
}

impl Named for TriggerSlot {
    type Name = TriggerKey;

    fn name(&self) -> &TriggerKey {
        self.row.trigger.key()
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn cmp_group(name: &TriggerKey, group: &str) -> Ordering {
        name.cmp_group(group)
    }
}

impl Named for RunSlot {
    type Name = RunId;

    fn name(&self) -> &RunId {
        &self.row.id
    }

    fn generation(&self) -> u32 {
        self.generation
    }
}

/// The row of this number, unless it is gone.
fn row<S: Named>(rows: &Slab<S>, id: Id<S>) -> Option<&S> {
    rows.get(slot_of(id)).filter(|row| is_of(id, row.generation()))
}

/// Numbers and names of the rows in some slots, and whether there are slots behind them.
pub(super) fn gather<S: Named>(rows: &Slab<S>, from: usize, found: &mut Vec<(S::Name, Id<S>)>) -> bool {
    let last = (from + SLOTS).min(rows.capacity());
    for slot in from..last {
        found.extend(rows.get(slot).map(|row| (row.name().clone(), number(slot, row.generation()))));
    }
    last < rows.capacity()
}

#[derive(Debug)]
struct Part<S: Named> {
    /// No name in this part is lower.
    first: S::Name,
    rows: Vec<Id<S>>,
    is_sorted: bool,
}

impl<S: Named> Part<S> {
    fn sort(&mut self, rows: &Slab<S>) {
        self.rows.retain(|id| row(rows, *id).is_some());
        if !std::mem::replace(&mut self.is_sorted, true) {
            let name = |id: &Id<S>| rows[slot_of(*id)].name();
            self.rows.sort_unstable_by(|a, b| name(a).cmp(name(b)));
            // A row that was added while the listing was made may be there twice.
            self.rows.dedup();
        }
    }

    /// Cuts the upper half off a long part.
    fn split(&mut self, rows: &Slab<S>) -> Option<Self> {
        self.sort(rows);
        let upper = self.rows.split_off(self.rows.len().min(PART));
        let first = rows[slot_of(*upper.first()?)].name().clone();
        Some(Self { first, rows: upper, is_sorted: true })
    }
}

/// The rows of one kind in the order of their names.
#[derive(Debug)]
pub(super) struct Listing<S: Named> {
    /// None while it is made, and while nobody looks.
    parts: Option<Vec<Part<S>>>,
    /// Rows that were added since somebody began to make it; none while nobody looks.
    added: Option<Vec<Id<S>>>,
    /// At most so many rows are in the parts.
    entries: usize,
    /// How often somebody began to make it.
    began: u64,
    /// When a node first saw it after the last page.
    unused_since: Option<DateTime<Utc>>,
}

impl<S: Named> Default for Listing<S> {
    fn default() -> Self {
        Self { parts: None, added: None, entries: 0, began: 0, unused_since: None }
    }
}

impl<S: Named> Listing<S> {
    /// A row was added to so many others.
    pub(super) fn added(&mut self, id: Id<S>, others: usize) {
        let Some(added) = &mut self.added else { return };
        added.push(id);
        if added.len() + self.entries > 2 * others + SPARE {
            self.forget();
        }
    }

    fn forget(&mut self) {
        *self = Self { began: self.began, ..Self::default() };
    }

    /// A node has come by.
    pub(super) fn forget_if_unused(&mut self, now: DateTime<Utc>) {
        if self.added.is_some() && now - *self.unused_since.get_or_insert(now) >= KEPT {
            self.forget();
        }
    }

    #[cfg(test)]
    pub(super) fn is_kept(&self) -> bool {
        self.added.is_some()
    }

    /// Somebody looks. If there is no listing, the answer is the number under which it can be made.
    pub(super) fn look(&mut self) -> Option<u64> {
        self.unused_since = None;
        if self.parts.is_some() {
            return None;
        }
        if self.added.is_none() {
            self.added = Some(Vec::new());
            self.began += 1;
        }
        Some(self.began)
    }

    /// The listing that was made, unless it is no longer complete or somebody else was faster.
    pub(super) fn set(&mut self, began: u64, made: Made<S>) {
        if self.began == began && self.added.is_some() && self.parts.is_none() {
            self.entries = made.entries;
            self.parts = Some(made.parts);
        }
    }

    /// The slots of the next rows, up to about so many, and whether they are the last. None if there is no listing.
    pub(super) fn next(
        &mut self,
        rows: &Slab<S>,
        most: usize,
        is_before: impl Fn(&S::Name) -> bool,
    ) -> Option<(Vec<usize>, bool)> {
        let is_up_to_date = self.put_in_place(rows)?;
        let parts = self.parts.as_mut().filter(|_| is_up_to_date);
        let Some(parts) = parts else { return Some((Vec::new(), false)) };
        let mut at = parts.partition_point(|part| is_before(&part.first)).saturating_sub(1);
        let (mut slots, mut seen) = (Vec::new(), 0);
        while slots.len() < most && seen < SLOTS {
            let Some(part) = parts.get_mut(at) else { return Some((slots, true)) };
            let entries = part.rows.len();
            seen += entries.max(1);
            part.sort(rows);
            self.entries -= entries - part.rows.len();
            let from = part.rows.partition_point(|id| is_before(rows[slot_of(*id)].name()));
            slots.extend(part.rows[from..].iter().map(|id| slot_of(*id)));
            if part.rows.is_empty() {
                parts.remove(at);
            } else {
                at += 1;
            }
        }
        let is_last = at >= parts.len();
        Some((slots, is_last))
    }

    /// Puts some of the added rows into their parts. Says whether these were the last ones.
    fn put_in_place(&mut self, rows: &Slab<S>) -> Option<bool> {
        let (parts, added) = (self.parts.as_mut()?, self.added.as_mut()?);
        for id in added.drain(added.len().saturating_sub(ADDITIONS)..) {
            let Some(row) = row(rows, id) else { continue };
            let (name, is_sorted) = (row.name(), false);
            self.entries += 1;
            let at = parts.partition_point(|part| part.first <= *name).saturating_sub(1);
            let Some(part) = parts.get_mut(at) else {
                parts.push(Part { first: name.clone(), rows: vec![id], is_sorted });
                continue;
            };
            if *name < part.first {
                part.first = name.clone();
            }
            part.rows.push(id);
            part.is_sorted = is_sorted;
            if part.rows.len() >= 2 * PART {
                let entries = part.rows.len();
                let upper = part.split(rows);
                self.entries -= entries - part.rows.len() - upper.as_ref().map_or(0, |part| part.rows.len());
                parts.splice(at + 1..at + 1, upper);
            }
        }
        Some(added.is_empty())
    }
}

/// A listing, made outside the lock.
pub(super) struct Made<S: Named> {
    parts: Vec<Part<S>>,
    entries: usize,
}

impl<S: Named> Made<S> {
    pub(super) fn of(mut found: Vec<(S::Name, Id<S>)>) -> Self {
        // Most are in order already, of which this sort makes use.
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let part = |rows: &[(S::Name, Id<S>)]| Part {
            first: rows[0].0.clone(),
            rows: rows.iter().map(|(_, id)| *id).collect(),
            is_sorted: true,
        };
        Self { parts: found.chunks(PART).map(part).collect(), entries: found.len() }
    }
}

/// The listings of a table.
#[derive(Debug, Default)]
pub(super) struct Listings {
    pub(super) jobs: Listing<JobSlot>,
    pub(super) triggers: Listing<TriggerSlot>,
    pub(super) runs: Listing<RunSlot>,
}

impl Listings {
    pub(super) fn forget_if_unused(&mut self, now: DateTime<Utc>) {
        self.jobs.forget_if_unused(now);
        self.triggers.forget_if_unused(now);
        self.runs.forget_if_unused(now);
    }
}
