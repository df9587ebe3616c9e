//! A store under test, with short words for what tests do with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::JobData;
use scheduler_core::TriggerKey;
use scheduler_core::job::{CancelReason, ExecutionId, JobDetail};
use scheduler_core::store::*;
use scheduler_core::trigger::{Progress, Trigger, TriggerBuilder};

/// Opens a new, empty store.
pub trait Open: Send + Sync {
    /// The store.
    fn open(&self) -> Pin<Box<dyn Future<Output = Arc<dyn JobStore>> + '_>>;
}

impl<F, Fut, S> Open for F
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = S>,
    S: JobStore,
{
    fn open(&self) -> Pin<Box<dyn Future<Output = Arc<dyn JobStore>> + '_>> {
        Box::pin(async { Arc::new(self().await) as Arc<dyn JobStore> })
    }
}

/// Runs a check on a runtime of its own.
#[doc(hidden)]
pub fn run<F: Future>(check: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(check)
}

/// When all checks begin.
pub(super) fn t0() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().expect("a time")
}

/// So many seconds after the begin.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    t0() + TimeDelta::seconds(seconds)
}

pub(super) fn key(text: &str) -> TriggerKey {
    text.parse().expect("a key")
}

/// A job that runs the type `work`.
pub(super) fn job(key: &str) -> scheduler_core::job::JobDetailBuilder {
    JobDetail::builder(key.parse().expect("a key"), "work")
}

/// A job that allows one run at a time.
pub(super) fn exclusive(key: &str) -> JobDetail {
    job(key).disallow_concurrent(true).build()
}

/// A trigger that fires every minute from so many seconds after the begin.
pub(super) fn every_minute(name: &str, start: i64) -> TriggerBuilder {
    Trigger::every(Duration::from_secs(60)).name(name).start_at(at(start))
}

/// A trigger that fires once, so many seconds after the begin.
pub(super) fn once(name: &str, start: i64) -> TriggerBuilder {
    Trigger::at(at(start)).name(name)
}

pub(super) fn names(acquired: &[AcquiredTrigger]) -> Vec<String> {
    acquired.iter().map(|acquired| acquired.trigger.key().to_string()).collect()
}

/// A store with two nodes.
pub(super) struct Bench {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) attached: Attached,
    wakes: Arc<AtomicUsize>,
}

/// The nodes of a bench.
pub(super) const ONE: u64 = 1;
pub(super) const TWO: u64 = 2;

impl Bench {
    pub(super) async fn new(open: &impl Open) -> Self {
        let (store, wakes) = (open.open().await, Arc::new(AtomicUsize::new(0)));
        let counter = wakes.clone();
        let wake = Arc::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let node = |session, types: Option<&[&str]>| Node {
            session,
            name: format!("node {session}").into(),
            types: types.map(|types| types.iter().map(|name| Arc::from(*name)).collect()),
            queues: QueueFilter::default(),
            wake: wake.clone(),
            stop: Arc::new(|_, _| {}),
        };
        let attached = store.attach(node(ONE, None)).await.unwrap();
        store.attach(node(TWO, Some(&["work"]))).await.unwrap();
        Self { store, attached, wakes }
    }

