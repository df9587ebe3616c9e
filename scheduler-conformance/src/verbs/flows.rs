//! Workflows: outputs that become arguments, batches that are stored as a whole, and batches whose runs wait until they are sealed.

use std::sync::Arc;

use scheduler_core::JobData;
use scheduler_core::run::{Condition, Edge, Input, RunEnd, RunState, Unique};
use scheduler_core::store::*;

use super::batches::{batch, member};
use super::running::{error, id, numbers};
use crate::bench::*;

/// More children than one step settles.
const MANY: u64 = 30;

const BATCH: u64 = 1000;
const INNER: u64 = 1001;
const START: u64 = 1002;

fn plain(number: u64) -> NewRun {
    super::running::run(number, &job("work").build(), 1)
}

fn kept(number: u64) -> NewRun {
    let mut run = plain(number);
    run.keep = Some(std::time::Duration::from_secs(60));
    run
}

/// A run whose argument is the output of this one.
fn fed(number: u64, parent: u64) -> NewRun {
    let mut run = plain(number);
    run.after = vec![Edge::input(id(parent), Input::Whole)];
    run
}

/// A run whose argument is a list: the outputs of these, and a last element that is known.
fn fed_by_all(number: u64, parents: &[u64]) -> NewRun {
    let mut run = plain(number);
    let inputs = (0..).zip(parents);
    run.after = inputs.map(|(item, parent)| Edge::input(id(*parent), Input::Item(item))).collect();
    let mut known = vec![None; parents.len()];
    known.push(Some(7));
    run.data = JobData::from_args(&known).unwrap();
    run
}

fn text(text: &str) -> Option<Arc<str>> {
    Some(text.into())
}

/// A batch, and the empty one that its runs wait for.
fn held() -> Vec<NewRun> {
    let (start, mut root) = (batch(START, None), batch(BATCH, None));
    root.opens.as_mut().unwrap().start = Some(id(START));
    vec![start, root]
}

/// A batch that is stored together with its runs.
fn whole(number: u64) -> NewRun {
    let mut root = batch(number, None);
    root.opens.as_mut().unwrap().is_sealed = true;
    root
}

impl Bench {
    async fn data(&self, number: u64) -> JobData {
        self.run_status(number).await.unwrap().data
    }

    async fn takes_nothing(&self, seconds: i64) -> bool {
        for _ in 0..20 {
            if !self.take(seconds, 10).await.is_empty() {
                return false;
            }
        }
        true
    }

    /// The next runs that can be taken, which may need some requests.
    async fn taken(&self, seconds: i64) -> Vec<AcquiredRun> {
        let mut taken = Vec::new();
        for _ in 0..20 {
            taken.extend(self.take(seconds, 50).await);
        }
        taken
    }
}

fn over(_: u64) -> Fate {
    Fate::Over
}

