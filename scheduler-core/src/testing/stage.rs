//! What a test does with the scheduler or host whose time it has: let time pass, run one job, look at what has run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::drained::Drained;
use super::failing::Failing;
use super::names::NamesJob;
use super::parse;
use super::recorder::{Fired, Recorder};
use crate::client::Batch;
use crate::job::{BoxFuture, IntoInvocation, Invocation, JobError, Outcome};
use crate::key::TriggerKey;
use crate::run::{RunEnd, RunState};
use crate::scheduler::{Scheduler, SchedulerState};
use crate::store::batches::BatchState;
use crate::store::{QueueLimits, RunQuery, TriggerQuery, TriggerState, TriggerStatus};
use crate::time::{Clock, ManualClock};
use crate::trigger::Trigger;

/// How much time [`Stage::run_one`] and [`Stage::drain`] let pass at most: a leap year.
pub(super) const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The queue of a run that is alone.
const ALONE: &str = "run-one";

/// What a test can do with a [`TestScheduler`](super::TestScheduler) or a [`TestHost`](super::TestHost).
#[derive(Debug)]
pub struct Stage {
    scheduler: Option<Scheduler>,
    clock: ManualClock,
    recorder: Recorder,
    failing: Failing,
    /// How many attempts and which ends of runs the latest drain has counted.
    counted: Mutex<(usize, Vec<(RunEnd, usize)>)>,
    /// The limits of the scheduler, while everything but one run is held back.
    held: Mutex<Option<QueueLimits>>,
}

impl Stage {
    pub(super) fn new(
        scheduler: Option<Scheduler>,
        clock: ManualClock,
        recorder: Recorder,
        failing: Failing,
    ) -> Self {
        Self { scheduler, clock, recorder, failing, counted: Mutex::default(), held: Mutex::default() }
    }

    /// The scheduler.
    ///
    /// # Panics
    ///
    /// The host has none.
    #[track_caller]
    pub fn scheduler(&self) -> &Scheduler {
        match &self.scheduler {
            Some(scheduler) => scheduler,
            None => panic!("the host has no scheduler; add one to its builder with `.scheduler(…)`"),
        }
    }

    /// The clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// What the wall clock says.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Lets time pass, from due time to due time; everything that becomes due runs.
    pub async fn advance(&self, by: Duration) {
        self.let_go();
        self.clock.advance(by).await;
    }

    /// Lets time pass until the wall clock says `time`, written as in RFC 3339.
    ///
    /// # Panics
    ///
    /// It is no time, or it has passed.
    pub async fn advance_to(&self, time: &str) {
        self.let_go();
        self.clock.advance_to(parse(time)).await;
    }

    /// Sets the wall clock to `time`, forward or back, without letting time pass: as an administrator or NTP would.
    ///
    /// # Panics
    ///
    /// It is no time.
    pub async fn jump_wall(&self, time: &str) {
        self.let_go();
        self.clock.jump_wall(parse(time));
        self.clock.settle().await;
    }

    /// Runs everything that is due now, and lets no time pass.
    pub async fn run_due(&self) {
        self.let_go();
        self.clock.settle().await;
    }

    /// Lets time pass until nothing runs, no run waits and no trigger that fires only once more is left: all that was enqueued or
    /// delayed has run, also what it has enqueued in turn, with all its retries. Paused triggers stay, and so do dead runs. Returns how
    /// attempts and runs have ended since the start, or since the drain before.
    ///
    /// ```
    /// use scheduler_core::job::JobError;
    /// use scheduler_core::prelude::*;
    /// use scheduler_core::testing::TestScheduler;
    ///
    /// #[job(retry(max = 3))]
    /// async fn send(letter: u32) {}
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> scheduler_core::Result<()> {
    /// let test = TestScheduler::start("2026-03-01T00:00:00Z", Scheduler::builder().register(send::definition())).await?;
    /// test.fail_next(send::key(), JobError::new("no route to the server"));
    /// test.scheduler().enqueue(send::with(7)).await?;
    /// let drained = test.drain().await;
    /// assert_eq!((drained.failed, drained.succeeded, drained.dead), (1, 1, 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// There is still something left after a year.
    pub async fn drain(&self) -> Drained {
        let end = self.now() + LONGEST;
        loop {
            self.run_due().await;
            let stored = self.stored().await;
            let once = stored.iter().filter(|status| fires_once(status));
            let waiting = RunQuery::default().in_state(RunState::Waiting);
            let waiting = self.scheduler().all_runs(waiting).await.unwrap_or_else(|error| panic!("{error}"));
            let due = once.filter_map(|status| status.progress.next);
            match due.chain(waiting.iter().map(|run| run.due)).min() {
                None if self.scheduler().running().is_empty() => return self.drained().await,
                Some(next) if next > self.now() => self.clock.advance_to(next).await,
                _ => self.clock.advance(Duration::from_secs(1)).await,
            }
            let left = self.scheduler().running();
            assert!(self.now() < end, "after a year there is still work left: {left:?}");
        }
    }

    /// Runs a job once, by itself, through the whole pipeline, and returns how it has ended. Time passes as far as the job waits
    /// for it.
    ///
    /// What was due before runs first. From then on nothing else begins, so what the job enqueues stays for
    /// [`assert_enqueued!`](crate::assert_enqueued), until the test lets time pass or calls [`run_due`](Self::run_due).
    ///
    /// # Panics
    ///
    /// The scheduler does not run, the job cannot be enqueued, is paused, is vetoed by a listener, or does not end within a
    /// year.
    pub fn run_one(&self, job: impl IntoInvocation) -> BoxFuture<'_, Outcome> {
        // A future without the type of the job: otherwise the compiler repeats a mistake in it at every `await`.
        let job = job.into_invocation();
        Box::pin(self.run_alone(job))
    }

