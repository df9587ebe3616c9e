//! Which queue comes next: the shares of a request, and the queues of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use scheduler_core::store::*;

use super::running::{id, run};
use crate::bench::*;

fn set(names: &[&str]) -> Arc<std::collections::BTreeSet<Arc<str>>> {
    Arc::new(names.iter().map(|name| Arc::from(*name)).collect())
}

fn of(names: &[&str], most: usize) -> QueueShare {
    QueueShare { queues: QueueSet::Named(set(names)), most }
}

fn but(names: &[&str], most: usize) -> QueueShare {
    QueueShare { queues: QueueSet::AllBut(set(names)), most }
}

/// What was taken of each queue.
fn counted(acquired: &Acquired) -> BTreeMap<String, usize> {
    let triggers = acquired.triggers.iter().map(|one| &one.trigger);
    let mut counts = BTreeMap::new();
    for trigger in triggers.chain(acquired.runs.iter().map(|one| &one.trigger)) {
        *counts.entry(trigger.queue().map_or("none", |queue| queue).to_owned()).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(queue, count)| (queue.to_owned(), count)).collect()
}

impl Bench {
    /// A request with shares, of what is due ten seconds after the begin.
    fn request(&self, max: usize, shares: Vec<QueueShare>) -> AcquireDue {
        let (session, now, limits) = (ONE, at(10), QueueLimits::default());
        AcquireDue { session, now, until: now, max, limits, shares, late: None, heard: None }
    }

    async fn share(&self, max: usize, shares: Vec<QueueShare>) -> Acquired {
        self.store.acquire_due(self.request(max, shares)).await.unwrap()
    }

    /// So many runs of each queue, those of the first queue due first; `none` stands for runs without a queue.
    async fn wait_in(&self, queues: &[(&str, u64)]) {
        for ((queue, count), (number, due)) in
            queues.iter().zip((0..).map(|place| (10_000 * place, place as i64)))
        {
            let job = match *queue {
                "none" => job("none").build(),
                queue => job(queue).queue(queue).build(),
            };
            self.enqueue((0..*count).map(|one| run(number + one, &job, due)).collect()).await;
        }
    }

    /// Another node, which takes from these queues.
    async fn attach(&self, session: u64, only: &[&str], except: &[&str]) {
        let [only, except] = [only, except].map(|patterns| set(patterns).iter().cloned().collect());
        let queues = QueueFilter { only, except };
        let (name, wake, stop) = (format!("node {session}").into(), Arc::new(|| {}), Arc::new(|_, _| {}));
        self.store.attach(Node { session, name, types: None, queues, wake, stop }).await.unwrap();
    }
}

