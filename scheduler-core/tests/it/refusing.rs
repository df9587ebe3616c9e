//! Calls that cannot mean anything are refused with a sentence that says why.

use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::store::{Executions, MemoryJobStore, Selection};
use scheduler_core::testing::TestScheduler;
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobData, Scheduler, TriggerKey};
use serde::{Deserialize, Serialize};

const NOW: &str = "2026-03-01T00:00:00Z";

#[derive(Serialize, Deserialize)]
struct Order {
    number: u32,
}

/// An argument that panics when it is read.
#[derive(Serialize)]
struct Broken;

impl<'de> Deserialize<'de> for Broken {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("the reader has a bug")
    }
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

fn ship() -> JobDefinition {
    JobDefinition::new(detail("ship"), async |_order: Order| {})
}

async fn started() -> TestScheduler {
    let builder = Scheduler::builder()
        .register(ship())
        .register(JobDefinition::new(detail("broken"), async |_: Broken| {}))
        .register(JobDefinition::new(detail("optional"), async |_: Option<u32>| {}));
    TestScheduler::start(NOW, builder).await.unwrap()
}

#[track_caller]
fn assert_says<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>, expected: &[&str]) {
    let error = match result {
        Ok(value) => panic!("accepted: {value:?}"),
        Err(error) => error.to_string(),
    };
    for part in expected {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[tokio::test]
async fn n14_a_job_without_its_arguments_is_refused_however_it_is_started() {
    let test = started().await;
    let scheduler = test.scheduler();
    let ship_says =
        ["job `ship` cannot be run with these arguments", "missing field `number`", "ship::with(…)"];
    assert_says(scheduler.trigger_job(detail("ship").key(), JobData::new()).await, &ship_says);
    assert_says(scheduler.enqueue(detail("ship")).await, &ship_says);
    assert_says(scheduler.schedule(detail("ship"), Trigger::now().name("t")).await, &ship_says);
    let wrong = JobData::new().with("number", "seven");
    let number_says = ["job `ship` cannot be run", "expected u32"];
    assert_says(scheduler.trigger_job(detail("ship").key(), wrong).await, &number_says);
    let broken = scheduler.trigger_job(detail("broken").key(), JobData::new()).await;
    assert_says(broken, &["job `broken` cannot be run", "the code that reads them has panicked"]);

    let number = || JobData::new().with("number", 7);
    scheduler.trigger_job(detail("ship").key(), number()).await.unwrap();
    scheduler.schedule(detail("ship"), Trigger::now().name("t").data(number())).await.unwrap();
    scheduler.enqueue(Invocation::with_args(detail("ship"), &Order { number: 8 })).await.unwrap();
    scheduler.trigger_job(detail("optional").key(), JobData::new()).await.unwrap();
}

#[tokio::test]
async fn n14_the_data_of_a_stored_job_counts() {
    let test = started().await;
    let stored = detail("ship").to_builder().data(JobData::new().with("number", 1)).durable(true).build();
    test.scheduler().add_job(stored, scheduler_core::store::Existing::Refuse).await.unwrap();
    test.scheduler().enqueue(detail("ship")).await.unwrap();
    test.scheduler().trigger_job(detail("ship").key(), JobData::new()).await.unwrap();
}

#[test]
fn n14_a_declared_trigger_without_arguments_is_found_when_the_scheduler_is_built() {
    let says = ["job `ship` cannot be run with these arguments", "missing field `number`"];
    assert_says(Scheduler::builder().register(ship().with_trigger(Trigger::now())).build(), &says);
    assert_says(Scheduler::builder().register(ship()).before_start(detail("ship")).build(), &says);
}

#[tokio::test]
async fn n14_a_queue_refuses_a_job_without_its_arguments() {
    let mails = scheduler_core::host::JobQueue::bounded(10).build();
    let host =
        scheduler_core::host::Host::builder().register(ship()).queue("mails", mails.clone()).build().unwrap();
    assert_says(mails.enqueue(detail("ship")).await, &["job `ship` cannot be run", "missing field `number`"]);
    drop(host);
}

#[tokio::test]
async fn n14_what_does_not_exist_cannot_be_paused_resumed_or_cancelled() {
    let test = started().await;
    let scheduler = test.scheduler();
    let number = JobData::new().with("number", 7);
    let later = Trigger::after(std::time::Duration::from_secs(60)).name("nightly").data(number);
    scheduler.schedule(detail("ship"), later).await.unwrap();
    let trigger: TriggerKey = "nigthly".parse().unwrap();
    let hint = ["there is no trigger `nigthly`, did you mean `nightly`?"];
    assert_says(scheduler.pause(Selection::Trigger(trigger.clone())).await, &hint);
    assert_says(scheduler.resume(Selection::Trigger(trigger.clone())).await, &hint);
    assert_says(scheduler.cancel(Executions::OfTrigger(trigger.clone())).await, &hint);
    let hint = ["there is no job `shipp`, did you mean `ship`?"];
    let job = || detail("shipp").key().clone();
    assert_says(scheduler.pause(Selection::Job(job())).await, &hint);
    assert_says(scheduler.resume(Selection::Job(job())).await, &hint);
    assert_says(scheduler.cancel(Executions::OfJob(job())).await, &hint);
    assert_says(scheduler.trigger_job(&job(), JobData::new()).await, &hint);
    assert!(!scheduler.unschedule(&trigger).await.unwrap());
    assert!(!scheduler.delete_job(&job()).await.unwrap());

    // What exists and has nothing to do is no error, and a group may come into being later.
    let nightly = || Selection::Trigger("nightly".parse().unwrap());
    assert_eq!(scheduler.pause(nightly()).await.unwrap().len(), 1);
    assert!(scheduler.pause(nightly()).await.unwrap().is_empty());
    scheduler.resume(nightly()).await.unwrap();
    assert!(scheduler.resume(nightly()).await.unwrap().is_empty());
    let later = Selection::TriggerGroup(scheduler_core::Text::is("later"));
    assert!(scheduler.pause(later).await.unwrap().is_empty());
    assert!(scheduler.cancel(Executions::OfJob(detail("ship").key().clone())).await.unwrap().is_empty());
}

#[tokio::test]
async fn n14_a_missing_calendar_is_found_when_the_scheduler_is_built() {
    let closed = || StandardCalendar::new(Exclusion::weekly(&[chrono::Weekday::Sun]), chrono_tz::Tz::UTC);
    let work = || {
        JobDefinition::new(detail("work"), async || {})
            .with_trigger(Trigger::now().name("t").calendar("holydays"))
    };
    let says = ["trigger `t` names the calendar `holydays`", "add it with `.calendar(\"holydays\", …)`"];
    assert_says(Scheduler::builder().register(work()).build(), &says);
    let hint = ["did you mean `holidays`?"];
    assert_says(Scheduler::builder().register(work()).calendar("holidays", closed()).build(), &hint);
    Scheduler::builder().register(work()).calendar("holydays", closed()).build().unwrap();

    // A store in memory may have one from elsewhere in the program.
    let store = MemoryJobStore::new();
    let clock = ManualClock::at(NOW);
    let first = Scheduler::builder().store(store.clone()).clock(clock.clone()).build().unwrap();
    first.put_calendar("holydays", closed(), false).await.unwrap();
    Scheduler::builder().store(store).clock(clock).register(work()).build().unwrap();
}
