//! Maximum lengths of queues: how many runs may wait in a queue.

use std::sync::Arc;
use std::time::Duration;

use scheduler_core::run::RunState;
use scheduler_core::store::*;

use super::running::{error, id, run};
use crate::bench::*;

/// A run of the queue `mail`, in which so many may wait.
fn limited(number: u64, most: usize) -> NewRun {
    let mut run = free(number);
    run.most_waiting = Some(most);
    run
}

/// A run of the queue `mail` of somebody who knows of no maximum.
fn free(number: u64) -> NewRun {
    let mut run = run(number, &job("work").build(), 1);
    run.queue = Some("mail".into());
    run
}

fn of_type(mut run: NewRun, job_type: &str) -> NewRun {
    (run.job, run.job_type) = (job_type.parse().unwrap(), job_type.into());
    run
}

impl Bench {
    /// Whether these are stored; if not, the queue is full.
    async fn fits(&self, runs: Vec<NewRun>) -> bool {
        match self.store.enqueue(runs).await {
            Ok(_) => true,
            Err(full) => {
                assert!(full.is_full(), "{full}");
                assert!(full.to_string().contains("queue `mail`"), "{full}");
                false
            }
        }
    }

    /// How many more runs fit, found by storing them; what was stored is removed again.
    async fn length(&self) -> usize {
        let query = RunQuery::default().of_queue("mail").in_state(RunState::Waiting);
        let known = self.store.all_runs(query).await.unwrap().len();
        // More than a maximum of none is a mistake of the caller.
        assert!(known == 0 || !self.fits(vec![limited(9000, known)]).await, "{known} wait");
        assert!(self.fits(vec![limited(9000, known + 1)]).await, "{known} wait");
        assert_eq!(self.change(&[9000], RunChange::Delete).await, [RunChanged::Done]);
        known
    }
}

checks! { ($) lengths, __store_checks_of_lengths;

async fn no_more_runs_wait_in_a_queue_than_may(bench) {
    assert!(bench.fits(vec![limited(1, 2)]).await);
    assert!(bench.fits(vec![limited(2, 2)]).await);
    assert!(!bench.fits(vec![limited(3, 2)]).await);
    assert_eq!(bench.all_runs().await.len(), 2, "nothing is stored");
    let taken = bench.take_one(1).await;
    assert!(bench.fits(vec![limited(3, 2)]).await, "what runs does not wait");
    bench.end(&taken, Fate::Over).await;
    assert!(!bench.fits(vec![limited(4, 2)]).await);
    assert!(bench.fits(vec![limited(4, 3)]).await, "the maximum is that of the call");
}

async fn the_error_names_the_queue_its_length_and_its_maximum(bench) {
    assert!(bench.fits(vec![limited(1, 1)]).await);
    let error = bench.store.enqueue(vec![limited(2, 1)]).await.unwrap_err();
    assert!(error.is_full() && error.is_transient());
    let text = error.to_string();
    assert!(text.contains("queue `mail` has no room for 1 more: 1 wait in it, and its maximum is 1"), "{text}");
    let error = bench.store.enqueue((2..5).map(|number| limited(number, 2)).collect()).await.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("3 runs"), "never: {error}");
}

async fn all_of_a_call_are_stored_or_none(bench) {
    assert!(bench.fits(vec![free(1)]).await);
    assert!(!bench.fits((2..5).map(|number| limited(number, 3)).collect()).await);
    assert_eq!(bench.all_runs().await.len(), 1);
    assert!(bench.fits((2..4).map(|number| limited(number, 3)).collect()).await);
    let mut other = limited(5, 3);
    other.queue = Some("other".into());
    assert!(!bench.fits(vec![other, limited(6, 3)]).await);
    assert_eq!(bench.all_runs().await.len(), 3, "also in another queue");
}

/// Of a repeated call everything is there.
async fn a_run_that_is_stored_already_needs_no_room(bench) {
    assert!(bench.fits(vec![limited(1, 1)]).await);
    assert_eq!(bench.store.enqueue(vec![limited(1, 1)]).await.unwrap(), [Enqueued::Existing(id(1))]);
    let answers = bench.store.enqueue(vec![limited(2, 2), limited(1, 2), limited(2, 2)]).await.unwrap();
    assert_eq!(answers, [Enqueued::Created, Enqueued::Existing(id(1)), Enqueued::Existing(id(2))]);
}

/// `triggerdotdev/trigger.dev#3558`: counts of keyed queues read 0, so length caps did not hold. Here a queue has several job types,
/// each with a lane of its own, and jobs that allow one run at a time, of which one stands in the lane.
async fn trigger_dev_3558_a_queue_of_several_kinds_has_one_length(bench) {
    let alone = |mut run: NewRun| {
        run.exclusive = true;
        run
    };
    let runs = vec![
        free(1), free(2), of_type(free(3), "other"), of_type(free(4), "third"),
        alone(of_type(free(5), "lone")), alone(of_type(free(6), "lone")), alone(of_type(free(7), "lone")),
    ];
    bench.enqueue(runs).await;
    assert_eq!(bench.length().await, 7);
    assert!(!bench.fits(vec![of_type(limited(8, 7), "fifth")]).await);
    let taken = bench.take(1, 10).await;
    assert_eq!(taken.len(), 5, "one of the lone ones");
    assert_eq!(bench.length().await, 2);
    for run in &taken {
        bench.end(run, Fate::Over).await;
    }
    assert_eq!(bench.length().await, 2);
    bench.take(1, 10).await;
    assert_eq!(bench.length().await, 1);
}

