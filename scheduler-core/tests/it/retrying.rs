//! Stored runs: attempts that fail and are made again, dead runs, delays, interruptions, lost answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::run::{Backoff, FailureKind, RetryPolicy, RunEnd, RunId, RunState};
use scheduler_core::scheduler::{Event, Events};
use scheduler_core::store::{Changes, Existing, MemoryJobStore, Put, Queries, RunQuery};
use scheduler_core::testing::{Fault, FaultyStore, TestScheduler, Verb, assert_fired};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobData, Scheduler, SchedulerState};

pub(crate) const NOW: &str = "2026-03-01T00:00:00Z";
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

fn policy(max: u32) -> RetryPolicy {
    RetryPolicy::new(max, Backoff::fixed(MINUTE).unwrap())
}

pub(crate) fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

pub(crate) fn retried(name: &str, max: u32) -> JobDetail {
    detail(name).to_builder().retry(policy(max)).build()
}

/// What each attempt has seen: the run, the number of the attempt, what the one before failed with.
pub(crate) type Seen = Arc<Mutex<Vec<(RunId, u32, Option<String>)>>>;

/// A job that fails so many times.
fn failing(detail: JobDetail, times: u32) -> (JobDefinition, Seen) {
    let seen = Seen::default();
    let job = JobDefinition::new(detail, {
        let seen = seen.clone();
        move |context: JobContext| {
            let attempt = context.attempt();
            seen.lock().push((context.run_id(), attempt, context.last_error().map(str::to_owned)));
            async move { if attempt <= times { Err(JobError::new(format!("no {attempt}"))) } else { Ok(()) } }
        }
    });
    (job, seen)
}

pub(crate) fn attempts(seen: &Seen) -> Vec<u32> {
    seen.lock().iter().map(|(_, attempt, _)| *attempt).collect()
}

/// An event that was sent, if there is one.
pub(crate) async fn told(events: &mut Events) -> Option<Event> {
    tokio::select! {
        biased;
        event = events.next() => event,
        () = std::future::ready(()) => None,
    }
}

/// Waits for an hour, or until the run is to stop.
async fn until_asked(context: &JobContext) {
    let token = context.cancellation();
    tokio::select! {
        () = token.cancelled() => {}
        () = context.clock().sleep(60 * MINUTE) => {}
    }
}

pub(crate) async fn runs(scheduler: &Scheduler) -> Vec<scheduler_core::store::RunStatus> {
    scheduler.all_runs(RunQuery::default()).await.unwrap()
}

#[tokio::test]
async fn a_run_that_fails_is_attempted_again_until_it_succeeds() {
    let (job, seen) = failing(retried("work", 3), 2);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let mut events = test.scheduler().events();
    let run = test.scheduler().enqueue(retried("work", 3)).await.unwrap();
    test.run_due().await;
    let waiting = runs(test.scheduler()).await;
    assert_eq!((waiting[0].id, waiting[0].state, waiting[0].attempts), (run, RunState::Waiting, 1));
    let delay = (waiting[0].due - test.now()).to_std().unwrap();
    assert!(MINUTE * 4 / 5 <= delay && delay <= MINUTE * 6 / 5, "{delay:?}");
    test.drain().await;
    let no = |attempt: u32| Some(format!("no {attempt}"));
    assert_eq!(*seen.lock(), [(run, 1, None), (run, 2, no(1)), (run, 3, no(2))]);
    assert!(runs(test.scheduler()).await.is_empty(), "a run that is over leaves nothing");
    let mut retries = Vec::new();
    while let Some(event) = told(&mut events).await {
        match event {
            Event::Retrying { run: of, attempt, .. } => retries.push((of, attempt)),
            Event::Dead { .. } => panic!("it is not dead"),
            _ => {}
        }
    }
    assert_eq!(retries, [(run, 1), (run, 2)]);
}

