//! The end of a scheduler, in steps within one budget: finish what is due where it would be forgotten, cancel, abort.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::engine::{Core, RunningExecution};
use crate::error::Result;
use crate::job::CancelReason;
use crate::key::JobKey;
use crate::log::listed;
use crate::run::RunState;
use crate::store::{Queries, RunQuery, TriggerQuery, TriggerState, TriggerStatus};
use crate::time::by;
use crate::watch::{Event, SchedulerState};

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
    /// How many runs that were due when the shutdown began were started after it and ended by themselves.
    pub drained: usize,
    /// The jobs whose runs had to be asked to stop, and did.
    pub cancelled: Vec<JobKey>,
    /// The jobs whose runs did not stop when asked and were taken away.
    pub aborted: Vec<JobKey>,
    /// The jobs whose runs still go on: bodies that block their thread and cannot be taken away.
    pub abandoned: Vec<JobKey>,
    /// The jobs of enqueued and delayed runs that are due and were not started, one for each run, in a store that
    /// [forgets](crate::store::JobStore::forgets) them now. What a schedule starts again is not among them.
    pub lost: Vec<JobKey>,
}

impl ShutdownReport {
    /// Whether every run ended by itself, and no due work is lost.
    pub fn is_clean(&self) -> bool {
        self.troubles().is_empty()
    }

    /// What did not end well, as parts of a sentence.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let parts = [
            (&self.cancelled, "were asked to stop and did"),
            (&self.aborted, "were aborted, since they did not stop when asked"),
            (&self.abandoned, "still block their threads and end with the process"),
        ];
        let runs = parts.into_iter().filter(|(jobs, _)| !jobs.is_empty());
        let runs = runs.map(|(jobs, fate)| format!("runs of {} {fate}", listed(jobs)));
        let lost = (!self.lost.is_empty()).then(|| {
            let (count, jobs) = (self.lost.len(), listed(&self.lost));
            format!("{count} due runs were not started and are lost with the store in memory: {jobs}; allow more time for the shutdown")
        });
        runs.chain(lost).collect()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { running, finished, drained, .. } = self;
        write!(f, "{finished} of {running} runs finished")?;
        if *drained > 0 {
            write!(f, ", and {drained} more that were due")?;
        }
        self.troubles().iter().try_for_each(|trouble| write!(f, "; {trouble}"))
    }
}

impl Core {
    /// Ends the runs within `budget`, then the loop; the phase is `ShuttingDown` already.
    pub(super) async fn end(
        &self,
        budget: Duration,
        last_turn: Option<oneshot::Receiver<()>>,
    ) -> ShutdownReport {
        let (now, deadline) = (self.clock.now(), self.clock.monotonic().saturating_add(budget));
        let mut report = self.drain(budget, deadline).await;
        // From any phase: the end is the end.
        self.phase.send_replace(SchedulerState::Shutdown);
        self.ring();
        if report.abandoned.is_empty() {
            self.leave(deadline.max(self.clock.monotonic()).saturating_add(LAST_MOMENT), last_turn).await;
        } else {
            // What goes on keeps its claims for as long as this process lives.
            self.close();
        }
        report.lost = self.lost_work(now).await.unwrap_or_default();
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
        self.pipeline.bus.send(|| Event::State { state: SchedulerState::Shutdown });
        self.pipeline.bus.close();
        self.tasks.close();
    }

    async fn drain(&self, budget: Duration, deadline: Duration) -> ShutdownReport {
        let (first, ended_before) = (self.running.ids(), self.executed.load(Ordering::Relaxed));
        let asked_to_stop = deadline.saturating_sub(CANCEL_BEFORE_END.min(budget / 3));
        self.idle_by(asked_to_stop).await;
        self.stop_draining();
        // A turn that began before the draining ended may have fired what became due meanwhile.
        self.idle_by(asked_to_stop).await;
        let asked = self.running.list();
        let ended = self.executed.load(Ordering::Relaxed).saturating_sub(ended_before);
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
        let finished = first.iter().filter(|id| asked.iter().all(|run| run.id != **id)).count();
        ShutdownReport {
            running: first.len(),
            finished,
            drained: usize::try_from(ended).unwrap_or(usize::MAX).saturating_sub(finished),
            cancelled: without(&asked, &deaf),
            aborted: without(&deaf, &left),
            abandoned: without(&left, &[]),
            lost: Vec::new(),
        }
    }

    /// The jobs of what is due at `now` and ends with this store: no other node has it, and no start declares it anew.
    async fn lost_work(&self, now: DateTime<Utc>) -> Result<Vec<JobKey>> {
        if !self.store.forgets() || self.store.nodes().await?.iter().any(|node| node.session != self.session)
        {
            return Ok(Vec::new());
        }
        let triggers = self.store.all_triggers(TriggerQuery::default()).await?;
        let lost = triggers.iter().filter(|status| is_last_and_due(status, now));
        let lost = lost.map(|status| status.trigger.job().clone());
        let runs = self.store.all_runs(RunQuery::default().in_state(RunState::Waiting)).await?;
        let due = runs.into_iter().filter(|run| run.due <= now).map(|run| run.job);
        Ok(lost.chain(due).collect())
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

/// Whether this is work that was enqueued or delayed, not one firing of many.
fn is_last_and_due(status: &TriggerStatus, now: DateTime<Utc>) -> bool {
    let TriggerStatus { trigger, progress, state, .. } = status;
    let waits = !matches!(state, TriggerState::Paused | TriggerState::Complete | TriggerState::Error);
    let is_due = progress.next.is_some_and(|due| due <= now);
    waits && is_due && trigger.declared_by().is_none() && !trigger.fired(progress, None).may_fire_again()
}

fn without(all: &[RunningExecution], later: &[RunningExecution]) -> Vec<JobKey> {
    let later: HashSet<_> = later.iter().map(|run| run.id).collect();
    let gone = all.iter().filter(|run| !later.contains(&run.id));
    gone.map(|run| run.job.clone()).collect()
}
