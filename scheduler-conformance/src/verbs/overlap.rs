//! A trigger that is due again while its run goes on.

use scheduler_core::job::CancelReason;
use scheduler_core::store::*;
use scheduler_core::trigger::OverlapPolicy;

use crate::bench::*;

checks! { ($) overlap, __store_checks_of_overlap;

async fn skip_lets_the_firing_pass(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0).overlap(OverlapPolicy::Skip)]).await;
    let run = bench.run(0).await;
    let again = bench.acquire(60, 1).await;
    assert!(matches!(bench.fire(60, &again[0]).await, FireResult::Overlapped));
    assert_eq!(bench.status("a").await.unwrap().progress.next, Some(at(120)));
    assert_eq!(bench.store.executions(Executions::All).await.unwrap().len(), 1);
    bench.complete(&run).await;
    bench.run(120).await;
}

async fn skip_ends_a_trigger_whose_last_firing_passes(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0).repeat(1).overlap(OverlapPolicy::Skip)]).await;
    let run = bench.run(0).await;
    let again = bench.acquire(60, 1).await;
    assert!(matches!(bench.fire(60, &again[0]).await, FireResult::Overlapped));
    bench.complete(&run).await;
    assert_eq!(bench.state("a").await, TriggerState::Complete);
}

async fn buffer_waits_for_the_end_of_the_run(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0).overlap(OverlapPolicy::BufferOne)]).await;
    let run = bench.run(0).await;
    let asked = bench.ask(ONE, 300, 1, QueueLimits::default()).await;
    assert!(asked.triggers.is_empty() && asked.cancel.is_empty());
    assert_eq!(asked.next_due, None, "nothing is due before the run has ended");
    let complete = Complete { now: at(300), executions: vec![Completion::of(run.claim)] };
    bench.store.complete(complete).await.unwrap();
    let acquired = bench.acquire(310, 1).await;
    assert_eq!((names(&acquired), acquired[0].freed), (vec!["a".into()], Some(at(300))));
    let later = scheduler_core::trigger::Progress { next: Some(at(360)), ..acquired[0].progress.clone() };
    bench.fire_as(310, acquired[0].claim, later, None).await;
    let complete = Complete { now: at(320), executions: vec![Completion::of(acquired[0].claim)] };
    bench.store.complete(complete).await.unwrap();
    assert_eq!(bench.acquire(360, 1).await[0].freed, None, "nothing has kept it waiting");
}

async fn cancel_stops_the_run_when_the_next_is_due(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0).overlap(OverlapPolicy::CancelPrevious)]).await;
    let run = bench.run(0).await;
    let early = bench.ask(ONE, 59, 1, QueueLimits::default()).await;
    assert!(early.cancel.is_empty());
    assert_eq!(early.next_due, Some(at(60)));
    let due = bench.ask(ONE, 60, 1, QueueLimits::default()).await;
    assert!(due.triggers.is_empty());
    assert_eq!(due.cancel, [(run.claim, CancelReason::Superseded)]);
    bench.store.cancel(Executions::All).await.unwrap();
    assert_eq!(bench.cancelled(ONE, 61).await, [(run.claim, CancelReason::Superseded)], "the first reason holds");
    bench.complete(&run).await;
    assert_eq!(names(&bench.acquire(61, 1).await), ["a"]);
}

/// Found by any node, told to the one that runs it.
async fn cancel_reaches_the_node_of_the_run(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0).overlap(OverlapPolicy::CancelPrevious)]).await;
    let run = bench.run(0).await;
    let wakes = bench.wakes();
    assert_eq!(bench.cancelled(TWO, 60).await, []);
    assert!(bench.wakes() > wakes, "the other node has to hear of it");
    assert_eq!(bench.cancelled(ONE, 60).await, [(run.claim, CancelReason::Superseded)]);
}

async fn policies_keep_nobody_else_waiting(bench) {
    let policies = [OverlapPolicy::BufferOne, OverlapPolicy::CancelPrevious];
    let triggers = policies.map(|policy| every_minute(&format!("{policy:?}"), 0).overlap(policy));
    bench.put(&job("work").build(), triggers).await;
    let first = bench.run(0).await;
    bench.run(0).await;
    bench.put(&job("work").build(), [every_minute("z", 60)]).await;
    assert_eq!(names(&bench.acquire(60, 10).await), ["z"]);
    bench.complete(&first).await;
    assert_eq!(bench.acquire(60, 10).await.len(), 1);
}

async fn a_policy_holds_for_a_job_that_disallows_concurrent_runs_too(bench) {
    let buffer = every_minute("a", 0).overlap(OverlapPolicy::BufferOne);
    bench.put(&exclusive("work"), [buffer, every_minute("b", 30)]).await;
    let run = bench.run(0).await;
    assert!(bench.acquire(60, 10).await.is_empty());
    bench.complete(&run).await;
    assert_eq!(names(&bench.acquire(60, 10).await), ["b"]);
}

/// Whoever changes a schedule does not want two runs at once.
async fn a_trigger_in_the_place_of_another_one_waits_for_its_run(bench) {
    let of_job = job("work").build();
    let skips = |start| every_minute("a", start).overlap(OverlapPolicy::Skip);
    bench.put(&of_job, [skips(0)]).await;
    let run = bench.run(0).await;
    bench.try_put(&of_job, [skips(10)], Existing::Replace).await.unwrap();
    assert_eq!(bench.state("a").await, TriggerState::Executing);
    let again = bench.acquire(10, 1).await;
    assert!(matches!(bench.fire(10, &again[0]).await, FireResult::Overlapped));
    let (trigger, progress) = built(&of_job, skips(20));
    let change = Reschedule { old: key("a"), revision: None, trigger, progress: Some(progress) };
    assert!(bench.store.reschedule(change).await.unwrap());
    let again = bench.acquire(20, 1).await;
    assert!(matches!(bench.fire(20, &again[0]).await, FireResult::Overlapped));
    bench.complete_with(&run, Instruction::FailTrigger).await;
    assert_eq!(bench.state("a").await, TriggerState::Normal, "the old run says nothing about the new trigger");
    bench.run(80).await;
}

async fn a_paused_trigger_cancels_nothing(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0).overlap(OverlapPolicy::CancelPrevious)]).await;
    let run = bench.run(0).await;
    bench.pause(Selection::All).await;
    assert_eq!(bench.cancelled(ONE, 600).await, []);
    bench.resume(Selection::All).await;
    assert_eq!(bench.cancelled(ONE, 600).await, [(run.claim, CancelReason::Superseded)]);
}
}