async fn triggers_and_other_queues_do_not_count(bench) {
    bench.put(&job("work").build(), [every_minute("a", 1).queue("mail"), every_minute("b", 1)]).await;
    let mut other = free(1);
    other.queue = None;
    let mut longer = free(2);
    longer.queue = Some("mail2".into());
    bench.enqueue(vec![other, longer]).await;
    assert_eq!(bench.length().await, 0);
    assert_eq!(bench.acquire(1, 10).await.len(), 2);
    assert_eq!(bench.length().await, 0);
}

/// A queue counts a run by the state of the run, whoever has changed it.
async fn the_length_follows_every_step_of_a_run(bench) {
    assert_eq!(bench.length().await, 0, "counted from here on");
    bench.enqueue((1..=9).map(free).collect()).await;
    assert_eq!(bench.length().await, 9);
    assert_eq!(bench.change(&[1], RunChange::Hold).await, [RunChanged::Done]);
    assert_eq!(bench.length().await, 8, "a held run does not wait");
    assert_eq!(bench.change(&[1], RunChange::Release).await, [RunChanged::Done]);
    assert_eq!(bench.length().await, 9);
    assert_eq!(bench.change(&[9], RunChange::Cancel).await, [RunChanged::Done]);
    assert_eq!(bench.change(&[8], RunChange::Delete).await, [RunChanged::Done]);
    assert_eq!(bench.length().await, 7);
    assert_eq!(bench.change(&[9], RunChange::replay()).await, [RunChanged::Done]);
    let away = RunChange::edit(RunEdit::new().queue("other"));
    assert_eq!(bench.change(&[7], away).await, [RunChanged::Done]);
    assert_eq!(bench.length().await, 7);
    assert_eq!(bench.change(&[7], RunChange::edit(RunEdit::new().queue("mail"))).await, [RunChanged::Done]);
    assert_eq!(bench.change(&[7], RunChange::edit(RunEdit::new().priority(9))).await, [RunChanged::Done]);
    assert_eq!(bench.length().await, 8);
    let taken = bench.take(1, 4).await;
    assert_eq!(bench.length().await, 4);
    let again = |counts| Fate::Again { at: at(1000), counts, error: Some(error("no")) };
    bench.end(&taken[0], again(true)).await;
    bench.end(&taken[1], again(false)).await;
    assert_eq!(bench.length().await, 6, "a run that waits for a retry waits");
    bench.end(&taken[2], Fate::Dead { error: None }).await;
    bench.store.release(vec![taken[3].claim]).await.unwrap();
    assert_eq!(bench.length().await, 7);
    bench.store.clear().await.unwrap();
    assert_eq!(bench.length().await, 0);
}

async fn runs_that_are_due_later_count(bench) {
    let mut runs = vec![free(1), free(2), free(3)];
    for run in &mut runs {
        run.due = at(1000);
    }
    (runs[1].boost, runs[1].now) = (Duration::from_secs(60), Some(at(0)));
    runs[2].expires = Some(Duration::from_secs(60));
    bench.enqueue(runs).await;
    assert_eq!(bench.length().await, 3);
    bench.ask(ONE, 1000, 0, QueueLimits::default()).await;
    assert_eq!(bench.length().await, 3);
    bench.ask(ONE, 1060, 0, QueueLimits::default()).await;
    assert_eq!(bench.length().await, 2, "one has expired");
    assert_eq!(bench.take(1060, 10).await.len(), 2);
    assert_eq!(bench.length().await, 0);
}

async fn a_boosted_run_that_changes_before_it_is_due_counts_as_it_stands(bench) {
    assert_eq!(bench.length().await, 0, "counted from here on");
    let mut run = free(1);
    (run.due, run.boost, run.now) = (at(1000), Duration::from_secs(60), Some(at(0)));
    bench.enqueue(vec![run]).await;
    assert_eq!(bench.length().await, 1);
    for (change, length) in [(RunChange::Hold, 0), (RunChange::Release, 1), (RunChange::Cancel, 0), (RunChange::replay(), 1)] {
        assert_eq!(bench.change(&[1], change).await, [RunChanged::Done]);
        assert_eq!(bench.length().await, length);
    }
    assert_eq!(bench.take(1000, 1).await.len(), 1);
    assert_eq!(bench.length().await, 0);
}

async fn a_maximum_holds_for_calls_at_once(bench) {
    let (most, many) = (7, 30);
    let store = &bench.store;
    let call = |number| {
        let store = Arc::clone(store);
        async move { store.enqueue(vec![limited(number, most)]).await.is_ok() }
    };
    let mut calls: Vec<_> = (1..=many).map(|number| Box::pin(call(number))).collect();
    let mut stored = 0;
    // All are under way before the first is awaited to its end.
    let all = std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(is_stored) => {
                stored += usize::from(is_stored);
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    all.await;
    assert_eq!(stored, most);
    assert_eq!(bench.all_runs().await.len(), most);
    assert!(bench.run_status(1).await.is_none_or(|run| run.id == id(1)));
}

async fn a_maximum_holds_for_large_queues(bench) {
    for first in (0..1500).step_by(500) {
        bench.enqueue((first..first + 500).map(free).collect()).await;
    }
    assert_eq!(bench.length().await, 1500);
    while !bench.take(1, 100).await.is_empty() {}
    assert_eq!(bench.length().await, 0);
}
}
