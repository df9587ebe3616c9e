//! How many of each queue a node has acquired or under way.

use std::sync::Arc;

use foldhash::HashMap;

use crate::store::QueueLimits;

/// Of the queues that have any.
#[derive(Debug, Default)]
pub(super) struct Queues(HashMap<Arc<str>, usize>);

impl Queues {
    pub(super) fn enter(&mut self, queue: Option<&Arc<str>>) {
        let Some(queue) = queue else { return };
        match self.0.get_mut(queue) {
            Some(used) => *used += 1,
            None => drop(self.0.insert(queue.clone(), 1)),
        }
    }

    pub(super) fn leave(&mut self, queue: Option<&Arc<str>>) {
        let Some(used) = queue.and_then(|queue| self.0.get_mut(queue)) else { return };
        *used = used.saturating_sub(1);
        if *used == 0 {
            self.0.retain(|_, used| *used > 0);
        }
    }

    /// The limits, less what this node has acquired or under way. `all` counts that too, with and without a queue.
    pub(super) fn left_of(&self, limits: &QueueLimits, all: usize) -> QueueLimits {
        let mut left = limits.clone();
        for (queue, used) in &self.0 {
            if let Some(limit) = limits.of(Some(queue)) {
                left.named.insert(queue.clone(), limit.saturating_sub(*used));
            }
        }
        let in_queues: usize = self.0.values().sum();
        left.default = limits.default.map(|limit| limit.saturating_sub(all.saturating_sub(in_queues)));
        left
    }
}