    async fn run_alone(&self, job: Invocation) -> Outcome {
        let state = self.scheduler().state();
        assert!(
            state == SchedulerState::Running,
            "the scheduler is {state}, so nothing can run; start it first"
        );
        self.hold().await;
        let alone = Trigger::now().queue(ALONE);
        let trigger = match self.scheduler().schedule(job, alone).await {
            Ok(scheduled) => scheduled.trigger,
            Err(error) => panic!("the job cannot be enqueued: {error}"),
        };
        let end = self.now() + LONGEST;
        loop {
            self.clock.settle().await;
            let ended = self.recorder.all().into_iter().rev().find(|fired| fired.trigger == trigger);
            let over = self.scheduler().running().iter().all(|run| run.trigger != trigger);
            if let Some(outcome) = ended.and_then(|fired| fired.outcome).filter(|_| over) {
                return outcome;
            }
            assert!(
                self.now() < end,
                "`{trigger}` has not ended after a year; if its job disallows concurrent runs and another run of it waits, \
                 call `run_due` first"
            );
            if over {
                self.check_waiting(&trigger).await;
            }
            self.clock.advance(Duration::from_secs(1)).await;
        }
    }

    /// Fails if a run that is alone will never begin: otherwise the test would wait for a year.
    async fn check_waiting(&self, trigger: &TriggerKey) {
        let stored = self.scheduler().trigger(trigger).await.unwrap_or_else(|error| panic!("{error}"));
        match stored.map(|status| status.state) {
            Some(TriggerState::Paused) => {
                panic!("`{trigger}` cannot run, since its job or its group is paused; call `resume` first")
            }
            Some(TriggerState::Error) => {
                panic!("`{trigger}` cannot run, since its trigger is in error; call `reset_from_error` first")
            }
            Some(_) => {}
            None => panic!(
                "`{trigger}` has not run: a trigger listener has vetoed it, or it has been unscheduled"
            ),
        }
    }

    /// Lets nothing begin but runs that are alone.
    async fn hold(&self) {
        let current = self.scheduler().metadata().limits;
        if current != alone() {
            self.clock.settle().await;
            *self.held.lock() = Some(current);
            self.scheduler().set_limits(alone());
        }
    }

    /// Everything that is due may begin again. Limits that were set while it was held back stay.
    fn let_go(&self) {
        let Some(limits) = self.held.lock().take() else { return };
        if self.scheduler().metadata().limits == alone() {
            self.scheduler().set_limits(limits);
        }
    }

    /// Every execution since the start, or since [`forget`](Self::forget), in the order in which they began.
    pub fn fired(&self) -> Vec<Fired> {
        self.recorder.all()
    }

    /// The executions of one job, by its name, `group/name` or key.
    ///
    /// # Panics
    ///
    /// It is no name.
    #[track_caller]
    pub fn fired_of(&self, job: impl NamesJob) -> Vec<Fired> {
        let key = job.job_key();
        self.recorder.all().into_iter().filter(|fired| fired.job == key).collect()
    }

    /// The next attempt of a job ends with this error, and its function is not called. A second call holds for the attempt after that. Everything
    /// else is as with an error of the function: retries, dead runs, listeners, middleware.
    ///
    /// # Panics
    ///
    /// It is no name of a job.
    #[track_caller]
    pub fn fail_next(&self, job: impl NamesJob, error: impl Into<JobError>) {
        self.failing.add(job.job_key(), error.into());
    }

    /// How the runs of a batch stand: its counters, whether it is sealed, whether it is cancelled.
    ///
    /// # Panics
    ///
    /// The batch is not stored, or not any more.
    pub async fn batch(&self, batch: &Batch) -> BatchState {
        let status = batch.status().await.unwrap_or_else(|error| panic!("{error}"));
        let state = status.and_then(|status| status.batch);
        state.unwrap_or_else(|| panic!("batch {} is not stored", batch.id()))
    }

    /// What has ended since the latest drain.
    async fn drained(&self) -> Drained {
        let (attempts, after) = (self.recorder.all(), self.ended().await);
        let (noted, before) = std::mem::replace(&mut *self.counted.lock(), (attempts.len(), after.clone()));
        Drained::of(attempts.get(noted..).unwrap_or_default(), &before, &after)
    }

    async fn ended(&self) -> Vec<(RunEnd, usize)> {
        let mut ended = Vec::new();
        for end in [RunEnd::Dead, RunEnd::Expired, RunEnd::Superseded] {
            let query = RunQuery::default().that_are(end);
            let runs = self.scheduler().all_runs(query).await.unwrap_or_else(|error| panic!("{error}"));
            ended.push((end, runs.len()));
        }
        ended
    }

    /// Forgets what has run so far.
    pub fn forget(&self) {
        self.recorder.clear();
        self.counted.lock().0 = 0;
    }

    async fn stored(&self) -> Vec<TriggerStatus> {
        self.scheduler().all_triggers(TriggerQuery::default()).await.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Limits that leave one slot, for a run that is alone.
fn alone() -> QueueLimits {
    let named = [(ALONE.into(), 1)].into();
    QueueLimits { named, others: Some(0), default: Some(0), ..QueueLimits::default() }
}

fn fires_once(status: &TriggerStatus) -> bool {
    let progress = &status.progress;
    let stopped = matches!(status.state, TriggerState::Paused | TriggerState::Error);
    !stopped && progress.may_fire_again() && !status.trigger.fired(progress, None).may_fire_again()
}
