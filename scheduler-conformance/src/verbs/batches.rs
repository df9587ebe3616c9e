//! Batches: their counters, who adds runs, when they end, and what follows.

use std::time::Duration;

use scheduler_core::run::{BatchCounts, Condition, Edge, RunEnd, RunId, RunState, Unique};
use scheduler_core::store::batches::{InBatch, NewBatch};
use scheduler_core::store::*;

use super::running::{error, id, numbers};
use crate::bench::*;

/// The batch, and the runs that tell of it.
const BATCH: u64 = 1000;
const COMPLETE: u64 = 1001;
const SUCCESS: u64 = 1002;
const DEATH: u64 = 1003;

const DEAD: Fate = Fate::Dead { error: None };

fn plain(number: u64) -> NewRun {
    super::running::run(number, &job("work").build(), 1)
}

pub(super) fn member(number: u64, batch: u64) -> NewRun {
    let mut run = plain(number);
    run.batch = Some(InBatch::member(id(batch), None));
    run
}

fn by(number: u64, batch: u64, by: u64) -> NewRun {
    let mut run = plain(number);
    run.batch = Some(InBatch::member(id(batch), Some(id(by))));
    run
}

pub(super) fn batch(number: u64, on_death: Option<u64>) -> NewRun {
    let mut run = plain(number);
    run.opens = Some(NewBatch::new(on_death.map(id)));
    run
}

fn callback(number: u64, on: Condition) -> NewRun {
    let mut run = plain(number);
    run.batch = Some(InBatch::callback(id(BATCH)));
    run.after = vec![Edge::new(id(BATCH), on)];
    run
}

fn of(id: RunId) -> Option<RunQuery> {
    Some(RunQuery::one(id))
}

impl Bench {
    /// Opens a batch with a run for each event.
    async fn open_batch(&self) {
        let callbacks = [
            callback(COMPLETE, Condition::Any),
            callback(SUCCESS, Condition::Success),
            callback(DEATH, Condition::Death),
        ];
        let call = std::iter::once(batch(BATCH, Some(DEATH))).chain(callbacks).collect();
        self.enqueue(call).await;
    }

    pub(super) async fn seal(&self, batch: u64) {
        assert_eq!(self.change(&[batch], RunChange::Seal).await, [RunChanged::Done]);
    }

    /// Looks until nothing rings any more.
    pub(super) async fn settle(&self) {
        for _ in 0..20 {
            self.ask(ONE, 1, 0, QueueLimits::default()).await;
        }
    }

    pub(super) async fn counts(&self, batch: u64) -> BatchCounts {
        let counts = self.run_status(batch).await.unwrap().batch.unwrap().counts;
        let sum: i64 = counts.numbers()[1..].iter().sum();
        assert_eq!(sum, counts.total, "{counts:?}");
        counts
    }

    pub(super) async fn end_of(&self, batch: u64) -> Option<RunEnd> {
        self.settle().await;
        let status = self.store.all_runs(of(id(batch)).unwrap()).await.unwrap().pop();
        status.and_then(|run| run.end)
    }

    /// Runs what is due, so that each run ends like this. The numbers of the runs, in order.
    pub(super) async fn run_all(&self, fate: impl Fn(u64) -> Fate) -> Vec<u64> {
        let (mut ran, mut idle) = (Vec::new(), 0);
        while idle < 20 {
            let taken = self.take(1, 50).await;
            idle = if taken.is_empty() { idle + 1 } else { 0 };
            for run in &taken {
                ran.push(run.run.count());
                self.end(run, fate(run.run.count())).await;
            }
        }
        ran.sort_unstable();
        ran
    }
}

fn over(_: u64) -> Fate {
    Fate::Over
}

