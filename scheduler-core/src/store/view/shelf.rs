//! Rows of one kind: as they were read, and as they are to be.

use std::collections::HashMap;

use crate::store::rows::Id;

/// Changes whenever a row is written, and never comes again; 0 where there is no row.
pub type Version = u64;

/// What a rule wants to be checked and written, as a whole or not at all.
#[derive(Debug, Clone)]
pub struct Changes<R> {
    /// What was read must still have these versions.
    pub reads: Vec<(Id<R>, Version)>,
    /// What is written; none for a row that goes.
    pub writes: Vec<(Id<R>, Option<R>)>,
}

#[derive(Debug)]
pub(super) struct Cached<R> {
    /// As it was loaded; none if only its removal was asked for.
    read: Option<(Option<R>, Version)>,
    pub(super) now: Option<R>,
    looked: bool,
    pub(super) written: bool,
}

#[derive(Debug)]
pub(super) struct Shelf<R>(pub(super) HashMap<Id<R>, Cached<R>>);

impl<R: Clone> Shelf<R> {
    pub(super) fn load(&mut self, id: Id<R>, row: Option<R>, version: Version) {
        let cached = Cached { now: row.clone(), read: Some((row, version)), looked: false, written: false };
        self.0.insert(id, cached);
    }

    /// What was read stays; what was done to it does not.
    pub(super) fn reset(&mut self) {
        self.0.retain(|_, cached| cached.read.is_some());
        for cached in self.0.values_mut() {
            if cached.written {
                cached.now = cached.read.as_ref().and_then(|(row, _)| row.clone());
            }
            (cached.looked, cached.written) = (false, false);
        }
    }

    pub(super) fn look(&mut self, id: Id<R>) -> Option<&mut Cached<R>> {
        let cached = self.0.get_mut(&id).filter(|cached| cached.read.is_some() || cached.now.is_some())?;
        cached.looked = true;
        Some(cached)
    }

    pub(super) fn write(&mut self, id: Id<R>, row: Option<R>) {
        let cached =
            self.0.entry(id).or_insert(Cached { read: None, now: None, looked: false, written: false });
        (cached.now, cached.written) = (row, true);
    }

    pub(super) fn changes(&self) -> Changes<R> {
        let looked = self.0.iter().filter(|(_, cached)| cached.looked);
        let reads = looked.filter_map(|(id, cached)| Some((*id, cached.read.as_ref()?.1))).collect();
        let written = self.0.iter().filter(|(_, cached)| cached.written);
        let changed = written.filter(|(_, cached)| {
            cached.now.is_some() || cached.read.as_ref().is_none_or(|(row, _)| row.is_some())
        });
        Changes { reads, writes: changed.map(|(id, cached)| (*id, cached.now.clone())).collect() }
    }

    /// Those that this transaction has written.
    pub(super) fn written(&self) -> impl Iterator<Item = (Id<R>, &R)> {
        let written = self.0.iter().filter(|(_, cached)| cached.written);
        written.filter_map(|(id, cached)| Some((*id, cached.now.as_ref()?)))
    }
}
