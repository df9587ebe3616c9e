//! Services that misbehave are named, and the others are stopped in order.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use scheduler_core::host::{
    Host, HostBuilder, HostError, HostReport, Service, ServiceContext, ServiceDefinition, ServiceState,
    StopContext, StopReason, background, hosted, start_up,
};
use scheduler_core::job::{JobDefinition, JobDetail, JobResult};
use scheduler_core::time::ManualClock;
use scheduler_core::trigger::Trigger;
use scheduler_core::{JobKey, Scheduler};

use crate::rogue::{Fault, Rogue};

const NOW: &str = "2026-03-01T00:00:00Z";

impl Service for Rogue {
    fn prepare(&self, _: &ServiceContext) -> impl Future<Output = JobResult> + Send {
        self.call("prepare", Ok(()))
    }

    fn start(&self, _: &ServiceContext) -> impl Future<Output = JobResult> + Send {
        self.call("start", Ok(()))
    }

    fn started(&self, _: &ServiceContext) -> impl Future<Output = JobResult> + Send {
        self.call("started", Ok(()))
    }

    fn stopping(&self, _: &StopContext) -> impl Future<Output = JobResult> + Send {
        self.call("stopping", Ok(()))
    }

    fn stop(&self, _: &StopContext) -> impl Future<Output = JobResult> + Send {
        self.call("stop", Ok(()))
    }

    fn stopped(&self, _: &StopContext) -> impl Future<Output = JobResult> + Send {
        self.call("stopped", Ok(()))
    }
}

type Log = Arc<Mutex<Vec<String>>>;

