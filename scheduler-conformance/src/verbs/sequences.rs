//! Sequences: runs that run one after the other, in the order in which they were enqueued.

use scheduler_core::run::{RunEnd, RunState, Sequence, Unique};
use scheduler_core::store::*;

use super::running::{error, id, numbers};
use crate::bench::*;

const DEAD: Fate = Fate::Dead { error: None };

/// A run that is due after so many seconds, in a sequence.
fn in_sequence(number: u64, due: i64, sequence: &Sequence) -> NewRun {
    let mut run = super::running::run(number, &job("work").build(), due);
    run.sequence = Some(Box::new(sequence.stored("work")));
    run
}

fn again(at: i64) -> Fate {
    Fate::Again { at: crate::bench::at(at), counts: true, error: Some(error("no")) }
}

fn account() -> Sequence {
    Sequence::of("a")
}

fn halting() -> Sequence {
    account().halt_when_dead()
}

impl Bench {
    async fn add_in_sequence(&self, numbers: impl IntoIterator<Item = u64>, sequence: &Sequence) {
        let runs = numbers.into_iter().map(|number| in_sequence(number, 1, sequence)).collect();
        self.enqueue(runs).await;
    }

    /// Takes the only run that can begin, which is that one.
    async fn begin_only(&self, number: u64, seconds: i64) -> AcquiredRun {
        let taken = self.take(seconds, 10).await;
        assert_eq!(numbers(&taken), [number], "what can begin at {seconds} s");
        taken.into_iter().next().expect("one run")
    }

    /// They begin and end one after the other.
    async fn all_in_turn(&self, numbers: impl IntoIterator<Item = u64>, seconds: i64) {
        for number in numbers {
            let taken = self.begin_only(number, seconds).await;
            self.end(&taken, Fate::Over).await;
        }
        assert!(self.take(seconds, 10).await.is_empty());
    }
}

checks! { ($) sequences, __store_checks_of_sequences;

async fn runs_of_a_sequence_run_one_after_the_other(bench) {
    bench.add_in_sequence(1..=3, &account()).await;
    bench.add_in_sequence([4], &Sequence::of("b")).await;
    assert_eq!(bench.run_status(3).await.unwrap().behind, Some(id(2)), "people see why it waits");
    assert_eq!(bench.run_status(3).await.unwrap().sequence.as_deref(), Some("a"));
    let mut first = bench.take(1, 10).await;
    first.sort_by_key(|run| run.run);
    assert_eq!(numbers(&first), [1, 4], "one of each sequence");
    assert!(bench.take(99, 10).await.is_empty());
    bench.add_in_sequence([5], &account()).await;
    let wakes = bench.wakes();
    bench.end(&first[0], Fate::Over).await;
    assert!(bench.wakes() > wakes, "nodes are woken");
    bench.all_in_turn([2, 3, 5], 1).await;
    bench.add_in_sequence([6], &account()).await;
    bench.all_in_turn([6], 1).await;
}

/// Arrival counts, and not the due time, the priority or the boost.
async fn the_order_is_that_of_arrival(bench) {
    let mut runs = [in_sequence(1, 9, &account()), in_sequence(2, 1, &account()), in_sequence(3, 1, &account())];
    runs[1].priority = 1;
    runs[2].priority = 9;
    runs[2].boost = std::time::Duration::from_secs(60);
    bench.enqueue(runs.into()).await;
    assert!(bench.take(8, 10).await.is_empty(), "the first one is not due");
    bench.all_in_turn(1..=3, 9).await;
}

async fn a_retry_keeps_the_others_waiting(bench) {
    bench.add_in_sequence(1..=2, &account()).await;
    let first = bench.begin_only(1, 1).await;
    bench.end(&first, again(5)).await;
    assert!(bench.take(4, 10).await.is_empty());
    let retry = bench.begin_only(1, 5).await;
    bench.store.detach(ONE).await.unwrap();
    assert_eq!(numbers(&bench.ask(TWO, 6, 10, QueueLimits::default()).await.runs), [1], "a lost attempt is no end");
    bench.end(&retry, Fate::Over).await;
    assert!(bench.ask(TWO, 6, 10, QueueLimits::default()).await.runs.is_empty(), "that was a late end");
}

async fn whatever_ends_the_first_run_lets_the_next_one_begin(bench) {
    bench.add_in_sequence(1..=6, &account()).await;
    let first = bench.begin_only(1, 1).await;
    bench.end(&first, DEAD).await;
    let second = bench.begin_only(2, 1).await;
    bench.change(&[2], RunChange::Cancel).await;
    bench.end(&second, Fate::Cancelled).await;
    assert_eq!(bench.change(&[3], RunChange::Cancel).await, [RunChanged::Done]);
    assert_eq!(bench.change(&[4], RunChange::Delete).await, [RunChanged::Done]);
    bench.all_in_turn(5..=6, 1).await;
    assert_eq!(bench.run_status(1).await.unwrap().end, Some(RunEnd::Dead));
}

/// It was deleted while it ran: nothing stands before the next one.
async fn a_run_that_is_removed_leaves_its_sequence(bench) {
    bench.add_in_sequence(1..=2, &account()).await;
    let first = bench.begin_only(1, 1).await;
    bench.end(&first, again(50)).await;
    assert_eq!(bench.change(&[1], RunChange::Delete).await, [RunChanged::Done]);
    bench.all_in_turn([2], 1).await;
}

async fn a_run_in_the_middle_leaves_and_the_others_stay_in_order(bench) {
    bench.add_in_sequence(1..=5, &account()).await;
    bench.change(&[3], RunChange::Cancel).await;
    assert_eq!(bench.run_status(4).await.unwrap().behind, Some(id(2)));
    bench.change(&[5], RunChange::Delete).await;
    bench.add_in_sequence([6], &account()).await;
    assert_eq!(bench.run_status(6).await.unwrap().behind, Some(id(4)), "the last one has gone");
    bench.change(&[2, 4, 6], RunChange::Cancel).await;
    bench.add_in_sequence([7], &account()).await;
    assert_eq!(bench.run_status(7).await.unwrap().behind, Some(id(1)));
    bench.all_in_turn([1, 7], 1).await;
}

async fn a_run_expires_where_it_stands(bench) {
    let mut expiring = in_sequence(2, 1, &account());
    expiring.expires = Some(std::time::Duration::from_secs(10));
    bench.enqueue(vec![in_sequence(1, 1, &account()), expiring, in_sequence(3, 1, &account())]).await;
    let first = bench.begin_only(1, 1).await;
    assert_eq!(bench.ask(ONE, 20, 0, QueueLimits::default()).await.expired.len(), 1);
    assert_eq!(bench.run_status(3).await.unwrap().behind, Some(id(1)));
    bench.end(&first, Fate::Over).await;
    bench.all_in_turn([3], 20).await;
}

async fn a_dead_run_halts_a_sequence_that_asks_for_it(bench) {
    bench.add_in_sequence(1..=3, &halting()).await;
    let first = bench.begin_only(1, 1).await;
    bench.end(&first, DEAD).await;
    assert!(bench.take(99, 10).await.is_empty());
    bench.add_in_sequence([4], &halting()).await;
    assert!(bench.take(99, 10).await.is_empty(), "also for a new one");
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    bench.all_in_turn(1..=4, 99).await;
}

async fn a_sequence_goes_on_when_its_dead_run_goes(bench) {
    bench.add_in_sequence(1..=3, &halting()).await;
    let first = bench.begin_only(1, 1).await;
    bench.end(&first, DEAD).await;
    assert_eq!(bench.change(&[1], RunChange::Delete).await, [RunChanged::Done]);
    let second = bench.begin_only(2, 1).await;
    bench.end(&second, DEAD).await;
    let kept_until = bench.run_status(2).await.unwrap().kept_until.unwrap();
    let over = (kept_until - at(0)).num_seconds() + 1;
    bench.ask(ONE, over, 0, QueueLimits::default()).await;
    assert!(bench.run_status(2).await.is_none(), "it is not kept any longer");
    bench.all_in_turn([3], over).await;
}

/// A replay is a new arrival.
async fn a_replayed_run_joins_at_the_end(bench) {
    bench.add_in_sequence(1..=3, &account()).await;
    let first = bench.begin_only(1, 1).await;
    bench.end(&first, DEAD).await;
    let second = bench.begin_only(2, 1).await;
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.run_status(1).await.unwrap().behind, Some(id(3)));
    bench.end(&second, Fate::Over).await;
    bench.all_in_turn([3, 1], 10).await;
}

