//! One turn of the firing loop, as a function of the time.
//!
//! A turn writes what has ended, acquires what is due, fires it and hands it to the pool, in this order: what has
//! ended frees the slots and the jobs that the next ones need. Between turns the engine only remembers triggers
//! that it has acquired ahead of their time, and when to look again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::core::{Core, SchedulerState};
use super::event::Event;
use super::execution::Execution;
use super::pool::Pool;
use crate::error::{Error, Result};
use crate::job::{CancelReason, ExecutionId, RunParts};
use crate::store::*;

/// Waits after failures of the store: doubled from the first to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LAST_BACKOFF: Duration = Duration::from_secs(15);

/// What the loop knows between turns.
pub(super) struct Engine {
    core: Arc<Core>,
    pool: Pool,
    attached: Attached,
    /// Acquired and not yet due, in firing order.
    ahead: VecDeque<AcquiredTrigger>,
    /// When the store has something else; none if it has nothing.
    next_due: Option<DateTime<Utc>>,
    /// Runs that must have ended by a moment of the monotonic clock.
    deadlines: BTreeSet<Deadline>,
    failures: u32,
}

/// When a run has taken too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    at: Duration,
    run: ExecutionId,
    /// It was asked to stop and had its time to do so.
    asked: bool,
}

/// What is to become of an acquired trigger.
struct Decision {
    firing: Firing,
    misfired: bool,
}

/// When to take the next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// After this long, or when somebody rings.
    Wait(Duration),
    /// There is no next turn.
    End,
}

impl Engine {
    pub(super) fn new(core: Arc<Core>, pool: Pool, attached: Attached) -> Self {
        let (ahead, deadlines) = Default::default();
        Self { core, pool, attached, ahead, next_due: None, deadlines, failures: 0 }
    }

    /// One turn at `now`. A failure of the store ends it; nothing is lost by that.
    pub(super) async fn tick(&mut self, now: DateTime<Utc>) -> Next {
        let state = self.core.state();
        match self.turn(state, now).await {
            Ok(()) => self.recovered(),
            Err(error) => return Next::Wait(self.failed(&error)),
        }
        if state == SchedulerState::Shutdown { Next::End } else { Next::Wait(self.wait(state)) }
    }

    async fn turn(&mut self, state: SchedulerState, now: DateTime<Utc>) -> Result<()> {
        self.write_endings(now).await?;
        self.expire();
        if state != SchedulerState::Running {
            return self.release_ahead().await;
        }
        self.acquire(now).await?;
        self.fire(now).await
    }

    /// Writes what has ended, in one call. What cannot be written is kept for the next turn.
    async fn write_endings(&mut self, now: DateTime<Utc>) -> Result<()> {
        let endings = self.core.take_endings();
        if endings.is_empty() {
            return Ok(());
        }
        let executions = endings.iter().map(|ending| ending.completion.clone()).collect();
        if let Err(error) = self.core.store.complete(Complete { now, executions }).await {
            self.core.put_back_endings(endings);
            return Err(error);
        }
        // A freed job may have a trigger waiting.
        self.core.changed.store(true, Ordering::Release);
        self.core.free_slots(endings.len());
        Ok(())
    }

    /// Asks runs that have taken too long to stop, and takes those away that do not listen or do not stop.
    fn expire(&mut self) {
        let now = self.core.clock.monotonic();
        while let Some(deadline) = self.deadlines.pop_first() {
            if deadline.at > now {
                self.deadlines.insert(deadline);
                return;
            }
            let listens = self.core.running.cancel(deadline.run, CancelReason::Timeout);
            if listens == Some(true) && !deadline.asked {
                let at = now.saturating_add(self.core.settings.cancel_grace);
                self.deadlines.insert(Deadline { at, asked: true, ..deadline });
            } else {
                self.core.running.abort(deadline.run, CancelReason::Timeout);
            }
        }
    }

    async fn release_ahead(&mut self) -> Result<()> {
        if self.ahead.is_empty() {
            return Ok(());
        }
        self.core.store.release(self.ahead.iter().map(|acquired| acquired.claim).collect()).await?;
        self.ahead.clear();
        Ok(())
    }

    fn free_slots(&self) -> usize {
        let used = self.core.active.load(Ordering::Acquire) + self.ahead.len();
        self.core.settings.concurrency.saturating_sub(used)
    }

    /// Claims what is due or nearly due, if the store may have something.
    async fn acquire(&mut self, now: DateTime<Utc>) -> Result<()> {
        let until = now + TimeDelta::from_std(self.attached.look_ahead).unwrap_or_default();
        let max = self.free_slots().min(self.core.settings.batch);
        if max == 0 {
            return Ok(());
        }
        // Cleared before asking, so that a change during the call is seen at the next turn.
        let changed = self.core.changed.swap(false, Ordering::AcqRel);
        if !changed && self.next_due.is_none_or(|due| due > until) {
            return Ok(());
        }
        let request = AcquireDue { session: self.core.session, now, until, max };
        let acquired = match self.core.store.acquire_due(request).await {
            Ok(acquired) => acquired,
            Err(error) => {
                self.core.changed.store(true, Ordering::Release);
                return Err(error);
            }
        };
        self.next_due = acquired.next_due;
        self.remember(acquired.triggers);
        Ok(())
    }

