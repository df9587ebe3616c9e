//! Occurrences of triggers that are tried again, and what their triggers do meanwhile.

use scheduler_core::job::{CancelReason, JobDetail};
use scheduler_core::run::{FiringCause, RetryPolicy, RunEnd, RunId, RunState};
use scheduler_core::store::*;
use scheduler_core::trigger::{OverlapPolicy, TriggerBuilder};

use super::running::error;
use crate::bench::*;

fn trigger(overlap: OverlapPolicy) -> TriggerBuilder {
    every_minute("a", 0).overlap(overlap)
}

fn again(seconds: i64) -> Fate {
    Fate::Again { at: at(seconds), counts: true, error: Some(error("no")) }
}

impl Bench {
    /// A trigger that fires at the begin, and whose first occurrence is to be tried again then.
    async fn put_retried(&self, overlap: OverlapPolicy, retry: i64) -> RunId {
        let work = job("work").build();
        self.put(&work, [trigger(overlap)]).await;
        self.fail(&work, 0, retry).await
    }

    /// Fires the trigger, whose attempt fails.
    async fn fail(&self, job: &JobDetail, now: i64, retry: i64) -> RunId {
        let acquired = self.run(now).await;
        self.fail_attempt(job, &acquired, now, retry).await
    }

    async fn fail_attempt(&self, job: &JobDetail, of: &AcquiredTrigger, now: i64, retry: i64) -> RunId {
        let run = NewRun::of_firing(of.claim, &job.clone().into(), &of.trigger, at(now), at(now));
        let id = run.id;
        let promise = Some(Box::new(run));
        self.complete_as(Completion { fate: again(retry), promise, ..Completion::of(of.claim) }).await;
        id
    }

    async fn retry(&self, id: RunId) -> Option<RunStatus> {
        self.store.all_runs(RunQuery::one(id)).await.unwrap().pop()
    }

    async fn retry_at(&self, seconds: i64) -> AcquiredRun {
        let mut taken = self.ask(ONE, seconds, 1, QueueLimits::default()).await;
        assert_eq!((taken.runs.len(), taken.triggers.len()), (1, 0), "only the retry is due");
        taken.runs.remove(0)
    }

    async fn end_retry(&self, run: &AcquiredRun, fate: Fate) {
        self.complete_as(Completion { fate, ..Completion::of(run.claim) }).await;
    }
}

