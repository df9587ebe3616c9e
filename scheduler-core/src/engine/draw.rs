//! Which queues the next starts of a node belong to.
//!
//! Weights are drawn by stride scheduling: each queue has a number, its *pass*, which a start moves on by 1/weight, and the next start
//! belongs to the queue with the lowest pass. A request for many is drawn as a list of shares. Queues are charged for what the answer
//! has brought and not for what was drawn, so that the shares of small requests add up, too. A queue that was found empty is asked
//! first and beside the others, so that nothing is reserved for it; idleness earns nothing.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::sync::Arc;

use crate::store::{QueueSet, QueueShare};

/// The setting by which a node shares its starts among queues.
#[derive(Debug, Clone, Default)]
pub(crate) enum QueueOrder {
    /// The earliest due over all queues.
    #[default]
    ByDueTime,
    /// Queues and their weights.
    Weights(Vec<(Arc<str>, u32)>),
    /// One tier after the other.
    Tiers {
        tiers: Vec<Vec<Arc<str>>>,
        /// One start of so many goes to the tiers below; 0 for none.
        reserve: u32,
    },
}

/// The shares of the requests of a node.
#[derive(Debug)]
pub(super) enum Draw {
    ByDueTime,
    Weights(Weights),
    Tiers(Tiers),
}

impl Draw {
    pub(super) fn new(order: &QueueOrder) -> Self {
        match order {
            QueueOrder::ByDueTime => Self::ByDueTime,
            QueueOrder::Weights(weights) => Self::Weights(Weights::new(weights)),
            QueueOrder::Tiers { tiers, reserve } => Self::Tiers(Tiers::new(tiers, *reserve)),
        }
    }

    /// The shares of a request for so many.
    pub(super) fn shares(&mut self, max: usize) -> Vec<QueueShare> {
        match self {
            Self::ByDueTime => Vec::new(),
            Self::Weights(weights) => weights.shares(max),
            Self::Tiers(tiers) => tiers.shares(max),
        }
    }

    /// The answer has brought work of this queue.
    pub(super) fn took(&mut self, queue: Option<&Arc<str>>) {
        match self {
            Self::ByDueTime => {}
            Self::Weights(weights) => weights.took(queue),
            Self::Tiers(tiers) => tiers.took(queue),
        }
    }

    /// The answer to the latest request has brought nothing else.
    pub(super) fn answered(&mut self) {
        match self {
            Self::ByDueTime => {}
            Self::Weights(weights) => weights.answered(),
            Self::Tiers(tiers) => tiers.answered(),
        }
    }
}

fn named(names: impl IntoIterator<Item = Arc<str>>) -> Arc<BTreeSet<Arc<str>>> {
    Arc::new(names.into_iter().collect())
}

/// By how much a start moves the pass of a queue with weight 1.
const STRIDE: u64 = 1 << 32;

#[derive(Debug)]
struct Weighed {
    queues: QueueSet,
    weight: u64,
    /// How far the queue is ahead of the one that is to come next.
    pass: u64,
    /// The queue may have work; false if the latest request for the queue has found less than its share.
    may_wait: bool,
    /// The share of the latest request.
    share: usize,
    /// How many the answer has brought.
    taken: usize,
}

impl Weighed {
    fn new(queues: QueueSet, weight: u32) -> Self {
        Self { queues, weight: u64::from(weight.max(1)), pass: 0, may_wait: true, share: 0, taken: 0 }
    }

    fn stride(&self) -> u64 {
        (STRIDE / self.weight).max(1)
    }
}

/// A request draws for no more than so many, so that a node with very many slots draws for a moment only.
const MOST_DRAWN: usize = 10_000;

/// Shares by weights.
#[derive(Debug)]
pub(super) struct Weights {
    /// Last, all queues that have no weight of their own.
    queues: Vec<Weighed>,
    /// Queues among the last that have brought work lately; each has weight 1.
    others: HashSet<Arc<str>>,
    /// How many the latest request was for.
    max: usize,
    /// The queues that it has asked for, in the order of their shares.
    asked: Vec<usize>,
}

