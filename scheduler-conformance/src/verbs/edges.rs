//! Runs that wait for the ends of other runs.

use std::time::Duration;

use scheduler_core::run::{Condition, Edge, FiringCause, RunEnd, RunState, Unique};
use scheduler_core::store::*;

use super::running::{error, id, numbers};
use crate::bench::*;

/// More children than one step settles.
const MANY: u64 = 130;

const DEAD: Fate = Fate::Dead { error: None };

fn plain(number: u64) -> NewRun {
    super::running::run(number, &job("work").build(), 1)
}

/// A run that waits for these to end in this way.
fn child(number: u64, parents: &[u64], on: Condition) -> NewRun {
    let mut run = plain(number);
    run.after = parents.iter().map(|parent| Edge::new(id(*parent), on)).collect();
    run
}

fn after(number: u64, parent: u64) -> NewRun {
    child(number, &[parent], Condition::Success)
}

impl Bench {
    async fn standing(&self, number: u64) -> Option<(RunState, Option<RunEnd>)> {
        self.run_status(number).await.map(|run| (run.state, run.end))
    }

    /// Runs what is due, so that each run ends like this, until nothing is due any more. The numbers of the runs, in order.
    async fn drain(&self, seconds: i64, fate: impl Fn(u64) -> Fate) -> Vec<u64> {
        let mut ran = Vec::new();
        // Some children are settled with each request.
        let mut idle = 0;
        while idle < 20 {
            let taken = self.take(seconds, 50).await;
            idle = if taken.is_empty() { idle + 1 } else { 0 };
            for run in &taken {
                ran.push(run.run.count());
                self.end(run, fate(run.run.count())).await;
            }
        }
        ran
    }

    async fn waits(&self, number: u64) -> bool {
        self.standing(number).await == Some((RunState::Held, None))
    }
}

fn over(_: u64) -> Fate {
    Fate::Over
}

checks! { ($) edges, __store_checks_of_edges;

async fn a_child_is_held_until_its_parent_has_succeeded(bench) {
    bench.enqueue(vec![plain(1)]).await;
    bench.enqueue(vec![after(2, 1)]).await;
    let parent = bench.take_one(1).await;
    assert!(bench.take(9, 10).await.is_empty(), "the child is held");
    let held = bench.run_status(2).await.unwrap();
    assert_eq!((held.state, &held.parents[..]), (RunState::Held, &[Edge::new(id(1), Condition::Success)][..]));
    bench.end(&parent, Fate::Over).await;
    let child = bench.take_one(9).await;
    assert_eq!((child.run, child.cause), (id(2), FiringCause::Continuation));
    assert!(bench.run_status(2).await.unwrap().parents.is_empty());
    bench.end(&child, Fate::Over).await;
    assert!(bench.all_runs().await.is_empty(), "nothing is left");
}

/// ImmediatePlatform/Immediate.Jobs#59: a child that is stored while its parent ends waits for ever.
async fn a_child_is_stored_before_or_after_the_end_of_its_parent_and_never_beside_it(bench) {
    bench.enqueue(vec![plain(1)]).await;
    let parent = bench.take_one(1).await;
    bench.enqueue(vec![after(2, 1)]).await;
    bench.end(&parent, Fate::Over).await;
    assert_eq!(numbers(&bench.take(1, 10).await), [2], "it was stored while the parent ran");
    let error = bench.store.enqueue(vec![after(3, 1)]).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("was not kept"), "{error}");
    assert!(bench.run_status(3).await.is_none());
    bench.enqueue(vec![plain(4)]).await;
    let parent = bench.take_one(1).await;
    bench.end(&parent, DEAD).await;
    bench.enqueue(vec![after(5, 4), child(6, &[4], Condition::Failure)]).await;
    assert_eq!(bench.standing(5).await, Some((RunState::Ended, Some(RunEnd::Cancelled))), "decided at once");
    assert_eq!(numbers(&bench.take(1, 10).await), [6]);
}

async fn runs_of_one_call_may_wait_for_earlier_ones(bench) {
    bench.enqueue(vec![plain(1), after(2, 1), after(3, 2)]).await;
    assert_eq!(bench.drain(1, over).await, [1, 2, 3]);
    let error = bench.store.enqueue(vec![after(5, 4), plain(4)]).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(bench.all_runs().await.is_empty(), "nothing of such a call is stored");
    assert!(bench.store.enqueue(vec![after(6, 6)]).await.is_err(), "no run waits for itself");
}