/// By hand the first one is held and released; one that waits for another cannot overtake it.
async fn a_run_behind_another_one_is_not_released_by_hand(bench) {
    bench.add_in_sequence(1..=2, &account()).await;
    assert_eq!(bench.change(&[2], RunChange::Release).await, [RunChanged::Refused(RunState::Held)]);
    assert_eq!(bench.change(&[1], RunChange::Hold).await, [RunChanged::Done]);
    assert!(bench.take(1, 10).await.is_empty());
    assert_eq!(bench.change(&[1], RunChange::Release).await, [RunChanged::Done]);
    bench.all_in_turn(1..=2, 1).await;
}

/// The one that waits for the key of another joins the sequence when that has ended.
async fn a_unique_run_joins_when_its_key_is_free(bench) {
    let keyed = |number| {
        let mut run = in_sequence(number, 1, &account());
        let unique = Unique::key("k").stored("work", at(0));
        let conflict = Conflict::Replace { data: true, of: None };
        run.unique = Some(Box::new(NewKey::new(unique, conflict, at(0))));
        run
    };
    bench.enqueue(vec![keyed(1)]).await;
    let first = bench.begin_only(1, 1).await;
    bench.enqueue(vec![keyed(2)]).await;
    bench.add_in_sequence([3], &account()).await;
    assert_eq!(bench.run_status(2).await.unwrap().behind, None, "it waits for the key");
    bench.end(&first, Fate::Over).await;
    bench.all_in_turn([3, 2], 1).await;
}

/// Nobody looks at those that wait.
async fn a_thousand_runs_wait_in_order(bench) {
    for part in 0..4 {
        bench.add_in_sequence(1 + part * 250..=(part + 1) * 250, &account()).await;
    }
    for number in 1..=5 {
        let taken = bench.begin_only(number, 1).await;
        bench.end(&taken, Fate::Over).await;
    }
    assert_eq!(bench.run_status(1000).await.unwrap().behind, Some(id(999)));
}
}
