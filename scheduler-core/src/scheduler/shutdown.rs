//! The end of a scheduler, in three steps within one budget: take no more work, cancel, abort.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use super::core::{Core, SchedulerState};
use super::event::Event;
use super::running::RunningExecution;
use crate::job::CancelReason;
use crate::key::JobKey;
use crate::time::Clock;

/// Runs are asked to stop this long before the budget ends, or after two thirds of a smaller one.
const CANCEL_BEFORE_END: Duration = Duration::from_secs(10);

/// How long aborted runs and the loop may take to go, beyond the budget. Runs that cannot be aborted are not waited for.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// What became of the work when a scheduler was shut down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many runs were under way when the shutdown began.
    pub running: usize,
    /// How many of them ended by themselves before they were asked to stop.
    pub finished: usize,
    /// The jobs whose runs had to be asked to stop, and did.
    pub cancelled: Vec<JobKey>,
    /// The jobs whose runs did not stop when asked and were taken away.
    pub aborted: Vec<JobKey>,
    /// The jobs whose runs still go on: bodies that block their thread and cannot be taken away.
    pub abandoned: Vec<JobKey>,
}

impl ShutdownReport {
    /// Whether every run ended by itself.
    pub fn is_clean(&self) -> bool {
        self.cancelled.is_empty() && self.aborted.is_empty() && self.abandoned.is_empty()
    }
}

impl Core {
    /// Ends the runs within `budget`, then the loop; the phase is `ShuttingDown` already.
    pub(super) async fn end(
        &self,
        budget: Duration,
        last_turn: Option<oneshot::Receiver<()>>,
    ) -> ShutdownReport {
        let deadline = self.clock.monotonic().saturating_add(budget);
        let report = self.drain(budget, deadline).await;
        // From any phase: the end is the end.
        self.phase.send_replace(SchedulerState::Shutdown);
        self.ring();
        if report.abandoned.is_empty() {
            self.leave(deadline.max(self.clock.monotonic()).saturating_add(LAST_MOMENT), last_turn).await;
        } else {
            // What goes on keeps its claims for as long as this process lives.
            self.close();
        }
        report
    }

    /// Ends the loop and the tasks of a scheduler without runs.
    async fn leave(&self, last_moment: Duration, last_turn: Option<oneshot::Receiver<()>>) {
        if let Some(last_turn) = last_turn {
            by(&*self.clock, last_moment, last_turn).await;
        }
        if let Some(Err(error)) = by(&*self.clock, last_moment, self.store.detach(self.session)).await {
            tracing::warn!(%error, "the store could not be told that this node has ended");
        }
        self.close();
        by(&*self.clock, last_moment, self.tasks.wait()).await;
    }

    fn close(&self) {
        self.bus.send(|| Event::State { state: SchedulerState::Shutdown });
        self.bus.close();
        self.tasks.close();
    }

    async fn drain(&self, budget: Duration, deadline: Duration) -> ShutdownReport {
        let running = self.running.list().len();
        self.idle_by(deadline.saturating_sub(CANCEL_BEFORE_END.min(budget / 3))).await;
        let asked = self.running.list();
        for id in self.running.ids() {
            self.running.cancel(id, CancelReason::Shutdown);
        }
        self.idle_by(deadline).await;
        let deaf = self.running.list();
        for id in self.running.ids() {
            self.running.abort(id, CancelReason::Shutdown);
        }
        if self.running.any_can_be_aborted() {
            self.idle_by(deadline.saturating_add(LAST_MOMENT)).await;
        }
        let left = self.running.list();
        ShutdownReport {
            running,
            finished: running.saturating_sub(asked.len()),
            cancelled: without(&asked, &deaf),
            aborted: without(&deaf, &left),
            abandoned: without(&left, &[]),
        }
    }

    /// Ready when no run is under way or about to begin, or at the deadline.
    async fn idle_by(&self, deadline: Duration) {
        loop {
            let idle = self.idle.notified();
            if self.is_idle() || self.clock.monotonic() >= deadline {
                return;
            }
            by(&*self.clock, deadline, idle).await;
        }
    }
}

fn without(all: &[RunningExecution], later: &[RunningExecution]) -> Vec<JobKey> {
    let later: HashSet<_> = later.iter().map(|run| run.id).collect();
    let gone = all.iter().filter(|run| !later.contains(&run.id));
    gone.map(|run| run.job.clone()).collect()
}

/// The output of `future`, or none at the deadline.
pub(crate) async fn by<F: Future>(clock: &dyn Clock, deadline: Duration, future: F) -> Option<F::Output> {
    let (mut future, mut sleep) = (pin!(future), clock.sleep_until(deadline));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}