checks! { ($) flows, __store_checks_of_flows;

async fn an_output_becomes_the_argument_of_the_run_that_waits_for_it(bench) {
    bench.enqueue(vec![plain(1), fed(2, 1)]).await;
    let parent = bench.take_one(1).await;
    assert!(bench.takes_nothing(1).await, "the child is held");
    bench.end_at(&parent, Fate::Over, text("{\"words\":5}"), 2).await;
    assert!(bench.run_status(1).await.is_none(), "nobody has asked to keep it");
    let child = bench.take_one(2).await;
    assert_eq!(child.trigger.data().get::<u32>("words").unwrap(), Some(5));
    bench.end(&child, Fate::Again { at: at(3), counts: true, error: Some(error("no")) }).await;
    assert_eq!(bench.take_one(3).await.trigger.data().get::<u32>("words").unwrap(), Some(5), "also again");
}

async fn the_last_attempt_of_a_parent_gives_its_output(bench) {
    bench.enqueue(vec![plain(1), fed(2, 1)]).await;
    let first = bench.take_one(1).await;
    bench.end_at(&first, Fate::Again { at: at(3), counts: true, error: None }, None, 2).await;
    assert!(bench.takes_nothing(2).await);
    bench.end_at(&bench.take_one(3).await, Fate::Over, text("\"page\""), 4).await;
    assert_eq!(bench.data(2).await.to_args::<String>().unwrap(), "page");
}

async fn outputs_become_the_elements_of_a_list_in_whatever_order_they_come(bench) {
    bench.enqueue(vec![plain(1), plain(2), fed_by_all(3, &[1, 2, 1])]).await;
    let taken = bench.take(1, 10).await;
    bench.end_at(&taken[1], Fate::Over, text("20"), 2).await;
    assert!(bench.takes_nothing(2).await, "one is missing");
    bench.end_at(&taken[0], Fate::Over, text("10"), 2).await;
    assert_eq!(numbers(&bench.take(2, 10).await), [3]);
    assert_eq!(bench.data(3).await.to_args::<Vec<u32>>().unwrap(), [10, 20, 10, 7]);
}

async fn all_children_get_the_output_also_if_one_step_does_not_reach_them(bench) {
    bench.enqueue(std::iter::once(plain(1)).chain((2..2 + MANY).map(|child| fed(child, 1))).collect()).await;
    bench.end_at(&bench.take_one(1).await, Fate::Over, text("42"), 2).await;
    let children = bench.taken(2).await;
    assert_eq!(children.len(), usize::try_from(MANY).unwrap());
    for child in children {
        assert_eq!(child.trigger.data().to_args::<u32>().unwrap(), 42, "{}", child.run);
    }
}

async fn a_parent_that_has_ended_and_is_kept_gives_its_output_at_once(bench) {
    bench.enqueue(vec![kept(1)]).await;
    bench.end_at(&bench.take_one(1).await, Fate::Over, text("\"page\""), 2).await;
    bench.enqueue(vec![fed(2, 1)]).await;
    assert_eq!(numbers(&bench.take(2, 10).await), [2]);
    assert_eq!(bench.data(2).await.to_args::<String>().unwrap(), "page");
}

async fn a_run_whose_argument_has_not_come_cannot_be_run(bench) {
    bench.enqueue(vec![plain(1), fed(2, 1)]).await;
    let refused = bench.change(&[2], RunChange::Release).await;
    assert_eq!(refused, [RunChanged::Refused(RunState::Held)]);
    bench.end(&bench.take_one(1).await, Fate::Dead { error: None }).await;
    assert_eq!(bench.run_status(2).await.unwrap().end, Some(RunEnd::Cancelled));
    let refused = bench.change(&[2], RunChange::replay()).await;
    assert_eq!(refused, [RunChanged::Refused(RunState::Ended)], "it would have no argument");
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.run_status(2).await.unwrap().state, RunState::Held);
    bench.end_at(&bench.take_one(4).await, Fate::Over, text("3"), 5).await;
    assert_eq!(numbers(&bench.taken(5).await), [2]);
    assert_eq!(bench.data(2).await.to_args::<u32>().unwrap(), 3);
}

async fn a_run_that_was_cancelled_before_its_argument_came_cannot_be_replayed(bench) {
    let mut in_batch = fed(3, 1);
    in_batch.batch = member(3, BATCH).batch;
    bench.enqueue(vec![plain(1), fed(2, 1), batch(BATCH, None), in_batch]).await;
    assert_eq!(bench.change(&[2, BATCH], RunChange::Cancel).await, [RunChanged::Done; 2]);
    bench.settle().await;
    let refused = bench.change(&[2, 3], RunChange::replay()).await;
    assert_eq!(refused, [RunChanged::Refused(RunState::Ended); 2], "they have no argument");
    let given = RunEdit::new().data(JobData::from_args(&5).unwrap());
    assert_eq!(bench.change(&[2], RunChange::edit(given)).await, [RunChanged::Done]);
    assert_eq!(bench.change(&[2], RunChange::replay()).await, [RunChanged::Done], "now it has one");
}

async fn the_output_of_a_run_of_which_only_the_key_is_left_is_not_there(bench) {
    let mut keyed = plain(1);
    let unique = Unique::key("a").for_at_least(std::time::Duration::from_secs(60));
    keyed.unique = Some(Box::new(NewKey::new(unique.stored("work", at(1)), Conflict::Skip, at(1))));
    bench.enqueue(vec![keyed]).await;
    bench.end_at(&bench.take_one(1).await, Fate::Over, text("5"), 2).await;
    let refused = bench.store.enqueue(vec![fed(2, 1)]).await.unwrap_err();
    assert!(refused.is_not_found(), "{refused}");
    let mut child = plain(3);
    child.after = vec![Edge::new(id(1), Condition::Success)];
    bench.enqueue(vec![child]).await;
    assert_eq!(numbers(&bench.take(2, 10).await), [3], "its end is known");
}

