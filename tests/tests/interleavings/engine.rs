//! Whole schedulers: loops, pools, administrators and a shutdown, on one store.
//!
//! Time stands still with everything due, so that nothing can be mended by a later look: what is lost leaves all threads
//! waiting for ever, which the checker reports.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use scheduler_core::job::{Invocation, JobContext, JobDefinition, JobDetail};
use scheduler_core::store::*;
use scheduler_core::time::{Activity, Alarm, Clock};
use scheduler_core::trigger::{Misfire, Trigger};
use scheduler_core::{Scheduler, ShutdownReport, TriggerKey};
use shuttle::future::{block_on, yield_now};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use super::explore;

const ROUNDS: usize = 600;

/// How often each trigger fires.
const TIMES: u32 = 2;

fn begin() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        begin() + TimeDelta::hours(1)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(pending())
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        Arc::new(Bell::default())
    }

    fn begin(&self, _: &dyn std::fmt::Debug) -> Activity {
        Activity::unobserved()
    }
}

/// Waits for a ring alone, unless there is nothing to wait for.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Alarm for Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.heard.notify_all();
    }

    fn wait_until(&self, deadline: Duration) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung && deadline > Duration::ZERO {
            rung = self.heard.wait(rung).unwrap();
        }
        *rung = false;
    }

    fn retire(&self) {}
}

#[derive(Default)]
struct Log {
    runs: Mutex<BTreeMap<(TriggerKey, DateTime<Utc>), usize>>,
    running: Mutex<BTreeMap<String, usize>>,
    ended: Condvar,
}

impl Log {
    async fn run(&self, context: JobContext) {
        let job = context.job_key().to_string();
        let beside = {
            let mut running = self.running.lock().unwrap();
            let count = running.entry(job.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let under_way = UnderWay { log: self, job };
        yield_now().await;
        drop(under_way);
        let key = (context.trigger_key().clone(), context.scheduled_fire_time());
        // A run that should not have been counts as many.
        let wrong = usize::from(context.job().disallow_concurrent()) * beside * 100;
        *self.runs.lock().unwrap().entry(key).or_default() += 1 + wrong;
        self.ended.notify_all();
    }

    fn wait_for(&self, count: usize) {
        let mut runs = self.runs.lock().unwrap();
        while runs.len() < count {
            runs = self.ended.wait(runs).unwrap();
        }
    }
}

/// A run that goes on, until it ends or is dropped.
struct UnderWay<'a> {
    log: &'a Log,
    job: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.log.running.lock().unwrap().get_mut(&self.job).unwrap() -= 1;
    }
}

/// The runtime is there for those who ask for one, and runs nothing: the checker does.
fn exploring(test: impl Fn() + Clone + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    explore(ROUNDS, test);
}

fn detail(name: &str) -> JobDetail {
    JobDetail::builder(name.parse().unwrap(), name).disallow_concurrent(name == "one").durable(true).build()
}

fn node(store: &MemoryJobStore, log: &Arc<Log>) -> Scheduler {
    let mut builder =
        Scheduler::builder().clock(Still).store(store.clone()).concurrency(2).misfire(Misfire::Ignore);
    for name in ["one", "many"] {
        let log = log.clone();
        let body = move |context: JobContext| {
            let log = log.clone();
            async move { log.run(context).await }
        };
        builder = builder.register(JobDefinition::new(detail(name), body));
    }
    let scheduler = builder.build().unwrap();
    block_on(scheduler.start()).unwrap();
    scheduler
}

/// Two triggers of a job that allows one run at a time, and one of a job that does not care.
const TRIGGERS: [(&str, &str); 3] = [("one", "a"), ("one", "b"), ("many", "c")];

fn schedule(scheduler: &Scheduler) {
    for (job, name) in TRIGGERS {
        let trigger = Trigger::every(Duration::from_secs(60)).repeat(TIMES - 1).name(name).start_at(begin());
        block_on(scheduler.schedule(Invocation::new(detail(job)), trigger)).unwrap();
    }
}

const ALL: usize = TRIGGERS.len() * TIMES as usize;

fn end(scheduler: &Scheduler) -> ShutdownReport {
    block_on(scheduler.shutdown(Duration::from_secs(3600)))
}

fn account(log: &Log) {
    let runs = log.runs.lock().unwrap();
    assert!(runs.values().all(|count| *count == 1), "doubled, or two runs of one job at once: {runs:?}");
    assert_eq!(runs.len(), ALL);
}

#[test]
fn one_scheduler_fires_everything_once() {
    exploring(|| {
        let (store, log) = (MemoryJobStore::new(), Arc::new(Log::default()));
        let scheduler = node(&store, &log);
        schedule(&scheduler);
        log.wait_for(ALL);
        assert!(end(&scheduler).is_clean());
        account(&log);
        assert!(block_on(store.executions(Executions::All)).unwrap().is_empty());
    });
}

#[test]
fn a_scheduler_that_is_shut_down_leaves_the_rest_to_the_other() {
    exploring(|| {
        let (store, log) = (MemoryJobStore::new(), Arc::new(Log::default()));
        let (first, second) = (node(&store, &log), node(&store, &log));
        let leaving = thread::spawn(move || end(&second));
        schedule(&first);
        let report = leaving.join().unwrap();
        assert!(report.is_clean(), "{report}");
        log.wait_for(ALL);
        assert!(end(&first).is_clean());
        account(&log);
        assert!(block_on(store.executions(Executions::All)).unwrap().is_empty());
    });
}

#[test]
fn pauses_and_standby_hold_up_and_lose_nothing() {
    exploring(|| {
        let (store, log) = (MemoryJobStore::new(), Arc::new(Log::default()));
        let scheduler = node(&store, &log);
        let admin = scheduler.clone();
        let admin = thread::spawn(move || {
            block_on(admin.pause(Selection::All)).unwrap();
            admin.standby().unwrap();
            block_on(admin.resume(Selection::All)).unwrap();
            block_on(admin.start()).unwrap();
        });
        schedule(&scheduler);
        admin.join().unwrap();
        log.wait_for(ALL);
        assert!(end(&scheduler).is_clean());
        account(&log);
    });
}

#[test]
fn a_shutdown_ends_whatever_meets_it() {
    exploring(|| {
        let (store, log) = (MemoryJobStore::new(), Arc::new(Log::default()));
        let scheduler = node(&store, &log);
        schedule(&scheduler);
        let (admin, canceller) = (scheduler.clone(), scheduler.clone());
        let admin = thread::spawn(move || {
            // Refused when the scheduler is over.
            let _ = admin.standby();
            let _ = block_on(admin.start());
        });
        let canceller = thread::spawn(move || drop(block_on(canceller.cancel(Executions::All))));
        end(&scheduler);
        admin.join().unwrap();
        canceller.join().unwrap();
        let runs = log.runs.lock().unwrap();
        assert!(runs.values().all(|count| *count == 1), "{runs:?}");
        assert!(block_on(store.executions(Executions::All)).unwrap().is_empty(), "nothing is left open");
        for status in block_on(store.all_triggers(TriggerQuery::default())).unwrap() {
            assert_eq!(status.state, TriggerState::Normal, "no claim is left on `{}`", status.trigger.key());
        }
    });
}