checks! { ($) batches, __store_checks_of_batches;

async fn a_batch_ends_with_its_last_run_and_tells_of_it_once(bench) {
    bench.open_batch().await;
    bench.enqueue((1..=3).map(|number| member(number, BATCH)).collect()).await;
    bench.seal(BATCH).await;
    let status = bench.run_status(BATCH).await.unwrap();
    assert_eq!((status.state, status.batch.unwrap().is_sealed), (RunState::Held, true));
    let taken = bench.take(1, 10).await;
    assert_eq!(numbers(&taken), [1, 2, 3], "no node takes the batch itself");
    bench.end(&taken[0], Fate::Over).await;
    bench.end(&taken[1], Fate::Over).await;
    let counts = bench.counts(BATCH).await;
    assert_eq!((counts.total, counts.pending, counts.succeeded), (3, 1, 2));
    assert_eq!(bench.end_of(BATCH).await, None);
    bench.end(&taken[2], Fate::Over).await;
    assert_eq!(bench.run_all(over).await, [COMPLETE, SUCCESS]);
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
    assert_eq!(bench.run_all(over).await, [0; 0], "once");
}

/// bensheldon/good_job#832: as many callbacks as jobs. sidekiq/sidekiq#4361: pending below zero.
async fn a_repeated_end_counts_once(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH), member(2, BATCH)]).await;
    bench.seal(BATCH).await;
    let taken = bench.take(1, 10).await;
    for _ in 0..3 {
        bench.end(&taken[0], Fate::Over).await;
    }
    assert_eq!(bench.counts(BATCH).await.pending, 1);
    for _ in 0..3 {
        bench.end(&taken[1], Fate::Over).await;
        bench.settle().await;
    }
    assert_eq!(bench.counts(BATCH).await.pending, 0);
    assert_eq!(bench.run_all(over).await, [COMPLETE, SUCCESS]);
}

/// sidekiq/sidekiq#5903: an empty batch never ended.
async fn an_empty_batch_succeeds_when_it_is_sealed(bench) {
    bench.open_batch().await;
    assert_eq!(bench.end_of(BATCH).await, None, "it is open");
    bench.seal(BATCH).await;
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
    assert_eq!(bench.run_all(over).await, [COMPLETE, SUCCESS]);
}

async fn a_batch_that_is_open_does_not_end(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH)]).await;
    assert_eq!(bench.run_all(over).await, [1]);
    assert_eq!(bench.end_of(BATCH).await, None);
    bench.enqueue(vec![member(2, BATCH)]).await;
    bench.seal(BATCH).await;
    assert_eq!(bench.run_all(over).await, [2, COMPLETE, SUCCESS]);
}

/// sidekiq/sidekiq#2333: a member that was deleted by hand kept its batch open for ever.
async fn each_way_to_end_counts_once(bench) {
    bench.open_batch().await;
    let mut expiring = member(5, BATCH);
    expiring.expires = Some(Duration::ZERO);
    let mut runs: Vec<_> = (1..=4).map(|number| member(number, BATCH)).collect();
    runs.push(expiring);
    bench.enqueue(runs).await;
    bench.seal(BATCH).await;
    bench.change(&[3], RunChange::Cancel).await;
    bench.change(&[4], RunChange::Delete).await;
    let ran = bench.run_all(|number| if number == 1 { DEAD } else { Fate::Over }).await;
    assert_eq!(ran, [1, 2, COMPLETE, DEATH]);
    let counts = bench.counts(BATCH).await;
    assert_eq!(counts, BatchCounts::of([5, 0, 1, 0, 1, 2, 1, 0]));
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Incomplete));
}

async fn the_first_death_is_told_once_and_at_once(bench) {
    bench.open_batch().await;
    bench.enqueue((1..=3).map(|number| member(number, BATCH)).collect()).await;
    let taken = bench.take(1, 10).await;
    bench.end(&taken[0], DEAD).await;
    bench.end(&taken[1], DEAD).await;
    assert_eq!(bench.run_all(over).await, [DEATH]);
    bench.end(&taken[2], DEAD).await;
    bench.seal(BATCH).await;
    assert_eq!(bench.run_all(over).await, [COMPLETE]);
}

/// bensheldon/good_job#1450: a retry that succeeded in the end told nobody.
async fn a_replay_reopens_the_batch_and_only_success_is_still_told(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH), member(2, BATCH)]).await;
    bench.seal(BATCH).await;
    assert_eq!(bench.run_all(|number| if number == 1 { DEAD } else { Fate::Over }).await, [1, 2, COMPLETE, DEATH]);
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Incomplete));
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    let counts = bench.counts(BATCH).await;
    assert_eq!((counts.pending, counts.dead), (1, 0));
    assert_eq!(bench.end_of(BATCH).await, None, "it has not ended after all");
    assert_eq!(bench.run_all(over).await, [1, SUCCESS]);
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
}