async fn each_condition_is_met_by_its_ends(bench) {
    let conditions = [Condition::Success, Condition::Failure, Condition::Cancelled, Condition::Any];
    let ends = [
        (Fate::Over, [true, false, false, true]),
        (DEAD, [false, true, false, true]),
        (Fate::Cancelled, [false, false, true, true]),
    ];
    for (turn, (fate, expected)) in (1..).zip(ends) {
        let parent = 100 * turn;
        bench.enqueue(vec![plain(parent)]).await;
        let children = (1..).zip(conditions).map(|(number, on)| child(parent + number, &[parent], on)).collect();
        bench.enqueue(children).await;
        let taken = bench.take_one(1).await;
        bench.end(&taken, fate.clone()).await;
        let met: Vec<_> = (1..).zip(expected).filter(|(_, met)| *met).map(|(number, _)| parent + number).collect();
        assert_eq!(bench.drain(1, over).await, met, "{fate:?}");
    }
}

async fn a_child_waits_for_the_last_of_its_parents(bench) {
    bench.enqueue(vec![plain(1), plain(2), child(3, &[1, 2], Condition::Success)]).await;
    let parents = bench.take(1, 10).await;
    assert_eq!(numbers(&parents), [1, 2]);
    bench.end(&parents[1], Fate::Over).await;
    assert!(bench.waits(3).await);
    assert_eq!(bench.run_status(3).await.unwrap().parents.len(), 1);
    bench.end(&parents[0], Fate::Over).await;
    assert_eq!(numbers(&bench.take(1, 10).await), [3]);
}

/// sidekiq/sidekiq#6889: an interruption counted as an end.
async fn what_is_attempted_again_has_not_ended(bench) {
    bench.enqueue(vec![plain(1), child(2, &[1], Condition::Any)]).await;
    for counts in [false, true] {
        let parent = bench.take_one(1).await;
        bench.end(&parent, Fate::Again { at: at(1), counts, error: Some(error("no")) }).await;
        assert!(bench.waits(2).await, "counts: {counts}");
    }
    let parent = bench.take_one(1).await;
    bench.store.release(vec![parent.claim]).await.unwrap();
    assert!(bench.waits(2).await, "it was given back");
    assert_eq!(bench.drain(1, over).await, [1, 2]);
}

/// celery/celery: a result that was delivered twice was counted twice.
async fn a_repeated_end_settles_nothing_twice(bench) {
    bench.enqueue(vec![plain(1), plain(2), child(3, &[1, 2], Condition::Success)]).await;
    let parents = bench.take(1, 10).await;
    for _ in 0..3 {
        bench.end(&parents[0], Fate::Over).await;
    }
    assert!(bench.waits(3).await, "one parent has ended");
}

/// taskforcesh/bullmq#3362: one child that fails leaves the others waiting for ever.
async fn a_chain_behind_a_failure_is_cancelled_link_by_link(bench) {
    let chain = (2..=6).map(|number| after(number, number - 1));
    let chain = std::iter::once(plain(1)).chain(chain).chain([child(7, &[6], Condition::Cancelled)]).collect();
    bench.enqueue(chain).await;
    let parent = bench.take_one(1).await;
    bench.end(&parent, DEAD).await;
    assert_eq!(bench.drain(1, over).await, [7], "it waits for a cancelled run");
    for number in 2..=6 {
        let run = bench.run_status(number).await.unwrap();
        assert_eq!(run.end, Some(RunEnd::Cancelled), "{number}");
        let mut unmet = Edge::new(id(number - 1), Condition::Success);
        unmet.is_unmet = true;
        assert_eq!(run.parents, [unmet], "{number}: people see why");
    }
    if bench.attached.keeps_history {
        let records = bench.store.all_firings(FiringQuery::default()).await.unwrap();
        let reasons = records.iter().filter(|record| record.reason == Some(FiringReason::Dependency));
        assert_eq!(reasons.count(), 5);
    }
}

async fn cancelled_children_are_kept_as_long_as_their_dead_parent(bench) {
    bench.enqueue(vec![plain(1), after(2, 1), after(3, 2)]).await;
    let parent = bench.take_one(1).await;
    bench.end(&parent, DEAD).await;
    bench.drain(1, over).await;
    let kept = bench.run_status(1).await.unwrap().kept_until.unwrap();
    for number in [2, 3] {
        assert_eq!(bench.run_status(number).await.unwrap().kept_until, Some(kept), "{number}");
    }
}