async fn an_argument_that_becomes_too_long_cancels_the_run(bench) {
    let long = format!("\"{}\"", "x".repeat(60 * 1024));
    bench.enqueue((1..=5).map(plain).collect()).await;
    bench.enqueue(vec![fed_by_all(6, &[1, 2, 3, 4]), fed_by_all(7, &[1, 2, 3, 4, 5])]).await;
    for parent in bench.take(1, 10).await {
        bench.end_at(&parent, Fate::Over, text(&long), 2).await;
    }
    assert_eq!(numbers(&bench.take(2, 10).await), [6]);
    let cancelled = bench.run_status(7).await.unwrap();
    assert_eq!(cancelled.end, Some(RunEnd::Cancelled));
    assert!(cancelled.last_error.unwrap().contains("longer than 256 KB"));
}

async fn a_batch_can_be_stored_together_with_its_runs(bench) {
    let mut second = member(2, BATCH);
    second.after = vec![Edge::new(id(1), Condition::Success)];
    let mut inner = whole(INNER);
    inner.batch = member(0, BATCH).batch;
    bench.enqueue(vec![whole(BATCH), inner, member(1, BATCH), second, member(3, INNER)]).await;
    let refused = bench.store.enqueue(vec![member(4, BATCH)]).await.unwrap_err();
    assert!(refused.is_conflict(), "it is sealed: {refused}");
    assert_eq!(bench.end_of(BATCH).await, None);
    assert_eq!(bench.run_all(over).await, [1, 2, 3]);
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
    assert_eq!(bench.counts(BATCH).await.succeeded, 3, "two runs and a batch");
}

/// A caller that has had no answer repeats its call after some of the runs, or all of them, have ended.
async fn a_repeated_call_that_opens_a_batch_stores_nothing(bench) {
    let mut second = member(2, BATCH);
    second.after = vec![Edge::new(id(1), Condition::Success)];
    let call = vec![whole(BATCH), member(1, BATCH), second];
    bench.enqueue(call.clone()).await;
    bench.end(&bench.take_one(1).await, Fate::Over).await;
    for _ in 0..2 {
        let again = bench.store.enqueue(call.clone()).await.unwrap();
        assert_eq!(again, [BATCH, 1, 2].map(|number| Enqueued::Existing(id(number))));
        bench.run_all(over).await;
    }
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
    let counts = bench.counts(BATCH).await;
    assert_eq!((counts.total, counts.succeeded), (2, 2));
}

async fn an_empty_batch_that_is_stored_as_a_whole_succeeds(bench) {
    bench.enqueue(vec![whole(BATCH)]).await;
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
}

async fn the_runs_of_a_held_batch_wait_until_it_is_sealed(bench) {
    bench.enqueue(held()).await;
    bench.enqueue((1..=MANY).map(|number| member(number, BATCH)).collect()).await;
    let mut inner = batch(INNER, None);
    inner.batch = member(0, BATCH).batch;
    bench.enqueue(vec![inner, member(50, INNER)]).await;
    bench.seal(INNER).await;
    assert!(bench.takes_nothing(1).await, "nothing begins before");
    bench.seal(BATCH).await;
    assert_eq!(bench.run_all(over).await, (1..=MANY).chain([50]).collect::<Vec<_>>());
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
    let counts = bench.counts(BATCH).await;
    assert_eq!((counts.total, counts.succeeded), (31, 31), "what they wait for is none of them");
}

async fn the_runs_of_a_held_batch_in_a_held_batch_wait_for_both(bench) {
    bench.enqueue(held()).await;
    let mut inner = batch(INNER, None);
    inner.opens.as_mut().unwrap().start = Some(id(START + 1));
    inner.batch = member(0, BATCH).batch;
    bench.enqueue(vec![batch(START + 1, None), inner, member(1, INNER)]).await;
    bench.seal(INNER).await;
    bench.settle().await;
    assert!(bench.takes_nothing(1).await, "the outer batch is open");
    bench.seal(BATCH).await;
    assert_eq!(bench.run_all(over).await, [1]);
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
}

async fn what_the_runs_of_an_inner_batch_wait_for_is_cancelled_with_the_outer_one(bench) {
    let mut inner = batch(INNER, None);
    inner.opens.as_mut().unwrap().start = Some(id(START));
    inner.batch = member(0, BATCH).batch;
    bench.enqueue(vec![batch(BATCH, None), batch(START, None), inner, member(1, INNER)]).await;
    assert_eq!(bench.change(&[BATCH], RunChange::Cancel).await, [RunChanged::Done]);
    for batch in [BATCH, INNER, START] {
        assert_eq!(bench.end_of(batch).await, Some(RunEnd::Cancelled), "{batch}");
    }
}

