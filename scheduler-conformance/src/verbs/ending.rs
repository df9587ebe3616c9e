//! Complete, cancel, and what becomes of runs whose trigger or job changes.

use scheduler_core::job::CancelReason;
use scheduler_core::run::{Delivery, FiringCause, RunEnd};
use scheduler_core::store::*;

use super::running::{error, numbers, run};
use crate::bench::*;

const KEPT: CompleteResult = CompleteResult::Done { trigger_removed: false, job_removed: false };
const REMOVED: CompleteResult = CompleteResult::Done { trigger_removed: true, job_removed: false };
const REMOVED_WITH_JOB: CompleteResult = CompleteResult::Done { trigger_removed: true, job_removed: true };

checks! { ($) ending, __store_checks_of_ending;

async fn an_execution_ends_once(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0)]).await;
    let claimed = bench.acquire(0, 1).await;
    assert_eq!(bench.complete(&claimed[0]).await, CompleteResult::Gone, "it was not fired");
    bench.fire(0, &claimed[0]).await;
    let listed = bench.store.executions(Executions::OfJob("work".parse().unwrap())).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, listed[0].fired), (claimed[0].claim, at(0)));
    assert_eq!((listed[0].job.to_string(), listed[0].trigger.to_string()), ("work".into(), "a".into()));
    assert_eq!(bench.complete(&claimed[0]).await, KEPT);
    assert_eq!(bench.complete(&claimed[0]).await, CompleteResult::Gone);
    assert!(bench.store.executions(Executions::All).await.unwrap().is_empty());
}

async fn the_last_run_takes_its_trigger_and_an_orphaned_job(bench) {
    bench.put(&job("gone").build(), [once("a", 0)]).await;
    bench.put(&job("kept").durable(true).build(), [once("b", 1)]).await;
    bench.put(&job("shared").build(), [once("c", 2), every_minute("d", 100)]).await;
    let expected = [REMOVED_WITH_JOB, REMOVED, REMOVED];
    for (second, expected) in (0..).zip(expected) {
        let run = bench.run(second).await;
        assert_eq!(bench.complete_with(&run, Instruction::RemoveTrigger).await, expected);
    }
    assert_eq!(bench.jobs().await, ["kept", "shared"]);
    assert_eq!(bench.triggers().await, ["d"]);
}

async fn a_trigger_at_its_end_is_complete_until_it_is_removed(bench) {
    bench.put(&job("work").build(), [once("a", 0)]).await;
    let run = bench.run(0).await;
    assert_eq!(bench.state("a").await, TriggerState::Executing);
    bench.complete(&run).await;
    assert_eq!(bench.state("a").await, TriggerState::Complete);
    assert!(bench.acquire(1000, 1).await.is_empty());
}

/// A job may schedule its own trigger anew while it runs.
async fn a_trigger_that_was_given_new_times_meanwhile_stays(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [once("a", 0)]).await;
    let run = bench.run(0).await;
    let (trigger, progress) = built(&of_job, once("a", 50));
    let change = Reschedule { old: key("a"), revision: None, trigger, progress: Some(progress) };
    assert!(bench.store.reschedule(change).await.unwrap());
    assert_eq!(bench.complete_with(&run, Instruction::RemoveTrigger).await, KEPT);
    assert_eq!(names(&bench.acquire(50, 1).await), ["a"]);
}

async fn the_last_of_two_runs_takes_the_trigger(bench) {
    bench.put(&job("work").durable(true).build(), [every_minute("a", 0).repeat(1)]).await;
    let first = bench.run(0).await;
    let second = bench.run(60).await;
    bench.complete(&first).await;
    assert_eq!(bench.complete_with(&second, Instruction::RemoveTrigger).await, REMOVED);
}

async fn a_finished_trigger_never_fires_again(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0), every_minute("b", 100)]).await;
    let run = bench.run(0).await;
    bench.complete_with(&run, Instruction::FinishTrigger).await;
    assert_eq!(bench.state("a").await, TriggerState::Complete);
    assert_eq!(bench.resume(Selection::All).await, [""; 0]);
    assert_eq!(bench.store.reset(vec![key("a")]).await.unwrap(), [false]);
    assert_eq!(names(&bench.acquire(1000, 10).await), ["b"]);
}

async fn a_finished_job_has_only_complete_triggers(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0), every_minute("b", 100), every_minute("c", 100)]).await;
    bench.put(&job("other").build(), [every_minute("d", 100)]).await;
    bench.pause(Selection::Trigger(key("c"))).await;
    let run = bench.run(0).await;
    bench.complete_with(&run, Instruction::FinishJob).await;
    for name in ["a", "b", "c"] {
        assert_eq!(bench.state(name).await, TriggerState::Complete, "{name}");
    }
    assert_eq!(names(&bench.acquire(1000, 10).await), ["d"]);
}

