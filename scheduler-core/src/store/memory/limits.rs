//! The state of gates for people, and the gates that a changed cap has to let go.

use std::ops::Bound;

use chrono::DateTime;

use super::entries;
use super::gates::{Entry, GateTable};
use super::lanes::{Due, Stood};
use super::table::Table;
use crate::run::GateId;
use crate::store::limits::{GateUse, LimitOverride, LimitQuery};
use crate::store::page::Page;

/// So many gates are looked at in one call after the cap of their limit has changed. The node asks again at once.
const MOST_CHANGED: usize = 100;

/// No page of limits looks at more gates.
const MOST_LOOKED_AT: usize = 10_000;

fn behind(after: Option<&GateId>) -> (Bound<&GateId>, Bound<&GateId>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl GateTable {
    /// The next gate of a limit whose cap has changed.
    fn next_changed(&mut self) -> Option<GateId> {
        while let Some(mut entry) = self.caps.changed.first_entry() {
            let limit = entry.key().clone();
            let from = entry.get().as_ref().map_or(Bound::Included(&limit), Bound::Excluded);
            let next =
                self.by_id.range::<GateId, _>((from, Bound::Unbounded)).next().map(|(id, _)| id.clone());
            if let Some(next) = next.filter(|next| next.name() == limit.name()) {
                entry.insert(Some(next.clone()));
                return Some(next);
            }
            entry.remove();
        }
        None
    }

    fn is_in_use(&self, id: &GateId) -> bool {
        let is_used = |entry: &Entry| entry.used > 0 || !entry.waiting.is_empty() || entry.shut > self.now;
        self.caps.set.contains_key(id) || self.by_id.get(id).is_some_and(is_used)
    }

    /// The first known gate after this one.
    fn next_known(&self, after: Option<&GateId>) -> Option<&GateId> {
        let used = self.by_id.range::<GateId, _>(behind(after)).next().map(|(id, _)| id);
        let set = self.caps.set.range::<GateId, _>(behind(after)).next().map(|(id, _)| id);
        used.into_iter().chain(set).min()
    }
}

impl Table {
    /// This cap holds for the gate, or for all gates of the name if the gate has no key.
    pub(super) fn set_cap_of(&mut self, id: &GateId, cap: Option<&LimitOverride>) {
        self.note(|| entries::Entry::Cap(id.clone()));
        match cap {
            Some(cap) => drop(self.gates.caps.set.insert(id.clone(), cap.clone())),
            None => drop(self.gates.caps.set.remove(id)),
        }
        match id.key() {
            Some(_) => self.open_gate(id),
            None => drop(self.gates.caps.changed.insert(id.clone(), None)),
        }
    }

    /// Looks at some of the gates whose cap has changed.
    pub(super) fn look_at_changed(&mut self) {
        for _ in 0..MOST_CHANGED {
            let Some(id) = self.gates.next_changed() else { return };
            self.open_gate(&id);
        }
    }

    fn use_of(&self, id: &GateId) -> GateUse {
        let mut of = GateUse::new(id.clone());
        of.overridden = self.gates.caps.of(id).cloned();
        let Some(entry) = self.gates.by_id.get(id) else { return of };
        let waiting = entry.waiting.values();
        of.waiting = waiting.map(|waiting| waiting.parked.len() as u64 + waiting.out).sum();
        let first = entry.waiting.values().find_map(|waiting| waiting.parked.first());
        of.first = first.map(Due::what).and_then(|what| match what {
            Stood::Run(slot) => Some(self.runs[slot].row.id),
            Stood::Trigger(_) => None,
        });
        of.opens = entry.opens.and_then(DateTime::from_timestamp_millis);
        of.shut = (entry.shut > 0).then_some(entry.shut).and_then(DateTime::from_timestamp_millis);
        (of.used, of.rate) = (entry.used, entry.rate.clone());
        of
    }

    /// A page of the gates that a query means.
    pub(super) fn uses_of(&self, query: &LimitQuery) -> Page<GateUse, GateId> {
        if !query.gates.is_empty() {
            let uses: Vec<_> = query.gates.iter().map(|id| self.use_of(id)).collect();
            let many = uses.len();
            return Page::new(uses, None, many);
        }
        let (mut uses, mut after, limit) = (Vec::new(), query.after.clone(), query.page_size());
        // Everything of a name comes after the name itself.
        let first = query.name.as_deref().map(|name| GateId::of(name, None)).filter(|_| after.is_none());
        let first = first.as_ref();
        let mut next = match first {
            Some(first) if self.gates.is_in_use(first) => Some(first),
            first => self.gates.next_known(first.or(query.after.as_ref())),
        };
        for looked_at in 0..MOST_LOOKED_AT {
            let is_meant = |id: &&GateId| query.name.as_ref().is_none_or(|name| id.name() == &**name);
            let Some(id) = next.filter(is_meant) else { return Page::new(uses, None, looked_at) };
            if self.gates.is_in_use(id) {
                if uses.len() == limit {
                    return Page::new(uses, after, looked_at);
                }
                uses.push(self.use_of(id));
            }
            after = Some(id.clone());
            next = self.gates.next_known(Some(id));
        }
        match after {
            Some(after) => Page::unfinished(uses, after, MOST_LOOKED_AT),
            None => Page::new(uses, None, MOST_LOOKED_AT),
        }
    }
}
