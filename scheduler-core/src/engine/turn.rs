//! One turn of the firing loop, as a function of the time.
//!
//! A turn begins two calls: one writes what has ended, one acquires what is due, at the same time unless queue limits make the
//! second depend on the first. It then waits for the first answer, begins the next call, and only then uses the answer, so that a
//! store that takes time is never idle. Last it fires the triggers that are due and hands their executions to the pool. The next
//! turn follows at once while a [call](super::calls) is under way. What frees a job or a limit for other triggers makes the store
//! wake its nodes.
//! Between turns the engine only remembers triggers that it has acquired ahead of their time, and when to look again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::calls::{Answers, Calls};
use super::core::Core;
use super::counting::Counting;
use super::deadlines::{Deadline, Deadlines};
use super::decision::{Decided, decide};
use super::draw::Draw;
use super::ending::Ending;
use super::queues::Queues;
use super::store_failures::{FIRST_BACKOFF, StoreFailures};
use crate::error::{Error, Result};
use crate::execute::Pool;
use crate::job::{CancelReason, ExecutionId};
use crate::store::*;
use crate::watch::SchedulerState;

/// While something is being written no fewer are asked for.
const FEW: usize = 32;

/// Late triggers get one place of so many while punctual ones wait.
const LATE_PART: usize = 4;

/// What the loop knows between turns.
pub(crate) struct Engine {
    pub(super) core: Arc<Core>,
    pool: Pool,
    attached: Attached,
    /// Acquired and not yet due, in firing order.
    ahead: VecDeque<AcquiredTrigger>,
    /// When the store has something else; none if it has nothing.
    next_due: Option<DateTime<Utc>>,
    pub(super) deadlines: Deadlines,
    /// Endings that the store does not have yet; those that are being written come first.
    unwritten: Vec<Ending>,
    calls: Calls,
    /// The last acquisition has failed.
    ask_again: bool,
    /// The number of the last claim of which the store has told.
    heard: u64,
    /// What was decided for the first of `ahead`, by a call that has failed; it may have taken effect.
    unsure: Option<Decided>,
    /// Up to when what is due still runs, while the scheduler shuts down; as it was when the turn began.
    last_due: Option<DateTime<Utc>>,
    /// How many of each queue are acquired or under way.
    pub(super) queues: Queues,
    draw: Draw,
    counting: Counting,
    /// What is left of the share of late triggers, in parts of one.
    late_quarters: usize,
    store_failures: StoreFailures,
}

/// When to take the next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// After this long, or when somebody rings.
    Wait(Duration),
    /// There is no next turn.
    End,
}

impl Engine {
    pub(crate) fn new(core: Arc<Core>, pool: Pool, attached: Attached) -> Self {
        let (ahead, deadlines, queues, unwritten, calls) = Default::default();
        let (next_due, ask_again, heard, unsure, late_quarters) = (None, false, 0, None, 0);
        let (draw, store_failures) = (Draw::new(&core.settings.order), StoreFailures::new(core.clone()));
        Self {
            core,
            pool,
            attached,
            ahead,
            next_due,
            deadlines,
            queues,
            draw,
            counting: Counting::default(),
            unwritten,
            calls,
            ask_again,
            heard,
            unsure,
            last_due: None,
            late_quarters,
            store_failures,
        }
    }

    /// One turn at `now`. A failure of the store ends it; nothing is lost by that.
    pub(crate) async fn tick(&mut self, now: DateTime<Utc>) -> Next {
        let (state, last_due) = self.core.turn_begins(self.unsure.is_some());
        self.last_due = last_due;
        let turn = self.turn(state, now).await;
        // At the end the store gives to others what nobody has begun.
        let has_due = self.has_due_to_drain();
        let may_begin = state != SchedulerState::Shutdown && (self.unsure.is_some() || has_due);
        self.core.turn_ends(may_begin || self.calls.are_asking());
        if last_due.is_some() && !has_due {
            self.core.drained();
        }
        match turn {
            Ok(()) => self.store_failures.answered(),
            Err(error) => return Next::Wait(self.store_failures.failed(&error).min(self.until_deadline())),
        }
        // The next turn takes up endings and new work that came while calls were under way, since the ring that told of them may
        // have been used up.
        let has_come = self.takes(state) && self.core.changed.load(Ordering::Acquire);
        if self.calls.are_under_way() || !self.unwritten.is_empty() || has_come {
            return Next::Wait(Duration::ZERO);
        }
        // A run that goes on has an ending to be written.
        let over = state == SchedulerState::Shutdown && self.core.is_idle();
        self.core.tell_counts(&mut self.counting, over);
        if over { Next::End } else { Next::Wait(self.wait(state)) }
    }

