//! Which queues are meant: what a node takes at all, and the shares of a request.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of the default queue in weights, tiers and filters: the queue of triggers and runs that have none. A queue
/// that is called `default` is meant by the name, too.
pub const DEFAULT_QUEUE: &str = "default";

fn name_of(queue: Option<&Arc<str>>) -> &str {
    queue.map_or(DEFAULT_QUEUE, |queue| queue)
}

/// The queues from which a node takes. A pattern is the name of a queue, or a prefix with a `*` at its end, such as `tenant-*`; the name
/// `default` stands for work [without a queue](DEFAULT_QUEUE).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueFilter {
    /// The node takes from queues that match one of these patterns; from all queues if there is none.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<Arc<str>>,
    /// The node does not take from queues that match one of these patterns, whatever `only` says.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<Arc<str>>,
}

impl QueueFilter {
    /// Whether the node takes from every queue.
    pub fn takes_all(&self) -> bool {
        self.only.is_empty() && self.except.is_empty()
    }

    /// Whether the node takes from this queue; none stands for work without a queue.
    pub fn takes(&self, queue: Option<&Arc<str>>) -> bool {
        let queue = name_of(queue);
        let fits = |patterns: &BTreeSet<Arc<str>>| patterns.iter().any(|pattern| matches(pattern, queue));
        (self.only.is_empty() || fits(&self.only)) && !fits(&self.except)
    }
}

fn matches(pattern: &str, queue: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == queue, |prefix| queue.starts_with(prefix))
}

/// A part of a request that is for some queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueShare {
    /// The queues.
    pub queues: QueueSet,
    /// How many of them are taken at most.
    pub most: usize,
}

/// Some queues by their names, among which [`DEFAULT_QUEUE`] stands for work without a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueSet {
    /// These.
    Named(Arc<BTreeSet<Arc<str>>>),
    /// All queues except these.
    AllBut(Arc<BTreeSet<Arc<str>>>),
}

impl QueueSet {
    /// Whether this queue is one of them; none stands for work without a queue.
    pub fn contains(&self, queue: Option<&Arc<str>>) -> bool {
        match self {
            Self::Named(names) => names.contains(name_of(queue)),
            Self::AllBut(names) => !names.contains(name_of(queue)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(patterns: &[&str]) -> BTreeSet<Arc<str>> {
        patterns.iter().map(|pattern| Arc::from(*pattern)).collect()
    }

    #[track_caller]
    fn takes(only: &[&str], except: &[&str], expected: &[Option<&str>]) {
        let filter = QueueFilter { only: patterns(only), except: patterns(except) };
        let queues =
            [None, Some("default"), Some("mail"), Some("tenant-"), Some("tenant-a"), Some("tenant-b")];
        let taken = queues.into_iter().filter(|queue| filter.takes(queue.map(Arc::from).as_ref()));
        assert_eq!(taken.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn filters() {
        let (none, default, mail) = (None, Some("default"), Some("mail"));
        let (empty, a, b) = (Some("tenant-"), Some("tenant-a"), Some("tenant-b"));
        takes(&[], &[], &[none, default, mail, empty, a, b]);
        takes(&["mail"], &[], &[mail]);
        takes(&["default"], &[], &[none, default]);
        takes(&["tenant-*", "mail"], &[], &[mail, empty, a, b]);
        takes(&["tenant-*"], &["tenant-a"], &[empty, b]);
        takes(&[], &["tenant-*"], &[none, default, mail]);
        takes(&[], &["default"], &[mail, empty, a, b]);
        takes(&["*"], &["mail"], &[none, default, empty, a, b]);
        takes(&[], &["*"], &[]);
    }

    #[test]
    fn sets() {
        let names = Arc::new(patterns(&["mail", "default"]));
        let (mail, bulk) = (Arc::from("mail"), Arc::from("bulk"));
        for (queue, is_named) in [(None, true), (Some(&mail), true), (Some(&bulk), false)] {
            assert_eq!(QueueSet::Named(names.clone()).contains(queue), is_named);
            assert_eq!(QueueSet::AllBut(names.clone()).contains(queue), !is_named);
        }
    }
}
