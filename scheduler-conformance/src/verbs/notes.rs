//! What attempts note and runs leave behind: how far they have got, what they have returned, how long that is kept, and who is told.

use std::sync::Arc;
use std::time::Duration;

use scheduler_core::JobData;
use scheduler_core::job::ExecutionId;
use scheduler_core::run::{AttemptNotes, LogLevel, LogLine, RunEnd, RunLog, RunProgress, RunState, Unique};
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

fn done(done: u64) -> AttemptNotes {
    let mut progress = RunProgress::default();
    (progress.done, progress.total, progress.message) = (done, 10, text("ä"));
    AttemptNotes::default().progress(progress)
}

fn logged(first: u64, lines: &[&str]) -> AttemptNotes {
    let (at, attempt, level) = (at(1), 1, LogLevel::Warn);
    let line = |text: &&str| LogLine { at, attempt, level, target: "it".into(), text: (*text).into() };
    AttemptNotes::default().lines(first, lines.iter().map(line).collect())
}

fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn texts(log: Option<Arc<RunLog>>) -> (Vec<String>, u64) {
    let log = log.unwrap();
    (log.lines.iter().map(|line| line.text.to_string()).collect(), log.dropped)
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
        let noted = Some(AttemptNotes::default().checkpoint(checkpoint).into());
        let completion = Completion { fate, noted, ..Completion::of(run.claim) };
        self.complete_as(completion).await;
    }

    async fn note_as(&self, claim: ExecutionId, notes: AttemptNotes) -> Vec<bool> {
        self.store.note(vec![RunNote::new(claim, notes)]).await.unwrap()
    }

    /// The texts of a run's log, and how many lines were dropped.
    async fn log(&self, number: u64) -> (Vec<String>, u64) {
        let query = RunQuery::one(id(number)).with_log();
        texts(self.store.all_runs(query).await.unwrap().remove(0).log)
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

async fn the_attempt_that_ends_a_run_counts(bench) {
    for (number, fate) in [(1, Fate::Over), (2, Fate::Discarded), (3, Fate::Cancelled), (4, Fate::Dead { error: None })] {
        bench.enqueue(vec![kept(number, 1, 60)]).await;
        bench.end(&bench.take_one(1).await, again(1)).await;
        bench.end(&bench.take_one(1).await, fate).await;
        assert_eq!(bench.run_status(number).await.unwrap().attempts, 2, "run {number}");
    }
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
    let run = NewRun::of_firing(fired.claim, &work.into(), &fired.trigger, at(0), at(0));
    let (promise, noted) = (Some(Box::new(run)), Some(AttemptNotes::default().checkpoint("8").into()));
    let end = Completion { fate: again(5), promise, noted, ..Completion::of(fired.claim) };
    bench.complete_as(end).await;
    assert_eq!(bench.take_one(5).await.checkpoint, text("8"));
}

async fn progress_is_shown_until_there_is_another(bench) {
    bench.enqueue(vec![kept(1, 1, 60)]).await;
    let taken = bench.take_one(1).await;
    let progress = async || bench.run_status(1).await.unwrap().progress;
    assert_eq!(progress().await, None);
    assert_eq!(bench.note_as(taken.claim, done(3)).await, [true]);
    assert_eq!(progress().await, done(3).progress);
    let executions = bench.store.executions(Executions::All).await.unwrap();
    assert_eq!(executions[0].progress, done(3).progress);
    assert_eq!(bench.note(&[(taken.claim, "7")]).await, [true]);
    let status = bench.run_status(1).await.unwrap();
    assert_eq!((status.progress, status.checkpoint), (done(3).progress, text("7")), "beside a checkpoint");
    let completion = Completion { noted: Some(done(9).into()), ..Completion::of(taken.claim) };
    bench.complete_as(completion).await;
    assert_eq!(progress().await, done(9).progress, "the end brings the last one");
    assert_eq!(bench.note_as(taken.claim, done(4)).await, [false], "the run is over");
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(progress().await, None, "a run that has succeeded begins anew");
}

/// A call whose answer was lost is repeated.
async fn each_line_is_logged_once_and_stays_for_the_next_attempt(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    let first = bench.take_one(1).await;
    for (from, lines) in [(0, vec!["a", "b"]), (0, vec!["a", "b", "c"]), (3, vec!["d"])] {
        assert_eq!(bench.note_as(first.claim, logged(from, &lines)).await, [true]);
    }
    assert_eq!(bench.log(1).await, (lines(&["a", "b", "c", "d"]), 0));
    let noted = Some(logged(5, &["f"]).into());
    bench.complete_as(Completion { fate: again(5), noted, ..Completion::of(first.claim) }).await;
    assert_eq!(bench.log(1).await, (lines(&["a", "b", "c", "d", "f"]), 1), "one did not come");
    let second = bench.take_one(5).await;
    bench.note_as(second.claim, logged(0, &["a"])).await;
    assert_eq!(bench.log(1).await, (lines(&["a", "b", "c", "d", "f", "a"]), 1));
    let listed = bench.store.all_runs(RunQuery::default()).await.unwrap();
    assert_eq!(listed[0].log, None, "a log stands in no list");
    bench.end_at(&second, Fate::Over, None, 6).await;
    assert!(bench.all_runs().await.is_empty(), "the log goes with the run");
}

/// It has no run of its own until its first attempt has ended.
async fn a_firing_shows_what_it_notes_and_hands_it_on(bench) {
    let work = job("work").build();
    bench.put(&work, [once("a", 0)]).await;
    let fired = bench.run(0).await;
    bench.note_as(fired.claim, logged(0, &["a"])).await;
    bench.note_as(fired.claim, done(3)).await;
    let shown = bench.store.executions(Executions::One(fired.claim)).await.unwrap().remove(0);
    assert_eq!((shown.progress, texts(shown.log)), (done(3).progress, (lines(&["a"]), 0)));
    let run = NewRun::of_firing(fired.claim, &work.into(), &fired.trigger, at(0), at(0));
    let (promise, noted, run) = (Some(Box::new(run.clone())), Some(logged(1, &["b"]).into()), run.id);
    let end = Completion { fate: again(5), promise, noted, ..Completion::of(fired.claim) };
    bench.complete_as(end).await;
    let stored = bench.store.all_runs(RunQuery::one(run).with_log()).await.unwrap().remove(0);
    assert_eq!((stored.progress, texts(stored.log)), (done(3).progress, (lines(&["a", "b"]), 0)));
}

/// The policy counts attempts from one that has got further.
async fn an_end_may_let_the_attempts_before_not_count(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    for (due, expected, resets) in [(1, 1, false), (5, 2, false), (9, 3, true), (13, 2, false)] {
        let taken = bench.take_one(due).await;
        assert_eq!(taken.attempt, expected);
        let fate = again(due + 4);
        bench.complete_as(Completion { fate, resets, ..Completion::of(taken.claim) }).await;
    }
    assert_eq!(bench.run_status(1).await.unwrap().attempts, 2);
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
