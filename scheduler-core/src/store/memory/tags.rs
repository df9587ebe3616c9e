//! By what runs are found, beside their ids.

use std::collections::BTreeSet;

use crate::store::rows::{Id, RunRow, RunTag};

/// The tags of all runs.
#[derive(Debug, Default)]
pub(super) struct Tags(BTreeSet<(RunTag, Id<RunRow>)>);

impl Tags {
    /// The tags of a run have changed.
    pub(super) fn change(&mut self, id: Id<RunRow>, before: &[RunTag], after: &[RunTag]) {
        if before == after {
            return;
        }
        for tag in before {
            self.0.remove(&(tag.clone(), id));
        }
        self.0.extend(after.iter().map(|tag| (tag.clone(), id)));
    }

    /// The runs that have this tag, at most so many.
    pub(super) fn of(&self, tag: &RunTag, most: usize) -> Vec<Id<RunRow>> {
        self.from(tag, 0, most)
    }

    /// Those from this number on, in the order of their numbers, at most so many.
    pub(super) fn from(&self, tag: &RunTag, number: u64, most: usize) -> Vec<Id<RunRow>> {
        let from = (tag.clone(), Id::new(number));
        self.0.range(from..).take_while(|(known, _)| known == tag).map(|(_, id)| *id).take(most).collect()
    }
}

/// The tags of a run.
pub(super) fn tags(row: &RunRow) -> Vec<RunTag> {
    row.tags().collect()
}