async fn a_failed_trigger_waits_for_a_reset(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0), every_minute("b", 100)]).await;
    let run = bench.run(0).await;
    bench.complete_with(&run, Instruction::FailTrigger).await;
    assert_eq!(bench.state("a").await, TriggerState::Error);
    assert_eq!(names(&bench.acquire(100, 10).await), ["b"]);
    assert_eq!(bench.resume(Selection::All).await, [""; 0], "resuming does not hide an error");
    assert_eq!(bench.pause(Selection::Trigger(key("a"))).await, [""; 0], "nor does pausing");
    let reset = bench.store.reset(vec![key("x"), key("a"), key("b")]).await.unwrap();
    assert_eq!(reset, [false, true, false]);
    assert_eq!(bench.state("a").await, TriggerState::Normal);
    assert_eq!(names(&bench.acquire(100, 10).await), ["a"]);
}

async fn a_failed_job_has_only_triggers_in_error(bench) {
    bench.put(&exclusive("work"), [every_minute("a", 0), every_minute("b", 0)]).await;
    let run = bench.run(0).await;
    bench.complete_with(&run, Instruction::FailJob).await;
    assert_eq!((bench.state("a").await, bench.state("b").await), (TriggerState::Error, TriggerState::Error));
    assert!(bench.acquire(1000, 10).await.is_empty());
    bench.store.reset(vec![key("b")]).await.unwrap();
    assert_eq!(names(&bench.acquire(1000, 10).await), ["b"], "the job is free");
}

async fn a_job_keeps_the_data_of_a_run_if_it_wants_to(bench) {
    for (name, keeps, second) in [("keeps", true, 0), ("drops", false, 1)] {
        bench.put(&job(name).persist_data(keeps).data(data("n", 1)).build(), [every_minute(name, second)]).await;
        let run = bench.run(second).await;
        let data = Some(data("n", 2));
        bench.complete_as(Completion { data, ..Completion::of(run.claim) }).await;
    }
    let jobs = bench.store.all_jobs(JobQuery::default()).await.unwrap();
    let n = |index: usize| jobs[index].data().get::<u32>("n").unwrap().unwrap();
    assert_eq!((jobs[1].key().name(), n(1)), ("keeps", 2));
    assert_eq!((jobs[0].key().name(), n(0)), ("drops", 1));
}

async fn a_run_of_a_removed_trigger_ends_without_harm(bench) {
    let of_job = exclusive("work");
    bench.put(&of_job, [every_minute("a", 0), every_minute("b", 0)]).await;
    let run = bench.run(0).await;
    bench.store.remove_triggers(vec![key("a")]).await.unwrap();
    assert!(bench.acquire(0, 1).await.is_empty(), "the run still holds its job");
    assert_eq!(bench.store.executions(Executions::OfTrigger(key("a"))).await.unwrap().len(), 1);
    bench.put(&of_job, [every_minute("a", 0)]).await;
    assert_ne!(bench.state("a").await, TriggerState::Executing, "it is another one of this name");
    assert_eq!(bench.complete_with(&run, Instruction::FailTrigger).await, KEPT);
    assert_eq!(bench.state("a").await, TriggerState::Normal);
    assert_eq!(names(&bench.acquire(0, 1).await), ["a"]);
}

/// The new job of that name is another one, but two of its runs must not overlap either.
async fn a_run_of_a_removed_job_ends_without_harm(bench) {
    bench.put(&exclusive("work"), [every_minute("a", 0)]).await;
    let run = bench.run(0).await;
    assert_eq!(bench.store.remove_jobs(vec!["work".parse().unwrap()]).await.unwrap(), [true]);
    bench.put(&exclusive("work"), [every_minute("a", 0)]).await;
    assert!(bench.acquire(0, 1).await.is_empty(), "the old run holds the name");
    bench.complete(&run).await;
    assert_eq!(names(&bench.acquire(0, 1).await), ["a"]);
}

async fn a_request_to_stop_reaches_the_node_until_the_run_has_ended(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0), every_minute("b", 1)]).await;
    let (a, b) = (bench.run(0).await, bench.run(1).await);
    assert_eq!(bench.store.cancel(Executions::One(b.claim)).await.unwrap(), [b.claim]);
    assert_eq!(bench.cancelled(TWO, 1).await, [], "it runs on another node");
    assert_eq!(bench.cancelled(ONE, 1).await, [(b.claim, CancelReason::Requested)]);
    assert_eq!(bench.cancelled(ONE, 1).await, [(b.claim, CancelReason::Requested)], "the reply may have been lost");
    assert_eq!(bench.store.cancel(Executions::OfTrigger(key("a"))).await.unwrap(), [a.claim]);
    bench.complete(&a).await;
    assert_eq!(bench.cancelled(ONE, 1).await.len(), 1, "the other one has ended by itself");
    assert_eq!(bench.store.cancel(Executions::One(a.claim)).await.unwrap(), []);
    assert_eq!(bench.store.cancel(Executions::OfJob("work".parse().unwrap())).await.unwrap(), [b.claim]);
}

