//! The calls of the firing loop, of which one that writes and one that acquires are under way at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::scheduler::Event;
use scheduler_core::store::decorator::Decorator;
use scheduler_core::store::*;
use scheduler_core::time::ManualClock;
use tokio::sync::{Semaphore, mpsc, watch};

/// Each call that writes is told to the test, those that acquire are counted, and both are answered when the test lets them.
#[derive(Debug)]
struct Held {
    inner: MemoryJobStore,
    /// Whether it wakes the loop when something may be due.
    wakes: bool,
    writes: mpsc::UnboundedSender<()>,
    acquires: Acquires,
    writing: Arc<Semaphore>,
    acquiring: Arc<Semaphore>,
    /// How many endings each call has written.
    written: Arc<Mutex<Vec<usize>>>,
    /// The next call that acquires panics.
    panics: Arc<AtomicBool>,
}

/// How many calls to acquire have begun, and how many were answered.
#[derive(Debug, Clone, Default)]
struct Acquires(watch::Sender<(usize, usize)>);

impl Acquires {
    /// Waits until the loop waits for an answer, and more calls than so many have begun. Says how many have begun.
    async fn wait(&self, more_than: usize) -> usize {
        let mut counts = self.0.subscribe();
        let is_under_way = |(begun, answered): &(usize, usize)| begun > answered && *begun > more_than;
        counts.wait_for(is_under_way).await.expect("the store is there").0
    }
}

async fn pass(gate: &Semaphore) {
    pass_many(gate, 1).await;
}

async fn pass_many(gate: &Semaphore, many: u32) {
    gate.acquire_many(many).await.expect("it is never closed").forget();
}

impl Decorator for Held {
    fn inner(&self) -> &dyn JobStore {
        &self.inner
    }

    fn attach(&self, node: Node) -> StoreFuture<'_, Attached> {
        let wake = if self.wakes { node.wake } else { Arc::new(|| {}) };
        self.inner.attach(Node { wake, ..node })
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        Box::pin(async move {
            assert!(!self.panics.swap(false, Ordering::SeqCst), "asked for");
            let acquired = self.inner.acquire_due(request).await;
            self.acquires.0.send_modify(|(begun, _)| *begun += 1);
            pass(&self.acquiring).await;
            self.acquires.0.send_modify(|(_, answered)| *answered += 1);
            acquired
        })
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        Box::pin(async move {
            self.written.lock().push(request.executions.len());
            self.writes.send(()).ok();
            // It takes time, whatever the test has allowed by now.
            tokio::task::yield_now().await;
            pass(&self.writing).await;
            self.inner.complete(request).await
        })
    }
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).build()
}

/// A job whose runs say that they have started, and end when the test lets them.
fn waiting(name: &str, started: &Arc<Semaphore>) -> (JobDefinition, Arc<Semaphore>) {
    let end = Arc::new(Semaphore::new(0));
    let (of_job, started) = (end.clone(), started.clone());
    let run = move || {
        let end = of_job.clone();
        started.add_permits(1);
        async move { pass(&end).await }
    };
    (JobDefinition::new(detail(name), run), end)
}

/// Here tasks run one after the other, so that what a task does before it waits is done after a few turns of the runtime.
async fn let_others_run() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A store whose calls go on as long as they are not held up.
fn open(wakes: bool) -> (Held, mpsc::UnboundedReceiver<()>) {
    let (writes, begun) = mpsc::unbounded_channel();
    let gate = || Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let (inner, acquires, written, panics) = Default::default();
    let (writing, acquiring) = (gate(), gate());
    (Held { inner, wakes, writes, acquires, writing, acquiring, written, panics }, begun)
}

/// Holds up calls that begin from now on; a call that has begun may be held up, too. Forgets the calls that were reported.
async fn hold_up(gates: &[&Semaphore], begun: &mut mpsc::UnboundedReceiver<()>) {
    for gate in gates {
        gate.forget_permits(Semaphore::MAX_PERMITS);
    }
    let_others_run().await;
    while begun.try_recv().is_ok() {}
}