/// sidekiq/sidekiq#6889: an interruption is no end.
async fn what_is_attempted_again_is_pending(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH)]).await;
    bench.seal(BATCH).await;
    for counts in [false, true] {
        let taken = bench.take_one(1).await;
        bench.end(&taken, Fate::Again { at: at(1), counts, error: Some(error("no")) }).await;
        assert_eq!(bench.counts(BATCH).await.pending, 1);
    }
    let taken = bench.take_one(1).await;
    bench.store.release(vec![taken.claim]).await.unwrap();
    assert_eq!(bench.counts(BATCH).await.pending, 1);
    assert_eq!(bench.run_all(over).await, [1, COMPLETE, SUCCESS]);
}

async fn a_sealed_batch_takes_runs_of_its_own_runs_only(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH), plain(9)]).await;
    bench.seal(BATCH).await;
    for stranger in [member(2, BATCH), by(2, BATCH, 9), by(2, BATCH, 77)] {
        let error = bench.store.enqueue(vec![stranger]).await.unwrap_err();
        assert!(error.is_conflict() && error.to_string().contains("is sealed"), "{error}");
    }
    let taken = bench.take(1, 10).await;
    bench.enqueue(vec![by(2, BATCH, 1)]).await;
    bench.end(&taken[0], Fate::Over).await;
    assert_eq!(bench.end_of(BATCH).await, None, "the run that was added is pending");
    assert!(bench.store.enqueue(vec![by(3, BATCH, 1)]).await.is_err(), "1 has ended");
    assert_eq!(bench.run_all(over).await, [2, COMPLETE, SUCCESS]);
    let error = bench.store.enqueue(vec![member(4, BATCH)]).await.unwrap_err();
    assert!(error.to_string().contains("has ended"), "{error}");
    let error = bench.store.enqueue(vec![member(4, 4000)]).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

/// celery/celery#1700: an author that was killed while it filled. Whoever does it again adds what is missing.
async fn a_repeated_fill_adds_what_is_missing(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH), member(2, BATCH)]).await;
    let again = bench.store.enqueue((1..=3).map(|number| member(number, BATCH)).collect()).await.unwrap();
    assert_eq!(again, [Enqueued::Existing(id(1)), Enqueued::Existing(id(2)), Enqueued::Created]);
    assert_eq!(bench.counts(BATCH).await.total, 3);
}

async fn a_run_whose_key_is_taken_is_skipped_and_does_not_count_against_success(bench) {
    let keyed = |number| {
        let mut run = member(number, BATCH);
        let key = Unique::key("a").stored("work", at(0));
        run.unique = Some(Box::new(NewKey::new(key, Conflict::Skip, at(0))));
        run
    };
    bench.open_batch().await;
    bench.store.enqueue(vec![keyed(1), keyed(2)]).await.unwrap();
    let counts = bench.counts(BATCH).await;
    assert_eq!((counts.total, counts.pending, counts.skipped), (2, 1, 1));
    bench.seal(BATCH).await;
    assert_eq!(bench.run_all(over).await, [1, COMPLETE, SUCCESS]);
}

/// HangfireIO/Hangfire#2348: a continuation in a batch that was cancelled stayed pending.
async fn a_cancelled_continuation_in_a_batch_counts(bench) {
    bench.open_batch().await;
    let mut child = member(2, BATCH);
    child.after = vec![Edge::new(id(1), Condition::Success)];
    bench.enqueue(vec![member(1, BATCH), child]).await;
    bench.seal(BATCH).await;
    assert_eq!(bench.run_all(|number| if number == 1 { DEAD } else { Fate::Over }).await, [1, COMPLETE, DEATH]);
    assert_eq!(bench.counts(BATCH).await, BatchCounts::of([2, 0, 0, 0, 1, 1, 0, 0]));
    bench.change(&[1], RunChange::replay()).await;
    assert_eq!(bench.counts(BATCH).await.pending, 2, "both come back");
    assert_eq!(bench.run_all(over).await, [1, 2, SUCCESS]);
}