    fn remember(&mut self, acquired: Vec<AcquiredTrigger>) {
        let in_order = self.ahead.is_empty();
        self.ahead.extend(acquired);
        if !in_order {
            let rank = |a: &AcquiredTrigger| (a.progress.next, std::cmp::Reverse(a.trigger.priority()));
            self.ahead
                .make_contiguous()
                .sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.trigger.key().cmp(b.trigger.key())));
        }
    }

    /// Fires what is due among the acquired, in one call, and hands it to the pool.
    async fn fire(&mut self, now: DateTime<Utc>) -> Result<()> {
        let due = self
            .ahead
            .iter()
            .take_while(|acquired| acquired.progress.next.is_none_or(|due| due <= now))
            .count();
        if due == 0 {
            return Ok(());
        }
        let decisions: Vec<_> =
            self.ahead.iter().take(due).map(|acquired| self.decide(acquired, now)).collect();
        let firings = decisions.iter().map(|decision| decision.firing.clone()).collect();
        let results = self.core.store.fire(Fire { now, firings }).await?;
        let fired: Vec<_> = self.ahead.drain(..due).zip(decisions).zip(results).collect();
        let mut executions = Vec::with_capacity(due);
        for ((acquired, decision), result) in fired {
            // The trigger is back in the store, and its next time may be the earliest.
            self.next_due = self.next_due.into_iter().chain(decision.firing.progress.next).min();
            executions.extend(self.begin(acquired, decision, result, now));
        }
        self.pool.submit(executions);
        Ok(())
    }

    /// Run, or move on by the misfire policy. Pure, so a repeated call after a lost reply decides the same.
    fn decide(&self, acquired: &AcquiredTrigger, now: DateTime<Utc>) -> Decision {
        let AcquiredTrigger { claim, trigger, progress, calendar } = acquired;
        let calendar = calendar.as_deref().or(self.core.calendar_of(trigger));
        let threshold = TimeDelta::from_std(self.core.settings.misfire_threshold).unwrap_or(TimeDelta::MAX);
        if !trigger.is_misfired(progress, now, threshold) {
            let progress = trigger.fired(progress, calendar);
            return Decision { firing: Firing { claim: *claim, progress, run: true }, misfired: false };
        }
        let moved = trigger.misfired(progress, now, calendar);
        let run = moved.next.is_some_and(|due| due <= now);
        let progress = if run { trigger.fired(&moved, calendar) } else { moved };
        Decision { firing: Firing { claim: *claim, progress, run }, misfired: true }
    }

    /// What the store allowed to run, as an execution.
    fn begin(
        &mut self,
        acquired: AcquiredTrigger,
        decision: Decision,
        result: FireResult,
        now: DateTime<Utc>,
    ) -> Option<Execution> {
        let scheduled = acquired.progress.scheduled().unwrap_or(now);
        let next = decision.firing.progress.next;
        if decision.misfired {
            self.report_misfire(&acquired, scheduled, next, now);
        }
        let FireResult::Run { fence, job } = result else { return None };
        let AcquiredTrigger { claim: id, trigger, progress, .. } = acquired;
        let parts = RunParts {
            id,
            job,
            trigger,
            fence,
            attempt: 1,
            scheduled,
            fired: now,
            previous: progress.previous,
            next,
        };
        self.core.active.fetch_add(1, Ordering::AcqRel);
        self.core.report_fired(&parts);
        if let Some(timeout) = parts.job.timeout() {
            let at = self.core.clock.monotonic().saturating_add(timeout);
            self.deadlines.insert(Deadline { at, run: id, asked: false });
        }
        self.core.execution(parts)
    }

    fn report_misfire(
        &self,
        acquired: &AcquiredTrigger,
        scheduled: DateTime<Utc>,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        let trigger = acquired.trigger.key();
        tracing::warn!(%trigger, %scheduled, late = %(now - scheduled), policy = ?acquired.trigger.misfire(), ?next, "misfire");
        self.core.bus.send(|| Event::Misfired { trigger: trigger.clone(), scheduled, next });
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!("the job store answers again");
        }
    }

    /// Reports the first failure of a streak and says how long to wait.
    fn failed(&mut self, error: &Error) -> Duration {
        if self.failures == 0 {
            tracing::error!(%error, "the job store has failed; trying again");
            self.core.bus.send(|| Event::StoreFailed { error: error.to_string() });
        }
        let wait = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        wait.min(LAST_BACKOFF)
    }

    /// Until the first of: an acquired trigger is due, the store has something to acquire, a run has taken too long,
    /// and the wall clock is to be looked at again.
    fn wait(&self, state: SchedulerState) -> Duration {
        let clock = &self.core.clock;
        let mut wait = clock.longest_wait();
        if let Some(deadline) = self.deadlines.first() {
            wait = wait.min(deadline.at.saturating_sub(clock.monotonic()));
        }
        if state != SchedulerState::Running {
            return wait;
        }
        let ahead = self.ahead.front().and_then(|acquired| acquired.progress.next);
        let look_ahead = TimeDelta::from_std(self.attached.look_ahead).unwrap_or_default();
        let stored = self.next_due.filter(|_| self.free_slots() > 0).map(|due| due - look_ahead);
        let now = clock.now();
        [ahead, stored]
            .into_iter()
            .flatten()
            .fold(wait, |wait, due| wait.min((due - now).to_std().unwrap_or_default()))
    }
}