#[tokio::test]
async fn a_run_without_a_retry_left_is_dead_and_can_be_replayed() {
    let (job, seen) = failing(retried("work", 1), u32::MAX);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let mut events = test.scheduler().events();
    let run = test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    test.drain().await;
    let dead = runs(test.scheduler()).await;
    assert_eq!((dead[0].id, dead[0].end, dead[0].attempts), (run, Some(RunEnd::Dead), 2));
    assert_eq!(dead[0].last_error.as_deref(), Some("no 2"));
    let mut died = false;
    while let Some(event) = told(&mut events).await {
        died |= matches!(event, Event::Dead { run: of, attempts: 2, .. } if of == run);
    }
    assert!(died);
    assert!(test.scheduler().replay(run).await.unwrap());
    assert!(!test.scheduler().replay(run).await.unwrap(), "it waits already");
    test.drain().await;
    let numbers: Vec<_> = seen.lock().iter().map(|(_, attempt, _)| *attempt).collect();
    assert_eq!(numbers, [1, 2, 1, 2], "a replay begins anew");
    assert_eq!(runs(test.scheduler()).await[0].replays, 1);
}

#[tokio::test]
async fn an_enqueued_run_without_a_policy_is_retried_for_four_hours() {
    let (job, seen) = failing(detail("work"), u32::MAX);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let begin = test.now();
    test.scheduler().enqueue(detail("work")).await.unwrap();
    test.drain().await;
    assert_eq!(seen.lock().len(), 11);
    let (hours, took) = (240 * MINUTE, (test.now() - begin).to_std().unwrap());
    assert!(hours * 4 / 5 <= took && took <= hours * 4 / 3, "{took:?}");
    assert_eq!(runs(test.scheduler()).await[0].end, Some(RunEnd::Dead));
}

#[tokio::test]
async fn a_scheduler_says_how_enqueued_runs_are_retried() {
    let (job, seen) = failing(detail("work"), u32::MAX);
    let builder = Scheduler::builder().register(job).retry_enqueued(RetryPolicy::never());
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().enqueue(detail("work")).await.unwrap();
    test.scheduler().enqueue(detail("work")).retry(policy(1)).await.unwrap();
    test.drain().await;
    assert_eq!(attempts(&seen), [1, 1, 2]);
    assert_eq!(runs(test.scheduler()).await.len(), 2, "both are dead");
    let nonsense = RetryPolicy::new(1, Backoff::Fixed(Duration::ZERO));
    let problem = Scheduler::builder().retry_enqueued(nonsense).build().unwrap_err().to_string();
    assert!(problem.contains("the retry policy of enqueued runs: a delay of 0ns"), "{problem}");
    let unknown = policy(1).on([FailureKind::Failed]);
    let problem = Scheduler::builder().retry_enqueued(unknown).build().unwrap_err().to_string();
    assert!(problem.contains("the retry policy of enqueued runs: leaves out `lost`"), "{problem}");
}

#[tokio::test]
async fn an_occurrence_without_a_policy_is_over_when_it_fails() {
    let (job, seen) = failing(detail("work"), u32::MAX);
    let trigger = Trigger::every(10 * MINUTE).repeat(1);
    let test =
        TestScheduler::start(NOW, Scheduler::builder().register(job.with_trigger(trigger))).await.unwrap();
    test.drain().await;
    assert_eq!(attempts(&seen), [1, 1]);
    assert!(runs(test.scheduler()).await.is_empty());
}

#[tokio::test]
async fn the_policy_of_a_run_comes_before_that_of_its_job() {
    let (job, seen) = failing(retried("work", 9), u32::MAX);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.scheduler().enqueue(retried("work", 9)).retry(policy(0)).await.unwrap();
    test.drain().await;
    assert_eq!(seen.lock().len(), 1);
    assert_eq!(runs(test.scheduler()).await[0].end, Some(RunEnd::Dead));
}

#[tokio::test]
async fn a_firing_that_fails_is_attempted_again_as_a_run_of_its_trigger() {
    let (job, seen) = failing(retried("work", 1), 1);
    let trigger = Trigger::every(10 * MINUTE).name("often").data(JobData::new().with("order", 7)).repeat(1);
    let test =
        TestScheduler::start(NOW, Scheduler::builder().register(job.with_trigger(trigger))).await.unwrap();
    assert_eq!(seen.lock().len(), 1);
    let waiting = runs(test.scheduler()).await;
    assert_eq!((waiting.len(), waiting[0].attempts), (1, 1));
    test.advance(2 * MINUTE).await;
    assert_fired!(test, "work", 2);
    let (first, second) = (test.fired()[0].clone(), test.fired()[1].clone());
    assert_eq!((second.trigger, second.data), (first.trigger, first.data), "it is the same occurrence");
    assert_eq!(second.scheduled, first.scheduled);
    assert_ne!(second.execution, first.execution);
    let runs_seen: Vec<_> = seen.lock().iter().map(|(run, ..)| *run).collect();
    assert_eq!(runs_seen[0], runs_seen[1], "and the same run");
    test.advance(20 * MINUTE).await;
    assert_fired!(test, "work", 4);
    assert!(runs(test.scheduler()).await.is_empty());
}

