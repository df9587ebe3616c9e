//! Limits that are full: what becomes of runs that are not to wait for them, and limits that runs hold to their ends.

use scheduler_core::run::{Gate, GateId, Gates, Hold, RunEnd, RunState, WhenFull};
use scheduler_core::store::*;

use super::running::{error, id, numbers, run};
use crate::bench::*;

fn limit() -> GateId {
    GateId::of("limit", Some("a"))
}

/// A run that is due after so many seconds, alone at its limit, which is changed like this.
fn alone(number: u64, due: i64, change: impl Fn(&mut Gate)) -> NewRun {
    let mut run = run(number, &job("work").build(), due);
    let mut gate = Gate::new(limit(), 1, 1);
    change(&mut gate);
    run.gates = Gates::new(vec![gate]);
    run
}

fn when(number: u64, due: i64, when_full: WhenFull) -> NewRun {
    alone(number, due, |gate| gate.when_full = when_full)
}

/// Holds its limit to its end.
fn held(number: u64, due: i64) -> NewRun {
    alone(number, due, |gate| gate.hold = Hold::Run)
}

fn again(at: i64, counts: bool) -> Fate {
    Fate::Again { at: crate::bench::at(at), counts, error: counts.then(|| error("no")) }
}

/// What a node has taken in some calls, and what has found a limit full.
#[derive(Default)]
struct Taken {
    runs: Vec<AcquiredRun>,
    limited: Vec<u64>,
    superseded: Vec<u64>,
}

impl Bench {
    async fn meet(&self, seconds: i64) -> Taken {
        let mut all = Taken::default();
        for _ in 0..100 {
            let taken = self.ask(ONE, seconds, 100, QueueLimits::default()).await;
            let is_over = taken.runs.is_empty() && taken.next_due.is_none_or(|due| due > at(seconds));
            all.runs.extend(taken.runs);
            all.limited.extend(taken.limited.iter().map(|full| full.run.count()));
            all.superseded.extend(taken.superseded.iter().map(|(run, _)| run.count()));
            if is_over {
                return all;
            }
        }
        panic!("after 100 calls the store still asks to be called again at once")
    }

    async fn meet_one(&self, seconds: i64) -> AcquiredRun {
        let mut runs = self.meet(seconds).await.runs;
        assert_eq!(runs.len(), 1, "one run has room");
        runs.remove(0)
    }

    async fn how_ended(&self, number: u64) -> Option<RunEnd> {
        self.run_status(number).await.and_then(|run| run.end)
    }

    async fn holders(&self, seconds: i64) -> Vec<(u64, bool)> {
        let query = LimitQuery::one("limit", Some("a"));
        let status = self.store.limits(query, at(seconds)).await.unwrap().items.remove(0);
        assert_eq!(status.used, status.holders.iter().map(|holder| u64::from(holder.weight)).sum::<u64>());
        status.holders.iter().map(|holder| (holder.run.count(), holder.execution.is_some())).collect()
    }
}

