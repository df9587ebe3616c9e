//! Pause, resume, and what is remembered of it.

use scheduler_core::Text;
use scheduler_core::store::*;

use super::running::{id, numbers, run};
use crate::bench::*;

fn group(name: &str) -> Selection {
    Selection::TriggerGroup(Text::is(name))
}

fn job_group(name: &str) -> Selection {
    Selection::JobGroup(Text::is(name))
}

checks! { ($) pausing, __store_checks_of_pausing;

async fn pausing_takes_an_unfired_claim_away(bench) {
    bench.put(&exclusive("work"), [every_minute("a", 0), every_minute("b", 0)]).await;
    let acquired = bench.acquire(0, 1).await;
    assert_eq!(bench.pause(Selection::Trigger(key("a"))).await, ["a"]);
    assert_eq!(bench.pause(Selection::Trigger(key("a"))).await, [""; 0], "a second pause changes nothing");
    assert_eq!(bench.pause(Selection::Trigger(key("x"))).await, [""; 0]);
    assert!(matches!(bench.fire(0, &acquired[0]).await, FireResult::Stale));
    assert_eq!(names(&bench.acquire(0, 10).await), ["b"], "its job is free");
    assert_eq!(bench.resume(Selection::Trigger(key("a"))).await, ["a"]);
    bench.store.release(vec![acquired[0].claim]).await.unwrap();
    assert_eq!(bench.state("a").await, TriggerState::Normal);
}

async fn pausing_leaves_a_run_alone(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0)]).await;
    let run = bench.run(0).await;
    bench.pause(Selection::Job("work".parse().unwrap())).await;
    assert_eq!(bench.state("a").await, TriggerState::Paused);
    assert!(matches!(bench.fire(0, &run).await, FireResult::Run { .. }), "asked again");
    assert_ne!(bench.complete(&run).await, CompleteResult::Gone);
    assert_eq!(bench.state("a").await, TriggerState::Paused);
    assert!(bench.acquire(600, 1).await.is_empty());
    assert_eq!(bench.resume(Selection::Job("work".parse().unwrap())).await, ["a"]);
    assert_eq!(names(&bench.acquire(600, 1).await), ["a"], "its time has not been lost");
}

async fn a_pause_says_why(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0), every_minute("b", 0)]).await;
    let note = PauseNote { since: at(0), ..PauseNote::because("migration").by("ada") };
    bench.store.pause(Pause { what: group("DEFAULT"), note: note.clone() }).await.unwrap();
    assert_eq!(bench.status("a").await.unwrap().pause, Some(note.clone()));
    let groups = bench.store.groups(GroupKind::Triggers).await.unwrap();
    assert_eq!((&*groups[0].name, groups[0].members, &groups[0].pause), ("DEFAULT", 2, &Some(note)));
    bench.resume(group("DEFAULT")).await;
    assert_eq!(bench.status("a").await.unwrap().pause, None);
    assert_eq!(bench.store.groups(GroupKind::Triggers).await.unwrap()[0].pause, None);
}

async fn a_paused_group_is_remembered(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [every_minute("g/a", 0), every_minute("h/a", 0)]).await;
    assert_eq!(bench.pause(group("g")).await, ["g/a"]);
    bench.put(&of_job, [every_minute("g/b", 0), every_minute("h/b", 0)]).await;
    assert_eq!(bench.state("g/b").await, TriggerState::Paused, "born paused");
    assert_eq!(names(&bench.acquire(0, 10).await), ["h/a", "h/b"]);
    assert_eq!(bench.resume(Selection::Trigger(key("g/a"))).await, ["g/a"], "one of them alone");
    bench.put(&of_job, [every_minute("g/c", 0)]).await;
    assert_eq!(bench.state("g/c").await, TriggerState::Paused, "the group still is");
    assert_eq!(bench.resume(group("g")).await, ["g/b", "g/c"]);
    bench.put(&of_job, [every_minute("g/d", 0)]).await;
    assert_eq!(bench.state("g/d").await, TriggerState::Normal);
}

async fn a_group_can_be_paused_before_it_exists(bench) {
    assert_eq!(bench.pause(group("later")).await, [""; 0]);
    let groups = bench.store.groups(GroupKind::Triggers).await.unwrap();
    assert_eq!((&*groups[0].name, groups[0].members), ("later", 0));
    bench.put(&job("work").build(), [every_minute("later/a", 0)]).await;
    assert_eq!(bench.state("later/a").await, TriggerState::Paused);
}

async fn a_pattern_stands_for_the_groups_that_exist(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [every_minute("red-1/a", 0), every_minute("red-2/a", 0), every_minute("blue/a", 0)]).await;
    let reds = Selection::TriggerGroup(Text::starts_with("red"));
    assert_eq!(bench.pause(reds.clone()).await, ["red-1/a", "red-2/a"]);
    bench.put(&of_job, [every_minute("red-1/b", 0), every_minute("red-3/a", 0)]).await;
    assert_eq!(bench.state("red-1/b").await, TriggerState::Paused);
    assert_eq!(bench.state("red-3/a").await, TriggerState::Normal);
    assert_eq!(bench.resume(reds).await, ["red-1/a", "red-1/b", "red-2/a"]);
}