/// Oban forum 75929: what waited for a nested batch ran early.
async fn a_batch_in_a_batch_is_one_of_its_runs(bench) {
    bench.open_batch().await;
    let mut inner = batch(500, None);
    inner.batch = Some(InBatch::member(id(BATCH), None));
    let mut waiting = member(501, BATCH);
    waiting.after = vec![Edge::new(id(500), Condition::Success)];
    bench.enqueue(vec![inner, waiting]).await;
    bench.enqueue(vec![member(1, 500), member(2, 500)]).await;
    bench.seal(BATCH).await;
    let taken = bench.take(1, 10).await;
    assert_eq!(numbers(&taken), [1, 2]);
    bench.seal(500).await;
    bench.end(&taken[0], Fate::Over).await;
    bench.end(&taken[1], DEAD).await;
    bench.settle().await;
    let counts = bench.counts(BATCH).await;
    assert_eq!((counts.total, counts.dead, counts.cancelled), (2, 1, 1), "a batch that has failed counts as dead");
    assert_eq!(bench.run_all(over).await, [COMPLETE, DEATH]);
    bench.change(&[2], RunChange::replay()).await;
    bench.settle().await;
    assert_eq!((bench.counts(BATCH).await.pending, bench.counts(500).await.pending), (2, 1));
    assert_eq!(bench.run_all(over).await, [2, 501, SUCCESS]);
}

async fn batches_are_in_each_other_up_to_eight_levels_deep(bench) {
    for level in 0..=8 {
        let mut inner = batch(500 + level, None);
        inner.batch = (level > 0).then(|| InBatch::member(id(499 + level), None));
        bench.enqueue(vec![inner]).await;
    }
    let mut deeper = batch(509, None);
    deeper.batch = Some(InBatch::member(id(508), None));
    let error = bench.store.enqueue(vec![deeper]).await.unwrap_err();
    assert!(error.to_string().contains("8 levels"), "{error}");
    for level in 0..=8 {
        bench.seal(500 + level).await;
    }
    assert_eq!(bench.end_of(500).await, Some(RunEnd::Succeeded));
}

async fn a_cancelled_batch_ends_when_what_runs_has_stopped(bench) {
    bench.open_batch().await;
    bench.enqueue((1..=40).map(|number| member(number, BATCH)).collect()).await;
    let taken = bench.take(1, 2).await;
    assert_eq!(bench.change(&[BATCH], RunChange::Cancel).await, [RunChanged::Done]);
    let error = bench.store.enqueue(vec![by(50, BATCH, 1)]).await.unwrap_err();
    assert!(error.to_string().contains("was cancelled"), "{error}");
    bench.settle().await;
    let asked: Vec<_> = bench.cancelled(ONE, 1).await.iter().map(|(claim, _)| *claim).collect();
    assert_eq!(asked, [taken[0].claim, taken[1].claim]);
    let counts = bench.counts(BATCH).await;
    assert_eq!((counts.pending, counts.cancelled), (2, 38));
    assert_eq!(bench.end_of(BATCH).await, None);
    bench.end(&taken[0], Fate::Cancelled).await;
    bench.end(&taken[1], Fate::Over).await;
    assert_eq!(bench.run_all(over).await, [COMPLETE]);
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Cancelled));
    assert_eq!(bench.counts(BATCH).await.succeeded, 1, "it has done its work all the same");
}

/// sidekiq/sidekiq#2889: a batch was gone before its runs.
async fn a_batch_is_kept_while_it_is_open_and_for_a_while_after_its_end(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH)]).await;
    bench.seal(BATCH).await;
    bench.ask(ONE, -1, 0, QueueLimits::default()).await;
    assert_eq!(bench.run_all(over).await, [1, COMPLETE, SUCCESS]);
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
    let kept = bench.run_status(BATCH).await.unwrap().kept_until.unwrap();
    assert_eq!(kept, at(1) + chrono::TimeDelta::days(7));
    bench.ask(ONE, 8 * 86_400, 0, QueueLimits::default()).await;
    bench.ask(ONE, 8 * 86_400, 0, QueueLimits::default()).await;
    assert!(bench.run_status(BATCH).await.is_none());
}

async fn the_runs_of_a_batch_are_listed(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH), member(2, BATCH), plain(3)]).await;
    let query = RunQuery::default().of_batch(id(BATCH));
    let mut found: Vec<_> = bench.store.all_runs(query).await.unwrap().iter().map(|run| run.id.count()).collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
}

