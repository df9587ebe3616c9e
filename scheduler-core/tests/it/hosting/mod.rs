//! The host, on a manual clock.

mod failing;
mod one_per_cluster;
mod start_up_tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::Scheduler;
use scheduler_core::host::{
    AtStop, Host, HostBuilder, HostError, HostReport, JobQueue, Restart, Service, ServiceContext,
    ServiceState, StopContext, StopReason, Supervision, background, hosted, start_up,
};
use scheduler_core::job::{Invocation, JobDefinition, JobDetail, JobError, JobResult, State};
use scheduler_core::store::{JobQuery, MemoryJobStore, TriggerQuery};
use scheduler_core::testing::{Fault, FaultyStore, Verb};
use scheduler_core::time::{Clock, ManualClock};
use scheduler_core::trigger::Trigger;
use tokio::task::JoinHandle;

const NOW: &str = "2026-03-01T00:00:00Z";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Writes down its phases; fails or hangs in some.
struct Probe {
    name: &'static str,
    log: Log,
    fails: Option<&'static str>,
    hangs: Option<&'static str>,
}

impl Probe {
    fn new(name: &'static str, log: &Log) -> Self {
        Self { name, log: log.clone(), fails: None, hangs: None }
    }

    async fn phase(&self, phase: &'static str, clock: &dyn Clock) -> JobResult {
        self.log.note(format!("{} {phase}", self.name));
        if self.hangs == Some(phase) {
            clock.sleep(Duration::from_secs(9999)).await;
        }
        if self.fails == Some(phase) {
            return Err(JobError::new("the port is taken"));
        }
        Ok(())
    }
}

impl Service for Probe {
    async fn prepare(&self, context: &ServiceContext) -> JobResult {
        self.phase("prepare", context.clock()).await
    }

    async fn start(&self, context: &ServiceContext) -> JobResult {
        self.phase("start", context.clock()).await
    }

    async fn started(&self, context: &ServiceContext) -> JobResult {
        self.phase("started", context.clock()).await
    }

    async fn stopping(&self, context: &StopContext) -> JobResult {
        self.phase("stopping", context.service().clock()).await
    }

    async fn stop(&self, context: &StopContext) -> JobResult {
        self.phase("stop", context.service().clock()).await
    }

    async fn stopped(&self, context: &StopContext) -> JobResult {
        self.phase("stopped", context.service().clock()).await
    }
}

struct Bench {
    clock: ManualClock,
    handle: scheduler_core::host::HostHandle,
    running: JoinHandle<Result<HostReport, HostError>>,
}

impl Bench {
    async fn start(clock: &ManualClock, builder: HostBuilder) -> Self {
        let host = builder.clock(clock.clone()).build().unwrap();
        let handle = host.handle();
        let running = tokio::spawn(host.run_until(std::future::pending()));
        let bench = Self { clock: clock.clone(), handle, running };
        bench.quiet().await;
        bench
    }

    /// Lets the tasks of the test's thread go on, then waits until nobody is busy.
    async fn quiet(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
            self.clock.settle().await;
        }
    }

    async fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds)).await;
        self.quiet().await;
    }

    async fn stop(self) -> Result<HostReport, HostError> {
        self.handle.stop();
        for _ in 0..100 {
            self.quiet().await;
            if self.running.is_finished() {
                break;
            }
            self.clock.advance(Duration::from_secs(1)).await;
        }
        self.running.await.unwrap()
    }

    fn state(&self, service: &str) -> ServiceState {
        self.handle.health().services[service].clone()
    }
}

fn clock() -> ManualClock {
    ManualClock::at(NOW)
}

