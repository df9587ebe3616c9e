//! Unique runs: when a key is taken, when it is free, and what becomes of a run whose key is taken.

use std::time::Duration;

use scheduler_core::JobData;
use scheduler_core::job::CancelReason;
use scheduler_core::run::{KeyId, RunEnd, RunKey, RunState, Unique};
use scheduler_core::store::*;

use super::running::{error, id, numbers};
use crate::bench::*;

const LONG: Duration = Duration::from_secs(1000);

fn key() -> Unique {
    Unique::key("a")
}

fn data(text: &str) -> JobData {
    JobData::new().with("text", text)
}

/// A run that is due after so many seconds, with a key that it takes at the begin.
fn keyed(number: u64, due: i64, unique: &Unique, conflict: Conflict) -> NewRun {
    let mut run = super::running::run(number, &job("work").build(), due);
    let key: RunKey = unique.stored("work", at(0));
    run.unique = Some(Box::new(NewKey::new(key, conflict, at(0))));
    run.data = data(&format!("of {number}"));
    run
}

fn with_now(mut run: NewRun, now: i64) -> NewRun {
    run.unique.iter_mut().for_each(|unique| unique.now = at(now));
    run
}

const fn replace() -> Conflict {
    Conflict::Replace { data: true, of: None }
}

fn again(at: i64, counts: bool) -> Fate {
    Fate::Again { at: crate::bench::at(at), counts, error: Some(error("no")) }
}

const DEAD: Fate = Fate::Dead { error: None };

impl Bench {
    /// What becomes of a run with a key, which is due at the begin.
    async fn add(&self, number: u64, unique: &Unique, conflict: Conflict) -> Enqueued {
        self.store.enqueue(vec![keyed(number, 1, unique, conflict)]).await.unwrap()[0]
    }

    /// Whether the key is free for a run of this number, which takes it if it is.
    async fn is_free(&self, number: u64, unique: &Unique) -> bool {
        self.add(number, unique, Conflict::Skip).await == Enqueued::Created
    }

    async fn text(&self, number: u64) -> String {
        let status = self.run_status(number).await.expect("it is stored");
        status.data.get::<String>("text").expect("a text").expect("a text")
    }
}

