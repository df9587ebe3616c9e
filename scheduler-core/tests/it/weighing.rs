//! Which queue comes next: weights, tiers, and the queues of a node.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobDetailBuilder};
use scheduler_core::scheduler::SchedulerBuilder;
use scheduler_core::store::{MemoryJobStore, PauseNote, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Client, Scheduler};

const NOW: &str = "2026-03-01T00:00:00Z";

#[track_caller]
fn is_refused(set: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder, expected: &[&str]) {
    let error = set(Scheduler::builder()).build().unwrap_err();
    assert_eq!(error.problems(), expected);
}

#[test]
fn wrong_weights_are_named() {
    let none: [(&str, u32); 0] = [];
    is_refused(
        |node| node.queue_weights(none),
        &["`queue_weights` names no queue; name one or remove the setting"],
    );
    is_refused(
        |node| node.queue_weights([("mail", 0), ("bulk", 2), ("bulk", 3)]),
        &[
            "the weight of queue `mail` is 0; give it at least 1, or leave the queue to other nodes with `except_queues`",
            "queue `bulk` has two weights, 2 and 3; give it one",
        ],
    );
    is_refused(
        |node| node.queue_weights([("", 1), ("tenant-*", 2)]),
        &[
            "a queue in `queue_weights` has an empty name; use its name, or `default` for work without a queue",
            "`queue_weights` names `tenant-*`, but takes no patterns; use the whole names of queues",
        ],
    );
    is_refused(
        |node| node.queue_weights([("mail", 1)]).queue_tiers([["mail"]]),
        &["`queue_weights` and `queue_tiers` are both set; use one of them"],
    );
}

#[test]
fn wrong_tiers_are_named() {
    is_refused(
        |node| node.queue_tiers([vec!["a", "b", "b"], vec![], vec!["a", ""]]),
        &[
            "a queue in `queue_tiers` has an empty name; use its name, or `default` for work without a queue",
            "queue `b` is named twice in tier 1; name it once",
            "tier 2 of `queue_tiers` names no queue; name one or remove the tier",
            "queue `a` is in tier 1 and in tier 3; name it in one of them",
        ],
    );
    is_refused(
        |node| node.queue_reserve(10),
        &["`queue_reserve` is 10, but there are no tiers; add `queue_tiers` or remove it"],
    );
    is_refused(
        |node| node.queue_tiers([["a"]]).queue_reserve(1),
        &[
            "`queue_reserve` is 1, which gives every start to the lower tiers; use at least 2, or 0 for no reserve",
        ],
    );
}

#[test]
fn wrong_filters_are_named() {
    let none: [&str; 0] = [];
    is_refused(
        |node| node.only_queues(none).except_queues(["", "a*b", "*"]),
        &[
            "`only_queues` names no queue; name one or remove the setting",
            "a queue in `except_queues` has an empty name; use its name, or `default` for work without a queue",
            "`except_queues` has `a*b`, with a `*` before its end; a pattern is a prefix and a `*`, such as `tenant-*`",
        ],
    );
    let node = Scheduler::builder().queue_tiers([["a"], ["b"]]).queue_reserve(0);
    assert!(node.only_queues(["tenant-*", "*"]).except_queues(["default"]).build().is_ok());
}

fn detail(name: &str, queue: Option<&str>) -> JobDetail {
    let detail = JobDetail::builder(name.parse().unwrap(), name);
    queue.into_iter().fold(detail, JobDetailBuilder::queue).build()
}

const QUEUES: [(&str, Option<&str>); 4] =
    [("bulk", Some("bulk")), ("free", None), ("mail", Some("mail")), ("other", Some("other"))];

/// What has begun, in order.
type Begun = Arc<Mutex<Vec<&'static str>>>;

/// A node with jobs of these queues, each of which takes a second.
async fn node(
    store: &MemoryJobStore,
    set: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder,
) -> (TestScheduler, Begun) {
    let begun = Begun::default();
    let builder = QUEUES.iter().fold(Scheduler::builder().store(store.clone()), |builder, (name, queue)| {
        let begun = begun.clone();
        builder.register(JobDefinition::new(detail(name, *queue), move |context: JobContext| {
            begun.lock().push(*name);
            async move { context.clock().sleep(Duration::from_secs(1)).await }
        }))
    });
    (TestScheduler::start(NOW, set(builder)).await.unwrap(), begun)
}

/// A store in which so many runs of each of these jobs wait, of `bulk` since longest.
async fn waiting(counts: [(&str, usize); 4]) -> MemoryJobStore {
    let store = MemoryJobStore::new();
    for (second, ((name, count), (_, queue))) in counts.into_iter().zip(QUEUES).enumerate() {
        let client =
            Client::with_clock(store.clone(), ManualClock::at(&format!("2026-02-28T23:59:5{second}Z")));
        client.enqueue_all(vec![Invocation::new(detail(name, queue)); count]).await.unwrap();
    }
    store
}

fn counts(begun: &[&str]) -> [usize; 4] {
    QUEUES.map(|(name, _)| begun.iter().filter(|one| **one == name).count())
}

const ALL: [(&str, usize); 4] = [("bulk", 300), ("free", 300), ("mail", 300), ("other", 0)];