#[tokio::test]
async fn a_phase_is_over_for_all_before_the_next_and_the_stop_goes_backwards() {
    let (log, clock) = (Log::default(), clock());
    let builder = Host::builder()
        .service(hosted("web", Probe::new("web", &log)).after("db"))
        .service(hosted("db", Probe::new("db", &log)))
        // Two of one type, by name.
        .service(hosted("mail", Probe::new("mail", &log)).after("web"));
    let bench = Bench::start(&clock, builder).await;
    let phases = |phase: &str, order: [&str; 3]| order.map(|name| format!("{name} {phase}"));
    let up = ["db", "web", "mail"];
    let expected: Vec<_> =
        ["prepare", "start", "started"].iter().flat_map(|phase| phases(phase, up)).collect();
    assert_eq!(log.take(), expected);
    assert!(bench.handle.health().ready);
    let report = bench.stop().await.unwrap();
    let down = ["mail", "web", "db"];
    let expected: Vec<_> =
        ["stopping", "stop", "stopped"].iter().flat_map(|phase| phases(phase, down)).collect();
    assert_eq!(log.take(), expected);
    assert_eq!(report.reason, StopReason::Requested);
    assert!(report.services.values().all(|state| *state == ServiceState::Stopped), "{report:?}");
}

#[tokio::test]
async fn a_start_that_fails_is_unwound_backwards() {
    let (log, clock) = (Log::default(), clock());
    let builder = Host::builder()
        .service(hosted("db", Probe::new("db", &log)))
        .service(hosted("cache", Probe::new("cache", &log)).after("db"))
        .service(hosted("web", Probe { fails: Some("start"), ..Probe::new("web", &log) }).after("cache"))
        .service(hosted("never", Probe::new("never", &log)).after("web"));
    let host = builder.clock(clock.clone()).build().unwrap();
    let error = host.run_until(std::future::pending()).await.unwrap_err();
    assert_eq!(error.report().unwrap().reason, StopReason::StartFailed { service: "web".into() });
    assert!(error.to_string().contains("service `web` could not start: the port is taken"), "{error}");
    let after_failure: Vec<_> =
        log.take().into_iter().skip_while(|line| line != "web start").skip(1).collect();
    assert_eq!(
        after_failure,
        ["cache stopping", "db stopping", "cache stop", "db stop", "cache stopped", "db stopped"]
    );
}

#[tokio::test]
async fn a_stop_during_the_start_unwinds_too() {
    let (log, clock) = (Log::default(), clock());
    let builder = Host::builder()
        .service(hosted("db", Probe::new("db", &log)))
        .service(hosted("slow", Probe { hangs: Some("start"), ..Probe::new("slow", &log) }).after("db"));
    let bench = Bench::start(&clock, builder).await;
    assert!(!bench.handle.health().ready);
    let report = bench.stop().await.unwrap();
    assert_eq!(report.reason, StopReason::Requested);
    let lines = log.take();
    assert!(lines.contains(&"db stop".to_owned()) && !lines.contains(&"slow stop".to_owned()), "{lines:?}");
}

#[tokio::test]
async fn one_budget_is_shared_and_whoever_does_not_stop_is_named() {
    let (log, clock) = (Log::default(), clock());
    let deaf = |context: ServiceContext| async move {
        context.clock().sleep(Duration::from_secs(9999)).await;
    };
    let builder = Host::builder()
        .stop_budget(Duration::from_secs(10))
        .service(hosted("first", Probe::new("first", &log)))
        .service(background("deaf", deaf).after("first").stop_within(Duration::from_secs(4)))
        .service(hosted("hangs", Probe { hangs: Some("stop"), ..Probe::new("hangs", &log) }).after("deaf"));
    let bench = Bench::start(&clock, builder).await;
    let error = bench.stop().await.unwrap_err();
    let report = error.report().unwrap();
    // `hangs` takes the whole budget, so nothing is left for `deaf`; `first` is asked nevertheless.
    assert_eq!(report.not_stopped, ["hangs", "deaf"], "{error}");
    assert_eq!(report.took, Duration::from_secs(10));
    assert!(log.take().contains(&"first stop".to_owned()));
    assert!(error.to_string().contains("service `deaf` did not stop in time"), "{error}");
}

#[tokio::test]
async fn a_deadline_of_its_own_leaves_time_for_the_others() {
    let (log, clock) = (Log::default(), clock());
    let hangs = Probe { hangs: Some("stop"), ..Probe::new("hangs", &log) };
    let builder = Host::builder()
        .service(hosted("hangs", hangs).stop_within(Duration::from_secs(3)))
        .service(hosted("other", Probe::new("other", &log)));
    let bench = Bench::start(&clock, builder).await;
    let error = bench.stop().await.unwrap_err();
    assert_eq!(error.report().unwrap().not_stopped, ["hangs"]);
    assert_eq!(error.report().unwrap().took, Duration::from_secs(3));
}

