//! A process with a store in Redis and one node, played call by call, without the loop of a scheduler.
//!
//! Everything here panics when it does not work.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use scheduler_core::Result;
use scheduler_core::job::{CancelReason, ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::time::{Clock, SystemClock};
use scheduler_core::trigger::{Trigger, TriggerBuilder};
use scheduler_redis::RedisJobStore;

use crate::wait::between_looks;

/// The shortest there is.
pub const LEASE: Duration = Duration::from_secs(1);

/// Beyond this nothing more will come.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A store of a process, with one node.
#[derive(Debug)]
pub struct Process {
    /// The store.
    pub store: RedisJobStore,
    /// That of the node.
    pub session: u64,
    /// How often the node was woken.
    pub wakes: Arc<Mutex<usize>>,
    /// Which of its runs were asked to stop.
    pub stopped: Arc<Mutex<Vec<(ExecutionId, CancelReason)>>>,
}

impl Process {
    /// With a node that knows all types of jobs.
    pub async fn start(url: &str, session: u64) -> Self {
        Self::start_with(url, session, None).await
    }

    /// With a node that knows these types.
    pub async fn start_with(url: &str, session: u64, types: Option<&[&str]>) -> Self {
        let builder =
            RedisJobStore::builder(url).name("shared").lease(LEASE).answer_within(Duration::from_millis(500));
        let store = builder.connect().await.unwrap();
        let (wakes, stopped) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (of_wake, of_stop) = (wakes.clone(), stopped.clone());
        let node = Node {
            session,
            name: format!("node {session}").into(),
            types: types.map(|types| types.iter().map(|name| Arc::from(*name)).collect::<HashSet<_>>()),
            queues: QueueFilter::default(),
            wake: Arc::new(move || *of_wake.lock() += 1),
            stop: Arc::new(move |run, reason| of_stop.lock().push((run, reason))),
        };
        store.attach(node).await.unwrap();
        Self { store, session, wakes, stopped }
    }

    /// By the clock of the store.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.store.clock().unwrap().now()
    }

    /// Stores a job with its triggers.
    pub async fn put(&self, job: &JobDetail, triggers: impl IntoIterator<Item = TriggerBuilder>) {
        let built = |builder: TriggerBuilder| {
            let trigger = builder.job(job.key().clone()).build(self.now()).unwrap();
            let progress = trigger.first(None);
            (Arc::new(trigger), progress)
        };
        let triggers = triggers.into_iter().map(built).collect();
        let (existing_jobs, existing_triggers) = (Existing::Replace, Existing::Replace);
        let put = Put { jobs: vec![Arc::new(job.clone())], existing_jobs, triggers, existing_triggers };
        self.store.put(put).await.unwrap();
    }

    /// What is due, claimed and not fired.
    pub async fn acquire(&self, max: usize) -> Vec<AcquiredTrigger> {
        self.ask(max).await.unwrap().triggers
    }

    /// As [`acquire`](Self::acquire).
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn try_acquire(&self, max: usize) -> Result<Vec<AcquiredTrigger>> {
        Ok(self.ask(max).await?.triggers)
    }

    /// What is due, claimed: triggers that are not fired, and runs that have begun.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn ask(&self, max: usize) -> Result<Acquired> {
        let (session, now, limits, late) = (self.session, self.now(), QueueLimits::default(), None);
        let request =
            AcquireDue { session, now, until: now, max, limits, shares: Vec::new(), late, heard: None };
        self.store.acquire_due(request).await
    }

    /// The runs under way, wherever they are.
    pub async fn running(&self) -> usize {
        self.store.executions(Executions::All).await.unwrap().len()
    }

    /// Exchanges a claim for the right to run.
    pub async fn fire(&self, acquired: &AcquiredTrigger) -> FireResult {
        self.try_fire(acquired).await.unwrap()
    }

    /// As [`fire`](Self::fire).
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn try_fire(&self, acquired: &AcquiredTrigger) -> Result<FireResult> {
        let progress = acquired.trigger.fired(&acquired.progress, None);
        let firing = Firing { claim: acquired.claim, progress, dropped: None };
        Ok(self.store.fire(Fire { now: self.now(), firings: vec![firing] }).await?.remove(0))
    }

    /// Acquires one trigger and fires it.
    pub async fn run(&self) -> AcquiredTrigger {
        let acquired = self.acquire(1).await.remove(0);
        assert!(matches!(self.fire(&acquired).await, FireResult::Run { .. }));
        acquired
    }

    /// Ends a run, whose trigger goes on.
    pub async fn complete(&self, run: ExecutionId) -> CompleteResult {
        self.complete_with(run, Instruction::Continue).await
    }

    /// Ends a run.
    pub async fn complete_with(&self, run: ExecutionId, instruction: Instruction) -> CompleteResult {
        let executions = vec![Completion { instruction, ..Completion::of(run) }];
        self.store.complete(Complete { now: self.now(), executions }).await.unwrap().remove(0)
    }

    /// The nodes that the store knows.
    pub async fn sessions(&self) -> Vec<u64> {
        self.store.nodes().await.unwrap().iter().map(|node| node.session).collect()
    }
}

/// Waits for what other tasks bring about.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = SystemClock.monotonic() + LIMIT;
    while !is_so().await {
        assert!(SystemClock.monotonic() < deadline, "it does not come to that: {what}");
        between_looks().await;
    }
}

/// A job that stays without triggers.
#[must_use]
pub fn job(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), "work").durable(true).build()
}

/// One that allows one run at a time.
#[must_use]
pub fn exclusive(name: &str) -> JobDetail {
    job(name).to_builder().disallow_concurrent(true).build()
}

/// Fires now, and again in an hour.
pub fn hourly(name: &str) -> TriggerBuilder {
    Trigger::every(Duration::from_secs(3600)).name(name)
}

/// The keys of triggers.
#[must_use]
pub fn names(acquired: &[AcquiredTrigger]) -> Vec<String> {
    acquired.iter().map(|acquired| acquired.trigger.key().to_string()).collect()
}
