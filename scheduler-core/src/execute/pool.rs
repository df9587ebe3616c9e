//! The worker pool: runs executions on the runtime's threads.
//!
//! A queue and a few *drainers*, tasks that live only while there is something in it. A drainer polls each
//! execution once in place, which is all that a short job needs, and spawns a task only for what is pending. One
//! execution is taken at a time, so a job that blocks its thread delays nobody but itself as long as the runtime
//! has another thread. Jobs declared blocking get a thread for blocking work at once.
//!
//! Lock: `queue`, held for a push or a pop. `drainers` counts the drainer tasks; it is changed under the lock, so a
//! push that finds too few of them is never missed by one that is about to end.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::execution::{Body, Execution};
use crate::job::Threading;
use crate::sync::{self, Mutex};
use crate::user;

/// After so many polls in place a drainer lets the runtime look after its other tasks.
const TURN: usize = 32;

#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    runtime: Handle,
    tracker: TaskTracker,
    most_drainers: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Execution>,
    drainers: usize,
}

impl Pool {
    pub(crate) fn new(runtime: Handle, tracker: TaskTracker) -> Self {
        let most_drainers = runtime.metrics().num_workers().max(1);
        Self { shared: Arc::default(), runtime, tracker, most_drainers }
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs the executions, in this order as far as threads are free. Returns at once.
    pub(crate) fn submit(&self, executions: impl IntoIterator<Item = Execution>) {
        let mut queue = self.shared.queue.lock();
        for execution in executions {
            match execution.threading() {
                Threading::Async => queue.waiting.push_back(execution),
                Threading::Blocking => self.run_blocking(execution),
            }
        }
        let wanted = self.most_drainers.min(queue.waiting.len()).saturating_sub(queue.drainers);
        queue.drainers += wanted;
        drop(queue);
        for _ in 0..wanted {
            sync::spawn(&self.tracker, &self.runtime, self.clone().drain());
        }
    }

    fn run_blocking(&self, execution: Execution) {
        let runtime = self.runtime.clone();
        self.tracker.spawn_blocking_on(
            move || {
                if let Some(body) = execution.begin() {
                    runtime.block_on(body);
                }
            },
            &self.runtime,
        );
    }

    async fn drain(self) {
        loop {
            for _ in 0..TURN {
                let Some(execution) = self.next() else { return };
                let mut execution = Some(execution);
                let once = poll_fn(|cx| {
                    self.poll_once(execution.take(), cx);
                    Poll::Ready(())
                });
                once.await;
            }
            sync::yield_now().await;
        }
    }

    /// The next execution, or the end of this drainer.
    fn next(&self) -> Option<Execution> {
        let mut queue = self.shared.queue.lock();
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.drainers -= 1;
        }
        next
    }

    /// Caught as a whole, since a drainer must not end with a value of a job that panics while it is dropped.
    fn poll_once(&self, execution: Option<Execution>, cx: &mut Context<'_>) {
        let polled = user::call(|| {
            let Some(mut body) = execution.and_then(Execution::begin) else { return };
            if Pin::new(&mut body).poll(cx).is_pending() {
                self.detach(body);
            }
        });
        if let Err(panic) = polled {
            tracing::error!(%panic, "a value of a job has panicked while it was dropped; everything else goes on");
        }
    }

    fn detach(&self, body: Body) {
        let run = body.run();
        let task = sync::spawn(&self.tracker, &self.runtime, body);
        if let Some(run) = run {
            run.abort.attach(task);
        }
    }
}