#[tokio::test]
async fn later_services_wait_until_one_is_ready() {
    let (log, clock) = (Log::default(), clock());
    let warms_up = |context: ServiceContext| async move {
        context.clock().sleep(Duration::from_secs(5)).await;
        context.ready();
        context.stopping().await;
    };
    let builder = Host::builder()
        .service(background("warm", warms_up).waits_until_ready())
        .service(hosted("web", Probe::new("web", &log)).after("warm"));
    let bench = Bench::start(&clock, builder).await;
    assert!(!log.take().contains(&"web start".to_owned()));
    bench.advance(5).await;
    assert!(log.take().contains(&"web start".to_owned()));
    bench.stop().await.unwrap();

    let gives_up = |context: ServiceContext| async move {
        context.clock().sleep(Duration::from_secs(5)).await;
        Err::<(), _>(JobError::new("no memory"))
    };
    let service = background("warm", gives_up).waits_until_ready();
    let host = Host::builder().clock(clock.clone()).service(service).build().unwrap();
    let (ended, ()) = tokio::join!(host.run_until(std::future::pending()), async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(6)).await;
    });
    assert!(ended.unwrap_err().to_string().contains("warm"));
}

#[tokio::test]
async fn the_host_is_not_ready_while_it_drains() {
    let clock = clock();
    let ticks = Arc::new(AtomicUsize::new(0));
    let counter = ticks.clone();
    let serves = move |context: ServiceContext| {
        let counter = counter.clone();
        async move {
            let mut timer = context.every(Duration::from_secs(1));
            while timer.tick().await.is_some() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let builder = Host::builder().drain_delay(Duration::from_secs(5)).service(background("serves", serves));
    let bench = Bench::start(&clock, builder).await;
    bench.advance(3).await;
    bench.handle.stop();
    bench.quiet().await;
    assert!(!bench.handle.health().ready);
    bench.advance(4).await;
    assert_eq!(ticks.load(Ordering::SeqCst), 7, "it goes on serving");
    bench.stop().await.unwrap();
    assert_eq!(ticks.load(Ordering::SeqCst), 7, "the stop comes with the next tick, and ends the timer");
}

#[tokio::test]
async fn the_scheduler_comes_last_and_shares_values_and_clock() {
    let (log, clock) = (Log::default(), clock());
    let notes = log.clone();
    let job = move |State(shop): State<&'static str>| {
        notes.note(format!("job of {shop}"));
        async {}
    };
    let detail = JobDetail::builder("work".parse().unwrap(), "work").build();
    let builder = Host::builder()
        .provide("books")
        .service(hosted("db", Probe::new("db", &log)))
        .register(JobDefinition::new(detail, job).with_trigger(Trigger::every(Duration::from_secs(60))))
        .scheduler(Scheduler::builder())
        .expect_success("work".parse().unwrap(), Duration::from_secs(90));
    let bench = Bench::start(&clock, builder).await;
    let lines = log.take();
    let first_job = lines.iter().position(|line| line == "job of books").unwrap();
    assert!(lines.iter().position(|line| line == "db start").unwrap() < first_job, "{lines:?}");
    bench.advance(60).await;
    assert!(bench.handle.health().ready);
    bench.handle.scheduler().unwrap().standby().unwrap();
    bench.advance(100).await;
    let health = bench.handle.health();
    assert!(!health.ready && health.live && health.jobs[0].stale, "{health:?}");
    assert!(serde_json::to_value(&health).unwrap()["jobs"][0]["stale"].as_bool().unwrap());
    bench.stop().await.unwrap();
}

#[test]
fn every_problem_is_reported_at_once() {
    let log = Log::default();
    let probe = || Probe::new("x", &log);
    let error = Host::builder()
        .service(hosted("a", probe()).after("b"))
        .service(hosted("b", probe()).after("a"))
        .service(hosted("a", probe()))
        .service(background("c", async |_: State<u64>, _: Scheduler| {}).after("databse"))
        .service(hosted("database", probe()))
        .service(start_up("migrate", async || {}).once_per_cluster(1))
        .queue("mails", JobQueue::bounded(1).at_stop(AtStop::Persist).build())
        .register(
            JobDefinition::new(JobDetail::builder("j".parse().unwrap(), "j").build(), async || {})
                .with_trigger(Trigger::now()),
        )
        .build()
        .unwrap_err()
        .to_string();
    for expected in [
        "two services are named `a`",
        "service `c` comes after `databse`, which is no service; did you mean `database`?",
        "service `c` (",
        "needs a `u64`; call `.provide(…)` with one",
        "job `j` (",
        "declares a trigger, and the host has no scheduler",
        "task `migrate` (",
        "is to run once per cluster, and the host has no scheduler",
        "the queue `mails` is to keep its jobs at the stop, and the host has no scheduler",
        "needs a `Scheduler`; call `.scheduler(…)`",
    ] {
        assert!(error.contains(expected), "`{expected}` is not in:\n{error}");
    }
    let circle = Host::builder()
        .service(hosted("a", probe()).after("b"))
        .service(hosted("b", probe()).after("a"))
        .build()
        .unwrap_err();
    assert!(circle.to_string().contains("come after each other: `a` comes after `b`"), "{circle}");
}

#[tokio::test]
async fn a_scheduler_also_runs_without_a_host_and_a_host_without_a_scheduler() {
    let clock = clock();
    let bench = Bench::start(&clock, Host::builder()).await;
    assert!(bench.handle.scheduler().is_none());
    let report = bench.stop().await.unwrap();
    assert!(report.services.is_empty());
    let _ = Invocation::new(JobDetail::builder("j".parse().unwrap(), "j").build());
}

#[tokio::test]
async fn a_host_that_stops_is_alive() {
    let (log, clock) = (Log::default(), ManualClock::at(NOW));
    let slow = hosted("slow", Probe { hangs: Some("stop"), ..Probe::new("slow", &log) });
    let builder = Host::builder().service(slow).scheduler(Scheduler::builder());
    let bench = Bench::start(&clock, builder).await;
    bench.handle.stop();
    bench.advance(1).await;
    bench.advance(20).await;
    let health = bench.handle.health();
    assert_eq!(health.services["scheduler"], ServiceState::Stopped);
    assert!(health.live && !health.ready, "{health:?}");
    bench.stop().await.unwrap_err();
}

#[tokio::test]
async fn a_budget_without_end_is_one() {
    let waits = |context: ServiceContext| async move { context.stopping().await };
    let builder = Host::builder()
        .service(background("waits", waits))
        .stop_budget(Duration::MAX)
        .drain_delay(Duration::from_millis(1));
    let host = builder.build().unwrap();
    host.handle().stop();
    host.run().await.unwrap();
}

/// A loop that makes a timer for each of its turns, as one that is restarted does.
#[tokio::test]
async fn h10_timers_leave_no_task_behind() {
    let (clock, alive) = (ManualClock::at(NOW), Arc::new(Mutex::new(Vec::new())));
    let tasks = alive.clone();
    let spins = move |context: ServiceContext| {
        let tasks = tasks.clone();
        async move {
            for _ in 0..100 {
                context.every(Duration::from_secs(1)).tick().await;
                tasks.lock().push(tokio::runtime::Handle::current().metrics().num_alive_tasks());
            }
            let mut last = context.every(Duration::from_secs(1));
            while last.tick().await.is_some() {}
        }
    };
    let host = Host::builder().clock(clock.clone()).service(background("spins", spins)).build().unwrap();
    let handle = host.handle();
    let running = tokio::spawn(host.run_until(std::future::pending()));
    while alive.lock().len() < 100 {
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(1)).await;
    }
    handle.stop();
    running.await.unwrap().unwrap();
    let alive = alive.lock();
    assert_eq!(alive.first(), alive.last(), "{alive:?}");
}
