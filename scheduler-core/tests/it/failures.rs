//! What an error says of its run: no retry can help, when to try again, nobody needs to look, nothing to do yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::run::{AttemptError, FailureKind, FiringCause, RunEnd};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{FiringOutcome, FiringQuery, MemoryJobStore, RunQuery};
use scheduler_core::testing::TestScheduler;
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;

use crate::retrying::{MINUTE, NOW, Seen, attempts, detail, retried, runs, told};

/// A job whose attempts end like this, one after the other, and then succeed.
fn ending(detail: JobDetail, ends: impl IntoIterator<Item = JobError>) -> (JobDefinition, Seen) {
    let (seen, ends) = (Seen::default(), Arc::new(Mutex::new(ends.into_iter().collect::<VecDeque<_>>())));
    let job = JobDefinition::new(detail, {
        let seen = seen.clone();
        move |context: JobContext| {
            let last_error = context.last_error().map(str::to_owned);
            seen.lock().push((context.run_id(), context.attempt(), last_error));
            let end = ends.lock().pop_front().map_or(Ok(()), Err);
            async move { end }
        }
    });
    (job, seen)
}

#[tokio::test]
async fn an_error_that_no_retry_can_help_makes_the_run_dead_at_once() {
    let (job, seen) = ending(retried("work", 9), [JobError::fatal("no such address")]);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.scheduler().enqueue(retried("work", 9)).await.unwrap();
    test.drain().await;
    let dead = runs(test.scheduler()).await;
    assert_eq!((dead[0].end, dead[0].attempts), (Some(RunEnd::Dead), 1));
    assert_eq!(dead[0].last_error.as_deref(), Some("no such address"));
    assert_eq!(attempts(&seen), [1]);
}

#[tokio::test]
async fn a_run_that_is_discarded_leaves_nothing_but_its_record() {
    let (job, seen) = ending(retried("work", 9), [JobError::discard("not wanted any more")]);
    let store = MemoryJobStore::keeping_history(10);
    let test = TestScheduler::start(NOW, Scheduler::builder().store(store).register(job)).await.unwrap();
    test.scheduler().enqueue(retried("work", 9)).await.unwrap();
    test.drain().await;
    assert!(runs(test.scheduler()).await.is_empty());
    assert_eq!(attempts(&seen), [1]);
    let records = test.scheduler().all_firings(FiringQuery::default()).await.unwrap();
    let record = (records[0].outcome, records[0].reason, records[0].failure.as_deref());
    assert_eq!(record, (FiringOutcome::Discarded, None, Some("not wanted any more")));
}