#[tokio::test]
async fn what_panics_or_takes_too_long_has_failed_too() {
    let panics = |context: JobContext| async move { assert!(context.attempt() > 1, "first time") };
    let slow = |context: JobContext| async move {
        let time = if context.attempt() == 1 { 10 * MINUTE } else { Duration::ZERO };
        context.clock().sleep(time).await;
    };
    let late = retried("late", 1).to_builder().timeout(MINUTE).build();
    let builder = Scheduler::builder()
        .register(JobDefinition::new(retried("panics", 1), panics))
        .register(JobDefinition::new(late.clone(), slow));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().enqueue(retried("panics", 1)).await.unwrap();
    test.scheduler().enqueue(late).await.unwrap();
    test.drain().await;
    let words = |job: &str| -> Vec<_> {
        test.fired_of(job).iter().map(|fired| fired.outcome.as_ref().unwrap().word()).collect()
    };
    assert_eq!(words("panics"), ["panicked", "succeeded"]);
    assert_eq!(words("late"), ["timed out", "succeeded"]);
    assert!(runs(test.scheduler()).await.is_empty());
}

#[tokio::test]
async fn a_run_comes_when_it_is_wanted_and_in_its_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = order.clone();
    let job = JobDefinition::new(detail("work"), move |context: JobContext| {
        noted.lock().push(context.data().get::<u32>("number").unwrap().unwrap());
        async {}
    });
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job).concurrency(1)).await.unwrap();
    let number =
        |number: u32| Invocation::with_args(detail("work"), &serde_json::json!({ "number": number }));
    let at = test.now() + MINUTE;
    test.scheduler().standby().unwrap();
    let scheduler = test.scheduler();
    scheduler.enqueue(number(4)).delay(2 * MINUTE).await.unwrap();
    scheduler.enqueue(number(3)).at(at).await.unwrap();
    scheduler.enqueue(number(2)).at(at).priority(9).await.unwrap();
    let first = scheduler.enqueue(number(1)).await.unwrap();
    let again = scheduler.enqueue(number(5)).id(first).await.unwrap();
    assert_eq!((again, runs(scheduler).await.len()), (first, 4), "that id is there already");
    let id = RunId::from_key("order 6");
    for _ in 0..2 {
        assert_eq!(scheduler.enqueue(number(6)).at(at + MINUTE).id(id).await.unwrap(), id);
    }
    assert_eq!(runs(scheduler).await.len(), 5);
    assert!(scheduler.cancel_run(id).await.unwrap());
    scheduler.start().await.unwrap();
    test.run_due().await;
    assert_eq!(*order.lock(), [1]);
    test.advance(MINUTE).await;
    assert_eq!(*order.lock(), [1, 2, 3]);
    test.advance(MINUTE).await;
    assert_eq!(*order.lock(), [1, 2, 3, 4]);
    let many = (10..13).map(number);
    let ids = scheduler.enqueue_all(many).await.unwrap();
    assert!(ids.is_sorted(), "{ids:?}");
    test.run_due().await;
    assert_eq!(order.lock()[4..], [10, 11, 12]);
}

#[tokio::test]
async fn a_cancelled_run_is_not_attempted_any_more() {
    let (job, seen) = failing(retried("work", 9), u32::MAX);
    let waits = |context: JobContext| async move { until_asked(&context).await };
    let builder = Scheduler::builder().register(job).register(JobDefinition::new(retried("waits", 9), waits));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let scheduler = test.scheduler();
    let between = scheduler.enqueue(retried("work", 9)).await.unwrap();
    let running = scheduler.enqueue(retried("waits", 9)).await.unwrap();
    test.run_due().await;
    assert!(scheduler.cancel_run(between).await.unwrap() && scheduler.cancel_run(running).await.unwrap());
    test.drain().await;
    assert_eq!(seen.lock().len(), 1);
    let ends = runs(scheduler).await.iter().map(|run| run.end).collect::<Vec<_>>();
    assert_eq!(ends, [Some(RunEnd::Cancelled)], "the other one has finished its work");
    assert!(!scheduler.cancel_run(between).await.unwrap());
}

