//! Limits: how many runs of a key may be under way at the same time.

use std::collections::BTreeSet;
use std::time::Duration;

use scheduler_core::run::{Gate, GateId, Gates, RunEnd, RunState};
use scheduler_core::store::*;

use super::running::{error, id, numbers, run};
use crate::bench::*;

/// A limit, a key, how many it allows, and the weight of the run.
type Of = (&'static str, &'static str, u32, u32);

/// A run that is due after so many seconds, with these limits.
fn limited(number: u64, due: i64, limits: &[Of]) -> NewRun {
    let mut run = run(number, &job("work").build(), due);
    let gate = |(name, key, cap, weight): &Of| Gate::new(GateId::of(name, Some(key)), *cap, *weight);
    run.gates = Gates::new(limits.iter().map(gate).collect());
    run
}

fn of_type(mut run: NewRun, job_type: &str) -> NewRun {
    (run.job, run.job_type) = (job_type.parse().unwrap(), job_type.into());
    run
}

/// One at a time.
const ALONE: Of = ("limit", "a", 1, 1);

fn again(at: i64) -> Fate {
    Fate::Again { at: crate::bench::at(at), counts: true, error: Some(error("no")) }
}

impl Bench {
    /// An attempt ends since it was asked for a pause.
    async fn throttle(&self, of: &AcquiredRun, limit: &str, until: i64) {
        let fate = Fate::Again { at: at(until), counts: false, error: None };
        let throttles = Some(limit.into());
        self.complete_as(Completion { fate, throttles, ..Completion::of(of.claim) }).await;
    }

    /// What can be taken at that time, however often the store asks to be called again at once.
    async fn take_all(&self, session: u64, seconds: i64) -> Vec<AcquiredRun> {
        let mut all = Vec::new();
        for _ in 0..100 {
            let taken = self.ask(session, seconds, 1000, QueueLimits::default()).await;
            let is_over = taken.runs.is_empty() && taken.next_due.is_none_or(|due| due > at(seconds));
            all.extend(taken.runs);
            if is_over {
                return all;
            }
        }
        panic!("after 100 calls the store still asks to be called again at once")
    }

    async fn numbers_of(&self, session: u64, seconds: i64) -> Vec<u64> {
        numbers(&self.take_all(session, seconds).await)
    }

    /// Takes what is due until nothing is left, and ends all of it after each call. Answers the largest number of runs at a time.
    async fn drain_limited(&self, seconds: i64) -> usize {
        let mut most = 0;
        for _ in 0..1000 {
            let taken = self.take_all(ONE, seconds).await;
            if taken.is_empty() {
                break;
            }
            most = most.max(taken.len());
            for run in &taken {
                self.end(run, Fate::Over).await;
            }
        }
        assert!(self.all_runs().await.is_empty(), "all of them were run");
        most
    }
}

