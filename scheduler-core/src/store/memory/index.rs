//! From names to slots.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Slots by name. The names themselves stand in the slots, so an entry is a hash and a number.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashTable<(u32, u32)>,
    hasher: RandomState,
}

impl Index {
    /// The slot of a name, among those that `is` says have it.
    pub(super) fn find(&self, name: &impl Hash, is: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = self.hash(name);
        let found = self.entries.find(spread(hash), |(known, slot)| *known == hash && is(*slot as usize));
        found.map(|(_, slot)| *slot as usize)
    }

    /// Adds a name that is not there yet.
    pub(super) fn insert(&mut self, name: &impl Hash, slot: usize) {
        let hash = self.hash(name);
        self.entries.insert_unique(spread(hash), (hash, place(slot)), |(hash, _)| spread(*hash));
    }

    pub(super) fn remove(&mut self, name: &impl Hash, slot: usize) {
        let hash = self.hash(name);
        if let Ok(entry) = self.entries.find_entry(spread(hash), |entry| *entry == (hash, place(slot))) {
            entry.remove();
        }
    }

    fn hash(&self, name: &impl Hash) -> u32 {
        // The upper half alone; it is spread over all bits again.
        (self.hasher.hash_one(name) >> 32) as u32
    }
}

/// The table looks at the highest bits and at the lowest ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The number of a slot in half the memory. There is none beyond.
pub(super) fn place(slot: usize) -> u32 {
    u32::try_from(slot).expect("fewer than two billion of a kind fit into memory")
}
