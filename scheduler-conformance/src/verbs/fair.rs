//! Turns: the runs of a queue begin in rounds, of each fair key one in each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use scheduler_core::run::{Gate, GateId, Gates};
use scheduler_core::store::*;

use super::running::{error, id, numbers, run};
use crate::bench::*;
use crate::seeded::seed;

/// A run with this key, due so many seconds after the begin and enqueued then.
fn fair(number: u64, key: &str, due: i64) -> NewRun {
    let mut run = run(number, &job("work").build(), due);
    run.gates = Gates::default().with_fair(Some(key.into()));
    run.now = Some(run.due);
    run
}

/// So many of them, with numbers in a row.
fn many(first: u64, count: u64, key: &str, due: i64) -> Vec<NewRun> {
    (first..first + count).map(|number| fair(number, key, due)).collect()
}

fn of_type(mut run: NewRun, job_type: &str) -> NewRun {
    (run.job, run.job_type) = (job_type.parse().unwrap(), job_type.into());
    run
}

fn in_queue(mut run: NewRun, queue: &str) -> NewRun {
    run.queue = Some(queue.into());
    run
}

/// With a limit of one run at a time.
fn limited(mut run: NewRun, limit: &str) -> NewRun {
    let gate = Gate::new(GateId::of(limit, None), 1, 1);
    run.gates = Gates::new(vec![gate]).with_fair(run.gates.fair().cloned());
    run
}

/// How many there are of each hundred.
fn by_hundred(numbers: &[u64]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    numbers.iter().for_each(|number| *counts.entry(number / 100).or_default() += 1);
    counts
}

impl Bench {
    /// What can be taken at that time, at most so many, however often the store asks to be called again at once.
    async fn take_turns(&self, session: u64, seconds: i64, most: usize) -> Vec<AcquiredRun> {
        let mut all = Vec::new();
        for _ in 0..100 {
            let taken = self.ask(session, seconds, most - all.len(), QueueLimits::default()).await;
            let is_over = taken.runs.is_empty() && taken.next_due.is_none_or(|due| due > at(seconds));
            all.extend(taken.runs);
            if is_over || all.len() == most {
                return all;
            }
        }
        panic!("after 100 calls the store still asks to be called again at once")
    }

    /// Takes one run after the other, each by another node, and ends it.
    async fn run_in_turn(&self, seconds: i64, most: usize) -> Vec<u64> {
        let mut all = Vec::new();
        for session in [ONE, TWO].into_iter().cycle().take(most) {
            let taken = self.take_turns(session, seconds, 1).await;
            let Some(taken) = taken.first() else { break };
            self.end(taken, Fate::Over).await;
            all.push(taken.run.count());
        }
        all
    }
}

