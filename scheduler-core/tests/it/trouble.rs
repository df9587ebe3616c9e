//! A store that fails, and a store that panics: nothing is lost, and the scheduler says so once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::run::RunState;
use scheduler_core::scheduler::Event;
use scheduler_core::store::{
    AcquireDue, Existing, JobStore, MemoryJobStore, Queries, QueueLimits, RunQuery, TriggerQuery,
};
use scheduler_core::testing::{Fault, FaultyStore, Verb};
use scheduler_core::time::{Clock, ManualClock};
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, Scheduler};

struct Bench {
    clock: ManualClock,
    store: FaultyStore,
    scheduler: Scheduler,
    ran: Arc<AtomicUsize>,
}

fn break_hot_path(store: &FaultyStore, fault: Fault) {
    for verb in [Verb::AcquireDue, Verb::Fire, Verb::Complete] {
        store.inject(verb, fault, usize::MAX);
    }
}

async fn bench() -> Bench {
    let (clock, store, ran) = (
        ManualClock::at("2026-03-01T00:00:00Z"),
        FaultyStore::new(MemoryJobStore::new()),
        Arc::new(AtomicUsize::new(0)),
    );
    let counter = ran.clone();
    let count = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    let detail = JobDetail::builder(JobKey::new("count").unwrap(), "count").disallow_concurrent(true).build();
    let job = JobDefinition::new(detail, count).with_trigger(Trigger::every(Duration::from_secs(10)));
    let scheduler =
        Scheduler::builder().clock(clock.clone()).store(store.clone()).register(job).build().unwrap();
    scheduler.start().await.unwrap();
    clock.settle().await;
    Bench { clock, store, scheduler, ran }
}

#[tokio::test]
async fn a_store_that_is_away_is_tried_again_and_what_was_missed_is_fired() {
    let Bench { clock, store, scheduler, ran } = bench().await;
    let mut events = scheduler.events();
    break_hot_path(&store, Fault::Fails);
    clock.advance(Duration::from_secs(25)).await;
    assert_eq!(ran.load(Ordering::SeqCst), 1, "nothing fires without the store");
    store.heal();
    clock.advance(Duration::from_secs(15)).await;
    assert_eq!(ran.load(Ordering::SeqCst), 5, "at 0, 10, 20, 30 and 40 s");
    scheduler.shutdown(Duration::ZERO).await;
    drop(scheduler);
    let mut failures = 0;
    while let Some(event) = events.next().await {
        failures += usize::from(matches!(event, Event::StoreFailed { .. }));
    }
    assert_eq!(failures, 1, "a streak of failures is told once");
}

#[tokio::test]
async fn lost_replies_lose_no_firing_and_double_none() {
    let Bench { clock, store, ran, scheduler: _scheduler } = bench().await;
    break_hot_path(&store, Fault::LosesReply);
    clock.advance(Duration::from_secs(15)).await;
    store.heal();
    clock.advance(Duration::from_secs(45)).await;
    assert_eq!(
        ran.load(Ordering::SeqCst),
        7,
        "at 0, 10, ... 60 s, once each, after the lost claim has lapsed"
    );
}

