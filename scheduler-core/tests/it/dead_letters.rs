//! Runs that have given up: kept for a while, listed, edited, replayed in bulk, dropped when there are too many.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{Invocation, JobDefinition, JobDetail, JobError};
use scheduler_core::run::{Limit, Retention, RetryPolicy, RunEnd, RunId, RunState, Sequence, Unique};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{JobStore, MemoryJobStore, RunChange, RunChanged, RunEdit, RunQuery};
use scheduler_core::testing::{Fault, FaultyStore, TestScheduler, Verb, assert_dead};
use scheduler_core::time::Clock;
use scheduler_core::{JobData, Scheduler};

use crate::retrying::{NOW, detail, runs, told};

const DAY: Duration = Duration::from_secs(86_400);

/// To whom letters went, and when.
type Sent = Arc<Mutex<Vec<(String, Duration)>>>;

fn letters() -> JobDetail {
    detail("send").to_builder().retry(RetryPolicy::never()).build()
}

/// Letters to nobody are refused until they have another address.
async fn post_office(store: impl JobStore) -> (TestScheduler, Sent) {
    let sent = Sent::default();
    let job = JobDefinition::new(letters(), {
        let sent = sent.clone();
        move |to: String, context: scheduler_core::job::JobContext| {
            let at = context.clock().monotonic();
            let refused = to == "nobody";
            sent.lock().push((to, at));
            async move { if refused { Err(JobError::new("no such address")) } else { Ok(()) } }
        }
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().store(store).register(job)).await.unwrap();
    (test, sent)
}

async fn refused(test: &TestScheduler, many: usize) -> Vec<RunId> {
    let letters = (0..many).map(|_| Invocation::with_args(letters(), &"nobody"));
    let runs = test.scheduler().enqueue_all(letters).await.unwrap();
    test.run_due().await;
    runs
}

fn to(address: &str) -> RunChange {
    let data = Invocation::with_args(letters(), &address).data().unwrap().clone();
    RunChange::edit(RunEdit::new().data(data))
}

#[tokio::test]
async fn a_dead_run_is_kept_for_thirty_days_and_a_cancelled_one_for_one() {
    let (test, _) = post_office(MemoryJobStore::new()).await;
    let scheduler = test.scheduler();
    let dead = refused(&test, 1).await[0];
    let later = scheduler.enqueue(Invocation::with_args(letters(), &"ada")).delay(DAY / 2).await.unwrap();
    assert!(scheduler.cancel_run(later).await.unwrap());
    let kept = async || runs(scheduler).await.iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(kept().await.len(), 2);
    test.advance(DAY).await;
    assert_eq!(kept().await, [dead]);
    test.advance(28 * DAY).await;
    assert_eq!(kept().await, [dead]);
    test.advance(DAY).await;
    assert_eq!(kept().await, []);
}

#[tokio::test]
async fn a_retention_of_zero_leaves_no_record() {
    let retention = Retention::default().keep_dead(Duration::ZERO).keep_cancelled(Duration::ZERO);
    let (test, _) = post_office(MemoryJobStore::new().with_retention(retention)).await;
    let mut events = test.scheduler().events();
    refused(&test, 1).await;
    let run = test.scheduler().enqueue(Invocation::with_args(letters(), &"ada")).delay(DAY).await.unwrap();
    assert!(test.scheduler().cancel_run(run).await.unwrap());
    assert!(runs(test.scheduler()).await.is_empty());
    let mut died = 0;
    while let Some(event) = told(&mut events).await {
        died += usize::from(matches!(event, Event::Dead { .. }));
    }
    assert_eq!(died, 1);
}

/// The oldest go first, each with an event.
#[tokio::test]
async fn dead_runs_that_are_too_many_are_dropped_and_reported() {
    let store = MemoryJobStore::new().with_retention(Retention::default().at_most(3));
    let (test, _) = post_office(store).await;
    let mut events = test.scheduler().events();
    let mut dead = Vec::new();
    for _ in 0..5 {
        dead.extend(refused(&test, 1).await);
        test.advance(Duration::from_secs(1)).await;
    }
    let kept: Vec<_> =
        test.scheduler().all_runs(RunQuery::dead()).await.unwrap().iter().map(|run| run.id).collect();
    assert_eq!(kept, [dead[4], dead[3], dead[2]]);
    let mut dropped = Vec::new();
    while let Some(event) = told(&mut events).await {
        if let Event::DeadRunDropped { run, job } = event {
            assert_eq!(job.to_string(), "send");
            dropped.push(run);
        }
    }
    assert_eq!(dropped, dead[..2]);
}

/// After an outage: what has happened, how often, and one run to look at.
#[tokio::test]
async fn dead_runs_are_grouped_by_what_they_have_failed_with() {
    let job = JobDefinition::new(letters(), |to: String| async move { Err::<(), _>(JobError::new(to)) });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    for error in ["order 17 is gone", "order 4 is gone\nbacktrace", "refused", "order 99 is gone"] {
        test.scheduler().enqueue(Invocation::with_args(letters(), &error)).await.unwrap();
        test.run_due().await;
        test.advance(Duration::from_secs(60)).await;
    }
    let groups = test.scheduler().dead_groups(RunQuery::dead()).await.unwrap();
    let shown: Vec<_> = groups.iter().map(|group| (&*group.error, group.count)).collect();
    assert_eq!(shown, [("order # is gone", 3), ("refused", 1)]);
    let run = test.scheduler().all_runs(RunQuery::one(groups[0].example)).await.unwrap().remove(0);
    assert_eq!((run.last_error.as_deref(), run.ended), (Some("order 99 is gone"), Some(groups[0].last)));
    assert_eq!(groups[0].last - groups[0].first, chrono::TimeDelta::minutes(3));
    let mut latest = RunQuery::dead();
    latest.limit = Some(2);
    let limited = test.scheduler().dead_groups(latest).await.unwrap();
    assert_eq!(limited.iter().map(|group| group.count).collect::<Vec<_>>(), [1, 1], "of the latest two runs");
    assert_dead!(test, "send");
    assert_dead!(test, "send", "refused");
}

#[tokio::test]
async fn a_dead_run_is_edited_and_replayed_under_its_id() {
    let (test, sent) = post_office(MemoryJobStore::new()).await;
    let (scheduler, run) = (test.scheduler(), refused(&test, 1).await[0]);
    let wrong = RunChange::edit(RunEdit::new().data(JobData::new().with("to", 7)));
    let error = scheduler.change_run(run, wrong).await.unwrap_err().to_string();
    assert!(error.contains("job `send` cannot be run with these arguments"), "{error}");
    assert_eq!(scheduler.change_run(run, to("ada")).await.unwrap(), RunChanged::Done);
    assert!(scheduler.replay(run).await.unwrap());
    test.run_due().await;
    let to: Vec<_> = sent.lock().iter().map(|(to, _)| to.clone()).collect();
    assert_eq!(to, ["nobody", "ada"]);
    assert!(runs(scheduler).await.is_empty());
    assert_eq!(scheduler.change_run(run, RunChange::Delete).await.unwrap(), RunChanged::Unknown);
}

/// More than a page of them, one each second.
#[tokio::test]
async fn dead_runs_are_replayed_at_a_rate() {
    let (test, sent) = post_office(MemoryJobStore::new()).await;
    let scheduler = test.scheduler();
    refused(&test, 601).await;
    let cancelled = scheduler.enqueue(Invocation::with_args(letters(), &"ada")).delay(DAY).await.unwrap();
    scheduler.cancel_run(cancelled).await.unwrap();
    sent.lock().clear();
    let query = RunQuery::dead().of_job("send".parse().unwrap()).with_error("no such");
    let edited = scheduler.change_runs(query.clone(), to("bob")).await.unwrap();
    assert_eq!((edited.changed, edited.refused), (601, 0));
    let change = RunChange::replay_every(Duration::from_secs(1));
    let replayed = scheduler.change_runs(query.clone(), change.clone()).await.unwrap();
    assert_eq!((replayed.changed, replayed.refused), (601, 0));
    assert_eq!(scheduler.change_runs(query, change).await.unwrap().changed, 0, "none is dead any more");
    let begin = test.clock().monotonic();
    test.advance(Duration::from_secs(700)).await;
    let mut times: Vec<_> = sent.lock().iter().map(|(_, at)| (*at - begin).as_secs()).collect();
    times.sort_unstable();
    assert_eq!(times, (0..601).collect::<Vec<_>>());
    assert_eq!(
        runs(scheduler).await.iter().map(|run| run.end).collect::<Vec<_>>(),
        [Some(RunEnd::Cancelled)]
    );
}

#[tokio::test]
async fn a_bulk_change_keeps_to_its_limit_and_is_told() {
    let (test, _) = post_office(MemoryJobStore::new()).await;
    let scheduler = test.scheduler();
    refused(&test, 5).await;
    let mut events = scheduler.events();
    let mut query = RunQuery::dead();
    query.limit = Some(3);
    assert_eq!(scheduler.change_runs(query, RunChange::Delete).await.unwrap().changed, 3);
    assert_eq!(runs(scheduler).await.len(), 2);
    let Some(Event::RunsChanged { change: "delete", runs, .. }) = told(&mut events).await else {
        panic!("it is told")
    };
    assert_eq!(runs.len(), 3);
    let refused = scheduler.change_runs(RunQuery::dead(), RunChange::Hold).await.unwrap();
    assert_eq!((refused.changed, refused.refused), (0, 2));
}

/// In parts, each once, and no more than the limit says.
#[tokio::test]
async fn many_ids_are_changed_in_parts() {
    let (test, _) = post_office(MemoryJobStore::new()).await;
    let mut ids = refused(&test, 1_100).await;
    ids.extend_from_within(..100);
    let mut query = RunQuery::dead();
    (query.ids, query.limit) = (ids.clone(), Some(700));
    let scheduler = test.scheduler();
    assert_eq!(scheduler.change_runs(query.clone(), RunChange::Delete).await.unwrap().changed, 700);
    query.limit = None;
    let rest = scheduler.change_runs(query, RunChange::Delete).await.unwrap();
    assert_eq!((rest.changed, rest.refused, runs(scheduler).await.len()), (400, 0, 0));
}

/// Cut off in the middle, and repeated by another client.
#[tokio::test]
async fn a_bulk_change_that_was_cut_off_is_finished_by_a_repeated_call() {
    let store = MemoryJobStore::new();
    let faulty = FaultyStore::new(store.clone());
    let (test, sent) = post_office(faulty.clone()).await;
    refused(&test, 1_200).await;
    sent.lock().clear();
    faulty.inject(Verb::ChangeRuns, Fault::LosesReply, 1);
    let error = test.scheduler().change_runs(RunQuery::dead(), RunChange::replay()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let other = scheduler_core::Client::with_clock(store, test.clock().clone());
    let rest = other.change_runs(RunQuery::dead(), RunChange::replay()).await.unwrap();
    assert_eq!(rest.changed, 700, "a page of 500 was replayed before");
    test.run_due().await;
    assert_eq!(sent.lock().len(), 1_200, "each once");
}

#[tokio::test]
async fn a_held_run_waits_for_somebody() {
    let (test, sent) = post_office(MemoryJobStore::new()).await;
    let scheduler = test.scheduler();
    let run = scheduler.enqueue(Invocation::with_args(letters(), &"ada")).delay(DAY).await.unwrap();
    assert!(scheduler.change_run(run, RunChange::Hold).await.unwrap().is_done());
    test.advance(2 * DAY).await;
    assert!(sent.lock().is_empty());
    let explained = scheduler.explain_run(run).await.unwrap().unwrap().to_string();
    assert_eq!(explained, format!("run {run} of job `send` is held until `RunChange::Release`"));
    assert_eq!(
        scheduler.change_run(run, RunChange::replay()).await.unwrap(),
        RunChanged::Refused(RunState::Held)
    );
    scheduler.change_run(run, RunChange::Release).await.unwrap();
    test.run_due().await;
    assert_eq!(sent.lock().len(), 1);
}

/// The key and the limit of a letter are made of its address; the sequence was said by the call.
#[tokio::test]
async fn an_edit_of_the_argument_makes_the_key_and_the_limits_anew() {
    let letters = JobDefinition::new(letters(), |to: String| async move { drop(to) })
        .unique(|to: &String| Unique::key(to))
        .limit(|to: &String| Limit::new("mailbox", 1).key(to));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(letters)).await.unwrap();
    let scheduler = test.scheduler();
    let letter = |to: &str| Invocation::<()>::with_args(self::letters(), &to);
    let later = Duration::from_secs(60);
    let run = scheduler.enqueue(letter("ada")).delay(later).sequence(Sequence::of("mine")).await.unwrap();
    let other = scheduler.enqueue(letter("bob")).delay(later).await.unwrap();
    let edit = |to: &str| RunChange::edit(RunEdit::new().data(letter(to).data().unwrap().clone()));
    assert_eq!(scheduler.change_run(run, edit("bob")).await.unwrap(), RunChanged::KeyTaken(other));
    assert!(
        scheduler.change_run(run, edit("eve").by("ada").because("she has moved")).await.unwrap().is_done()
    );
    let status = scheduler.all_runs(RunQuery::one(run)).await.unwrap().pop().unwrap();
    assert_eq!((status.key.as_deref(), status.limits[0].key.as_deref()), (Some("eve"), Some("eve")));
    assert_eq!(status.sequence.as_deref(), Some("mine"), "that was not made of the argument");
    let told = scheduler.explain_run(run).await.unwrap().unwrap().to_string();
    assert!(told.contains("last change: edit at") && told.contains("by ada: she has moved"), "{told}");
    let long = "x".repeat(2000);
    let refused = scheduler.change_run(run, RunChange::Hold.because(long)).await.unwrap_err().to_string();
    assert!(refused.contains("the reason of a change has 2000 bytes; at most 1024 are kept"), "{refused}");
}