checks! { ($) fair, __store_checks_of_fair;

async fn keys_with_backlogs_begin_as_many_runs_as_each_other(bench) {
    bench.enqueue(many(100, 60, "a", 1)).await;
    bench.enqueue(many(200, 20, "b", 2)).await;
    bench.enqueue(many(300, 25, "c", 3)).await;
    let taken = numbers(&bench.take_turns(ONE, 10, 30).await);
    assert_eq!(by_hundred(&taken), BTreeMap::from([(1, 10), (2, 10), (3, 10)]), "in one call: {taken:?}");
    for most in 1..=30 {
        let counts = by_hundred(&taken[..most]);
        let of = |hundred| counts.get(&hundred).copied().unwrap_or_default();
        let (least, largest) = ((1..=3).map(of).min(), (1..=3).map(of).max());
        assert!(largest <= least.map(|least| least + 1), "after {most}: {taken:?}");
    }
    let one_by_one = bench.run_in_turn(10, 30).await;
    assert_eq!(by_hundred(&one_by_one), BTreeMap::from([(1, 10), (2, 10), (3, 10)]), "{one_by_one:?}");
    let left = bench.run_in_turn(10, 100).await;
    assert_eq!(by_hundred(&left), BTreeMap::from([(1, 40), (3, 5)]), "what a key leaves goes to the others");
    let in_order: Vec<_> = taken.iter().chain(&one_by_one).chain(&left).filter(|number| **number < 200).copied().collect();
    assert_eq!(in_order, (100..160).collect::<Vec<_>>(), "runs of one key begin in their order");
}

async fn runs_of_one_key_begin_by_due_time_priority_and_id(bench) {
    let mut first = fair(3, "a", 1);
    first.priority = 9;
    // It may have its turn by now, and keep it.
    bench.enqueue(vec![fair(9, "a", 1)]).await;
    bench.enqueue(vec![fair(1, "a", 2), fair(2, "a", 1), first, fair(4, "a", 1)]).await;
    let mut begun = bench.run_in_turn(2, 9).await;
    begun.retain(|number| *number != 9);
    assert_eq!(begun, [3, 2, 4, 1]);
}

async fn a_late_key_comes_in_the_next_round(bench) {
    bench.enqueue(many(100, 50, "a", 1)).await;
    bench.enqueue(many(200, 50, "b", 1)).await;
    bench.run_in_turn(1, 20).await;
    bench.enqueue(many(300, 3, "c", 5)).await;
    let taken = numbers(&bench.take_turns(ONE, 5, 9).await);
    assert!(taken[..4].iter().any(|number| *number >= 300), "it begins at once: {taken:?}");
    assert_eq!(by_hundred(&taken), BTreeMap::from([(1, 3), (2, 3), (3, 3)]), "{taken:?}");
}

/// Also when no run has begun since the others came.
async fn a_late_key_does_not_wait_for_what_came_before(bench) {
    bench.enqueue(many(100, 50, "a", 1)).await;
    bench.enqueue(vec![fair(200, "b", 5)]).await;
    let begun = bench.run_in_turn(9, 2).await;
    assert!(begun.contains(&200), "{begun:?}");
}

async fn a_key_earns_nothing_by_being_idle(bench) {
    bench.enqueue(many(100, 60, "a", 1)).await;
    bench.enqueue(vec![fair(200, "b", 1)]).await;
    bench.run_in_turn(5, 30).await;
    bench.enqueue(many(201, 40, "b", 5)).await;
    let taken = by_hundred(&bench.run_in_turn(9, 20).await);
    assert!((9..=11).contains(&taken[&2]), "{taken:?}");
}

/// They come half as fast as runs begin, so nobody waits longer and longer.
async fn new_keys_starve_nobody(bench) {
    bench.enqueue(many(900, 5, "a", 1)).await;
    let mut begun = Vec::new();
    for number in 1..=14 {
        if number % 2 == 0 {
            bench.enqueue(vec![fair(number, &format!("key {number}"), 1)]).await;
        }
        begun.extend(bench.run_in_turn(9, 1).await);
    }
    assert_eq!(begun.iter().filter(|number| **number >= 900).count(), 5, "{begun:?}");
}

/// taskforcesh/bullmq: what has no group always came first. triggerdotdev/trigger.dev#4628: a key named `*`.
async fn each_text_is_a_key_like_any_other(bench) {
    let keys = ["a", "*", "", "a/b", "it\u{1}a", "\u{2}", "🦀"];
    for (place, key) in (1..).zip(keys) {
        bench.enqueue(many(100 * place, 3, key, 1)).await;
    }
    for round in 0..3 {
        let mut begun = bench.run_in_turn(1, keys.len()).await;
        begun.sort_unstable();
        assert_eq!(begun, (1..=7).map(|place| 100 * place + round).collect::<Vec<_>>(), "round {round}");
    }
}

async fn another_head_comes_up_when_one_leaves(bench) {
    let changes = [RunChange::Cancel, RunChange::Hold, RunChange::Delete, RunChange::edit(RunEdit::new().due(at(50)))];
    for (first, change) in (0..).map(|place| 1 + 10 * place).zip(changes) {
        bench.enqueue(many(first, 3, "a", 1)).await;
        bench.change(&[first], change.clone()).await;
        bench.change(&[first + 2], change.clone()).await;
        assert_eq!(bench.run_in_turn(9, 9).await, [first + 1], "{change:?}");
    }
    let elsewhere = RunChange::edit(RunEdit::new().queue("other"));
    bench.enqueue(many(70, 3, "a", 1)).await;
    bench.change(&[70], elsewhere).await;
    let mut begun = bench.run_in_turn(9, 9).await;
    begun.sort_unstable();
    assert_eq!(begun, [70, 71, 72]);
    let mut expiring = fair(80, "a", 1);
    expiring.expires = Some(Duration::from_secs(5));
    bench.enqueue(vec![expiring, fair(81, "a", 1)]).await;
    assert_eq!(bench.run_in_turn(9, 9).await, [81], "the first has expired");
}

async fn a_run_that_is_given_back_waits_again(bench) {
    bench.enqueue(many(100, 3, "a", 1)).await;
    bench.enqueue(many(200, 3, "b", 1)).await;
    let taken = bench.take_turns(ONE, 1, 3).await;
    bench.store.release(taken.iter().map(|run| run.claim).collect()).await.unwrap();
    let mut begun = bench.run_in_turn(1, 9).await;
    let of_key = |hundred: u64| begun.iter().filter(|number| **number / 100 == hundred).copied().collect::<BTreeSet<_>>();
    assert_eq!((of_key(1), of_key(2)), ((100..103).collect(), (200..203).collect()));
    begun.dedup();
    assert_eq!(begun.len(), 6, "each of them once");
}

async fn a_limit_of_the_key_keeps_no_other_key_waiting(bench) {
    bench.enqueue(many(100, 20, "a", 1).into_iter().map(|run| limited(run, "of a")).collect()).await;
    bench.enqueue(vec![fair(150, "a", 2)]).await;
    bench.enqueue(many(200, 3, "b", 3).into_iter().map(|run| limited(run, "of b")).collect()).await;
    let taken = bench.take_turns(ONE, 9, 30).await;
    let mut begun = numbers(&taken);
    begun.sort_unstable();
    assert_eq!(begun, [100, 150, 200], "one of each limit, and the one that has none");
    for run in &taken {
        bench.end(run, Fate::Over).await;
    }
    let mut begun = numbers(&bench.take_turns(ONE, 9, 30).await);
    begun.sort_unstable();
    assert_eq!(begun, [101, 201]);
}

async fn keys_take_turns_at_a_limit_that_they_share(bench) {
    bench.enqueue(many(100, 10, "a", 1).into_iter().map(|run| limited(run, "all")).collect()).await;
    bench.enqueue(many(200, 4, "b", 2).into_iter().map(|run| limited(run, "all")).collect()).await;
    let begun = bench.run_in_turn(9, 20).await;
    assert_eq!(begun, [100, 200, 101, 201, 102, 202, 103, 203, 104, 105, 106, 107, 108, 109]);
}

/// A key whose runs come one by one, while no slot is free, does not overtake one whose runs have come at once.
async fn who_comes_one_by_one_to_a_full_limit_overtakes_nobody(bench) {
    bench.enqueue(vec![limited(fair(1, "c", 1), "all")]).await;
    let holder = bench.take_one(1).await;
    bench.enqueue(many(200, 4, "b", 1).into_iter().map(|run| limited(run, "all")).collect()).await;
    for number in 100..104 {
        bench.enqueue(vec![limited(fair(number, "a", 2), "all")]).await;
        assert!(bench.take_turns(ONE, 2, 9).await.is_empty(), "no slot is free");
    }
    bench.end(&holder, Fate::Over).await;
    let begun = bench.run_in_turn(9, 20).await;
    for most in 1..=8 {
        let counts = by_hundred(&begun[..most]);
        let of = |hundred| counts.get(&hundred).copied().unwrap_or_default();
        assert!(usize::abs_diff(of(1), of(2)) <= 1, "after {most}: {begun:?}");
    }
    assert_eq!(begun.len(), 8);
}

async fn delayed_runs_get_turns_when_they_are_due(bench) {
    bench.enqueue(many(200, 20, "b", 1)).await;
    let mut delayed = many(100, 5, "a", 50);
    delayed.iter_mut().for_each(|run| run.now = Some(at(1)));
    bench.enqueue(delayed).await;
    let early = bench.run_in_turn(49, 8).await;
    assert!(early.iter().all(|number| *number >= 200), "none is early: {early:?}");
    let counts = by_hundred(&bench.run_in_turn(50, 10).await);
    assert!((4..=5).contains(&counts[&1]), "{counts:?}");
}

async fn retries_get_turns_when_they_are_due(bench) {
    bench.enqueue(many(100, 2, "a", 1)).await;
    bench.enqueue(many(200, 20, "b", 1)).await;
    let taken = bench.take_turns(ONE, 1, 1).await.remove(0);
    assert_eq!(taken.run, id(100));
    bench.end(&taken, Fate::Again { at: at(60), counts: true, error: Some(error("no")) }).await;
    let begun = bench.run_in_turn(59, 6).await;
    assert!(begun.contains(&101) && !begun.contains(&100), "{begun:?}");
    let begun = bench.run_in_turn(60, 3).await;
    assert!(begun.contains(&100), "{begun:?}");
}

async fn a_key_has_one_turn_in_all_lanes_of_its_queue(bench) {
    let all = (0..20).flat_map(|number| {
        let other = of_type(fair(150 + number, "a", 1), "other");
        [fair(100 + number, "a", 1), other, fair(200 + number, "b", 1)]
    });
    bench.enqueue(all.collect()).await;
    let taken = by_hundred(&numbers(&bench.take_turns(ONE, 9, 20).await));
    assert!((9..=11).contains(&taken[&2]), "{taken:?}");
    let of_one_lane = numbers(&bench.take_turns(TWO, 9, 9).await);
    assert!(of_one_lane.iter().all(|number| !(150..200).contains(number)), "{of_one_lane:?}");
    let left = bench.take_turns(ONE, 9, 100).await.len();
    assert_eq!(left, 31, "a node that has all of these job types finds the rest");
}

async fn the_same_key_in_another_queue_is_another_key(bench) {
    let all = (0..10).flat_map(|number| {
        [in_queue(fair(100 + number, "a", 1), "one"), in_queue(fair(200 + number, "a", 1), "two"), fair(300 + number, "b", 1)]
    });
    bench.enqueue(all.collect()).await;
    let taken = by_hundred(&numbers(&bench.take_turns(ONE, 9, 15).await));
    assert!(taken.values().all(|count| (4..=6).contains(count)) && taken.len() == 3, "{taken:?}");
}

/// Also if the queue with the keys always has a backlog.
async fn queues_go_by_what_waits_longest_in_each(bench) {
    let mut number = 100;
    bench.enqueue(many(number, 10, "a", 1).into_iter().map(|run| in_queue(run, "fair")).collect()).await;
    let mut other = in_queue(fair(1, "", 6), "other");
    other.gates = Gates::default();
    bench.enqueue(vec![other]).await;
    let mut begun = Vec::new();
    for seconds in 1..=40 {
        bench.enqueue(vec![in_queue(fair(number + 50, "a", seconds), "fair")]).await;
        number += 1;
        begun.extend(bench.run_in_turn(seconds, 1).await);
    }
    let place = begun.iter().position(|number| *number == 1);
    assert!(place.is_some_and(|place| (10..=20).contains(&place)), "{place:?} of {begun:?}");
}

async fn runs_that_wait_behind_their_key_count_for_the_length_of_the_queue(bench) {
    let of = |number| {
        let mut run = in_queue(fair(number, "a", 1), "mail");
        run.most_waiting = Some(3);
        run
    };
    bench.enqueue((1..=3).map(of).collect()).await;
    bench.store.enqueue(vec![of(4)]).await.unwrap_err();
    let taken = bench.take_one(1).await;
    bench.enqueue(vec![of(4)]).await;
    bench.store.enqueue(vec![of(5)]).await.unwrap_err();
    bench.end(&taken, Fate::Over).await;
    assert_eq!(bench.run_in_turn(1, 9).await, [2, 3, 4]);
}

async fn keys_take_turns_at_a_job_that_allows_one_run_at_a_time(bench) {
    let job = exclusive("work");
    bench.put(&job, []).await;
    let of = |mut run: NewRun| {
        run.exclusive = true;
        run
    };
    bench.enqueue(many(100, 4, "a", 1).into_iter().map(of).collect()).await;
    bench.enqueue(many(200, 2, "b", 2).into_iter().map(of).collect()).await;
    let mut begun = Vec::new();
    for _ in 0..6 {
        let taken = bench.take_turns(ONE, 9, 9).await;
        assert_eq!(taken.len(), 1, "one at a time");
        assert!(bench.take_turns(TWO, 9, 9).await.is_empty());
        begun.push(taken[0].run.count());
        bench.end(&taken[0], Fate::Over).await;
    }
    assert_eq!(begun, [100, 200, 101, 201, 102, 103]);
}

/// Keys that both have a backlog begin as many runs as each other from then on, whatever comes, goes and is cancelled.
async fn random_turns_are_fair(bench) {
    const KEYS: usize = 4;
    let seed = seed();
    let mut random = seed;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut waiting: [BTreeSet<u64>; KEYS] = Default::default();
    // By how many runs one key is ahead of another since both have a backlog.
    let mut ahead = [[0_i64; KEYS]; KEYS];
    let mut number = 0;
    for step in 0..120 {
        let (key, now) = (next(KEYS as u64) as usize, step / 10 + 1);
        match next(10) {
            0..4 => {
                let count = next(6) + 1;
                bench.enqueue(many(number, count, &format!("key {key}"), now)).await;
                waiting[key].extend(number..number + count);
                number += count;
            }
            4 => {
                if let Some(run) = waiting[key].pop_first() {
                    bench.change(&[run], RunChange::Cancel).await;
                    // It may have had a turn, which is lost to its key.
                    (0..KEYS).for_each(|other| ahead[other][key] = 0);
                }
            }
            _ => {
                for run in bench.take_turns(ONE, now, next(4) as usize + 1).await {
                    let begun = run.run.count();
                    let of = waiting.iter().position(|runs| runs.contains(&begun)).expect("it waits");
                    assert_eq!(waiting[of].pop_first(), Some(begun), "CONFORMANCE_SEED={seed}: the order of a key");
                    (0..KEYS).for_each(|other| {
                        ahead[of][other] += 1;
                        ahead[other][of] -= 1;
                    });
                    bench.end(&run, Fate::Over).await;
                    note_idle(&waiting, &mut ahead);
                    let most = ahead.iter().flatten().max();
                    assert!(most <= Some(&3), "CONFORMANCE_SEED={seed}, step {step}: {ahead:?}");
                }
            }
        }
        note_idle(&waiting, &mut ahead);
    }
    let left: usize = waiting.iter().map(BTreeSet::len).sum();
    assert_eq!(bench.run_in_turn(99, 1000).await.len(), left, "CONFORMANCE_SEED={seed}: all of them begin");
}
}

/// A key without a backlog is ahead of nobody, and nobody is ahead of it.
fn note_idle<const KEYS: usize>(waiting: &[BTreeSet<u64>; KEYS], ahead: &mut [[i64; KEYS]; KEYS]) {
    for (key, _) in waiting.iter().enumerate().filter(|(_, runs)| runs.is_empty()) {
        ahead[key] = [0; KEYS];
        ahead.iter_mut().for_each(|of| of[key] = 0);
    }
}