async fn a_replay_holds_the_children_again(bench) {
    bench.enqueue(vec![plain(1), after(2, 1), after(3, 2), child(4, &[1], Condition::Any)]).await;
    let parent = bench.take_one(1).await;
    bench.end(&parent, DEAD).await;
    assert_eq!(bench.drain(1, over).await, [4]);
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.standing(2).await, Some((RunState::Held, None)));
    let again = bench.take_one(1).await;
    assert_eq!(again.run, id(1));
    bench.drain(1, over).await;
    assert!(bench.waits(2).await && bench.waits(3).await, "theirs come back, too");
    bench.end(&again, DEAD).await;
    bench.drain(1, over).await;
    assert_eq!(bench.standing(3).await, Some((RunState::Ended, Some(RunEnd::Cancelled))));
    bench.change(&[1], RunChange::replay()).await;
    assert_eq!(bench.drain(1, over).await, [1, 2, 3], "what has waited for any end does not run twice");
    assert!(bench.all_runs().await.is_empty());
}

async fn a_replayed_child_needs_no_parent(bench) {
    bench.enqueue(vec![plain(1), after(2, 1)]).await;
    let parent = bench.take_one(1).await;
    bench.end(&parent, DEAD).await;
    assert_eq!(bench.change(&[2], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.drain(1, over).await, [2]);
    bench.change(&[1], RunChange::replay()).await;
    assert_eq!(bench.drain(1, over).await, [1], "and does not come back");
}

async fn a_child_that_two_parents_keep_from_running_comes_back_with_the_second(bench) {
    bench.enqueue(vec![plain(1), plain(2), child(3, &[1, 2], Condition::Success)]).await;
    for parent in bench.take(1, 10).await {
        bench.end(&parent, DEAD).await;
    }
    bench.change(&[1], RunChange::replay()).await;
    assert_eq!(bench.standing(3).await, Some((RunState::Ended, Some(RunEnd::Cancelled))), "2 is dead");
    assert_eq!(bench.drain(1, over).await, [1]);
    bench.change(&[2], RunChange::replay()).await;
    assert_eq!(bench.drain(1, over).await, [2, 3]);
}

/// sidekiq/sidekiq#2333, taskforcesh/bullmq#1752: nobody noticed a parent that was deleted by hand.
async fn a_parent_that_is_deleted_or_cancelled_by_hand_counts_as_cancelled(bench) {
    for (turn, change) in (1..).zip([RunChange::Delete, RunChange::Cancel]) {
        let parent = 10 * turn;
        bench.enqueue(vec![plain(parent), child(parent + 1, &[parent], Condition::Cancelled), after(parent + 2, parent)]).await;
        assert_eq!(bench.change(&[parent], change.clone()).await, [RunChanged::Done]);
        assert_eq!(bench.drain(1, over).await, [parent + 1], "{change:?}");
        assert_eq!(bench.standing(parent + 2).await, Some((RunState::Ended, Some(RunEnd::Cancelled))));
    }
}

async fn a_parent_that_expires_settles_its_children(bench) {
    let mut parent = plain(1);
    parent.expires = Some(Duration::from_secs(10));
    bench.enqueue(vec![parent, after(2, 1), child(3, &[1], Condition::Failure)]).await;
    assert_eq!(bench.drain(11, over).await, [3]);
}

async fn many_children_are_settled_part_by_part(bench) {
    let children = |on| (2..2 + MANY).map(move |number| child(number, &[1], on)).collect::<Vec<_>>();
    for (on, fate) in [(Condition::Success, Fate::Over), (Condition::Any, DEAD)] {
        bench.enqueue(vec![plain(1)]).await;
        bench.enqueue(children(on)).await;
        let parent = bench.take_one(1).await;
        bench.end(&parent, fate).await;
        assert_eq!(bench.drain(1, over).await, (2..2 + MANY).collect::<Vec<_>>());
        bench.change(&[1], RunChange::Delete).await;
        assert!(bench.all_runs().await.is_empty(), "the parent is not kept for longer");
    }
    bench.enqueue(vec![plain(1)]).await;
    bench.enqueue(children(Condition::Success)).await;
    let parent = bench.take_one(1).await;
    bench.end(&parent, DEAD).await;
    assert_eq!(bench.drain(1, over).await, [0; 0]);
    let cancelled = RunQuery::default().that_are(RunEnd::Cancelled);
    assert_eq!(bench.store.all_runs(cancelled).await.unwrap().len() as u64, MANY);
    bench.change(&[1], RunChange::replay()).await;
    assert_eq!(bench.drain(1, over).await, (1..2 + MANY).collect::<Vec<_>>(), "they come back before it runs");
}

/// Everything that a child waits for is over before its time begins.
async fn the_delay_and_the_expiry_of_a_child_count_from_the_end_of_its_last_parent(bench) {
    let mut run = after(2, 1);
    (run.delay, run.expires) = (Duration::from_secs(100), Some(Duration::from_secs(10)));
    bench.enqueue(vec![plain(1), run]).await;
    let parent = bench.take_one(500).await;
    assert!(bench.waits(2).await, "it does not expire while it is held");
    let completion = Completion::of(parent.claim);
    bench.store.complete(Complete { now: at(600), executions: vec![completion] }).await.unwrap();
    let status = bench.run_status(2).await.unwrap();
    assert_eq!((status.due, status.expires), (at(700), Some(at(710))));
    assert!(bench.take(699, 10).await.is_empty());
    assert_eq!(numbers(&bench.take(700, 10).await), [2]);
}

async fn a_child_has_its_key_while_it_is_held(bench) {
    let keyed = |mut run: NewRun| {
        let key = Unique::key("a").stored("work", at(0));
        run.unique = Some(Box::new(NewKey::new(key, Conflict::Skip, at(0))));
        run
    };
    bench.enqueue(vec![plain(1), keyed(after(2, 1))]).await;
    assert_eq!(bench.store.enqueue(vec![keyed(plain(3))]).await.unwrap(), [Enqueued::Existing(id(2))]);
    let parent = bench.take_one(1).await;
    bench.end(&parent, DEAD).await;
    bench.enqueue(vec![keyed(plain(3))]).await;
    bench.change(&[1], RunChange::replay()).await;
    assert_eq!(bench.standing(2).await, Some((RunState::Ended, Some(RunEnd::Cancelled))), "its key is taken");
    assert_eq!(bench.drain(1, over).await, [1, 3]);
}

async fn a_held_child_can_be_let_go_cancelled_and_deleted_by_hand(bench) {
    bench.enqueue(vec![plain(1), after(2, 1), after(3, 1), after(4, 1), after(5, 3)]).await;
    assert_eq!(bench.change(&[2], RunChange::Release).await, [RunChanged::Done]);
    assert_eq!(bench.change(&[3], RunChange::Cancel).await, [RunChanged::Done]);
    assert_eq!(bench.change(&[4], RunChange::Delete).await, [RunChanged::Done]);
    assert_eq!(bench.drain(1, over).await, [1, 2]);
    assert_eq!(bench.standing(5).await, Some((RunState::Ended, Some(RunEnd::Cancelled))));
    assert!(bench.run_status(4).await.is_none());
}

async fn a_repeated_call_stores_a_child_once(bench) {
    let call = || vec![plain(1), after(2, 1)];
    bench.enqueue(call()).await;
    let known = [Enqueued::Existing(id(1)), Enqueued::Existing(id(2))];
    assert_eq!(bench.store.enqueue(call()).await.unwrap(), known);
    let parent = bench.take_one(1).await;
    bench.end(&parent, DEAD).await;
    assert_eq!(bench.store.enqueue(call()).await.unwrap(), known, "also after it was cancelled");
}

async fn a_parent_that_is_lost_with_its_node_is_attempted_again_before_its_children(bench) {
    bench.enqueue(vec![plain(1), after(2, 1)]).await;
    bench.take_one(1).await;
    bench.store.detach(ONE).await.unwrap();
    let again = bench.ask(TWO, 1, 10, QueueLimits::default()).await.runs;
    assert_eq!(numbers(&again), [1]);
    assert!(bench.waits(2).await);
    bench.end(&again[0], Fate::Over).await;
    assert_eq!(numbers(&bench.ask(TWO, 1, 10, QueueLimits::default()).await.runs), [2]);
}

async fn what_is_cleared_lets_no_child_go(bench) {
    bench.enqueue(vec![plain(1), child(2, &[1], Condition::Any)]).await;
    bench.store.clear().await.unwrap();
    assert_eq!(bench.drain(1, over).await, [0; 0]);
    assert!(bench.all_runs().await.is_empty());
}
}
