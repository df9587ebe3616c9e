//! Which queue comes next and from which queues a node takes, as the builder was told, and what is wrong with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::QueueOrder;
use crate::store::QueueFilter;

/// One start of so many goes to the tiers below, unless the builder says otherwise.
const RESERVE: u32 = 20;

/// What the builder was told, right or wrong.
#[derive(Default)]
pub(super) struct QueueSettings {
    pub(super) weights: Option<Vec<(Arc<str>, u32)>>,
    pub(super) tiers: Option<Vec<Vec<Arc<str>>>>,
    pub(super) reserve: Option<u32>,
    pub(super) only: Option<Vec<Arc<str>>>,
    pub(super) except: Option<Vec<Arc<str>>>,
}

impl QueueSettings {
    /// Which queue comes next, from which queues the node takes, and everything that is wrong with these settings.
    pub(super) fn checked(self) -> (QueueOrder, QueueFilter, Vec<String>) {
        let mut problems = Vec::new();
        if self.weights.is_some() && self.tiers.is_some() {
            problems.push("`queue_weights` and `queue_tiers` are both set; use one of them".to_owned());
        }
        if let Some(weights) = &self.weights {
            check_weights(weights, &mut problems);
        }
        if let Some(tiers) = &self.tiers {
            check_tiers(tiers, &mut problems);
        }
        match (self.reserve, &self.tiers) {
            (Some(1), _) => problems.push(
                "`queue_reserve` is 1, which gives every start to the lower tiers; use at least 2, or 0 for no reserve".to_owned(),
            ),
            (Some(reserve), None) => problems
                .push(format!("`queue_reserve` is {reserve}, but there are no tiers; add `queue_tiers` or remove it")),
            _ => {}
        }
        let mut patterns = |queues: Option<Vec<Arc<str>>>, setting: &str| {
            queues.iter().for_each(|queues| check_patterns(queues, setting, &mut problems));
            queues.into_iter().flatten().collect()
        };
        let only = patterns(self.only, "only_queues");
        let except = patterns(self.except, "except_queues");
        let order = match (self.weights, self.tiers) {
            (Some(weights), _) => QueueOrder::Weights(weights),
            (None, Some(tiers)) => QueueOrder::Tiers { tiers, reserve: self.reserve.unwrap_or(RESERVE) },
            (None, None) => QueueOrder::ByDueTime,
        };
        (order, QueueFilter { only, except }, problems)
    }
}

fn check_weights(weights: &[(Arc<str>, u32)], problems: &mut Vec<String>) {
    check_names(&weights.iter().map(|(queue, _)| queue).collect::<Vec<_>>(), "queue_weights", problems);
    let mut known = BTreeMap::new();
    for (queue, weight) in weights {
        if *weight == 0 {
            problems.push(format!(
                "the weight of queue `{queue}` is 0; give it at least 1, or leave the queue to other nodes with `except_queues`"
            ));
        }
        if let Some(first) = known.insert(queue, weight) {
            problems.push(format!("queue `{queue}` has two weights, {first} and {weight}; give it one"));
        }
    }
}

fn check_tiers(tiers: &[Vec<Arc<str>>], problems: &mut Vec<String>) {
    check_names(&tiers.iter().flatten().collect::<Vec<_>>(), "queue_tiers", problems);
    let mut known = BTreeMap::new();
    for (number, tier) in (1..).zip(tiers) {
        if tier.is_empty() {
            problems
                .push(format!("tier {number} of `queue_tiers` names no queue; name one or remove the tier"));
        }
        for queue in tier {
            match known.insert(queue, number) {
                Some(first) if first == number => {
                    problems.push(format!("queue `{queue}` is named twice in tier {number}; name it once"));
                }
                Some(first) => problems.push(format!(
                    "queue `{queue}` is in tier {first} and in tier {number}; name it in one of them"
                )),
                None => {}
            }
        }
    }
}

/// Names of single queues.
fn check_names(queues: &[&Arc<str>], setting: &str, problems: &mut Vec<String>) {
    if queues.is_empty() {
        problems.push(format!("`{setting}` names no queue; name one or remove the setting"));
    }
    for queue in queues {
        if queue.is_empty() {
            problems.push(without_name(setting));
        } else if queue.contains('*') {
            problems.push(format!(
                "`{setting}` names `{queue}`, but takes no patterns; use the whole names of queues"
            ));
        }
    }
}

fn check_patterns(queues: &[Arc<str>], setting: &str, problems: &mut Vec<String>) {
    if queues.is_empty() {
        problems.push(format!("`{setting}` names no queue; name one or remove the setting"));
    }
    for queue in queues {
        if queue.is_empty() {
            problems.push(without_name(setting));
        } else if queue.strip_suffix('*').unwrap_or(queue).contains('*') {
            problems.push(format!(
                "`{setting}` has `{queue}`, with a `*` before its end; a pattern is a prefix and a `*`, such as `tenant-*`"
            ));
        }
    }
}

fn without_name(setting: &str) -> String {
    format!("a queue in `{setting}` has an empty name; use its name, or `default` for work without a queue")
}
