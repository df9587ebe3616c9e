//! What keeps a scheduler from being built is said all at once.

use std::time::Duration;

use scheduler_core::job::{Invocation, JobDefinition, JobDetail, State};
use scheduler_core::store::{Existing, GroupKind, MemoryJobStore};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, Scheduler};

fn detail(name: &str, job_type: &str) -> JobDetail {
    JobDetail::builder(JobKey::new(name).unwrap(), job_type).build()
}

#[derive(Clone)]
struct Pool;

async fn idle() {}
async fn query(State(_pool): State<Pool>, State(_port): State<u16>) {}

#[test]
fn all_problems_are_reported_together() {
    let error = Scheduler::builder()
        .concurrency(0)
        .provide(1_u8)
        .provide(2_u8)
        .register(JobDefinition::new(detail("query", "query"), query))
        .register(JobDefinition::new(detail("idle", "idle"), idle))
        .register(JobDefinition::new(detail("idle", "idle"), idle))
        .schedule(detail("nightly", "ildle"), Trigger::cron("0 0 25 * * ?"))
        .before_start(Invocation::new(detail("migrate", "migrate")))
        .build()
        .unwrap_err();
    let text = error.to_string();
    for expected in [
        "needs a `it::building::Pool`",
        "needs a `u16`",
        "two jobs are named `idle`: at scheduler-core/tests/it/building.rs:",
        "job `nightly` is run by `ildle`, which is not registered, did you mean `idle`?",
        "job `migrate` is run by `migrate`, which is not registered",
        "hour field has `25` at column 5; use 0-23",
        "two values of type `u8` are provided",
        "the concurrency is 0",
    ] {
        assert!(text.contains(expected), "missing: {expected}\n{text}");
    }
    assert_eq!(error.problems().len(), 8, "{text}");
}

#[test]
fn the_same_definition_twice_is_one() {
    let definition = || JobDefinition::new(detail("idle", "idle"), idle);
    let known = definition();
    assert!(Scheduler::builder().register(known.clone()).register(known).build().is_ok());
    assert_eq!(definition().place().line(), definition().place().line());
}

#[tokio::test]
async fn wrong_calls_are_refused_with_a_reason() {
    let scheduler =
        Scheduler::builder().register(JobDefinition::new(detail("idle", "idle"), idle)).build().unwrap();
    assert!(scheduler.standby().unwrap_err().to_string().contains("not started yet"));
    let unknown = scheduler.enqueue(detail("idle", "idel")).await.unwrap_err();
    assert!(unknown.is_config() && unknown.to_string().contains("did you mean `idle`?"), "{unknown}");
    let job = || detail("idle", "idle");
    let never = scheduler.schedule(job(), Trigger::cron("0 0 0 1 1 ? 2020")).await.unwrap_err();
    assert!(never.to_string().contains("will never fire"), "{never}");
    let backwards = Trigger::now().name("billing/x").start_at("2030-01-02T00:00:00Z".parse().unwrap());
    let backwards = scheduler
        .schedule(job(), backwards.end_at("2030-01-01T00:00:00Z".parse().unwrap()))
        .await
        .unwrap_err();
    assert!(backwards.to_string().contains("trigger `billing/x`: ends at"), "{backwards}");
    scheduler.schedule(job(), Trigger::now().name("once")).await.unwrap();
    let twice = scheduler.schedule(job(), Trigger::now().name("once")).await.unwrap_err();
    assert!(twice.is_conflict() && twice.to_string().contains("already stored: trigger `once`"), "{twice}");
    scheduler.shutdown(Duration::ZERO).await;
    assert!(scheduler.enqueue(job()).await.unwrap_err().is_closed());
    assert!(scheduler.start().await.unwrap_err().is_closed());
}

#[test]
fn a_start_outside_a_runtime_says_so() {
    let scheduler = Scheduler::builder().build().unwrap();
    let mut start = Box::pin(scheduler.start());
    let waker = std::task::Waker::noop();
    let std::task::Poll::Ready(Err(error)) = start.as_mut().poll(&mut std::task::Context::from_waker(waker))
    else {
        panic!("it must fail at once")
    };
    assert!(error.to_string().contains("inside a tokio runtime"), "{error}");
}

/// So many that a comparison of each with each would take minutes.
#[tokio::test]
async fn h14_many_schedules_are_built_put_in_place_and_pruned() {
    const MANY: usize = 20_000;
    let later = || Trigger::after(Duration::from_secs(3600));
    let named = |number: usize| later().name(&format!("t/{number}"));
    let builder = || {
        Scheduler::builder().name("many").register(JobDefinition::new(detail("work", "work"), async || {}))
    };
    let declaring = |numbers: std::ops::Range<usize>| {
        numbers.fold(builder(), |builder, number| builder.schedule(detail("work", "work"), named(number)))
    };
    let error = declaring(0..MANY).schedule(detail("work", "work"), named(7)).build().unwrap_err();
    assert_eq!(error.problems(), ["two triggers are named `t/7`; give one another name"]);

    let (store, clock) = (MemoryJobStore::new(), ManualClock::at("2026-03-01T00:00:00Z"));
    let first = declaring(0..MANY).clock(clock.clone()).store(store.clone()).build().unwrap();
    first.start().await.unwrap();
    let schedules = (0..MANY).map(|number| (Invocation::new(detail("work", "work")), named(number)));
    let put = first.schedule_all(schedules, Existing::Keep).await.unwrap();
    assert!(put.iter().enumerate().all(|(number, put)| put.trigger.name() == number.to_string()));
    first.shutdown(Duration::ZERO).await;

    let second = declaring(0..MANY / 2).clock(clock).store(store).prune_undeclared(true).build().unwrap();
    second.start().await.unwrap();
    let left = second.groups(GroupKind::Triggers).await.unwrap();
    assert_eq!(left.iter().map(|group| group.members).sum::<usize>(), MANY / 2);
    second.shutdown(Duration::ZERO).await;
}
