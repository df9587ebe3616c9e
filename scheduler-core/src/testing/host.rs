//! A host whose time is in the hands of a test.

use std::future::pending;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::failing::Failing;
use super::recorder::Recorder;
use super::stage::{LONGEST, Stage};
use crate::host::{HostBuilder, HostError, HostHandle, HostReport};
use crate::matcher::Matcher;
use crate::time::{Activity, Clock, ManualClock};

/// The activity of a host; none once it has ended, since the clock would wait for it.
type Life = Arc<Mutex<Option<Activity>>>;

/// A host that has begun to start, whose time is in the hands of a test: see [`Stage`] for what a test can do with it. What its
/// queues, start-up tasks, services and timers run is noted beside the runs of its scheduler.
///
/// ```
/// use std::time::Duration;
///
/// use scheduler_core::host::{Host, JobQueue, ServiceContext, background};
/// use scheduler_core::prelude::*;
/// use scheduler_core::testing::{TestHost, assert_fired};
///
/// #[job]
/// async fn send(address: String) {
///     println!("sent to {address}");
/// }
///
/// async fn greet(context: ServiceContext, State(mails): State<JobQueue>) -> JobResult {
///     let mut timer = context.every(Duration::from_secs(60));
///     while timer.tick().await.is_some() {
///         mails.enqueue(send::with("ada@example.org".to_owned())).await?;
///     }
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), scheduler_core::host::HostError> {
/// let mails = JobQueue::bounded(100).build();
/// let builder = Host::builder().register(send::definition()).provide(mails.clone()).queue("mails", mails);
/// let test = TestHost::start("2026-03-01T00:00:00Z", builder.service(background("greet", greet))).await?;
/// test.advance(Duration::from_secs(180)).await;
/// assert_fired!(test, send::key(), 3);
/// let report = test.stop().await?;
/// assert!(report.failures.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestHost {
    stage: Stage,
    handle: HostHandle,
    life: Life,
    ended: oneshot::Receiver<Result<HostReport, HostError>>,
}

impl TestHost {
    /// Builds a host and starts it at `now`, written as in RFC 3339. Whatever clock the builder has is replaced. A start that
    /// waits for time, such as a start-up task that is tried again, goes on when the test lets time pass.
    ///
    /// # Errors
    ///
    /// The host cannot be built, or has failed already.
    ///
    /// # Panics
    ///
    /// `now` is no time, or there is no tokio runtime.
    pub async fn start(now: &str, builder: HostBuilder) -> Result<Self, HostError> {
        let (clock, recorder, failing) = (ManualClock::at(now), Recorder::default(), Failing::default());
        let builder = builder.clock(clock.clone()).job_listener(Matcher::Everything, recorder.clone());
        let host = builder.middleware(failing.clone()).build()?;
        let handle = host.handle();
        let activity = clock.begin(&"the host").idling();
        let life = Life::default();
        *life.lock() = Some(activity.clone());
        let (of_task, (ends, mut ended)) = (life.clone(), oneshot::channel());
        tokio::spawn(activity.observe(async move {
            // Fails only if the test is over.
            ends.send(host.run_until(pending()).await).ok();
            drop(of_task.lock().take());
        }));
        drop(activity);
        clock.settle().await;
        if let Ok(Err(error)) = ended.try_recv() {
            return Err(error);
        }
        let stage = Stage::new(handle.scheduler().cloned(), clock, recorder, failing);
        Ok(Self { stage, handle, life, ended })
    }

    /// A handle that watches and stops the host.
    pub fn handle(&self) -> &HostHandle {
        &self.handle
    }

    /// Asks the host to stop and lets time pass until it has, within its budget.
    ///
    /// # Errors
    ///
    /// As [`Host::run`](crate::host::Host::run).
    ///
    /// # Panics
    ///
    /// It has not ended after a year.
    pub async fn stop(self) -> Result<HostReport, HostError> {
        self.handle.stop();
        // The clock waits until the host has heard of it.
        if let Some(activity) = self.life.lock().take() {
            activity.nudge();
        }
        self.end().await
    }

    /// Lets time pass until the host has ended by itself, as one does whose service has failed.
    ///
    /// # Errors
    ///
    /// As [`Host::run`](crate::host::Host::run).
    ///
    /// # Panics
    ///
    /// It has not ended after a year.
    pub async fn end(mut self) -> Result<HostReport, HostError> {
        let end = self.now() + LONGEST;
        loop {
            self.run_due().await;
            match self.ended.try_recv() {
                Ok(ended) => return ended,
                Err(TryRecvError::Empty) => self.advance(Duration::from_secs(1)).await,
                Err(TryRecvError::Closed) => panic!("the task of the host has panicked"),
            }
            assert!(self.now() < end, "the host has not ended after a year");
        }
    }
}

impl Deref for TestHost {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}