/// What a shutdown interrupts waits again, at the head, and the attempt does not count.
#[tokio::test]
async fn an_interrupted_run_waits_for_the_next_scheduler() {
    let (store, clock) = (MemoryJobStore::new(), ManualClock::at(NOW));
    let begun = Arc::new(AtomicUsize::new(0));
    let build = || {
        let begun = begun.clone();
        let body = move |context: JobContext| {
            assert_eq!(context.attempt(), 1, "an interrupted attempt does not count");
            let stops = begun.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if stops {
                    until_asked(&context).await;
                    return Err(JobError::new("stopped half way"));
                }
                Ok(())
            }
        };
        let job = JobDefinition::new(detail("work"), body);
        Scheduler::builder().clock(clock.clone()).store(store.clone()).register(job).build().unwrap()
    };
    let first = build();
    first.start().await.unwrap();
    let run = first.enqueue(detail("work")).await.unwrap();
    clock.settle().await;
    let ending = first.clone();
    let report = tokio::spawn(async move { ending.shutdown(Duration::from_secs(30)).await });
    while first.state() != SchedulerState::ShuttingDown {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(40)).await;
    assert_eq!(report.await.unwrap().cancelled.len(), 1);
    let left = Queries::all_runs(&store, RunQuery::default()).await.unwrap();
    assert_eq!((left[0].id, left[0].state, left[0].attempts), (run, RunState::Waiting, 0));
    let second = build();
    second.start().await.unwrap();
    clock.settle().await;
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    assert!(runs(&second).await.is_empty());
}

#[tokio::test]
async fn a_lost_answer_neither_loses_nor_doubles_a_run() {
    for verb in [Verb::AcquireDue, Verb::Complete, Verb::Enqueue] {
        let clock = ManualClock::at(NOW);
        let store = FaultyStore::new(MemoryJobStore::new());
        let (job, seen) = failing(retried("work", 3), 1);
        let builder = Scheduler::builder().clock(clock.clone()).store(store.clone()).register(job);
        let scheduler = builder.build().unwrap();
        scheduler.start().await.unwrap();
        clock.settle().await;
        store.inject(verb, Fault::LosesReply, 2);
        let id = RunId::new(1, 2);
        while scheduler.enqueue(retried("work", 3)).id(id).await.is_err() {}
        clock.advance(Duration::from_secs(600)).await;
        let numbers: Vec<_> = seen.lock().iter().map(|(_, attempt, _)| *attempt).collect();
        assert_eq!(numbers, [1, 2], "{verb:?}");
        assert!(runs(&scheduler).await.is_empty(), "{verb:?}");
    }
}

/// The stored job of that name is another function's by now, which this program does not have. The run is that of its own function.
#[tokio::test]
async fn a_run_goes_by_its_own_function() {
    let store = MemoryJobStore::new();
    let (job, seen) = failing(detail("work"), 0);
    let builder = Scheduler::builder().store(store.clone()).register(job);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().standby().unwrap();
    let run = test.scheduler().enqueue(detail("work")).await.unwrap();
    let other = JobDetail::builder("work".parse().unwrap(), "elsewhere").durable(true).build();
    let put = Put {
        jobs: vec![other.into()],
        existing_jobs: Existing::Replace,
        triggers: Vec::new(),
        existing_triggers: Existing::Refuse,
    };
    Changes::put(&store, put).await.unwrap();
    test.scheduler().start().await.unwrap();
    test.drain().await;
    assert!(runs(test.scheduler()).await.is_empty());
    assert_eq!(*seen.lock(), [(run, 1, None)]);
}

/// Whatever its attempt has come to.
#[tokio::test]
async fn a_run_that_is_cancelled_while_it_fails_is_over() {
    let fails = |context: JobContext| async move {
        until_asked(&context).await;
        assert!(context.attempt() > 1, "in the end");
    };
    let job = JobDefinition::new(retried("work", 9), fails);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let run = test.scheduler().enqueue(retried("work", 9)).await.unwrap();
    test.run_due().await;
    assert!(test.scheduler().cancel_run(run).await.unwrap());
    test.drain().await;
    assert_fired!(test, "work", 1);
    assert_eq!(runs(test.scheduler()).await[0].end, Some(RunEnd::Cancelled));
}