checks! { ($) retrying, __store_checks_of_retrying;

/// A nightly job that fails for three days must not skip three nights.
async fn the_next_occurrence_takes_the_place_of_a_retry_that_waits(bench) {
    let work = job("work").build();
    for (round, overlap) in
        [OverlapPolicy::Skip, OverlapPolicy::BufferOne, OverlapPolicy::CancelPrevious].into_iter().enumerate()
    {
        let begin = 600 * round as i64;
        bench.put(&work, [every_minute("a", begin).overlap(overlap)]).await;
        let retry = bench.fail(&work, begin, begin + 90).await;
        let next = bench.run(begin + 60).await;
        let status = bench.retry(retry).await.unwrap();
        assert_eq!(status.end, Some(RunEnd::Superseded), "{overlap:?}");
        assert_eq!(bench.take(begin + 90, 10).await.len(), 0, "{overlap:?}");
        bench.complete(&next).await;
        bench.run(begin + 120).await;
        bench.store.remove_triggers(vec![key("a")]).await.unwrap();
    }
}

async fn the_record_of_a_retry_says_that_the_next_occurrence_has_taken_its_place(bench) {
    if !bench.attached.keeps_history {
        return;
    }
    let retry = bench.put_retried(OverlapPolicy::Skip, 90).await;
    bench.run(60).await;
    let query = FiringQuery::default().of_run(retry);
    let records = bench.store.all_firings(query).await.unwrap();
    let record = records.first().expect("a record of the run");
    assert_eq!((record.outcome, record.reason), (FiringOutcome::NotRun, Some(FiringReason::Superseded)));
    assert_eq!((record.trigger.as_ref(), record.cause), (Some(&key("a")), FiringCause::Retry));
    assert_eq!(record.scheduled, at(0));
}

async fn a_retry_lives_beside_the_next_occurrence_where_runs_may_overlap(bench) {
    let retry = bench.put_retried(OverlapPolicy::AllowAll, 90).await;
    bench.run(60).await;
    assert_eq!(bench.retry_at(90).await.run, retry);
}

async fn an_occurrence_that_is_skipped_leaves_the_retry(bench) {
    let retry = bench.put_retried(OverlapPolicy::Skip, 90).await;
    let due = bench.acquire(60, 1).await;
    let progress = due[0].trigger.fired(&due[0].progress, None);
    let fired = bench.fire_as(60, due[0].claim, progress, Some(FiringReason::Misfired)).await;
    assert!(matches!(fired, FireResult::Advanced));
    assert_eq!(bench.retry_at(90).await.run, retry);
}

async fn an_occurrence_is_skipped_while_the_one_before_is_tried_again(bench) {
    bench.put_retried(OverlapPolicy::Skip, 30).await;
    let retry = bench.retry_at(30).await;
    let due = bench.acquire(60, 1).await;
    assert!(matches!(bench.fire(60, &due[0]).await, FireResult::Overlapped));
    assert_eq!(bench.retry(retry.run).await.unwrap().state, RunState::Claimed);
    bench.end_retry(&retry, Fate::Over).await;
    bench.run(120).await;
}

async fn an_occurrence_waits_while_the_one_before_is_tried_again(bench) {
    bench.put_retried(OverlapPolicy::BufferOne, 30).await;
    let retry = bench.retry_at(30).await;
    let due = bench.acquire(60, 1).await;
    assert!(matches!(bench.fire(60, &due[0]).await, FireResult::Stale), "it is given up for now");
    assert!(bench.acquire(90, 10).await.is_empty(), "it waits");
    assert_eq!(bench.status("a").await.unwrap().progress.next, Some(at(60)), "it has not moved on");
    bench.end_retry(&retry, Fate::Over).await;
    let due = bench.acquire(100, 10).await;
    assert!(matches!(bench.fire(100, &due[0]).await, FireResult::Run { .. }));
    bench.complete(&due[0]).await;
    bench.run(120).await;
}

/// Also if the attempt fails again, is given back, or its node dies: nothing waits for an attempt that is over.
async fn an_occurrence_goes_on_however_the_attempt_ends(bench) {
    let work = job("work").build();
    for round in 0..3 {
        let begin = 600 * round;
        bench.put(&work, [every_minute("a", begin).overlap(OverlapPolicy::BufferOne)]).await;
        bench.fail(&work, begin, begin + 30).await;
        let retry = bench.retry_at(begin + 30).await;
        let due = bench.acquire(begin + 60, 1).await;
        assert!(matches!(bench.fire(begin + 60, &due[0]).await, FireResult::Stale));
        match round {
            0 => bench.end_retry(&retry, again(begin + 300)).await,
            1 => bench.store.release(vec![retry.claim]).await.unwrap(),
            _ => bench.store.detach(ONE).await.unwrap(),
        }
        let node = if round == 2 { TWO } else { ONE };
        let due = bench.ask(node, begin + 61, 10, QueueLimits::default()).await;
        assert_eq!(names(&due.triggers), ["a"], "round {round}");
        if round < 2 {
            let given_back: Vec<_> = due.runs.iter().map(|run| run.claim).collect();
            bench.store.release(given_back).await.unwrap();
            assert!(matches!(bench.fire(begin + 61, &due.triggers[0]).await, FireResult::Run { .. }));
            assert_eq!(bench.retry(retry.run).await.unwrap().end, Some(RunEnd::Superseded));
            bench.store.remove_triggers(vec![key("a")]).await.unwrap();
        }
    }
}

async fn a_retry_is_asked_to_stop_when_the_next_occurrence_cancels_the_previous_run(bench) {
    bench.put_retried(OverlapPolicy::CancelPrevious, 30).await;
    let retry = bench.retry_at(30).await;
    let due = bench.acquire(60, 1).await;
    assert!(matches!(bench.fire(60, &due[0]).await, FireResult::Stale));
    assert_eq!(bench.cancelled(ONE, 61).await, [(retry.claim, CancelReason::Superseded)]);
    bench.end_retry(&retry, Fate::Cancelled).await;
    let due = bench.acquire(62, 1).await;
    assert!(matches!(bench.fire(62, &due[0]).await, FireResult::Run { .. }));
}

/// elsa-workflows/elsa-extensions PR#194: a retry outlived the end of its schedule.
async fn a_retry_does_not_outlive_its_trigger(bench) {
    let work = job("work").durable(true).build();
    bench.put(&work, [trigger(OverlapPolicy::AllowAll), once("once", 0)]).await;
    for _ in 0..2 {
        let acquired = bench.run(0).await;
        bench.fail_attempt(&work, &acquired, 0, 30).await;
    }
    let removed = bench.store.remove_triggers(vec![key("a"), key("once"), key("none")]).await.unwrap();
    assert_eq!(removed.iter().map(|one| one.found).collect::<Vec<_>>(), [true, true, false]);
    assert!(bench.all_runs().await.is_empty() && bench.take(30, 10).await.is_empty());
}

/// Its last occurrence waits for a retry, and the trigger itself is gone.
async fn the_retry_of_a_trigger_that_has_ended_can_be_unscheduled(bench) {
    let work = job("work").durable(true).build();
    bench.put(&work, [once("once", 0)]).await;
    let acquired = bench.run(0).await;
    let run = NewRun::of_firing(acquired.claim, &work.clone().into(), &acquired.trigger, at(0), at(0));
    let (promise, instruction) = (Some(Box::new(run)), Instruction::RemoveTrigger);
    bench.complete_as(Completion { fate: again(30), promise, instruction, ..Completion::of(acquired.claim) }).await;
    assert_eq!((bench.status("once").await.is_none(), bench.all_runs().await.len()), (true, 1), "the run is there");
    let removed = bench.store.remove_triggers(vec![key("once")]).await.unwrap();
    assert!(removed[0].found && bench.all_runs().await.is_empty());
    assert!(!bench.store.remove_triggers(vec![key("once")]).await.unwrap()[0].found);
}

/// A trigger that has fired for the last time has not been unscheduled: what still runs is tried again.
async fn an_occurrence_is_tried_again_after_the_last_one_has_ended(bench) {
    let work = job("work").durable(true).retry(RetryPolicy::default()).build();
    bench.put(&work, [every_minute("a", 0).repeat(1)]).await;
    let (first, last) = (bench.run(0).await, bench.run(60).await);
    bench.complete_with(&last, Instruction::RemoveTrigger).await;
    assert!(bench.status("a").await.is_none());
    let retry = bench.fail_attempt(&work, &first, 60, 90).await;
    assert_eq!(bench.retry_at(90).await.run, retry);
}

async fn an_attempt_whose_trigger_was_removed_is_the_last_one(bench) {
    let work = job("work").durable(true).retry(RetryPolicy::default()).build();
    bench.put(&work, [trigger(OverlapPolicy::AllowAll)]).await;
    bench.fail(&work, 0, 30).await;
    let (retry, next) = (bench.retry_at(30).await, bench.run(60).await);
    bench.store.remove_triggers(vec![key("a")]).await.unwrap();
    bench.put(&work, [every_minute("a", 600)]).await;
    bench.end_retry(&retry, again(90)).await;
    bench.fail_attempt(&work, &next, 60, 90).await;
    assert!(bench.all_runs().await.is_empty(), "another trigger of the name changes nothing");
}

async fn retries_are_listed_by_their_trigger(bench) {
    let retry = bench.put_retried(OverlapPolicy::AllowAll, 90).await;
    let other = super::running::run(1, &job("work").build(), 50);
    bench.store.enqueue(vec![other]).await.unwrap();
    let found = |name: &str| bench.store.all_runs(RunQuery::default().of_trigger(key(name)));
    let ids: Vec<_> = found("a").await.unwrap().iter().map(|run| run.id).collect();
    assert_eq!(ids, [retry]);
    assert!(found("b").await.unwrap().is_empty());
}

async fn the_retries_of_a_job_go_with_it(bench) {
    bench.put_retried(OverlapPolicy::AllowAll, 30).await;
    assert_eq!(bench.store.remove_jobs(vec!["work".parse().unwrap()]).await.unwrap(), [true]);
    assert!(bench.all_runs().await.is_empty() && bench.take(30, 10).await.is_empty());
}

async fn a_retry_of_a_paused_trigger_is_held_until_the_trigger_is_resumed(bench) {
    let retry = bench.put_retried(OverlapPolicy::AllowAll, 30).await;
    bench.pause(Selection::Trigger(key("a"))).await;
    assert_eq!(bench.take(30, 10).await.len(), 0);
    let asked = bench.ask(ONE, 40, 10, QueueLimits::default()).await;
    assert_eq!((asked.runs.len(), asked.next_due), (0, None), "nothing is due before the trigger is resumed");
    assert_eq!(bench.retry(retry).await.unwrap().state, RunState::Held);
    let wakes = bench.wakes();
    bench.resume(Selection::All).await;
    assert!(bench.wakes() > wakes, "nodes are woken");
    let due = bench.ask(ONE, 50, 1, QueueLimits::default()).await;
    assert_eq!((due.runs[0].run, due.runs[0].attempt), (retry, 2));
}

/// A retry that does not fall due during the pause is not held.
async fn a_retry_that_is_due_after_the_pause_is_made(bench) {
    let retry = bench.put_retried(OverlapPolicy::AllowAll, 30).await;
    bench.pause(Selection::All).await;
    bench.ask(ONE, 20, 10, QueueLimits::default()).await;
    bench.resume(Selection::All).await;
    assert_eq!(bench.retry_at(30).await.run, retry);
}

/// Nothing waits for a pause that is over, whatever has ended it.
async fn a_held_retry_waits_again_however_the_pause_ends(bench) {
    let work = job("work").durable(true).build();
    for round in 0..3 {
        let begin = 600 * round;
        let name = format!("t{round}");
        bench.put(&work, [every_minute(&name, begin)]).await;
        let acquired = bench.run(begin).await;
        let retry = bench.fail_attempt(&work, &acquired, begin, begin + 30).await;
        bench.pause(Selection::Trigger(key(&name))).await;
        assert_eq!(bench.take(begin + 30, 10).await.len(), 0);
        assert_eq!(bench.retry(retry).await.unwrap().state, RunState::Held);
        match round {
            0 => bench.try_put(&work, [every_minute(&name, begin + 590)], Existing::Replace).await.unwrap(),
            1 => {
                let until = Some(at(begin + 40));
                let note = PauseNote { until, ..PauseNote::at(t0()) };
                let what = Selection::Trigger(key(&name));
                bench.store.pause(Pause { what, note }).await.unwrap();
                bench.ask(ONE, begin + 40, 0, QueueLimits::default()).await;
            }
            _ => {
                bench.put(&work, [every_minute("other", begin)]).await;
                let other = bench.run(begin).await;
                bench.complete_with(&other, Instruction::FinishJob).await;
            }
        }
        let due = bench.take(begin + 50, 10).await;
        assert_eq!(due.iter().map(|run| run.run).collect::<Vec<_>>(), [retry], "round {round}");
        bench.end_retry(&due[0], Fate::Over).await;
        bench.store.remove_triggers(vec![key(&name)]).await.unwrap();
    }
}
}