impl Weights {
    fn new(weights: &[(Arc<str>, u32)]) -> Self {
        let of =
            |(name, weight): &(Arc<str>, u32)| Weighed::new(QueueSet::Named(named([name.clone()])), *weight);
        let others = QueueSet::AllBut(named(weights.iter().map(|(name, _)| name.clone())));
        let queues = weights.iter().map(of).chain([Weighed::new(others, 1)]).collect();
        Self { queues, others: HashSet::new(), max: 0, asked: Vec::new() }
    }

    /// Draws until the queues that may have work have their shares. Others come in between and are not counted, with no more than
    /// their part if all had work.
    fn shares(&mut self, max: usize) -> Vec<QueueShare> {
        // The rest of a larger request goes by due time.
        let max = max.min(MOST_DRAWN);
        self.max = max;
        self.asked.clear();
        self.queues.iter_mut().for_each(|queue| (queue.share, queue.taken) = (0, 0));
        let total: u64 = self.queues.iter().map(|queue| queue.weight).sum();
        // Of two with the same pass the idle one comes first: while it is idle, that costs the other nothing.
        let place = |(index, queue): (usize, &Weighed)| Reverse((queue.pass, queue.may_wait, index));
        let mut next: BinaryHeap<_> = self.queues.iter().enumerate().map(place).collect();
        let mut left = max;
        while let Some(Reverse((pass, may_wait, index))) = next.pop().filter(|_| left > 0) {
            let queue = &mut self.queues[index];
            if queue.share == 0 {
                self.asked.push(index);
            }
            queue.share += 1;
            left -= usize::from(may_wait);
            let most = (max as u64).saturating_mul(queue.weight).div_ceil(total);
            if may_wait || (queue.share as u64) < most {
                next.push(Reverse((pass.saturating_add(queue.stride()), may_wait, index)));
            }
        }
        let share = |index: &usize| {
            let Weighed { queues, share, .. } = &self.queues[*index];
            QueueShare { queues: queues.clone(), most: *share }
        };
        self.asked.iter().map(share).collect()
    }

    fn took(&mut self, queue: Option<&Arc<str>>) {
        let Some(known) = self.queues.iter_mut().find(|known| known.queues.contains(queue)) else { return };
        known.taken += 1;
        if let (QueueSet::AllBut(_), Some(name)) = (&known.queues, queue)
            && !self.others.contains(name)
        {
            self.others.insert(name.clone());
        }
    }

    fn answered(&mut self) {
        if self.queues.iter().map(|queue| queue.taken).sum::<usize>() < self.max {
            // Nobody waits any more.
            self.others.clear();
            self.queues.iter_mut().for_each(|queue| (queue.pass, queue.may_wait) = (0, true));
        } else if self.max > 0 {
            self.charge();
        }
        if let Some(others) = self.queues.last_mut() {
            others.weight = self.others.len().max(1) as u64;
        }
    }

    fn charge(&mut self) {
        let mut room = self.max;
        for &index in &self.asked {
            // The last share that was taken may have been cut off, and nothing is known of those after it.
            let queue = &mut self.queues[index];
            let share = queue.share.min(room);
            if room > 0 {
                queue.may_wait = queue.taken >= share;
            }
            room -= queue.taken.min(share);
        }
        for queue in &mut self.queues {
            queue.pass = queue.pass.saturating_add(queue.stride().saturating_mul(queue.taken as u64));
        }
        let waiting = self.queues.iter().filter(|queue| queue.may_wait);
        let least = waiting.map(|queue| queue.pass).min().unwrap_or(u64::MAX);
        self.queues.iter_mut().for_each(|queue| queue.pass = queue.pass.saturating_sub(least));
        if !self.queues.last().is_some_and(|others| others.may_wait) {
            self.others.clear();
        }
    }
}