async fn a_run_that_takes_the_place_of_another_one_waits_for_its_held_batch(bench) {
    let keyed = |mut run: NewRun| {
        let unique = Unique::key("a");
        let replace = Conflict::Replace { data: true, of: None };
        run.unique = Some(Box::new(NewKey::new(unique.stored("work", at(1)), replace, at(1))));
        run
    };
    bench.enqueue(vec![keyed(plain(1))]).await;
    bench.enqueue(held()).await;
    let mut new = keyed(member(2, BATCH));
    new.data = JobData::from_args(&2).unwrap();
    bench.store.enqueue(vec![new]).await.unwrap();
    assert!(bench.run_status(1).await.unwrap().data.is_empty(), "the batch may never be sealed");
}

async fn a_call_that_opens_batches_is_checked_like_any_other(bench) {
    let mut after = member(1, INNER);
    after.after = vec![Edge::new(id(BATCH), Condition::Any)];
    let mut inner = whole(INNER);
    inner.batch = member(0, BATCH).batch;
    let refused = bench.store.enqueue(vec![whole(BATCH), inner.clone(), after.clone()]).await.unwrap_err();
    assert!(refused.is_conflict() && refused.to_string().contains("waits for it"), "{refused}");
    bench.enqueue(vec![batch(BATCH, None)]).await;
    let refused = bench.store.enqueue(vec![inner, after]).await.unwrap_err();
    assert!(refused.is_conflict() && refused.to_string().contains("waits for it"), "{refused}");
    let nested = (0..10).map(|depth: u64| {
        let mut nested = whole(2000 + depth);
        nested.batch = depth.checked_sub(1).and_then(|outer| member(0, 2000 + outer).batch);
        nested
    });
    let nested: Vec<_> = nested.collect();
    let refused = bench.store.enqueue(nested.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("8 levels"), "{refused}");
    bench.enqueue(nested.into_iter().take(9).collect()).await;
}

async fn a_held_batch_that_is_cancelled_leaves_nothing_that_waits(bench) {
    bench.enqueue(held()).await;
    bench.enqueue((1..=MANY).map(|number| member(number, BATCH)).collect()).await;
    assert_eq!(bench.change(&[BATCH], RunChange::Cancel).await, [RunChanged::Done]);
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Cancelled));
    assert_eq!(bench.end_of(START).await, Some(RunEnd::Cancelled));
    assert!(bench.takes_nothing(9).await);
    assert_eq!(bench.counts(BATCH).await.cancelled, i64::try_from(MANY).unwrap());
}

/// celery/celery#1700: the author of a batch is killed while it fills it.
async fn a_batch_that_nobody_seals_in_time_is_cancelled(bench) {
    let open_for = |number| {
        let mut open = batch(number, None);
        open.opens.as_mut().unwrap().open_until = Some(at(60));
        open
    };
    bench.enqueue(vec![open_for(BATCH), member(1, BATCH), open_for(INNER), member(2, INNER)]).await;
    bench.seal(INNER).await;
    bench.take(59, 0).await;
    assert_eq!(bench.run_status(BATCH).await.unwrap().end, None);
    for _ in 0..20 {
        bench.take(60, 0).await;
    }
    assert_eq!(bench.run_status(BATCH).await.unwrap().end, Some(RunEnd::Cancelled));
    assert_eq!(numbers(&bench.taken(60).await), [2], "the other one was sealed");
}

async fn a_batch_can_stop_at_the_first_death(bench) {
    let mut root = whole(BATCH);
    root.opens.as_mut().unwrap().stops_on_death = true;
    let mut last = member(4, BATCH);
    last.due = at(100);
    bench.enqueue(vec![root, member(1, BATCH), member(2, BATCH), last]).await;
    let taken = bench.take(1, 10).await;
    assert_eq!(numbers(&taken), [1, 2]);
    bench.end(&taken[0], Fate::Dead { error: Some(error("no")) }).await;
    bench.settle().await;
    assert_eq!(bench.run_status(4).await.unwrap().end, Some(RunEnd::Cancelled));
    assert_eq!(bench.end_of(BATCH).await, None, "one is under way");
    bench.end(&taken[1], Fate::Over).await;
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Incomplete), "it was not cancelled by a person");
}

}
