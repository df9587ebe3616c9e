//! What attempts note and runs leave behind: how far they have got, what they have returned, how long that is kept, and who is told.

use std::sync::Arc;
use std::time::Duration;

use scheduler_core::JobData;
use scheduler_core::job::ExecutionId;
use scheduler_core::run::{RunEnd, RunState, Unique};
use scheduler_core::store::*;

use super::running::{error, id, run};
use crate::bench::*;

/// A run that is kept for so many seconds.
fn kept(number: u64, due: i64, keep: u64) -> NewRun {
    let mut run = run(number, &job("work").build(), due);
    run.keep = Some(Duration::from_secs(keep));
    run
}

fn text(text: &str) -> Option<Arc<str>> {
    Some(text.into())
}

fn again(seconds: i64) -> Fate {
    Fate::Again { at: at(seconds), counts: true, error: Some(error("no")) }
}

impl Bench {
    /// Ends an attempt at this time.
    pub(super) async fn end_at(&self, run: &AcquiredRun, fate: Fate, output: Option<Arc<str>>, seconds: i64) {
        let completion = Completion { fate, output, ..Completion::of(run.claim) };
        let request = Complete { now: at(seconds), executions: vec![completion] };
        let done = CompleteResult::Done { trigger_removed: false, job_removed: false };
        assert_eq!(self.store.complete(request).await.unwrap(), [done]);
    }

    async fn ended(&self, number: u64) -> Option<(RunEnd, Option<Arc<str>>)> {
        let status = self.run_status(number).await?;
        Some((status.end?, status.output))
    }

    async fn note(&self, notes: &[(ExecutionId, &str)]) -> Vec<bool> {
        let notes = notes.iter().map(|(claim, text)| RunNote::checkpoint(*claim, *text)).collect();
        self.store.note(notes).await.unwrap()
    }

    /// Ends an attempt that has got so far.
    async fn end_noting(&self, run: &AcquiredRun, fate: Fate, checkpoint: &str) {
        let completion = Completion { fate, checkpoint: text(checkpoint), ..Completion::of(run.claim) };
        self.complete_as(completion).await;
    }

    /// Waits for a signal, for as long as a store may take to send one.
    async fn is_told(&self, signal: EndSignal) -> bool {
        tokio::time::timeout(Duration::from_secs(5), signal).await.is_ok()
    }
}