    pub(super) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }

    /// Stores a job and its triggers, which must not be there yet.
    pub(super) async fn put(&self, job: &JobDetail, triggers: impl IntoIterator<Item = TriggerBuilder>) {
        self.try_put(job, triggers, Existing::Refuse).await.unwrap();
    }

    pub(super) async fn try_put(
        &self,
        job: &JobDetail,
        triggers: impl IntoIterator<Item = TriggerBuilder>,
        existing: Existing,
    ) -> scheduler_core::Result<()> {
        let triggers = triggers.into_iter().map(|trigger| built(job, trigger)).collect();
        let jobs = vec![Arc::new(job.clone())];
        self.store
            .put(Put { jobs, existing_jobs: Existing::Update, triggers, existing_triggers: existing })
            .await
    }

    pub(super) async fn acquire(&self, seconds: i64, max: usize) -> Vec<AcquiredTrigger> {
        self.ask(ONE, seconds, max, QueueLimits::default()).await.triggers
    }

    pub(super) async fn ask(&self, session: u64, seconds: i64, max: usize, limits: QueueLimits) -> Acquired {
        let now = at(seconds);
        self.store
            .acquire_due(AcquireDue {
                session,
                now,
                until: now,
                max,
                limits,
                shares: Vec::new(),
                late: None,
                heard: None,
            })
            .await
            .unwrap()
    }

    /// The executions of a node that are to be stopped.
    pub(super) async fn cancelled(&self, session: u64, seconds: i64) -> Vec<(ExecutionId, CancelReason)> {
        self.ask(session, seconds, 0, QueueLimits::default()).await.cancel
    }

    pub(super) async fn fire(&self, seconds: i64, acquired: &AcquiredTrigger) -> FireResult {
        let calendar = acquired.calendar.as_deref();
        let progress = acquired.trigger.fired(&acquired.progress, calendar);
        self.fire_as(seconds, acquired.claim, progress, None).await
    }

    pub(super) async fn fire_as(
        &self,
        seconds: i64,
        claim: ExecutionId,
        progress: Progress,
        dropped: Option<FiringReason>,
    ) -> FireResult {
        let fire = Fire { now: at(seconds), firings: vec![Firing { claim, progress, dropped }] };
        self.store.fire(fire).await.unwrap().remove(0)
    }

    /// Acquires the one trigger that is due and fires it.
    pub(super) async fn run(&self, seconds: i64) -> AcquiredTrigger {
        let mut acquired = self.acquire(seconds, 1).await;
        assert_eq!(acquired.len(), 1, "one trigger is due");
        let result = self.fire(seconds, &acquired[0]).await;
        assert!(matches!(result, FireResult::Run { .. }), "{result:?}");
        acquired.remove(0)
    }

    pub(super) async fn complete(&self, run: &AcquiredTrigger) -> CompleteResult {
        self.complete_as(Completion::of(run.claim)).await
    }

    pub(super) async fn complete_with(
        &self,
        run: &AcquiredTrigger,
        instruction: Instruction,
    ) -> CompleteResult {
        self.complete_as(Completion { instruction, ..Completion::of(run.claim) }).await
    }

    pub(super) async fn complete_as(&self, completion: Completion) -> CompleteResult {
        self.store.complete(Complete { now: t0(), executions: vec![completion] }).await.unwrap()[0]
    }

    pub(super) async fn pause(&self, what: Selection) -> Vec<String> {
        let note = PauseNote::at(t0());
        self.store.pause(Pause { what, note }).await.unwrap().iter().map(ToString::to_string).collect()
    }

    pub(super) async fn resume(&self, what: Selection) -> Vec<String> {
        self.store.resume(what).await.unwrap().iter().map(ToString::to_string).collect()
    }

    pub(super) async fn status(&self, name: &str) -> Option<TriggerStatus> {
        let query = TriggerQuery { keys: vec![key(name)], ..TriggerQuery::default() };
        self.store.all_triggers(query).await.unwrap().pop()
    }

    #[track_caller]
    pub(super) fn state(&self, name: &str) -> impl Future<Output = TriggerState> {
        let place = std::panic::Location::caller();
        let (store, name) = (self.store.clone(), name.to_owned());
        async move {
            let query = TriggerQuery { keys: vec![key(&name)], ..TriggerQuery::default() };
            let found = store.all_triggers(query).await.unwrap().pop();
            found.unwrap_or_else(|| panic!("there is no trigger `{name}`, asked at {place}")).state
        }
    }

    /// The names of the stored jobs.
    pub(super) async fn jobs(&self) -> Vec<String> {
        let jobs = self.store.all_jobs(JobQuery::default()).await.unwrap();
        jobs.iter().map(|job| job.key().to_string()).collect()
    }

    /// The names of the stored triggers.
    pub(super) async fn triggers(&self) -> Vec<String> {
        self.listed(TriggerQuery::default()).await
    }

    pub(super) async fn listed(&self, query: TriggerQuery) -> Vec<String> {
        let found = self.store.all_triggers(query).await.unwrap();
        found.iter().map(|status| status.trigger.key().to_string()).collect()
    }
}

/// A trigger of this job, with its first progress.
pub(super) fn built(job: &JobDetail, trigger: TriggerBuilder) -> (Arc<Trigger>, Progress) {
    let trigger = trigger.job(job.key().clone()).build(t0()).unwrap();
    let progress = trigger.first(None);
    (Arc::new(trigger), progress)
}

/// Data with one number.
pub(super) fn data(name: &str, number: u32) -> JobData {
    JobData::default().with(name, number)
}