checks! { ($) keys, __store_checks_of_keys;

async fn a_key_is_taken_until_its_run_is_over(bench) {
    assert!(bench.is_free(1, &key()).await);
    assert_eq!(bench.add(2, &key(), Conflict::Skip).await, Enqueued::Existing(id(1)), "it waits");
    assert!(bench.is_free(9, &Unique::key("b")).await, "another key");
    bench.store.change_runs(ChangeRuns::new(vec![id(9)], RunChange::Delete, at(1))).await.unwrap();
    let first = bench.take_one(1).await;
    assert_eq!(bench.add(2, &key(), Conflict::Skip).await, Enqueued::Existing(id(1)), "it runs");
    bench.end(&first, again(10, true)).await;
    assert_eq!(bench.add(2, &key(), Conflict::Skip).await, Enqueued::Existing(id(1)), "it waits for a retry");
    let second = bench.take_one(10).await;
    assert_eq!((second.run, second.attempt), (id(1), 2));
    bench.end(&second, Fate::Over).await;
    assert!(bench.is_free(2, &key()).await, "it is over");
    assert_eq!(numbers(&bench.take(1, 10).await), [2]);
    assert_eq!(bench.run_status(2).await.unwrap().key.as_deref(), Some("a"), "people see the key");
}

/// zoolutions/sidekiq-unique-jobs#304: the dead kept their keys. sidekiq/sidekiq#4162: so did those in the dead set.
async fn whatever_ends_a_run_frees_its_key(bench) {
    let ends = [RunChange::Cancel, RunChange::Delete];
    for (number, change) in (1..).zip(ends) {
        assert!(bench.is_free(number, &key()).await);
        assert_eq!(bench.change(&[number], change).await, [RunChanged::Done]);
    }
    assert!(bench.is_free(3, &key()).await);
    let taken = bench.take_one(1).await;
    bench.end(&taken, DEAD).await;
    assert!(bench.is_free(4, &key()).await, "a dead run has no key");
    let taken = bench.take_one(1).await;
    bench.change(&[4], RunChange::Cancel).await;
    bench.end(&taken, again(9, true)).await;
    assert!(bench.is_free(5, &key()).await, "it was cancelled while it ran");
    let taken = bench.take_one(1).await;
    bench.store.clear().await.unwrap();
    assert!(bench.is_free(6, &key()).await);
    bench.end(&taken, Fate::Over).await;
    assert_eq!(bench.add(7, &key(), Conflict::Skip).await, Enqueued::Existing(id(6)), "of another run");
}

async fn runs_of_one_call_have_their_keys_too(bench) {
    let runs = (1..=3).map(|number| keyed(number, 1, &key(), Conflict::Skip)).collect();
    let answers = bench.store.enqueue(runs).await.unwrap();
    assert_eq!(answers, [Enqueued::Created, Enqueued::Existing(id(1)), Enqueued::Existing(id(1))]);
    assert_eq!(numbers(&bench.take(1, 10).await), [1]);
}

async fn a_repeated_call_is_the_same_run(bench) {
    assert!(bench.is_free(1, &key()).await);
    for conflict in [Conflict::Skip, Conflict::Refuse, Conflict::Follow, replace()] {
        assert_eq!(bench.add(1, &key(), conflict).await, Enqueued::Existing(id(1)));
    }
}

async fn a_second_run_can_be_refused(bench) {
    assert!(bench.is_free(1, &key()).await);
    for runs in [
        vec![keyed(2, 1, &key(), Conflict::Refuse)],
        vec![keyed(3, 1, &Unique::key("b"), Conflict::Refuse), keyed(2, 1, &key(), Conflict::Refuse)],
        vec![keyed(3, 1, &Unique::key("b"), Conflict::Skip), keyed(4, 1, &Unique::key("b"), Conflict::Refuse)],
    ] {
        let error = bench.store.enqueue(runs).await.unwrap_err();
        assert!(error.to_string().contains("has the key"), "{error}");
        assert_eq!(bench.all_runs().await.len(), 1, "nothing of such a call is stored");
    }
    let free = vec![keyed(3, 1, &Unique::key("b"), Conflict::Refuse)];
    assert_eq!(bench.store.enqueue(free.clone()).await.unwrap(), [Enqueued::Created]);
    assert_eq!(bench.store.enqueue(free).await.unwrap(), [Enqueued::Existing(id(3))], "a repeated call");
}

/// An owner that waits for a retry has older data than the run behind it.
async fn the_latest_data_run_last_also_if_the_owner_is_tried_again(bench) {
    assert!(bench.is_free(1, &key()).await);
    let first = bench.take_one(1).await;
    assert_eq!(bench.add(2, &key(), replace()).await, Enqueued::Created);
    bench.end(&first, again(5, true)).await;
    assert_eq!(bench.add(3, &key(), replace()).await, Enqueued::Replaced(id(2)));
    let retry = bench.take_one(5).await;
    assert_eq!((retry.run, bench.text(1).await), (id(1), "of 1".into()));
    bench.end(&retry, Fate::Over).await;
    assert_eq!((bench.take_one(5).await.run, bench.text(2).await), (id(2), "of 3".into()));
}

/// Also before a node has found it.
async fn a_run_that_has_expired_has_no_key(bench) {
    let expiring = |number| {
        let mut run = keyed(number, 1, &key(), Conflict::Skip);
        run.expires = Some(Duration::from_secs(10));
        run
    };
    assert_eq!(bench.store.enqueue(vec![expiring(1)]).await.unwrap(), [Enqueued::Created]);
    let late = |number, conflict| {
        let mut run = with_now(keyed(number, 20, &key(), conflict), 20);
        run.expires = Some(Duration::from_secs(10));
        run
    };
    assert_eq!(bench.store.enqueue(vec![late(2, replace())]).await.unwrap(), [Enqueued::Created]);
    assert_eq!(bench.run_status(1).await.unwrap().end, Some(RunEnd::Expired));
    assert_eq!(bench.store.enqueue(vec![late(3, Conflict::Skip)]).await.unwrap(), [Enqueued::Existing(id(2))]);
    assert_eq!(numbers(&bench.take(20, 10).await), [2]);
}

/// A dead run is kept for weeks, and its key for a moment.
async fn a_key_that_was_taken_for_a_time_is_free_while_its_run_is_kept(bench) {
    let unique = key().for_at_least(LONG);
    assert!(bench.is_free(1, &unique).await);
    let taken = bench.take_one(1).await;
    bench.end(&taken, DEAD).await;
    assert_eq!(bench.add(2, &unique, Conflict::Skip).await, Enqueued::Existing(id(1)));
    let asked = bench.ask(ONE, 999, 0, QueueLimits::default()).await;
    assert_eq!(asked.next_due, Some(at(1000)), "a rule looks at it then");
    let asked = bench.ask(ONE, 1001, 0, QueueLimits::default()).await;
    assert!(asked.next_due.is_none_or(|due| due > at(100_000)), "and not again before it is dropped");
    assert_eq!(bench.run_status(1).await.unwrap().end, Some(RunEnd::Dead), "it is kept");
    let run = with_now(keyed(3, 1, &unique, Conflict::Skip), 1001);
    assert_eq!(bench.store.enqueue(vec![run]).await.unwrap(), [Enqueued::Created]);
}

/// Of which one waits.
async fn runs_of_one_key_need_one_place_in_a_queue(bench) {
    let limited = |number| {
        let mut run = keyed(number, 1, &key(), Conflict::Skip);
        (run.queue, run.most_waiting) = (Some("mail".into()), Some(1));
        run
    };
    let answers = bench.store.enqueue(vec![limited(1), limited(2)]).await.unwrap();
    assert_eq!(answers, [Enqueued::Created, Enqueued::Existing(id(1))]);
    assert_eq!(bench.store.enqueue(vec![limited(3)]).await.unwrap(), [Enqueued::Existing(id(1))]);
}

/// riverqueue/river#618: a job that came back collided with itself and was discarded.
async fn a_key_that_is_taken_until_the_start_is_never_taken_again(bench) {
    let unique = key().until_started();
    assert!(bench.is_free(1, &unique).await);
    let first = bench.take_one(1).await;
    assert!(bench.is_free(2, &unique).await, "the first attempt has begun");
    bench.end(&first, again(5, true)).await;
    assert_eq!(bench.add(3, &unique, Conflict::Skip).await, Enqueued::Existing(id(2)));
    let mut both = bench.take(5, 10).await;
    both.sort_by_key(|run| run.run);
    assert_eq!((numbers(&both), both[0].attempt), (vec![1, 2], 2), "they live side by side");
    assert!(bench.is_free(3, &unique).await);
}

/// oban-bg/oban#1416, hardbyte/awa PR#390: one conflict stopped a sweep for good.
async fn work_of_a_node_that_ends_comes_back_beside_a_new_run_of_its_key(bench) {
    let unique = key().until_started();
    assert!(bench.is_free(1, &unique).await);
    let other = super::running::run(8, &job("work").build(), 1);
    bench.store.enqueue(vec![other]).await.unwrap();
    assert_eq!(bench.take(1, 10).await.len(), 2);
    assert!(bench.is_free(2, &unique).await);
    bench.store.detach(ONE).await.unwrap();
    let taken = bench.ask(TWO, 5, 10, QueueLimits::default()).await.runs;
    let mut back = numbers(&taken);
    back.sort_unstable();
    assert_eq!(back, [1, 2, 8]);
    assert!(bench.is_free(3, &unique).await);
}

/// sidekiq/sidekiq#2499: a lock that was taken at scheduling blocked its own job.
async fn a_delayed_run_does_not_meet_its_own_key(bench) {
    let answers = bench.store.enqueue(vec![keyed(1, 60, &key(), Conflict::Skip)]).await.unwrap();
    assert_eq!(answers, [Enqueued::Created]);
    assert_eq!(bench.add(2, &key(), Conflict::Skip).await, Enqueued::Existing(id(1)));
    assert_eq!(numbers(&bench.take(60, 10).await), [1]);
}

async fn a_key_can_be_taken_for_a_time(bench) {
    let unique = key().for_at_least(LONG);
    assert!(bench.is_free(1, &unique).await);
    let taken = bench.take_one(1).await;
    bench.end(&taken, Fate::Over).await;
    let later = |now| with_now(keyed(2, 1, &unique, Conflict::Skip), now);
    for (now, conflict) in [(1, Conflict::Skip), (999, replace())] {
        let mut run = later(now);
        run.unique.iter_mut().for_each(|unique| unique.conflict = conflict.clone());
        assert_eq!(bench.store.enqueue(vec![run]).await.unwrap(), [Enqueued::Existing(id(1))], "at {now} s");
    }
    let kept = bench.run_status(1).await.unwrap();
    assert_eq!((kept.end, kept.kept_until), (Some(RunEnd::Succeeded), Some(at(1000))), "it is kept for its key");
    let changes = [RunChange::replay(), RunChange::Hold, RunChange::Cancel];
    for change in changes {
        assert_eq!(bench.change(&[1], change).await, [RunChanged::Refused(RunState::Ended)]);
    }
    assert_eq!(bench.store.enqueue(vec![later(1000)]).await.unwrap(), [Enqueued::Created]);
    bench.ask(ONE, 1001, 0, QueueLimits::default()).await;
    assert!(bench.run_status(1).await.is_none(), "it is not kept any longer");
}

/// taskforcesh/bullmq#4311: a key without an owner swallowed new jobs.
async fn a_key_goes_with_its_run(bench) {
    let unique = key().for_at_least(LONG);
    assert!(bench.is_free(1, &unique).await);
    let taken = bench.take_one(1).await;
    bench.end(&taken, Fate::Over).await;
    assert_eq!(bench.change(&[1], RunChange::Delete).await, [RunChanged::Done]);
    assert!(bench.is_free(2, &unique).await);
}

async fn a_run_that_waits_is_replaced_where_it_stands(bench) {
    assert!(bench.is_free(1, &key()).await);
    assert_eq!(bench.add(2, &key(), replace()).await, Enqueued::Replaced(id(1)));
    assert_eq!((bench.text(1).await, bench.run_status(1).await.unwrap().due), ("of 2".into(), at(1)));
    assert!(bench.run_status(2).await.is_none());
    let mut run = keyed(3, 50, &key(), replace());
    run.priority = 9;
    run.unique.iter_mut().for_each(|unique| unique.keeps_due = false);
    assert_eq!(bench.store.enqueue(vec![run]).await.unwrap(), [Enqueued::Replaced(id(1))]);
    let status = bench.run_status(1).await.unwrap();
    assert_eq!((status.due, status.priority), (at(50), 9), "the call says when");
    assert!(bench.take(1, 10).await.is_empty());
    let taken = bench.take_one(50).await;
    assert_eq!(taken.run, id(1));
}

async fn one_run_waits_behind_the_one_that_runs(bench) {
    assert!(bench.is_free(1, &key()).await);
    let first = bench.take_one(1).await;
    assert_eq!(bench.add(2, &key(), replace()).await, Enqueued::Created);
    assert_eq!(bench.run_status(2).await.unwrap().state, RunState::Held);
    assert_eq!(bench.add(3, &key(), replace()).await, Enqueued::Replaced(id(2)));
    assert_eq!(bench.add(4, &key(), Conflict::Follow).await, Enqueued::Existing(id(2)));
    assert!(bench.take(99, 10).await.is_empty(), "at most one runs");
    bench.end(&first, again(5, true)).await;
    assert!(bench.take(4, 10).await.is_empty(), "a retry is not the end");
    let retry = bench.take_one(5).await;
    let wakes = bench.wakes();
    bench.end(&retry, Fate::Over).await;
    assert!(bench.wakes() > wakes, "nodes are woken");
    assert_eq!(bench.text(2).await, "of 3", "the latest data wins");
    assert_eq!(bench.add(5, &key(), Conflict::Skip).await, Enqueued::Existing(id(2)), "it has the key now");
    assert_eq!(numbers(&bench.take(5, 10).await), [2]);
}

async fn whatever_ends_a_run_releases_the_one_behind_it(bench) {
    for (round, number) in (0..4).zip([10, 20, 30, 40]) {
        assert!(bench.is_free(number, &key()).await);
        let first = bench.take_one(1).await;
        assert_eq!(bench.add(number + 1, &key(), replace()).await, Enqueued::Created);
        match round {
            0 => drop(bench.end(&first, DEAD).await),
            1 => {
                bench.change(&[number], RunChange::Cancel).await;
                bench.end(&first, Fate::Cancelled).await;
            }
            2 => {
                // It waits for a retry, and somebody removes it.
                bench.end(&first, again(900, true)).await;
                bench.change(&[number], RunChange::Delete).await;
            }
            _ => {
                bench.end(&first, again(900, true)).await;
                bench.change(&[number], RunChange::Cancel).await;
            }
        }
        let next = bench.take_one(1).await;
        assert_eq!(next.run, id(number + 1), "round {round}");
        bench.end(&next, Fate::Over).await;
    }
}

/// A follow-up that is cancelled leaves its place to another one.
async fn a_run_behind_another_one_can_be_cancelled(bench) {
    assert!(bench.is_free(1, &key()).await);
    let first = bench.take_one(1).await;
    assert_eq!(bench.add(2, &key(), replace()).await, Enqueued::Created);
    assert_eq!(bench.change(&[2], RunChange::Cancel).await, [RunChanged::Done]);
    assert_eq!(bench.add(3, &key(), replace()).await, Enqueued::Created);
    bench.end(&first, Fate::Over).await;
    assert_eq!(numbers(&bench.take(1, 10).await), [3]);
}

/// Two runs of one key would run side by side.
async fn a_run_behind_the_owner_of_its_key_is_not_released_by_hand(bench) {
    assert!(bench.is_free(1, &key()).await);
    let first = bench.take_one(1).await;
    assert_eq!(bench.add(2, &key(), replace()).await, Enqueued::Created);
    assert_eq!(bench.change(&[2], RunChange::Release).await, [RunChanged::Refused(RunState::Held)]);
    assert!(bench.take(1, 10).await.is_empty());
    bench.end(&first, Fate::Over).await;
    assert_eq!(numbers(&bench.take(1, 10).await), [2]);
}

/// The first run has ended, and its key is taken for longer. The call is about the run that waits, whose data are the latest.
async fn a_run_that_waits_has_its_key_before_one_that_has_ended(bench) {
    let unique = key().for_at_least(LONG);
    for first in [1, 5] {
        assert!(bench.is_free(first, &unique).await);
        let taken = bench.take_one(1).await;
        assert_eq!(bench.add(first + 1, &key(), replace()).await, Enqueued::Created);
        bench.end(&taken, Fate::Cancelled).await;
        assert_eq!(bench.add(first + 2, &key(), replace()).await, Enqueued::Replaced(id(first + 1)));
        bench.change(&[first, first + 1], RunChange::Delete).await;
    }
}

/// Its first attempt has begun, so the time was all that has kept the key.
async fn a_retry_does_not_take_a_key_again_when_its_time_is_over(bench) {
    let unique = key().until_started().for_at_least(Duration::from_secs(10));
    for (number, counts) in [(1, true), (11, false)] {
        assert!(bench.is_free(number, &unique).await);
        let taken = bench.take_one(1).await;
        bench.end(&taken, again(900, counts)).await;
        let later = |number, now| with_now(keyed(number, now, &key(), Conflict::Skip), now);
        let answers = bench.store.enqueue(vec![later(number + 1, 9)]).await.unwrap();
        assert_eq!(answers, [Enqueued::Existing(id(number))], "the time is not over");
        assert_eq!(bench.store.enqueue(vec![later(number + 1, 11)]).await.unwrap(), [Enqueued::Created]);
        bench.change(&[number, number + 1], RunChange::Delete).await;
    }
}

/// The owner has expired, and nobody has found that yet: the run behind it is the next owner.
async fn the_run_behind_an_expired_one_has_its_key(bench) {
    let mut first = keyed(1, 1, &key(), Conflict::Skip);
    first.expires = Some(Duration::from_secs(5));
    bench.enqueue(vec![first]).await;
    let taken = bench.take_one(1).await;
    assert_eq!(bench.add(2, &key(), replace()).await, Enqueued::Created);
    bench.store.release(vec![taken.claim]).await.unwrap();
    let third = with_now(keyed(3, 9, &key(), Conflict::Skip), 9);
    assert_eq!(bench.store.enqueue(vec![third]).await.unwrap(), [Enqueued::Existing(id(2))]);
}

async fn what_is_merged_is_what_the_caller_has_seen(bench) {
    assert!(bench.is_free(1, &key()).await);
    let merge = |of: &str| Conflict::Replace { data: true, of: Some(data(of)) };
    assert_eq!(bench.add(2, &key(), merge("of 9")).await, Enqueued::Existing(id(1)), "it has changed meanwhile");
    assert_eq!(bench.add(2, &key(), merge("of 1")).await, Enqueued::Replaced(id(1)));
    let first = bench.take_one(1).await;
    assert_eq!(bench.add(3, &key(), merge("of 2")).await, Enqueued::Existing(id(1)), "it runs by now");
    assert_eq!(bench.add(3, &key(), Conflict::Follow).await, Enqueued::Created);
    assert_eq!(bench.add(4, &key(), merge("of 3")).await, Enqueued::Replaced(id(3)));
    bench.end(&first, Fate::Over).await;
    assert_eq!((bench.text(3).await, numbers(&bench.take(1, 9).await)), ("of 4".into(), vec![3]));
}

/// Trigger.dev takes the bound from each call, so that a caller without one keeps a run from beginning for ever.
async fn a_debounced_run_begins_by_the_bound_of_its_first_call(bench) {
    let bounded = Unique::debounce("a", Duration::from_secs(5)).at_most(Duration::from_secs(12));
    let unbounded = Unique::debounce("a", Duration::from_secs(5)).at_most(LONG);
    let call = |number, now: i64, unique: &Unique| {
        let mut run = with_now(keyed(number, now + 5, unique, replace()), now);
        run.unique.iter_mut().for_each(|unique| unique.keeps_due = false);
        run
    };
    assert_eq!(bench.store.enqueue(vec![call(1, 0, &bounded)]).await.unwrap(), [Enqueued::Created]);
    for (number, now, due) in [(2, 4, 9), (3, 8, 12), (4, 11, 12)] {
        let answers = bench.store.enqueue(vec![call(number, now, &unbounded)]).await.unwrap();
        assert_eq!(answers, [Enqueued::Replaced(id(1))]);
        assert_eq!(bench.run_status(1).await.unwrap().due, at(due));
    }
    assert_eq!(bench.text(1).await, "of 4", "with the data of the latest call");
    assert_eq!(bench.take_one(12).await.run, id(1));
    assert_eq!(bench.store.enqueue(vec![call(5, 13, &bounded)]).await.unwrap(), [Enqueued::Created], "a new one begins");
}

async fn the_data_of_the_first_call_can_be_kept(bench) {
    assert!(bench.is_free(1, &key()).await);
    let conflict = Conflict::Replace { data: false, of: None };
    assert_eq!(bench.add(2, &key(), conflict).await, Enqueued::Replaced(id(1)));
    assert_eq!(bench.text(1).await, "of 1");
}

async fn a_replay_takes_the_key_unless_another_run_has_it(bench) {
    assert!(bench.is_free(1, &key()).await);
    let taken = bench.take_one(1).await;
    bench.end(&taken, DEAD).await;
    assert!(bench.is_free(2, &key()).await);
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::KeyTaken(id(2))]);
    assert_eq!(bench.run_status(1).await.unwrap().end, Some(RunEnd::Dead));
    bench.change(&[2], RunChange::Delete).await;
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.add(3, &key(), Conflict::Skip).await, Enqueued::Existing(id(1)));
}

async fn a_key_is_found_by_its_function_and_text(bench) {
    let of = |scope: &str, text: &str| KeyId::of(scope, text);
    assert_eq!(of("work", "a"), key().stored("work", at(0)).id);
    assert_eq!(of("", "a"), key().across_jobs().stored("work", at(0)).id);
    assert!(bench.is_free(1, &key()).await);
    assert!(bench.is_free(2, &key().across_jobs()).await, "that of all jobs is another one");
}

async fn a_cancelled_owner_that_runs_keeps_its_key_until_it_has_stopped(bench) {
    assert!(bench.is_free(1, &key()).await);
    let first = bench.take_one(1).await;
    bench.change(&[1], RunChange::Cancel).await;
    assert_eq!(bench.cancelled(ONE, 2).await, [(first.claim, CancelReason::Requested)]);
    assert_eq!(bench.add(2, &key(), Conflict::Skip).await, Enqueued::Existing(id(1)));
    bench.end(&first, Fate::Cancelled).await;
    assert!(bench.is_free(2, &key()).await);
}
}