/// Shares by tiers.
#[derive(Debug)]
pub(super) struct Tiers {
    /// With how many of each the answer has brought.
    tiers: Vec<(QueueSet, usize)>,
    /// The queues below each tier.
    below: Vec<QueueSet>,
    reserve: usize,
    /// Starts since the last one of the reserve.
    since: usize,
    /// The first tier whose work was not all taken lately; the number of tiers if that were queues without a tier.
    serving: usize,
    /// How many the latest request was for, and how many the answer has brought.
    max: usize,
    taken: usize,
}

impl Tiers {
    fn new(tiers: &[Vec<Arc<str>>], reserve: u32) -> Self {
        let below =
            (1..=tiers.len()).map(|many| QueueSet::AllBut(named(tiers[..many].iter().flatten().cloned())));
        Self {
            below: below.collect(),
            tiers: tiers.iter().map(|tier| (QueueSet::Named(named(tier.iter().cloned())), 0)).collect(),
            reserve: usize::try_from(reserve).unwrap_or(usize::MAX),
            since: 0,
            serving: 0,
            max: 0,
            taken: 0,
        }
    }

    /// How many of so many starts go to the tiers below.
    fn reserved(&self) -> usize {
        self.since.saturating_add(self.max).checked_div(self.reserve).unwrap_or_default().min(self.max)
    }

    fn shares(&mut self, max: usize) -> Vec<QueueShare> {
        (self.max, self.taken) = (max, 0);
        self.tiers.iter_mut().for_each(|(_, taken)| *taken = 0);
        let most = self.reserved();
        let below = self.below.get(self.serving).filter(|_| most > 0);
        let reserved = below.map(|below| QueueShare { queues: below.clone(), most });
        let tiers = self.tiers.iter().filter(|_| max > 0);
        let tiers = tiers.map(|(tier, _)| QueueShare { queues: tier.clone(), most: max });
        reserved.into_iter().chain(tiers).collect()
    }

    fn took(&mut self, queue: Option<&Arc<str>>) {
        self.taken += 1;
        if let Some((_, taken)) = self.tiers.iter_mut().find(|(tier, _)| tier.contains(queue)) {
            *taken += 1;
        }
    }