checks! { ($) limits, __store_checks_of_limits;

/// hatchet-dev/hatchet#4778: more were admitted than allowed. Also in one call, in several, and to several nodes.
async fn no_more_runs_are_under_way_than_their_limit_allows(bench) {
    bench.enqueue((1..=9).map(|number| limited(number, 1, &[("limit", "a", 3, 1)])).collect()).await;
    let first = bench.take(1, 2).await;
    assert_eq!(numbers(&first), [1, 2]);
    let second = bench.take_all(TWO, 1).await;
    assert_eq!(numbers(&second), [3]);
    assert!(bench.take_all(ONE, 1).await.is_empty());
    bench.end(&first[0], Fate::Over).await;
    bench.end(&first[0], Fate::Over).await;
    assert_eq!(bench.numbers_of(TWO, 1).await, [4], "an end that is told twice frees one slot");
    for run in first[1..].iter().chain(&second) {
        bench.end(run, Fate::Over).await;
    }
    assert_eq!(bench.numbers_of(ONE, 1).await, [5, 6]);
}

async fn a_throttled_limit_opens_for_nobody_before_its_time(bench) {
    let (slow, other) = (("limit", "a", 3, 1), ("other", "a", 9, 1));
    bench.enqueue((1..=6).map(|number| limited(number, 1, &[slow, other])).collect()).await;
    bench.enqueue(vec![limited(10, 1, &[("limit", "b", 1, 1)]), limited(11, 1, &[other])]).await;
    let first = bench.take(1, 2).await;
    assert_eq!(numbers(&first), [1, 2]);
    bench.throttle(&first[0], "limit", 60).await;
    assert_eq!(bench.numbers_of(TWO, 59).await, [10, 11], "another key and another limit are open");
    bench.throttle(&first[1], "limit", 30).await;
    assert!(bench.take_all(ONE, 59).await.is_empty(), "an earlier time changes nothing");
    let taken = bench.take_all(ONE, 60).await;
    assert_eq!(numbers(&taken), [3, 4, 5]);
    bench.throttle(&taken[0], "limit", 90).await;
    bench.throttle(&taken[1], "limit", 95).await;
    bench.end(&taken[2], Fate::Over).await;
    assert!(bench.take_all(ONE, 94).await.is_empty(), "a later time replaces an earlier one");
    let next = bench.ask(ONE, 94, 9, QueueLimits::default()).await.next_due;
    assert_eq!(next, Some(at(95)), "and the node is told");
    assert_eq!(bench.numbers_of(ONE, 95).await, [6, 2, 1]);
}

async fn a_run_without_the_limit_waits_alone(bench) {
    bench.enqueue((1..=2).map(|number| limited(number, 1, &[("limit", "a", 1, 1)])).collect()).await;
    let first = bench.take_all(ONE, 1).await;
    bench.throttle(&first[0], "another", 60).await;
    let second = bench.take_all(ONE, 1).await;
    assert_eq!(numbers(&second), [2]);
    bench.end(&second[0], Fate::Over).await;
    let state = bench.all_runs().await;
    assert_eq!((state[0].attempts, state[0].due), (0, at(60)), "the attempt does not count");
    assert_eq!(bench.numbers_of(ONE, 60).await, [1]);
}

/// triggerdotdev/trigger.dev#4628: a key named `*`.
async fn each_key_and_each_name_has_slots_of_its_own(bench) {
    let limits = [("limit", "a"), ("limit", "b"), ("limit", "*"), ("limit", ""), ("limit", "a/b"), ("limits", "a"), ("lim", "it\u{1}a")];
    let runs = limits.iter().enumerate().flat_map(|(place, (name, key))| {
        let number = 2 * place as u64;
        [number, number + 1].map(|number| limited(number, 1, &[(name, key, 1, 1)]))
    });
    bench.enqueue(runs.collect()).await;
    let taken = bench.take_all(ONE, 1).await;
    assert_eq!(numbers(&taken), [0, 2, 4, 6, 8, 10, 12]);
    for run in &taken {
        bench.end(run, Fate::Over).await;
    }
    assert_eq!(bench.drain_limited(1).await, 7, "the others");
}

async fn a_run_takes_as_many_slots_as_its_weight(bench) {
    let of = |weight| [("limit", "a", 5, weight)];
    bench.enqueue(vec![limited(1, 1, &of(3)), limited(2, 2, &of(3)), limited(3, 3, &of(2)), limited(4, 4, &of(5))]).await;
    let first = bench.take_all(ONE, 9).await;
    assert_eq!(numbers(&first), [1], "the second does not fit, and the third waits behind it");
    bench.end(&first[0], Fate::Over).await;
    let taken = bench.take_all(ONE, 9).await;
    assert_eq!(numbers(&taken), [2, 3]);
    bench.end(&taken[1], Fate::Over).await;
    assert!(bench.take_all(ONE, 9).await.is_empty(), "the last one needs all of it");
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(bench.numbers_of(ONE, 9).await, [4]);
}

/// rails/solid_queue#546: those behind a holder that had died waited for ever. hatchet-dev/hatchet#4494: so did those behind a claim
/// whose run was gone.
async fn whatever_ends_a_claim_frees_its_slot(bench) {
    bench.enqueue((1..=9).map(|number| limited(number, number as i64, &[ALONE])).collect()).await;
    for (number, fate) in [(1, Fate::Over), (2, again(99)), (3, Fate::Dead { error: None }), (4, Fate::Cancelled)] {
        let taken = bench.take_all(ONE, 9).await;
        assert_eq!(numbers(&taken), [number]);
        bench.end(&taken[0], fate).await;
    }
    let taken = bench.take_all(ONE, 9).await;
    bench.store.release(vec![taken[0].claim]).await.unwrap();
    let taken = bench.take_all(ONE, 9).await;
    assert_eq!(numbers(&taken), [5], "it was given back, and is the first again");
    bench.change(&[5], RunChange::Cancel).await;
    bench.end(&taken[0], again(99)).await;
    let taken = bench.take_all(TWO, 9).await;
    assert_eq!(numbers(&taken), [6]);
    bench.store.clear().await.unwrap();
    bench.enqueue(vec![limited(20, 1, &[ALONE])]).await;
    assert!(bench.take_all(ONE, 9).await.is_empty(), "its attempt is still under way");
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(bench.numbers_of(ONE, 9).await, [20]);
}

/// rails/solid_queue#735: after a hard stop the limit did not hold any more.
async fn a_node_that_goes_takes_its_slots_along(bench) {
    bench.enqueue((1..=4).map(|number| limited(number, number as i64, &[("limit", "a", 2, 1)])).collect()).await;
    assert_eq!(bench.numbers_of(ONE, 9).await, [1, 2]);
    bench.store.detach(ONE).await.unwrap();
    let taken = bench.take_all(TWO, 9).await;
    assert_eq!(numbers(&taken), [1, 2], "they wait again, before the others");
    bench.end(&taken[1], Fate::Over).await;
    assert_eq!(bench.numbers_of(TWO, 9).await, [3]);
}

async fn what_a_node_has_not_heard_of_holds_no_slot(bench) {
    bench.enqueue((1..=2).map(|number| limited(number, 1, &[ALONE])).collect()).await;
    assert_eq!(bench.numbers_of(ONE, 1).await, [1]);
    let request = AcquireDue {
        session: ONE, now: at(2), until: at(2), max: 9, limits: QueueLimits::default(), shares: Vec::new(), late: None, heard: Some(0),
    };
    let taken = bench.store.acquire_due(request).await.unwrap().runs;
    assert_eq!(numbers(&taken), [1]);
}

/// rails/solid_queue PR 689: a wake was lost between a signal and an insert.
async fn who_waits_in_another_lane_is_woken(bench) {
    bench.enqueue(vec![limited(1, 1, &[ALONE])]).await;
    let taken = bench.take_all(TWO, 9).await;
    bench.enqueue(vec![of_type(limited(2, 2, &[ALONE]), "other"), limited(3, 3, &[ALONE])]).await;
    assert!(bench.take_all(ONE, 9).await.is_empty());
    let before = bench.wakes();
    bench.end(&taken[0], Fate::Over).await;
    assert!(bench.wakes() > before, "nodes are woken");
    let taken = bench.take_all(TWO, 9).await;
    assert_eq!(numbers(&taken), [3], "the second node does not run the first of those that wait");
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(bench.numbers_of(ONE, 9).await, [2]);
}

/// hatchet-dev/hatchet PR 4804: what waited for one limit held the slot of another.
async fn a_run_that_waits_holds_nothing(bench) {
    let (a, b) = (("limit", "a", 1, 1), ("limit", "b", 1, 1));
    bench.enqueue(vec![limited(1, 1, &[b]), limited(2, 2, &[a, b]), limited(3, 3, &[a]), limited(4, 4, &[a, b])]).await;
    let taken = bench.take_all(ONE, 9).await;
    assert_eq!(numbers(&taken), [1, 3]);
    bench.end(&taken[0], Fate::Over).await;
    assert!(bench.take_all(ONE, 9).await.is_empty(), "the first limit is used by now");
    bench.end(&taken[1], Fate::Over).await;
    let taken = bench.take_all(ONE, 9).await;
    assert_eq!(numbers(&taken), [2]);
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(bench.numbers_of(ONE, 9).await, [4]);
}

/// Oban Pro, elixirforum.com/t/53388, and Amazon SQS: a backlog of one key kept all others from work.
async fn a_backlog_of_one_key_keeps_nobody_else_waiting(bench) {
    let mut runs: Vec<_> = (1..=700).map(|number| limited(number, 1, &[ALONE])).collect();
    runs.extend([limited(1000, 2, &[("limit", "b", 1, 1)]), run(1001, &job("work").build(), 3)]);
    for part in runs.chunks(400) {
        bench.enqueue(part.to_vec()).await;
    }
    let taken = bench.take_all(ONE, 9).await;
    assert_eq!(numbers(&taken), [1, 1000, 1001]);
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(numbers(&bench.take(9, 100).await), [2], "at once");
}

async fn those_that_wait_take_their_turns(bench) {
    bench.enqueue(vec![limited(1, 1, &[ALONE]), limited(2, 5, &[ALONE]), limited(3, 3, &[ALONE])]).await;
    let mut taken = bench.take_all(ONE, 9).await;
    let mut urgent = limited(4, 5, &[ALONE]);
    urgent.priority = 9;
    bench.enqueue(vec![urgent, limited(5, 2, &[ALONE])]).await;
    let mut order = numbers(&taken);
    while let Some(run) = taken.pop() {
        bench.end(&run, Fate::Over).await;
        taken = bench.take_all(ONE, 9).await;
        order.extend(numbers(&taken));
    }
    assert_eq!(order, [1, 5, 3, 4, 2]);
}

/// Of those that wait one is offered the slot, and goes without taking it.
async fn who_leaves_the_line_holds_up_nobody(bench) {
    let later = RunChange::edit(RunEdit::new().due(at(500)));
    let other = RunChange::edit(RunEdit::new().queue("other"));
    for (round, change) in [RunChange::Cancel, RunChange::Delete, RunChange::Hold, later, other.clone()].into_iter().enumerate() {
        let first = 10 * round as u64;
        let of = |number| limited(first + number, number as i64, &[("limit", "a", 1, 1)]);
        bench.enqueue((1..=5).map(of).collect()).await;
        let taken = bench.take_all(TWO, 9).await;
        assert_eq!(numbers(&taken), [first + 1]);
        bench.change(&[first + 3], change.clone()).await;
        bench.end(&taken[0], Fate::Over).await;
        bench.change(&[first + 2], change.clone()).await;
        let taken = bench.take_all(TWO, 9).await;
        let next = if change == other { 2 } else { 4 };
        assert_eq!(numbers(&taken), [first + next], "{change:?}");
        bench.end(&taken[0], Fate::Over).await;
        bench.store.clear().await.unwrap();
    }
}

async fn a_run_that_waits_at_a_limit_expires(bench) {
    let expiring = |number| {
        let mut run = limited(number, 1, &[ALONE]);
        run.expires = Some(Duration::from_secs(10));
        run
    };
    bench.enqueue(vec![limited(1, 1, &[ALONE]), expiring(2), limited(3, 2, &[ALONE])]).await;
    let taken = bench.take_all(ONE, 5).await;
    assert_eq!(numbers(&taken), [1]);
    let asked = bench.ask(ONE, 20, 0, QueueLimits::default()).await;
    assert_eq!(asked.expired.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(bench.run_status(2).await.unwrap().end, Some(RunEnd::Expired));
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(bench.numbers_of(ONE, 20).await, [3]);
}

async fn a_retry_waits_for_a_slot_and_a_replay_too(bench) {
    bench.enqueue(vec![limited(1, 1, &[ALONE]), limited(2, 2, &[ALONE])]).await;
    let first = bench.take_all(ONE, 9).await;
    bench.end(&first[0], again(5)).await;
    let second = bench.take_all(ONE, 4).await;
    assert_eq!(numbers(&second), [2], "between two attempts a run has no slot");
    assert!(bench.take_all(ONE, 9).await.is_empty());
    bench.end(&second[0], Fate::Dead { error: None }).await;
    let retry = bench.take_all(ONE, 9).await;
    assert_eq!((numbers(&retry), retry[0].attempt), (vec![1], 2));
    bench.change(&[2], RunChange::replay()).await;
    assert!(bench.take_all(ONE, 9).await.is_empty());
    bench.end(&retry[0], Fate::Over).await;
    assert_eq!(bench.numbers_of(ONE, 9).await, [2]);
}

/// A run goes by what was declared when it was enqueued.
async fn a_limit_can_be_changed_in_the_code_or_removed(bench) {
    let of = |number, cap| limited(number, number as i64, &[("limit", "a", cap, 1)]);
    bench.enqueue(vec![of(1, 1), of(2, 2), of(3, 2), limited(4, 4, &[])]).await;
    let taken = bench.take_all(ONE, 9).await;
    assert_eq!(numbers(&taken), [1, 2, 4], "the runs of before hold their slots");
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(bench.numbers_of(ONE, 9).await, [3]);
}

async fn a_job_that_runs_alone_has_limits_too(bench) {
    let alone = |mut run: NewRun| {
        run.exclusive = true;
        run
    };
    bench.enqueue(vec![limited(1, 1, &[ALONE])]).await;
    let holder = bench.take_all(ONE, 9).await;
    let of = |number, key| alone(of_type(limited(number, number as i64, &[("limit", key, 1, 1)]), "lone"));
    bench.enqueue(vec![of(2, "a"), of(3, "a"), of(4, "b"), of(5, "a")]).await;
    let taken = bench.take_all(ONE, 9).await;
    assert_eq!(numbers(&taken), [4], "the first two wait at the limit, and not for their job");
    bench.end(&holder[0], Fate::Over).await;
    assert!(bench.take_all(ONE, 9).await.is_empty(), "the job is busy");
    bench.end(&taken[0], Fate::Over).await;
    for number in [2, 3, 5] {
        let taken = bench.take_all(ONE, 9).await;
        assert_eq!(numbers(&taken), [number]);
        bench.end(&taken[0], Fate::Over).await;
    }
}

/// Many runs of several limits, of several kinds, in an order that nobody has thought of.
async fn limits_hold_for_many_runs(bench) {
    let (mut seed, mut of) = (7_u64, std::collections::BTreeMap::new());
    let mut chance = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    let names = ["a", "b", "c"];
    let mut runs = Vec::new();
    for number in 1..=120 {
        let (first, second) = (chance(3) as usize, chance(3) as usize);
        let of_first = ("one", names[first], 3, 1 + chance(3) as u32);
        let limits = [of_first, ("two", names[second], 2, 1 + chance(2) as u32)];
        let many = 1 + chance(2) as usize;
        of.insert(number, limits[..many].to_vec());
        let mut run = limited(number, chance(5) as i64, &limits[..many]);
        run.queue = (chance(2) == 0).then(|| "queue".into());
        run.exclusive = chance(5) == 0;
        runs.push(of_type(run, ["work", "other", "third"][chance(3) as usize]));
    }
    bench.enqueue(runs).await;
    let (mut under_way, mut done) = (Vec::<AcquiredRun>::new(), BTreeSet::new());
    while done.len() < 120 {
        let session = if chance(3) == 0 { TWO } else { ONE };
        let max = 1 + chance(9) as usize;
        under_way.extend(bench.ask(session, 9, max, QueueLimits::default()).await.runs);
        let mut used = std::collections::BTreeMap::<_, u32>::new();
        for (name, key, cap, weight) in under_way.iter().flat_map(|run| &of[&run.run.count()]) {
            let used = used.entry((name, key)).or_default();
            *used += weight;
            assert!(*used <= *cap, "{name}/{key}: {used} of {cap}");
        }
        if under_way.is_empty() {
            under_way.extend(bench.take_all(ONE, 9).await);
            assert!(!under_way.is_empty(), "{} of 120 are done, and nobody can go on", done.len());
        }
        let ended = under_way.swap_remove(chance(under_way.len() as u64) as usize);
        match chance(4) {
            0 => bench.store.release(vec![ended.claim]).await.unwrap(),
            1 => drop(bench.end(&ended, again(6)).await),
            _ => {
                bench.end(&ended, Fate::Over).await;
                assert!(done.insert(ended.run.count()), "twice");
            }
        }
    }
    assert!(bench.all_runs().await.is_empty());
}

/// riverqueue/river#1145: a limit that was never reached made everything slower.
async fn a_limit_that_is_never_reached_changes_nothing(bench) {
    bench.enqueue((1..=120).map(|number| limited(number, 1, &[("limit", "a", 1000, 1)])).collect()).await;
    let taken = bench.take_all(ONE, 1).await;
    assert_eq!(numbers(&taken), (1..=120).collect::<Vec<_>>());
    for run in &taken {
        bench.end(run, Fate::Over).await;
    }
    assert_eq!(bench.drain_limited(1).await, 0);
    assert!(bench.store.all_runs(RunQuery::default().in_state(RunState::Waiting)).await.unwrap().is_empty());
}
}