async fn a_paused_group_of_jobs_is_remembered(bench) {
    bench.put(&job("jobs/a").build(), [every_minute("a", 0)]).await;
    assert_eq!(bench.pause(job_group("jobs")).await, ["a"]);
    bench.put(&job("jobs/b").build(), [every_minute("b", 0)]).await;
    assert_eq!(bench.state("b").await, TriggerState::Paused);
    let groups = bench.store.groups(GroupKind::Jobs).await.unwrap();
    assert_eq!((&*groups[0].name, groups[0].members, groups[0].pause.is_some()), ("jobs", 2, true));
    assert_eq!(bench.resume(group("DEFAULT")).await, [""; 0], "their jobs are still paused");
    assert_eq!(bench.resume(job_group("jobs")).await, ["a", "b"]);
    bench.put(&job("jobs/c").build(), [every_minute("c", 0)]).await;
    assert_eq!(bench.state("c").await, TriggerState::Normal);
}

async fn pausing_all_is_remembered_for_every_group(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [every_minute("g/a", 0)]).await;
    assert_eq!(bench.pause(Selection::All).await, ["g/a"]);
    bench.put(&of_job, [every_minute("new/a", 0)]).await;
    assert_eq!(bench.state("new/a").await, TriggerState::Paused);
    assert_eq!(bench.resume(group("new")).await, ["new/a"]);
    bench.put(&of_job, [every_minute("new/b", 0), every_minute("newer/a", 0)]).await;
    assert_eq!(bench.state("new/b").await, TriggerState::Normal, "this group is excepted");
    assert_eq!(bench.state("newer/a").await, TriggerState::Paused);
    assert_eq!(bench.resume(Selection::All).await, ["g/a", "newer/a"]);
    bench.put(&of_job, [every_minute("newest/a", 0)]).await;
    assert_eq!(bench.state("newest/a").await, TriggerState::Normal);
}

async fn a_pause_ends_by_itself(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [every_minute("a", 0), every_minute("b", 0), every_minute("g/c", 0)]).await;
    for (what, until) in [(Selection::Trigger(key("a")), 10), (Selection::Trigger(key("b")), 20), (group("g"), 15)] {
        let note = PauseNote::at(at(0)).until(at(until));
        bench.store.pause(Pause { what, note }).await.unwrap();
    }
    let asked = bench.ask(ONE, 0, 10, QueueLimits::default()).await;
    assert!(asked.triggers.is_empty());
    assert_eq!(asked.next_due, Some(at(10)), "asked again when the first pause ends");
    let first = bench.acquire(10, 10).await;
    assert_eq!(names(&first), ["a"]);
    bench.fire(10, &first[0]).await;
    let longer = PauseNote::at(at(0)).until(at(30));
    bench.store.pause(Pause { what: Selection::Trigger(key("b")), note: longer }).await.unwrap();
    let second = bench.acquire(20, 10).await;
    assert_eq!(names(&second), ["g/c"], "b's pause was made longer");
    bench.fire(20, &second[0]).await;
    bench.put(&of_job, [every_minute("g/d", 0)]).await;
    assert_eq!(bench.state("g/d").await, TriggerState::Normal, "that of the group has ended");
    assert_eq!(names(&bench.acquire(30, 10).await), ["b", "g/d"]);
}

/// A maintenance window does not end what somebody has paused for good.
async fn a_pause_of_many_does_not_shorten_one(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [every_minute("a", 0), every_minute("b", 0)]).await;
    bench.pause(Selection::Trigger(key("a"))).await;
    let window = PauseNote::at(at(0)).until(at(10));
    bench.store.pause(Pause { what: Selection::Job("work".parse().unwrap()), note: window.clone() }).await.unwrap();
    assert_eq!(names(&bench.acquire(10, 10).await), ["b"]);
    bench.store.pause(Pause { what: Selection::Trigger(key("a")), note: window }).await.unwrap();
    assert_eq!(names(&bench.acquire(11, 10).await), ["a"], "its own pause was made shorter");
}

async fn the_end_of_a_pause_leaves_its_group_paused(bench) {
    bench.put(&job("work").build(), [every_minute("g/a", 0)]).await;
    let note = PauseNote::at(at(0)).until(at(10));
    bench.store.pause(Pause { what: Selection::Trigger(key("g/a")), note }).await.unwrap();
    bench.pause(group("g")).await;
    assert!(bench.acquire(20, 10).await.is_empty());
    assert_eq!(bench.resume(group("g")).await, ["g/a"]);
}

async fn a_pause_without_end_follows_one_with(bench) {
    bench.put(&job("work").build(), [every_minute("a", 0)]).await;
    let what = Selection::Trigger(key("a"));
    let note = PauseNote::at(at(0)).until(at(10));
    bench.store.pause(Pause { what: what.clone(), note }).await.unwrap();
    bench.pause(what).await;
    assert!(bench.acquire(100, 1).await.is_empty());
    assert_eq!(bench.state("a").await, TriggerState::Paused);
}

