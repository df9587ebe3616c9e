//! Triggers fire jobs: when, how often, with what.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use parking_lot::Mutex;
use scheduler_core::calendar::{Exclusion, StandardCalendar};
use scheduler_core::job::{JobContext, JobDefinition, JobDetail, State};
use scheduler_core::store::{
    Changes, Existing, JobStore, MemoryJobStore, Node, Put, QueueFilter, RunQuery, Selection,
};
use scheduler_core::time::{Clock, ManualClock};
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_core::{JobKey, Scheduler};

type Fires = Arc<Mutex<Vec<DateTime<Utc>>>>;

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(JobKey::new(name).unwrap(), name).build()
}

async fn record(State(fires): State<Fires>, context: JobContext) {
    fires.lock().push(context.scheduled_fire_time());
}

async fn started(clock: &ManualClock) -> (Scheduler, Fires) {
    let fires = Fires::default();
    let scheduler = Scheduler::builder()
        .clock(clock.clone())
        .provide(fires.clone())
        .register(JobDefinition::new(detail("record"), record))
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    (scheduler, fires)
}

#[tokio::test]
async fn an_interval_fires_at_every_multiple_of_its_start() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, fires) = started(&clock).await;
    scheduler.schedule(detail("record"), Trigger::every(Duration::from_secs(10)).repeat(3)).await.unwrap();
    clock.advance(Duration::from_secs(60)).await;
    let seconds: Vec<_> = fires.lock().iter().map(|t| t.timestamp() % 60).collect();
    assert_eq!(seconds, [0, 10, 20, 30]);
    assert!(
        scheduler.all_jobs(Default::default()).await.unwrap().is_empty(),
        "a job that is not durable goes with its last trigger"
    );
}

#[tokio::test]
async fn a_month_of_a_daily_cron_takes_no_time() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, fires) = started(&clock).await;
    scheduler.schedule(detail("record"), Trigger::cron("0 0 2 * * ?")).await.unwrap();
    clock.advance(Duration::from_secs(31 * 86_400)).await;
    assert_eq!(fires.lock().len(), 31);
}