    /// Whether something is left that is to run before the scheduler is shut down.
    fn has_due_to_drain(&self) -> bool {
        let may_be_due = |last| {
            let is_due = self.next_due.is_some_and(|due| due <= last);
            is_due || self.ask_again || self.core.changed.load(Ordering::Acquire) || !self.ahead.is_empty()
        };
        self.last_due.is_some_and(may_be_due)
    }

    /// Whether new work is taken.
    fn takes(&self, state: SchedulerState) -> bool {
        state == SchedulerState::Running || self.last_due.is_some()
    }

    async fn turn(&mut self, state: SchedulerState, now: DateTime<Utc>) -> Result<()> {
        let takes = self.takes(state);
        self.write(now);
        if takes {
            self.ask(now, self.used_slots());
        }
        let answered = self.use_answers(takes.then_some(state), None).await;
        // Whatever the store does.
        self.expire();
        answered?;
        let may_begin = state != SchedulerState::Shutdown;
        // A firing that may have reached the store is repeated even in standby, so that it is not lost.
        let fires = takes || (self.unsure.is_some() && may_begin);
        if fires && let Err(error) = self.fire(now).await {
            return self.use_answers(None, Some(error)).await;
        }
        if !takes && !self.calls.are_under_way() {
            self.release_ahead().await?;
            if self.ask_again || self.core.active.load(Ordering::Acquire) > 0 {
                // Only to hear which of them are to stop, and to give back what nobody has heard of.
                self.acquire_nothing(now).await?;
            }
        }
        Ok(())
    }