checks! { ($) queues, __store_checks_of_queues;

/// What waits longest has no precedence, and each request keeps to the shares.
async fn shares_are_taken_whatever_is_due_first(bench) {
    bench.wait_in(&[("bulk", 40), ("none", 40), ("mail", 40)]).await;
    bench.put(&job("trigger").build(), [every_minute("m/a", 0).queue("mail"), every_minute("m/b", 0).queue("mail")]).await;
    let shares = || vec![of(&["mail"], 6), of(&["default"], 3), of(&["bulk"], 1)];
    for _ in 0..3 {
        let taken = bench.share(10, shares()).await;
        assert_eq!(counted(&taken), counts([("mail", 6), ("none", 3), ("bulk", 1)]));
        assert_eq!(taken.next_due, Some(at(0)), "there is more");
    }
    // A request for fewer than its shares takes them in their order.
    assert_eq!(counted(&bench.share(7, shares()).await), counts([("mail", 6), ("none", 1)]));
    assert_eq!(counted(&bench.share(2, vec![of(&["none"], 2), of(&["mail", "bulk"], 1)]).await), counts([("bulk", 2)]));
}

async fn a_share_is_for_several_queues_by_due_time(bench) {
    bench.wait_in(&[("a", 2), ("b", 3), ("c", 3), ("d", 3)]).await;
    let taken = bench.share(4, vec![of(&["c", "b"], 4)]).await;
    assert_eq!(counted(&taken), counts([("b", 3), ("c", 1)]));
    let taken = bench.share(3, vec![but(&["a", "c"], 2)]).await;
    assert_eq!(counted(&taken), counts([("d", 2), ("a", 1)]));
}

async fn what_a_share_leaves_over_goes_to_the_others_by_due_time(bench) {
    bench.wait_in(&[("bulk", 5), ("none", 9), ("mail", 2)]).await;
    let taken = bench.share(10, vec![of(&["mail"], 6), of(&["default"], 3), of(&["bulk"], 1)]).await;
    assert_eq!(counted(&taken), counts([("mail", 2), ("none", 3), ("bulk", 5)]));
    assert_eq!(taken.next_due, Some(at(1)));
    let taken = bench.share(10, vec![of(&["mail"], 6), of(&["gone"], 4)]).await;
    assert_eq!(counted(&taken), counts([("none", 6)]));
    assert_eq!(bench.share(10, vec![of(&["mail"], 6)]).await.next_due, None);
}

/// Tiers are such requests: a reserve for what is below, then one tier after the other.
async fn tiers_are_shares_with_a_reserve(bench) {
    bench.wait_in(&[("bulk", 30), ("mail", 30), ("payments", 30)]).await;
    let tiers = || [of(&["payments"], 20), of(&["mail"], 20), of(&["bulk"], 20)];
    let reserve = |below, most| [but(below, most)].into_iter().chain(tiers()).collect();
    let taken = bench.share(20, reserve(&["payments"], 1)).await;
    assert_eq!(counted(&taken), counts([("payments", 19), ("bulk", 1)]));
    let taken = bench.share(20, tiers().into()).await;
    assert_eq!(counted(&taken), counts([("payments", 11), ("mail", 9)]));
    let taken = bench.share(20, reserve(&["payments", "mail"], 2)).await;
    assert_eq!(counted(&taken), counts([("mail", 18), ("bulk", 2)]));
}

async fn limits_hold_for_shares(bench) {
    bench.wait_in(&[("bulk", 9), ("none", 9), ("mail", 9)]).await;
    let shares = vec![of(&["mail"], 6), of(&["default"], 3), of(&["bulk"], 1)];
    let named = |name: &str, most| [(name.into(), most)].into();
    let mut limited = bench.request(10, shares.clone());
    limited.limits = QueueLimits { named: named("mail", 2), ..QueueLimits::default() };
    let taken = bench.store.acquire_due(limited.clone()).await.unwrap();
    assert_eq!(counted(&taken), counts([("mail", 2), ("none", 3), ("bulk", 5)]));
    limited.limits = QueueLimits { shared: named("mail", 3), default: Some(1), ..QueueLimits::default() };
    let taken = bench.store.acquire_due(limited).await.unwrap();
    assert_eq!(counted(&taken), counts([("mail", 1), ("none", 1), ("bulk", 4)]));
    assert_eq!(counted(&bench.share(9, shares).await), counts([("mail", 6), ("none", 3)]));
}

async fn pauses_hold_for_shares(bench) {
    bench.wait_in(&[("bulk", 9), ("mail", 9)]).await;
    bench.store.pause_queue("mail".into(), PauseNote::at(at(1))).await.unwrap();
    let shares = vec![of(&["mail"], 6), of(&["default", "bulk"], 1)];
    let taken = bench.share(4, shares.clone()).await;
    assert_eq!(counted(&taken), counts([("bulk", 4)]));
    bench.store.resume_queue("mail".into()).await.unwrap();
    assert_eq!(counted(&bench.share(4, shares).await), counts([("mail", 4)]));
}

/// The share of a queue is its own, however late its work is; within a share a backlog does not starve what is on time.
async fn late_triggers_have_their_part_of_a_share(bench) {
    let mail = |name: &str, count: i64, due| {
        (0..count).map(move |n| every_minute(&format!("{name}/{n}"), due).queue("mail")).collect::<Vec<_>>()
    };
    let late = mail("late", 4, 1).into_iter().chain(mail("on_time", 2, 8));
    bench.put(&job("work").build(), late).await;
    bench.put(&job("work").build(), (0..9).map(|n| every_minute(&format!("other/{n}"), 9).queue("other"))).await;
    let late = Some(LateShare { before: at(5), most: 1 });
    let request = AcquireDue { late, ..bench.request(6, vec![of(&["mail"], 4)]) };
    let taken = bench.store.acquire_due(request).await.unwrap();
    let expected = ["late/0", "on_time/0", "on_time/1", "late/1", "other/0", "other/1"];
    assert_eq!(names(&taken.triggers), expected);
    assert_eq!(taken.next_due, Some(at(1)));
}

/// A share does not hand out two runs of a job that allows one.
async fn jobs_that_run_alone_do_so_in_shares(bench) {
    let alone = |queue: &str| job("alone").disallow_concurrent(true).queue(queue).build();
    bench.enqueue(vec![run(1, &alone("a"), 1), run(2, &alone("b"), 1), run(3, &alone("b"), 2)]).await;
    let taken = bench.share(10, vec![of(&["b"], 2), of(&["a"], 2)]).await;
    assert_eq!(taken.runs.iter().map(|one| one.run).collect::<Vec<_>>(), [id(2)]);
    bench.end(&taken.runs[0], Fate::Over).await;
    let taken = bench.share(10, vec![of(&["b"], 2)]).await;
    assert_eq!(taken.runs.iter().map(|one| one.run).collect::<Vec<_>>(), [id(3)]);
}

/// A store may answer in parts.
async fn large_requests_keep_to_their_shares(bench) {
    bench.wait_in(&[("bulk", 300), ("none", 300), ("mail", 150)]).await;
    let shares = vec![of(&["mail"], 180), of(&["default"], 90), of(&["bulk"], 30)];
    let taken = bench.share(300, shares).await;
    assert_eq!(counted(&taken), counts([("mail", 150), ("none", 90), ("bulk", 60)]));
    let all: std::collections::BTreeSet<_> = taken.runs.iter().map(|one| one.run).collect();
    assert_eq!(all.len(), 300, "each once");
}

async fn a_node_takes_from_its_queues(bench) {
    bench.wait_in(&[("tenant-a", 2), ("tenant-b", 1), ("mail", 1), ("none", 1), ("tenant", 1)]).await;
    bench.put(&job("trigger").build(), [every_minute("t", 0)]).await;
    let ask = async |session, shares| {
        let request = AcquireDue { session, ..bench.request(10, shares) };
        bench.store.acquire_due(request).await.unwrap()
    };
    bench.attach(3, &["nothing"], &[]).await;
    let taken = ask(3, vec![of(&["mail"], 1)]).await;
    assert_eq!(counted(&taken), counts([]));
    assert!(taken.next_due.is_none_or(|due| due > at(10)), "nothing is to be had: {:?}", taken.next_due);
    bench.attach(4, &["tenant-*", "mail"], &["tenant-b"]).await;
    assert_eq!(counted(&ask(4, Vec::new()).await), counts([("tenant-a", 2), ("mail", 1)]));
    bench.attach(5, &[], &["default"]).await;
    assert_eq!(counted(&ask(5, vec![of(&["default"], 1)]).await), counts([("tenant-b", 1), ("tenant", 1)]));
    let last = ask(ONE, Vec::new()).await;
    assert_eq!(counted(&last), counts([("none", 2)]), "{last:?}");
}

async fn nodes_say_from_which_queues_they_take(bench) {
    bench.attach(3, &["tenant-*"], &["tenant-b"]).await;
    let nodes = bench.store.nodes().await.unwrap();
    let all = nodes.iter().map(|node| (node.session, node.queues.takes(Some(&"tenant-b".into())), node.queues.takes_all()));
    assert_eq!(all.collect::<Vec<_>>(), [(ONE, true, true), (TWO, true, true), (3, false, false)]);
    assert!(nodes[2].queues.takes(Some(&"tenant-a".into())) && !nodes[2].queues.takes(None));
}

/// riverqueue/river PR 1318: a sweep ended at a full page of what it had to pass over.
async fn what_a_node_passes_over_hides_nothing(bench) {
    let foreign: Vec<_> = (0..250).map(|number| format!("foreign{number}")).collect();
    let queues: Vec<_> = foreign.iter().map(|queue| (queue.as_str(), 1)).chain([("bulk", 600), ("mail", 2)]).collect();
    bench.wait_in(&queues).await;
    bench.attach(7, &["mail"], &[]).await;
    let request = AcquireDue { session: 7, now: at(999), until: at(999), ..bench.request(9, Vec::new()) };
    let taken = bench.store.acquire_due(request).await.unwrap();
    assert_eq!(counted(&taken), counts([("mail", 2)]));
}
}