    fn answered(&mut self) {
        if self.taken < self.max {
            // All that waited was taken, so nobody was passed over.
            self.serving = 0;
            return;
        }
        let reserved = self.reserved();
        self.since = self.since.saturating_add(self.max).checked_rem(self.reserve).unwrap_or_default();
        // The last tier that was reached had more than was taken. A request for the reserve alone has reached none.
        if reserved < self.max {
            let mut sum = 0;
            let reached = self.tiers.iter().position(|(_, taken)| {
                sum += taken;
                sum >= self.max - reserved
            });
            self.serving = reached.unwrap_or(self.tiers.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Queues with this many waiting, the oldest work in the first of them. What is waiting in no queue is endless.
    struct Store(Vec<(&'static str, usize)>);

    impl Store {
        /// What a store takes for such a request.
        fn take(&mut self, shares: &[QueueShare], max: usize) -> Vec<Arc<str>> {
            let mut taken = Vec::new();
            let rest = QueueShare { queues: QueueSet::AllBut(Arc::default()), most: max };
            for share in shares.iter().chain([&rest]) {
                let goal = (taken.len() + share.most).min(max);
                for (name, waiting) in &mut self.0 {
                    let name = Arc::from(*name);
                    while taken.len() < goal && *waiting > 0 && share.queues.contains(Some(&name)) {
                        *waiting -= 1;
                        taken.push(name.clone());
                    }
                }
            }
            taken
        }
    }

    /// Asks so often for so many, and counts.
    fn starts(draw: &mut Draw, store: &mut Store, requests: &[usize]) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for &max in requests {
            let shares = draw.shares(max);
            let taken = store.take(&shares, max);
            for name in taken {
                draw.took(Some(&name));
                *counts.entry(name.to_string()).or_default() += 1;
            }
            draw.answered();
        }
        counts
    }

    fn weights(weights: &[(&str, u32)]) -> Draw {
        let named = weights.iter().map(|(name, weight)| (Arc::from(*name), *weight));
        Draw::new(&QueueOrder::Weights(named.collect()))
    }

    fn tiers(tiers: &[&[&str]], reserve: u32) -> Draw {
        let tier = |names: &&[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        Draw::new(&QueueOrder::Tiers { tiers: tiers.iter().map(tier).collect(), reserve })
    }

    #[track_caller]
    fn is_shared(
        draw: &mut Draw,
        waiting: &[(&'static str, usize)],
        requests: &[usize],
        expected: &[(&str, usize)],
    ) {
        let counts = starts(draw, &mut Store(waiting.to_vec()), requests);
        let expected = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        assert_eq!(counts, expected, "{requests:?}");
    }

    const MANY: usize = 1_000_000;
    const MAIL: &[(&str, u32)] = &[("mail", 6), ("default", 3), ("bulk", 1)];

    #[test]
    fn without_a_setting_there_are_no_shares() {
        let mut draw = Draw::new(&QueueOrder::ByDueTime);
        assert!(draw.shares(100).is_empty());
        draw.took(None);
        draw.answered();
        assert!(weights(MAIL).shares(0).is_empty() && tiers(&[&["a"]], 20).shares(0).is_empty());
    }

    #[test]
    fn weights_are_shares_of_requests_of_any_size() {
        let waiting = [("bulk", MANY), ("mail", MANY), ("default", MANY)];
        let sizes = [vec![100], vec![1; 100], vec![10; 10], vec![7; 100], [3, 1, 2, 4].repeat(10)];
        for requests in sizes {
            // The first request does not know yet that nothing waits in other queues.
            let mut draw = weights(MAIL);
            starts(&mut draw, &mut Store(waiting.to_vec()), &[11]);
            let hundreds = requests.iter().sum::<usize>() / 100;
            let expected =
                [("mail", 60), ("default", 30), ("bulk", 10)].map(|(name, n)| (name, n * hundreds));
            let counts = starts(&mut draw, &mut Store(waiting.to_vec()), &requests);
            for (name, expected) in expected {
                assert!(counts[name].abs_diff(expected) <= 2, "{requests:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn a_queue_without_work_leaves_its_part_to_the_others() {
        let mut draw = weights(MAIL);
        is_shared(&mut draw, &[("bulk", MANY)], &[100; 3], &[("bulk", 300)]);
        // Not even a long idle time earns more than the weight.
        let waiting = [("bulk", MANY), ("mail", MANY)];
        let mut store = Store(waiting.to_vec());
        let first = starts(&mut draw, &mut store, &[100]);
        assert!(first["mail"] >= 54, "{first:?}");
        let all = starts(&mut draw, &mut store, &[100; 6]);
        assert!(all["mail"].abs_diff(600 * 6 / 7) <= 4 + 100, "{all:?}");
        let each = starts(&mut draw, &mut store, &[1; 70]);
        assert_eq!((each["mail"], each["bulk"]), (60, 10));
    }

    #[test]
    fn queues_without_a_weight_have_weight_1_each() {
        let waiting = [("mail", MANY), ("x", MANY), ("y", 0)];
        let mut draw = weights(&[("mail", 4)]);
        let mut store = Store(waiting.to_vec());
        starts(&mut draw, &mut store, &[100]);
        is_shared(&mut draw, &waiting, &[1; 50], &[("mail", 40), ("x", 10)]);
        is_shared(&mut draw, &waiting, &[50; 2], &[("mail", 80), ("x", 20)]);
        // Among them the earliest due comes first. Each that has brought work counts.
        let mut draw = weights(&[("mail", 4)]);
        let mut store = Store(vec![("mail", MANY), ("x", 1), ("y", MANY)]);
        starts(&mut draw, &mut store, &[60]);
        let counts = starts(&mut draw, &mut store, &[60]);
        assert!(counts["mail"].abs_diff(40) <= 1 && counts["y"].abs_diff(20) <= 1, "{counts:?}");
    }

    #[test]
    fn a_queue_with_one_piece_of_work_at_a_time_gets_no_more_than_its_weight() {
        let mut draw = weights(&[("a", 1), ("b", 1)]);
        let mut counts = BTreeMap::<String, usize>::new();
        for _ in 0..100 {
            let mut store = Store(vec![("a", 1), ("b", MANY)]);
            for (name, count) in starts(&mut draw, &mut store, &[1]) {
                *counts.entry(name).or_default() += count;
            }
        }
        assert!(counts["a"].abs_diff(50) <= 1, "{counts:?}");
    }

    #[test]
    fn tiers_come_one_after_the_other_with_a_reserve_for_those_below() {
        let order: &[&[&str]] = &[&["payments"], &["default", "mail"], &["bulk"]];
        let waiting = [("bulk", MANY), ("mail", MANY), ("payments", MANY)];
        for requests in [vec![100], vec![1; 100], vec![10; 10], vec![50; 2]] {
            let mut draw = tiers(order, 20);
            is_shared(&mut draw, &waiting, &requests, &[("payments", 95), ("bulk", 5)]);
        }
        is_shared(&mut tiers(order, 0), &waiting, &[1; 100], &[("payments", 100)]);
        is_shared(&mut tiers(order, 0), &waiting, &[100], &[("payments", 100)]);
        is_shared(&mut tiers(order, 4), &waiting, &[1; 100], &[("payments", 75), ("bulk", 25)]);
        // The reserve goes below the tier that is served.
        let below = [("mail", MANY), ("bulk", MANY)];
        let mut draw = tiers(order, 20);
        starts(&mut draw, &mut Store(below.to_vec()), &[1; 20]);
        is_shared(&mut draw, &below, &[1; 100], &[("mail", 95), ("bulk", 5)]);
        is_shared(&mut draw, &below, &[100], &[("mail", 95), ("bulk", 5)]);
        // Queues without a tier come last.
        is_shared(&mut draw, &[("other", MANY), ("bulk", 10)], &[100], &[("bulk", 10), ("other", 90)]);
        is_shared(&mut draw, &[("other", MANY), ("bulk", 10)], &[1; 10], &[("bulk", 10)]);
    }

    fn queues() -> impl Strategy<Value = Vec<(u32, bool)>> {
        prop::collection::vec((1..20u32, any::<bool>()), 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// After any idle time, queues that always have work share by their weights what is started from then on.
        #[test]
        fn shares_come_to_the_weights(
            all in queues(),
            before in prop::collection::vec(1..200usize, 0..6),
            sizes in prop::collection::vec(1..40usize, 1..20),
        ) {
            const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
            let named: Vec<_> = NAMES.iter().zip(&all).map(|(name, (weight, _))| (*name, *weight)).collect();
            let mut draw = weights(&named);
            let with_work = |of_all: bool| {
                let waits = |(name, (_, waits)): (&&'static str, &(u32, bool))| {
                    (*name, if of_all || *waits { MANY } else { 0 })
                };
                Store(NAMES.iter().zip(&all).map(waits).collect())
            };
            starts(&mut draw, &mut with_work(false), &before);
            // Until the draw knows who has work, and what the last request took too much is made up for.
            let mut store = with_work(true);
            let warm_up = 6_000 / sizes.iter().sum::<usize>() + 8;
            starts(&mut draw, &mut store, &sizes.repeat(warm_up));
            let rounds = 2_000 / sizes.iter().sum::<usize>() + 1;
            let requests = sizes.repeat(rounds);
            let counts = starts(&mut draw, &mut store, &requests);
            let (started, total) = (requests.iter().sum::<usize>(), all.iter().map(|(weight, _)| weight).sum::<u32>());
            for (name, weight) in named {
                let expected = started as f64 * f64::from(weight) / f64::from(total);
                let found = counts.get(name).copied().unwrap_or_default() as f64;
                prop_assert!((found - expected).abs() <= 3.0, "{}: {} of {}, not {}", name, found, started, expected);
            }
        }
    }
}
