//! A store that fails, and a store that panics: nothing is lost, and the scheduler says so once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use scheduler_core::job::{ExecutionId, JobDefinition, JobDetail};
use scheduler_core::scheduler::Event;
use scheduler_core::store::*;
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{Error, JobKey, Scheduler};

const WORKS: u8 = 0;
const FAILS: u8 = 1;
const PANICS: u8 = 2;
/// The call takes effect and its reply is lost.
const LOSES_REPLIES: u8 = 3;

/// The store in memory behind a line that can be cut, before or after the call has taken effect.
#[derive(Debug, Clone, Default)]
struct Flaky {
    inner: Arc<MemoryJobStore>,
    hot_path: Arc<AtomicU8>,
}

impl Flaky {
    fn call<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&'a MemoryJobStore) -> StoreFuture<'a, T>,
    ) -> StoreFuture<'a, T> {
        match self.hot_path.load(Ordering::SeqCst) {
            WORKS => call(&self.inner),
            LOSES_REPLIES => {
                drop(call(&self.inner));
                Box::pin(async { Err(Error::transient("the reply is lost")) })
            }
            FAILS => Box::pin(async { Err(Error::transient("the line is cut")) }),
            _ => panic!("the store has a bug"),
        }
    }
}

impl JobStore for Flaky {
    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        self.inner.attach(node)
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        self.call(|store| store.acquire_due(request))
    }

    fn fire(&self, request: Fire) -> StoreFuture<'_, Vec<FireResult>> {
        self.call(|store| store.fire(request))
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.call(|store| store.complete(request))
    }

    fn release(&self, claims: Vec<ExecutionId>) -> StoreFuture<'_, ()> {
        self.inner.release(claims)
    }

    fn put(&self, request: Put) -> StoreFuture<'_, ()> {
        self.inner.put(request)
    }

    fn remove_triggers(&self, keys: Vec<scheduler_core::TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        self.inner.remove_triggers(keys)
    }

    fn remove_jobs(&self, keys: Vec<JobKey>) -> StoreFuture<'_, Vec<bool>> {
        self.inner.remove_jobs(keys)
    }

    fn pause(&self, what: Selection) -> StoreFuture<'_, usize> {
        self.inner.pause(what)
    }

    fn resume(&self, what: Selection) -> StoreFuture<'_, usize> {
        self.inner.resume(what)
    }

    fn reset(&self, keys: Vec<scheduler_core::TriggerKey>) -> StoreFuture<'_, Vec<bool>> {
        self.inner.reset(keys)
    }

    fn jobs(&self, query: JobQuery) -> StoreFuture<'_, Vec<Arc<JobDetail>>> {
        self.inner.jobs(query)
    }

    fn triggers(&self, query: TriggerQuery) -> StoreFuture<'_, Vec<TriggerStatus>> {
        self.inner.triggers(query)
    }
}

struct Bench {
    clock: ManualClock,
    store: Flaky,
    scheduler: Scheduler,
    ran: Arc<AtomicUsize>,
}

async fn bench() -> Bench {
    let (clock, store, ran) =
        (ManualClock::at("2026-03-01T00:00:00Z"), Flaky::default(), Arc::new(AtomicUsize::new(0)));
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
    store.hot_path.store(FAILS, Ordering::SeqCst);
    clock.advance(Duration::from_secs(25)).await;
    assert_eq!(ran.load(Ordering::SeqCst), 1, "nothing fires without the store");
    store.hot_path.store(WORKS, Ordering::SeqCst);
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
    store.hot_path.store(LOSES_REPLIES, Ordering::SeqCst);
    clock.advance(Duration::from_secs(15)).await;
    store.hot_path.store(WORKS, Ordering::SeqCst);
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
    store.hot_path.store(PANICS, Ordering::SeqCst);
    clock.advance(Duration::from_secs(15)).await;
    store.hot_path.store(WORKS, Ordering::SeqCst);
    clock.advance(Duration::from_secs(15)).await;
    assert_eq!(ran.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn an_ending_that_cannot_be_written_is_kept_until_it_can() {
    let (clock, store) = (ManualClock::at("2026-03-01T00:00:00Z"), Flaky::default());
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
    let key = scheduler.enqueue(detail).await.unwrap();
    clock.settle().await;
    store.hot_path.store(FAILS, Ordering::SeqCst);
    held.notify_one();
    while !scheduler.running().is_empty() {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(60)).await;
    let status = scheduler.trigger(&key).await.unwrap().unwrap();
    assert_eq!(status.state, TriggerState::Executing, "the store does not know yet");
    store.hot_path.store(WORKS, Ordering::SeqCst);
    clock.advance(Duration::from_secs(15)).await;
    assert!(scheduler.trigger(&key).await.unwrap().is_none(), "it was told when it was back");
}
