//! The calls of the firing loop, of which one that writes and one that acquires are under way at the same time.

use std::sync::Arc;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::job::{Invocation, JobDefinition, JobDetail};
use scheduler_core::store::decorator::Decorator;
use scheduler_core::store::*;
use scheduler_core::time::ManualClock;
use tokio::sync::{Semaphore, mpsc};

/// Each call that writes or acquires is told to the test, and goes on when the test lets it.
#[derive(Debug)]
struct Held {
    inner: MemoryJobStore,
    calls: mpsc::UnboundedSender<&'static str>,
    writing: Arc<Semaphore>,
    acquiring: Arc<Semaphore>,
    /// How many endings each call has written.
    written: Arc<Mutex<Vec<usize>>>,
}

async fn pass(gate: &Semaphore) {
    gate.acquire().await.expect("it is never closed").forget();
}

impl Decorator for Held {
    fn inner(&self) -> &dyn JobStore {
        &self.inner
    }

    fn acquire_due(&self, request: AcquireDue) -> StoreFuture<'_, Acquired> {
        Box::pin(async move {
            self.calls.send("acquires").ok();
            pass(&self.acquiring).await;
            self.inner.acquire_due(request).await
        })
    }

    fn complete(&self, request: Complete) -> StoreFuture<'_, Vec<CompleteResult>> {
        Box::pin(async move {
            self.calls.send("writes").ok();
            self.written.lock().push(request.executions.len());
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

#[tokio::test]
async fn what_ends_while_both_calls_are_under_way_is_written_without_waiting_for_time() {
    let (calls, mut begun) = mpsc::unbounded_channel();
    let store = Held {
        inner: MemoryJobStore::new(),
        calls,
        writing: Arc::new(Semaphore::new(0)),
        acquiring: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        written: Arc::default(),
    };
    let (writing, acquiring, written) =
        (store.writing.clone(), store.acquiring.clone(), store.written.clone());
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
    started.acquire_many(2).await.unwrap().forget();
    let_others_run().await;
    while begun.try_recv().is_ok() {}

    // The store acquires, and then it writes the end of the first run, too.
    acquiring.forget_permits(Semaphore::MAX_PERMITS);
    enqueue("third").await;
    assert_eq!(begun.recv().await, Some("acquires"));
    end_first.add_permits(1);
    assert_eq!(begun.recv().await, Some("writes"));
    // Another run ends meanwhile. The loop takes a turn that cannot write that.
    end_second.add_permits(1);
    let_others_run().await;
    enqueue("fourth").await;
    acquiring.add_permits(1);
    assert_eq!(begun.recv().await, Some("acquires"));
    acquiring.add_permits(1);
    let_others_run().await;
    assert_eq!(*written.lock(), [1]);
    acquiring.add_permits(100);
    writing.add_permits(100);
    // No time passes, so nothing but the turn that follows can write it.
    while begun.recv().await != Some("writes") {}
    assert_eq!(*written.lock(), [1, 1]);
}