struct Witness(&'static str, Log);

impl Service for Witness {
    async fn start(&self, _: &ServiceContext) -> JobResult {
        self.1.lock().push(format!("{} starts", self.0));
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> JobResult {
        self.1.lock().push(format!("{} stops", self.0));
        Ok(())
    }
}

/// Runs a host on a manual clock and asks it to stop; how it has ended.
async fn live(clock: &ManualClock, builder: HostBuilder) -> Result<HostReport, HostError> {
    let host = builder.clock(clock.clone()).build().unwrap();
    let handle = host.handle();
    let running = tokio::spawn(host.run_until(std::future::pending()));
    for round in 0..100 {
        for _ in 0..50 {
            tokio::task::yield_now().await;
            clock.settle().await;
        }
        if running.is_finished() {
            break;
        }
        if round == 1 {
            handle.stop();
        }
        clock.advance(Duration::from_secs(1)).await;
    }
    // A panic that goes through the host fails here.
    running.await.unwrap()
}

fn text(result: &Result<HostReport, HostError>) -> String {
    result.as_ref().err().map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn r9_a_phase_that_misbehaves_is_named_and_the_service_below_is_stopped() {
    for place in ["prepare", "start", "started", "stopping", "stop", "stopped"] {
        for fault in Fault::ALL {
            let (case, log, clock) = (format!("{place} {fault:?}"), Log::default(), ManualClock::at(NOW));
            let rogue = Rogue::new(place, fault);
            rogue.begin(&clock);
            let builder = Host::builder()
                .service(hosted("db", Witness("db", log.clone())))
                .service(hosted("web", rogue).after("db"))
                .service(hosted("mail", Witness("mail", log.clone())).after("web"));
            let result = live(&clock, builder).await;
            let text = text(&result);
            match fault {
                Fault::PanicsWhenDropped => assert!(result.is_ok(), "{case}: {text}"),
                Fault::Hangs if ["prepare", "start", "started"].contains(&place) => {
                    assert!(result.is_ok(), "{case}: {text}");
                }
                Fault::Hangs => {
                    assert!(text.contains("service `web` did not stop in time"), "{case}: {text}");
                }
                _ => {
                    assert!(text.contains("service `web`"), "{case}: {text}");
                    assert!(text.contains("panicked: a bug in "), "{case}: {text}");
                }
            }
            let log = log.lock();
            let of = |what: &str| log.iter().filter(|line| line.contains(what)).cloned().collect::<Vec<_>>();
            let mut started: Vec<_> =
                of("starts").iter().map(|line| line.replace("starts", "stops")).collect();
            started.reverse();
            assert_eq!(of("stops"), started, "{case}: what has started is stopped, backwards");
            assert_eq!(started.is_empty(), place == "prepare" && fault != Fault::PanicsWhenDropped, "{case}");
        }
    }
}

#[tokio::test]
async fn r9_background_services_and_start_up_tasks_that_misbehave_are_named() {
    for (place, fault) in
        ["background", "start-up"].into_iter().flat_map(|place| Fault::ALL.map(|fault| (place, fault)))
    {
        let (case, log, clock) = (format!("{place} {fault:?}"), Log::default(), ManualClock::at(NOW));
        let rogue = Rogue::new(place, fault);
        rogue.begin(&clock);
        let function = move || rogue.call(place, JobResult::Ok(()));
        let service: ServiceDefinition = match place {
            "background" => background("rogue", function).after("db").into(),
            _ => start_up("rogue", function).after("db").into(),
        };
        let builder = Host::builder().service(hosted("db", Witness("db", log.clone()))).service(service);
        let text = text(&live(&clock, builder).await);
        match (place, fault) {
            ("background", Fault::Hangs) => {
                assert!(text.contains("`rogue` did not stop in time"), "{case}: {text}");
            }
            ("start-up", Fault::Hangs) => assert_eq!(text, "", "{case}"),
            _ => assert!(
                text.contains("service `rogue`") && text.contains("panicked: a bug"),
                "{case}: {text}"
            ),
        }
        let started = log.lock().contains(&"db starts".to_owned());
        assert_eq!(started, log.lock().contains(&"db stops".to_owned()), "{case}");
        assert_eq!(started, place == "background", "{case}");
    }
}

/// Panics when it is dropped.
struct Fragile;

impl Service for Fragile {}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a bug in the drop of a service");
    }
}

#[tokio::test]
async fn r9_a_service_that_panics_in_its_drop_and_a_future_that_panics_beside_the_host_are_survived() {
    let (clock, log) = (ManualClock::at(NOW), Log::default());
    let builder = Host::builder().service(hosted("fragile", Fragile));
    assert_eq!(live(&clock, builder).await.unwrap().reason, StopReason::Requested);
    let host =
        Host::builder().clock(clock).service(hosted("db", Witness("db", log.clone()))).build().unwrap();
    let error = host.run_until(async { panic!("a bug beside the host") }).await.unwrap_err();
    assert!(error.to_string().contains("a bug beside the host"), "{error}");
    assert_eq!(*log.lock(), ["db starts", "db stops"]);
}

#[tokio::test]
async fn v8_a_scheduler_that_a_job_shuts_down_is_a_failed_service_at_once() {
    let (clock, log) = (ManualClock::at(NOW), Log::default());
    let key: JobKey = "suicide".parse().unwrap();
    let job = |scheduler: Scheduler| async move {
        tokio::spawn(async move { scheduler.shutdown(Duration::from_secs(1)).await });
    };
    let definition = JobDefinition::new(JobDetail::builder(key, "suicide").build(), job);
    let builder = Host::builder()
        .scheduler(Scheduler::builder().register(definition.with_trigger(Trigger::now())))
        .service(hosted("db", Witness("db", log.clone())));
    let host = builder.clock(clock.clone()).build().unwrap();
    let running = tokio::spawn(host.run_until(std::future::pending()));
    for _ in 0..100 {
        for _ in 0..50 {
            tokio::task::yield_now().await;
            clock.settle().await;
        }
        if running.is_finished() {
            break;
        }
        clock.advance(Duration::from_millis(100)).await;
    }
    // Nobody has asked the host to stop.
    let error = running.await.unwrap().unwrap_err();
    let report = error.report().unwrap();
    assert_eq!(report.reason, StopReason::ServiceFailed { service: "scheduler".into() });
    assert_eq!(report.failures.len(), 1, "{error}");
    assert!(report.failures[0].contains("shut down by the program"), "{error}");
    assert!(matches!(report.services["scheduler"], ServiceState::Failed { .. }), "{error}");
    assert_eq!(*log.lock(), ["db starts", "db stops"]);
}
