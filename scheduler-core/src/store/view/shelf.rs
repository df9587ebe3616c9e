//! Rows of one kind: as they were read, and as they are to be.

use foldhash::{HashMap, HashMapExt};

use crate::store::rows::Id;

/// Changes whenever a row is written, and never comes again; 0 where there is no row.
pub type Version = u64;

/// The rows of one kind that a transaction has loaded or written.
#[derive(Debug)]
pub struct Shelf<R>(HashMap<Id<R>, Cached<R>>);

/// A row that a rule has written.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a, R> {
    /// Its number.
    pub id: Id<R>,
    /// As it was loaded; none if there was none, or if nobody has looked at a row that goes.
    pub before: Option<&'a R>,
    /// As it is to be; none for a row that goes.
    pub after: Option<&'a R>,
}

#[derive(Debug)]
struct Cached<R> {
    /// As it was loaded; none if it was only written.
    read: Option<(Option<R>, Version)>,
    /// As it was written, if it was.
    now: Option<Option<R>>,
    looked: bool,
}

impl<R> Cached<R> {
    fn before(&self) -> Option<&R> {
        self.read.as_ref()?.0.as_ref()
    }

    fn after(&self) -> Option<&R> {
        self.now.as_ref().map_or_else(|| self.before(), Option::as_ref)
    }
}

impl<R> Default for Shelf<R> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<R: Clone> Shelf<R> {
    pub(super) fn load(&mut self, id: Id<R>, row: Option<R>, version: Version) {
        self.0.insert(id, Cached { read: Some((row, version)), now: None, looked: false });
    }

    /// What was read stays; what was done to it does not.
    pub(super) fn reset(&mut self) {
        self.0.retain(|_, cached| cached.read.is_some());
        for cached in self.0.values_mut() {
            (cached.now, cached.looked) = (None, false);
        }
    }

    pub(super) fn forget(&mut self, id: Id<R>) {
        self.0.remove(&id);
    }

    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }

    /// The row as it is now, if that is known, without a note that somebody goes by it.
    pub(super) fn peek(&self, id: Id<R>) -> Option<Option<&R>> {
        let cached = self.0.get(&id)?;
        (cached.read.is_some() || cached.now.is_some()).then(|| cached.after())
    }

    /// The row as it is now, if that is known; its version is checked.
    pub(super) fn look(&mut self, id: Id<R>) -> Option<Option<&R>> {
        let cached = self.0.get_mut(&id)?;
        cached.looked = true;
        Some(cached.after())
    }

    /// The row to be changed, if that is known.
    /// The row as it was loaded, whatever the transaction has done to it.
    pub(super) fn loaded(&self, id: Id<R>) -> Option<&R> {
        self.0.get(&id)?.before()
    }

    pub(super) fn edit(&mut self, id: Id<R>) -> Option<Option<&mut R>> {
        let cached = self.0.get_mut(&id)?;
        cached.looked = true;
        if cached.after().is_none() {
            return Some(None);
        }
        let read = &cached.read;
        let now = cached.now.get_or_insert_with(|| read.as_ref().and_then(|(row, _)| row.clone()));
        Some(now.as_mut())
    }

    pub(super) fn write(&mut self, id: Id<R>, row: Option<R>) {
        self.0.entry(id).or_insert(Cached { read: None, now: None, looked: false }).now = Some(row);
    }

    /// What a rule has gone by: these rows must still have these versions.
    pub fn reads(&self) -> impl Iterator<Item = (Id<R>, Version)> {
        let looked = self.0.iter().filter(|(_, cached)| cached.looked);
        looked.filter_map(|(id, cached)| Some((*id, cached.read.as_ref()?.1)))
    }

    /// The rows that the commit writes.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_, R>> {
        let written = self.0.iter().filter(|(_, cached)| cached.now.is_some());
        let changes = written.map(|(id, cached)| Change {
            id: *id,
            before: cached.before(),
            after: cached.now.as_ref().and_then(Option::as_ref),
        });
        // A row that came and went in one transaction was never there.
        changes.filter(|change| {
            let was_there = self.0[&change.id].read.as_ref().is_none_or(|(row, _)| row.is_some());
            change.after.is_some() || was_there
        })
    }

    /// The version with which a row was loaded.
    pub fn loaded_version(&self, id: Id<R>) -> Option<Version> {
        Some(self.0.get(&id)?.read.as_ref()?.1)
    }

    /// Whether the commit takes this row away.
    pub fn is_removed(&self, id: Id<R>) -> bool {
        self.0.get(&id).is_some_and(|cached| matches!(cached.now, Some(None)))
    }

    /// The rows as they are now.
    pub fn known(&self) -> impl Iterator<Item = &R> {
        self.0.values().filter_map(Cached::after)
    }

    /// Whether nothing was loaded of it, not even that it is not there.
    pub fn is_unknown(&self, id: Id<R>) -> bool {
        self.0.get(&id).is_none_or(|cached| cached.read.is_none())
    }

    /// The version of a row: that of the commit if it was written, otherwise that with which it was loaded.
    pub fn version(&self, id: Id<R>, of_commit: Version) -> Version {
        let cached = self.0.get(&id);
        match cached.filter(|cached| cached.now.is_none()).and_then(|cached| cached.read.as_ref()) {
            Some((_, version)) => *version,
            None => of_commit,
        }
    }

    /// The row as it is now, if it was loaded or written.
    pub fn row(&self, id: Id<R>) -> Option<&R> {
        self.0.get(&id)?.after()
    }
}
