//! The queue of a job: whatever starts a run obeys its limit.

use std::time::Duration;

use scheduler_core::host::{Host, JobQueue};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::scheduler::Event;
use scheduler_core::store::{NewRun, PauseNote, TriggerQuery};
use scheduler_core::testing::{TestHost, TestScheduler, assert_fired};
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_core::{JobData, Scheduler};

const NOW: &str = "2026-03-01T00:00:00Z";

fn import() -> JobDetail {
    JobDetail::builder("import".parse().unwrap(), "import").queue("heavy").build()
}

/// Takes ten seconds.
fn definition() -> JobDefinition {
    JobDefinition::new(import(), async |context: JobContext| {
        context.clock().sleep(Duration::from_secs(10)).await;
    })
}

async fn limited_to_one(definition: JobDefinition) -> TestScheduler {
    let builder = Scheduler::builder().register(definition).limit_queue("heavy", 1).concurrency(10);
    TestScheduler::start(NOW, builder).await.unwrap()
}

/// One run is under way at a time, until all of them have ended.
async fn assert_one_at_a_time(test: &TestScheduler, runs: usize) {
    for done in 0..runs {
        assert_eq!(test.scheduler().running().len(), 1, "after {done} runs");
        test.advance(Duration::from_secs(10)).await;
    }
    assert_eq!(test.fired_of("import").len(), runs);
    assert!(test.scheduler().running().is_empty());
}

#[tokio::test]
async fn n04_whatever_starts_a_job_obeys_the_limit_of_its_queue() {
    let test = limited_to_one(definition().with_trigger(Trigger::now().name("declared"))).await;
    let scheduler = test.scheduler();
    scheduler.enqueue(import()).await.unwrap();
    scheduler.trigger_job(import().key(), JobData::new()).await.unwrap();
    scheduler.schedule(import(), Trigger::now().name("scheduled")).await.unwrap();
    scheduler.schedule(import(), Trigger::after(Duration::from_secs(5)).name("delayed")).await.unwrap();
    test.run_due().await;
    assert_one_at_a_time(&test, 5).await;
}

#[tokio::test]
async fn n04_a_new_schedule_of_a_trigger_keeps_the_queue_of_the_job() {
    let test = limited_to_one(definition()).await;
    let scheduler = test.scheduler();
    let later = Trigger::after(Duration::from_secs(3600)).name("t");
    let placed = scheduler.schedule(import(), later).await.unwrap();
    scheduler.reschedule(&placed.trigger, Trigger::now()).await.unwrap();
    scheduler.enqueue(import()).await.unwrap();
    test.run_due().await;
    assert_one_at_a_time(&test, 2).await;
}

#[tokio::test]
async fn n04_a_queue_of_the_trigger_wins() {
    let test = limited_to_one(definition()).await;
    for name in ["a", "b"] {
        let trigger = Trigger::now().name(name).queue("light");
        test.scheduler().schedule(import(), trigger).await.unwrap();
    }
    test.run_due().await;
    assert_eq!(test.scheduler().running().len(), 2);
}

#[tokio::test]
async fn n04_a_refired_run_has_the_queue_all_the_time() {
    let twice = JobDefinition::new(import(), async |context: JobContext| {
        context.clock().sleep(Duration::from_secs(10)).await;
        if context.refire_count() == 0 {
            context.refire();
        }
    });
    let test = limited_to_one(twice).await;
    for _ in 0..2 {
        test.scheduler().enqueue(import()).await.unwrap();
    }
    test.run_due().await;
    for _ in 0..4 {
        assert_eq!(test.scheduler().running().len(), 1);
        test.advance(Duration::from_secs(10)).await;
    }
    assert!(test.scheduler().running().is_empty());
}

#[tokio::test]
async fn n04_the_run_that_repeats_a_lost_one_has_the_queue() {
    let test = limited_to_one(definition()).await;
    test.scheduler().schedule(Invocation::new(import()), Trigger::now()).await.unwrap();
    test.run_due().await;
    let running = test.scheduler().running();
    let stored = test.scheduler().all_triggers(TriggerQuery::default()).await.unwrap();
    let again =
        NewRun::of_firing(running[0].id, &import().into(), &stored[0].trigger, test.now(), test.now());
    assert_eq!(again.queue.as_deref(), Some("heavy"));
}