async fn a_reset_trigger_of_a_paused_group_is_paused(bench) {
    bench.put(&job("work").build(), [every_minute("g/a", 0)]).await;
    let run = bench.run(0).await;
    bench.complete_with(&run, Instruction::FailTrigger).await;
    assert_eq!(bench.pause(group("g")).await, [""; 0], "it is in error");
    bench.store.reset(vec![key("g/a")]).await.unwrap();
    assert_eq!(bench.state("g/a").await, TriggerState::Paused);
}

async fn an_updated_trigger_stays_paused_and_a_replaced_one_does_not(bench) {
    let of_job = job("work").build();
    bench.put(&of_job, [every_minute("a", 0), every_minute("b", 0)]).await;
    bench.pause(Selection::Job("work".parse().unwrap())).await;
    bench.try_put(&of_job, [every_minute("a", 0).priority(9)], Existing::Update).await.unwrap();
    bench.try_put(&of_job, [every_minute("b", 0).priority(9)], Existing::Replace).await.unwrap();
    assert_eq!(bench.state("a").await, TriggerState::Paused);
    assert_eq!(bench.state("b").await, TriggerState::Normal);
}

async fn clearing_forgets_every_pause(bench) {
    bench.pause(Selection::All).await;
    bench.pause(group("g")).await;
    bench.pause(job_group("DEFAULT")).await;
    bench.store.clear().await.unwrap();
    bench.put(&job("work").build(), [every_minute("g/a", 0)]).await;
    assert_eq!(bench.state("g/a").await, TriggerState::Normal);
}

/// Triggers and runs of it alike; what is claimed goes on.
async fn nothing_of_a_paused_queue_is_handed_out(bench) {
    let (slow, fast) = (job("slow").queue("slow").build(), job("fast").queue("fast").build());
    bench.put(&slow, [every_minute("slow", 1).queue("slow")]).await;
    bench.put(&fast, [every_minute("fast", 1).queue("fast")]).await;
    bench.enqueue([&slow, &slow, &fast].into_iter().zip(1..).map(|(job, number)| run(number, job, 2)).collect()).await;
    let claimed = bench.ask(ONE, 1, 1, QueueLimits { named: [("fast".into(), 0)].into(), ..QueueLimits::default() }).await;
    assert_eq!(names(&claimed.triggers), ["slow"]);
    assert!(bench.store.pause_queue("slow".into(), PauseNote::at(at(1))).await.unwrap());
    let note = PauseNote { since: at(1), ..PauseNote::because("it moves") };
    assert!(!bench.store.pause_queue("slow".into(), note.clone()).await.unwrap(), "it is paused already");
    let paused = bench.store.paused_queues().await.unwrap();
    assert_eq!(paused.iter().map(|queue| (&*queue.name, &queue.note)).collect::<Vec<_>>(), [("slow", &note)]);
    for session in [ONE, TWO] {
        let taken = bench.ask(session, 3, 10, QueueLimits::default()).await;
        assert!(taken.triggers.iter().all(|one| one.trigger.queue() != Some(&"slow".into())));
        assert!(taken.runs.iter().all(|one| one.run == id(3)));
        assert!(taken.next_due.is_none_or(|due| due > at(3)), "nothing is to be had: {:?}", taken.next_due);
    }
    let fired = bench.fire(3, &claimed.triggers[0]).await;
    assert!(matches!(fired, FireResult::Run { .. }), "it was claimed before");
    let wakes = bench.wakes();
    assert!(bench.store.resume_queue("slow".into()).await.unwrap());
    assert!(!bench.store.resume_queue("slow".into()).await.unwrap());
    assert!(bench.wakes() > wakes, "nodes are woken");
    let taken = bench.ask(ONE, 3, 10, QueueLimits::default()).await;
    assert_eq!(numbers(&taken.runs), [1, 2]);
}

async fn the_pause_of_a_queue_ends_by_itself_and_with_everything(bench) {
    let slow = job("slow").queue("slow").build();
    bench.enqueue(vec![run(1, &slow, 1), run(2, &slow, 30)]).await;
    bench.store.pause_queue("slow".into(), PauseNote::at(at(0)).until(at(10))).await.unwrap();
    bench.resume(Selection::All).await;
    let early = bench.ask(ONE, 9, 10, QueueLimits::default()).await;
    assert_eq!((early.runs.len(), early.next_due), (0, Some(at(10))), "all triggers are resumed, and no queue");
    assert_eq!(numbers(&bench.take(10, 10).await), [1]);
    assert!(bench.store.paused_queues().await.unwrap().is_empty());
    bench.store.pause_queue("slow".into(), PauseNote::at(at(0))).await.unwrap();
    bench.store.clear().await.unwrap();
    assert!(bench.store.paused_queues().await.unwrap().is_empty());
}
}