#[tokio::test]
async fn a_node_shares_its_starts_by_weights() {
    for concurrency in [1, 3, 100] {
        let store = waiting(ALL).await;
        let weights = [("mail", 6), ("default", 3), ("bulk", 1)];
        let (test, begun) = node(&store, |node| node.concurrency(concurrency).queue_weights(weights)).await;
        test.advance(Duration::from_secs(300)).await;
        let begun = begun.lock().clone();
        // Ten in a row are right, too, once the node knows which queues have work.
        let first = counts(&begun[..100]);
        let near = |counts: [usize; 4], expected: [usize; 4], most| {
            counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) <= most)
        };
        assert!(near(first, [10, 30, 60, 0], 10), "{concurrency}: {first:?}");
        let all = counts(&begun[..300]);
        assert!(near(all, [30, 90, 180, 0], 4), "{concurrency}: {all:?}");
        if concurrency < 100 {
            let ten = counts(&begun[100..110]);
            assert!(near(ten, [1, 3, 6, 0], 1), "{concurrency}: {ten:?}");
        }
        test.scheduler().shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_queue_without_a_weight_has_one_and_a_limited_or_paused_one_leaves_its_part() {
    let all = [("bulk", 300), ("free", 300), ("mail", 300), ("other", 300)];
    let store = waiting(all).await;
    let weights = [("mail", 6), ("default", 3)];
    let (test, begun) = node(&store, |node| node.concurrency(1).queue_weights(weights)).await;
    test.advance(Duration::from_secs(220)).await;
    // Of the two that are not named, `bulk` has waited for longest, and the node does not know at once that there are two.
    let of_200 = counts(&begun.lock()[..200]);
    assert!((107..=122).contains(&of_200[2]) && (18..=38).contains(&of_200[0]), "{of_200:?}");
    test.scheduler().pause_queue("mail", PauseNote::because("the server moves")).await.unwrap();
    test.advance(Duration::from_secs(2)).await;
    begun.lock().clear();
    test.advance(Duration::from_secs(40)).await;
    let of_40 = counts(&begun.lock()[..40]);
    assert!(of_40[2] == 0 && (23..=32).contains(&of_40[1]), "{of_40:?}");
    test.scheduler().shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_node_serves_tiers_with_a_reserve() {
    let tiers = || [vec!["mail"], vec!["default", "gone"], vec!["bulk"]];
    for concurrency in [1, 3, 100] {
        let store = waiting(ALL).await;
        let (test, begun) = node(&store, |node| node.concurrency(concurrency).queue_tiers(tiers())).await;
        test.advance(Duration::from_secs(120)).await;
        assert_eq!(counts(&begun.lock()[..100]), [5, 0, 95, 0], "{concurrency}");
        test.scheduler().shutdown(Duration::ZERO).await;
    }
    let store = waiting(ALL).await;
    let (test, begun) = node(&store, |node| node.concurrency(1).queue_tiers(tiers()).queue_reserve(0)).await;
    test.advance(Duration::from_secs(400)).await;
    assert_eq!(counts(&begun.lock()[..310]), [0, 10, 300, 0]);
    test.scheduler().shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_node_takes_from_its_queues_and_explains_the_others() {
    let store = waiting([("bulk", 2), ("free", 1), ("mail", 1), ("other", 1)]).await;
    let (first, begun) = node(&store, |node| node.except_queues(["bulk"]).only_queues(["m*", "b*"])).await;
    first.advance(Duration::from_secs(5)).await;
    assert_eq!(counts(&begun.lock()), [0, 0, 1, 0]);
    let scheduler = first.scheduler();
    let later = Trigger::after(Duration::from_secs(3600)).name("later");
    scheduler.schedule(detail("bulk", Some("bulk")), later).await.unwrap();
    let later = Trigger::after(Duration::from_secs(3600)).name("free");
    scheduler.schedule(detail("free", None), later).await.unwrap();
    let explained = async |key: &str| scheduler.explain(&key.parse().unwrap()).await.unwrap().to_string();
    let by_nobody = "no node that can run its job takes from its queue `bulk`; start one that does, or change `only_queues` and \
                     `except_queues` of a node";
    let here = "this node does not take from its queue `bulk`; another node must";
    assert!(explained("later").await.contains(by_nobody), "{}", explained("later").await);
    assert!(explained("free").await.contains("takes from the default queue;"), "{}", explained("free").await);
    let runs = scheduler.all_runs(RunQuery::default()).await.unwrap();
    let bulk = runs.iter().find(|run| run.job.name() == "bulk").unwrap();
    let told = scheduler.explain_run(bulk.id).await.unwrap().unwrap().to_string();
    assert!(told.contains(by_nobody), "{told}");
    let (second, of_second) = node(&store, |node| node.only_queues(["bulk"])).await;
    second.advance(Duration::from_secs(5)).await;
    assert_eq!(counts(&of_second.lock()), [2, 0, 0, 0]);
    assert!(explained("later").await.contains(here), "{}", explained("later").await);
    let client = Client::new(store);
    let seen = client.explain(&"later".parse().unwrap()).await.unwrap().to_string();
    assert!(!seen.contains("queue `bulk`"), "a node takes it: {seen}");
    second.scheduler().shutdown(Duration::ZERO).await;
    first.scheduler().shutdown(Duration::ZERO).await;
}