#[tokio::test]
async fn what_ends_while_both_calls_are_under_way_is_written_without_waiting_for_time() {
    let (store, mut begun) = open(true);
    let (writing, acquiring, acquires, written) =
        (store.writing.clone(), store.acquiring.clone(), store.acquires.clone(), store.written.clone());
    let started = Arc::new(Semaphore::new(0));
    let [(first, end_first), (second, end_second), (third, _), (fourth, _)] =
        ["first", "second", "third", "fourth"].map(|name| waiting(name, &started));
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let builder = Scheduler::builder().clock(clock.clone()).store(store);
    let scheduler =
        builder.register(first).register(second).register(third).register(fourth).build().unwrap();
    let enqueue = async |name: &'static str| scheduler.enqueue(Invocation::new(detail(name))).await.unwrap();
    scheduler.start().await.unwrap();
    enqueue("first").await;
    enqueue("second").await;
    pass_many(&started, 2).await;
    // The store acquires, and then it writes the end of the first run, too.
    hold_up(&[&acquiring, &writing], &mut begun).await;
    enqueue("third").await;
    let first_call = acquires.wait(0).await;
    end_first.add_permits(1);
    begun.recv().await.unwrap();
    // Another run ends meanwhile. The loop takes a turn that cannot write that.
    end_second.add_permits(1);
    let_others_run().await;
    enqueue("fourth").await;
    acquiring.add_permits(1);
    acquires.wait(first_call).await;
    acquiring.add_permits(1);
    let_others_run().await;
    assert_eq!(*written.lock(), [1]);
    acquiring.add_permits(100);
    writing.add_permits(100);
    // No time passes, so nothing but the turn that follows can write it.
    begun.recv().await.unwrap();
    assert_eq!(*written.lock(), [1, 1]);
}

#[tokio::test]
async fn what_comes_while_both_calls_are_under_way_is_acquired_without_waiting_for_time() {
    let (store, mut begun) = open(true);
    let (writing, acquiring, acquires) =
        (store.writing.clone(), store.acquiring.clone(), store.acquires.clone());
    let started = Arc::new(Semaphore::new(0));
    let [(first, end_first), (second, _), (third, _)] =
        ["first", "second", "third"].map(|name| waiting(name, &started));
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let builder = Scheduler::builder().clock(clock.clone()).store(store);
    let scheduler = builder.register(first).register(second).register(third).build().unwrap();
    let enqueue = async |name: &'static str| scheduler.enqueue(Invocation::new(detail(name))).await.unwrap();
    scheduler.start().await.unwrap();
    enqueue("first").await;
    pass_many(&started, 1).await;
    hold_up(&[&acquiring, &writing], &mut begun).await;
    enqueue("second").await;
    acquires.wait(0).await;
    end_first.add_permits(1);
    begun.recv().await.unwrap();
    // The store does not know of the third run yet when it acquires.
    enqueue("third").await;
    writing.add_permits(1);
    let_others_run().await;
    acquiring.add_permits(100);
    pass_many(&started, 2).await;
}

#[tokio::test]
async fn a_place_in_a_queue_that_becomes_free_while_the_store_acquires_is_taken_without_waiting_for_time() {
    let (store, mut begun) = open(false);
    let (writing, acquiring, acquires) =
        (store.writing.clone(), store.acquiring.clone(), store.acquires.clone());
    let started = Arc::new(Semaphore::new(0));
    let [(first, end_first), (second, _)] = ["first", "second"].map(|name| waiting(name, &started));
    let limits = QueueLimits { named: [("mail".into(), 1)].into(), ..QueueLimits::default() };
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let builder = Scheduler::builder().clock(clock.clone()).store(store).limits(limits.clone());
    let scheduler = builder.register(first).register(second).build().unwrap();
    for name in ["first", "second"] {
        let queued = detail(name).to_builder().queue("mail").build();
        scheduler.enqueue(Invocation::new(queued)).await.unwrap();
    }
    scheduler.start().await.unwrap();
    pass_many(&started, 1).await;
    hold_up(&[&acquiring, &writing], &mut begun).await;
    // The store is asked while the queue is full, and answers when it is not any more.
    scheduler.set_limits(QueueLimits { others: Some(9), ..limits });
    acquires.wait(0).await;
    end_first.add_permits(1);
    begun.recv().await.unwrap();
    writing.add_permits(1);
    let_others_run().await;
    acquiring.add_permits(100);
    pass_many(&started, 1).await;
}

#[tokio::test]
async fn endings_that_follow_each_other_keep_no_place_of_a_queue_empty() {
    let (store, mut begun) = open(false);
    let writing = store.writing.clone();
    let started = Arc::new(Semaphore::new(0));
    let [(first, end_first), (second, end_second), (third, _)] =
        ["first", "second", "third"].map(|name| waiting(name, &started));
    let limits = QueueLimits { named: [("mail".into(), 2)].into(), ..QueueLimits::default() };
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let builder = Scheduler::builder().clock(clock.clone()).store(store).limits(limits);
    let scheduler = builder.register(first).register(second).register(third).build().unwrap();
    for name in ["first", "second", "third"] {
        let queued = detail(name).to_builder().queue("mail").build();
        scheduler.enqueue(Invocation::new(queued)).await.unwrap();
    }
    scheduler.start().await.unwrap();
    pass_many(&started, 2).await;
    hold_up(&[&writing], &mut begun).await;
    end_first.add_permits(1);
    begun.recv().await.unwrap();
    end_second.add_permits(1);
    let_others_run().await;
    // The second end is being written when the third run begins.
    writing.add_permits(1);
    pass_many(&started, 1).await;
}