checks! { ($) notes, __store_checks_of_notes;

async fn a_run_that_is_kept_shows_its_output_until_its_time_is_over(bench) {
    bench.enqueue(vec![kept(1, 1, 60)]).await;
    let taken = bench.take_one(1).await;
    bench.end_at(&taken, Fate::Over, text("{\"sum\":5}"), 10).await;
    assert_eq!(bench.ended(1).await, Some((RunEnd::Succeeded, text("{\"sum\":5}"))));
    assert_eq!(bench.run_status(1).await.unwrap().kept_until, Some(at(70)));
    assert!(bench.take(69, 10).await.is_empty(), "it has ended");
    assert!(bench.run_status(1).await.is_some());
    bench.take(70, 10).await;
    assert!(bench.run_status(1).await.is_none(), "its time is over");
}

async fn an_output_without_a_run_that_is_kept_leaves_nothing(bench) {
    let zero = kept(2, 1, 0);
    bench.enqueue(vec![run(1, &job("work").build(), 1), zero]).await;
    for taken in bench.take(1, 10).await {
        bench.end_at(&taken, Fate::Over, text("5"), 2).await;
    }
    assert!(bench.all_runs().await.is_empty());
}

async fn a_run_that_is_kept_without_output_has_none(bench) {
    bench.enqueue(vec![kept(1, 1, 60)]).await;
    bench.end_at(&bench.take_one(1).await, Fate::Over, None, 2).await;
    assert_eq!(bench.ended(1).await, Some((RunEnd::Succeeded, None)));
}

async fn a_discarded_run_is_kept_as_such(bench) {
    bench.enqueue(vec![kept(1, 1, 60), run(2, &job("work").build(), 1)]).await;
    for taken in bench.take(1, 10).await {
        bench.end_at(&taken, Fate::Discarded, None, 2).await;
    }
    assert_eq!(bench.ended(1).await, Some((RunEnd::Discarded, None)));
    assert!(bench.run_status(2).await.is_none(), "nobody has asked for it");
}

/// A job of which a run is to be kept for longer than its kind of end, and for less.
async fn a_run_is_kept_for_the_longer_of_two_times(bench) {
    let day = 86_400;
    bench.enqueue(vec![kept(1, 1, 60), kept(2, 1, 3 * 86_400)]).await;
    let taken = bench.take(1, 10).await;
    let request = ChangeRuns::new(vec![id(1), id(2)], RunChange::Cancel, at(2));
    bench.store.change_runs(request).await.unwrap();
    for one in &taken {
        bench.end_at(one, Fate::Cancelled, None, 2).await;
    }
    assert_eq!(bench.run_status(1).await.unwrap().kept_until, Some(at(2 + day)));
    assert_eq!(bench.run_status(2).await.unwrap().kept_until, Some(at(2 + 3 * day)));
}

async fn an_id_that_is_kept_is_not_used_again(bench) {
    bench.enqueue(vec![kept(1, 1, 60)]).await;
    bench.end_at(&bench.take_one(1).await, Fate::Over, text("1"), 2).await;
    let again = bench.store.enqueue(vec![kept(1, 3, 60)]).await.unwrap();
    assert_eq!(again, [Enqueued::Existing(id(1))], "a caller that repeats a call finds the result");
    assert_eq!(bench.ended(1).await, Some((RunEnd::Succeeded, text("1"))));
}

async fn a_replay_forgets_what_was_returned(bench) {
    bench.enqueue(vec![kept(1, 1, 60)]).await;
    bench.end_at(&bench.take_one(1).await, Fate::Over, text("1"), 2).await;
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.run_status(1).await.unwrap().output, None);
    bench.end_at(&bench.take_one(5).await, Fate::Over, None, 6).await;
    assert_eq!(bench.ended(1).await, Some((RunEnd::Succeeded, None)));
}

async fn a_retry_keeps_what_was_asked_for(bench) {
    bench.enqueue(vec![kept(1, 1, 60)]).await;
    bench.end_at(&bench.take_one(1).await, again(5), None, 2).await;
    bench.end_at(&bench.take_one(5).await, Fate::Over, text("2"), 6).await;
    assert_eq!(bench.ended(1).await, Some((RunEnd::Succeeded, text("2"))));
}

/// However it ends: by its attempt, by somebody, by the clock, or by being removed.
async fn whoever_waits_for_a_run_is_told_of_its_end(bench) {
    let mut expires = kept(4, 5, 60);
    expires.expires = Some(Duration::from_secs(1));
    bench.enqueue(vec![kept(1, 1, 60), kept(2, 9, 60), kept(3, 9, 60), expires]).await;
    let signal = bench.store.listen(id(1));
    bench.end_at(&bench.take_one(1).await, Fate::Over, text("1"), 2).await;
    assert!(bench.is_told(signal).await, "its attempt has ended");

    let signal = bench.store.listen(id(2));
    assert_eq!(bench.change(&[2], RunChange::Cancel).await, [RunChanged::Done]);
    assert!(bench.is_told(signal).await, "it was cancelled");
    let signal = bench.store.listen(id(3));
    assert_eq!(bench.change(&[3], RunChange::Delete).await, [RunChanged::Done]);
    assert!(bench.is_told(signal).await, "it was removed");
    let signal = bench.store.listen(id(4));
    bench.take(7, 10).await;
    assert!(bench.is_told(signal).await, "it has expired");
    assert_eq!(bench.run_status(4).await.unwrap().state, RunState::Ended);
}