#[tokio::test]
async fn a_job_may_say_when_it_is_tried_again_as_long_as_a_retry_is_left() {
    let (second, hour) = (Duration::from_secs(1), 60 * MINUTE);
    let at = |after: Duration| NOW.parse::<DateTime<Utc>>().unwrap() + after;
    let ends = [
        JobError::retry_in(second, "busy"),
        JobError::retry_at(at(hour), "closed"),
        JobError::retry_at(at(Duration::ZERO), "a time that has passed"),
        JobError::retry_in(second, "no retry is left"),
    ];
    let (job, seen) = ending(retried("work", 3), ends);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.scheduler().enqueue(retried("work", 3)).await.unwrap();
    test.run_due().await;
    assert_eq!(runs(test.scheduler()).await[0].due, at(second));
    test.advance(second).await;
    assert_eq!(runs(test.scheduler()).await[0].due, at(hour));
    test.advance(hour).await;
    let dead = runs(test.scheduler()).await;
    assert_eq!((dead[0].end, dead[0].attempts), (Some(RunEnd::Dead), 4));
    assert_eq!(dead[0].last_error.as_deref(), Some("no retry is left"));
    assert_eq!(attempts(&seen), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_snooze_does_not_count_and_never_spins() {
    let ends = [
        JobError::snooze(MINUTE),
        JobError::snooze(Duration::ZERO),
        JobError::new("busy"),
        JobError::snooze_until(NOW.parse::<DateTime<Utc>>().unwrap() + 60 * MINUTE),
        JobError::new("busy"),
    ];
    let (job, seen) = ending(retried("work", 1), ends);
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let mut events = test.scheduler().events();
    let run = test.scheduler().enqueue(retried("work", 1)).await.unwrap();
    test.run_due().await;
    let waiting = runs(test.scheduler()).await;
    assert_eq!((waiting[0].attempts, waiting[0].last_error.clone()), (0, None));
    assert_eq!(waiting[0].due, test.now() + MINUTE);
    test.advance(MINUTE).await;
    assert_eq!(runs(test.scheduler()).await[0].due, test.now() + Duration::from_millis(100));
    test.drain().await;
    assert_eq!(attempts(&seen), [1, 1, 1, 2, 2]);
    let dead = runs(test.scheduler()).await;
    assert_eq!((dead[0].end, dead[0].attempts), (Some(RunEnd::Dead), 2));
    let mut snoozed = 0;
    while let Some(event) = told(&mut events).await {
        snoozed += usize::from(matches!(event, Event::Snoozed { run: of, .. } if of == run));
    }
    assert_eq!(snoozed, 3);
}

#[tokio::test]
async fn an_occurrence_that_snoozes_waits_as_a_run_of_its_trigger() {
    let (job, seen) = ending(detail("work"), [JobError::snooze(MINUTE), JobError::snooze(MINUTE)]);
    let store = MemoryJobStore::keeping_history(10);
    let trigger = Trigger::every(60 * MINUTE).name("often").repeat(1);
    let builder = Scheduler::builder().store(store).register(job.with_trigger(trigger));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    let waiting = runs(test.scheduler()).await;
    assert_eq!((waiting[0].attempts, waiting[0].due), (0, test.now() + MINUTE));
    test.advance(2 * MINUTE).await;
    assert_eq!(attempts(&seen), [1, 1, 1]);
    assert!(runs(test.scheduler()).await.is_empty());
    let records = test.scheduler().all_firings(FiringQuery::default()).await.unwrap();
    let what =
        records.iter().map(|record| (record.outcome, record.cause, record.attempt)).collect::<Vec<_>>();
    let (snoozed, schedule) = (FiringOutcome::Snoozed, FiringCause::Schedule);
    assert_eq!(
        what,
        [(FiringOutcome::Succeeded, schedule, 1), (snoozed, schedule, 1), (snoozed, schedule, 1)]
    );
    assert!(records.iter().all(|record| record.trigger == Some("often".parse().unwrap())));
}

#[tokio::test]
async fn a_start_up_job_cannot_snooze() {
    let (job, _) = ending(detail("prepare"), [JobError::snooze(MINUTE)]);
    let builder = Scheduler::builder().register(job).before_start(Invocation::new(detail("prepare")));
    let error = TestScheduler::start(NOW, builder).await.err().unwrap().to_string();
    assert!(error.contains("start-up job `prepare`: it asked to run later"), "{error}");
}

#[tokio::test]
async fn an_occurrence_that_somebody_has_cancelled_does_not_come_back_by_a_snooze() {
    let started = Arc::new(tokio::sync::Semaphore::new(0));
    let job = JobDefinition::new(detail("work"), {
        let started = started.clone();
        move |context: JobContext| {
            started.add_permits(1);
            async move {
                context.cancellation().cancelled().await;
                Err::<(), _>(JobError::snooze(MINUTE))
            }
        }
    });
    let clock = ManualClock::at(NOW);
    let trigger = Trigger::every(60 * MINUTE).repeat(0);
    let builder = Scheduler::builder().clock(clock.clone()).register(job.with_trigger(trigger));
    let scheduler = builder.build().unwrap();
    let mut events = scheduler.events();
    scheduler.start().await.unwrap();
    started.acquire().await.unwrap().forget();
    scheduler.cancel(scheduler_core::store::Executions::All).await.unwrap();
    let outcome = loop {
        if let Some(Event::Ended { outcome, .. }) = events.next().await {
            break outcome;
        }
    };
    assert_eq!(outcome, "cancelled");
    scheduler.shutdown(MINUTE).await;
    assert!(runs(&scheduler).await.is_empty());
}

/// What a job sees of the attempts before.
#[tokio::test]
async fn a_job_sees_what_the_attempts_before_have_failed_with() {
    type Look = (u32, u32, bool, FiringCause, Vec<(u32, FailureKind, String)>);
    let seen: Arc<Mutex<Vec<Look>>> = Arc::default();
    let job = JobDefinition::new(retried("work", 12), {
        let seen = seen.clone();
        move |context: JobContext| {
            let errors = context.errors().iter().map(|error| {
                assert_eq!(error.node.as_deref(), Some("here"));
                (error.attempt, error.kind, error.text.to_string())
            });
            let look =
                (context.attempt(), context.max_attempts(), context.is_last_attempt(), context.cause());
            seen.lock().push((look.0, look.1, look.2, look.3, errors.collect()));
            let (attempt, first) = (context.attempt(), context.first_attempt_at());
            async move {
                assert_eq!(first.to_rfc3339(), "2026-03-01T00:00:00+00:00");
                assert_ne!(attempt, 2, "a panic");
                Err::<(), _>(JobError::new("x".repeat(5_000)))
            }
        }
    });
    let builder = Scheduler::builder().node_name("here").register(job);
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().enqueue(retried("work", 12)).await.unwrap();
    test.drain().await;
    let seen = seen.lock().clone();
    assert_eq!(seen.len(), 13);
    assert!(seen.iter().all(|(_, most, ..)| *most == 13));
    assert_eq!(seen.iter().filter(|(_, _, is_last, ..)| *is_last).count(), 1);
    assert_eq!((seen[0].3, seen[1].3), (FiringCause::Enqueued, FiringCause::Retry));
    let kinds: Vec<_> = seen[2].4.iter().map(|(attempt, kind, _)| (*attempt, *kind)).collect();
    assert_eq!(kinds, [(1, FailureKind::Failed), (2, FailureKind::Panicked)]);
    let attempts = |look: &Look| look.4.iter().map(|(attempt, ..)| *attempt).collect::<Vec<_>>();
    assert_eq!(attempts(&seen[12]), (3..=12).collect::<Vec<_>>(), "the latest ten");
    assert!(seen[12].4.iter().all(|(.., text)| text.len() == AttemptError::MAX_LENGTH));
    let dead = test.scheduler().all_runs(RunQuery::dead()).await.unwrap();
    assert_eq!((dead[0].errors.len(), dead[0].errors[9].attempt), (10, 13));
}