/// A loop that waits for the answer about a first run, after which a second run was enqueued.
struct Waiting {
    clock: ManualClock,
    scheduler: Scheduler,
    started: Arc<Semaphore>,
    acquiring: Arc<Semaphore>,
    panics: Arc<AtomicBool>,
}

async fn second_comes_while_the_first_is_acquired() -> Waiting {
    let (store, mut begun) = open(true);
    let (acquiring, acquires, panics) =
        (store.acquiring.clone(), store.acquires.clone(), store.panics.clone());
    let started = Arc::new(Semaphore::new(0));
    let [(first, end_first), (second, end_second)] = ["first", "second"].map(|name| waiting(name, &started));
    // Neither waits, so the clock can move.
    [end_first, end_second].iter().for_each(|end| end.add_permits(1));
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let builder = Scheduler::builder().clock(clock.clone()).store(store);
    let scheduler = builder.register(first).register(second).build().unwrap();
    scheduler.start().await.unwrap();
    clock.settle().await;
    hold_up(&[&acquiring], &mut begun).await;
    scheduler.enqueue(Invocation::new(detail("first"))).await.unwrap();
    acquires.wait(0).await;
    scheduler.enqueue(Invocation::new(detail("second"))).await.unwrap();
    Waiting { clock, scheduler, started, acquiring, panics }
}

#[tokio::test]
async fn nothing_more_is_acquired_after_standby_though_the_loop_was_waiting_for_an_answer() {
    let Waiting { clock, scheduler, started, acquiring, .. } =
        second_comes_while_the_first_is_acquired().await;
    scheduler.standby().unwrap();
    acquiring.add_permits(100);
    pass_many(&started, 1).await;
    clock.settle().await;
    assert_eq!(started.available_permits(), 0, "a run has begun in standby");
    scheduler.start().await.unwrap();
    pass_many(&started, 1).await;
}

#[tokio::test]
async fn what_was_acquired_runs_though_the_next_call_panics() {
    let Waiting { clock, scheduler: _scheduler, started, acquiring, panics } =
        second_comes_while_the_first_is_acquired().await;
    panics.store(true, Ordering::SeqCst);
    acquiring.add_permits(100);
    pass_many(&started, 1).await;
    // The loop pauses after a panic.
    clock.advance(Duration::from_secs(5)).await;
    pass_many(&started, 1).await;
    assert!(!panics.load(Ordering::SeqCst), "no call has panicked");
}

/// A store that answers its first `complete` for none of the executions.
#[derive(Debug)]
struct Short {
    inner: MemoryJobStore,
    has_answered: AtomicBool,
    calls: mpsc::UnboundedSender<&'static str>,
}

impl Decorator for Short {
    fn inner(&self) -> &dyn JobStore {
        &self.inner
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        self.calls.send("writes").ok();
        if self.has_answered.swap(true, Ordering::SeqCst) {
            return self.inner.complete(request);
        }
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::test]
async fn endings_that_the_store_does_not_answer_for_are_written_again_after_a_while_and_not_at_once() {
    let (calls, mut begun) = mpsc::unbounded_channel();
    let store = Short { inner: MemoryJobStore::new(), has_answered: AtomicBool::new(false), calls };
    let started = Arc::new(Semaphore::new(0));
    let (job, end) = waiting("short", &started);
    let clock = ManualClock::at("2026-03-01T00:00:00Z");
    let scheduler = Scheduler::builder().clock(clock.clone()).store(store).register(job).build().unwrap();
    let mut events = scheduler.events();
    scheduler.enqueue(Invocation::new(detail("short"))).await.unwrap();
    scheduler.start().await.unwrap();
    end.add_permits(1);
    let error = loop {
        if let Event::StoreFailed { error } = events.next().await.expect("the scheduler goes on") {
            break error;
        }
    };
    assert!(error.contains("answered `complete` for 0 of 1 executions"), "{error}");
    clock.settle().await;
    assert_eq!(begun.recv().await, Some("writes"));
    assert!(begun.try_recv().is_err(), "it was written again at once");
    clock.advance(Duration::from_secs(1)).await;
    while !matches!(events.next().await, Some(Event::StoreRecovered)) {}
    assert_eq!(begun.recv().await, Some("writes"));
}