checks! { ($) filling, __store_checks_of_filling;

async fn a_run_that_finds_its_limit_full_is_told_once(bench) {
    bench.enqueue((1..=3).map(|number| when(number, 1, WhenFull::Wait)).collect()).await;
    let taken = bench.meet(1).await;
    assert_eq!((numbers(&taken.runs), taken.limited, taken.superseded), (vec![1], vec![2, 3], vec![]));
    assert_eq!(bench.meet(5).await.limited, [] as [u64; 0]);
    bench.end(&taken.runs[0], Fate::Over).await;
    let taken = bench.meet(6).await;
    assert_eq!((numbers(&taken.runs), taken.limited), (vec![2], vec![]));
}

async fn a_run_that_is_not_to_wait_for_its_limit_ends_without_an_attempt(bench) {
    bench.enqueue(vec![when(1, 1, WhenFull::Wait), when(2, 1, WhenFull::Skip), when(3, 1, WhenFull::Wait)]).await;
    let taken = bench.meet(1).await;
    assert_eq!((numbers(&taken.runs), taken.superseded), (vec![1], vec![2]));
    assert_eq!(bench.how_ended(2).await, Some(RunEnd::Superseded));
    let record = bench.store.all_firings(FiringQuery::default()).await.unwrap().remove(0);
    assert_eq!((record.run, record.reason), (Some(id(2)), Some(FiringReason::Superseded)));
    bench.end(&taken.runs[0], Fate::Over).await;
    let third = bench.meet_one(2).await;
    assert_eq!(third.run, id(3));
    bench.end(&third, Fate::Over).await;
    bench.enqueue(vec![when(4, 3, WhenFull::Skip)]).await;
    assert_eq!(bench.meet_one(3).await.run, id(4), "with room it runs");
}

async fn of_the_runs_that_would_wait_only_the_newest_stays(bench) {
    bench.enqueue((1..=4).map(|number| when(number, number.cast_signed(), WhenFull::KeepNewest)).collect()).await;
    let first = bench.meet_one(1).await;
    let taken = bench.meet(3).await;
    assert_eq!((taken.superseded, bench.how_ended(2).await), (vec![2], Some(RunEnd::Superseded)));
    assert_eq!(bench.meet(4).await.superseded, [3]);
    bench.end(&first, Fate::Over).await;
    assert_eq!(numbers(&bench.meet(5).await.runs), [4]);
}

async fn of_the_runs_that_would_wait_only_the_oldest_stays(bench) {
    bench.enqueue((1..=4).map(|number| when(number, number.cast_signed(), WhenFull::KeepOldest)).collect()).await;
    let first = bench.meet_one(1).await;
    assert_eq!(bench.meet(3).await.superseded, [3]);
    assert_eq!(bench.meet(4).await.superseded, [4]);
    bench.end(&first, Fate::Over).await;
    assert_eq!(numbers(&bench.meet(5).await.runs), [2]);
}

async fn runs_of_one_limit_that_are_to_wait_are_left_alone_by_others(bench) {
    bench.enqueue(vec![when(1, 1, WhenFull::Wait), when(2, 1, WhenFull::Wait), when(3, 2, WhenFull::KeepNewest)]).await;
    let first = bench.meet_one(1).await;
    assert_eq!(bench.meet(2).await.superseded, [] as [u64; 0]);
    bench.end(&first, Fate::Over).await;
    let second = bench.meet_one(3).await;
    assert_eq!(second.run, id(2));
    bench.end(&second, Fate::Over).await;
    assert_eq!(bench.meet_one(3).await.run, id(3));
}

async fn the_attempt_that_has_a_limit_for_the_longest_time_makes_room(bench) {
    let two = |number, due| alone(number, due, |gate| (gate.cap, gate.when_full) = (2, WhenFull::CancelRunning));
    bench.enqueue((1..=3).map(|number| two(number, number.cast_signed())).collect()).await;
    let first = bench.meet_one(1).await;
    let second = bench.meet_one(2).await;
    let taken = bench.ask(ONE, 3, 9, QueueLimits::default()).await;
    assert!(taken.runs.is_empty());
    assert_eq!(bench.cancelled(ONE, 3).await.iter().map(|(claim, _)| *claim).collect::<Vec<_>>(), [first.claim]);
    assert!(bench.meet(4).await.runs.is_empty());
    bench.end(&first, Fate::Cancelled).await;
    assert_eq!(bench.how_ended(1).await, Some(RunEnd::Cancelled));
    assert_eq!(bench.meet_one(5).await.run, id(3));
    assert_eq!(bench.cancelled(ONE, 5).await, [], "nobody else is asked");
    bench.end(&second, Fate::Over).await;
}

async fn a_limit_that_is_held_to_the_end_is_not_free_between_attempts(bench) {
    bench.enqueue(vec![held(1, 1), held(2, 1)]).await;
    let mut first = bench.meet_one(1).await;
    assert_eq!(bench.holders(1).await, [(1, true)]);
    for (due, counts) in [(10, true), (20, false)] {
        bench.end(&first, again(due, counts)).await;
        assert_eq!(bench.holders(due - 1).await, [(1, false)]);
        assert!(bench.meet(due - 1).await.runs.is_empty(), "the second run waits");
        first = bench.meet_one(due).await;
        assert_eq!(first.run, id(1), "its own slot is no obstacle");
        assert_eq!(bench.holders(due).await, [(1, true)]);
    }
    bench.end(&first, Fate::Over).await;
    let second = bench.meet_one(21).await;
    assert_eq!(second.run, id(2));
    bench.end(&second, Fate::Over).await;
    assert_eq!(bench.holders(22).await, []);
}

async fn whatever_ends_a_run_frees_what_it_holds_to_its_end(bench) {
    bench.enqueue((1..=5).map(|number| held(number, 1)).collect()).await;
    for (number, change) in [(1, RunChange::Cancel), (2, RunChange::Delete)] {
        let taken = bench.meet_one(1).await;
        assert_eq!(taken.run, id(number));
        bench.end(&taken, again(100, true)).await;
        assert!(bench.meet(1).await.runs.is_empty());
        bench.change(&[number], change).await;
    }
    let third = bench.meet_one(1).await;
    bench.end(&third, again(2, true)).await;
    let third = bench.meet_one(2).await;
    bench.end(&third, Fate::Dead { error: Some(error("no")) }).await;
    let fourth = bench.meet_one(2).await;
    assert_eq!(fourth.run, id(4));
    bench.change(&[3], RunChange::replay()).await;
    assert!(bench.meet(2).await.runs.is_empty(), "a replay holds nothing until it begins");
    bench.end(&fourth, Fate::Discarded).await;
    let fifth = bench.meet(2).await;
    bench.end(&fifth.runs[0], Fate::Over).await;
    let last = bench.meet_one(2).await;
    bench.end(&last, Fate::Over).await;
    assert_eq!(bench.holders(3).await, []);
}

async fn a_lost_attempt_leaves_to_its_run_what_that_holds_to_its_end(bench) {
    bench.enqueue(vec![held(1, 1), held(2, 1)]).await;
    let taken = bench.ask(TWO, 1, 1, QueueLimits::default()).await.runs;
    assert_eq!(numbers(&taken), [1]);
    bench.store.detach(TWO).await.unwrap();
    let first = bench.meet_one(2).await;
    assert_eq!(first.run, id(1));
    bench.end(&first, Fate::Over).await;
    assert_eq!(bench.meet_one(2).await.run, id(2));
}

async fn a_run_that_holds_one_limit_waits_for_another(bench) {
    let mut both = held(1, 1);
    let second = Gate::new(GateId::of("other", None), 1, 1);
    both.gates = Gates::new(both.gates.iter().cloned().chain([second.clone()]).collect());
    let mut other = run(2, &job("work").build(), 5);
    other.gates = Gates::new(vec![second]);
    bench.enqueue(vec![both, other, held(3, 1)]).await;
    let first = bench.meet_one(1).await;
    bench.end(&first, again(10, true)).await;
    let other = bench.meet_one(5).await;
    assert_eq!(other.run, id(2), "between its attempts it has only what it holds to its end");
    assert!(bench.meet(10).await.runs.is_empty());
    assert_eq!(bench.run_status(1).await.map(|run| run.state), Some(RunState::Waiting));
    bench.end(&other, Fate::Over).await;
    assert_eq!(bench.meet_one(10).await.run, id(1));
}
}
