//! Services that end or fail, and what the host makes of that.

use super::*;

async fn ends_early() {}

async fn fails() -> JobResult {
    Err(JobError::new("the queue is gone"))
}

async fn panics() {
    panic!("index out of bounds");
}

#[tokio::test]
async fn a_background_service_that_ends_stops_the_host_with_an_error() {
    let rows = [
        (background("loop", ends_early), "returned although nobody has asked it to stop"),
        (background("loop", fails), "the queue is gone"),
        (background("loop", panics), "panicked: index out of bounds"),
    ];
    for (service, expected) in rows {
        let host = Host::builder().clock(clock()).service(service).build().unwrap();
        let error = host.run_until(std::future::pending()).await.unwrap_err();
        assert_eq!(error.report().unwrap().reason, StopReason::ServiceFailed { service: "loop".into() });
        assert!(error.to_string().contains(&format!("service `loop` has failed: {expected}")), "{error}");
    }
}

#[tokio::test]
async fn a_background_service_may_end_if_it_is_said_so() {
    let clock = clock();
    let bench = Bench::start(&clock, Host::builder().service(background("once", ends_early).may_end())).await;
    assert_eq!(bench.state("once"), ServiceState::Ended);
    assert!(bench.handle.health().ready);
    bench.stop().await.unwrap();
}

#[tokio::test]
async fn an_ignored_failure_is_seen_in_the_health() {
    let clock = clock();
    let builder = Host::builder().service(background("loop", fails).supervise(Supervision::Ignore));
    let bench = Bench::start(&clock, builder).await;
    assert_eq!(bench.state("loop"), ServiceState::Failed { failure: "the queue is gone".into() });
    assert!(!bench.handle.health().ready && bench.handle.health().live);
    bench.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_is_restarted_with_growing_waits_and_not_too_often() {
    let (clock, calls) = (clock(), Arc::new(Mutex::new(Vec::new())));
    let log = calls.clone();
    let flaky = move |context: ServiceContext| {
        log.lock().push(context.clock().monotonic().as_secs());
        async move {
            context.clock().sleep(Duration::from_secs(10)).await;
            Err::<(), _>(JobError::new("no connection"))
        }
    };
    let restart = Restart { most: 3, ..Restart::default() };
    let builder =
        Host::builder().service(background("flaky", flaky).supervise(Supervision::Restart(restart)));
    let bench = Bench::start(&clock, builder).await;
    let begin = calls.lock()[0];
    bench.advance(11).await;
    bench.advance(12).await;
    bench.advance(60).await;
    let waits: Vec<_> = calls.lock().iter().map(|time| time - begin).collect();
    assert_eq!(waits, [0, 11, 23, 37], "after 1, 2 and 4 seconds");
    let error = bench.running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("service `flaky` has failed: no connection"), "{error}");
}

#[tokio::test]
async fn every_failed_service_fails_the_host_however_late() {
    let log = Log::default();
    let at = |seconds: u64| {
        move |context: ServiceContext| async move {
            context.clock().sleep(Duration::from_secs(seconds)).await;
            Err::<(), _>(JobError::new("the queue is gone"))
        }
    };
    // While a later service still starts.
    let clock = ManualClock::at(NOW);
    let builder = Host::builder()
        .service(background("bad", fails))
        .service(hosted("slow", Probe { hangs: Some("start"), ..Probe::new("slow", &log) }).after("bad"));
    let error = Bench::start(&clock, builder).await.stop().await.unwrap_err();
    assert!(error.to_string().contains("service `bad` has failed: the queue is gone"), "{error}");
    // During the drain delay.
    let builder = Host::builder().service(background("late", at(5))).drain_delay(Duration::from_secs(10));
    let error = Bench::start(&clock, builder).await.stop().await.unwrap_err();
    assert!(error.to_string().contains("service `late` has failed"), "{error}");
    assert_eq!(error.report().unwrap().reason, StopReason::Requested);
    // Two at once.
    let builder = Host::builder().service(background("a", at(5))).service(background("b", at(5)));
    let bench = Bench::start(&clock, builder).await;
    bench.advance(5).await;
    assert_eq!(bench.running.await.unwrap().unwrap_err().report().unwrap().failures.len(), 2);
}

#[tokio::test]
async fn a_failed_start_does_not_wait_for_the_others_of_its_layer() {
    let (log, clock) = (Log::default(), ManualClock::at(NOW));
    let builder = Host::builder()
        .service(hosted("hangs", Probe { hangs: Some("start"), ..Probe::new("hangs", &log) }))
        .service(hosted("bad", Probe { fails: Some("start"), ..Probe::new("bad", &log) }));
    let bench = Bench::start(&clock, builder).await;
    let error = bench.running.await.unwrap().unwrap_err();
    assert_eq!(error.report().unwrap().reason, StopReason::StartFailed { service: "bad".into() });
}
