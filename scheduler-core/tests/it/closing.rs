//! After the shutdown: one rule for every method of the handle (`H15`).

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::Weekday;
use chrono_tz::Tz;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::host::{Host, HostHandle};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::{
    Executions, Existing, FiringQuery, GroupKind, JobQuery, PauseNote, Selection, TriggerQuery,
};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{JobData, JobKey, Result, Scheduler, SchedulerBuilder, SchedulerState, TriggerKey};

const NOW: &str = "2026-03-01T00:00:00Z";

type Call = Pin<Box<dyn Future<Output = Result<()>>>>;

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).durable(true).build()
}

fn weekends() -> StandardCalendar {
    StandardCalendar::new(Exclusion::weekly(&[Weekday::Sat, Weekday::Sun]), Tz::UTC)
}

fn hourly() -> TriggerBuilder {
    Trigger::every(Duration::from_secs(3600))
}

/// A row for each method: its name, and a call of it.
macro_rules! calls {
    ($scheduler:ident; $($name:literal => $call:expr;)*) => {
        vec![$(($name, {
            let $scheduler = $scheduler.clone();
            Box::pin(async move { $call.await.map(drop) }) as Call
        })),*]
    };
}

/// Every method that changes what is stored.
fn changes(scheduler: &Scheduler) -> Vec<(&'static str, Call)> {
    let (job, key) = (|| "work".parse::<JobKey>().unwrap(), || "kept".parse::<TriggerKey>().unwrap());
    calls! { scheduler;
        "schedule" => scheduler.schedule(detail("work"), hourly());
        "schedule_all" => scheduler.schedule_all([(Invocation::new(detail("work")), hourly())], Existing::Keep);
        "enqueue" => scheduler.enqueue(detail("work"));
        "trigger_job" => scheduler.trigger_job(&job(), JobData::new());
        "reschedule" => scheduler.reschedule(&key(), hourly());
        "update_trigger" => scheduler.update_trigger(&key(), |trigger| trigger.priority(9));
        "unschedule" => scheduler.unschedule(&key());
        "unschedule_all" => scheduler.unschedule_all([key()]);
        "pause" => scheduler.pause(Selection::All);
        "pause_with" => scheduler.pause_with(Selection::All, PauseNote::because("holidays"));
        "resume" => scheduler.resume(Selection::All);
        "reset_from_error" => scheduler.reset_from_error(&key());
        "clear" => scheduler.clear();
        "add_job" => scheduler.add_job(detail("work"), Existing::Update);
        "delete_job" => scheduler.delete_job(&job());
        "put_calendar" => scheduler.put_calendar("off", weekends(), true);
        "remove_calendar" => scheduler.remove_calendar("off");
    }
}

/// Every method that only looks.
fn looks(scheduler: &Scheduler) -> Vec<(&'static str, Call)> {
    let (job, key) = (|| "work".parse::<JobKey>().unwrap(), || "kept".parse::<TriggerKey>().unwrap());
    calls! { scheduler;
        "job" => scheduler.job(&job());
        "trigger" => scheduler.trigger(&key());
        "jobs" => scheduler.all_jobs(JobQuery::default());
        "triggers" => scheduler.all_triggers(TriggerQuery::default());
        "groups" => scheduler.groups(GroupKind::Triggers);
        "calendars" => scheduler.calendars();
        "executions" => scheduler.executions(Executions::All);
        "firings" => scheduler.all_firings(FiringQuery::default());
        "nodes" => scheduler.nodes();
        "explain" => scheduler.explain(&key());
    }
}

async fn assert_closed(scheduler: &Scheduler) {
    for (name, call) in changes(scheduler) {
        let error = call.await.expect_err(name);
        assert!(error.is_closed(), "{name}: {error}");
        assert_eq!(error.operation(), Some(name));
    }
    for (name, call) in looks(scheduler) {
        call.await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for (name, error) in [("start", scheduler.start().await), ("standby", scheduler.standby())] {
        let error = error.expect_err(name);
        assert!(error.is_closed() && error.operation() == Some(name), "{name}: {error}");
    }
    let kept = scheduler.trigger(&"kept".parse().unwrap()).await.unwrap().expect("nothing was changed");
    assert!(kept.pause.is_none() && kept.trigger.priority() == 5);
}

fn builder() -> SchedulerBuilder {
    let slow = |context: JobContext| async move { context.clock().sleep(Duration::from_secs(60)).await };
    Scheduler::builder()
        .register(JobDefinition::new(detail("work"), async || {}))
        .register(JobDefinition::new(detail("slow"), slow))
        .schedule(detail("work"), hourly().name("kept"))
}

#[tokio::test]
async fn h15_every_method_works_before() {
    let scheduler = builder().clock(ManualClock::at(NOW)).build().unwrap();
    scheduler.start().await.unwrap();
    for (name, call) in looks(&scheduler).into_iter().chain(changes(&scheduler)) {
        // Some of the former have removed what the latter look for.
        let result = call.await;
        assert!(result.as_ref().err().is_none_or(|error| !error.is_closed()), "{name}: {result:?}");
    }
    scheduler.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn h15_after_the_shutdown_every_handle_refuses_changes_and_answers_questions() {
    let scheduler = builder().clock(ManualClock::at(NOW)).build().unwrap();
    scheduler.start().await.unwrap();
    scheduler.shutdown(Duration::from_secs(1)).await;
    let upgraded = scheduler.downgrade().upgrade().unwrap();
    for handle in [scheduler.clone(), upgraded] {
        assert_closed(&handle).await;
        assert!(handle.cancel(Executions::All).await.unwrap_err().is_closed());
    }
}

#[tokio::test]
async fn h15_a_scheduler_that_was_never_started_closes_as_well() {
    let scheduler = builder().clock(ManualClock::at(NOW)).build().unwrap();
    scheduler.schedule(detail("work"), hourly().name("kept")).await.unwrap();
    scheduler.shutdown(Duration::ZERO).await;
    assert_closed(&scheduler).await;
}

/// What holds up the shutdown can be stopped.
#[tokio::test]
async fn h15_while_it_shuts_down_only_cancel_works_still() {
    let clock = ManualClock::at(NOW);
    let scheduler = builder().clock(clock.clone()).build().unwrap();
    scheduler.start().await.unwrap();
    scheduler.schedule(detail("slow"), Trigger::now()).await.unwrap();
    clock.settle().await;
    let ending = scheduler.clone();
    let ending = tokio::spawn(async move { ending.shutdown(Duration::from_secs(300)).await });
    while scheduler.state() != SchedulerState::ShuttingDown {
        tokio::task::yield_now().await;
    }
    assert_closed(&scheduler).await;
    assert_eq!(scheduler.cancel(Executions::All).await.unwrap().len(), 1);
    while !ending.is_finished() {
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(1)).await;
    }
    assert_eq!(ending.await.unwrap().running, 1);
}

#[tokio::test]
async fn h15_the_handle_of_a_stopped_host_closes_as_well() {
    let host = Host::builder().clock(ManualClock::at(NOW)).scheduler(builder()).build().unwrap();
    let handle: HostHandle = host.handle();
    handle.stop();
    let scheduler = handle.scheduler().unwrap().clone();
    scheduler.schedule(detail("work"), hourly().name("kept")).await.unwrap();
    host.run_until(std::future::ready(())).await.unwrap();
    scheduler.shutdown(Duration::ZERO).await;
    assert_closed(&scheduler).await;
}