async fn what_is_claimed_and_not_fired_cannot_be_stopped(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0)]).await;
    bench.acquire(0, 1).await;
    assert_eq!(bench.store.cancel(Executions::All).await.unwrap(), []);
    assert!(bench.store.executions(Executions::All).await.unwrap().is_empty());
}

/// Somebody runs an occurrence of the past. The run shows when that was due, and waits from now on.
async fn a_run_of_a_past_occurrence_keeps_its_time(bench) {
    let mut past = run(1, &job("work").build(), 1);
    past.cause = Cause::Backfill { trigger: key("a"), scheduled: at(-100) };
    bench.enqueue(vec![past.clone()]).await;
    let taken = bench.take_one(1).await;
    assert_eq!((taken.scheduled, taken.due, taken.cause), (at(-100), at(1), FiringCause::Backfill));
    assert_eq!((taken.trigger.key(), taken.occurrence_of), (&key("a"), None));
    assert_eq!(bench.run_status(1).await.unwrap().cause, past.cause);
}

/// They are no attempts, and a replay forgets them.
async fn interruptions_of_a_run_are_counted(bench) {
    bench.enqueue(vec![run(1, &job("work").build(), 1)]).await;
    for (due, before, interrupted) in [(1, 0, true), (2, 1, false), (3, 1, true)] {
        let taken = bench.take_one(due).await;
        assert_eq!((taken.interruptions, taken.attempt), (before, 1));
        let fate = Fate::Again { at: at(due + 1), counts: false, error: None };
        bench.complete_as(Completion { fate, interrupted, ..Completion::of(taken.claim) }).await;
    }
    assert_eq!(bench.run_status(1).await.unwrap().interruptions, 2);
    let taken = bench.take_one(4).await;
    let fate = Fate::Dead { error: Some(error("no")) };
    bench.complete_as(Completion { fate, ..Completion::of(taken.claim) }).await;
    assert_eq!(bench.change(&[1], RunChange::replay()).await, [RunChanged::Done]);
    assert_eq!(bench.take_one(9).await.interruptions, 0);
}

async fn a_node_is_told_that_a_run_was_withdrawn_which_it_wants_to_be_retried_or_dead(bench) {
    bench.enqueue((1..=4).map(|number| run(number, &job("work").build(), 1)).collect()).await;
    let taken = bench.take(1, 10).await;
    assert_eq!(bench.change(&[1, 2, 3, 4], RunChange::Cancel).await, [RunChanged::Done; 4]);
    let again = Fate::Again { at: at(3), counts: true, error: Some(error("no")) };
    for (run, fate) in taken.iter().zip([again, Fate::Dead { error: None }]) {
        assert_eq!(bench.end(run, fate).await, CompleteResult::Withdrawn);
        assert_eq!(bench.run_status(run.run.count()).await.unwrap().end, Some(RunEnd::Cancelled));
    }
    for (run, fate) in taken[2..].iter().zip([Fate::Cancelled, Fate::Over]) {
        assert!(matches!(bench.end(run, fate).await, CompleteResult::Done { .. }));
    }
}

/// Nobody says whether the attempt has begun.
async fn a_run_that_begins_at_most_once_is_cancelled_with_the_end_of_its_node(bench) {
    let mut once = run(1, &job("work").build(), 1);
    once.delivery = Delivery::AtMostOnce;
    bench.enqueue(vec![once, run(2, &job("work").build(), 1)]).await;
    assert_eq!(bench.take(1, 10).await.len(), 2);
    bench.store.detach(ONE).await.unwrap();
    assert_eq!(bench.run_status(1).await.unwrap().end, Some(RunEnd::Cancelled));
    assert_eq!(numbers(&bench.ask(TWO, 5, 10, QueueLimits::default()).await.runs), [2]);
}

async fn a_node_is_told_whether_a_run_may_begin_again(bench) {
    let mut once = run(1, &job("work").build(), 1);
    once.delivery = Delivery::AtMostOnce;
    bench.enqueue(vec![once, run(2, &job("work").build(), 2)]).await;
    assert_eq!(bench.take_one(1).await.delivery, Delivery::AtMostOnce);
    assert_eq!(bench.take_one(2).await.delivery, Delivery::AtLeastOnce);
}
}
