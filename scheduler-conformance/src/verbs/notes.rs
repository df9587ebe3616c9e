//! What runs leave behind: how long they are kept, what they have returned, and who is told.

use std::sync::Arc;
use std::time::Duration;

use scheduler_core::run::{RunEnd, RunState};
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

impl Bench {
    /// Ends an attempt at this time.
    async fn end_at(&self, run: &AcquiredRun, fate: Fate, output: Option<Arc<str>>, seconds: i64) {
        let completion = Completion { fate, output, ..Completion::of(run.claim) };
        let request = Complete { now: at(seconds), executions: vec![completion] };
        let done = CompleteResult::Done { trigger_removed: false, job_removed: false };
        assert_eq!(self.store.complete(request).await.unwrap(), [done]);
    }

    async fn ended(&self, number: u64) -> Option<(RunEnd, Option<Arc<str>>)> {
        let status = self.run_status(number).await?;
        Some((status.end?, status.output))
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
    let again = Fate::Again { at: at(5), counts: true, error: Some(error("no")) };
    bench.end_at(&bench.take_one(1).await, again, None, 2).await;
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

}