#[tokio::test]
async fn what_is_enqueued_runs_at_once_and_leaves_nothing() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, fires) = started(&clock).await;
    let run = scheduler.enqueue(detail("record")).await.unwrap();
    clock.settle().await;
    assert_eq!(*fires.lock(), [clock.now()]);
    assert!(scheduler.all_runs(RunQuery::one(run)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_paused_trigger_is_silent_until_it_is_resumed() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (scheduler, fires) = started(&clock).await;
    let every = Trigger::every(Duration::from_secs(1)).start_at(clock.now() + TimeDelta::seconds(1));
    let scheduled = scheduler.schedule(detail("record"), every).await.unwrap();
    assert_eq!(
        scheduler.pause(Selection::Trigger(scheduled.trigger.clone())).await.unwrap(),
        std::slice::from_ref(&scheduled.trigger)
    );
    clock.advance(Duration::from_secs(5)).await;
    assert!(fires.lock().is_empty());
    scheduler.resume(Selection::All).await.unwrap();
    clock.settle().await;
    assert_eq!(fires.lock().len(), 5, "within the misfire threshold every missed time is made up for");
    assert!(scheduler.unschedule(&scheduled.trigger).await.unwrap());
    clock.advance(Duration::from_secs(5)).await;
    assert_eq!(fires.lock().len(), 5);
}

#[tokio::test]
async fn runs_of_a_job_that_disallows_them_do_not_overlap() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counter, peak) = (now.clone(), most.clone());
    let job = move |context: JobContext| {
        let (counter, peak) = (counter.clone(), peak.clone());
        async move {
            peak.fetch_max(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            context.clock().sleep(Duration::from_secs(3)).await;
            counter.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let exclusive = detail("slow").to_builder().disallow_concurrent(true).build();
    let scheduler = Scheduler::builder()
        .clock(clock.clone())
        .register(JobDefinition::new(exclusive.clone(), job))
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    for _ in 0..10 {
        scheduler.enqueue(exclusive.clone()).await.unwrap();
    }
    clock.advance(Duration::from_secs(29)).await;
    assert_eq!((most.load(Ordering::SeqCst), scheduler.running().len()), (1, 1));
    clock.advance(Duration::from_secs(1)).await;
    assert!(scheduler.running().is_empty(), "ten runs of three seconds are over after thirty");
}

#[tokio::test]
async fn a_calendar_leaves_times_out_of_every_kind_of_schedule() {
    let clock = ManualClock::at("2026-12-24T12:00:00Z");
    let fires = Fires::default();
    let weekends = StandardCalendar::new(Exclusion::weekly(&[Weekday::Sat, Weekday::Sun]), Tz::UTC);
    let christmas = Exclusion::holidays(["2026-12-25".parse().unwrap()]);
    let scheduler = Scheduler::builder()
        .clock(clock.clone())
        .provide(fires.clone())
        .calendar("working-days", StandardCalendar::new(christmas, Tz::UTC).based_on(weekends))
        .register(JobDefinition::new(detail("record"), record))
        .build()
        .unwrap();
    scheduler.start().await.unwrap();
    let days = |trigger: TriggerBuilder| trigger.calendar("working-days");
    scheduler.schedule(detail("record"), days(Trigger::cron("0 0 9 * * ?"))).await.unwrap();
    scheduler.schedule(detail("record"), days(Trigger::every(Duration::from_secs(86_400)))).await.unwrap();
    clock.advance(Duration::from_secs(5 * 86_400)).await;
    let seen: Vec<_> = fires.lock().iter().map(|time| time.format("%a %d %H").to_string()).collect();
    assert_eq!(seen, ["Thu 24 12", "Mon 28 09", "Mon 28 12", "Tue 29 09", "Tue 29 12"]);
    let unknown =
        scheduler.schedule(detail("record"), Trigger::now().calendar("workingdays")).await.unwrap_err();
    assert!(unknown.to_string().contains("did you mean `working-days`?"), "{unknown}");
}

/// Whoever waits for the first of a lane has nothing to learn from what comes after it.
#[tokio::test]
async fn the_store_in_memory_wakes_nodes_only_for_what_comes_first() {
    let (store, wakes) = (MemoryJobStore::new(), Arc::new(AtomicUsize::new(0)));
    let counter = wakes.clone();
    let wake = Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let node = Node {
        session: 1,
        name: "node".into(),
        types: None,
        queues: QueueFilter::default(),
        wake,
        stop: Arc::new(|_, _| {}),
    };
    store.attach(node).await.unwrap();
    let now = "2026-03-01T00:00:00Z".parse().unwrap();
    let job = Arc::new(JobDetail::builder("job".parse().unwrap(), "job").build());
    let put = |name: &'static str, job_type: &'static str, hours: i64| {
        let detail = match job_type {
            "job" => job.clone(),
            other => Arc::new(JobDetail::builder(other.parse().unwrap(), other).build()),
        };
        let trigger = Trigger::at(now + TimeDelta::hours(hours)).name(name).job(detail.key().clone());
        let trigger = trigger.build(now).unwrap();
        let progress = trigger.first(None);
        store.put(Put {
            jobs: vec![detail],
            existing_jobs: Existing::Keep,
            triggers: vec![(Arc::new(trigger), progress)],
            existing_triggers: Existing::Refuse,
        })
    };
    // Another job type is another lane: other nodes may be able to run it.
    let rows = [
        ("a", "job", 5, 1),
        ("b", "job", 6, 1),
        ("c", "job", 7, 1),
        ("d", "job", 4, 2),
        ("e", "other", 9, 3),
        ("f", "job", 5, 3),
    ];
    for (name, job_type, hours, expected) in rows {
        put(name, job_type, hours).await.unwrap();
        assert_eq!(wakes.load(Ordering::SeqCst), expected, "{name}");
    }
}