async fn a_long_output_comes_back_whole_and_stands_in_no_list(bench) {
    let long: Arc<str> = format!("\"{}\"", "ä".repeat(32_767)).into();
    assert_eq!(long.len(), scheduler_core::run::MAX_OUTPUT);
    bench.enqueue(vec![kept(1, 1, 60)]).await;
    bench.end_at(&bench.take_one(1).await, Fate::Over, Some(long.clone()), 2).await;
    assert_eq!(bench.ended(1).await, Some((RunEnd::Succeeded, Some(long))));
    let listed = bench.store.all_runs(RunQuery::default().in_state(RunState::Ended)).await.unwrap();
    assert_eq!(listed.iter().map(|run| run.output.clone()).collect::<Vec<_>>(), [None]);
    let query = RunQuery::default().in_state(RunState::Ended).with_output();
    assert!(bench.store.all_runs(query).await.unwrap()[0].output.is_some(), "unless somebody asks for it");
}

async fn a_checkpoint_comes_with_the_next_attempt(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let first = bench.take_one(1).await;
    assert_eq!(first.checkpoint, None);
    assert_eq!(bench.note(&[(first.claim, "7")]).await, [true]);
    assert_eq!(bench.note(&[(first.claim, "8")]).await, [true], "the latest one holds");
    assert_eq!(bench.run_status(1).await.unwrap().checkpoint, text("8"));
    bench.end_at(&first, again(5), None, 2).await;
    let second = bench.take_one(5).await;
    assert_eq!((second.attempt, second.checkpoint.clone()), (2, text("8")));
    bench.end_at(&second, Fate::Over, None, 6).await;
    assert!(bench.all_runs().await.is_empty(), "a run that succeeds leaves nothing");
}

async fn the_end_of_an_attempt_brings_its_checkpoint(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let first = bench.take_one(1).await;
    bench.note(&[(first.claim, "7")]).await;
    bench.end_noting(&first, again(5), "9").await;
    let second = bench.take_one(5).await;
    assert_eq!(second.checkpoint, text("9"));
    bench.end_at(&second, again(7), None, 6).await;
    assert_eq!(bench.take_one(7).await.checkpoint, text("9"), "an attempt that notes nothing keeps it");
}

/// What has died is replayed from where it was.
async fn a_replay_goes_on_from_the_checkpoint(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let first = bench.take_one(1).await;
    bench.end_noting(&first, Fate::Dead { error: Some(error("no")) }, "9").await;
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    let replay = bench.take_one(3).await;
    assert_eq!((replay.attempt, replay.checkpoint), (1, text("9")));
}

/// A node that was frozen and wakes cannot turn the cursor back.
async fn a_claim_that_is_gone_notes_nothing(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let frozen = bench.take_one(1).await;
    bench.note(&[(frozen.claim, "1")]).await;
    bench.store.release(vec![frozen.claim]).await.unwrap();
    assert_eq!(bench.note(&[(frozen.claim, "0")]).await, [false], "nobody has the run");
    let other = bench.ask(TWO, 1, 1, QueueLimits::default()).await.runs.remove(0);
    assert_eq!(other.checkpoint, text("1"));
    assert_eq!(bench.note(&[(other.claim, "2"), (frozen.claim, "0")]).await, [true, false]);
    assert_eq!(bench.run_status(1).await.unwrap().checkpoint, text("2"));
    bench.end_at(&other, Fate::Over, None, 2).await;
    assert_eq!(bench.note(&[(other.claim, "3")]).await, [false], "the run is over");
}

