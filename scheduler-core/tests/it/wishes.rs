//! What a run may ask for: another attempt, no further firings, other data, another schedule.

use std::time::Duration;

use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail, JobError};
use scheduler_core::store::TriggerState;
use scheduler_core::testing::{TestScheduler, assert_fired};
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobData, Scheduler, TriggerKey};

const NOW: &str = "2026-03-01T00:00:00Z";

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

fn every_minute(name: &str) -> scheduler_core::trigger::TriggerBuilder {
    Trigger::every(Duration::from_secs(60)).name(name)
}

async fn state(test: &TestScheduler, trigger: &str) -> Option<TriggerState> {
    let key: TriggerKey = trigger.parse().unwrap();
    test.scheduler().trigger(&key).await.unwrap().map(|status| status.state)
}

#[tokio::test]
async fn a_run_is_repeated_at_once_when_it_asks_for_it() {
    let tries_thrice = |context: JobContext| async move {
        match context.refire_count() + 1 {
            3 => Ok(()),
            attempt => {
                context.refire();
                Err(JobError::new(format!("attempt {attempt}")))
            }
        }
    };
    let job = JobDefinition::new(detail("work"), tries_thrice).with_trigger(every_minute("t"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let words: Vec<_> = test.fired().iter().map(|fired| fired.outcome.as_ref().unwrap().word()).collect();
    assert_eq!(words, ["failed", "failed", "succeeded"]);
    let runs: Vec<_> = test.fired().iter().map(|fired| fired.execution).collect();
    assert!(runs.iter().all(|run| *run == runs[0]), "one execution");
    test.forget();
    test.advance(Duration::from_secs(60)).await;
    assert_fired!(test, "work", 3);
}

#[tokio::test]
async fn a_run_can_end_its_trigger_or_all_of_its_job() {
    let once = |context: JobContext| async move { context.unschedule_trigger() };
    let never = |context: JobContext| async move { context.unschedule_job() };
    let builder = Scheduler::builder()
        .register(
            JobDefinition::new(detail("once"), once)
                .with_trigger(every_minute("a"))
                .with_trigger(every_minute("b").start_after(Duration::from_secs(30))),
        )
        .register(
            JobDefinition::new(detail("never"), never)
                .with_trigger(every_minute("c"))
                .with_trigger(every_minute("d").start_after(Duration::from_secs(30))),
        );
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    assert_eq!(state(&test, "a").await, Some(TriggerState::Complete));
    assert_eq!(state(&test, "b").await, Some(TriggerState::Normal));
    assert_eq!(state(&test, "d").await, Some(TriggerState::Complete));
    test.advance(Duration::from_secs(300)).await;
    assert_fired!(test, "once", 2);
    assert_fired!(test, "never", 1);
}

#[tokio::test]
async fn data_that_a_run_sets_is_seen_by_the_next_run_also_if_it_fails() {
    let counts = |context: JobContext| async move {
        let runs = context.data().get::<u32>("runs")?.unwrap_or_default() + 1;
        context.set_job_data(JobData::new().with("runs", runs))?;
        Err::<(), JobError>(JobError::new("after all"))
    };
    let keeps = JobDetail::builder("counts".parse().unwrap(), "counts").persist_data(true).build();
    let job = JobDefinition::new(keeps, counts).with_trigger(every_minute("t"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.advance(Duration::from_secs(120)).await;
    let stored = test.scheduler().job(&"counts".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(stored.data().get::<u32>("runs").unwrap(), Some(3));
}

#[tokio::test]
async fn a_job_that_keeps_nothing_is_told_so() {
    let sets = |context: JobContext| async move { context.set_job_data(JobData::new()) };
    let job = JobDefinition::new(detail("sets"), sets).with_trigger(every_minute("t"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    let failure = test.fired()[0].outcome.as_ref().unwrap().failure().unwrap();
    assert!(failure.contains("`persist_data(true)`"), "{failure}");
}

/// Ad-hoc retries: a job gives its trigger another time from inside.
#[tokio::test]
async fn a_job_can_reschedule_its_own_trigger() {
    let again = |context: JobContext, scheduler: Scheduler| async move {
        if context.fire_time() < "2026-03-01T00:10:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap() {
            let in_five = Trigger::after(Duration::from_secs(300)).name("own");
            scheduler.reschedule(context.trigger_key(), in_five).await?;
        }
        Ok::<_, JobError>(())
    };
    let job = JobDefinition::new(detail("again"), again).with_trigger(Trigger::now().name("own"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.advance(Duration::from_secs(3600)).await;
    assert_fired!(test, "again", at "2026-03-01T00:00:00Z", "2026-03-01T00:05:00Z", "2026-03-01T00:10:00Z");
    assert_eq!(state(&test, "own").await, None, "gone with its last run");
}

#[tokio::test]
async fn a_job_can_delete_itself() {
    let leaves = |context: JobContext, scheduler: Scheduler| async move {
        scheduler.delete_job(context.job_key()).await.map(drop)
    };
    let job = JobDefinition::new(detail("leaves"), leaves).with_trigger(every_minute("t"));
    let test = TestScheduler::start(NOW, Scheduler::builder().register(job)).await.unwrap();
    test.advance(Duration::from_secs(300)).await;
    assert_fired!(test, "leaves", 1);
    assert!(test.fired()[0].outcome.as_ref().unwrap().is_success());
    assert!(test.scheduler().job(&"leaves".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_job_that_is_not_durable_goes_with_its_last_run_and_a_durable_one_stays() {
    let durable = JobDetail::builder("stays".parse().unwrap(), "stays").durable(true).build();
    let builder = Scheduler::builder()
        .register(JobDefinition::new(durable, async || {}).with_trigger(Trigger::now()))
        .register(JobDefinition::new(detail("goes"), async || {}));
    let test = TestScheduler::start(NOW, builder).await.unwrap();
    test.scheduler().enqueue(Invocation::new(detail("goes"))).await.unwrap();
    test.run_due().await;
    assert!(test.scheduler().job(&"stays".parse().unwrap()).await.unwrap().is_some());
    assert!(test.scheduler().job(&"goes".parse().unwrap()).await.unwrap().is_none());
    let stays = test.scheduler().job(&"stays".parse().unwrap()).await.unwrap().unwrap();
    test.scheduler().enqueue(Invocation::new(stays)).await.unwrap();
    test.run_due().await;
    assert_fired!(test, "stays", 2);
}