    /// Waits for the first answer of the store and uses it. If the scheduler `takes` new work in this state, the next calls begin
    /// before that. After a failure all answers are awaited, because the loop then pauses.
    async fn use_answers(&mut self, takes: Option<SchedulerState>, mut failed: Option<Error>) -> Result<()> {
        while self.calls.are_under_way() {
            let Answers { written, acquired } = self.calls.answers(&self.core, failed.is_none()).await;
            let asks = acquired.is_some() || self.calls.are_asking();
            let mut fails = |error| failed = Some(error);
            let written = written.and_then(|written| written.map_err(&mut fails).ok());
            let acquired = acquired.and_then(|acquired| acquired.map_err(&mut fails).ok());
            let frees = takes.is_some() && written.is_some();
            let ended = written.map(|results| self.take_written(results)).unwrap_or_default();
            let runs = acquired.map(|acquired| self.acquired(acquired)).unwrap_or_default();
            if failed.is_none() {
                if frees && (!asks || self.has_limits()) {
                    // A trigger may wait for the job that is free now, and the request under way does not know of the room in queues.
                    self.core.changed.store(true, Ordering::Release);
                }
                let takes = takes.is_some_and(|state| self.core.is_still(state, self.last_due));
                if takes && self.calls.take_time() {
                    self.call_again((self.used_slots() + runs.len()).saturating_sub(ended.len()));
                }
            }
            self.report_written(ended);
            self.begin_runs(runs);
            if failed.is_none() && !(frees && !asks && self.calls.are_asking()) {
                break;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Begins the next calls, with this many slots `used`. It asks first, since a call that writes may keep it from asking.
    fn call_again(&mut self, used: usize) {
        let now = self.core.clock.now();
        if used < self.core.settings.concurrency {
            self.ask(now, used);
        }
        self.write(now);
    }

    fn has_limits(&self) -> bool {
        *self.core.limits.read() != QueueLimits::default()
    }

    /// Begins to write what has ended, unless a call is under way.
    fn write(&mut self, now: DateTime<Utc>) {
        let mut taken = self.core.take_endings();
        // From here on the loop is busy in their place; what cannot be written waits for time to bring another try.
        taken.iter_mut().for_each(Ending::wait);
        self.unwritten.extend(taken);
        if self.calls.are_writing() || self.unwritten.is_empty() {
            return;
        }
        let executions = self.unwritten.iter().map(|ending| ending.completion.clone()).collect();
        self.calls.write(&self.core.store, Complete { now, executions });
    }

    /// Begins to acquire, if the store may have something. The slots of what is being written are free, whether the store knows it
    /// or not; only where there are limits of queues does what has ended decide what may be acquired. This many slots are `used`.
    fn ask(&mut self, now: DateTime<Utc>, used: usize) {
        let waits_for_endings = self.has_limits() && self.calls.are_writing();
        if self.calls.are_asking() || self.unsure.is_some() || waits_for_endings {
            return;
        }
        let slots = self.core.settings.concurrency + self.calls.being_written();
        let max = slots.saturating_sub(used).min(self.attached.batch);
        // For a few more it waits until something is written, which may free more slots.
        if self.calls.are_writing() && max < self.core.settings.concurrency.min(FEW) {
            return;
        }
        if let Some(request) = self.request(now, max, used) {
            self.calls.ask(&self.core.store, request);
        }
    }

    /// The endings that the store has written, with its answers. Their places in queues are free.
    fn take_written(&mut self, results: Vec<CompleteResult>) -> Vec<(Ending, CompleteResult)> {
        let left = self.unwritten.split_off(results.len());
        let ended = std::mem::replace(&mut self.unwritten, left);
        ended.iter().for_each(|ending| self.queues.leave(ending.trigger.queue()));
        ended.into_iter().zip(results).collect()
    }

    fn report_written(&mut self, ended: Vec<(Ending, CompleteResult)>) {
        let many = ended.len();
        ended.iter().for_each(|(ending, _)| self.counting.note(ending));
        self.core.tell_counts(&mut self.counting, false);
        for (ending, result) in ended {
            self.deadlines.remove(ending.completion.execution);
            self.core.report_end(&ending, result);
        }
        self.core.free_slots(many);
    }

    /// Asks runs that have taken too long to stop, and takes those away that do not listen or do not stop.
    fn expire(&mut self) {
        self.core.take_stops().into_iter().for_each(|(run, reason)| self.stop(run, reason));
        let now = self.core.clock.monotonic();
        while let Some(deadline) = self.deadlines.pop(now) {
            if deadline.asked {
                self.core.running.abort_body(deadline.run, CancelReason::Timeout);
            } else {
                self.stop(deadline.run, CancelReason::Timeout);
            }
        }
    }

    /// Asks a run to stop and takes it away if it does not listen, or does not stop in time.
    /// Once: the store asks until the run has ended.
    fn stop(&mut self, run: ExecutionId, reason: CancelReason) {
        if self.core.running.was_asked(run) {
            return;
        }
        if self.core.running.cancel(run, reason) == Some(true) {
            let at = self.core.clock.monotonic().saturating_add(self.core.pipeline.cancel_grace);
            self.deadlines.set(Deadline { at, run, asked: true });
        } else {
            self.core.running.abort(run, reason);
        }
    }

    async fn release_ahead(&mut self) -> Result<()> {
        if self.ahead.is_empty() {
            return Ok(());
        }
        self.core.store.release(self.ahead.iter().map(|acquired| acquired.claim).collect()).await?;
        for acquired in std::mem::take(&mut self.ahead) {
            self.queues.leave(acquired.trigger.queue());
        }
        Ok(())
    }

    fn free_slots(&self) -> usize {
        self.core.settings.concurrency.saturating_sub(self.used_slots())
    }

    fn used_slots(&self) -> usize {
        self.core.active.load(Ordering::Acquire) + self.ahead.len()
    }

    /// Asks the store without claiming anything.
    async fn acquire_nothing(&mut self, now: DateTime<Utc>) -> Result<()> {
        let Some(request) = self.request(now, 0, self.used_slots()) else { return Ok(()) };
        let acquired = self.core.store.acquire_due(request).await?;
        let runs = self.acquired(acquired);
        self.begin_runs(runs);
        Ok(())
    }

    /// What to ask for; none if the store has nothing for certain.
    fn request(&mut self, now: DateTime<Utc>, max: usize, used: usize) -> Option<AcquireDue> {
        let until = now + TimeDelta::from_std(self.attached.look_ahead).unwrap_or_default();
        let until = self.last_due.map_or(until, |last| until.min(last));
        // Cleared before asking, so that a change during the call is seen at the next turn.
        let changed = self.core.changed.swap(false, Ordering::AcqRel) || self.ask_again;
        if !changed && self.next_due.is_none_or(|due| due > until) {
            return None;
        }
        let heard = self.ask_again.then_some(self.heard);
        self.ask_again = true;
        // What was due before this is late.
        let threshold = TimeDelta::from_std(self.core.settings.misfire_threshold).ok();
        let since = threshold.and_then(|threshold| now.checked_sub_signed(threshold));
        let late = since.map(|before| self.late_share(before, max));
        let limits = self.queues.left_of(&self.core.limits.read(), used);
        let (session, shares) = (self.core.session, self.draw.shares(max));
        Some(AcquireDue { session, now, until, max, limits, shares, late, heard })
    }

    /// What the store has acquired: triggers are kept until they are due, runs are to begin.
    fn acquired(&mut self, acquired: Acquired) -> Vec<AcquiredRun> {
        self.ask_again = false;
        self.next_due = acquired.next_due;
        acquired.cancel.into_iter().for_each(|(run, reason)| self.stop(run, reason));
        acquired.dropped.iter().for_each(|(run, job)| self.core.report_dropped(*run, job));
        acquired.expired.iter().for_each(|(run, job)| self.core.report_expired(*run, job));
        acquired.limited.iter().for_each(|full| self.core.report_limited(full));
        acquired.superseded.iter().for_each(|(run, job)| self.core.report_superseded(*run, job));
        acquired.dead.iter().for_each(|dead| self.core.report_dead(dead));
        let triggers = acquired.triggers.iter().map(|acquired| (acquired.claim, &acquired.trigger));
        let runs = acquired.runs.iter().map(|acquired| (acquired.claim, &acquired.trigger));
        for (claim, trigger) in triggers.chain(runs) {
            self.heard = self.heard.max(claim.count());
            self.queues.enter(trigger.queue());
            self.draw.took(trigger.queue());
        }
        self.draw.answered();
        self.remember(acquired.triggers);
        acquired.runs
    }

    fn begin_runs(&mut self, runs: Vec<AcquiredRun>) {
        let now = self.core.clock.now();
        let runs: Vec<_> = runs.into_iter().filter_map(|run| self.begin_run(run, now)).collect();
        if !runs.is_empty() {
            self.pool.submit(runs);
        }
    }

    /// A quarter of the batch; of small ones a late trigger comes first in one of four.
    fn late_share(&mut self, before: DateTime<Utc>, max: usize) -> LateShare {
        let quarters = self.late_quarters + max;
        self.late_quarters = quarters % LATE_PART;
        LateShare { before, most: quarters / LATE_PART }
    }

    fn remember(&mut self, acquired: Vec<AcquiredTrigger>) {
        self.ahead.extend(acquired);
        let rank = |a: &AcquiredTrigger| (a.progress.next, std::cmp::Reverse(a.trigger.priority()));
        if !self.ahead.iter().is_sorted_by_key(rank) {
            self.ahead
                .make_contiguous()
                .sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.trigger.key().cmp(b.trigger.key())));
        }
    }

    /// Fires what is due among the acquired, in one call, and hands it to the pool.
    async fn fire(&mut self, now: DateTime<Utc>) -> Result<()> {
        let decided = self.unsure.take().unwrap_or_else(|| self.decide_due(now));
        if decided.decisions.is_empty() {
            return Ok(());
        }
        let now = decided.now;
        let firings = decided.decisions.iter().map(|decision| decision.firing.clone()).collect();
        let decisions = &self.unsure.insert(decided).decisions;
        let due = decisions.len();
        let store = self.core.store.clone();
        let results = self.calls.beside(store.fire(Fire { now, firings })).await?;
        let decisions = self.unsure.take().map(|decided| decided.decisions).unwrap_or_default();
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

    fn decide_due(&self, now: DateTime<Utc>) -> Decided {
        let is_due = |acquired: &&AcquiredTrigger| acquired.progress.next.is_none_or(|due| due <= now);
        let due = self.ahead.iter().take_while(is_due);
        let threshold = self.core.settings.misfire_threshold();
        Decided { now, decisions: due.map(|acquired| decide(acquired, now, threshold)).collect() }
    }

    /// Until a run has taken too long.
    fn until_deadline(&self) -> Duration {
        let now = self.core.clock.monotonic();
        self.deadlines.first().map_or(Duration::MAX, |at| at.saturating_sub(now))
    }

    /// Until the first of: an acquired trigger is due, the store has something to acquire, a run has taken too long,
    /// and the wall clock is to be looked at again.
    fn wait(&self, state: SchedulerState) -> Duration {
        let clock = &self.core.clock;
        let wait = clock.longest_wait().min(self.until_deadline());
        if !self.takes(state) {
            return if self.unsure.is_some() { wait.min(FIRST_BACKOFF) } else { wait };
        }
        let ahead = self.ahead.front().and_then(|acquired| acquired.progress.next);
        let look_ahead = TimeDelta::from_std(self.attached.look_ahead).unwrap_or_default();
        // What is due after the end of the scheduler is not asked for any more.
        let asks =
            |due: &DateTime<Utc>| self.free_slots() > 0 && self.last_due.is_none_or(|last| *due <= last);
        let stored = self.next_due.filter(asks).map(|due| due - look_ahead);
        let now = clock.now();
        [ahead, stored]
            .into_iter()
            .flatten()
            .fold(wait, |wait, due| wait.min((due - now).to_std().unwrap_or_default()))
    }
}