/// The first attempt of an occurrence has no row: what it has noted comes with its end, or with the loss of its node.
async fn a_firing_hands_its_checkpoint_on(bench) {
    let work = job("work").build();
    bench.put(&work, [once("a", 0)]).await;
    let fired = bench.run(0).await;
    assert_eq!(bench.note(&[(fired.claim, "7")]).await, [true]);
    let mut run = NewRun::of_firing(fired.claim, &work.into(), &fired.trigger, at(0), at(0));
    run.checkpoint = text("8");
    let promise = Some(Box::new(run));
    let end = Completion { fate: again(5), promise, ..Completion::of(fired.claim) };
    bench.complete_as(end).await;
    assert_eq!(bench.take_one(5).await.checkpoint, text("8"));
}

async fn notes_of_many_attempts_are_answered_in_their_order(bench) {
    let work = job("work").build();
    bench.enqueue((1..=30).map(|number| run(number, &work, 1)).collect()).await;
    let taken = bench.take(1, 30).await;
    bench.end_at(&taken[10], Fate::Over, None, 2).await;
    let texts: Vec<_> = taken.iter().map(|run| run.run.count().to_string()).collect();
    let notes: Vec<_> = taken.iter().zip(&texts).map(|(run, text)| (run.claim, &**text)).collect();
    let answers = bench.note(&notes).await;
    assert!(answers.iter().enumerate().all(|(place, is_noted)| *is_noted == (place != 10)), "{answers:?}");
    for run in taken.iter().filter(|run| run.claim != taken[10].claim) {
        bench.end_at(run, again(5), None, 3).await;
    }
    for run in bench.take(5, 30).await {
        assert_eq!(run.checkpoint, text(&run.run.count().to_string()));
    }
}

/// Row 500 of a file says nothing of another file.
async fn other_data_begin_without_a_checkpoint(bench) {
    let keyed = |number, file: &str| {
        let mut run = run(number, &job("work").build(), 1);
        let key = Unique::key("k").stored("work", at(0));
        run.unique = Some(Box::new(NewKey::new(key, Conflict::Replace { data: true, of: None }, at(0))));
        run.data = JobData::new().with("file", file);
        run
    };
    bench.enqueue(vec![keyed(1, "a")]).await;
    bench.end_noting(&bench.take_one(1).await, again(5), "500").await;
    assert_eq!(bench.store.enqueue(vec![keyed(2, "a")]).await.unwrap(), [Enqueued::Replaced(id(1))]);
    assert_eq!(bench.run_status(1).await.unwrap().checkpoint, text("500"), "the same data");
    assert_eq!(bench.store.enqueue(vec![keyed(3, "b")]).await.unwrap(), [Enqueued::Replaced(id(1))]);
    assert_eq!(bench.run_status(1).await.unwrap().checkpoint, None);
    bench.end_noting(&bench.take_one(5).await, again(9), "7").await;
    let edit = RunEdit::new().data(JobData::new().with("file", "c"));
    assert_eq!(bench.change(&[1], RunChange::edit(edit)).await, [RunChanged::Done]);
    assert_eq!(bench.take_one(9).await.checkpoint, None);
}

async fn a_run_that_has_succeeded_is_replayed_from_the_begin(bench) {
    bench.enqueue(vec![kept(1, 1, 60)]).await;
    let first = bench.take_one(1).await;
    assert_eq!(bench.note(&[(first.claim, "500")]).await, [true]);
    bench.end_at(&first, Fate::Over, None, 2).await;
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.take_one(5).await.checkpoint, None);
}

/// Also while a node runs it.
async fn whoever_asks_for_a_run_that_is_stored_gets_it_kept(bench) {
    let plain = run(1, &job("work").build(), 1);
    bench.enqueue(vec![plain]).await;
    let taken = bench.take_one(1).await;
    assert_eq!(bench.store.enqueue(vec![kept(1, 1, 60)]).await.unwrap(), [Enqueued::Existing(id(1))]);
    bench.end_at(&taken, Fate::Over, text("1"), 2).await;
    assert_eq!(bench.ended(1).await, Some((RunEnd::Succeeded, text("1"))));
}
}