#[test]
fn n04_the_queue_is_in_the_record_of_a_job() {
    let written = serde_json::to_string(&import()).unwrap();
    assert_eq!(serde_json::from_str::<JobDetail>(&written).unwrap(), import());
    assert_eq!(import().to_builder().build().queue().map(|queue| &**queue), Some("heavy"));
}

/// A full queue on another node would hold up the start.
#[tokio::test]
async fn n04_a_job_before_the_start_waits_for_no_limit() {
    for on_all_nodes in [false, true] {
        let quick = JobDefinition::new(import(), async || {});
        let builder = Scheduler::builder().register(quick).before_start(import());
        let builder = match on_all_nodes {
            true => builder.limit_queue_on_all_nodes("heavy", 0),
            false => builder.limit_queue("heavy", 0),
        };
        let test = TestScheduler::start(NOW, builder).await.unwrap();
        assert_eq!(test.fired_of("import").len(), 1, "on all nodes: {on_all_nodes}");
        test.scheduler().enqueue(import()).await.unwrap();
        test.run_due().await;
        assert_eq!(test.fired_of("import").len(), 1, "the limit holds after the start");
    }
}

#[tokio::test]
async fn n04_a_queue_in_memory_has_its_own_concurrency_instead_of_the_limits_of_queues() {
    let queue = JobQueue::bounded(10).concurrency(2).build();
    let scheduler = Scheduler::builder().limit_queue("heavy", 1);
    let builder = Host::builder().scheduler(scheduler).register(definition()).queue("imports", queue.clone());
    let test = TestHost::start(NOW, builder).await.unwrap();
    for _ in 0..3 {
        queue.enqueue(import()).await.unwrap();
    }
    test.advance(Duration::from_secs(1)).await;
    assert_eq!(queue.len(), 1, "two run at once");
    test.advance(Duration::from_secs(30)).await;
    assert_eq!(queue.len(), 0);
}

/// Runs wait, and a trigger that was late is treated by its misfire policy.
#[tokio::test]
async fn a_paused_queue_waits_and_says_why() {
    let mail = |name: &str| JobDetail::builder(name.parse().unwrap(), name).queue("mail").build();
    let none = || async {};
    let builder = Scheduler::builder()
        .register(JobDefinition::new(mail("send"), none))
        .register(JobDefinition::new(mail("report"), none));
    let test = TestScheduler::start("2026-03-01T00:00:00Z", builder).await.unwrap();
    let scheduler = test.scheduler();
    let mut events = scheduler.events();
    let note = PauseNote::because("the mail server moves").by("ada");
    assert!(scheduler.pause_queue("mail", note.clone()).await.unwrap());
    assert!(matches!(events.next().await, Some(Event::QueuePaused { queue }) if &*queue == "mail"));
    let run = scheduler.enqueue(mail("send")).await.unwrap();
    let every = Trigger::every(Duration::from_secs(60)).misfire(Misfire::Skip).name("report");
    let report = scheduler.schedule(mail("report"), every.start_at(test.now())).await.unwrap().trigger;
    test.advance(Duration::from_secs(3600)).await;
    assert!(test.fired().is_empty());
    let explained = scheduler.explain_run(run).await.unwrap().unwrap().to_string();
    let reason = "its queue `mail` is paused since 2026-03-01 00:00:00 UTC by ada: the mail server moves";
    assert_eq!(explained, format!("run {run} of job `send` does not begin:\n  {reason}"));
    let explained = scheduler.explain(&report).await.unwrap().to_string();
    assert!(explained.contains(reason), "{explained}");
    let paused = scheduler.paused_queues().await.unwrap();
    assert_eq!((paused.len(), &*paused[0].name), (1, "mail"));
    assert!(scheduler.resume_queue("mail").await.unwrap());
    test.run_due().await;
    assert_fired!(test, "send", 1);
    assert_fired!(test, "report", 0);
    test.advance(Duration::from_secs(60)).await;
    assert_fired!(test, "report", 1);
}