async fn a_page_of_a_batch_looks_at_no_other_runs(bench) {
    bench.open_batch().await;
    bench.enqueue((100..400).map(plain).collect()).await;
    bench.enqueue((1..=20).map(|number| member(number, BATCH)).collect()).await;
    bench.change(&[3], RunChange::Cancel).await;
    bench.change(&[4], RunChange::Hold).await;
    let mut query = RunQuery::default().of_batch(id(BATCH));
    query.limit = Some(7);
    let (mut found, mut looked_at) = (Vec::new(), 0);
    loop {
        let page = bench.store.runs(query.clone()).await.unwrap();
        found.extend(page.items.iter().map(|run| run.id.count()));
        looked_at += page.looked_at;
        assert!(page.items.len() <= 7 && looked_at <= 100, "{found:?}, looked at {looked_at}");
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    found.sort_unstable();
    assert_eq!(found, (1..=20).collect::<Vec<_>>());
    let held = RunQuery::default().of_batch(id(BATCH)).in_state(RunState::Held);
    assert_eq!(bench.store.all_runs(held).await.unwrap().len(), 1);
}

async fn a_batch_is_no_run_that_could_be_run(bench) {
    bench.open_batch().await;
    for change in [RunChange::Release, RunChange::Hold, RunChange::replay(), RunChange::Delete, RunChange::edit(RunEdit::new())] {
        let changed = bench.change(&[BATCH], change.clone()).await;
        assert_eq!(changed, [RunChanged::Refused(RunState::Held)], "{change:?}");
    }
    bench.enqueue(vec![plain(1)]).await;
    assert_eq!(bench.change(&[1], RunChange::Seal).await, [RunChanged::Refused(RunState::Waiting)]);
}

async fn a_batch_that_is_cancelled_again_reaches_its_replayed_runs(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH)]).await;
    let taken = bench.take_one(1).await;
    bench.change(&[BATCH], RunChange::Cancel).await;
    bench.settle().await;
    bench.end(&taken, Fate::Cancelled).await;
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Cancelled));
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.end_of(BATCH).await, None);
    bench.change(&[BATCH], RunChange::Cancel).await;
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Cancelled));
    assert_eq!(bench.run_status(1).await.unwrap().end, Some(RunEnd::Cancelled));
}

/// It would wait for the batch, and the batch for it.
async fn a_run_does_not_wait_for_the_batch_that_it_is_in(bench) {
    bench.open_batch().await;
    let mut inner = batch(500, None);
    inner.batch = Some(InBatch::member(id(BATCH), None));
    bench.enqueue(vec![inner]).await;
    for (of, after) in [(BATCH, BATCH), (500, 500), (500, BATCH)] {
        let mut run = member(1, of);
        run.after = vec![Edge::new(id(after), Condition::Any)];
        let error = bench.store.enqueue(vec![run]).await.unwrap_err();
        assert!(error.to_string().contains("waits for the batch that it is in"), "{error}");
    }
    let mut run = member(1, BATCH);
    run.after = vec![Edge::new(id(500), Condition::Any)];
    assert_eq!(bench.store.enqueue(vec![run]).await.unwrap(), [Enqueued::Created], "an inner one ends first");
}

/// Another run takes the id of a cancelled one.
async fn the_id_of_a_cancelled_run_opens_no_batch(bench) {
    bench.open_batch().await;
    bench.seal(BATCH).await;
    bench.enqueue(vec![plain(1)]).await;
    bench.change(&[1], RunChange::Cancel).await;
    let error = bench.store.enqueue(vec![member(1, BATCH)]).await.unwrap_err();
    assert!(error.to_string().contains("cannot be added to batch"), "{error}");
}

async fn whoever_waits_for_a_batch_is_told_of_its_end(bench) {
    bench.open_batch().await;
    let signal = bench.store.listen(id(BATCH));
    bench.seal(BATCH).await;
    assert_eq!(bench.end_of(BATCH).await, Some(RunEnd::Succeeded));
    assert!(tokio::time::timeout(Duration::from_secs(60), signal).await.is_ok());
}

/// A person has released the run of the first death, and has held it again.
async fn a_death_does_not_let_go_what_a_person_holds(bench) {
    bench.open_batch().await;
    bench.enqueue(vec![member(1, BATCH)]).await;
    bench.change(&[DEATH], RunChange::Release).await;
    bench.change(&[DEATH], RunChange::Hold).await;
    bench.end(&bench.take_one(1).await, DEAD).await;
    bench.settle().await;
    assert_eq!(bench.run_status(DEATH).await.unwrap().state, RunState::Held);
}
}