#[tokio::test]
async fn a_store_that_panics_ends_a_turn_and_not_the_loop() {
    let Bench { clock, store, ran, scheduler: _scheduler } = bench().await;
    break_hot_path(&store, Fault::Panics);
    clock.advance(Duration::from_secs(15)).await;
    store.heal();
    clock.advance(Duration::from_secs(15)).await;
    assert_eq!(ran.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn an_ending_that_cannot_be_written_is_kept_until_it_can() {
    let (clock, store) = (ManualClock::at("2026-03-01T00:00:00Z"), FaultyStore::new(MemoryJobStore::new()));
    let held = Arc::new(tokio::sync::Notify::new());
    let (own, wait) = (clock.clone(), held.clone());
    let hold = move || {
        let (own, wait) = (own.clone(), wait.clone());
        async move { own.aside(wait.notified()).await }
    };
    let detail = JobDetail::builder(JobKey::new("hold").unwrap(), "hold").build();
    let job = JobDefinition::new(detail.clone(), hold);
    let scheduler =
        Scheduler::builder().clock(clock.clone()).store(store.clone()).register(job).build().unwrap();
    scheduler.start().await.unwrap();
    let run = scheduler.enqueue(detail).await.unwrap();
    clock.settle().await;
    break_hot_path(&store, Fault::Fails);
    held.notify_one();
    while !scheduler.running().is_empty() {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(60)).await;
    let status = scheduler.all_runs(RunQuery::one(run)).await.unwrap();
    assert_eq!(status[0].state, RunState::Claimed, "the store does not know yet");
    store.heal();
    clock.advance(Duration::from_secs(15)).await;
    assert!(scheduler.all_runs(RunQuery::one(run)).await.unwrap().is_empty(), "it was told when it was back");
}

/// What has ended and cannot be written has its slot, and no more is claimed for it than once.
#[tokio::test]
async fn endings_that_cannot_be_written_do_not_let_claims_pile_up() {
    const SLOTS: usize = 2;
    let (clock, memory) = (ManualClock::at("2026-03-01T00:00:00Z"), MemoryJobStore::new());
    let store = FaultyStore::new(memory.clone());
    let detail = |name: &str| JobDetail::builder(JobKey::new(name).unwrap(), "work").build();
    let builder = Scheduler::builder().clock(clock.clone()).store(store.clone()).concurrency(SLOTS);
    let scheduler = builder.register(JobDefinition::new(detail("work"), || async {})).build().unwrap();
    scheduler.start().await.unwrap();
    store.inject(Verb::Complete, Fault::Fails, usize::MAX);
    let all = (0..50).map(|number| {
        let name = number.to_string();
        (Invocation::new(detail(&name)), Trigger::now().name(&name))
    });
    scheduler.schedule_all(all, Existing::Refuse).await.unwrap();
    clock.advance(Duration::from_secs(20)).await;
    // What another node could have.
    let (now, max, limits) = (clock.now(), 100, QueueLimits::default());
    let request =
        AcquireDue { session: 99, now, until: now, max, limits, shares: Vec::new(), late: None, heard: None };
    let left: Vec<_> = memory.acquire_due(request).await.unwrap().triggers;
    assert!(left.len() >= 50 - 2 * SLOTS, "{} of 50 are left", left.len());
    memory.release(left.iter().map(|one| one.claim).collect()).await.unwrap();
    store.heal();
    clock.advance(Duration::from_secs(60)).await;
    assert!(scheduler.all_triggers(TriggerQuery::default()).await.unwrap().is_empty(), "all have run");
}

/// The end of a run is written in the turn in which something else is acquired.
#[tokio::test]
async fn a_slot_of_a_queue_is_used_also_when_its_end_was_written_late() {
    let (clock, store) = (ManualClock::at("2026-03-01T00:00:00Z"), FaultyStore::new(MemoryJobStore::new()));
    let second = |context: JobContext| async move { context.clock().sleep(Duration::from_secs(1)).await };
    let detail = |name: &str| JobDetail::builder(JobKey::new(name).unwrap(), "second").build();
    let builder = Scheduler::builder().clock(clock.clone()).store(store.clone()).limit_queue("one", 1);
    let scheduler = builder.register(JobDefinition::new(detail("second"), second)).build().unwrap();
    scheduler.start().await.unwrap();
    for name in ["a", "b"] {
        let trigger = Trigger::now().name(name).queue("one");
        scheduler.schedule(Invocation::new(detail(name)), trigger).await.unwrap();
    }
    // Due while the end of `a` waits for another try.
    let between = Trigger::after(Duration::from_millis(1010)).name("c");
    scheduler.schedule(Invocation::new(detail("c")), between).await.unwrap();
    store.inject(Verb::Complete, Fault::Fails, 1);
    clock.advance(Duration::from_millis(1500)).await;
    let running: Vec<_> = scheduler.running().iter().map(|run| run.job.to_string()).collect();
    assert_eq!(running, ["b", "c"], "in the order of their claims: the slot was free for the first");
}

/// Case H4: the second call comes so late that a decision of its own would be a misfire.
#[tokio::test]
async fn h04_a_fire_whose_answer_was_lost_is_repeated_as_it_was_decided() {
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let store = FaultyStore::new(MemoryJobStore::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = told.clone();
    let body = move |context: JobContext| {
        noted.lock().push((context.scheduled_fire_time(), context.next_fire_time()));
        async {}
    };
    let detail = JobDetail::builder(JobKey::new("work").unwrap(), "work").build();
    let trigger = Trigger::every(Duration::from_secs(10)).name("t");
    let job = JobDefinition::new(detail, body).with_trigger(trigger);
    let builder = Scheduler::builder().clock(clock.clone()).store(store.clone()).register(job);
    let scheduler = builder.misfire_threshold(Duration::from_secs(1)).build().unwrap();
    let mut events = scheduler.events();
    scheduler.start().await.unwrap();
    clock.advance(Duration::from_secs(9)).await;
    assert_eq!(told.lock().len(), 1, "at 0 s");
    store.inject(Verb::Fire, Fault::LosesReply, 1);
    clock.advance(Duration::from_secs(1)).await;
    assert_eq!(told.lock().len(), 1, "the store has fired it, and nobody knows");
    let query = TriggerQuery { keys: vec!["t".parse().unwrap()], ..TriggerQuery::default() };
    let stored = store.all_triggers(query).await.unwrap().remove(0).progress;
    store.inject(Verb::Fire, Fault::Fails, usize::MAX);
    clock.advance(Duration::from_secs(5)).await;
    store.heal();
    clock.advance(Duration::from_secs(4)).await;
    scheduler.shutdown(Duration::ZERO).await;
    drop(scheduler);
    assert_eq!(told.lock().len(), 2);
    assert_eq!(told.lock()[1], (stored.previous.unwrap(), stored.next), "the run knows what the store knows");
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Misfired { .. }), "nobody was late: {event:?}");
    }
}
